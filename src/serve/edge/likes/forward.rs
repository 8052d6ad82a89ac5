//! What an edge sends on as it is: likes, hearts, and reads that no cache may answer. The origin's answer comes back as it
//! is.

use bytes::Bytes;
use http::header::VIA;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::SemaphorePermit;

use super::Told;
use super::exchange::{NoAnswer, Question};
use crate::likes::Limits;
use crate::likes::limits::Shed;
use crate::policy::status::{Served, Way};
use crate::serve::edge::Edge;
use crate::serve::edge::metrics::Reason;
use crate::serve::edge::pass::RequestStream;
use crate::serve::edge::routes::Asked;
use crate::serve::edge::upstream::CDN_LOOP;
use crate::serve::likes::answer::Refusal;
use crate::serve::likes::body;
use crate::serve::likes::rates::FORWARDED_FOR;
use crate::serve::listener::Peer;

const SEQUENCE: HeaderName = HeaderName::from_static("like-seq");
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) const TOKEN: HeaderName = HeaderName::from_static("like-token");

impl Asked<'_> {
    /// Sends the request on, in a place among its like, and gives back what the origin says.
    pub(super) async fn forward(
        &self,
        peer: Option<Peer>,
        body: impl RequestStream,
    ) -> Result<Told, Refusal> {
        let (edge, limits) = (self.edge, self.edge.limits());
        let body = body::whole(body, Limits::default().body_bytes_max).await?;
        let method = self.request.method.clone();
        let safe = method.is_safe();
        let client = self.request.headers;
        let question = Question {
            method,
            path: self.path_and_query(),
            headers: headers(client, peer),
            body: Bytes::from(body),
            repeatable: safe || client.contains_key(SEQUENCE) || client.contains_key(KEY),
            reason: Reason::Pass,
        };
        let _place = edge.place_for_like().await?;
        let response = match edge.exchange(&question, limits.likes_wait).await {
            Ok(response) => response,
            Err(NoAnswer::Unknown) if !safe => return Err(Refusal::Unknown),
            Err(_) => return Err(Refusal::Overloaded(Shed::Origin)),
        };
        let status = Some(response.status().as_u16());
        Ok(Told {
            served: Served::Pass,
            way: Way::Bypass { status },
            ttl_s: None,
            response,
        })
    }

    fn path_and_query(&self) -> PathAndQuery {
        let root = PathAndQuery::from_static("/");
        self.uri.path_and_query().cloned().unwrap_or(root)
    }
}

impl Edge {
    /// A place among the likes that are under way, at once or after a bounded wait in a bounded queue.
    async fn place_for_like(&self) -> Result<Places<'_>, Refusal> {
        let full = Refusal::Overloaded(Shed::Edge);
        let queued = self.likes.queue.try_acquire().map_err(|_| full)?;
        let wait = self.limits().origin_queue_wait;
        let place = tokio::time::timeout(wait, self.likes.places.acquire()).await;
        let under_way = place.map_err(|_| full)?.map_err(|_| full)?;
        Ok(Places {
            _under_way: under_way,
            _queued: queued,
        })
    }
}

/// A like's places; dropping them gives them back.
struct Places<'a> {
    _under_way: SemaphorePermit<'a>,
    _queued: SemaphorePermit<'a>,
}

/// The head of what is sent on: identity, token, the caches on the way, and the viewer's address as this edge sees it.
fn headers(client: &HeaderMap, peer: Option<Peer>) -> HeaderMap {
    let forwarded_for = HeaderName::from_static(FORWARDED_FOR);
    let mut headers = HeaderMap::new();
    for name in [SEQUENCE, KEY, TOKEN, VIA, CDN_LOOP, forwarded_for.clone()] {
        for value in client.get_all(&name) {
            headers.append(name.clone(), value.clone());
        }
    }
    if let Some(Peer(address)) = peer {
        let address = HeaderValue::from_str(&address.ip().to_string());
        headers.append(forwarded_for, address.expect("an address is header-safe"));
    }
    headers
}

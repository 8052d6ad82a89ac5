//! What edges forward at once: each operation goes its own way through rates, queue and log, as if its viewer had sent it here,
//! and the answer says what came of each.
//!
//! Only an edge is believed: it says from which address each viewer came. Its batch is no entry of the log. The committer makes
//! batches of its own of what waits, so edges are no writers of the log and cannot use up their number.

use std::net::IpAddr;
use std::pin::pin;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};

use super::answer::{self, Durable, Refusal};
use super::routes::{Pending, Request};
use super::{Node, body};
use crate::likes::batch::Header;
use crate::likes::forward::{self, Forwarded, Said};
use crate::likes::gather::Sent;
use crate::likes::limits::Shed;
use crate::likes::{Action, Change, Operation};

/// Batches that an origin holds at once; the next is shed as `queue-full`.
pub(super) const AT_ONCE_MAX: usize = 64;
/// The methods of their path.
pub(in crate::serve) const METHODS: &str = "POST";

impl Node {
    /// Takes a batch, if an edge has sent it, and waits for what comes of every operation in it.
    pub(super) async fn take_batch<B: Buf>(
        &self,
        request: &Request,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> Response<Bytes> {
        let taken = self.forwarded(request, body).await;
        if let Err(Refusal::Overloaded(why)) = taken {
            self.answers.shed(why);
        }
        taken.unwrap_or_else(|refusal| refusal.answer(&request.method))
    }

    async fn forwarded<B: Buf>(
        &self,
        request: &Request,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> Result<Response<Bytes>, Refusal> {
        if request.method != Method::POST {
            return Err(Refusal::Method(METHODS));
        }
        let edge = request
            .peer
            .and_then(|peer| self.rates.edge(peer, &request.headers))
            .ok_or(Refusal::NoEdge)?;
        let full = Refusal::Overloaded(Shed::QueueFull);
        let _place = self.batches.try_acquire().map_err(|_| full)?;
        let body = body::whole(body, forward::BYTES_MAX).await?;
        let forwarded = Forwarded::decode(&body).map_err(|error| {
            tracing::debug!(%error, %edge, "what an edge has forwarded cannot be read");
            Refusal::Bad("these bytes were forwarded by no edge of this version")
        })?;
        self.answers.batch(forwarded.batch.operations.len());
        let said = self.take(forwarded, edge).await;
        Ok(answered(forward::answer(&said)))
    }

    /// All of them enter the queue, in their order, before the first is waited for.
    async fn take(&self, forwarded: Forwarded, edge: IpAddr) -> Vec<Said> {
        let Forwarded { batch, from } = forwarded;
        let header = batch.header;
        let begun: Vec<_> = batch
            .operations
            .into_iter()
            .zip(from)
            .map(|(operation, from)| {
                let action = action(&operation);
                (action, self.begin_for(operation, header, edge, &from))
            })
            .collect();
        let mut late = pin!(self.late());
        let mut said = Vec::with_capacity(begun.len());
        for (action, pending) in begun {
            let asked = match pending {
                Ok(pending) => pending.outcome(&mut late).await,
                Err(refusal) => Err(refusal),
            };
            self.count(action, &asked);
            if let Err(Refusal::Overloaded(why)) = asked {
                self.answers.shed(why);
            }
            said.push(asked.map_or_else(Refusal::said, Durable::said));
        }
        said
    }

    /// A sum is the edge's own: it has held the viewers' addresses to their rate before it added them up.
    fn begin_for(
        &self,
        operation: Operation,
        header: Header,
        edge: IpAddr,
        from: &str,
    ) -> Result<Pending<'_>, Refusal> {
        if !forward::is_sum(&operation, header) {
            let address = self.rates.address_in(edge, from);
            return self.begin(Sent::Named(operation), Some(address));
        }
        if !(self.on_air)(&operation.channel) {
            return Err(Refusal::UnknownChannel);
        }
        self.push(operation)
    }
}

fn action(operation: &Operation) -> Action {
    match &operation.change {
        Change::Update(update) => update.action,
        // Edges forward none.
        Change::Close | Change::Reopen => Action::Taps(1),
    }
}

fn answered(bytes: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(bytes));
    *response.status_mut() = StatusCode::OK;
    let head = response.headers_mut();
    head.insert(http::header::CACHE_CONTROL, answer::NO_STORE);
    head.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    response
}

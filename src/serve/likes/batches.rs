//! Batches that edges forward: each operation passes rates, queue and log as if its viewer had sent it here. The answer
//! gives the outcome of each operation.
//!
//! Only an edge is trusted to name the address of each viewer. Its batch is not an entry of the log: the committer
//! makes batches of its own from the waiting operations. So edges are not writers of the log, and cannot exhaust the
//! number of writers.

use std::net::IpAddr;
use std::pin::pin;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};

use super::answer::{self, Durable, LikeRefusal};
use super::body;
use super::node::Node;
use super::routes::{Pending, Request};
use crate::likes::batch::Header;
use crate::likes::forward::{self, Forwarded, Said};
use crate::likes::gather::Sent;
use crate::likes::limits::Shed;
use crate::likes::{Action, Change, Operation};

/// Bytes of batches that an origin holds at once, in KiB. A batch that does not fit is shed as `queue-full`.
pub(super) const AT_ONCE_KIB_MAX: usize = 64 << 10;
/// Number of operations that enter the queue before other tasks get their turn on this thread.
const AT_A_STRETCH: usize = 256;
/// The methods of the batch path.
pub(in crate::serve) const METHODS: &str = "POST";

impl Node {
    /// Takes a batch from an edge, and waits for the outcome of every operation in it.
    pub(super) async fn take_batch<B: Buf>(
        &self,
        request: &Request,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> Response<Bytes> {
        let taken = self.forwarded(request, body).await;
        if let Err(LikeRefusal::Overloaded(why)) = taken {
            self.answers.shed(why);
        }
        taken.unwrap_or_else(|refusal| refusal.answer(&request.method))
    }

    async fn forwarded<B: Buf>(
        &self,
        request: &Request,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> Result<Response<Bytes>, LikeRefusal> {
        if request.method != Method::POST {
            return Err(LikeRefusal::Method(METHODS));
        }
        let edge = request
            .peer
            .and_then(|peer| self.rates.edge(peer, &request.headers))
            .ok_or(LikeRefusal::NoEdge)?;
        let full = LikeRefusal::Overloaded(Shed::QueueFull);
        let bytes_max = announced(request).min(forward::BYTES_MAX);
        let kib = bytes_max.div_ceil(1 << 10) as u32;
        let _place = self.batches.try_acquire_many(kib).map_err(|_| full)?;
        let body = body::whole(body, bytes_max).await?;
        let forwarded = Forwarded::decode(&body).map_err(|error| {
            tracing::debug!(%error, %edge, "what an edge has forwarded cannot be read");
            LikeRefusal::Bad("these bytes were forwarded by no edge of this version")
        })?;
        self.answers.batch(forwarded.batch.operations.len());
        let said = self.take(forwarded, edge).await;
        Ok(answered(forward::answer(&said)))
    }

    /// All operations enter the queue, in their order, before the task waits for the first of them.
    async fn take(&self, forwarded: Forwarded, edge: IpAddr) -> Vec<Said> {
        let Forwarded { batch, from } = forwarded;
        let header = batch.header;
        let mut begun = Vec::with_capacity(from.len());
        for (operation, from) in batch.operations.into_iter().zip(from) {
            let action = action(&operation);
            begun.push((action, self.begin_for(operation, header, edge, &from)));
            if begun.len().is_multiple_of(AT_A_STRETCH) {
                tokio::task::yield_now().await;
            }
        }
        let mut late = pin!(self.late());
        let mut said = Vec::with_capacity(begun.len());
        for (action, pending) in begun {
            let asked = match pending {
                Ok(pending) => pending.outcome(&mut late).await,
                Err(refusal) => Err(refusal),
            };
            self.count(action, &asked);
            if let Err(LikeRefusal::Overloaded(why)) = asked {
                self.answers.shed(why);
            }
            said.push(asked.map_or_else(LikeRefusal::said, Durable::said));
        }
        said
    }

    /// A sum is the edge's own operation: the edge has applied the rate limit of the viewers' addresses before it added
    /// them up.
    fn begin_for(
        &self,
        operation: Operation,
        header: Header,
        edge: IpAddr,
        from: &str,
    ) -> Result<Pending<'_>, LikeRefusal> {
        if !forward::is_sum(&operation, header) {
            let address = self.rates.address_in(edge, from);
            return self.begin(Sent::Named(operation), Some(address));
        }
        if !(self.on_air)(&operation.channel) {
            return Err(LikeRefusal::UnknownChannel);
        }
        self.push(operation)
    }
}

/// The body length that a request announces. Without one, the maximum.
fn announced(request: &Request) -> usize {
    let length = request.headers.get(CONTENT_LENGTH);
    length
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .unwrap_or(forward::BYTES_MAX)
}

fn action(operation: &Operation) -> Action {
    match &operation.change {
        Change::Update(update) => update.action,
        // Edges never forward these.
        Change::Close | Change::Reopen => Action::Hearts(1),
    }
}

fn answered(bytes: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(bytes));
    *response.status_mut() = StatusCode::OK;
    let head = response.headers_mut();
    head.insert(CACHE_CONTROL, answer::NO_STORE);
    head.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    response
}

//! The routes of likes, from the head of a request to its answer. Every path of likes is answered here.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use bytes::{Buf, Bytes};
use futures_util::Stream;
use http::{HeaderMap, Method, Response};
use tokio::sync::oneshot;
use warp::{Filter, Reply};

use super::answer::{self, Durable, LikeRefusal, Read};
use super::figures::Result as Answered;
use super::node::{Handle, Node};
use super::queue::Told;
use super::request::{ReaderPermit, header};
use super::{body, stream, update};
use crate::likes::gather::Sent;
use crate::likes::limits::Shed;
use crate::likes::names::{BATCH, LikePath, What, in_query};
use crate::likes::{Action, Change, Consistency, Counts, Effect, Identity, Operation, Token};
use crate::serve::http::listener::Peer;

/// A request without its body.
pub(super) struct Request {
    pub(super) method: Method,
    path: String,
    query: String,
    pub(super) headers: HeaderMap,
    pub(super) peer: Option<IpAddr>,
}

/// Answers paths of likes, and rejects every other path.
pub(super) fn routes(
    node: Option<Arc<Node>>,
) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection>
+ Clone
+ Send
+ Sync
+ 'static {
    let path = warp::method().and(warp::path::full());
    let ours = path.and_then(move |method, path: warp::path::FullPath| {
        let is_ours = path.as_str() == BATCH || LikePath::asked(&method, path.as_str()).is_some();
        let node = node.clone().filter(|_| is_ours);
        async move {
            node.map(|node| (node, path))
                .ok_or_else(warp::reject::not_found)
        }
    });
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    ours.and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::stream())
        .then(
            |(node, path): (Arc<Node>, warp::path::FullPath),
             method,
             query,
             headers,
             peer: Option<Peer>,
             body| {
                let request = Request {
                    method,
                    path: path.as_str().to_owned(),
                    query,
                    headers,
                    peer: peer.map(|peer| peer.0.ip()),
                };
                node.serve(request, body)
            },
        )
}

/// Closes and reopens channels.
pub(super) fn admin_routes(
    node: Option<Arc<Node>>,
) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection>
+ Clone
+ Send
+ Sync
+ 'static {
    let close = warp::path!("-" / "likes" / "close").map(|| Change::Close);
    let reopen = warp::path!("-" / "likes" / "reopen").map(|| Change::Reopen);
    let there = warp::any().and_then(move || {
        let node = node.clone();
        async move { node.ok_or_else(warp::reject::not_found) }
    });
    warp::post()
        .and(close.or(reopen).unify())
        .and(there)
        .and(warp::query::raw())
        .and(warp::header::headers_cloned())
        .then(
            async |change, node: Arc<Node>, query: String, headers: HeaderMap| {
                let turned = node.turn(change, &query, &headers).await;
                turned
                    .unwrap_or_else(|refusal| refusal.answer(&Method::POST))
                    .into_response()
            },
        )
}

impl Node {
    async fn serve<B: Buf>(
        self: Arc<Self>,
        request: Request,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> warp::reply::Response {
        let Request {
            method,
            path,
            query,
            headers,
            ..
        } = &request;
        if path == BATCH {
            return self.take_batch(&request, body).await.into_response();
        }
        let path = LikePath::parse(path).expect("other paths were rejected");
        let channel = path.channel;
        let allowed = path.what.methods();
        if method == Method::OPTIONS {
            return answer::preflight(allowed).into_response();
        }
        let answered = match (path.what, method) {
            (What::Like { .. }, &Method::PUT | &Method::DELETE)
            | (What::Reactions, &Method::POST) => self.update(&request, path, body).await,
            (What::Counts, &Method::GET | &Method::HEAD) => {
                self.read(method, channel, query, headers).await
            }
            (What::Stream, &Method::GET) => match self.listen(channel) {
                Ok(stream) => return stream,
                Err(refusal) => Err(refusal),
            },
            _ => Err(LikeRefusal::Method(allowed)),
        };
        if let Err(LikeRefusal::Overloaded(why)) = answered {
            self.answers.shed(why);
        }
        answered
            .unwrap_or_else(|refusal| refusal.answer(method))
            .into_response()
    }

    /// Applies a viewer's update, and waits for its outcome.
    async fn update<B: Buf>(
        &self,
        request: &Request,
        path: LikePath<'_>,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> Result<Response<Bytes>, LikeRefusal> {
        let action = match (path.what, &request.method) {
            (What::Like { .. }, &Method::PUT) => Action::Like,
            (What::Like { .. }, _) => Action::Unlike,
            _ => Action::Hearts(1),
        };
        let asked = async {
            let body = body::whole(body, self.limits.body_bytes_max).await?;
            let sent = update::read(path, &request.method, &request.headers, &body)?;
            let address = request
                .peer
                .map(|peer| self.rates.address(peer, &request.headers));
            self.begin(sent, address)?.outcome(self.late()).await
        };
        let asked = asked.await;
        self.count(action, &asked);
        asked.map(Durable::answer)
    }

    /// Puts a viewer's request from this address into the queue of its shard.
    pub(super) fn begin(
        &self,
        sent: Sent,
        address: Option<IpAddr>,
    ) -> Result<Pending<'_>, LikeRefusal> {
        if !(self.on_air)(sent.channel()) {
            return Err(LikeRefusal::UnknownChannel);
        }
        let viewer = match &sent {
            Sent::Named(operation) => operation.viewer(),
            Sent::Nameless { .. } => None,
        };
        if !self.rates.admit(viewer, address) {
            return Err(LikeRefusal::Limited);
        }
        match sent {
            Sent::Named(operation) => self.push(operation),
            Sent::Nameless { channel, hearts } => {
                let mut number = self.nameless.lock().unwrap_or_else(PoisonError::into_inner);
                // Numbers enter the queue in order, so that none is too old when it is counted.
                *number += 1;
                let (identity, action) = (Identity::Sequence(*number), Action::Hearts(hearts));
                self.push(Operation::update(channel, &self.name, identity, action))
            }
        }
    }

    /// Puts an operation into the queue of its shard.
    pub(super) fn push(&self, operation: Operation) -> Result<Pending<'_>, LikeRefusal> {
        let shard = self.shard(&operation.channel);
        let told = shard
            .queue
            .push(operation, self.clock.now())
            .map_err(LikeRefusal::Overloaded)?;
        Ok(Pending { shard, told })
    }

    /// The deadline for an operation to become durable.
    pub(super) fn late(&self) -> tokio::time::Sleep {
        tokio::time::sleep(self.limits.append_wait)
    }

    /// Counts the outcome of an operation.
    pub(super) fn count(&self, action: Action, asked: &Result<Durable, LikeRefusal>) {
        let result = match asked {
            Ok(durable) if durable.duplicate => Answered::Duplicate,
            Ok(_) => Answered::Counted,
            Err(LikeRefusal::Conflict) => Answered::Conflict,
            Err(LikeRefusal::TooOld) => Answered::TooOld,
            Err(LikeRefusal::Closed) => Answered::Closed,
            Err(LikeRefusal::Limited) => Answered::Limited,
            Err(LikeRefusal::Unknown) => Answered::Unknown,
            Err(LikeRefusal::Overloaded(_)) => Answered::Overloaded,
            Err(_) => Answered::Invalid,
        };
        self.answers.answered(action, result);
    }

    async fn read(
        &self,
        method: &Method,
        channel: &str,
        query: &str,
        headers: &HeaderMap,
    ) -> Result<Response<Bytes>, LikeRefusal> {
        let token = header(headers, "like-token")?;
        let consistency = Consistency::asked(in_query(query, "consistency"), token);
        let consistency = consistency.map_err(|error| match error {
            crate::likes::consistency::ConsistencyError::Token => {
                LikeRefusal::Bad("Like-Token is no token: send one as it was given")
            }
            crate::likes::consistency::ConsistencyError::Word => {
                LikeRefusal::Bad("consistency is `eventual` or `strong`")
            }
        })?;
        let shard = self.readable(channel)?;
        if let Some(sequence) = in_query(query, "newer_than") {
            let sequence = sequence
                .parse()
                .map_err(|_| LikeRefusal::Bad("newer_than is the `seq` of counts"))?;
            if consistency != Consistency::Eventual {
                return Err(LikeRefusal::Bad(
                    "newer_than waits for a change: ask without consistency and Like-Token",
                ));
            }
            return self.newer(method, channel, shard, sequence).await;
        }
        let word = match consistency {
            Consistency::Eventual => "eventual",
            Consistency::AtLeast(token) => {
                shard.reach(token)?;
                "at-least"
            }
            Consistency::Strong => {
                let _waiting = self.waiting()?;
                let barrier = shard.queue.barrier().map_err(LikeRefusal::Overloaded)?;
                let passed = tokio::time::timeout(self.limits.append_wait, barrier).await;
                if !matches!(passed, Ok(Ok(()))) {
                    return Err(LikeRefusal::Overloaded(Shed::Down));
                }
                "strong"
            }
        };
        let counts = shard.board.counts(channel);
        Ok(self.shown(channel, shard, counts, word).answer(method))
    }

    /// Waits until the counts are newer than `sequence`, for a bounded time.
    async fn newer(
        &self,
        method: &Method,
        channel: &str,
        shard: &Handle,
        sequence: u64,
    ) -> Result<Response<Bytes>, LikeRefusal> {
        let _waiting = self.waiting()?;
        let mut counts = shard.board.watch(channel);
        let changed = counts.wait_for(|counts| counts.seq > sequence);
        let newer = tokio::select! {
            changed = changed => changed.map(|counts| *counts).ok(),
            () = tokio::time::sleep(self.limits.read_wait) => None,
            () = self.closing.cancelled() => None,
        };
        Ok(match newer {
            Some(counts) => self
                .shown(channel, shard, counts, "eventual")
                .answer(method),
            None => answer::nothing_newer(),
        })
    }

    fn listen(self: &Arc<Self>, channel: &str) -> Result<warp::reply::Response, LikeRefusal> {
        let shard = self.readable(channel)?;
        let place = self.waiting()?;
        let counts = shard.board.watch(channel);
        Ok(stream::events(self.clone(), channel, counts, place))
    }

    async fn turn(
        &self,
        change: Change,
        query: &str,
        headers: &HeaderMap,
    ) -> Result<Response<Bytes>, LikeRefusal> {
        let admitted = self
            .operator
            .as_ref()
            .is_some_and(|token| token.admits(headers));
        if !admitted {
            return Err(LikeRefusal::Token);
        }
        let channel = in_query(query, "channel").ok_or(LikeRefusal::Bad("name a ?channel="))?;
        self.readable(channel)?;
        let operation = Operation {
            channel: channel.into(),
            change,
        };
        let pending = self.push(operation)?;
        pending.outcome(self.late()).await.map(Durable::answer)
    }

    /// The shard of a channel that may be read: the channel is on air, or has had an operation.
    fn readable(&self, channel: &str) -> Result<&Handle, LikeRefusal> {
        let shard = self.shard(channel);
        if (self.on_air)(channel) || shard.board.knows(channel) {
            Ok(shard)
        } else {
            Err(LikeRefusal::UnknownChannel)
        }
    }

    /// A permit for a waiting reader.
    fn waiting(&self) -> Result<ReaderPermit, LikeRefusal> {
        let permit = self.readers.clone().try_acquire_owned();
        let permit = permit.map_err(|_| LikeRefusal::Overloaded(Shed::Readers))?;
        let gauge = self.answers.readers.clone();
        gauge.inc();
        Ok(ReaderPermit {
            _permit: permit,
            gauge,
        })
    }

    pub(super) fn shown<'a>(
        &self,
        channel: &'a str,
        shard: &Handle,
        counts: Counts,
        consistency: &'static str,
    ) -> Read<'a> {
        Read {
            channel,
            likes: counts.likes,
            hearts: counts.hearts,
            seq: counts.seq,
            as_of: self.clock.unix().as_millis(),
            token: shard.token(counts.seq).to_string(),
            consistency,
        }
    }
}

/// An operation in a queue.
pub(super) struct Pending<'a> {
    shard: &'a Handle,
    told: oneshot::Receiver<Told>,
}

impl Pending<'_> {
    /// Waits for the outcome. When `late` ends first, the outcome is unknown.
    pub(super) async fn outcome(
        self,
        late: impl Future<Output = ()>,
    ) -> Result<Durable, LikeRefusal> {
        let told = tokio::select! {
            biased;
            told = self.told => told,
            () = late => return Err(LikeRefusal::Unknown),
        };
        let outcome = match told {
            Ok(Told::Durable(outcome)) => outcome,
            Ok(Told::Shed(why)) => return Err(LikeRefusal::Overloaded(why)),
            Err(_) => return Err(LikeRefusal::Unknown),
        };
        match outcome.effect {
            Effect::Counted | Effect::Duplicate => Ok(Durable {
                token: self.shard.token(outcome.sequence),
                duplicate: outcome.effect == Effect::Duplicate,
                on_disk: self.shard.on_disk,
            }),
            Effect::Conflict => Err(LikeRefusal::Conflict),
            Effect::TooOld => Err(LikeRefusal::TooOld),
            Effect::Closed => Err(LikeRefusal::Closed),
            Effect::Full => Err(LikeRefusal::Overloaded(Shed::Viewers)),
        }
    }
}

impl Handle {
    fn token(&self, sequence: u64) -> Token {
        Token {
            log: self.log,
            sequence,
        }
    }

    /// Checks that everything up to a token has been counted here.
    fn reach(&self, token: Token) -> Result<(), LikeRefusal> {
        if token.log != self.log {
            return Err(LikeRefusal::Bad(
                "Like-Token was given for another channel, or before the likes were begun anew",
            ));
        }
        if self.board.sequence() < token.sequence {
            return Err(LikeRefusal::NotCaughtUp);
        }
        Ok(())
    }
}

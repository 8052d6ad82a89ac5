//! Likes of many viewers as one request: what comes while a batch is under way gathers into the next.
//!
//! ```text
//! viewer ─▶ lane of its channel: gathering ─▶ one batch under way ─▶ POST /-/likes/batch ─▶ origin
//! viewer ◀──────────── what the origin says of that viewer's own operation ◀──────────────────┘
//! ```
//! Nobody lingers: a lane that is idle sends at once. It has one batch under way, so two operations of a viewer cannot overtake
//! each other, and a batch that breaks off is sent once more as it was. An upstream that does not take batches gets likes
//! one by one for a while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::exchange::{NoAnswer, Question, Reply};
use crate::likes::batch::Header;
use crate::likes::forward::{self, Said};
use crate::likes::gather::{Gathering, Part, Sent, Taken};
use crate::likes::names::BATCH;
use crate::policy::flight::Reason;
use crate::serve::chance;
use crate::serve::clock::Clock;
use crate::serve::edge::Edge;
use crate::time::Timestamp;

/// Batches that may be under way at once, each of other channels: one that is slow holds up no more than its share.
const LANES: usize = 4;
/// For how long likes go one by one to an upstream that has not taken a batch.
const ALONE_FOR: Duration = Duration::from_secs(30);

/// What gathers at an edge.
#[derive(Debug)]
pub(super) struct Batches {
    lanes: [Mutex<Lane>; LANES],
    /// Drawn at each start, together with when that was: no two lives of an edge are taken for one.
    writer: u64,
    epoch: u64,
    number: AtomicU64,
    alone_until: Mutex<Timestamp>,
}

#[derive(Debug, Default)]
struct Lane {
    gathering: Gathering<Ticket>,
    under_way: bool,
}

/// Who waits for an answer, and its place.
#[derive(Debug)]
struct Ticket {
    tell: oneshot::Sender<Heard>,
    place: OwnedSemaphorePermit,
}

/// What a viewer's like has come to.
#[derive(Debug)]
pub(super) enum Heard {
    /// The origin says this of it.
    Said(Said),
    /// Whoever is upstream has refused all of the batch so.
    Refused(Response<Bytes>),
    /// Batches are not taken there, and nothing of it has counted: it goes on by itself, in the place that it has.
    Alone(OwnedSemaphorePermit),
    /// Nobody has answered.
    Nothing(NoAnswer),
}

/// A like that waits; it cannot be lost, and is withdrawn if it has not left in time.
pub(super) struct Waiting {
    lane: usize,
    number: u64,
    heard: oneshot::Receiver<Heard>,
}

impl Batches {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            lanes: Default::default(),
            writer: chance::draw(),
            epoch: clock.unix().as_millis().max(1),
            number: AtomicU64::new(0),
            alone_until: Mutex::new(Timestamp::ZERO),
        }
    }

    /// Whether batches are taken upstream, as far as anybody knows.
    pub(super) fn are_taken(&self, now: Timestamp) -> bool {
        now >= *lock(&self.alone_until)
    }

    /// The next batch of a lane; with the last one the lane is idle.
    fn take(&self, lane: usize) -> Option<Taken<Ticket>> {
        let mut lane = lock(&self.lanes[lane]);
        let header = Header {
            writer: self.writer,
            epoch: self.epoch,
            number: self.number.fetch_add(1, Ordering::Relaxed) + 1,
        };
        let taken = lane.gathering.take(header);
        lane.under_way = taken.is_some();
        taken
    }
}

impl Edge {
    /// Puts a like behind those that gather, and sees to it that they leave. A task of the edge's own carries them; it ends
    /// when nothing gathers any more.
    pub(super) fn gather(
        self: &Arc<Self>,
        sent: Sent,
        from: &str,
        place: OwnedSemaphorePermit,
    ) -> Waiting {
        let batches = &self.likes.batches;
        let index = crc32c::crc32c(sent.channel().as_bytes()) as usize % LANES;
        let (tell, heard) = oneshot::channel();
        let (number, begins) = {
            let mut lane = lock(&batches.lanes[index]);
            let number = lane.gathering.push(sent, from, Ticket { tell, place });
            (number, !std::mem::replace(&mut lane.under_way, true))
        };
        if begins {
            let carrying = Carrying {
                edge: self.clone(),
                lane: index,
                ended: false,
            };
            self.tasks.spawn(carrying.run());
        }
        Waiting {
            lane: index,
            number,
            heard,
        }
    }

    /// What comes of a like that gathers; `None` if it has not left in time, so that it has no effect.
    pub(super) async fn outcome(&self, mut waiting: Waiting) -> Option<Heard> {
        let wait = self.limits().origin_queue_wait;
        let heard = match tokio::time::timeout(wait, &mut waiting.heard).await {
            Ok(heard) => heard,
            Err(_) => {
                let lane = &self.likes.batches.lanes[waiting.lane];
                if lock(lane).gathering.withdraw(waiting.number).is_some() {
                    return None;
                }
                // It has left: the batch ends by its own limits.
                waiting.heard.await
            }
        };
        Some(heard.unwrap_or(Heard::Nothing(NoAnswer::Unknown)))
    }

    /// Sends a batch, and says what comes of it.
    async fn carry(&self, bytes: Vec<u8>, operations: usize) -> Carried {
        self.metrics.like_batch(operations);
        let mut headers = HeaderMap::new();
        let plain_bytes = HeaderValue::from_static("application/octet-stream");
        headers.insert(CONTENT_TYPE, plain_bytes);
        let question = Question {
            method: Method::POST,
            path: PathAndQuery::from_static(BATCH),
            headers,
            body: Bytes::from(bytes),
            repeatable: true,
            answer_bytes_max: forward::ANSWER_BYTES_MAX,
            reason: Reason::Pass,
        };
        let wait = self.limits().likes_wait;
        match self.exchange(&question, wait).await {
            Ok(Reply { response, again }) => match self.read(response, operations) {
                Carried::Said(mut said) if again => {
                    said.iter_mut().for_each(in_doubt);
                    Carried::Said(said)
                }
                Carried::Refused(_) | Carried::Alone if again => {
                    Carried::Nothing(NoAnswer::Unknown)
                }
                carried => carried,
            },
            Err(none) => Carried::Nothing(none),
        }
    }

    fn read(&self, response: Response<Bytes>, operations: usize) -> Carried {
        let status = response.status();
        if status == StatusCode::OK {
            return match forward::read_answer(response.body(), operations) {
                Ok(said) => Carried::Said(said),
                Err(error) => {
                    tracing::warn!(edge = self.name, %error, "what was said of likes cannot be read");
                    Carried::Nothing(NoAnswer::Unknown)
                }
            };
        }
        // Any other refusal would have met each like by itself.
        let refuses_batches = status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
        if !refuses_batches {
            return Carried::Refused(response);
        }
        let now = self.clock.now();
        *lock(&self.likes.batches.alone_until) = now + ALONE_FOR;
        tracing::warn!(
            edge = self.name,
            status = status.as_u16(),
            "no batches of likes are taken at {}, so they go one by one: {}",
            self.upstreams(),
            match status {
                StatusCode::FORBIDDEN =>
                    "if this edge is on another machine, name its address in `likes.edges` there",
                _ => "it may be of an older version",
            }
        );
        Carried::Alone
    }
}

/// What a batch has come to.
enum Carried {
    Said(Vec<Said>),
    Refused(Response<Bytes>),
    Alone,
    Nothing(NoAnswer),
}

/// A lane whose batches are under way. If that breaks off, whoever comes next begins again.
struct Carrying {
    edge: Arc<Edge>,
    lane: usize,
    ended: bool,
}

impl Carrying {
    async fn run(mut self) {
        while let Some(taken) = self.edge.likes.batches.take(self.lane) {
            let Taken { bytes, tickets } = taken;
            let carried = self.edge.carry(bytes, tickets.len()).await;
            tell(tickets, carried);
        }
        // Whoever found the lane idle since then has begun anew.
        self.ended = true;
    }
}

impl Drop for Carrying {
    fn drop(&mut self) {
        if !self.ended {
            lock(&self.edge.likes.batches.lanes[self.lane]).under_way = false;
        }
    }
}

/// Tells everybody what has come of its own part.
fn tell(parts: Vec<Part<Ticket>>, carried: Carried) {
    let mut said = match &carried {
        Carried::Said(said) => said.iter().copied(),
        _ => [].iter().copied(),
    };
    for part in parts {
        let own = said.next();
        let (tickets, own) = match part {
            Part::Named(ticket) => (vec![ticket], own),
            Part::Sum(tickets) => (tickets, own.map(of_sum)),
        };
        for Ticket { tell, place } in tickets {
            let heard = match (&carried, own) {
                (_, Some(said)) => Heard::Said(said),
                (Carried::Refused(response), None) => Heard::Refused(response.clone()),
                (Carried::Alone, None) => Heard::Alone(place),
                (Carried::Nothing(none), None) => Heard::Nothing(*none),
                (Carried::Said(_), None) => Heard::Nothing(NoAnswer::Unknown),
            };
            // Who has left hears nothing.
            let _ = tell.send(heard);
        }
    }
}

/// What was refused without effect the second time may have counted the first time.
fn in_doubt(said: &mut Said) {
    match said {
        Said::Limited | Said::Overloaded(_) | Said::UnknownChannel => *said = Said::Unknown,
        Said::Durable { .. } | Said::Conflict | Said::TooOld | Said::Closed | Said::Unknown => {}
    }
}

/// A sum that had been counted when it came again counts for all whose hearts are in it: they have sent them once.
fn of_sum(said: Said) -> Said {
    match said {
        Said::Durable { token, on_disk, .. } => Said::Durable {
            token,
            duplicate: false,
            on_disk,
        },
        refused => refused,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

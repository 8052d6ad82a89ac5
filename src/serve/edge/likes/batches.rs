//! Likes of many viewers in one request: likes that come while a batch is under way gather into the next batch.
//!
//! ```text
//! viewer ─▶ lane of its channel: gathering ─▶ one batch under way ─▶ POST /-/likes/batch ─▶ origin
//! viewer ◀──────────── what the origin says of that viewer's own operation ◀──────────────────┘
//! ```
//! An idle lane sends at once and does not linger. A lane has one batch under way, so two operations of a viewer cannot
//! overtake each other. A batch that breaks off is sent once more, unchanged. An upstream that does not take batches
//! gets likes one by one for a while.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::exchange::{self, Question, Reply};
use super::lanes::{ALONE_FOR, Heard, LANES, Ticket, Waiting, lock};
use super::told::NoAnswer;
use crate::likes::forward::{self, Said};
use crate::likes::gather::{Part, Sent, Taken};
use crate::likes::names::BATCH;
use crate::policy::flight::Reason;
use crate::serve::edge::node::Edge;

/// Adds a like to those that gather, and makes sure that they leave. A task of the edge's own carries them; it ends
/// when no like gathers any longer.
pub(super) fn gather(
    edge: &Arc<Edge>,
    sent: Sent,
    from: &str,
    place: OwnedSemaphorePermit,
) -> Waiting {
    let batches = &edge.likes.batches;
    let index = crc32c::crc32c(sent.channel().as_bytes()) as usize % LANES;
    let (tell, heard) = oneshot::channel();
    let (number, begins) = {
        let mut lane = lock(&batches.lanes[index]);
        let number = lane.gathering.push(sent, from, Ticket { tell, place });
        (number, !std::mem::replace(&mut lane.under_way, true))
    };
    if begins {
        let carrying = Carrying {
            edge: edge.clone(),
            lane: index,
            ended: false,
        };
        edge.tasks.spawn(carrying.run());
    }
    Waiting {
        lane: index,
        number,
        heard,
    }
}

/// The outcome of a like that gathers; `None` if the like did not leave in time, so that it has no effect.
pub(super) async fn outcome(edge: &Edge, mut waiting: Waiting) -> Option<Heard> {
    let wait = edge.limits().origin_queue_wait;
    let heard = match tokio::time::timeout(wait, &mut waiting.heard).await {
        Ok(heard) => heard,
        Err(_) => {
            let lane = &edge.likes.batches.lanes[waiting.lane];
            if lock(lane).gathering.withdraw(waiting.number).is_some() {
                return None;
            }
            // The like has left: its batch ends by its own limits.
            waiting.heard.await
        }
    };
    Some(heard.unwrap_or(Heard::Nothing(NoAnswer::Unknown)))
}

/// Sends a batch, and returns its outcome.
async fn carry(edge: &Edge, bytes: Vec<u8>, operations: usize) -> Carried {
    edge.metrics.like_batch(operations);
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
    let wait = edge.limits().likes_wait;
    match exchange::exchange(edge, &question, wait).await {
        Ok(Reply { response, again }) => match read(edge, response, operations) {
            Carried::Said(mut said) if again => {
                said.iter_mut().for_each(in_doubt);
                Carried::Said(said)
            }
            Carried::Refused(_) | Carried::Alone if again => Carried::Nothing(NoAnswer::Unknown),
            carried => carried,
        },
        Err(none) => Carried::Nothing(none),
    }
}

fn read(edge: &Edge, response: Response<Bytes>, operations: usize) -> Carried {
    let status = response.status();
    if status == StatusCode::OK {
        return match forward::read_answer(response.body(), operations) {
            Ok(said) => Carried::Said(said),
            Err(error) => {
                tracing::warn!(edge = edge.name, %error, "what was said of likes cannot be read");
                Carried::Nothing(NoAnswer::Unknown)
            }
        };
    }
    // The upstream would refuse each like by itself with any other refusal.
    let refuses_batches = status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
    if !refuses_batches {
        return Carried::Refused(response);
    }
    let now = edge.clock.now();
    *lock(&edge.likes.batches.alone_until) = now + ALONE_FOR;
    tracing::warn!(
        edge = edge.name,
        status = status.as_u16(),
        "no batches of likes are taken at {}, so they go one by one: {}",
        edge.upstreams(),
        match status {
            StatusCode::FORBIDDEN =>
                "if this edge is on another machine, name its address in `likes.edges` there",
            _ => "it may be of an older version",
        }
    );
    Carried::Alone
}

/// The outcome of a batch.
enum Carried {
    Said(Vec<Said>),
    Refused(Response<Bytes>),
    Alone,
    Nothing(NoAnswer),
}

/// A lane whose batches are under way. If its task breaks off, the next like starts a new one.
struct Carrying {
    edge: Arc<Edge>,
    lane: usize,
    ended: bool,
}

impl Carrying {
    async fn run(mut self) {
        while let Some(taken) = self.edge.likes.batches.take(self.lane) {
            let Taken { bytes, tickets } = taken;
            let carried = carry(&self.edge, bytes, tickets.len()).await;
            tell(tickets, carried);
        }
        // A like that has found the lane idle since then has started a task of its own.
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

/// Tells each waiting request the outcome of its own like.
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
            // A request that has left hears nothing.
            let _ = tell.send(heard);
        }
    }
}

/// An operation that was refused without effect the second time may have counted the first time.
fn in_doubt(said: &mut Said) {
    match said {
        Said::Limited | Said::Overloaded(_) | Said::UnknownChannel => *said = Said::Unknown,
        Said::Durable { .. } | Said::Conflict | Said::TooOld | Said::Closed | Said::Unknown => {}
    }
}

/// A sum that is a duplicate counts for all its hearts, because each viewer has sent them once.
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

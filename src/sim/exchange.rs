//! What viewers and caches say to each other in virtual time: who asks, what is answered, who waits.

use std::time::Duration;

use super::key::Key;
use super::node::FlightId;
use crate::policy::key::Kind;
use crate::policy::status::FetchError;
use crate::report::record::{self, Outcome, ResultWord};
use crate::time::Timestamp;

/// Viewers that ask for the same object one after another, evenly until an instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    pub(super) node: u32,
    pub(super) key: Key,
    pub(super) count: u32,
    pub(super) until: Timestamp,
}

/// Who asks a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A viewer with a player, by a request of this number.
    Viewer(VisitorId, u32),
    /// One of the viewers that follow a player.
    Crowd,
    /// A cache, by an attempt of a flight.
    Flight(FlightId, u32),
}

/// What a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The object. `last`: the newest segment that the playlist lists.
    Whole { last: u64, age: Duration },
    /// A status other than 200, and when to come back.
    Status(u16, Option<Duration>),
    /// No answer.
    None(FetchError),
}

/// What a request gets, and the word for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    pub(super) word: ResultWord,
    pub(super) answer: Answer,
    /// When the head of the answer came.
    pub(super) first_byte: Timestamp,
}

/// A request that waits for a flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) asker: Asker,
    pub(super) word: ResultWord,
    pub(super) until: Timestamp,
    /// When it began to wait.
    pub(super) since: Timestamp,
}

/// Viewers that ask while a flight is under way, evenly from one instant until another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trail {
    pub(super) count: u32,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    pub(super) word: ResultWord,
}

/// A visit under way: its place, and a number that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VisitorId {
    pub(super) place: u32,
    pub(super) serial: u32,
}

/// How an answer ends for the viewer.
pub(super) fn outcome_of(answer: Answer) -> Outcome {
    match answer {
        Answer::Whole { .. } => Outcome::Ok,
        Answer::Status(..) => Outcome::Status,
        Answer::None(FetchError::Connect) => Outcome::Refused,
        Answer::None(FetchError::TotalTimeout) => Outcome::Timeout,
        Answer::None(_) => Outcome::Reset,
    }
}

/// The status of an answer; 0 without one.
pub(super) fn status_of(answer: Answer) -> u16 {
    match answer {
        Answer::Whole { .. } => 200,
        Answer::Status(status, _) => status,
        Answer::None(_) => 0,
    }
}

/// The kind of a key, as reports name it.
pub(super) fn kind_of(key: Key) -> record::Kind {
    match key.kind() {
        Kind::Multivariant => record::Kind::Multivariant,
        Kind::MediaPlaylist => record::Kind::MediaPlaylist,
        Kind::Segment => record::Kind::Segment,
        Kind::Other => record::Kind::Steering,
    }
}

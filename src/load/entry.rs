//! A line of the log. It is written when it is dropped, so a request that is cut off in the middle is logged too.

use super::client::Trace;
use super::log::Log;
use crate::report::record::{Object, Outcome, Request};
use crate::serve::clock::Clock;
use crate::time::Timestamp;

/// A request that is under way.
pub(super) struct Entry<'a> {
    pub(super) log: &'a Log,
    pub(super) clock: Clock,
    pub(super) viewer: u32,
    pub(super) edge: u32,
    pub(super) object: Object,
    pub(super) due: Timestamp,
    pub(super) began: Timestamp,
    pub(super) trace: Trace,
    pub(super) outcome: Outcome,
}

impl Entry<'_> {
    /// The request has ended.
    pub(super) fn ends<T>(&mut self, ended: &Result<T, Outcome>) {
        self.outcome = match ended {
            Ok(_) => Outcome::Ok,
            // No byte of the request had been sent.
            Err(Outcome::Reset) if self.trace.sent.is_none() => Outcome::Refused,
            Err(outcome) => *outcome,
        };
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.log.push(Request {
            viewer: self.viewer,
            edge: self.edge,
            object: self.object,
            due: self.due,
            sent: self.trace.sent.unwrap_or(self.began),
            first_byte: self.trace.first_byte,
            finished: self.clock.now(),
            status: self.trace.status,
            word: self.trace.word,
            bytes: self.trace.bytes,
            outcome: match (self.outcome, self.trace.sent) {
                // No byte of the request had been sent.
                (Outcome::Timeout, None) => Outcome::Refused,
                (outcome, _) => outcome,
            },
        });
    }
}

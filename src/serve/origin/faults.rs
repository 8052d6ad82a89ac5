//! Injected faults: what the origin does wrong on command, so that the caches in front of it can be tested.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::policy::key::Kind;

/// The fault of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFault {
    /// The connection closes without an answer, as if the process had died.
    Stopped,
    /// 503, with Retry-After.
    Unavailable,
    /// The head announces the whole body, half of the body is sent, and the connection closes.
    Truncated,
    /// No answer ever comes.
    Hangs,
    /// The answer is delayed by this time.
    Slow(Duration),
}

/// The faults of one origin; copies share them. Requests still count as hits, because they reached the origin.
#[derive(Clone, Debug, Default)]
pub struct OriginFaults {
    active: Arc<Mutex<Option<Active>>>,
}

#[derive(Clone, Copy, Debug)]
struct Active {
    fault: AnswerFault,
    kind: Option<Kind>,
    /// Number of answers still to fail; `None` means all.
    left: Option<u64>,
    /// Percentage of answers that fail.
    percent: f64,
    /// Accumulated percentage: each answer adds `percent`, and at 100 one answer fails.
    owed: f64,
}

impl Active {
    /// A fault for every answer.
    fn all(fault: AnswerFault) -> Self {
        Self {
            fault,
            kind: None,
            left: None,
            percent: 100.0,
            owed: 0.0,
        }
    }
}

impl OriginFaults {
    /// Every answer fails from now on.
    pub fn begin(&self, fault: AnswerFault) {
        self.set(Some(Active::all(fault)));
    }

    /// This percentage of answers fails from now on, spread evenly.
    pub fn begin_for_some(&self, percent: f64, fault: AnswerFault) {
        self.set(Some(Active {
            percent,
            ..Active::all(fault)
        }));
    }

    /// Every answer for objects of this kind fails from now on.
    pub fn begin_for(&self, kind: Kind, fault: AnswerFault) {
        self.set(Some(Active {
            kind: Some(kind),
            ..Active::all(fault)
        }));
    }

    /// The next `times` answers for objects of this kind fail.
    pub fn next_for(&self, kind: Kind, times: u64, fault: AnswerFault) {
        self.set(Some(Active {
            kind: Some(kind),
            left: Some(times),
            ..Active::all(fault)
        }));
    }

    /// Ends the fault.
    pub fn end(&self) {
        self.set(None);
    }

    /// The fault of the next answer for an object of this kind.
    pub(super) fn take(&self, kind: Kind) -> Option<AnswerFault> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        let current = active.as_mut()?;
        if current.kind.is_some_and(|only| only != kind) {
            return None;
        }
        current.owed += current.percent;
        if current.owed < 100.0 {
            return None;
        }
        current.owed -= 100.0;
        if let Some(left) = &mut current.left {
            *left = left.checked_sub(1)?;
        }
        Some(current.fault)
    }

    fn set(&self, fault: Option<Active>) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_the_kind_and_as_often_as_it_was_told_to() {
        let faults = OriginFaults::default();
        assert_eq!(faults.take(Kind::Segment), None);
        faults.next_for(Kind::Segment, 2, AnswerFault::Unavailable);
        let struck = [
            Kind::MediaPlaylist,
            Kind::Segment,
            Kind::Segment,
            Kind::Segment,
        ]
        .map(|kind| faults.take(kind).is_some());
        assert_eq!(struck, [false, true, true, false]);
        faults.begin_for_some(30.0, AnswerFault::Unavailable);
        let struck = (0..100).filter(|_| faults.take(Kind::Segment).is_some());
        assert_eq!(struck.count(), 30);
        faults.begin(AnswerFault::Stopped);
        assert_eq!(faults.take(Kind::Other), Some(AnswerFault::Stopped));
        faults.end();
        assert_eq!(faults.take(Kind::Other), None);
    }
}

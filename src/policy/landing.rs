//! What the end of a flight means for the store.
//!
//! A whole object replaces all that was known. A refusal is remembered as long as its reason lasts. A failure of the
//! origin is remembered for a moment, beside the stored object that may be served instead. An answer that is not to be
//! shared makes a hit-for-pass marker. A bound or a defect of the edge says nothing of the object, so it is not
//! remembered at all.

use super::edge::{PASS, Stored};
use super::flight::Outcome;
use super::freshness::{Negative, Validity};
use super::status::FetchError;
use crate::time::Timestamp;

/// What the store keeps of a key from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The object that has landed, alone.
    Object,
    /// The refusal, alone.
    Refusal(Negative),
    /// The failure, beside the object that was there before.
    Failure(Negative),
    /// A mark that requests for the key do not wait for each other until then.
    Pass(Timestamp),
    /// What was stored before.
    AsItWas,
}

/// What to store after a flight that landed at `now`. `before` is the failure that was remembered last.
pub fn keep(outcome: &Outcome, before: Option<Negative>, now: Timestamp) -> Keep {
    match *outcome {
        Outcome::Whole => Keep::Object,
        Outcome::Refused(_, span) => Keep::Refusal(Negative::after_refusal(now, span)),
        Outcome::Private => Keep::Pass(now + PASS),
        // 508 says that a request has gone round between caches.
        Outcome::Failed(
            FetchError::Shed(_) | FetchError::Panicked | FetchError::Status(508),
            _,
        ) => Keep::AsItWas,
        Outcome::Failed(_, retry_after) => {
            Keep::Failure(Negative::after_error(now, before, retry_after))
        }
    }
}

impl Keep {
    /// What the store knows then. `landed` is the validity of the object that has landed.
    pub fn facts(self, before: Stored, landed: Option<Validity>) -> Stored {
        match self {
            Self::Object => Stored {
                validity: landed,
                ..Stored::default()
            },
            Self::Refusal(negative) => Stored {
                negative: Some(negative),
                ..Stored::default()
            },
            Self::Failure(negative) => Stored {
                validity: before.validity,
                negative: Some(negative),
                pass_until: None,
            },
            Self::Pass(until) => Stored {
                pass_until: Some(until),
                ..Stored::default()
            },
            Self::AsItWas => before,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::super::status::Shed;
    use super::*;

    #[test]
    fn each_outcome_means_something_else_for_the_store() {
        let at = |millis| Timestamp::ZERO + Duration::from_millis(millis);
        let validity = Validity::of_foreign(at(0), Duration::ZERO, Duration::from_secs(60));
        let before = Stored {
            validity: Some(validity),
            negative: Some(Negative::after_error(at(0), None, None)),
            pass_until: None,
        };
        let second = Duration::from_secs(1);
        let failed = |error| Outcome::Failed(error, None);
        let stored =
            |outcome| keep(&outcome, before.negative, at(100)).facts(before, Some(validity));
        let nothing = Stored::default();
        for (outcome, after) in [
            (
                Outcome::Whole,
                Stored {
                    validity: Some(validity),
                    ..nothing
                },
            ),
            (
                Outcome::Refused(StatusCode::NOT_FOUND, second),
                Stored {
                    negative: Some(Negative::after_refusal(at(100), second)),
                    ..nothing
                },
            ),
            (
                Outcome::Private,
                Stored {
                    pass_until: Some(at(100) + PASS),
                    ..nothing
                },
            ),
            (
                // The second failure in a row: the object stays, and 500 ms pass before the origin is asked again.
                failed(FetchError::Connect),
                Stored {
                    negative: Some(Negative {
                        until: at(600),
                        in_a_row: 2,
                    }),
                    ..before
                },
            ),
            (failed(FetchError::Status(508)), before),
            (failed(FetchError::Panicked), before),
            (failed(FetchError::Shed(Shed::MemoryFull)), before),
        ] {
            assert_eq!(stored(outcome), after, "{outcome:?}");
        }
    }
}

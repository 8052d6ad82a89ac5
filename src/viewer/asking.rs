//! One like, sent again until it is known whether it counts: what an answer means, when to send again, and what is known after
//! the viewer has given up.

use std::time::Duration;

use super::chance::{Purpose, below, generator, seconds};
use super::likes::Like;

/// The outcome of one attempt to send a like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// 202: the like is durable. `duplicate`: it had been counted before.
    Acknowledged { duplicate: bool },
    /// The like does not count: it was shed, or it had not been sent.
    NotCounted,
    /// The like does not count, and sending it again is of no use.
    Refused,
    /// The like may count: the connection broke, no answer came, or the answer says that the outcome is unknown.
    Unknown,
}

/// The final outcome of a like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The like counts, once.
    Acknowledged,
    /// The like does not count.
    NotCounted,
    /// It is unknown whether the like counts.
    Unknown,
}

impl Fate {
    /// All outcomes.
    pub const ALL: [Self; 3] = [Self::Acknowledged, Self::NotCounted, Self::Unknown];

    /// Its name in logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::NotCounted => "not-counted",
            Self::Unknown => "unknown",
        }
    }
}

impl Heard {
    /// Reads an answer: its status, and the word in its `error` if it has one.
    pub fn answer(status: u16, word: Option<&str>, duplicate: bool) -> Self {
        match (status, word) {
            (202, _) => Self::Acknowledged { duplicate },
            (503, Some("overloaded")) | (429, _) => Self::NotCounted,
            // An earlier attempt may have counted: the caller decides that.
            (400..=499, _) => Self::Refused,
            _ => Self::Unknown,
        }
    }
}

/// The attempts to send one like until it is known whether it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// Whether an earlier attempt may have counted.
    in_doubt: bool,
    attempts: u32,
}

impl Asking {
    /// Adds the outcome of an attempt. `None` means that the like must be sent again.
    pub fn hear(&mut self, heard: Heard) -> Option<Fate> {
        self.attempts += 1;
        match heard {
            Heard::Acknowledged { .. } => Some(Fate::Acknowledged),
            Heard::Refused => Some(self.given_up()),
            Heard::NotCounted => None,
            Heard::Unknown => {
                self.in_doubt = true;
                None
            }
        }
    }

    /// Number of attempts so far.
    pub fn attempts(self) -> u32 {
        self.attempts
    }

    /// The outcome if the like is not sent again.
    pub fn given_up(self) -> Fate {
        match self.in_doubt {
            true => Fate::Unknown,
            false => Fate::NotCounted,
        }
    }

    /// Time until the next attempt: as the answer says, else 1 to 2 s, drawn from the seed.
    pub fn again_after(self, told: Option<Duration>, like: &Like, seed: u64) -> Duration {
        let own = seed.wrapping_add(like.sequence << 8 | u64::from(self.attempts));
        let mut chance = generator(own, Purpose::LikeAgain, like.viewer);
        let drawn = seconds(f64::from(below(1_000, &mut chance)) / 1e3);
        told.unwrap_or(Duration::from_secs(1) + drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::likes::Action;

    #[test]
    fn an_answer_means_what_the_contract_says() {
        for (status, word, heard) in [
            (202, None, Heard::Acknowledged { duplicate: false }),
            (503, Some("overloaded"), Heard::NotCounted),
            (429, Some("limited"), Heard::NotCounted),
            (503, Some("outcome-unknown"), Heard::Unknown),
            (503, None, Heard::Unknown),
            (502, None, Heard::Unknown),
            (410, Some("closed"), Heard::Refused),
            (422, Some("too-old"), Heard::Refused),
            (404, None, Heard::Refused),
        ] {
            assert_eq!(
                Heard::answer(status, word, false),
                heard,
                "{status} {word:?}"
            );
        }
    }

    #[test]
    fn what_was_in_doubt_once_stays_so_until_it_is_acknowledged() {
        let mut asking = Asking::default();
        assert_eq!(asking.hear(Heard::NotCounted), None);
        assert_eq!(asking.given_up(), Fate::NotCounted);
        assert_eq!(asking.hear(Heard::Unknown), None);
        assert_eq!(asking.hear(Heard::NotCounted), None);
        assert_eq!(asking.given_up(), Fate::Unknown);
        assert_eq!(asking.hear(Heard::Refused), Some(Fate::Unknown));
        let heard = Heard::Acknowledged { duplicate: true };
        assert_eq!(asking.hear(heard), Some(Fate::Acknowledged));
        assert_eq!(
            Asking::default().hear(Heard::Refused),
            Some(Fate::NotCounted)
        );
    }

    #[test]
    fn those_who_are_not_told_when_do_not_come_back_together() {
        let like = |viewer| Like {
            at: Duration::ZERO,
            viewer,
            channel: 0,
            action: Action::Like,
            sequence: 1,
        };
        let wait = |viewer| Asking::default().again_after(None, &like(viewer), 1);
        let mut waits: Vec<_> = (0..100).map(wait).collect();
        let span = Duration::from_secs(1)..Duration::from_secs(2);
        assert!(waits.iter().all(|wait| span.contains(wait)));
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 80);
        let told = Duration::from_secs(3);
        assert_eq!(Asking::default().again_after(Some(told), &like(1), 1), told);
    }
}

//! One like, asked until somebody knows whether it counts: what an answer means, when it is asked again, and what is known
//! when nobody asks any more.

use std::time::Duration;

use super::chance::{Purpose, below, generator, seconds};
use super::likes::Like;

/// What one attempt to send a like came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// 202: it is durable. `duplicate`: it had been counted before.
    Acknowledged { duplicate: bool },
    /// It does not count: it was shed, or had not left yet.
    NotCounted,
    /// It does not count and never will.
    Refused,
    /// It may count: the connection broke, nothing came, or somebody said so.
    Unknown,
}

/// What became of a like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It counts, once.
    Acknowledged,
    /// It does not count.
    NotCounted,
    /// Nobody knows.
    Unknown,
}

impl Fate {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Acknowledged, Self::NotCounted, Self::Unknown];

    /// What it is called.
    pub fn word(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::NotCounted => "not-counted",
            Self::Unknown => "unknown",
        }
    }
}

impl Heard {
    /// Reads an answer: its status, and the word of its `error` where it has one.
    pub fn answer(status: u16, word: Option<&str>, duplicate: bool) -> Self {
        match (status, word) {
            (202, _) => Self::Acknowledged { duplicate },
            (503, Some("overloaded")) | (429, _) => Self::NotCounted,
            // A like that was sent before may have been counted then: the caller decides that.
            (400..=499, _) => Self::Refused,
            _ => Self::Unknown,
        }
    }
}

/// A like that is asked until somebody knows whether it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// Whether an attempt may have counted.
    in_doubt: bool,
    attempts: u32,
}

impl Asking {
    /// An attempt has come to this; `None` if there must be another.
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

    /// How often it has been asked.
    pub fn attempts(self) -> u32 {
        self.attempts
    }

    /// What is known if nobody asks again.
    pub fn given_up(self) -> Fate {
        match self.in_doubt {
            true => Fate::Unknown,
            false => Fate::NotCounted,
        }
    }

    /// When it is asked again: when the answer says so, else after 1 to 2 s, drawn.
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

//! Counts as a reader gets them, and the rule for which of two readings is newer.

use serde::{Deserialize, Serialize};

use super::consistency::Token;

/// Counts of one channel, as they stand in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The channel.
    pub channel: String,
    /// Viewers who like it.
    pub likes: u64,
    /// Hearts sent to it.
    pub hearts: u64,
    /// The last operation of this channel that the counts include.
    pub seq: u64,
    /// UNIX time in milliseconds at which the counts were true.
    pub as_of: u64,
    /// The value to send as `Like-Token` to see at least these counts on any node.
    pub token: String,
    /// The consistency that the answer promises.
    pub consistency: String,
}

impl Reading {
    /// Parses an answer; `None` if it holds no counts.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let reading: Self = serde_json::from_slice(bytes).ok()?;
        Token::parse(&reading.token).map(|_| reading)
    }

    /// The same counts in a form that may be shared between readers: without a promise.
    pub fn shared(self) -> Self {
        Self {
            consistency: "eventual".to_owned(),
            ..self
        }
    }

    /// The body of an answer.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("counts are plain data") + "\n"
    }

    /// Whether these counts may follow `before` without going back. In one log the sequence decides. Counts that have
    /// begun anew have another log, and only their time tells which are newer.
    pub fn may_follow(&self, before: &Self) -> bool {
        let log = |reading: &Self| Token::parse(&reading.token).map(|token| token.log);
        if log(self) == log(before) {
            self.seq >= before.seq
        } else {
            self.as_of > before.as_of
        }
    }

    /// Whether these counts are new to a reader that has seen `before`.
    pub fn is_news_after(&self, before: &Self) -> bool {
        self.may_follow(before) && (self.seq != before.seq || self.token != before.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(log: u64, seq: u64, as_of: u64) -> Reading {
        let token = Token { log, sequence: seq };
        Reading {
            channel: "demo".to_owned(),
            likes: 1,
            hearts: 2,
            seq,
            as_of,
            token: token.to_string(),
            consistency: "strong".to_owned(),
        }
    }

    #[test]
    fn counts_are_read_back_and_shared_without_a_promise() {
        let strong = reading(1, 7, 100);
        assert_eq!(
            Reading::parse(strong.text().as_bytes()),
            Some(strong.clone())
        );
        assert_eq!(strong.shared().consistency, "eventual");
        assert_eq!(Reading::parse(b"{\"error\":\"overloaded\"}"), None);
    }

    #[test]
    fn what_goes_back_may_not_follow_but_a_new_log_may() {
        let now = reading(1, 7, 100);
        assert!(reading(1, 7, 101).may_follow(&now));
        assert!(!reading(1, 6, 102).may_follow(&now), "late is not new");
        assert!(reading(2, 1, 103).may_follow(&now));
        assert!(!now.may_follow(&reading(2, 1, 103)), "the old log is over");
        assert!(!reading(1, 7, 101).is_news_after(&now));
        assert!(reading(1, 8, 101).is_news_after(&now));
    }
}

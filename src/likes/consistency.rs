//! How fresh the counts must be that a reader asks for, and the token that says what the reader has seen.

use std::fmt;

/// The consistency that a reader asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// The counts that this node knows. They are never older than the counts that it showed before.
    Eventual,
    /// Counts that include everything up to a token.
    AtLeast(Token),
    /// Counts that include every operation acknowledged before the request.
    Strong,
}

/// A point in the order of one log. Counts that include this point include the operation for which the token was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The log.
    pub log: u64,
    /// The last operation that must be included.
    pub sequence: u64,
}

/// Why a request for consistency is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsistencyError {
    /// The token is not valid.
    #[error("Like-Token is no token: send one as it was given")]
    Token,
    /// The word is not known.
    #[error("consistency is `eventual` or `strong`")]
    Word,
}

impl Consistency {
    /// The consistency that a request asks for, by `consistency` in its query and by its `Like-Token` header.
    ///
    /// # Errors
    /// The word or the token is not valid.
    pub fn asked(word: Option<&str>, token: Option<&str>) -> Result<Self, ConsistencyError> {
        let token = token.map(|text| Token::parse(text).ok_or(ConsistencyError::Token));
        match (word, token.transpose()?) {
            (Some("strong"), _) => Ok(Self::Strong),
            (None | Some("eventual"), Some(token)) => Ok(Self::AtLeast(token)),
            (None | Some("eventual"), None) => Ok(Self::Eventual),
            _ => Err(ConsistencyError::Word),
        }
    }
}

impl Token {
    /// Parses the text that [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (log, sequence) = text.split_once('-')?;
        let token = Self {
            log: u64::from_str_radix(log, 16).ok()?,
            sequence: sequence.parse().ok()?,
        };
        (token.to_string() == text).then_some(token)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.log, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = Token {
        log: 0xab,
        sequence: 17,
    };

    #[test]
    fn a_token_has_one_spelling() {
        let text = TOKEN.to_string();
        assert_eq!(text, "00000000000000ab-17");
        assert_eq!(Token::parse(&text), Some(TOKEN));
        for other in [
            "",
            "ab-17",
            "00000000000000AB-17",
            "00000000000000ab-017",
            "00000000000000ab-+17",
            "00000000000000ab-",
            "00000000000000ab17",
            "00000000000000ab-18446744073709551616",
        ] {
            assert_eq!(Token::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_request_says_how_fresh_counts_must_be() {
        use Consistency::{AtLeast, Eventual, Strong};
        let text = TOKEN.to_string();
        for (word, token, expected) in [
            (None, None, Ok(Eventual)),
            (Some("eventual"), None, Ok(Eventual)),
            (None, Some(&*text), Ok(AtLeast(TOKEN))),
            (Some("strong"), Some(&text), Ok(Strong)),
            (Some("strict"), None, Err(ConsistencyError::Word)),
            (Some("strong"), Some("x"), Err(ConsistencyError::Token)),
        ] {
            assert_eq!(Consistency::asked(word, token), expected);
        }
    }
}

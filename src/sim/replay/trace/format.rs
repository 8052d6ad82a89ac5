//! The formats of a trace, and what is usual for each.

use std::time::Duration;

/// The format of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `time,key,size[,client]`, with quotes where they are needed.
    Csv,
    /// The common and the combined log format of Apache and nginx.
    Combined,
    /// A JSON object on each line.
    JsonLines,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Csv, Self::Combined, Self::JsonLines];

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Combined => "combined",
            Self::JsonLines => "json",
        }
    }

    /// What its lines look like.
    pub const fn form(self) -> &'static str {
        match self {
            Self::Csv => "CSV (time,key,size)",
            Self::Combined => "the combined log format",
            Self::JsonLines => "JSON lines",
        }
    }

    /// Whether a size tells how much was sent instead of how large the object is.
    pub const fn tells_what_was_sent(self) -> bool {
        matches!(self, Self::Combined | Self::JsonLines)
    }

    /// How far the time of such a trace may go back unless a user says more: a server writes a line when a request ends.
    pub(super) const fn reorder(self) -> Duration {
        match self {
            Self::Csv => Duration::ZERO,
            Self::Combined | Self::JsonLines => Duration::from_secs(60),
        }
    }
}

//! What a line of a trace says: a request, nothing that counts, or nothing that can be read.

use crate::time::Timestamp;

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// When it came, in the time of the trace.
    pub time: Timestamp,
    /// What it asked for.
    pub key: &'a [u8],
    /// Bytes.
    pub size: u64,
}

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number} cannot be read: {why}")]
pub struct BadLine {
    /// Its number; the first line is line 1.
    pub number: u64,
    /// What is wrong with it.
    pub why: String,
}

/// What a parser makes of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    Request(Request<'a>),
    /// An empty line, or the names of columns.
    Nothing,
    NotGet,
    OtherStatus,
}

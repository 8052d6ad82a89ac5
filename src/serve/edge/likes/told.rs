//! An answer about likes, or why there is none.

use bytes::Bytes;
use http::Response;

use crate::policy::status::{Served, Way};

/// An answer about likes, and how it came about.
pub(super) struct Told {
    pub(super) served: Served,
    pub(super) way: Way,
    pub(super) ttl_s: Option<i64>,
    pub(super) response: Response<Bytes>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The question has reached no server.
    Unsent,
    /// The question was sent, and its outcome is not known.
    Unknown,
}

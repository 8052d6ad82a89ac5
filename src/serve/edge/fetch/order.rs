//! What a fetch is asked to bring, and whether the table of flights knows of it.

use http::HeaderValue;
use http::uri::PathAndQuery;

use crate::policy::collapse::Generation;

/// Whether a fetch is in the table of flights.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve::edge) enum Listing {
    /// It is, under this number.
    Listed(Generation),
    /// It is not: baselines fetch once per request.
    Alone,
}

/// What the origin is asked.
#[derive(Clone, Debug)]
pub(in crate::serve::edge) struct Ask {
    /// The path, and the query where it counts.
    pub(in crate::serve::edge) path: PathAndQuery,
    /// The caches that the leader's request has come through (`CDN-Loop`).
    pub(in crate::serve::edge) came_through: Option<HeaderValue>,
}

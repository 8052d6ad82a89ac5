//! What a fetch asks for, and whether the table of flights holds it.

use http::HeaderValue;
use http::uri::PathAndQuery;

use crate::policy::collapse::Generation;

/// Whether a fetch is in the table of flights.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve::edge) enum Listing {
    /// The fetch is in the table, under this number.
    Listed(Generation),
    /// The fetch is not in the table: baselines fetch once per request.
    Alone,
}

/// What the edge asks of the origin.
#[derive(Clone, Debug)]
pub(in crate::serve::edge) struct Ask {
    /// The path, with the query if it is part of the key.
    pub(in crate::serve::edge) path: PathAndQuery,
    /// The caches that the leader's request has come through (`CDN-Loop`).
    pub(in crate::serve::edge) came_through: Option<HeaderValue>,
}

//! An edge as viewers know it.

use std::net::SocketAddr;
use std::sync::Arc;

/// An edge as viewers know it.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) address: SocketAddr,
    pub(super) host: Arc<str>,
}

//! The address of an edge and its host name.

use std::net::SocketAddr;
use std::sync::Arc;

/// The address of an edge and its host name.
#[derive(Clone, Debug)]
pub(super) struct EdgeAddress {
    pub(super) address: SocketAddr,
    pub(super) host: Arc<str>,
}

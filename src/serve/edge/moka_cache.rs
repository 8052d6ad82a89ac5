//! The store of the `moka` baseline, with moka's own collapsing in front of it.

use std::sync::Arc;

use moka::future::Cache;

use super::flights::Head;
use super::store::Object;
use crate::policy::key::Key;

/// The store of the baseline, with moka's own collapsing in front of it.
#[derive(Debug)]
pub(super) struct Moka(pub(super) Cache<Key, (Arc<Object>, Arc<Head>)>);

impl Moka {
    pub(super) fn new(capacity_bytes: u64) -> Self {
        let weigh = |_: &Key, (object, _): &(Arc<Object>, Arc<Head>)| {
            u32::try_from(object.body.len() + 1_024).unwrap_or(u32::MAX)
        };
        Self(
            Cache::builder()
                .max_capacity(capacity_bytes)
                .weigher(weigh)
                .build(),
        )
    }
}

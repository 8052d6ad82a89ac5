//! The store of the `moka` baseline, with moka's own collapsing in front of it.

use std::sync::Arc;

use moka::future::Cache;

use crate::policy::key::Key;
use crate::serve::edge::flights::Head;
use crate::serve::edge::store::Object;

/// The store of the baseline, with moka's own collapsing in front of it.
#[derive(Debug)]
pub(in crate::serve::edge) struct Moka(
    pub(in crate::serve::edge) Cache<Key, (Arc<Object>, Arc<Head>)>,
);

impl Moka {
    pub(in crate::serve::edge) fn new(capacity_bytes: u64) -> Self {
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

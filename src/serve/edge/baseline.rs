//! The `moka` baseline: what one gets from moka's own collapsing, for comparison.
//!
//! `try_get_with` runs the fetch inside the first caller's future: when that viewer leaves, the fetch is dropped and the
//! next waiter starts again. There is no bound on waiters, no streaming to them, and one error goes to all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use moka::future::Cache;
use tokio::sync::watch;
use warp::Reply;

use super::answer;
use super::fetch::{self, Listing};
use super::flights::{Head, Landing, Progress};
use super::pass::RequestStream;
use super::routes::{Answered, Asked, Role};
use super::store::Object;
use crate::policy::flight::Reason;
use crate::policy::freshness::Freshness;
use crate::policy::key::Key;
use crate::policy::status::{FetchError, Served, Way};

/// The store of the baseline, with moka's own collapsing in front of it.
#[derive(Debug)]
pub(super) struct Moka(Cache<Key, (Arc<Object>, Arc<Head>)>);

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

impl Asked<'_> {
    pub(super) async fn by_moka(self, body: impl RequestStream) -> Answered {
        let Moka(cache) = &self.edge.baseline;
        let key = self.key.to_key();
        let hit = |object: &Object, now| {
            let response = answer::hit(&self.request, object, now, &self.edge.name);
            Answered {
                served: Served::Hit,
                response: response.into_response(),
            }
        };
        let now = self.edge.clock.now();
        if let Some((object, _)) = cache.get(&key).await {
            if matches!(object.validity.at(now), Freshness::Fresh(_)) {
                return hit(&object, now);
            }
            cache.invalidate(&key).await;
        }
        let led = AtomicBool::new(false);
        let fetching = async {
            led.store(true, Ordering::Relaxed);
            let (progress, _watch) = watch::channel(Progress::default());
            match fetch::fetch(
                self.edge,
                &key,
                self.ask(),
                Listing::Alone,
                Reason::Miss,
                &progress,
            )
            .await
            {
                Landing::Object(object, head) => Ok((object, head)),
                other => Err(other),
            }
        };
        let fetched = cache.try_get_with(key.clone(), fetching).await;
        let role = if led.load(Ordering::Relaxed) {
            Role::Leader
        } else {
            Role::Follower
        };
        let now = self.edge.clock.now();
        match fetched {
            Ok((object, _)) => {
                let way = match role {
                    Role::Leader => Way::Miss {
                        status: Some(200),
                        stored: true,
                    },
                    Role::Follower => Way::Collapsed,
                };
                let status = self.status(way, Some(object.validity.ttl_s(now)), None);
                let response = answer::object(&self.request, &object, now, status, None, None);
                Answered {
                    served: role.served(),
                    response: response.into_response(),
                }
            }
            Err(landing) => match &*landing {
                Landing::Private => self.pass(body).await,
                Landing::Refused(code, _) => {
                    let status = self.status(
                        Way::Miss {
                            status: Some(code.as_u16()),
                            stored: false,
                        },
                        None,
                        None,
                    );
                    Answered {
                        served: role.served(),
                        response: answer::failure(*code, status, None, 1),
                    }
                }
                Landing::Failed(error, retry_after) => self.without(*error, *retry_after, role),
                Landing::Object(..) => self.without(FetchError::Panicked, None, role),
            },
        }
    }
}

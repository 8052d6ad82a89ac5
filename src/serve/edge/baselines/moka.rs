//! The `moka` baseline: moka's own collapsing, for comparison.
//!
//! `try_get_with` runs the fetch inside the first caller's future. When that viewer leaves, the fetch is dropped and
//! the next waiter starts again. Waiters have no bound, the body is not streamed to them, and all of them get one
//! error.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;
use warp::Reply;

use crate::policy::flight::Reason;
use crate::policy::freshness::Freshness;
use crate::policy::status::{FetchError, Served, Way};
use crate::serve::edge::baselines::moka_cache::Moka;
use crate::serve::edge::fetch::{self, Listing};
use crate::serve::edge::flights::{Landing, Progress};
use crate::serve::edge::request::answer;
use crate::serve::edge::request::asked::{Answered, Asked, Role};
use crate::serve::edge::request::pass::{self, RequestStream};
use crate::serve::edge::store::Object;

pub(in crate::serve::edge) async fn by_moka(
    asked: Asked<'_>,
    body: impl RequestStream,
) -> Answered {
    let Moka(cache) = &asked.edge.baseline;
    let key = asked.key.to_key();
    let hit = |object: &Object, now| {
        let response = answer::hit(&asked.request, object, now, &asked.edge.name);
        Answered {
            served: Served::Hit,
            response: response.into_response(),
        }
    };
    let now = asked.edge.clock.now();
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
            asked.edge,
            &key,
            asked.ask(),
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
    let now = asked.edge.clock.now();
    match fetched {
        Ok((object, _)) => {
            let way = match role {
                Role::Leader => Way::Miss {
                    status: Some(200),
                    stored: true,
                },
                Role::Follower => Way::Collapsed,
            };
            let status = asked.status(way, Some(object.validity.ttl_s(now)), None);
            let response = answer::object(&asked.request, &object, now, status, None, None);
            Answered {
                served: role.served(),
                response: response.into_response(),
            }
        }
        Err(landing) => match &*landing {
            Landing::Private => pass::pass(&asked, body).await,
            Landing::Refused(code, _) => {
                let status = asked.status(
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
            Landing::Failed(error, retry_after) => asked.without(*error, *retry_after, role),
            Landing::Object(..) => asked.without(FetchError::Panicked, None, role),
        },
    }
}

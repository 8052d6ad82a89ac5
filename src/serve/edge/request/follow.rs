//! A request waits for a flight, and is answered with its result.

use std::sync::Arc;

use warp::Reply;

use crate::policy::edge;
use crate::policy::key::Kind;
use crate::policy::status::{FetchError, Shed};
use crate::serve::edge::flights::{Head, Landing, Watch};
use crate::serve::edge::metrics::WaitEnd;
use crate::serve::edge::request::answer::{self, Waited};
use crate::serve::edge::request::asked::{Answered, Asked, Role};
use crate::serve::edge::request::pass::{self, RequestStream};
use crate::time::Timestamp;

/// What a waiting request learnt in the end.
pub(in crate::serve::edge) enum Heard {
    Head(Arc<Head>),
    Landing(Landing),
    Deadline,
}

pub(in crate::serve::edge) async fn follow(
    asked: Asked<'_>,
    role: Role,
    mut watch: Watch,
    body: impl RequestStream,
) -> Answered {
    let heard = hear(&asked, &mut watch).await;
    answer_heard(asked, role, watch, heard, body).await
}

pub(in crate::serve::edge) async fn answer_heard(
    asked: Asked<'_>,
    role: Role,
    watch: Watch,
    heard: Heard,
    body: impl RequestStream,
) -> Answered {
    let now = asked.edge.clock.now();
    let waited = |head: &Head| Waited {
        total: now.since(asked.began),
        origin: head.waited,
    };
    match heard {
        Heard::Head(head) => {
            let status = asked.status(role.way(Some(200), true), Some(head.ttl_s), None);
            let response = answer::flight(&asked.request, &head, watch, status, waited(&head));
            Answered {
                served: role.served(),
                response,
            }
        }
        Heard::Landing(Landing::Object(object, head)) => {
            let status = asked.status(
                role.way(Some(200), true),
                Some(object.validity.ttl_s(now)),
                None,
            );
            let upstream_status = head.cache_status.as_ref();
            let response = answer::object(
                &asked.request,
                &object,
                now,
                status,
                upstream_status,
                Some(waited(&head)),
            );
            Answered {
                served: role.served(),
                response: response.into_response(),
            }
        }
        Heard::Landing(Landing::Refused(code, _)) => {
            let status = asked.status(role.way(Some(code.as_u16()), true), None, None);
            Answered {
                served: role.served(),
                response: answer::failure(code, status, None, 1),
            }
        }
        Heard::Landing(Landing::Private) => pass::pass(&asked, body).await,
        Heard::Landing(Landing::Failed(error, retry_after)) => {
            asked.without(error, retry_after, role)
        }
        Heard::Deadline => asked.without(FetchError::Shed(Shed::Deadline), None, role),
    }
}

pub(in crate::serve::edge) async fn hear(asked: &Asked<'_>, watch: &mut Watch) -> Heard {
    // A playlist is small and useless in part. A request that waits for one gets it whole, with its lifetime, and
    // gzipped if asked.
    let streams = matches!(asked.request.kind, Kind::Segment | Kind::Other);
    let (clock, metrics) = (&asked.edge.clock, &asked.edge.metrics);
    let listening = async {
        let mut slept = false;
        let woken = |told_at: Timestamp, slept| {
            if slept {
                metrics.woken(clock.now().since(told_at));
            }
        };
        loop {
            {
                let progress = watch.borrow_and_update();
                // The head comes first. It is what woke the requests that can be answered with a head.
                let head = progress.head.as_ref().filter(|_| streams);
                let landing = progress.landing.as_ref();
                if landing.is_some() || head.is_some() {
                    woken(head.map_or(progress.landed_at, |head| head.told_at), slept);
                }
                if let Some(landing) = landing {
                    return Heard::Landing(landing.clone());
                }
                if let Some(head) = head {
                    return Heard::Head(head.clone());
                }
            }
            slept = true;
            if watch.changed().await.is_err() {
                // The fetch was dropped before it landed: the edge shuts down.
                return Heard::Landing(Landing::Failed(FetchError::Broken, None));
            }
        }
    };
    let wait_max = edge::wait_max(asked.request.kind, &asked.edge.limits());
    let waiting = metrics.wait_begins(*clock);
    let heard = tokio::time::timeout(wait_max, listening)
        .await
        .unwrap_or(Heard::Deadline);
    waiting.ends(match &heard {
        Heard::Landing(Landing::Failed(..)) => WaitEnd::Failed,
        Heard::Landing(_) | Heard::Head(_) => WaitEnd::Served,
        Heard::Deadline => WaitEnd::Deadline,
    });
    heard
}

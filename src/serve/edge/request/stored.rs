//! Answers from the store.

use warp::Reply;

use crate::policy::edge::{Decision, WhyStale};
use crate::policy::flight::Reason;
use crate::policy::status::{Served, Way};
use crate::serve::edge::fetch::{self, Listing};
use crate::serve::edge::request::answer;
use crate::serve::edge::request::asked::{Answered, Asked};
use crate::serve::edge::request::pass::{self, RequestStream};
use crate::serve::edge::store::Entry;
use crate::time::Timestamp;

pub(in crate::serve::edge) async fn by_store(
    asked: Asked<'_>,
    entry: &Entry,
    decision: Decision,
    now: Timestamp,
    body: impl RequestStream,
) -> Answered {
    match (decision, &entry.object, &entry.failure) {
        (Decision::Hit, Some(object), _) => {
            asked.edge.asked_for(object);
            let response = answer::hit(&asked.request, object, now, &asked.edge.name);
            Answered {
                served: Served::Hit,
                response: response.into_response(),
            }
        }
        (Decision::Stale(why), Some(object), _) => {
            if why == WhyStale::Revalidate {
                refresh(&asked);
            }
            asked.edge.metrics.stale(why);
            let detail = (why == WhyStale::Error).then_some(why.word());
            let status = asked.status(Way::Hit, Some(object.validity.ttl_s(now)), detail);
            let response = answer::object(&asked.request, object, now, status, None, None);
            Answered {
                served: Served::Stale,
                response: response.into_response(),
            }
        }
        (Decision::Negative, _, Some(failure)) => {
            let status = asked.status(Way::Hit, None, Some("negative"));
            let wait = answer::retry_after_s(failure.negative.until.since(now));
            Answered {
                served: Served::Negative,
                response: answer::failure(failure.status, status, None, wait),
            }
        }
        _ => pass::pass(&asked, body).await,
    }
}

pub(in crate::serve::edge) fn refresh(asked: &Asked<'_>) {
    let settled = || {
        !matches!(
            asked.look(asked.edge.clock.now()),
            Some((_, Decision::Stale(WhyStale::Revalidate)))
        )
    };
    asked
        .edge
        .flights
        .refresh(asked.key, settled, |key, generation| {
            fetch::begin(
                asked.edge,
                key,
                asked.ask(),
                Listing::Listed(generation),
                Reason::Refresh,
            )
        });
}

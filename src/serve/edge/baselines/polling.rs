//! The `poll-500ms` baseline: what nginx's `proxy_cache_lock` does, for comparison.
//!
//! One request fetches. The others look every 500 ms whether the object is there, and the body is not streamed to them.
//! After five seconds each of them fetches for itself: a second herd.

use std::time::Duration;

use warp::Reply;

use crate::policy::collapse::Boarding;
use crate::policy::edge::Decision;
use crate::policy::flight::Reason;
use crate::policy::status::{FetchError, Way};
use crate::serve::edge::fetch::{self, Listing};
use crate::serve::edge::request::answer;
use crate::serve::edge::request::asked::{Answered, Asked, Role};
use crate::serve::edge::request::follow;
use crate::serve::edge::request::pass::RequestStream;
use crate::serve::edge::request::stored;

const INTERVAL: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(5);

pub(in crate::serve::edge) async fn by_polling(
    asked: Asked<'_>,
    body: impl RequestStream,
) -> Answered {
    let gives_up = asked.began + PATIENCE;
    loop {
        let look_again = || {
            let now = asked.edge.clock.now();
            Some((now, asked.look(now)?))
        };
        let begin = |key: &_, generation| {
            let listing = Listing::Listed(generation);
            fetch::begin(asked.edge, key, asked.ask(), listing, Reason::Miss)
        };
        let boarded = asked
            .edge
            .flights
            .board(asked.key, &asked.edge.limits(), look_again, begin);
        let seat = match boarded {
            Ok((now, (entry, decision))) => {
                return match (decision, &entry.object) {
                    (Decision::Hit, Some(object)) if now != asked.began => {
                        let ttl_s = Some(object.validity.ttl_s(now));
                        let status = asked.status(Way::Collapsed, ttl_s, None);
                        let response =
                            answer::object(&asked.request, object, now, status, None, None);
                        Answered {
                            served: Role::Follower.served(),
                            response: response.into_response(),
                        }
                    }
                    _ => stored::by_store(asked, &entry, decision, now, body).await,
                };
            }
            Err(Boarding::Lead(_, seat)) => {
                return follow::follow(asked, Role::Leader, seat.watch.clone(), body).await;
            }
            Err(Boarding::Follow(_, seat)) => seat,
            Err(Boarding::Shed(shed)) => {
                return asked.without(FetchError::Shed(shed), None, Role::Leader);
            }
        };
        if asked.edge.clock.now() >= gives_up {
            let key = asked.key.to_key();
            let alone = fetch::begin(asked.edge, &key, asked.ask(), Listing::Alone, Reason::Miss);
            return follow::follow(asked, Role::Leader, alone, body).await;
        }
        // The seat is kept during the sleep, so that the request counts as a waiter.
        tokio::time::sleep(INTERVAL).await;
        drop(seat);
    }
}

//! The `poll-500ms` baseline: what nginx's `proxy_cache_lock` does, for comparison.
//!
//! One fetches; the others look every 500 ms whether the object is there, and nothing is streamed to them. After five
//! seconds each of them fetches for itself: a second herd.

use std::time::Duration;

use warp::Reply;

use super::answer;
use super::fetch::{self, Listing};
use super::pass::RequestStream;
use super::routes::{Answered, Asked, Role};
use crate::policy::collapse::Boarding;
use crate::policy::edge::Decision;
use crate::policy::flight::Reason;
use crate::policy::status::{FetchError, Way};

const INTERVAL: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(5);

impl Asked<'_> {
    pub(super) async fn by_polling(self, body: impl RequestStream) -> Answered {
        let gives_up = self.began + PATIENCE;
        loop {
            let look_again = || {
                let now = self.edge.clock.now();
                Some((now, self.look(now)?))
            };
            let begin = |key: &_, generation| {
                let listing = Listing::Listed(generation);
                fetch::begin(self.edge, key, self.ask(), listing, Reason::Miss)
            };
            let boarded = self
                .edge
                .flights
                .board(self.key, &self.edge.limits(), look_again, begin);
            let seat = match boarded {
                Ok((now, (entry, decision))) => {
                    return match (decision, &entry.object) {
                        (Decision::Hit, Some(object)) if now != self.began => {
                            let ttl_s = Some(object.validity.ttl_s(now));
                            let status = self.status(Way::Collapsed, ttl_s, None);
                            let response =
                                answer::object(&self.request, object, now, status, None, None);
                            Answered {
                                served: Role::Follower.served(),
                                response: response.into_response(),
                            }
                        }
                        _ => self.by_store(&entry, decision, now, body).await,
                    };
                }
                Err(Boarding::Lead(_, seat)) => {
                    return self.follow(Role::Leader, seat.watch.clone(), body).await;
                }
                Err(Boarding::Follow(_, seat)) => seat,
                Err(Boarding::Shed(shed)) => {
                    return self.without(FetchError::Shed(shed), None, Role::Leader);
                }
            };
            if self.edge.clock.now() >= gives_up {
                let key = self.key.to_key();
                let alone = fetch::begin(self.edge, &key, self.ask(), Listing::Alone, Reason::Miss);
                return self.follow(Role::Leader, alone, body).await;
            }
            // The seat is kept while it waits: so long the request counts as a waiter.
            tokio::time::sleep(INTERVAL).await;
            drop(seat);
        }
    }
}

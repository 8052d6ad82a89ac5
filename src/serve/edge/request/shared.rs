//! A request for a shared object: from the store, or by the miss queue.

use crate::policy::collapse::Boarding;
use crate::policy::flight::Reason;
use crate::policy::key::Key;
use crate::policy::status::{FetchError, MissQueue};
use crate::serve::edge::baselines::moka;
use crate::serve::edge::baselines::polling;
use crate::serve::edge::fetch::{self, Listing};
use crate::serve::edge::flights::Landing;
use crate::serve::edge::request::asked::{Answered, Asked, Role};
use crate::serve::edge::request::follow::{self, Heard};
use crate::serve::edge::request::pass::RequestStream;
use crate::serve::edge::request::stored;

pub(in crate::serve::edge) async fn serve(asked: Asked<'_>, body: impl RequestStream) -> Answered {
    if asked.edge.miss_queue == MissQueue::Moka {
        return moka::by_moka(asked, body).await;
    }
    let now = asked.began;
    if let Some((entry, decision)) = asked.look(now) {
        return stored::by_store(asked, &entry, decision, now, body).await;
    }
    match asked.edge.miss_queue {
        MissQueue::Poll500ms => polling::by_polling(asked, body).await,
        MissQueue::Off | MissQueue::Moka => {
            let alone = fetch::begin(
                asked.edge,
                &asked.key.to_key(),
                asked.ask(),
                Listing::Alone,
                Reason::Miss,
            );
            follow::follow(asked, Role::Leader, alone, body).await
        }
        MissQueue::Flights => by_flight(asked, body).await,
    }
}

pub(in crate::serve::edge) async fn by_flight(
    asked: Asked<'_>,
    body: impl RequestStream,
) -> Answered {
    let mut boarded_before = false;
    loop {
        let begin = |key: &Key, generation| {
            let listing = Listing::Listed(generation);
            fetch::begin(asked.edge, key, asked.ask(), listing, Reason::Miss)
        };
        let look_again = || {
            let now = asked.edge.clock.now();
            Some((now, asked.look(now)?))
        };
        let boarded = asked
            .edge
            .flights
            .board(asked.key, &asked.edge.limits(), look_again, begin);
        let (role, seat) = match boarded {
            Ok((now, (entry, decision))) => {
                return stored::by_store(asked, &entry, decision, now, body).await;
            }
            Err(Boarding::Shed(shed)) => {
                return asked.without(FetchError::Shed(shed), None, Role::Leader);
            }
            Err(Boarding::Lead(_, seat)) => (Role::Leader, seat),
            Err(Boarding::Follow(_, seat)) => (Role::Follower, seat),
        };
        // The seat is held until the head of the answer is made, so that the request counts as a waiter.
        let mut watch = seat.watch.clone();
        let heard = follow::hear(&asked, &mut watch).await;
        let went_round = matches!(
            heard,
            Heard::Landing(Landing::Failed(FetchError::Status(508), _))
        );
        if went_round && role == Role::Follower && !boarded_before {
            // The leader's request had been through a cache upstream, or said so. This request may not have been.
            boarded_before = true;
            continue;
        }
        return follow::answer_heard(asked, role, watch, heard, body).await;
    }
}

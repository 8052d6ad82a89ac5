//! A request's way to its answer: the route, the store, the wait for a flight, the pass, and what is sent.

pub(super) mod answer;
pub(super) mod asked;
pub(super) mod blocking;
pub(super) mod follow;
pub(super) mod head;
pub(super) mod pass;
pub(super) mod paths;
pub(super) mod routes;
pub(super) mod shared;
pub(super) mod stored;

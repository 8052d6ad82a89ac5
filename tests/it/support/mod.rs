//! What tests over real sockets share: an origin that fails on purpose, a client that sees every byte, an edge to test, a
//! whole stream on air, and programs that are started and ended.

pub(crate) mod chance;
pub(crate) mod client;
pub(crate) mod edge;
pub(crate) mod fault_origin;
pub(crate) mod likes;
pub(crate) mod nats;
pub(crate) mod other_server;
pub(crate) mod played;
pub(crate) mod program;
pub(crate) mod prometheus;
pub(crate) mod stage;
pub(crate) mod virtual_time;

use std::time::{Duration, Instant};

/// Waits until `condition` holds; panics with `what` when it does not within ten seconds. For states of the system that
/// have no signal of their own, such as "every viewer waits now".
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "after ten seconds still not: {what}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

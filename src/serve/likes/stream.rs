//! Counts as a stream of server-sent events: the present counts, then every change.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::HeaderValue;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use tokio::sync::watch;
use warp::Reply;

use super::node::Node;
use super::request::ReaderPermit;
use crate::likes::Counts;

/// The shortest time between two events. Changes within it become one event.
const BETWEEN_EVENTS: Duration = Duration::from_millis(250);
/// How long a stream may be silent before it sends a heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The state of one listening reader.
struct Listener {
    node: Arc<Node>,
    channel: String,
    counts: watch::Receiver<Counts>,
    first: bool,
    _place: ReaderPermit,
}

/// An answer that lasts until the reader leaves or the node closes.
pub(super) fn events(
    node: Arc<Node>,
    channel: &str,
    counts: watch::Receiver<Counts>,
    place: ReaderPermit,
) -> warp::reply::Response {
    let listener = Listener {
        node,
        channel: channel.to_owned(),
        counts,
        first: true,
        _place: place,
    };
    answer(futures_util::stream::unfold(
        listener,
        |mut listener| async { Some((listener.next().await?, listener)) },
    ))
}

/// An answer that sends events until their stream ends.
pub(in crate::serve) fn answer(
    events: impl Stream<Item = Bytes> + Send + Sync + 'static,
) -> warp::reply::Response {
    let events = events.map(Ok::<_, Infallible>);
    let mut response = warp::reply::stream(events).into_response();
    let head = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ] {
        head.insert(name, HeaderValue::from_static(value));
    }
    response
}

impl Listener {
    /// The next event; `None` once the node is closing.
    async fn next(&mut self) -> Option<Bytes> {
        let closing = self.node.closing.clone();
        if !self.first {
            let waited = async {
                tokio::time::sleep(BETWEEN_EVENTS).await;
                tokio::time::timeout(HEARTBEAT, self.counts.changed()).await
            };
            match closing.run_until_cancelled(waited).await? {
                Err(_) => return Some(Bytes::from_static(b":\n\n")),
                Ok(Err(_)) => return None,
                Ok(Ok(())) => {}
            }
        }
        self.first = false;
        let counts = *self.counts.borrow_and_update();
        let shard = self.node.shard(&self.channel);
        let shown = self.node.shown(&self.channel, shard, counts, "eventual");
        let text = shown.text();
        Some(format!("id: {}\nevent: counts\ndata: {text}\n\n", counts.seq).into())
    }
}

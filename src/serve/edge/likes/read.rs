//! Reads of counts at an edge, and the questions to the origin that they cause.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, AGE, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Response};
use tokio::sync::watch;
use warp::Reply;

use super::counts::{AtHand, Kept, Known, Line, Waiting};
use super::exchange::{self, Question};
use super::told::Told;
use crate::likes::Reading;
use crate::likes::limits::Shed;
use crate::policy::flight::Reason;
use crate::policy::status::{Served, Way};
use crate::serve::edge::node::Edge;
use crate::serve::edge::request::asked::Asked;
use crate::serve::edge::upstream::{self, CDN_LOOP};
use crate::serve::likes::answer::{LikeRefusal, nothing_newer};
use crate::serve::likes::stream;
use crate::time::Timestamp;

/// How long a reader waits for a change.
const CHANGE_WAIT: Duration = Duration::from_secs(20);
/// How long the origin has to answer a long poll: longer than the origin lets a poll wait.
const POLL_WAIT: Duration = Duration::from_secs(25);
/// How long a stream is silent before it sends a comment to show that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Counts that are fresh, or have just been read from the origin.
pub(super) async fn counts(asked: &Asked<'_>, channel: &str) -> Result<Told, LikeRefusal> {
    let edge = asked.edge;
    let line = edge.likes.lines.line(channel)?;
    let mut watch = line.known.subscribe();
    let landings = {
        let known = watch.borrow_and_update();
        if let Some(at_hand) = known.fresh(asked.began) {
            return shown(asked, at_hand, Served::Hit, Way::Hit, known.fresh_until);
        }
        known.landings
    };
    let (served, way) = if read_counts(edge, &line, came_through(asked)) {
        let (status, stored) = (None, true);
        (Served::Miss, Way::Miss { status, stored })
    } else {
        (Served::Collapsed, Way::Collapsed)
    };
    let landed = watch.wait_for(|known| known.landings > landings);
    let landed = tokio::time::timeout(edge.limits().playlist_wait, landed).await;
    let now = edge.clock.now();
    match landed {
        Ok(Ok(known)) => shown(asked, known.at_hand(now), served, way, known.fresh_until),
        // The known counts stand in if the answer comes too late.
        _ => match line.known.borrow().newest.clone() {
            Some(kept) => shown(asked, AtHand::Stale(kept), served, way, now),
            None => Err(LikeRefusal::Overloaded(Shed::Origin)),
        },
    }
}

/// Waits for counts newer than `sequence`.
pub(super) async fn newer(
    asked: &Asked<'_>,
    channel: &str,
    sequence: &str,
) -> Result<Told, LikeRefusal> {
    let sequence: u64 = sequence
        .parse()
        .map_err(|_| LikeRefusal::Bad("newer_than is the `seq` of counts"))?;
    let edge = asked.edge;
    let line = edge.likes.lines.line(channel)?;
    let waiting = edge.likes.lines.waiting(&line)?;
    if line.known.borrow().newest.is_none() {
        let first = counts(asked, channel).await?;
        if !first.response.status().is_success() {
            return Ok(first);
        }
    }
    let mut watch = line.known.subscribe();
    poll_counts(edge, &waiting, came_through(asked));
    let until = edge.clock.instant(asked.began + CHANGE_WAIT);
    loop {
        let now = edge.clock.now();
        {
            let known = watch.borrow_and_update();
            let newest = known.newest.as_ref();
            let newer = newest.filter(|kept| kept.reading.seq > sequence);
            let at_hand = newer.cloned().map(AtHand::Counts);
            if let Some(at_hand) = at_hand.or_else(|| known.failure(now)) {
                let until = known.fresh_until;
                return shown(asked, at_hand, Served::Collapsed, Way::Collapsed, until);
            }
        }
        let changed = tokio::time::timeout_at(until, watch.changed());
        let changed = edge.likes.closing.run_until_cancelled(changed).await;
        if !matches!(changed, Some(Ok(Ok(())))) {
            return Ok(Told {
                served: Served::Collapsed,
                way: Way::Collapsed,
                ttl_s: None,
                response: nothing_newer(),
            });
        }
    }
}

/// Counts as events: at once, and after every change.
pub(super) async fn listen(
    asked: &Asked<'_>,
    channel: &str,
) -> Result<warp::reply::Response, LikeRefusal> {
    let edge = asked.edge;
    let line = edge.likes.lines.line(channel)?;
    let waiting = edge.likes.lines.waiting(&line)?;
    let first = counts(asked, channel).await?;
    if !first.response.status().is_success() {
        return Ok(first.response.into_response());
    }
    poll_counts(edge, &waiting, came_through(asked));
    let listener = Listener {
        edge: edge.clone(),
        known: line.known.subscribe(),
        told: None,
        _waiting: waiting,
    };
    Ok(stream::answer(futures_util::stream::unfold(
        listener,
        |mut listener| async { Some((listener.next().await?, listener)) },
    )))
}

/// The origin has answered this reader alone; the counts in the answer are known from now on.
pub(super) fn learn(asked: &Asked<'_>, channel: &str, response: &Response<Bytes>) {
    let reading = Reading::parse(response.body()).filter(|_| response.status().is_success());
    if let (Some(reading), Ok(line)) = (reading, asked.edge.likes.lines.line(channel)) {
        let fresh = asked.edge.limits().counts_fresh;
        line.learn(reading, asked.edge.clock.now(), fresh);
    }
}

fn shown(
    asked: &Asked<'_>,
    at_hand: AtHand,
    served: Served,
    way: Way,
    fresh_until: Timestamp,
) -> Result<Told, LikeRefusal> {
    let now = asked.edge.clock.now();
    let ttl_s = Some(fresh_until.since(now).as_secs() as i64);
    match at_hand {
        AtHand::Counts(kept) => Ok(Told {
            served,
            way,
            ttl_s,
            response: response(&kept, now),
        }),
        AtHand::Stale(kept) => Ok(Told {
            served: Served::Stale,
            way: Way::Stale { status: None },
            ttl_s: Some(-(now.since(fresh_until).as_secs() as i64)),
            response: response(&kept, now),
        }),
        AtHand::Said(response) => Ok(Told {
            served: if way == Way::Hit {
                Served::Negative
            } else {
                served
            },
            way,
            ttl_s: None,
            response,
        }),
        AtHand::Unreached => Err(LikeRefusal::Overloaded(Shed::Origin)),
    }
}

fn came_through(asked: &Asked<'_>) -> HeaderMap {
    let caches = upstream::came_through(asked.request.headers);
    caches
        .map(|caches| (CDN_LOOP, caches))
        .into_iter()
        .collect()
}

/// Begins to read for all who want these counts, unless a read is under way; returns whether it began one. The read is
/// a task of the edge's own, so the reader that asked may leave.
fn read_counts(edge: &Arc<Edge>, line: &Arc<Line>, headers: HeaderMap) -> bool {
    let begins = line.begins_read(edge.clock.now());
    if begins {
        let (edge, line) = (edge.clone(), line.clone());
        edge.tasks.clone().spawn(async move {
            let ended = ReadEnds(&line);
            // The number of these reads is bounded, and each reader that waits for them has a time limit.
            let _place = edge.likes.lines.reads.acquire().await;
            let path = format!("/live/{}/counts", line.channel);
            let question = question(&path, headers, Reason::Refresh);
            let wait = edge.limits().first_byte;
            let answered = exchange::exchange(&edge, &question, wait).await;
            let answered = answered.map(|reply| reply.response);
            line.landed(answered, edge.clock.now(), edge.limits().counts_fresh);
            drop(ended);
        });
    }
    begins
}

/// Begins to poll for all readers that wait for a change, unless a poll is under way. One poll follows another. Each
/// asks for counts newer than the newest ones, and polls are not more frequent than reads of counts.
fn poll_counts(edge: &Arc<Edge>, waiting: &Waiting, headers: HeaderMap) {
    let line = &waiting.line;
    if !line.begins_poll() {
        return;
    }
    let (edge, line) = (edge.clone(), line.clone());
    edge.tasks.clone().spawn(async move {
        while line.still_polls() {
            let fresh = edge.limits().counts_fresh;
            let (next_at, sequence) = {
                let known = line.known.borrow();
                let newest = known.newest.as_ref();
                let sequence = newest.map_or(0, |kept| kept.reading.seq);
                (known.polled_at.map(|at| at + fresh), sequence)
            };
            if let Some(next_at) = next_at.filter(|&at| edge.clock.now() < at) {
                tokio::time::sleep_until(edge.clock.instant(next_at)).await;
                continue;
            }
            let begun = edge.clock.now();
            line.polled(begun);
            let path = format!("/live/{}/counts?newer_than={sequence}", line.channel);
            let question = question(&path, headers.clone(), Reason::Refresh);
            let asking = exchange::exchange(&edge, &question, POLL_WAIT);
            let Some(answered) = edge.likes.closing.run_until_cancelled(asking).await else {
                return;
            };
            let answered = answered.map(|reply| reply.response);
            line.landed(answered, edge.clock.now(), fresh);
        }
    });
}

/// Frees a line for the next read when this read ends, in every case.
struct ReadEnds<'a>(&'a Line);

impl Drop for ReadEnds<'_> {
    fn drop(&mut self) {
        self.0.read_ended();
    }
}

/// A reader that listens to a stream of counts.
struct Listener {
    edge: Arc<Edge>,
    known: watch::Receiver<Known>,
    told: Option<Arc<Kept>>,
    _waiting: Waiting,
}

impl Listener {
    /// The next event; `None` once the edge is closing.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let newest = self.known.borrow_and_update().newest.clone();
            let news = newest.filter(|kept| {
                let told = self.told.as_ref();
                told.is_none_or(|told| kept.reading.is_news_after(&told.reading))
            });
            if let Some(kept) = news {
                let text = kept.reading.text();
                let seq = kept.reading.seq;
                self.told = Some(kept);
                return Some(format!("id: {seq}\nevent: counts\ndata: {text}\n").into());
            }
            let changed = tokio::time::timeout(HEARTBEAT, self.known.changed());
            match self.edge.likes.closing.run_until_cancelled(changed).await? {
                Err(_) => return Some(Bytes::from_static(b":\n\n")),
                Ok(Err(_)) => return None,
                Ok(Ok(())) => {}
            }
        }
    }
}

fn question(path: &str, headers: HeaderMap, reason: Reason) -> Question {
    let path: PathAndQuery = path.parse().expect("a channel's name is path-safe");
    Question {
        method: Method::GET,
        path,
        headers,
        body: Bytes::new(),
        repeatable: true,
        answer_bytes_max: exchange::ANSWER_BYTES_MAX,
        reason,
    }
}

fn response(kept: &Kept, now: Timestamp) -> Response<Bytes> {
    let mut response = Response::new(kept.text.clone());
    let head = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "public, max-age=1"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ] {
        head.insert(name, HeaderValue::from_static(value));
    }
    head.insert(AGE, now.since(kept.at).as_secs().into());
    response
}

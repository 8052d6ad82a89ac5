//! Blocking playlist reload at an edge. A request that names a segment gets a playlist that lists it, or 400 or 503. For any
//! number of waiting requests, the origin is asked as if one viewer polled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;

use crate::support::client;
use crate::support::edge::TestEdge;
use crate::support::eventually;
use crate::support::fault_origin::{Behaviour, FaultOrigin};

const PLAYLIST: &str = "/live/demo/720p/media.m3u8";
const BLOCKED: &str = "seawall_edge_blocked_requests{";

fn for_segment(number: usize) -> String {
    format!("{PLAYLIST}?_HLS_msn={number}")
}

/// An origin whose playlist ends with segment `last`, with segments of `target` seconds.
async fn playlists(last: &Arc<AtomicUsize>, target: u32) -> FaultOrigin {
    let last = last.clone();
    FaultOrigin::start(move |_, _| {
        let last = last.load(Ordering::Relaxed);
        let first = last - 2;
        let mut text =
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        for number in first..=last {
            text += &format!("#EXTINF:{target},\n{number}.ts\n");
        }
        Behaviour::ok(text)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_wait_for_a_segment_are_answered_together_by_a_playlist_that_lists_it() {
    const VIEWERS: usize = 500;
    let last = Arc::new(AtomicUsize::new(10));
    let origin = playlists(&last, 4).await;
    // A request that waits for a future playlist has no seat on its flight.
    let limits = Limits {
        waiters_per_flight_max: VIEWERS as u32,
        waiters_max: VIEWERS as u32,
        ..Limits::default()
    };
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, limits);
    let addr = edge.addr;
    let viewers: Vec<_> = (0..VIEWERS)
        .map(|viewer| {
            // Some want the next segment, some the one after it, so one playlist does not serve all of them.
            let path = for_segment(11 + viewer % 2);
            tokio::spawn(async move { client::get(addr, &path).await })
        })
        .collect();
    // They wait for the first playlist on its flight; once it has landed, they hold no seat.
    eventually("all of them wait, and none of them on a seat", || {
        edge.metric(BLOCKED) == VIEWERS as f64 && edge.edge.waiters() == 0
    })
    .await;
    let plain = client::get(addr, PLAYLIST).await;
    assert!(
        plain.status == 200 && plain.whole,
        "who names no segment does not wait"
    );
    last.store(11, Ordering::Relaxed);
    eventually("half of them are answered", || {
        edge.metric(BLOCKED) == VIEWERS as f64 / 2.0
    })
    .await;
    last.store(12, Ordering::Relaxed);
    for (viewer, reply) in viewers.into_iter().enumerate() {
        let reply = reply.await.unwrap();
        let wanted = format!("\n{}.ts\n", 11 + viewer % 2);
        let text = String::from_utf8(reply.body.clone()).unwrap();
        assert!(
            reply.status == 200 && text.contains(&wanted),
            "{viewer}: {reply:?}"
        );
        assert!(
            reply.header("cache-status").contains("edge-t; "),
            "{reply:?}"
        );
    }
    assert_eq!(edge.metric(BLOCKED), 0.0);
    // One poll while a playlist is due, not one per viewer: two segments, each late by at most half of its target duration.
    let polls = origin.hits(PLAYLIST);
    assert!(
        (3..=24).contains(&polls),
        "{polls} requests for {VIEWERS} viewers"
    );
    let ahead = client::get(addr, &for_segment(12)).await;
    assert!(
        ahead.status == 200 && ahead.header("cache-status").contains("; hit"),
        "{ahead:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_come_is_said_and_never_answered_by_an_older_playlist() {
    let last = Arc::new(AtomicUsize::new(10));
    let origin = playlists(&last, 1).await;
    let limits = Limits {
        blocked_max: 1,
        ..Limits::default()
    };
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, limits);
    let (addr, begun) = (edge.addr, Instant::now());
    let too_far = client::get(addr, &for_segment(13)).await;
    assert_eq!(too_far.status, 400, "{too_far:?}");
    let never = tokio::spawn(async move { client::get(addr, &for_segment(11)).await });
    eventually("it waits", || edge.metric(BLOCKED) == 1.0).await;
    let beyond = client::get(addr, &for_segment(11)).await;
    assert_eq!(beyond.status, 503, "{beyond:?}");
    assert!(
        beyond.header("cache-status").contains("blocked-full"),
        "{beyond:?}"
    );
    let plain = client::get(addr, PLAYLIST).await;
    assert_eq!(plain.status, 200, "plain requests have places of their own");
    let never = never.await.unwrap();
    let waited = begun.elapsed();
    assert_eq!(never.status, 503, "{never:?}");
    assert!(!never.header("retry-after").is_empty(), "{never:?}");
    assert!(
        (Duration::from_millis(2_900)..Duration::from_secs(6)).contains(&waited),
        "{waited:?} for three target durations of a second"
    );
    eventually("no flight is left", || edge.quiet()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rendition_that_is_not_there_is_not_waited_for() {
    let origin = FaultOrigin::start(|_, _| Behaviour::status(404)).await;
    let edge = TestEdge::start(&origin.url());
    let begun = Instant::now();
    let reply = client::get(edge.addr, &for_segment(11)).await;
    assert_eq!(reply.status, 404);
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(origin.hits(PLAYLIST), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_origin_fails_a_waiting_request_asks_no_more_often_than_failures_allow() {
    let failing = FaultOrigin::start(|_, number| match number {
        0 => Behaviour::ok(
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:9\n#EXTINF:1,\n9.ts\n#EXTINF:1,\n10.ts\n",
        ),
        _ => Behaviour::status(503),
    })
    .await;
    let edge = TestEdge::start(&failing.url());
    client::get(edge.addr, PLAYLIST).await;
    let addr = edge.addr;
    let viewers: Vec<_> = (0..50)
        .map(|_| tokio::spawn(async move { client::get(addr, &for_segment(11)).await }))
        .collect();
    for viewer in viewers {
        let reply = viewer.await.unwrap();
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(!reply.header("retry-after").is_empty(), "{reply:?}");
    }
    // 250, 500 and 1,000 ms apart, for three seconds.
    let asked = failing.hits(PLAYLIST);
    assert!((3..=8).contains(&asked), "{asked} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn playlists_that_come_stale_are_not_asked_for_without_end() {
    // Like a shield whose own origin is down: it answers at once, and with an age.
    let origin = FaultOrigin::start(|_, _| {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:9\n#EXTINF:1,\n9.ts\n#EXTINF:1,\n10.ts\n";
        Behaviour::ok_with("age: 1\r\n", text)
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    let addr = edge.addr;
    let viewers: Vec<_> = (0..50)
        .map(|_| tokio::spawn(async move { client::get(addr, &for_segment(11)).await.status }))
        .collect();
    for viewer in viewers {
        assert_eq!(viewer.await.unwrap(), 503);
    }
    // Three target durations of a second, with at least a sixteenth of a second between two requests.
    let asked = origin.hits(PLAYLIST);
    assert!((3..=60).contains(&asked), "{asked} requests");
}

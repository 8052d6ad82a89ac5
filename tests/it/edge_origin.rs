//! How an edge treats a failing origin and its viewers. It retries within a budget, resumes a body that broke off, and leaves
//! the origin alone. It holds requests for segments that are about to be published, and never serves an older playlist. The
//! reference is the fault origin's own log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;

use crate::support::client;
use crate::support::edge::TestEdge;
use crate::support::eventually;
use crate::support::fault_origin::{Arrived, Behaviour, FaultOrigin, Gate};

const SEGMENT: &str = "/live/demo/720p/7.ts";
const PLAYLIST: &str = "/live/demo/720p/media.m3u8";

fn segment(number: u64) -> String {
    format!("/live/demo/720p/{number}.ts")
}

/// A playlist of six segments; `last` is the newest.
fn list(last: u64) -> Behaviour {
    let first = last - 5;
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
    );
    for number in first..=last {
        text += &format!("#EXTINF:1.0,\n{number}.ts\n");
    }
    Behaviour::ok(text)
}

fn body() -> Vec<u8> {
    (0..100_000_u32).map(|index| (index % 251) as u8).collect()
}

/// The rest of `body`, as the answer to a request with a Range.
fn rest(arrived: &Arrived, etag: &str) -> Behaviour {
    let offset: usize = arrived
        .head
        .lines()
        .find_map(|line| line.strip_prefix("range: bytes="))
        .and_then(|range| range.strip_suffix('-')?.parse().ok())
        .unwrap();
    Behaviour::Answer {
        status: 206,
        headers: format!("etag: {etag}\r\ncontent-range: bytes {offset}-99999/100000\r\n"),
        body: body()[offset..].to_vec(),
    }
}

fn broken_off(etag: &str) -> Behaviour {
    Behaviour::Truncated {
        headers: format!("etag: {etag}\r\n"),
        body: body(),
        sent: 40_000,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_asked_again_before_any_viewer_hears_of_it() {
    for failure in [Behaviour::Reset, Behaviour::status(500)] {
        let origin = FaultOrigin::start(move |_, number| match number {
            0 => failure.clone(),
            _ => Behaviour::ok("whole"),
        })
        .await;
        let edge = TestEdge::start(&origin.url());
        let reply = client::get(edge.addr, SEGMENT).await;
        assert_eq!((reply.status, reply.body), (200, b"whole".to_vec()));
        assert_eq!(origin.hits(SEGMENT), 2);
        let retried = "seawall_edge_origin_fetches_total{edge=\"edge-t\",kind=\"segment\",outcome=\"ok\",reason=\"retry\"}";
        assert_eq!(edge.metric(retried), 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_goes_on_where_it_broke_off_unseen_by_viewers() {
    for ranges in [true, false] {
        let origin = FaultOrigin::start(move |arrived, number| match number {
            0 => broken_off("\"one\""),
            _ if ranges => rest(arrived, "\"one\""),
            // An origin without ranges sends the whole body again.
            _ => Behaviour::ok_with("etag: \"one\"\r\n", body()),
        })
        .await;
        let edge = TestEdge::start(&origin.url());
        let reply = client::get(edge.addr, SEGMENT).await;
        assert_eq!((reply.status, reply.whole), (200, true));
        assert!(reply.body == body(), "no byte is lost or doubled");
        let second = &origin.arrived()[1].head;
        assert!(second.contains("range: bytes=40000-\r\n"), "{second}");
        assert!(second.contains("if-range: \"one\"\r\n"), "{second}");
        let hit = client::get(edge.addr, SEGMENT).await;
        assert!(hit.header("cache-status").contains("; hit"), "{hit:?}");
        assert!(hit.body == body());
        assert_eq!(origin.hits(SEGMENT), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_has_changed_meanwhile_is_never_joined_to_the_old_one() {
    let origin = FaultOrigin::start(|arrived, number| match number {
        0 => broken_off("\"one\""),
        1 => rest(arrived, "\"two\""),
        2 => Behaviour::ok_with("etag: \"two\"\r\n", vec![9; 100_000]),
        _ => Behaviour::status(500),
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    let reply = client::get(edge.addr, SEGMENT).await;
    assert!(!reply.whole, "the connection breaks off");
    assert!(reply.body.len() <= 40_000 && body().starts_with(&reply.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_paid_from_a_budget() {
    let origin = FaultOrigin::start(|_, _| Behaviour::status(500)).await;
    let limits = Limits {
        breaker_failures: 1_000,
        ..Limits::default()
    };
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, limits);
    // Fewer than the last twenty outcomes that the breaker counts, including retries.
    for number in 0..8 {
        client::get(edge.addr, &segment(number)).await;
    }
    // Ten retries are available at the start. When half of the last twenty outcomes have failed, the breaker opens.
    assert_eq!(origin.arrived().len(), 8 + 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_keeps_failing_is_left_alone_and_found_again_within_two_seconds() {
    let well = Arc::new(AtomicUsize::new(0));
    let switch = well.clone();
    let origin = FaultOrigin::start(move |_, _| match switch.load(Ordering::Relaxed) {
        0 => Behaviour::Reset,
        _ => Behaviour::ok("well"),
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    let begun = Instant::now();
    let (mut asked, mut refused) = (0_u64, 0);
    while begun.elapsed() < Duration::from_secs(3) {
        // A new key each time, so that no remembered failure answers before the breaker does.
        let reply = client::get(edge.addr, &segment(asked)).await;
        asked += 1;
        assert!(reply.status >= 500);
        assert!(!reply.header("retry-after").is_empty(), "{reply:?}");
        if reply.header("cache-status").contains("breaker-open") {
            assert_eq!(reply.status, 503);
            refused += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Five failures open it. Then probes follow after 250 ms, 500 ms and every second; the breaker refuses their retries.
    let connects = origin.arrived().len();
    assert!(
        (6..=12).contains(&connects),
        "{connects} of {asked} went to the origin"
    );
    assert!(refused > asked / 2, "{refused} of {asked}");
    assert!(edge.metric("seawall_edge_breaker_state") >= 1.0);

    well.store(1, Ordering::Relaxed);
    let begun = Instant::now();
    while client::get(edge.addr, &segment(asked)).await.status != 200 {
        asked += 1;
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "still not found again"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(edge.metric("seawall_edge_breaker_state"), 0.0);
}

fn narrow() -> Limits {
    Limits {
        origin_at_once_max: 1,
        origin_queue_wait: Duration::from_secs(5),
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_edge_goes_to_the_origin_before_what_is_older() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |arrived, _| {
        let answer = Behaviour::ok_with("cache-control: max-age=60\r\n", "x");
        match arrived.target.as_str() {
            "/first" => Behaviour::Gated(held.clone(), Box::new(answer)),
            _ => answer,
        }
    })
    .await;
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, narrow());
    let ask = |target: &'static str| tokio::spawn(client::get(edge.addr, target));
    let first = ask("/first");
    eventually("the first is at the origin", || origin.hits("/first") == 1).await;
    let older = ask("/older");
    let depth = |class| {
        edge.metric(&format!(
            "seawall_edge_origin_queue_depth{{class=\"{class}\""
        ))
    };
    eventually("the older waits", || depth("older") == 1.0).await;
    let live = ask(SEGMENT);
    eventually("the live one waits", || depth("live-edge") == 1.0).await;
    gate.open();
    for reply in [first, older, live] {
        assert_eq!(reply.await.unwrap().status, 200);
    }
    let order: Vec<_> = origin
        .arrived()
        .into_iter()
        .map(|arrived| arrived.target)
        .collect();
    assert_eq!(order, ["/first", SEGMENT, "/older"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_everybody_has_left_before_it_began_is_never_asked_for() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |_, _| {
        let answer = Behaviour::ok_with("cache-control: max-age=60\r\n", "x");
        Behaviour::Gated(held.clone(), Box::new(answer))
    })
    .await;
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, narrow());
    let first = tokio::spawn(client::get(edge.addr, "/first"));
    eventually("the first is at the origin", || origin.hits("/first") == 1).await;
    let leaver = client::send(edge.addr, "GET", "/older", "", b"").await;
    eventually("the older one waits", || edge.edge.waiters() == 2).await;
    client::reset(leaver);
    eventually("its flight is cancelled", || {
        edge.edge.flights_under_way() == 1
    })
    .await;
    gate.open();
    assert_eq!(first.await.unwrap().status, 200);
    eventually("nothing is left", || edge.quiet()).await;
    assert_eq!(origin.hits("/older"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_never_sees_a_playlist_older_than_one_that_was_served() {
    // Segment 20, then an older copy for a while, then a stream that has begun anew.
    let origin = FaultOrigin::start(|_, number| match number {
        0 => list(20),
        1..=3 => list(18),
        _ => list(9),
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    let newest = |reply: &client::Reply| -> u64 {
        let text = String::from_utf8_lossy(&reply.body);
        let last = text.lines().rfind(|line| line.ends_with(".ts")).unwrap();
        last.trim_end_matches(".ts").parse().unwrap()
    };
    let begun = Instant::now();
    let mut seen = Vec::new();
    while seen.last() != Some(&9) {
        assert!(begun.elapsed() < Duration::from_secs(8), "{seen:?}");
        let reply = client::get(edge.addr, PLAYLIST).await;
        if reply.status == 200 {
            seen.push(newest(&reply));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    seen.dedup();
    assert_eq!(
        seen,
        [20, 9],
        "never 18 after 20; a stream that begins anew is one"
    );
    let blocked = edge.metric("seawall_edge_playlist_regressions_blocked_total");
    assert_eq!(blocked, 3.0);
}

/// An origin whose newest segment is `last`; it has no later one.
async fn growing(last: &Arc<AtomicUsize>) -> FaultOrigin {
    let last = last.clone();
    FaultOrigin::start(move |arrived, _| {
        let last = last.load(Ordering::Relaxed) as u64;
        if arrived.target == PLAYLIST {
            return list(last);
        }
        let number = arrived
            .target
            .rsplit('/')
            .next()
            .and_then(|file| file.strip_suffix(".ts")?.parse::<u64>().ok());
        match number {
            Some(number) if number <= last => Behaviour::ok(format!("segment {number}")),
            _ => Behaviour::status(404),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_segment_is_held_until_it_is_published() {
    let last = Arc::new(AtomicUsize::new(20));
    let origin = growing(&last).await;
    let edge = TestEdge::start(&origin.url());
    client::get(edge.addr, PLAYLIST).await;
    let path = segment(21);
    let early: Vec<_> = (0..20)
        .map(|_| {
            let (addr, path) = (edge.addr, path.clone());
            tokio::spawn(async move { client::get(addr, &path).await })
        })
        .collect();
    eventually("all of them are held", || {
        edge.edge.waiters() == 20 && edge.metric("seawall_edge_held_fetches") == 1.0
    })
    .await;
    last.store(21, Ordering::Relaxed);
    for reply in early {
        let reply = reply.await.unwrap();
        assert_eq!((reply.status, reply.body), (200, b"segment 21".to_vec()));
    }
    assert!(origin.hits(&path) <= 3, "{} hits", origin.hits(&path));

    // A segment further ahead is not held, and its 404 is remembered until a playlist lists it.
    let ahead = segment(23);
    assert_eq!(client::get(edge.addr, &ahead).await.status, 404);
    let again = client::get(edge.addr, &ahead).await;
    assert!(
        again.header("cache-status").contains("detail=negative"),
        "{again:?}"
    );
    assert_eq!(origin.hits(&ahead), 1);
    last.store(23, Ordering::Relaxed);
    eventually_asking(&edge, PLAYLIST, "23.ts").await;
    assert_eq!(client::get(edge.addr, &ahead).await.status, 200);
    assert!(edge.metric("seawall_edge_negatives_purged_total") >= 1.0);
}

/// Asks until an answer contains `text`.
async fn eventually_asking(edge: &TestEdge, path: &str, text: &str) {
    let begun = Instant::now();
    loop {
        let reply = client::get(edge.addr, path).await;
        if String::from_utf8_lossy(&reply.body).contains(text) {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "no {text} in {path}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_held_while_half_of_the_places_are_taken() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |arrived, _| match arrived.target.as_str() {
        PLAYLIST => list(20),
        SEGMENT => Behaviour::Gated(held.clone(), Box::new(Behaviour::ok("x"))),
        _ => Behaviour::status(404),
    })
    .await;
    let limits = Limits {
        waiters_max: 8,
        ..Limits::default()
    };
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, limits);
    client::get(edge.addr, PLAYLIST).await;
    let addr = edge.addr;
    let waiting: Vec<_> = (0..4)
        .map(|_| tokio::spawn(async move { client::get(addr, SEGMENT).await }))
        .collect();
    eventually("four wait", || edge.edge.waiters() == 4).await;
    let begun = Instant::now();
    assert_eq!(client::get(addr, &segment(21)).await.status, 404);
    assert!(begun.elapsed() < Duration::from_millis(400), "it was held");
    gate.open();
    for reply in waiting {
        assert_eq!(reply.await.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_comes_is_404_after_a_target_duration() {
    let last = Arc::new(AtomicUsize::new(20));
    let origin = growing(&last).await;
    let edge = TestEdge::start(&origin.url());
    client::get(edge.addr, PLAYLIST).await;
    let begun = Instant::now();
    let reply = client::get(edge.addr, &segment(21)).await;
    assert_eq!(reply.status, 404);
    let waited = begun.elapsed();
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(3)).contains(&waited),
        "{waited:?} for a target duration of a second"
    );
    assert!(origin.hits(&segment(21)) <= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newly_listed_segment_is_fetched_before_anybody_asks() {
    let last = Arc::new(AtomicUsize::new(20));
    let origin = growing(&last).await;
    let edge = TestEdge::start(&origin.url());
    client::get(edge.addr, PLAYLIST).await;
    last.store(21, Ordering::Relaxed);
    eventually_asking(&edge, PLAYLIST, "21.ts").await;
    eventually("it has been fetched ahead", || {
        origin.hits(&segment(21)) == 1 && edge.quiet()
    })
    .await;
    assert_eq!(edge.metric("seawall_edge_prefetched_used_total"), 0.0);
    for _ in 0..2 {
        let reply = client::get(edge.addr, &segment(21)).await;
        assert!(reply.header("cache-status").contains("; hit"), "{reply:?}");
    }
    assert_eq!(edge.metric("seawall_edge_prefetched_used_total"), 1.0);
    assert_eq!(origin.hits(&segment(21)), 1);
    assert_eq!(
        origin.hits(&segment(20)),
        0,
        "the first playlist is no news"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_have_the_head_alone_move_on_to_the_next_attempt() {
    let origin = FaultOrigin::start(|_, number| match number {
        0 => Behaviour::Truncated {
            headers: String::new(),
            body: body(),
            sent: 0,
        },
        _ => Behaviour::ok(body()),
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    let readers: Vec<_> = (0..20)
        .map(|_| tokio::spawn(client::get(edge.addr, SEGMENT)))
        .collect();
    for reader in readers {
        let reply = reader.await.unwrap();
        assert!(reply.status == 200 && reply.whole && reply.body == body());
    }
    assert_eq!(origin.hits(SEGMENT), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_another_length_are_cut_off_and_not_deceived() {
    let origin = FaultOrigin::start(|_, number| match number {
        0 => Behaviour::Truncated {
            headers: String::new(),
            body: body(),
            sent: 0,
        },
        _ => Behaviour::ok("another"),
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    let reply = client::get(edge.addr, SEGMENT).await;
    assert!(!reply.whole, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_is_not_handed_out_before_what_it_lists_is_here() {
    let last = Arc::new(AtomicUsize::new(20));
    let newest = last.clone();
    let origin = FaultOrigin::start(move |arrived, _| match arrived.target.as_str() {
        PLAYLIST => list(newest.load(Ordering::Relaxed) as u64),
        _ => Behaviour::Late(
            Duration::from_millis(100),
            Box::new(Behaviour::ok("segment")),
        ),
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    client::get(edge.addr, PLAYLIST).await;
    for number in 21..24 {
        last.store(number, Ordering::Relaxed);
        eventually_asking(&edge, PLAYLIST, &format!("\n{number}.ts")).await;
        let reply = client::get(edge.addr, &segment(number as u64)).await;
        assert!(reply.header("cache-status").contains("; hit"), "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_of_three_is_found_whatever_a_viewer_says_of_other_caches() {
    let reserve = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let doors = [reserve(), reserve(), reserve()];
    let urls = doors
        .each_ref()
        .map(|door| format!("http://{}", door.local_addr().unwrap()));
    // The first edge asks the second, and the second and the third ask each other.
    let asks = [&urls[1], &urls[2], &urls[1]];
    let edges: Vec<_> = doors
        .into_iter()
        .zip(["edge-a", "edge-b", "edge-c"])
        .zip(asks)
        .map(|((door, name), upstream)| TestEdge::start_named(name, upstream, door))
        .collect();
    for headers in [
        "",
        "cdn-loop: somebody\r\n",
        "cdn-loop: x\r\ncdn-loop: y\r\n",
    ] {
        for path in [SEGMENT, "/foreign/path"] {
            let begun = Instant::now();
            let reply = client::request(edges[0].addr, "GET", path, headers, b"").await;
            assert_eq!(reply.status, 508, "{path} {headers:?}: {reply:?}");
            assert!(
                begun.elapsed() < Duration::from_secs(1),
                "{path}: not by a deadline"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_who_lies_about_caches_spoils_nothing_for_others() {
    let gate = Gate::closed();
    let held = gate.clone();
    // Stands for a shield that believes that it has sent this request itself.
    let origin =
        FaultOrigin::start(
            move |arrived, _| match arrived.head.contains("cdn-loop: shield-1") {
                true => Behaviour::Gated(held.clone(), Box::new(Behaviour::status(508))),
                false => Behaviour::ok("well"),
            },
        )
        .await;
    let edge = TestEdge::start(&origin.url());
    let liar = client::send(edge.addr, "GET", SEGMENT, "cdn-loop: shield-1\r\n", b"").await;
    eventually("the liar leads", || origin.hits(SEGMENT) == 1).await;
    let addr = edge.addr;
    let follower = tokio::spawn(async move { client::get(addr, SEGMENT).await });
    eventually("the other follows", || edge.edge.waiters() == 2).await;
    gate.open();
    let reply = follower.await.unwrap();
    assert_eq!((reply.status, reply.body), (200, b"well".to_vec()));
    drop(liar);
    for number in 10..20 {
        let lie = "cdn-loop: shield-1\r\n";
        client::request(edge.addr, "GET", &segment(number), lie, b"").await;
    }
    assert_eq!(edge.metric("seawall_edge_breaker_state"), 0.0);
    assert_eq!(
        client::get(edge.addr, &segment(10)).await.status,
        200,
        "nothing is remembered"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_viewers_choose_to_ask_for_never_opens_the_breaker() {
    let origin = FaultOrigin::start(|arrived, _| match arrived.target.as_str() {
        SEGMENT => Behaviour::ok("well"),
        _ => Behaviour::status(500),
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    for number in 0..30 {
        let path = format!("/foreign?{number}");
        client::get(edge.addr, &path).await;
        let body = "transfer-encoding: chunked\r\nconnection: close\r\n";
        client::request(edge.addr, "POST", &path, body, b"zz\r\n").await;
    }
    assert_eq!(edge.metric("seawall_edge_breaker_state"), 0.0);
    assert_eq!(client::get(edge.addr, SEGMENT).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_that_breaks_off_begins_anew() {
    let Behaviour::Answer { body: whole, .. } = list(20) else {
        unreachable!("it is an answer")
    };
    let origin = FaultOrigin::start(move |_, number| match number {
        0 => Behaviour::Truncated {
            headers: "etag: \"one\"\r\n".to_owned(),
            body: whole.clone(),
            sent: 40,
        },
        _ => list(20),
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    let reply = client::get(edge.addr, PLAYLIST).await;
    assert_eq!((reply.status, reply.whole), (200, true));
    assert!(String::from_utf8(reply.body).unwrap().ends_with("20.ts\n"));
    assert!(!origin.arrived()[1].head.contains("range:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_request_ends_when_the_stream_begins_anew() {
    let last = Arc::new(AtomicUsize::new(20));
    let origin = growing(&last).await;
    let edge = TestEdge::start(&origin.url());
    client::get(edge.addr, PLAYLIST).await;
    let addr = edge.addr;
    let early = tokio::spawn(async move { client::get(addr, &segment(21)).await });
    eventually("it is held", || {
        edge.metric("seawall_edge_held_fetches") == 1.0
    })
    .await;
    last.store(9, Ordering::Relaxed);
    eventually_asking(&edge, PLAYLIST, "9.ts").await;
    assert_eq!(early.await.unwrap().status, 404);
    assert!(
        origin.hits(&segment(21)) <= 4,
        "{}",
        origin.hits(&segment(21))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_that_ask_each_other_in_a_circle_say_so_at_once() {
    let reserve = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (first_door, second_door) = (reserve(), reserve());
    let url = |door: &std::net::TcpListener| format!("http://{}", door.local_addr().unwrap());
    let first = TestEdge::start_named("edge-a", &url(&second_door), first_door);
    let second = TestEdge::start_named("edge-b", &format!("http://{}", first.addr), second_door);
    for path in [SEGMENT, "/foreign/path"] {
        let begun = Instant::now();
        let reply = client::get(second.addr, path).await;
        assert_eq!(reply.status, 508, "{path}: {reply:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "{path}: not by a deadline"
        );
    }
    eventually("nothing goes round", || first.quiet() && second.quiet()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_server_is_gone_the_other_stands_in_and_no_viewer_notices() {
    let good = FaultOrigin::start(|_, _| Behaviour::ok("x")).await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let edge = TestEdge::start_before(vec![dead, good.url()]);
    for number in 0..40 {
        let reply = client::get(edge.addr, &segment(number)).await;
        assert_eq!(reply.status, 200, "{number}: {reply:?}");
    }
    assert_eq!(good.arrived().len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_passed_over_before_any_viewer_has_waited_for_it() {
    let silent = Arc::new(AtomicUsize::new(0));
    let falls_silent = silent.clone();
    let sick = FaultOrigin::start(move |_, _| match falls_silent.load(Ordering::Relaxed) {
        0 => Behaviour::ok("from the first"),
        _ => Behaviour::Late(Duration::from_secs(60), Box::new(Behaviour::status(500))),
    })
    .await;
    let well = FaultOrigin::start(|_, _| Behaviour::ok("from the second")).await;
    let edge = TestEdge::start_before(vec![sick.url(), well.url()]);
    let checks = tokio::spawn(edge.edge.clone().see_to_health(edge.stop.clone()));
    for number in 0..20 {
        assert_eq!(client::get(edge.addr, &segment(number)).await.status, 200);
    }
    let asked = |origin: &FaultOrigin| {
        let all = origin.arrived();
        all.iter().filter(|arrived| arrived.method == "GET").count()
    };
    assert!(
        asked(&sick) > 0 && asked(&well) > 0,
        "each has its share of the keys"
    );

    silent.store(1, Ordering::Relaxed);
    let down = || edge.metric("seawall_edge_upstreams_down{");
    eventually("it is found out", || down() == 1.0).await;
    let before = asked(&sick);
    for number in 100..120 {
        let reply = client::get(edge.addr, &segment(number)).await;
        assert_eq!(reply.body, b"from the second");
    }
    assert_eq!(asked(&sick), before, "no viewer has waited for it");

    silent.store(0, Ordering::Relaxed);
    eventually("it is found well again", || down() == 0.0).await;
    for number in 200..220 {
        assert_eq!(client::get(edge.addr, &segment(number)).await.status, 200);
    }
    assert!(asked(&sick) > before, "it has its share again");
    edge.stop.cancel();
    checks.await.unwrap();
}

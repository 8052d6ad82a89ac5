//! Likes through edges: each like is forwarded once and has the same result through any edge. Reads are shared, and likes take
//! no permits of the video.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use seawall::likes::forward::Forwarded;
use seawall::likes::names::BATCH;
use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;

use crate::support::client::{self, Reply};
use crate::support::edge::TestEdge;
use crate::support::eventually;
use crate::support::fault_origin::{Arrived, Behaviour, FaultOrigin, Gate};
use crate::support::likes::{EASY, counts, folder, hearts, json, like, origin, send};

const UNDER_WAY: &str = "seawall_edge_requests_inflight{edge=\"edge-t\",kind=\"other\"}";
const PLAYLIST: &str = "/live/demo/720p/media.m3u8";

fn url(addr: SocketAddr) -> String {
    format!("http://{addr}")
}

fn edge_before(origin: &FaultOrigin, limits: Limits) -> TestEdge {
    TestEdge::start_with(&origin.url(), MissQueue::Flights, limits)
}

/// An origin of an older version, without batches. `script` decides its answer to other requests from the request and its
/// number.
async fn one_by_one(
    script: impl Fn(&Arrived, usize) -> Behaviour + Send + Sync + 'static,
) -> FaultOrigin {
    let number = AtomicUsize::new(0);
    FaultOrigin::start(move |arrived, _| match arrived.target.as_str() {
        BATCH => Behaviour::status(404),
        _ => script(arrived, number.fetch_add(1, Ordering::Relaxed)),
    })
    .await
}

/// The requests at such an origin, without batches.
fn likes_at(origin: &FaultOrigin) -> Vec<Arrived> {
    let mut arrived = origin.arrived();
    arrived.retain(|one| one.target != BATCH);
    arrived
}

fn refused_for(reply: &Reply) -> (u16, String, String) {
    let json = json(reply);
    let text = |key: &str| json[key].as_str().unwrap_or("none").to_owned();
    (reply.status, text("error"), text("reason"))
}

fn refusal(status: u16, word: &str, reason: &str) -> (u16, String, String) {
    (status, word.to_owned(), reason.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_through_two_edges_counts_once_and_a_strong_read_through_another_sees_it() {
    let folder = folder();
    let origin = origin(folder.path(), EASY);
    let upstream = url(origin.address("origin").await);
    let edges = [(); 2].map(|()| TestEdge::start(&upstream));
    let [here, there] = [edges[0].addr, edges[1].addr];
    let sent: Vec<_> = (0..100)
        .map(|viewer| {
            let first = if viewer % 2 == 0 { here } else { there };
            tokio::spawn(async move { like(first, &format!("v{viewer}"), 1).await })
        })
        .collect();
    for reply in sent {
        let reply = reply.await.unwrap();
        assert_eq!(reply.status, 202, "{reply:?}");
        assert_eq!(json(&reply)["duplicate"], false);
        assert!(reply.header("cache-status").contains("fwd=bypass"));
        assert!(reply.header("via").contains("edge-t"));
    }
    for viewer in 0..100 {
        // Now through the other edge.
        let second = if viewer % 2 == 0 { there } else { here };
        let reply = like(second, &format!("v{viewer}"), 1).await;
        assert_eq!(json(&reply)["duplicate"], true, "{reply:?}");
    }
    for (edge, duplicate) in [(here, false), (there, true)] {
        let reply = hearts(edge, "ann", "the-same", 5).await;
        assert_eq!(json(&reply)["duplicate"], duplicate, "{reply:?}");
    }
    let unlike = send(here, "DELETE", "/live/demo/likes/v7", "like-seq: 2\r\n", "").await;
    assert_eq!(unlike.status, 202);
    let strong = counts(there, "?consistency=strong").await;
    assert_eq!(
        (&strong["likes"], &strong["hearts"]),
        (&99.into(), &5.into())
    );
    // The edge passes refusals of the origin on unchanged.
    let path = "/live/demo/likes/bob";
    let nameless = send(here, "PUT", path, "", "").await;
    assert_eq!(refused_for(&nameless), refusal(400, "bad-request", "none"));
    let other = send(here, "PATCH", path, "", "").await;
    assert_eq!(refused_for(&other), refusal(405, "bad-request", "none"));
    let preflight = send(here, "OPTIONS", path, "", "").await;
    assert_eq!(preflight.status, 204);
    assert_eq!(
        preflight.header("access-control-allow-methods"),
        "PUT, DELETE, OPTIONS"
    );
    let long = "x".repeat(5_000);
    let long = send(here, "POST", "/live/demo/reactions", "", &long).await;
    assert_eq!(refused_for(&long), refusal(413, "too-large", "none"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_like_whose_outcome_is_unknown_goes_once_more_if_it_says_which_one_it_is() {
    let origin = one_by_one(|_, number| match number {
        0 | 2 => Behaviour::Reset,
        _ => Behaviour::Answer {
            status: 202,
            headers: String::new(),
            body: b"{}".to_vec(),
        },
    })
    .await;
    let edge = edge_before(&origin, Limits::default());
    assert_eq!(like(edge.addr, "ann", 1).await.status, 202);
    assert_eq!(likes_at(&origin).len(), 2);
    let nameless = "{\"hearts\":1}";
    let nameless = send(edge.addr, "POST", "/live/demo/reactions", "", nameless).await;
    assert_eq!(
        refused_for(&nameless),
        refusal(503, "outcome-unknown", "none")
    );
    assert_eq!(likes_at(&origin).len(), 3, "it was not sent again");
    assert_eq!(
        origin.hits(BATCH),
        1,
        "who takes no batches gets no second one so soon"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_gone_or_silent_is_said_in_bounded_time() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = url(gone.local_addr().unwrap());
    drop(gone);
    let edge = TestEdge::start(&nowhere);
    let begun = Instant::now();
    for reply in [
        like(edge.addr, "ann", 1).await,
        hearts(edge.addr, "ann", "key", 1).await,
        client::get(edge.addr, "/live/demo/counts?consistency=strong").await,
        client::get(edge.addr, "/live/demo/counts").await,
        client::get(edge.addr, "/live/demo/counts?newer_than=1").await,
    ] {
        let expected = refusal(503, "overloaded", "origin-unreachable");
        assert_eq!(refused_for(&reply), expected);
        let wait: u64 = reply.header("retry-after").parse().unwrap();
        assert!((1..=3).contains(&wait), "{reply:?}");
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");

    let silent =
        FaultOrigin::start(|_, _| Behaviour::Gated(Gate::closed(), Box::new(Behaviour::Reset)));
    let silent = silent.await;
    let limits = Limits {
        likes_wait: Duration::from_millis(300),
        playlist_wait: Duration::from_millis(300),
        ..Limits::default()
    };
    let edge = edge_before(&silent, limits);
    let begun = Instant::now();
    let reply = like(edge.addr, "ann", 1).await;
    assert_eq!(refused_for(&reply), refusal(503, "outcome-unknown", "none"));
    assert_eq!(
        silent.arrived().len(),
        1,
        "who is silent is not asked again"
    );
    let reply = client::get(edge.addr, "/live/demo/counts").await;
    assert_eq!(
        refused_for(&reply),
        refusal(503, "overloaded", "origin-unreachable")
    );
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn likes_are_bounded_and_take_no_place_of_the_video() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = one_by_one(move |arrived, _| {
        let answer = Behaviour::ok(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:4,\n1.ts\n",
        );
        if arrived.method == "PUT" {
            Behaviour::Gated(held.clone(), Box::new(answer))
        } else {
            answer
        }
    })
    .await;
    let limits = Limits {
        likes_at_once_max: 2,
        likes_queued_max: 1,
        origin_at_once_max: 1,
        origin_queue_wait: Duration::from_secs(20),
        ..Limits::default()
    };
    let edge = edge_before(&origin, limits);
    let addr = edge.addr;
    let sent: Vec<_> = (0..3)
        .map(|viewer| tokio::spawn(async move { like(addr, &format!("v{viewer}"), 1).await }))
        .collect();
    eventually("two are under way", || likes_at(&origin).len() == 2).await;
    eventually("the third waits", || edge.metric(UNDER_WAY) == 3.0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let beyond = like(addr, "v3", 1).await;
    assert_eq!(
        refused_for(&beyond),
        refusal(503, "overloaded", "edge-full")
    );
    assert!(!beyond.header("retry-after").is_empty());
    let playlist = client::get(addr, PLAYLIST).await;
    assert_eq!(playlist.status, 200, "{playlist:?}");
    gate.open();
    for reply in sent {
        assert_eq!(reply.await.unwrap().status, 200);
    }
    let puts = origin
        .arrived()
        .iter()
        .filter(|one| one.method == "PUT")
        .count();
    assert_eq!(puts, 3, "what was refused has reached nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_origin_hears_whose_like_it_is_and_nothing_else_of_what_a_viewer_sent() {
    let origin = one_by_one(|_, _| Behaviour::status(202)).await;
    let edge = edge_before(&origin, Limits::default());
    let headers =
        "like-seq: 4\r\nx-forwarded-for: 192.0.2.9\r\ncookie: a=b\r\nx-real-ip: 192.0.2.8\r\n";
    send(edge.addr, "PUT", "/live/demo/likes/ann", headers, "").await;
    let batch = Forwarded::decode(&origin.arrived()[0].body).unwrap();
    assert_eq!(*batch.from, ["192.0.2.9, 127.0.0.1".into()]);
    let head = likes_at(&origin)[0].head.to_ascii_lowercase();
    let values = |name: &str| -> Vec<String> {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value.trim().to_owned())
            .collect()
    };
    assert_eq!(values("like-seq"), ["4"]);
    assert_eq!(values("x-forwarded-for"), ["192.0.2.9", "127.0.0.1"]);
    assert!(values("cdn-loop").contains(&"edge-t".to_owned()), "{head}");
    assert!(values("cookie").is_empty() && values("x-real-ip").is_empty());
}

/// Counts as an origin shows them.
fn shown(seq: u64) -> Behaviour {
    let text = format!(
        "{{\"channel\":\"demo\",\"likes\":{seq},\"hearts\":0,\"seq\":{seq},\"as_of\":{seq},\"token\":\"00000000000000ab-{seq}\",\"consistency\":\"eventual\"}}\n"
    );
    Behaviour::ok(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_readers_are_one_request_to_the_origin_per_lifetime() {
    const READERS: usize = 2_000;
    const FRESH: Duration = Duration::from_secs(3);
    let origin = FaultOrigin::start(|_, number| {
        let late = Duration::from_millis(300);
        Behaviour::Late(late, Box::new(shown(number as u64 + 1)))
    })
    .await;
    let limits = Limits {
        counts_fresh: FRESH,
        playlist_wait: Duration::from_secs(20),
        ..Limits::default()
    };
    let edge = edge_before(&origin, limits);
    let (addr, begun) = (edge.addr, Instant::now());
    for wave in 1..=2_usize {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                // A reader's own query does not make a separate object.
                let path = format!("/live/demo/counts?session={reader}");
                tokio::spawn(async move { client::get(addr, &path).await })
            })
            .collect();
        for reader in readers {
            let reply = reader.await.unwrap();
            assert_eq!(reply.status, 200, "{reply:?}");
            assert!(json(&reply)["seq"].as_u64().unwrap() >= wave as u64);
        }
        let lifetimes = 1 + (begun.elapsed().as_secs_f64() / FRESH.as_secs_f64()) as usize;
        let asked = origin.arrived().len();
        assert!(
            (wave..=lifetimes).contains(&asked),
            "{asked} requests in {lifetimes} lifetimes"
        );
        tokio::time::sleep(FRESH).await;
    }
    assert!(
        origin
            .arrived()
            .iter()
            .all(|one| one.target == "/live/demo/counts")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_never_go_back_whoever_answers_and_a_strong_read_is_seen_by_all() {
    let origin = FaultOrigin::start(|arrived, number| {
        if arrived.target.contains("strong") {
            return shown(20);
        }
        // Like the answers of several shields, one of which is behind.
        shown([10, 8, 12, 15, 25][number.min(5) - usize::from(number > 3)])
    })
    .await;
    let limits = Limits {
        counts_fresh: Duration::from_millis(1),
        ..Limits::default()
    };
    let edge = edge_before(&origin, limits);
    let mut seen = Vec::new();
    for query in ["", "", "", "?consistency=strong", "", ""] {
        seen.push(counts(edge.addr, query).await["seq"].as_u64().unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(seen, [10, 10, 12, 20, 20, 25]);
    assert_eq!(origin.arrived().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_for_the_same_version_are_one_long_poll() {
    const READERS: usize = 300;
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |arrived, _| match arrived.target.as_str() {
        "/live/demo/counts" => shown(5),
        "/live/demo/counts?newer_than=5" => Behaviour::Gated(held.clone(), Box::new(shown(6))),
        _ => Behaviour::Gated(Gate::closed(), Box::new(Behaviour::Reset)),
    })
    .await;
    let limits = Limits {
        counts_waiting_max: READERS,
        counts_fresh: Duration::from_millis(100),
        ..Limits::default()
    };
    let edge = edge_before(&origin, limits);
    let addr = edge.addr;
    assert_eq!(counts(addr, "").await["seq"], 5);
    assert_eq!(counts(addr, "?newer_than=4").await["seq"], 5, "at once");
    eventually("that poll is over or waits", || {
        origin.hits("/live/demo/counts?newer_than=5") <= 1
    })
    .await;
    let readers: Vec<_> = (0..READERS)
        .map(|_| tokio::spawn(async move { counts(addr, "?newer_than=5").await }))
        .collect();
    eventually("all of them wait", || {
        edge.metric(UNDER_WAY) == READERS as f64
    })
    .await;
    let beyond = client::get(addr, "/live/demo/counts?newer_than=5").await;
    assert_eq!(
        refused_for(&beyond),
        refusal(503, "overloaded", "readers-full")
    );
    // Longer than the origin may take for any other answer.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    gate.open();
    for reader in readers {
        assert_eq!(reader.await.unwrap()["seq"], 6);
    }
    assert_eq!(origin.hits("/live/demo/counts?newer_than=5"), 1);
    let malformed = client::get(addr, "/live/demo/counts?newer_than=x").await;
    assert_eq!(refused_for(&malformed), refusal(400, "bad-request", "none"));
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_at_two_edges_never_see_counts_go_back_while_others_like_and_the_origin_dies() {
    let folder = folder();
    let origin = origin(folder.path(), EASY);
    let upstream = url(origin.address("origin").await);
    let limits = Limits {
        counts_fresh: Duration::from_millis(50),
        ..Limits::default()
    };
    let edges = [(); 2].map(|()| TestEdge::start_with(&upstream, MissQueue::Flights, limits));
    let addrs = [edges[0].addr, edges[1].addr];
    let readers: Vec<_> = (0..8)
        .map(|reader| {
            let addr = addrs[reader % 2];
            tokio::spawn(async move {
                let mut last = 0;
                while last < 200 {
                    let query = match reader / 2 {
                        0 => format!("?newer_than={last}"),
                        1 => "?consistency=strong".to_owned(),
                        _ => String::new(),
                    };
                    let seq = counts(addr, &query).await["seq"].as_u64().unwrap();
                    assert!(seq >= last, "{query}: {seq} after {last}");
                    last = seq;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        })
        .collect();
    let mut stream = client::send(addrs[1], "GET", "/live/demo/counts/stream", "", b"").await;
    for number in 0..200 {
        let reply = like(addrs[number % 2], &format!("v{number}"), 1).await;
        assert_eq!(reply.status, 202, "{reply:?}");
        if number % 50 == 0 {
            let token = json(&reply)["token"].as_str().unwrap().to_owned();
            let headers = format!("like-token: {token}\r\n");
            let there = addrs[(number + 1) % 2];
            let read = client::request(there, "GET", "/live/demo/counts", &headers, b"").await;
            assert!(json(&read)["seq"].as_u64() >= json(&reply)["seq"].as_u64());
        }
    }
    for reader in readers {
        reader.await.unwrap();
    }
    let mut heard = String::new();
    while !heard.contains("\"likes\":200") {
        use tokio::io::AsyncReadExt;
        let mut piece = vec![0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut piece)).await;
        let length = read.expect("the last event comes").unwrap();
        assert!(length > 0, "{heard}");
        heard += &String::from_utf8_lossy(&piece[..length]);
    }
    origin.kill();
    drop(origin);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let reply = client::get(addrs[0], "/live/demo/counts").await;
    assert_eq!(
        (reply.status, json(&reply)["likes"].as_u64()),
        (200, Some(200))
    );
    assert!(
        reply.header("cache-status").contains("fwd=stale"),
        "{reply:?}"
    );
    let unreachable = refusal(503, "overloaded", "origin-unreachable");
    let strong = client::get(addrs[0], "/live/demo/counts?consistency=strong").await;
    assert_eq!(refused_for(&strong), unreachable);
    assert_eq!(refused_for(&like(addrs[0], "late", 1).await), unreachable);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_of_an_address_is_the_viewers_and_not_the_edges() {
    let folder = folder();
    let few = "address_rate_max = 5\nloopback_counts = true";
    let origin = origin(folder.path(), &format!("{EASY}\n{few}"));
    let edge = TestEdge::start(&url(origin.address("origin").await));
    let addr = edge.addr;
    let from = |viewer: u32, address: u32| {
        // Written like another edge on this machine would.
        let headers = format!("like-seq: 1\r\nx-forwarded-for: 192.0.2.{address}\r\n");
        let path = format!("/live/demo/likes/v{viewer}");
        async move { send(addr, "PUT", &path, &headers, "").await }
    };
    for viewer in 0..40 {
        assert_eq!(from(viewer, viewer).await.status, 202);
    }
    let mut limited = 0;
    for viewer in 100..140 {
        limited += usize::from(from(viewer, 200).await.status == 429);
    }
    assert!(
        limited >= 10,
        "{limited} of 40 in a moment from one address"
    );
}

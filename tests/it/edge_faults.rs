//! A failing origin: what viewers get, what the edge remembers, and that no wrong object is ever cached. The reference
//! is the fault origin's own log.

use std::time::Duration;

use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;
use seawall::serve::http::connection::WriteProgress;
use seawall::serve::http::listener;

use crate::support::client;
use crate::support::edge::TestEdge;
use crate::support::eventually;
use crate::support::fault_origin::{Behaviour, FaultOrigin};

const SEGMENT: &str = "/live/demo/720p/7.ts";
const PLAYLIST: &str = "/live/demo/720p/media.m3u8";
const LIST: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:1.92,\n7.ts\n";

fn impatient() -> Limits {
    let short = Duration::from_millis(300);
    Limits {
        first_byte: short,
        progress: short,
        total: Duration::from_secs(1),
        ..without_retries()
    }
}

/// One request to the origin per flight, so that viewers see its answer unchanged.
fn without_retries() -> Limits {
    Limits {
        retries_per_flight_max: 0,
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_body_is_never_cached_and_never_ends_cleanly() {
    let body = vec![3_u8; 100_000];
    let origin = FaultOrigin::start(move |_, number| match number {
        0 => Behaviour::Truncated {
            headers: String::new(),
            body: body.clone(),
            sent: 40_000,
        },
        _ => Behaviour::ok(body.clone()),
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    let broken = client::get(edge.addr, SEGMENT).await;
    assert!(
        !broken.whole || broken.status >= 500,
        "{} {}",
        broken.status,
        broken.body.len()
    );
    eventually("the failure is forgotten", || edge.quiet()).await;
    tokio::time::sleep(Duration::from_millis(300)).await; // the lifetime of a first failure is 250 ms
    let reply = client::get(edge.addr, SEGMENT).await;
    assert_eq!(
        (reply.status, reply.body.len(), reply.whole),
        (200, 100_000, true)
    );
    assert!(
        reply.header("cache-status").contains("fwd=uri-miss"),
        "nothing of the first answer was kept"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_broken_answer_has_its_status_and_its_word() {
    let huge_head =
        || format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(2 << 20)).into_bytes();
    for (behaviour, status, word) in [
        (Behaviour::Reset, 502, "broken"),
        (
            Behaviour::Garbage(b"\x16\x03\x01 what is this\r\n\r\n".to_vec()),
            502,
            "broken",
        ),
        (Behaviour::Garbage(huge_head()), 502, "broken"),
        (
            Behaviour::Late(Duration::from_secs(30), Box::new(Behaviour::ok("late"))),
            504,
            "first-byte-timeout",
        ),
        (Behaviour::status(503), 503, "status-5xx"),
        (Behaviour::status(500), 500, "status-5xx"),
        (Behaviour::status(404), 404, ""),
    ] {
        let scripted = behaviour.clone();
        let origin = FaultOrigin::start(move |_, _| scripted.clone()).await;
        let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, impatient());
        let reply = client::get(edge.addr, SEGMENT).await;
        assert_eq!(reply.status, status, "{behaviour:?}");
        assert!(
            reply.header("cache-status").contains(word),
            "{behaviour:?}: {reply:?}"
        );
        assert!(
            status < 500 || !reply.header("retry-after").is_empty(),
            "{behaviour:?}"
        );
        // The remembered failure answers for a moment, without another request to the origin.
        let again = client::get(edge.addr, SEGMENT).await;
        assert!(
            again
                .header("cache-status")
                .contains("hit; detail=negative"),
            "{behaviour:?}: {again:?}"
        );
        assert_eq!(origin.hits(SEGMENT), 1, "{behaviour:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stalls_or_trickles_ends_by_its_limits() {
    let trickle = Behaviour::Trickle {
        body: vec![1; 10_000],
        interval: Duration::from_millis(50),
    };
    for behaviour in [Behaviour::Stall, trickle] {
        let origin = FaultOrigin::start(move |_, _| behaviour.clone()).await;
        let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, impatient());
        let reply = client::get(edge.addr, SEGMENT).await;
        assert!(!reply.whole, "the connection breaks off");
        eventually("the flight is gone", || edge.quiet()).await;
        assert_eq!(
            edge.metric("seawall_edge_cache_bytes").max(2_048.0),
            2_048.0,
            "no body was kept"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_error_is_not_remembered_beyond_a_second() {
    let origin = FaultOrigin::start(|_, number| match number {
        0 => Behaviour::status(500),
        _ => Behaviour::ok("whole"),
    })
    .await;
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, without_retries());
    assert_eq!(client::get(edge.addr, SEGMENT).await.status, 500);
    // A failure is remembered for a second at most.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(client::get(edge.addr, SEGMENT).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_goes_stale_by_the_rules_and_comes_back() {
    // The segments are so long that a copy is fresh for two seconds, even on a busy machine.
    let slow = LIST.replace("TARGETDURATION:2", "TARGETDURATION:32");
    let slow = slow.replace("1.92", "32");
    let list = slow.clone();
    // The first answer is good. The next ones fail, until the origin recovers at its sixth request.
    let origin = FaultOrigin::start(move |_, number| match number {
        0 => Behaviour::ok(list.clone()),
        1..=4 => Behaviour::status(503),
        _ => Behaviour::ok(list.replace('7', "8")),
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    let first = client::get(edge.addr, PLAYLIST).await;
    assert!(
        first
            .header("cache-status")
            .contains("fwd=uri-miss; fwd-status=200; stored"),
        "{first:?}"
    );
    assert!(
        client::get(edge.addr, PLAYLIST)
            .await
            .header("cache-status")
            .contains("; hit; ttl=")
    );
    // Now the next segment may exist: a request waits for the origin, which fails.
    tokio::time::sleep(Duration::from_millis(2_050)).await;
    let stale = client::get(edge.addr, PLAYLIST).await;
    let status = stale.header("cache-status");
    assert!(
        stale.status == 200
            && status.starts_with("edge-t; fwd=stale; fwd-status=503; ttl=-")
            && status.ends_with("; detail=stale-if-error"),
        "{stale:?}"
    );
    // The failure allows the stored copy, up to three target durations.
    let on_error = client::get(edge.addr, PLAYLIST).await;
    let status = on_error.header("cache-status");
    assert!(status.ends_with("; detail=stale-if-error"), "{status}");
    let begun = std::time::Instant::now();
    let fresh = loop {
        let reply = client::get(edge.addr, PLAYLIST).await;
        if reply.body != slow.as_bytes() {
            break reply;
        }
        assert_eq!(reply.status, 200);
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "the origin is well and still {reply:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(fresh.status, 200);
    assert!(
        origin.hits(PLAYLIST) <= 6,
        "failures are not asked for again at once: {}",
        origin.hits(PLAYLIST)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_playlist_is_an_error_and_no_lie() {
    let origin = FaultOrigin::start(|_, number| match number {
        0 => Behaviour::ok(LIST.replace("TARGETDURATION:2", "TARGETDURATION:1")),
        _ => Behaviour::Reset,
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    assert_eq!(client::get(edge.addr, PLAYLIST).await.status, 200);
    // A little less than three target durations of a second: stale-if-error still allows the copy. Then more than
    // three.
    tokio::time::sleep(Duration::from_millis(2_900)).await;
    let on_error = client::get(edge.addr, PLAYLIST).await;
    assert!(
        on_error.header("cache-status").contains("stale-if-error"),
        "{on_error:?}"
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    let reply = client::get(edge.addr, PLAYLIST).await;
    assert_eq!(reply.status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_not_there_yet_is_found_when_it_comes() {
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = reserved.local_addr().unwrap();
    drop(reserved);
    let edge = TestEdge::start(&format!("http://{addr}"));
    tokio::spawn(edge.edge.clone().find_origin(edge.stop.clone()));
    let reply = client::get(edge.addr, SEGMENT).await;
    assert_eq!(reply.status, 502);
    assert!(
        reply.header("proxy-status").contains("connection_refused"),
        "{reply:?}"
    );
    assert!(edge.edge.ready().unwrap_err().contains(&addr.to_string()));
    let late = tokio::net::TcpListener::bind(addr).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = late.accept().await {
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut head = [0; 1_024];
                if stream.read(&mut head).await.is_ok_and(|count| count > 0) {
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                        .await;
                }
            });
        }
    });
    eventually("the edge has found its origin", || {
        edge.edge.ready().is_ok()
    })
    .await;
    // A first failure is remembered for 250 ms.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(client::get(edge.addr, SEGMENT).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_get_a_short_answer_and_a_closed_connection() {
    let origin = FaultOrigin::start(|_, _| Behaviour::ok("never asked")).await;
    let edge = TestEdge::start(&origin.url());
    for (request, status) in [
        ("GET /a HTTP/1.1\r\n\r\n", "400"),
        ("GET /a HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "400"),
        ("GET /../a HTTP/1.1\r\nhost: a\r\n\r\n", "400"),
        (
            "GET /a HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
            "400",
        ),
        ("TRACE /a HTTP/1.1\r\nhost: a\r\n\r\n", "405"),
        ("CONNECT host:443 HTTP/1.1\r\nhost: host:443\r\n\r\n", "405"),
        (
            "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "501",
        ),
        ("\x16\x03\x01\x02\x00\x01\r\n\r\n", "400"),
        (
            "GET /live/demo/720p/media.m3u8?_HLS_msn=x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            "400",
        ),
    ] {
        let answer =
            String::from_utf8_lossy(&client::raw(edge.addr, request.as_bytes()).await).into_owned();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request:?} got {answer:?}"
        );
        assert!(
            answer.to_ascii_lowercase().contains("connection: close"),
            "{request:?} got {answer:?}"
        );
    }
    assert!(origin.arrived().is_empty());
}

/// An edge whose listener has these limits, and the number of its open connections.
async fn limited(
    body_bytes: usize,
    limits: listener::ListenerLimits,
) -> (TestEdge, impl Fn() -> i64) {
    let origin = FaultOrigin::start(move |_, _| Behaviour::ok(vec![5; body_bytes])).await;
    let edge =
        TestEdge::start_limited(&origin.url(), MissQueue::Flights, Limits::default(), limits);
    let open = edge.edge.metrics().connections.open.clone();
    (edge, move || open.get())
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_are_told_so() {
    let limits = listener::ListenerLimits {
        connections: 2,
        ..listener::ListenerLimits::viewers()
    };
    let (edge, open) = limited(10, limits).await;
    let connect = || tokio::net::TcpStream::connect(edge.addr);
    let _kept = (connect().await.unwrap(), connect().await.unwrap());
    eventually("two are open", || open() == 2).await;
    let answer = client::raw(edge.addr, b"").await;
    assert!(
        answer.starts_with(b"HTTP/1.1 503"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_closed() {
    let limits = listener::ListenerLimits {
        head: Duration::from_millis(200),
        ..listener::ListenerLimits::viewers()
    };
    let (edge, open) = limited(10, limits).await;
    let silent = tokio::net::TcpStream::connect(edge.addr).await.unwrap();
    let half = client::send(edge.addr, "GET", "/half", "x-unfinished: ", b"").await;
    eventually("both are open", || open() == 2).await;
    eventually("both are closed", || open() == 0).await;
    drop((silent, half));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_without_progress_is_closed_and_a_slow_one_is_served() {
    let progress = WriteProgress {
        bytes_min: 8 * 1024,
        interval: Duration::from_millis(300),
    };
    let limits = listener::ListenerLimits {
        progress,
        ..listener::ListenerLimits::viewers()
    };
    let (edge, open) = limited(12 << 20, limits).await;
    let unread = client::send(edge.addr, "GET", SEGMENT, "", b"").await;
    let mut slow = client::send(edge.addr, "GET", SEGMENT, "", b"").await;
    let mut taken = 0;
    let mut piece = vec![0; 256 << 10];
    // Slow, but well above the minimum rate: a quarter of a MiB every 30 ms.
    loop {
        match tokio::io::AsyncReadExt::read(&mut slow, &mut piece)
            .await
            .unwrap()
        {
            0 => break,
            count => taken += count,
        }
        if taken >= 12 << 20 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert!(taken >= 12 << 20, "the slow reader got {taken} bytes");
    drop(slow);
    eventually("the one who reads nothing is closed", || open() == 0).await;
    drop(unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_is_in_flight() {
    let gate = crate::support::fault_origin::Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |_, _| {
        Behaviour::Gated(held.clone(), Box::new(Behaviour::ok(vec![9; 50_000])))
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    let mut waiting = client::send(edge.addr, "GET", SEGMENT, "", b"").await;
    eventually("it waits", || edge.edge.waiters() == 1).await;
    edge.stop.cancel();
    let addr = edge.addr;
    // The listener closes at once; the answer under way is finished.
    let begun = std::time::Instant::now();
    while tokio::net::TcpStream::connect(addr).await.is_ok() {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "the listener stays open"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    gate.open();
    let reply = client::read_reply(&mut waiting, false).await;
    assert!(reply.whole && reply.body.len() == 50_000);
}

//! Likes over sockets: the answers of the documented table, and the invariants that only a real run can show.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use seawall::likes::LikesLimits;
use seawall::serve::likes::simulated::LogFault;

use crate::support::client::{self, Reply};
use crate::support::eventually;
use crate::support::likes::{
    EASY, Line, Simulated, TOKEN, counts, folder, hearts, json, like, origin, send,
};
use crate::support::program::Program;

async fn started(segments: &Path, likes: &str) -> (Program, SocketAddr) {
    let program = origin(segments, likes);
    let addr = program.address("origin").await;
    (program, addr)
}

fn word(reply: &Reply) -> (u16, String) {
    let json = json(reply);
    let word = json["error"].as_str().unwrap_or("none");
    (reply.status, word.to_owned())
}

fn refused(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_situation_has_the_answer_that_the_table_promises() {
    let folder = folder();
    let (program, addr) = started(folder.path(), "disk_free_bytes_min = 0").await;
    let admin = program.address("admin").await;

    let first = like(addr, "ann", 1).await;
    assert_eq!(first.status, 202);
    let body = json(&first);
    assert_eq!(
        (&body["seq"], &body["duplicate"]),
        (&1.into(), &false.into())
    );
    assert!(body.get("ack").is_none() && body["token"].is_string());
    let again = like(addr, "ann", 1).await;
    assert_eq!(
        (again.status, &json(&again)["duplicate"]),
        (202, &true.into())
    );
    let unlike = |sequence: u64| async move {
        let sequence = format!("like-seq: {sequence}\r\n");
        send(addr, "DELETE", "/live/demo/likes/ann", &sequence, "").await
    };
    assert_eq!(word(&unlike(1).await), refused(422, "conflict"));
    assert_eq!(unlike(2).await.status, 202);
    assert_eq!(hearts(addr, "bob", "k", 7).await.status, 202);
    assert_eq!(json(&hearts(addr, "bob", "k", 7).await)["duplicate"], true);
    assert_eq!(
        word(&hearts(addr, "bob", "k", 8).await),
        refused(422, "conflict")
    );
    let tap = |sequence: u64| async move {
        let body = "{\"viewer\":\"eve\",\"hearts\":1}";
        let sequence = format!("like-seq: {sequence}\r\n");
        send(addr, "POST", "/live/demo/reactions", &sequence, body).await
    };
    assert_eq!(tap(100).await.status, 202);
    assert_eq!(tap(37).await.status, 202);
    assert_eq!(word(&tap(36).await), refused(422, "too-old"));

    let demo = "/live/demo/likes/ann";
    let long = "x".repeat(4_097);
    for (method, path, identity, body, answer) in [
        ("PUT", demo, "", "", (400, "bad-request")),
        ("PUT", demo, "like-seq: 0\r\n", "", (400, "bad-request")),
        ("PUT", demo, "like-seq: x\r\n", "", (400, "bad-request")),
        (
            "PUT",
            demo,
            "like-seq: 9\r\nlike-seq: 9\r\n",
            "",
            (400, "bad-request"),
        ),
        (
            "PUT",
            demo,
            "like-seq: 9\r\nidempotency-key: k\r\n",
            "",
            (400, "bad-request"),
        ),
        (
            "PUT",
            "/live/nobody/likes/ann",
            "like-seq: 1\r\n",
            "",
            (404, "unknown-channel"),
        ),
        (
            "POST",
            "/live/demo/reactions",
            "like-seq: 1\r\n",
            "hello",
            (400, "bad-request"),
        ),
        (
            "POST",
            "/live/demo/reactions",
            "like-seq: 1\r\n",
            "{\"viewer\":\"a\",\"hearts\":0}",
            (400, "bad-request"),
        ),
        (
            "POST",
            "/live/demo/reactions",
            "like-seq: 1\r\n",
            "{\"viewer\":\"a\",\"hearts\":101}",
            (400, "bad-request"),
        ),
        (
            "POST",
            "/live/demo/reactions",
            "like-seq: 1\r\n",
            &long,
            (413, "too-large"),
        ),
        ("POST", demo, "like-seq: 1\r\n", "", (405, "bad-request")),
        (
            "GET",
            "/live/nobody/counts",
            "",
            "",
            (404, "unknown-channel"),
        ),
        (
            "GET",
            "/live/demo/counts?consistency=strict",
            "",
            "",
            (400, "bad-request"),
        ),
        (
            "GET",
            "/live/demo/counts",
            "like-token: x\r\n",
            "",
            (400, "bad-request"),
        ),
        (
            "GET",
            "/live/demo/counts",
            "like-token: 0000000000000000-1\r\n",
            "",
            (400, "bad-request"),
        ),
    ] {
        let reply = send(addr, method, path, identity, body).await;
        assert_eq!(
            word(&reply),
            refused(answer.0, answer.1),
            "{method} {path} {identity}"
        );
    }
    // 4,096 bytes are not too many; they are only not JSON.
    let just = send(
        addr,
        "POST",
        "/live/demo/reactions",
        "like-seq: 1\r\n",
        &long[1..],
    )
    .await;
    assert_eq!(word(&just), refused(400, "bad-request"));

    // Twenty in a burst, and some more while the burst lasts.
    let mut statuses = Vec::new();
    for sequence in 1..=200 {
        let reply = like(addr, "quick", sequence).await;
        if reply.status == 429 {
            let wait: u64 = reply.header("retry-after").parse().unwrap();
            assert!((1..=3).contains(&wait));
        }
        statuses.push(reply.status);
    }
    assert!(
        statuses[..20].iter().all(|&status| status == 202),
        "{statuses:?}"
    );
    assert!(statuses.contains(&429), "{statuses:?}");

    let close = |token: &str, what: &str| {
        let (token, what) = (
            format!("authorization: Bearer {token}\r\n"),
            what.to_owned(),
        );
        async move {
            send(
                admin,
                "POST",
                &format!("/-/likes/{what}?channel=demo"),
                &token,
                "",
            )
            .await
        }
    };
    assert_eq!(close("wrong", "close").await.status, 401);
    assert_eq!(close(TOKEN, "close").await.status, 202);
    assert_eq!(word(&like(addr, "late", 1).await), refused(410, "closed"));
    assert_eq!(json(&hearts(addr, "bob", "k", 7).await)["duplicate"], true);
    assert_eq!(close(TOKEN, "reopen").await.status, 202);
    assert_eq!(like(addr, "late", 1).await.status, 202);

    let accepted = statuses.iter().filter(|&&status| status == 202).count() as u64;
    let end = counts(addr, "?consistency=strong").await;
    assert_eq!(end["likes"], u64::from(accepted > 0) + 1, "quick and late");
    assert_eq!(end["hearts"], 9);
    let head = client::request(addr, "HEAD", "/live/demo/counts", "", b"").await;
    assert_eq!(head.status, 200);
    assert!(head.header("content-length").parse::<usize>().unwrap() > 50);
    // The rest of the stream is unchanged, and so would be a rendition named `likes`.
    let segment = client::get(addr, "/live/demo/likes/7.ts").await;
    assert_eq!(segment.status, 404);
    assert!(
        segment
            .body
            .starts_with(b"there is no such object here now")
    );
    assert_eq!(
        client::get(addr, "/live/demo/channel.json").await.status,
        200
    );
    program.terminate();
    assert_eq!(program.ended().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_get_what_is_here_what_they_have_seen_or_all_that_was_acknowledged() {
    let folder = folder();
    let (program, addr) = started(folder.path(), EASY).await;
    assert_eq!(counts(addr, "").await["seq"], 0);
    let reply = json(&like(addr, "ann", 1).await);
    let token = format!("like-token: {}\r\n", reply["token"].as_str().unwrap());
    let seen = send(addr, "GET", "/live/demo/counts", &token, "").await;
    assert_eq!(
        (
            json(&seen)["likes"].clone(),
            seen.header("cache-control").as_str()
        ),
        (1.into(), "no-store")
    );
    let (log, _) = reply["token"].as_str().unwrap().split_once('-').unwrap();
    let ahead = send(
        addr,
        "GET",
        "/live/demo/counts",
        &format!("like-token: {log}-2\r\n"),
        "",
    )
    .await;
    assert_eq!(word(&ahead), refused(503, "not-caught-up"));
    assert!(!ahead.header("retry-after").is_empty());
    let eventual = client::get(addr, "/live/demo/counts").await;
    assert_eq!(eventual.header("cache-control"), "public, max-age=1");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let as_of = json(&eventual)["as_of"].as_u64().unwrap();
    assert!(now.as_millis().abs_diff(as_of.into()) < 60_000);

    // A long poll answers when newer counts exist, and at once if they exist already.
    assert_eq!(counts(addr, "?newer_than=0").await["seq"], 1);
    let waiting = tokio::spawn(async move { counts(addr, "?newer_than=1").await });
    let mut stream = client::send(addr, "GET", "/live/demo/counts/stream", "", b"").await;
    let mut heard = Vec::new();
    read_until(&mut stream, &mut heard, "id: 1\n").await;
    assert!(!waiting.is_finished());
    like(addr, "bob", 1).await;
    assert_eq!(waiting.await.unwrap()["likes"], 2);
    read_until(&mut stream, &mut heard, "id: 2\n").await;
    let text = String::from_utf8_lossy(&heard).into_owned();
    assert!(
        text.contains("text/event-stream")
            && text.contains("event: counts\ndata: {\"channel\":\"demo\",\"likes\":2"),
        "{text}"
    );

    // Clients that still listen or wait do not delay the end.
    let waiting = tokio::spawn(client::get(addr, "/live/demo/counts?newer_than=99"));
    let admin = program.address("admin").await;
    loop {
        let metrics = client::get(admin, "/metrics").await.body;
        if String::from_utf8_lossy(&metrics).contains("\nseawall_likes_waiting_readers 2\n") {
            break;
        }
        assert!(!waiting.is_finished());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begun = std::time::Instant::now();
    program.terminate();
    assert_eq!(program.ended().await.code, Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "it waited for readers: {:?}",
        begun.elapsed()
    );
}

async fn read_until(stream: &mut tokio::net::TcpStream, heard: &mut Vec<u8>, what: &str) {
    use tokio::io::AsyncReadExt;
    let reading = async {
        while !String::from_utf8_lossy(heard).contains(what) {
            assert!(
                stream.read_buf(heard).await.unwrap() > 0,
                "it ended before {what:?}"
            );
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_ends_with_nothing_and_readers_have_a_bound() {
    let node = Simulated::start(LikesLimits {
        read_wait: Duration::from_millis(300),
        waiting_readers_max: 2,
        ..LikesLimits::default()
    });
    let addr = node.addr;
    let nothing = client::get(addr, "/live/demo/counts?newer_than=0").await;
    assert_eq!((nothing.status, nothing.body.len()), (204, 0));
    let first = client::send(addr, "GET", "/live/demo/counts/stream", "", b"").await;
    let second = client::send(addr, "GET", "/live/demo/counts/stream", "", b"").await;
    eventually("two listen", || {
        node.metric("seawall_likes_waiting_readers") == 2.0
    })
    .await;
    for path in [
        "/live/demo/counts?newer_than=0",
        "/live/demo/counts?consistency=strong",
        "/live/demo/counts/stream",
    ] {
        let reply = client::get(addr, path).await;
        assert_eq!(word(&reply), refused(503, "overloaded"), "{path}");
        assert_eq!(json(&reply)["reason"], "readers-full");
    }
    assert_eq!(
        client::get(addr, "/live/demo/counts").await.status,
        200,
        "who does not wait is served"
    );
    drop((first, second));
    eventually("both have gone", || {
        node.metric("seawall_likes_waiting_readers") == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_like_from_sixty_four_connections_at_once_counts_once() {
    let folder = folder();
    let (_program, addr) = started(folder.path(), EASY).await;
    for round in 1..=3_u64 {
        let sent: Vec<_> = (0..64)
            .map(|_| {
                tokio::spawn(async move { hearts(addr, "ann", &format!("k{round}"), 5).await })
            })
            .collect();
        let mut fresh = 0;
        for reply in sent {
            let reply = reply.await.unwrap();
            assert_eq!(reply.status, 202);
            fresh += u64::from(json(&reply)["duplicate"] == false);
        }
        assert_eq!(fresh, 1);
        assert_eq!(
            counts(addr, "?consistency=strong").await["hearts"],
            5 * round
        );
    }
}

/// Invariants 5, 10, 11: a shed operation has no effect, the queue has a bound, and every client gets one answer.
#[tokio::test(flavor = "multi_thread")]
async fn ten_times_what_the_queue_holds_is_shed_at_once_and_has_no_effect() {
    const QUEUE: usize = 64;
    let node = Simulated::start(LikesLimits {
        queue_operations_max: QUEUE,
        append_wait: Duration::from_secs(60),
        ..LikesLimits::default()
    });
    let addr = node.addr;
    node.log.stall();
    let first = tokio::spawn(async move { like(addr, "first", 1).await });
    eventually("it is being written", || node.log.appends() == 1).await;
    let sent: Vec<_> = (0..QUEUE * 10)
        .map(|viewer| tokio::spawn(async move { like(addr, &format!("v{viewer}"), 1).await }))
        .collect();
    let shed = QUEUE * 9;
    let series = "seawall_likes_accepted_total{op=\"like\",result=\"overloaded\"}";
    eventually("what is too much is shed", || {
        node.metric(series) == shed as f64
    })
    .await;
    assert_eq!(node.queued(), QUEUE as u64);
    // Hearts and strong reads are shed, and plain reads are served.
    let bundle = hearts(addr, "ann", "k", 1).await;
    assert_eq!(word(&bundle), refused(503, "overloaded"));
    assert_eq!(json(&bundle)["reason"], "queue-full");
    let strong = client::get(addr, "/live/demo/counts?consistency=strong").await;
    assert_eq!(word(&strong), refused(503, "overloaded"));
    assert_eq!(counts(addr, "").await["likes"], 0);
    node.log.go_on();
    assert_eq!(first.await.unwrap().status, 202);
    let mut accepted = 1;
    for reply in sent {
        let reply = reply.await.unwrap();
        match reply.status {
            202 => accepted += 1,
            _ => assert_eq!(word(&reply), refused(503, "overloaded")),
        }
    }
    assert_eq!(accepted, QUEUE + 1);
    assert_eq!(
        counts(addr, "?consistency=strong").await["likes"],
        accepted as u64
    );
    assert_eq!(node.log.appends(), 2, "what had gathered was one batch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_log_leaves_the_outcome_unknown_and_a_retry_counts_once() {
    let node = Simulated::start(LikesLimits {
        append_wait: Duration::from_millis(200),
        ..LikesLimits::default()
    });
    let addr = node.addr;
    node.log.stall();
    let unknown = hearts(addr, "ann", "k", 3).await;
    assert_eq!(word(&unknown), refused(503, "outcome-unknown"));
    let wait: u64 = unknown.header("retry-after").parse().unwrap();
    assert!((1..=3).contains(&wait));
    node.log.go_on();
    assert_eq!(json(&hearts(addr, "ann", "k", 3).await)["duplicate"], true);
    assert_eq!(counts(addr, "?consistency=strong").await["hearts"], 3);

    // The connection to the log breaks: the shard is down until the next start.
    node.log.inject([LogFault::Unconfirmed]);
    assert_eq!(
        word(&hearts(addr, "ann", "l", 4).await),
        refused(503, "outcome-unknown")
    );
    let down = hearts(addr, "ann", "l", 4).await;
    assert_eq!(word(&down), refused(503, "overloaded"));
    assert_eq!(json(&down)["reason"], "down");
    assert_eq!(node.metric("seawall_likes_down"), 1.0);
    let again = Simulated::over(node.log.next_life(), LikesLimits::default());
    assert_eq!(
        json(&hearts(again.addr, "ann", "l", 4).await)["duplicate"],
        true
    );
    assert_eq!(counts(again.addr, "").await["hearts"], 7);
}

/// Invariants 6, 7, 8: strong reads are linearizable, plain ones never go back, and a token includes the operation that it was
/// given for.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_writers_and_sixteen_readers_see_one_order() {
    let folder = folder();
    let (_program, addr) = started(folder.path(), EASY).await;
    let (invoked, acknowledged) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let over = Arc::new(AtomicBool::new(false));
    let writer = |number: u64| {
        let (invoked, acknowledged) = (invoked.clone(), acknowledged.clone());
        async move {
            let mut line = Line::new(addr);
            for sequence in 1..=40 {
                invoked.fetch_add(1, Ordering::SeqCst);
                let body = format!("{{\"viewer\":\"w{number}\",\"hearts\":1}}");
                let headers = format!("like-seq: {sequence}\r\n");
                let reply = line
                    .ask("POST", "/live/demo/reactions", &headers, &body)
                    .await;
                let reply = reply.unwrap();
                assert_eq!(reply.status, 202);
                acknowledged.fetch_add(1, Ordering::SeqCst);
                let token = format!(
                    "like-token: {}\r\n",
                    json(&reply)["token"].as_str().unwrap()
                );
                let seen = line
                    .ask("GET", "/live/demo/counts", &token, "")
                    .await
                    .unwrap();
                assert!(json(&seen)["seq"].as_u64() >= json(&reply)["seq"].as_u64());
            }
        }
    };
    let reader = |query: &'static str| {
        let (invoked, acknowledged, over) = (invoked.clone(), acknowledged.clone(), over.clone());
        async move {
            let (mut line, mut last, mut reads) = (Line::new(addr), 0, 0_u64);
            while !over.load(Ordering::SeqCst) {
                let before = acknowledged.load(Ordering::SeqCst);
                let path = format!("/live/demo/counts{query}");
                let reply = line.ask("GET", &path, "", "").await.unwrap();
                let after = invoked.load(Ordering::SeqCst);
                let found = json(&reply)["hearts"].as_u64().unwrap();
                assert!(found >= last, "{query}: {found} after {last}");
                if !query.is_empty() {
                    assert!(
                        (before..=after).contains(&found),
                        "{before} <= {found} <= {after}"
                    );
                }
                (last, reads) = (found, reads + 1);
            }
            reads
        }
    };
    let readers: Vec<_> = (0..16)
        .map(|number| {
            if number % 2 == 0 {
                "?consistency=strong"
            } else {
                ""
            }
        })
        .map(|query| tokio::spawn(reader(query)))
        .collect();
    let writers: Vec<_> = (0..64).map(|number| tokio::spawn(writer(number))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    over.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    assert_eq!(counts(addr, "?consistency=strong").await["hearts"], 64 * 40);
}

//! Bounds under pressure: memory, descriptors, floods of names, and an edge that is stopped or killed, or gets a herd as a copy
//! expires.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;
use tokio::task::JoinSet;

use crate::support::client;
use crate::support::edge::TestEdge;
use crate::support::eventually;
use crate::support::fault_origin::{Arrived, Behaviour, FaultOrigin, Gate};
use crate::support::program::Program;

const PLAYLIST: &str = "/live/demo/720p/media.m3u8";
const SEGMENT: &str = "/live/demo/720p/7.ts";
const LIST: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:1.0,\n7.ts\n";
/// The same list with segments so long that a copy is fresh for two seconds, even on a busy machine.
const SLOW_LIST: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:32\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:32.0,\n7.ts\n";

/// Asks for all of these, at most 200 at once, and returns the answers.
async fn ask_all(addr: SocketAddr, targets: Vec<String>) -> Vec<client::Reply> {
    let mut replies = Vec::new();
    for some in targets.chunks(200) {
        let mut asking = JoinSet::new();
        for target in some {
            let target = target.clone();
            asking.spawn(async move { client::get(addr, &target).await });
        }
        while let Some(reply) = asking.join_next().await {
            replies.push(reply.unwrap());
        }
    }
    replies
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_stay_within_the_bytes_of_the_cache() {
    let origin = FaultOrigin::start(|_, _| Behaviour::ok(vec![5; 1_000_000])).await;
    let edge = TestEdge::start(&origin.url()); // a cache of 64 MiB
    for number in 0..4 {
        let targets = (0..50)
            .map(|stream| format!("/live/s{stream}/720p/{number}.ts"))
            .collect();
        for reply in ask_all(edge.addr, targets).await {
            assert_eq!((reply.status, reply.body.len()), (200, 1_000_000));
        }
    }
    let bytes = edge.metric("seawall_edge_cache_bytes");
    let capacity = edge.metric("seawall_edge_cache_capacity_bytes");
    assert!(bytes <= capacity, "{bytes} of {capacity}");
    assert!(
        bytes > capacity / 2.0,
        "and it is used: {bytes} of {capacity}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn flights_stay_within_the_bytes_that_they_may_hold_together() {
    let origin = FaultOrigin::start(|_, _| Behaviour::ok(vec![5; 1_000_000])).await;
    let limits = Limits {
        flight_bytes_max: 1_500_000,
        retries_per_flight_max: 0,
        ..Limits::default()
    };
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, limits);
    let targets = (0..40)
        .map(|number| format!("/live/demo/720p/{number}.ts"))
        .collect();
    let replies = ask_all(edge.addr, targets).await;
    let whole = replies
        .iter()
        .filter(|reply| reply.whole && reply.status == 200)
        .count();
    assert!(whole > 0, "what fits is served");
    for reply in &replies {
        assert!(
            match reply.status {
                503 => reply.header("cache-status").contains("memory-full"),
                status => status == 200 && reply.whole && reply.body.len() == 1_000_000,
            },
            "a word or a whole body, never a short one: {}",
            reply.status
        );
    }
    eventually("all is given back", || edge.quiet()).await;
    // The released permits serve the next request.
    assert!(client::get(edge.addr, "/live/demo/720p/99.ts").await.whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_foreign_requests_never_keep_the_live_edge_from_the_origin() {
    const AT_ONCE: usize = 4;
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |arrived, _| match arrived.target.as_str() {
        // The head at once, and a body that does not end: a long stream, or a viewer that reads slowly.
        "/long" => Behaviour::GatedBody {
            gate: held.clone(),
            first: 1,
            body: vec![0; 1_000],
        },
        silent if silent.starts_with("/silent/") => {
            Behaviour::Gated(held.clone(), Box::new(Behaviour::ok("late")))
        }
        _ => Behaviour::ok("segment"),
    })
    .await;
    let patience = Duration::from_secs(60);
    let limits = Limits {
        origin_at_once_max: AT_ONCE,
        segment_wait: patience,
        first_byte: patience,
        progress: patience,
        total: patience,
        ..Limits::default()
    };
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, limits);
    let addr = edge.addr;
    let readers: Vec<_> = (0..2 * AT_ONCE)
        .map(|_| tokio::spawn(async move { client::get(addr, "/long").await }))
        .collect();
    // One request for all viewers, whose answer may not be shared, and then one for each viewer.
    eventually("each of them reads", || origin.hits("/long") > 2 * AT_ONCE).await;
    let silent: Vec<_> = (0..2 * AT_ONCE)
        .map(|number| {
            let path = format!("/silent/{number}");
            tokio::spawn(async move { client::get(addr, &path).await })
        })
        .collect();
    let asked = || {
        let silent = |arrived: &Arrived| arrived.target.starts_with("/silent/");
        origin.arrived().into_iter().filter(silent).count()
    };
    eventually("all places are taken but one", || asked() == AT_ONCE - 1).await;
    for path in [SEGMENT, PLAYLIST] {
        let live = client::get(addr, path).await;
        assert_eq!((live.status, live.whole), (200, true), "{live:?}");
    }
    assert_eq!(asked(), AT_ONCE - 1, "the last place is for the live edge");
    gate.open();
    for reader in readers {
        let long = reader.await.unwrap();
        assert_eq!((long.status, long.body.len()), (200, 1_000));
    }
    for viewer in silent {
        // Requests that were queued for too long have been refused.
        assert!(matches!(viewer.await.unwrap().status, 200 | 503));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_copy_that_expires_under_a_herd_costs_one_fetch() {
    let origin = FaultOrigin::start(|_, _| {
        let late = Box::new(Behaviour::ok(SLOW_LIST));
        Behaviour::Late(Duration::from_millis(100), late)
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    for round in 1..=3 {
        let replies = ask_all(edge.addr, vec![PLAYLIST.to_owned(); 600]).await;
        assert!(replies.iter().all(|reply| reply.status == 200));
        assert_eq!(origin.hits(PLAYLIST), round, "one fetch per round");
        // By then the next segment may exist, so the next herd finds no usable copy.
        tokio::time::sleep(Duration::from_millis(2_200)).await;
    }
    assert_eq!(
        edge.metric("seawall_edge_duplicate_origin_fetches_total"),
        0.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_invented_names_costs_the_real_ones_nothing() {
    let origin = FaultOrigin::start(|arrived, _| match arrived.target.as_str() {
        "/live/demo/720p/7.ts" => Behaviour::ok("seven"),
        _ => Behaviour::status(404),
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    let real = "/live/demo/720p/7.ts";
    assert_eq!(client::get(edge.addr, real).await.status, 200);
    let queries = (0..1_000).map(|number| format!("{real}?session={number}&_={number}"));
    for reply in ask_all(edge.addr, queries.collect()).await {
        assert!(
            reply.header("cache-status").contains("; hit"),
            "a query names nothing new"
        );
    }
    let invented = (0..2_000).map(|number| format!("/live/demo/720p/{}.ts", 1_000_000 + number));
    for reply in ask_all(edge.addr, invented.collect()).await {
        assert!(matches!(reply.status, 404 | 503), "{reply:?}");
    }
    assert!(
        client::get(edge.addr, real)
            .await
            .header("cache-status")
            .contains("; hit")
    );
    assert_eq!(origin.hits(real), 1);
    let entries = edge.metric("seawall_edge_cache_entries");
    let bytes = edge.metric("seawall_edge_cache_bytes");
    assert!(
        entries <= 2_001.0 && bytes < 4e6,
        "{entries} entries, {bytes} bytes"
    );
}

/// An edge in its own process, and its address for viewers.
async fn edge(
    origin: &FaultOrigin,
    listen: &str,
    descriptors: Option<u32>,
) -> (Program, SocketAddr) {
    let limit = descriptors.map_or(String::new(), |count| format!("ulimit -n {count}; "));
    let program = env!("CARGO_BIN_EXE_seawall");
    let upstream = origin.url();
    let line = format!(
        "{limit}exec {program} edge --name edge-t --upstream {upstream} --listen {listen} --admin 127.0.0.1:0"
    );
    let edge = Program::start(Command::new("sh").args(["-c", &line]));
    let addr = edge.address("edge-t").await;
    (edge, addr)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_sixty_four_descriptors_an_edge_refuses_and_recovers() {
    let origin = FaultOrigin::start(|_, _| Behaviour::ok("x")).await;
    let (program, addr) = edge(&origin, "127.0.0.1:0", Some(64)).await;
    let mut open = Vec::new();
    for _ in 0..500 {
        let connecting = tokio::net::TcpStream::connect(addr);
        if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), connecting).await {
            open.push(stream);
        }
    }
    assert!(open.len() > 40);
    let spent = cpu_ticks(&program);
    tokio::time::sleep(Duration::from_millis(500)).await; // long enough for a spin to show
    assert!(cpu_ticks(&program) - spent < 25, "it does not spin");
    drop(open);
    let begun = Instant::now();
    loop {
        let asking = client::get(addr, "/live/demo/720p/7.ts");
        if let Ok(reply) = tokio::time::timeout(Duration::from_secs(1), asking).await
            && reply.status == 200
        {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "it does not recover"
        );
    }
}

/// Processor time of a program, in hundredths of a second.
fn cpu_ticks(program: &Program) -> u64 {
    let stat = procfs::process::Process::new(program.id() as i32)
        .unwrap()
        .stat()
        .unwrap();
    stat.utime + stat.stime
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_stood_still_serves_nothing_expired_as_fresh() {
    let origin =
        FaultOrigin::start(|_, number| Behaviour::ok(LIST.replace('7', &(7 + number).to_string())))
            .await;
    let (program, addr) = edge(&origin, "127.0.0.1:0", None).await;
    let first = client::get(addr, PLAYLIST).await;
    program.pause().await;
    tokio::time::sleep(Duration::from_millis(3_500)).await; // past three target durations
    program.signal("CONT");
    let then = client::get(addr, PLAYLIST).await;
    assert_ne!(then.body, first.body, "the old copy is expired");
    assert!(then.header("cache-status").contains("fwd="), "{then:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_killed_is_back_within_two_seconds_and_asks_once_per_object() {
    let origin = FaultOrigin::start(|arrived, _| Behaviour::ok(arrived.target.clone())).await;
    let (program, addr) = edge(&origin, "127.0.0.1:0", None).await;
    let targets: Vec<_> = (0..20)
        .map(|number| format!("/live/demo/720p/{number}.ts"))
        .collect();
    ask_all(addr, targets.clone()).await;
    program.kill();
    drop(program);
    let begun = Instant::now();
    let (_program, addr) = edge(&origin, &addr.to_string(), None).await;
    let herd = targets
        .iter()
        .flat_map(|target| vec![target.clone(); 10])
        .collect();
    for reply in ask_all(addr, herd).await {
        assert_eq!(reply.status, 200);
        assert!(targets.contains(&String::from_utf8(reply.body).unwrap()));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    for target in &targets {
        assert_eq!(origin.hits(target), 2, "once before and once after");
    }
}

/// Resident memory of a program in KiB.
fn resident_kib(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_silent_connections_cost_little_keep_nobody_out_and_are_dropped() {
    const SILENT: usize = 10_000;
    seawall::serve::components::raise_descriptor_limit();
    let origin = FaultOrigin::start(|_, _| Behaviour::ok("served")).await;
    let (program, addr) = edge(&origin, "127.0.0.1:0", None).await;
    let before = resident_kib(&program);
    let mut silent = Vec::with_capacity(SILENT);
    while silent.len() < SILENT {
        let some = (0..500).map(|_| tokio::net::TcpStream::connect(addr));
        let connected = futures_util::future::try_join_all(some).await;
        silent.extend(connected.unwrap());
    }
    for number in 0..20 {
        let path = format!("/live/demo/720p/{number}.ts");
        let reply = client::get(addr, &path).await;
        assert_eq!((reply.status, reply.body), (200, b"served".to_vec()));
    }
    let each = resident_kib(&program).saturating_sub(before) as f64 / SILENT as f64;
    assert!(each < 32.0, "{each} KiB for a connection that says nothing");
    // The head of a request must arrive within ten seconds.
    let begun = Instant::now();
    for mut connection in silent {
        let left = Duration::from_secs(20).saturating_sub(begun.elapsed());
        let mut rest = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut connection, &mut rest);
        let closed = tokio::time::timeout(left, reading).await;
        assert!(closed.is_ok(), "it is still open after 20 s");
    }
    assert_eq!(client::get(addr, "/live/demo/720p/1.ts").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_cut_off_and_one_that_is_not_fetch_each_object_once() {
    let origin = FaultOrigin::start(|arrived, _| Behaviour::ok(arrived.target.clone())).await;
    let there = TestEdge::start(&origin.url());
    let relay = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let relay_addr = relay.local_addr().unwrap();
    drop(relay);
    let cut_off = TestEdge::start(&format!("http://{relay_addr}"));
    let targets: Vec<_> = (0..10)
        .map(|number| format!("/live/demo/720p/{number}.ts"))
        .collect();
    let herd = || {
        targets
            .iter()
            .flat_map(|target| vec![target.clone(); 10])
            .collect()
    };
    for reply in ask_all(there.addr, herd()).await {
        assert_eq!(reply.status, 200);
    }
    for reply in ask_all(cut_off.addr, herd()).await {
        assert!(matches!(reply.status, 502 | 503), "{reply:?}");
    }
    // The connection works again: the relay forwards all bytes to the origin.
    let relay = tokio::net::TcpListener::bind(relay_addr).await.unwrap();
    let to = origin.addr;
    tokio::spawn(async move {
        while let Ok((mut from, _)) = relay.accept().await {
            tokio::spawn(async move {
                let mut to = tokio::net::TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    let begun = Instant::now();
    for target in &targets {
        // A failure is remembered for a second at most, and the breaker does not wait longer.
        while client::get(cut_off.addr, target).await.status != 200 {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{target} never came back"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(origin.hits(target), 2, "once at each edge");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_is_stepped_by_an_hour_makes_nothing_younger_or_older() {
    let folder = tempfile::tempdir().unwrap();
    let steps = folder.path().join("clock");
    let step = |by: &str| std::fs::write(&steps, by).unwrap();
    step("+0");
    let library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
        .map(|target| format!("/usr/lib/{target}/faketime/libfaketimeMT.so.1"))
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
        .expect("libfaketime is there: make deps");
    let origin = FaultOrigin::start(|_, _| Behaviour::ok(SLOW_LIST)).await;
    let settings = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", steps.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        // Like on a real machine: the wall clock is stepped, the monotonic one is not.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let upstream = origin.url();
    let args = [
        "edge",
        "--upstream",
        &upstream,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ];
    let edge = Program::seawall_with(&args, &settings);
    let addr = edge.address("edge").await;
    let segment = "/live/demo/720p/7.ts";
    client::get(addr, segment).await;
    for (by, seconds) in [("+1h", 3_600), ("-1h", -3_600), ("+0", 0)] {
        step(by);
        let told = Command::new("date")
            .arg("+%s")
            .envs(settings)
            .output()
            .unwrap();
        let told: i64 = String::from_utf8(told.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let now = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_secs() as i64;
        assert!((told - now - seconds).abs() <= 5, "the clock is stepped");
        client::get(addr, PLAYLIST).await;
        let playlist = client::get(addr, PLAYLIST).await;
        let segment = client::get(addr, segment).await;
        for reply in [&playlist, &segment] {
            let age: u64 = reply.header("age").parse().unwrap();
            assert!(age <= 30, "{by}: {age} s old");
            assert!(
                reply.header("cache-status").contains("hit"),
                "{by}: {reply:?}"
            );
        }
    }
    assert_eq!(origin.hits(segment), 1, "no step made it stale");
}

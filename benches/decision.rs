//! The cost of a hit: the decision alone (the goal is 300 ns), the whole answer before it touches a socket, its metrics, and
//! all work of the thread that serves it. Metrics must stay under 3 % of that work.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Request};
use seawall::hls::names::LivePath;
use seawall::policy::edge::Decision;
use seawall::policy::freshness::Validity;
use seawall::policy::key::{Key, KeyRef, Kind};
use seawall::policy::limits::Limits;
use seawall::policy::status::{MissQueue, Served};
use seawall::serve::clock::Clock;
use seawall::serve::edge::store::{Entry, Object, Store};
use seawall::serve::edge::{Edge, EdgeConfig};
use seawall::serve::http::listener::{self, ListenerLimits as Doors};
use seawall::serve::likes::rates::Addresses;
use seawall::serve::workers::Workers;
use seawall::time::Timestamp;
use tokio_util::sync::CancellationToken;

const OBJECTS: u64 = 1_000;

fn key(number: u64) -> Key {
    Key::Live {
        channel: "demo".into(),
        rendition: "720p".into(),
        kind: Kind::Segment,
        number,
    }
}

fn entry() -> Entry {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "video/mp2t"),
        ("cache-control", "max-age=86400"),
        ("etag", "\"3f2a\""),
        ("via", "1.1 edge-1"),
        ("access-control-allow-origin", "*"),
        ("accept-ranges", "bytes"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let validity = Validity::of_live(
        Timestamp::ZERO,
        Duration::ZERO,
        None,
        Kind::Segment,
        None,
        50,
    );
    Entry {
        object: Some(Arc::new(Object::new(
            headers,
            vec![7; 2_000].into(),
            validity,
            false,
        ))),
        ..Entry::default()
    }
}

fn decision(criterion: &mut Criterion) {
    let store = Store::new(512 << 20, seawall::policy::limits::Eviction::Lru);
    for number in 0..OBJECTS {
        store.put(key(number), entry());
    }
    let clock = Clock::start();
    let paths: Vec<_> = (0..OBJECTS)
        .map(|number| format!("/live/demo/720p/{number}.ts"))
        .collect();
    let mut at = 0;
    criterion.bench_function(
        "a hit's decision: path, key, store, clock, freshness",
        |bencher| {
            bencher.iter(|| {
                at = (at + 7) % paths.len();
                let Some(LivePath::Segment {
                    channel,
                    rendition,
                    number,
                }) = LivePath::parse(&paths[at])
                else {
                    unreachable!("they are all segments")
                };
                let key = KeyRef::Live {
                    channel,
                    rendition,
                    kind: Kind::Segment,
                    number,
                };
                let entry = store.get(key).expect("it is stored");
                let decision = entry.facts().glance(clock.now());
                assert_eq!(decision, Decision::Hit);
                black_box(entry)
            });
        },
    );
}

/// An edge with every segment in its cache.
fn edge() -> Arc<Edge> {
    let config = EdgeConfig {
        name: "edge-1".to_owned(),
        upstreams: vec!["http://127.0.0.1:9".to_owned()],
        miss_queue: MissQueue::Flights,
        cache_bytes: 512 << 20,
        prefetch: true,
        refresh: true,
        limits: Limits::default(),
        access_log: None,
        likes: Addresses::default(),
    };
    let edge = Edge::new(config, Clock::start()).expect("the upstream is a URL");
    for number in 0..OBJECTS {
        edge.store().put(key(number), entry());
    }
    edge
}

fn answer(criterion: &mut Criterion) {
    let edge = edge();
    let requests: Vec<_> = (0..OBJECTS)
        .map(|number| {
            Request::builder()
                .uri(format!("/live/demo/720p/{number}.ts"))
                .header("host", "127.0.0.1:8081")
                .body(())
                .expect("the parts are valid")
        })
        .collect();
    let mut at = 0;
    criterion.bench_function("a hit's whole answer, without its socket", |bencher| {
        bencher.iter(|| {
            at = (at + 7) % requests.len();
            black_box(edge.fresh_hit(&requests[at]).expect("it is a hit"))
        });
    });
}

/// The cost of a hit's metrics: one more clock reading, and every counter that a hit changes.
fn counting(criterion: &mut Criterion) {
    let edge = edge();
    let clock = Clock::start();
    let began = clock.now();
    criterion.bench_function("what is counted of a hit", |bencher| {
        bencher.iter(|| {
            let took = clock.now().since(black_box(began));
            let (kind, served) = black_box((Kind::Segment, Served::Hit));
            edge.metrics()
                .answered(kind, served, http::StatusCode::OK, 2_000, took);
        });
    });
}

/// A hit over a socket, in CPU time of the thread that serves it, without the client's work.
fn served(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("the system gives threads");
    let edge = edge();
    let addr = runtime.block_on(async {
        let any = "127.0.0.1:0".parse().expect("it is an address");
        let socket = listener::bind(any, "--listen").expect("a port is free");
        let addr = socket.local_addr().expect("it is bound");
        let doors = Doors {
            workers: Workers::start(1).expect("the system gives a thread"),
            ..Doors::viewers()
        };
        let (front, counters) = (edge.clone(), edge.metrics().connections.clone());
        tokio::spawn(listener::serve(
            socket,
            edge.routes(),
            move |request: &_| front.fresh_hit(request),
            doors,
            Some(counters),
            CancellationToken::new(),
        ));
        addr
    });
    let mut stream = TcpStream::connect(addr).expect("the edge is there");
    let request = format!("GET /live/demo/720p/7.ts HTTP/1.1\r\nhost: {addr}\r\n\r\n");
    let mut buffer = [0; 8 * 1024];
    let mut ask = || {
        stream.write_all(request.as_bytes()).expect("it is open");
        // The head and 2,000 bytes; the bytes after the empty line are counted.
        let mut answer = Vec::with_capacity(4 * 1024);
        loop {
            let count = stream.read(&mut buffer).expect("it is open");
            answer.extend_from_slice(&buffer[..count]);
            let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if head.is_some_and(|head| answer.len() >= head + 4 + 2_000) {
                return;
            }
        }
    };
    ask();
    let worker = thread_named("worker-0");
    criterion.bench_function("a hit over a socket, CPU time of its thread", |bencher| {
        bencher.iter_custom(|count| {
            let before = cpu_time(&worker);
            (0..count).for_each(|_| ask());
            cpu_time(&worker).saturating_sub(before)
        });
    });
}

/// The folder in /proc of the thread with this name.
fn thread_named(name: &str) -> std::path::PathBuf {
    let tasks = std::fs::read_dir("/proc/self/task").expect("this is Linux");
    tasks
        .map(|task| task.expect("this is Linux").path())
        .find(|task| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|known| known.trim() == name)
        })
        .expect("it has been started")
}

/// The processor time of a thread.
fn cpu_time(task: &std::path::Path) -> Duration {
    let told = std::fs::read_to_string(task.join("schedstat")).expect("this is Linux");
    let nanos = told.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("the first number is nanoseconds"))
}

criterion_group!(benches, decision, answer, counting, served);
criterion_main!(benches);

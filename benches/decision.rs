//! What a hit costs before it touches a socket: the decision alone, and the whole answer. The goal is 300 ns a decision.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Request};
use seawall::hls::names::LivePath;
use seawall::policy::edge::Decision;
use seawall::policy::freshness::Validity;
use seawall::policy::key::{Key, KeyRef, Kind};
use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;
use seawall::serve::clock::Clock;
use seawall::serve::edge::store::{Entry, Object, Store};
use seawall::serve::edge::{Config, Edge};
use seawall::time::Timestamp;

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
    let validity = Validity::of_live(Timestamp::ZERO, Duration::ZERO, Kind::Segment, None, 50);
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

fn answer(criterion: &mut Criterion) {
    let config = Config {
        name: "edge-1".to_owned(),
        upstreams: vec!["http://127.0.0.1:9".to_owned()],
        miss_queue: MissQueue::Flights,
        cache_bytes: 512 << 20,
        prefetch: true,
        limits: Limits::default(),
        access_log: None,
    };
    let edge = Edge::new(config, Clock::start()).expect("the upstream is a URL");
    for number in 0..OBJECTS {
        edge.store().put(key(number), entry());
    }
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

criterion_group!(benches, decision, answer);
criterion_main!(benches);

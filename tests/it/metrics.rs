//! The content of a scrape: every row of the table and no other, a bounded number of series, names that stay distinct.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use seawall::hls::ladder::Rendition;
use seawall::hls::timeline::Layout;
use seawall::load::{self, Plot};
use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;
use seawall::run::exposed::Exposed;
use seawall::serve::admin::Admin;
use seawall::serve::clock::Clock;
use seawall::serve::components::{self, Doors, EdgeComponent, OriginComponent};
use seawall::serve::edge;
use seawall::serve::likes::rates::Addresses;
use seawall::serve::metrics::{Registry, TABLE};
use seawall::serve::origin::OriginConfig;
use seawall::serve::token::Token;
use seawall::serve::workers::Workers;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::support::client;
use crate::support::edge::TestEdge;
use crate::support::eventually;
use crate::support::fault_origin::{Behaviour, FaultOrigin, Gate};
use crate::support::program::{self, FREE_DOORS, Program};

/// Maximum number of series that one edge may expose.
const SERIES_MAX: usize = 600;
/// Maximum number of renditions whose playlists have their own metrics, two each.
const RENDITIONS_MAX: usize = 16;

async fn scrape(admin: SocketAddr) -> String {
    let scraped = client::get(admin, "/metrics").await;
    assert_eq!(scraped.status, 200);
    String::from_utf8(scraped.body).unwrap()
}

fn samples(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

/// The value of the series whose line begins with `series`.
fn value(text: &str, series: &str) -> f64 {
    let line = samples(text)
        .into_iter()
        .find(|line| {
            line.strip_prefix(series)
                .is_some_and(|rest| rest.starts_with(' '))
        })
        .unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn edge_component(name: &str, upstream: String, clock: Clock) -> EdgeComponent {
    edge_component_with(name, upstream, clock, Limits::default(), Admin::default())
}

fn edge_component_with(
    name: &str,
    upstream: String,
    clock: Clock,
    limits: Limits,
    admin: Admin,
) -> EdgeComponent {
    let setup = edge::EdgeConfig {
        name: name.to_owned(),
        upstreams: vec![upstream],
        miss_queue: MissQueue::Flights,
        cache_bytes: 32 << 20,
        prefetch: true,
        refresh: true,
        limits,
        access_log: None,
        likes: Addresses::default(),
    };
    EdgeComponent::open(setup, Doors::free(), admin, 100, Workers::Here, clock).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_edges_and_four_channels_expose_the_whole_table_in_600_series_each() {
    let clock = Clock::start();
    let segments = tempfile::tempdir().unwrap();
    let setup = OriginConfig {
        segments_dir: segments.path().to_owned(),
        ..OriginConfig::default()
    };
    let origin =
        OriginComponent::open(setup, Doors::free(), None, Admin::default(), clock).unwrap();
    let layout = Layout {
        ladder: Rendition::known().into_iter().take(2).collect(),
        ..Layout::default()
    };
    let channels: Vec<_> = ["one", "two", "three", "four"]
        .into_iter()
        .map(|name| {
            let off_air = CancellationToken::new();
            origin
                .broadcast(name, 1, layout.clone(), None, off_air)
                .unwrap()
        })
        .collect();
    let begun = Instant::now();
    while !channels
        .iter()
        .all(|channel| origin.origin.store().is_current(channel))
    {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "not on air within a minute"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let edges: Vec<_> = (1..=8)
        .map(|index| edge_component(&format!("edge-{index}"), origin.url(), clock))
        .collect();
    for edge in &edges {
        for channel in &channels {
            let base = format!("/live/{}", channel.name);
            for rendition in &channel.layout.ladder {
                let newest = origin.origin.store().newest(&channel.name).unwrap();
                for file in ["media.m3u8".to_owned(), format!("{newest}.ts")] {
                    let path = format!("{base}/{}/{file}", rendition.name);
                    assert_eq!(
                        client::get(edge.listeners.listen, &path).await.status,
                        200,
                        "{path}"
                    );
                }
            }
            for path in [
                format!("{base}/main.m3u8"),
                format!("{base}/180p/1.ts"),
                "/foreign".to_owned(),
            ] {
                client::get(edge.listeners.listen, &path).await;
            }
        }
    }
    let of_origin = scrape(origin.listeners.admin).await;
    let counted = samples(&of_origin).len();
    assert!(counted <= SERIES_MAX, "{counted} series of the origin");
    let renditions = channels.len() * layout.ladder.len();
    for edge in &edges {
        let text = scrape(edge.listeners.admin).await;
        // The sixteenth rendition is the last that adds series.
        let counted = samples(&text).len() + 2 * (RENDITIONS_MAX - renditions);
        assert!(
            counted <= SERIES_MAX,
            "{counted} series of {}",
            edge.edge.name()
        );
        assert!(
            counted > SERIES_MAX / 2,
            "{counted}: this counts something else"
        );

        let name = edge.edge.name();
        for (channel, rendition) in [("one", "180p"), ("four", "360p")] {
            let labels =
                format!("{{edge=\"{name}\",rendition=\"{rendition}\",stream=\"{channel}\"}}");
            let listed = value(
                &text,
                &format!("seawall_edge_playlist_media_sequence{labels}"),
            );
            let published = value(
                &of_origin,
                &format!(
                    "seawall_broadcaster_media_sequence{{rendition=\"{rendition}\",stream=\"{channel}\"}}"
                ),
            );
            assert!(
                (published - 3.0..=published + 3.0).contains(&listed),
                "{listed} of {published}"
            );
            let updated = value(
                &text,
                &format!("seawall_edge_playlist_updated_timestamp_seconds{labels}"),
            );
            let age = clock.unix().as_nanos() as f64 / 1e9 - updated;
            assert!((0.0..60.0).contains(&age), "{age} s old");
        }
        let of_kind = |metric: &str, kind: &str| {
            value(
                &text,
                &format!("{metric}{{edge=\"{name}\",kind=\"{kind}\"}}"),
            )
        };
        for kind in ["multivariant", "media_playlist", "segment", "other"] {
            for metric in [
                "seawall_edge_requests_inflight",
                "seawall_edge_miss_waiters",
            ] {
                assert_eq!(of_kind(metric, kind), 0.0, "{metric} {kind}");
            }
        }
        let peak = of_kind("seawall_edge_miss_waiters_peak", "media_playlist");
        assert_eq!(peak, 1.0, "nobody waited beside another");
    }

    let of_audience = Registry::new(&[]);
    let plot = Plot {
        phases: vec![("surge".to_owned(), Duration::ZERO)],
        events: vec![("surge".to_owned(), Duration::ZERO)],
        ..Plot::default()
    };
    let _audience = load::Metrics::new(&of_audience, plot, clock);
    let of_audience = String::from_utf8(of_audience.render()).unwrap();
    let of_simulation = Registry::new(&[]);
    let _exposed = Exposed::new(&of_simulation);
    let of_simulation = String::from_utf8(of_simulation.render()).unwrap();
    let all = of_origin + &scrape(edges[0].listeners.admin).await + &of_audience + &of_simulation;
    // This origin keeps no likes.
    let elsewhere = ["seawall_likes_"];
    for metric in TABLE {
        let is_sample = |line: &&str| {
            let rest = line.strip_prefix(metric.name).unwrap_or_default();
            rest.starts_with(['{', ' ']) || rest.starts_with("_bucket{")
        };
        let occurs = samples(&all).iter().any(is_sample);
        let is_elsewhere = elsewhere
            .iter()
            .any(|prefix| metric.name.starts_with(prefix));
        assert!(
            occurs || is_elsewhere,
            "{} is in the table and in no scrape",
            metric.name
        );
    }
    for line in all.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let name = line.split(' ').next().unwrap();
        assert!(
            TABLE.iter().any(|metric| metric.name == name),
            "{name} is in no table"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_join_alike_stay_apart_end_to_end() {
    let playlist = |newest: u64| {
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{newest}\n#EXTINF:2,\n{newest}.ts\n"
        )
    };
    let origin = FaultOrigin::start(move |arrived, _| match arrived.target.as_str() {
        "/live/1a/720p/media.m3u8" => Behaviour::ok(playlist(11)),
        "/live/a/720p/media.m3u8" => Behaviour::ok(playlist(22)),
        "/live/demo1/1a/media.m3u8" => Behaviour::ok(playlist(33)),
        "/live/demo11/a/media.m3u8" => Behaviour::ok(playlist(44)),
        _ => Behaviour::status(404),
    })
    .await;
    let clock = Clock::start();
    let [first, second] = ["edge1", "edge11"].map(|name| edge_component(name, origin.url(), clock));
    for (edge, stream, rendition) in [
        (&first, "1a", "720p"),
        (&second, "a", "720p"),
        (&first, "demo1", "1a"),
        (&first, "demo11", "a"),
    ] {
        let path = format!("/live/{stream}/{rendition}/media.m3u8");
        assert_eq!(
            client::get(edge.listeners.listen, &path).await.status,
            200,
            "{path}"
        );
    }
    let (of_first, of_second) = (
        scrape(first.listeners.admin).await,
        scrape(second.listeners.admin).await,
    );
    for (text, edge, stream, rendition, newest) in [
        (&of_first, "edge1", "1a", "720p", 11.0),
        (&of_second, "edge11", "a", "720p", 22.0),
        (&of_first, "edge1", "demo1", "1a", 33.0),
        (&of_first, "edge1", "demo11", "a", 44.0),
    ] {
        let series = format!(
            "seawall_edge_playlist_media_sequence{{edge=\"{edge}\",rendition=\"{rendition}\",stream=\"{stream}\"}}"
        );
        assert_eq!(value(text, &series), newest, "{series}");
    }
    assert!(!of_first.contains("edge=\"edge11\"") && !of_second.contains("edge=\"edge1\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_a_flight_is_counted_under_its_word() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |arrived, number| match arrived.target.as_str() {
        "/live/demo/720p/1.ts" if number == 0 => Behaviour::status(500),
        "/live/demo/720p/2.ts" => {
            Behaviour::Gated(held.clone(), Box::new(Behaviour::ok("too late")))
        }
        "/live/demo/720p/3.ts" => Behaviour::Reset,
        _ => Behaviour::ok_with("etag: \"x\"\r\n", vec![7; 1_000]),
    })
    .await;
    let limits = Limits {
        segment_wait: Duration::from_millis(500),
        ..Limits::default()
    };
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, limits);
    let labelled = |metric: &str, label: &str, word: &str| {
        edge.metric(&format!("{metric}{{edge=\"edge-t\",{label}=\"{word}\"}}"))
    };
    let waits =
        |outcome: &str| labelled("seawall_edge_miss_wait_seconds_count", "outcome", outcome);
    let segment = |number: u32| format!("/live/demo/720p/{number}.ts");

    let retried = client::get(edge.addr, &segment(1)).await;
    assert_eq!((retried.status, waits("served")), (200, 1.0));
    assert_eq!(edge.metric("seawall_edge_flight_retries_total"), 1.0);
    assert_eq!(edge.metric("seawall_edge_flight_resumes_total"), 0.0);
    assert_eq!(edge.metric("seawall_edge_wakeup_lag_seconds_count"), 1.0);
    let hit = client::get(edge.addr, &segment(1)).await;
    assert!(hit.header("cache-status").contains("; hit"), "{hit:?}");
    assert_eq!(waits("served"), 1.0, "a hit waits for nothing");

    let leaver = client::send(edge.addr, "GET", &segment(2), "", b"").await;
    let waiters = |of: &str| labelled(of, "kind", "segment");
    eventually("it waits", || waiters("seawall_edge_miss_waiters") == 1.0).await;
    assert_eq!(waiters("seawall_edge_requests_inflight"), 1.0);
    client::reset(leaver);
    eventually("it has left", || waits("left") == 1.0).await;
    assert_eq!(waiters("seawall_edge_requests_inflight"), 0.0);
    let late = client::get(edge.addr, &segment(2)).await;
    assert_eq!((late.status, waits("deadline")), (503, 1.0));
    assert_eq!(client::get(edge.addr, &segment(3)).await.status, 502);
    assert_eq!(waits("failed"), 1.0);
    // One request at a time waited, and the scrapes above do not reset the peak.
    assert_eq!(waiters("seawall_edge_miss_waiters_peak"), 1.0);
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flight_that_everybody_left_or_whose_key_was_purged_is_counted_as_cancelled() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |_, _| {
        Behaviour::Gated(held.clone(), Box::new(Behaviour::ok("seven")))
    })
    .await;
    let admin = Admin {
        token: Some(Token::new("open-sesame")),
        ..Admin::default()
    };
    let component = edge_component_with(
        "edge-t",
        origin.url(),
        Clock::start(),
        Limits {
            origin_at_once_max: 1,
            ..Limits::default()
        },
        admin,
    );
    let (viewers, admin) = (component.listeners.listen, component.listeners.admin);
    let cancelled = |text: &str, why: &str| {
        value(
            text,
            &format!("seawall_edge_flights_cancelled_total{{edge=\"edge-t\",why=\"{why}\"}}"),
        )
    };
    let first = client::send(viewers, "GET", "/live/demo/720p/7.ts", "", b"").await;
    eventually("the only place is taken", || {
        origin.hits("/live/demo/720p/7.ts") == 1
    })
    .await;
    // A foreign request is not urgent: it waits for the permit, and is given up when no viewer waits for it.
    let leaver = client::send(viewers, "GET", "/foreign", "", b"").await;
    eventually("it waits, too", || component.edge.waiters() == 2).await;
    client::reset(leaver);
    eventually("it is given up", || component.edge.flights_under_way() == 1).await;
    eventually("its task has ended", || component.edge.tasks() == 1).await;

    let bearer = "authorization: Bearer open-sesame\r\n";
    let purge = client::request(admin, "POST", "/-/purge?channel=demo", bearer, b"").await;
    assert_eq!(purge.body, b"{\"purged\":1}");
    let text = scrape(admin).await;
    assert_eq!(
        (cancelled(&text, "deserted"), cancelled(&text, "purged")),
        (1.0, 1.0)
    );
    assert_eq!(cancelled(&text, "background"), 0.0);
    assert_eq!(origin.hits("/foreign"), 0);
    gate.open();
    drop(first);
}

/// Fails with promtool's message about a scrape, if there is one.
fn promtool_finds_nothing(component: &str, text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            let how = program::installed_by("promtool");
            panic!("promtool does not start ({error}); install it: {how}")
        });
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let ended = promtool.wait_with_output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        ended.status.success() && said.is_empty(),
        "{component}: {said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_wrong_with_the_metrics_of_a_live_edge_and_its_origin() {
    let folder = tempfile::tempdir().unwrap();
    let segments = folder.path().to_str().unwrap();
    let own = [
        "up",
        "--edges",
        "1",
        "--renditions",
        "180p",
        "--segments",
        segments,
    ];
    let up = Program::seawall(&[&own[..], &FREE_DOORS[..]].concat());
    up.says("Ctrl-C ends it").await;
    let said = up.said();
    let address = |url: &str| {
        url.split('/')
            .next()
            .unwrap()
            .parse::<SocketAddr>()
            .unwrap()
    };
    for component in ["edge-1", "origin"] {
        let line = said
            .lines()
            .find(|line| line.trim_start().starts_with(component));
        let urls: Vec<_> = line
            .unwrap()
            .split("http://")
            .skip(1)
            .map(address)
            .collect();
        let [viewers, admin] = urls[..] else {
            panic!("{said}")
        };
        for path in ["/live/demo/180p/media.m3u8", "/live/demo/180p/1.ts"] {
            client::get(viewers, path).await;
        }
        promtool_finds_nothing(component, &scrape(admin).await);
    }
}

/// Hostile scrapers; they stay until the connections are dropped.
async fn besiege(admin: SocketAddr) -> Vec<TcpStream> {
    let mut open = Vec::new();
    // Requests with more answers than any buffer holds, none of which is read.
    for _ in 0..16 {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        let ask = format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\n\r\n").repeat(200);
        let _ = stream.write_all(ask.as_bytes()).await;
        open.push(stream);
    }
    // Requests that never end.
    for _ in 0..16 {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: ").await;
        open.push(stream);
    }
    // A head that is far too large.
    for _ in 0..16 {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        let header = format!("GET /metrics HTTP/1.1\r\nx: {}", "x".repeat(1 << 20));
        let write = stream.write_all(header.as_bytes());
        let _ = tokio::time::timeout(Duration::from_millis(200), write).await;
        open.push(stream);
    }
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn no_scraper_be_it_slow_hostile_or_a_thousand_touches_the_port_of_the_viewers() {
    const SEGMENT: &str = "/live/demo/720p/7.ts";
    components::raise_descriptor_limit();
    let origin = FaultOrigin::start(|_, _| Behaviour::ok(vec![7; 100_000])).await;
    let upstream = origin.url();
    let own = ["edge", "--name", "edge-t", "--upstream", &upstream];
    let doors = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let edge = Program::seawall(&[&own[..], &doors[..]].concat());
    let (viewers, admin) = (edge.address("edge-t").await, edge.address("admin").await);
    // No scraper has come yet, and none will for a while: this tests an absent scraper.
    let view = async || {
        let begun = Instant::now();
        let reply = client::get(viewers, SEGMENT).await;
        assert_eq!((reply.status, reply.body.len()), (200, 100_000));
        begun.elapsed()
    };
    for _ in 0..20 {
        view().await;
    }
    let besiegers = besiege(admin).await;
    let storm = tokio::spawn(async move {
        let scrapes = (0..1_000).map(|_| async move {
            let mut stream = TcpStream::connect(admin).await.ok()?;
            let ask =
                format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
            stream.write_all(ask.as_bytes()).await.ok()?;
            let answer = client::read_reply(&mut stream, false);
            let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
            Some(answer.ok()?.status)
        });
        futures_util::future::join_all(scrapes).await
    });
    let mut viewed = 0;
    let mut slowest = Duration::ZERO;
    while !storm.is_finished() || viewed < 200 {
        slowest = slowest.max(view().await);
        viewed += 1;
    }
    let answers = storm.await.unwrap();
    let told = |wanted: u16| {
        let of_status = answers.iter().flatten().filter(|status| **status == wanted);
        of_status.count()
    };
    assert!(told(200) >= 1, "somebody was served: {answers:?}");
    assert!(
        told(200) + told(503) + told(0) + answers.iter().filter(|answer| answer.is_none()).count()
            == 1_000
    );
    // This is not a measurement, but a bound. A listener that waits for scrapers would exceed it by far.
    assert!(
        slowest < Duration::from_secs(2),
        "a viewer waited for {slowest:?}"
    );

    drop(besiegers);
    let begun = Instant::now();
    let text = loop {
        let scraped = client::get(admin, "/metrics").await;
        if scraped.status == 200 {
            break String::from_utf8(scraped.body).unwrap();
        }
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "the siege goes on"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let of_edge = |metric: &str| value(&text, &format!("{metric}{{edge=\"edge-t\"}}"));
    assert_eq!(
        of_edge("seawall_edge_connections_accepted_total"),
        f64::from(20 + viewed)
    );
    assert_eq!(of_edge("seawall_edge_connections_refused_total"), 0.0);
    assert_eq!(
        value(
            &text,
            "seawall_edge_responses_total{code=\"2xx\",edge=\"edge-t\"}"
        ),
        f64::from(20 + viewed)
    );
    assert_eq!(origin.hits(SEGMENT), 1);
}

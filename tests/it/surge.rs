//! Surges over real sockets. The origin's requests equal those that follow from the generator's own log. Faults during the
//! surge interrupt the stream for no viewer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall::hls::timeline::{Channel, Layout};
use seawall::load::{self, Metrics, Network, RunPlan, Stream};
use seawall::policy::capacity::Capacity;
use seawall::policy::key::Kind;
use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;
use seawall::report::record::{Outcome, Process, RunRecord};
use seawall::report::thresholds::Ruling;
use seawall::scenario::Scenario;
use seawall::scenario::connections::Connections;
use seawall::serve::admin::Admin;
use seawall::serve::clock::Clock;
use seawall::serve::components::{Doors, EdgeComponent, OriginComponent};
use seawall::serve::edge;
use seawall::serve::http::listener;
use seawall::serve::likes::rates::Addresses;
use seawall::serve::origin::{AnswerFault, OriginConfig};
use seawall::serve::workers::Workers;
use seawall::viewer::arrivals::Arrivals;
use seawall::viewer::audience::Sessions;
use seawall::viewer::quality::Exit;
use tokio_util::sync::CancellationToken;

use crate::support::played::{celebrity_live, play_scenario};
use crate::support::program::Program;
use crate::support::{client, eventually};

/// `celebrity-live`, smaller and shorter.
fn small(viewers: u32, until_s: f64) -> Scenario {
    let mut scenario = celebrity_live();
    let audience = &mut scenario.real.audience;
    audience.viewers = viewers;
    audience.arrivals = Arrivals::Gamma {
        shape: 2.0,
        scale_s: 1.0,
        within_s: 6.0,
    };
    audience.sessions = Sessions::TheEnd {
        until_s,
        plunge_s: 1.0,
    };
    // Likes have their own tests.
    scenario.real.likes = None;
    scenario
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_viewers_cost_the_origin_what_their_log_says_with_the_queue_and_without() {
    let scenario = small(500, 14.0);
    for miss_queue in [MissQueue::Flights, MissQueue::Off] {
        let played = play_scenario(&scenario, miss_queue).await;
        let summary = played.summary;
        let origin = &summary.origin;
        assert_eq!(origin.not_binding, None, "{miss_queue}");
        assert_eq!(
            origin.predicted,
            (origin.measured.segment, origin.measured.segment),
            "{miss_queue}: {:?}",
            origin.terms
        );
        assert_eq!(
            origin.segments_off,
            Some(0),
            "{miss_queue}: each segment by itself"
        );
        assert_eq!(summary.viewers.started, 500);
        let segments = summary
            .requests
            .iter()
            .find(|row| row.kind.to_string() == "segment")
            .unwrap();
        assert_eq!(
            segments.outcomes.get(&Outcome::Ok),
            Some(&segments.total),
            "{miss_queue}: every byte as regenerated"
        );
        assert!(
            segments.total > 1_000,
            "{miss_queue}: {} segments",
            segments.total
        );
        match miss_queue {
            MissQueue::Flights => {
                assert_eq!(origin.most_per_key, Some(1));
                let ahead = origin
                    .terms
                    .iter()
                    .find(|term| term.what.starts_with("fetched ahead"))
                    .map_or(0, |term| term.count);
                assert_eq!(origin.measured.segment, origin.keys + ahead);
            }
            _ => assert!(
                origin.measured.segment > origin.keys,
                "without the queue some are fetched more than once"
            ),
        }
        let missed: Vec<_> = summary
            .checks
            .iter()
            .filter(|check| check.ruling == Ruling::Fail)
            .collect();
        assert!(missed.is_empty(), "{miss_queue}: {missed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_shields_the_origin_is_asked_once_per_group_however_many_edges() {
    let mut scenario = small(400, 14.0);
    scenario.real.cluster.edges = 8;
    scenario.real.cluster.shields = Some("2x2".parse().unwrap());
    let renditions = ["180p", "360p", "720p"].map(str::to_owned);
    scenario.real.audience.renditions = renditions.to_vec();
    let played = play_scenario(&scenario, MissQueue::Flights).await;
    let summary = played.summary;
    let origin = &summary.origin;
    assert_eq!(origin.not_binding, None);
    assert_eq!(
        origin.predicted,
        (origin.measured.segment, origin.measured.segment),
        "{:?}",
        origin.terms
    );
    assert_eq!(origin.segments_off, Some(0), "each segment by itself");
    assert_eq!(origin.most_per_key, Some(1));
    // Two groups: at most two hits per segment and rendition, for any number of edges.
    let ahead = origin
        .terms
        .iter()
        .find(|term| term.what.starts_with("fetched ahead"));
    let ahead = ahead.map_or(0, |term| term.count);
    assert!(origin.measured.segment - ahead <= 2 * origin.segments);
    assert!(
        origin.measured.segment > origin.segments,
        "both groups were watched"
    );
}

/// An origin on `doors` that broadcasts into `folder`, and the channel in force.
async fn on_air(
    folder: &Path,
    doors: Doors,
    clock: Clock,
) -> (OriginComponent, Channel, CancellationToken) {
    let config = OriginConfig {
        capacity: Capacity::unbounded(Duration::from_millis(20)),
        segments_dir: folder.to_owned(),
        ..OriginConfig::default()
    };
    let off_air = CancellationToken::new();
    let layout = Layout {
        parts_per_segment: 6,
        ..Layout::default()
    };
    let (runtime, ended) = (tokio::runtime::Handle::current(), off_air.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let _context = runtime.enter();
        let origin = OriginComponent::open(config, doors, None, Admin::default(), clock).unwrap();
        let channel = origin.broadcast("trouble", 1, layout, None, ended).unwrap();
        (origin, channel)
    });
    let (origin, channel) = opened.await.unwrap();
    while !origin.origin.store().is_current(&channel) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (origin, channel, off_air)
}

fn open_edges(upstreams: &[String], clock: Clock) -> Vec<EdgeComponent> {
    let open = |index| {
        let config = edge::EdgeConfig {
            name: format!("edge-{index}"),
            upstreams: upstreams.to_vec(),
            miss_queue: MissQueue::Flights,
            cache_bytes: 256 << 20,
            prefetch: true,
            refresh: true,
            limits: Limits::default(),
            access_log: None,
            likes: Addresses::default(),
        };
        EdgeComponent::open(
            config,
            Doors::free(),
            Admin::default(),
            4_000,
            Workers::Here,
            clock,
        )
        .unwrap()
    };
    (1..=2).map(open).collect()
}

async fn play(
    edges: &[EdgeComponent],
    channel: &Channel,
    scenario: &Scenario,
    clock: Clock,
) -> RunRecord {
    let plan = RunPlan {
        scenario: scenario.name.clone(),
        audience: scenario.real.audience.clone(),
        seed: scenario.seed,
        targets: edges.iter().map(EdgeComponent::url).collect(),
        stream: Stream::Channels(vec![channel.clone()]),
        miss_queue: MissQueue::Flights,
        requests_logged_max: 200_000,
        process: Process::SharedWithServers,
        connections: Connections::default(),
        likes: None,
        network: Network::default(),
        workers: Workers::Here,
        metrics: Metrics::unseen(clock),
    };
    load::run(&plan, clock, |_| {}, CancellationToken::new())
        .await
        .unwrap()
}

/// The number of the newest segment that an edge lists, and the age of its playlist; `None` while it has no answer.
async fn newest_listed(edge: &EdgeComponent) -> Option<(u64, u64)> {
    let reply = client::get(edge.listeners.listen, "/live/trouble/360p/media.m3u8").await;
    if reply.status != 200 {
        return None;
    }
    let text = String::from_utf8(reply.body.clone()).unwrap();
    let newest = text
        .lines()
        .rfind(|line| line.ends_with(".ts"))?
        .trim_end_matches(".ts")
        .parse()
        .unwrap();
    Some((newest, reply.header("age").parse().unwrap()))
}

/// A period without an origin.
struct Outage {
    /// The listeners of the origin, before and after the outage.
    doors: Doors,
    /// The newest segment that was listed before the outage.
    newest: u64,
}

impl Outage {
    /// Stops the broadcast and the origin.
    async fn begin(
        origin: OriginComponent,
        off_air: CancellationToken,
        edges: &[EdgeComponent],
    ) -> Self {
        let doors = Doors {
            listen: origin.listeners.listen,
            admin: origin.listeners.admin,
            ..Doors::free()
        };
        let (newest, _) = newest_listed(&edges[0]).await.unwrap();
        off_air.cancel();
        origin.listeners.stop().await;
        Self { doors, newest }
    }

    /// Goes on air again and waits, two seconds at most, until every edge lists a new segment. Returns how long that took.
    async fn end(
        self,
        folder: &Path,
        channel: &Channel,
        edges: &[EdgeComponent],
        clock: Clock,
    ) -> (OriginComponent, CancellationToken, Duration) {
        let (origin, again, off_air) = on_air(folder, self.doors, clock).await;
        assert_eq!(again, *channel, "the same stream goes on");
        let back = Instant::now();
        for edge in edges {
            while newest_listed(edge)
                .await
                .is_none_or(|(newest, _)| newest <= self.newest)
            {
                assert!(
                    back.elapsed() < Duration::from_secs(2),
                    "two seconds after the origin is back, an edge is not"
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        (origin, off_air, back.elapsed())
    }
}

fn no_player_gave_up(record: &RunRecord) {
    let gave_up: Vec<_> = record
        .viewers
        .iter()
        .filter(|viewer| matches!(viewer.quality.exit, Exit::Fatal | Exit::StartFailed))
        .collect();
    assert!(
        gave_up.is_empty(),
        "{} of {}: {:?}",
        gave_up.len(),
        record.viewers.len(),
        gave_up.first()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_gone_for_eight_seconds_costs_no_viewer_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::start();
    let (origin, channel, off_air) = on_air(folder.path(), Doors::free(), clock).await;
    let edges = Arc::new(open_edges(&[origin.url()], clock));
    let (surge_edges, surge_channel) = (edges.clone(), channel.clone());
    let surge =
        tokio::spawn(
            async move { play(&surge_edges, &surge_channel, &small(300, 26.0), clock).await },
        );

    tokio::time::sleep(Duration::from_secs(8)).await; // the surge is in full swing
    let outage = Outage::begin(origin, off_air, &edges).await;
    let stopped = Instant::now();
    while stopped.elapsed() < Duration::from_secs(8) {
        for edge in edges.iter() {
            if let Some((newest, age_s)) = newest_listed(edge).await {
                assert!(newest >= outage.newest, "an edge went back");
                // Three target durations of 2 s, by whole seconds of Age.
                assert!(age_s <= 6, "a playlist of {age_s} s was served");
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (origin, off_air, _) = outage.end(folder.path(), &channel, &edges, clock).await;
    let record = surge.await.unwrap();
    assert_eq!(record.viewers.len(), 300);
    no_player_gave_up(&record);
    assert!(
        record
            .requests
            .iter()
            .all(|request| request.outcome != Outcome::WrongBytes),
        "something wrong was cached"
    );
    off_air.cancel();
    for edge in edges.iter() {
        edge.listeners.stop().await;
        // A fetch without waiters, such as a prefetch, goes on when the viewers are gone, and lands by itself.
        eventually("no fetch and no waiter is left", || {
            edge.edge.tasks() == 0 && edge.edge.flights_under_way() == 0 && edge.edge.waiters() == 0
        })
        .await;
    }
    origin.listeners.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_truncates_in_mid_surge_leaves_nothing_wrong_behind() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::start();
    let (origin, channel, off_air) = on_air(folder.path(), Doors::free(), clock).await;
    let edges = Arc::new(open_edges(&[origin.url()], clock));
    let (surge_edges, surge_channel) = (edges.clone(), channel.clone());
    let surge =
        tokio::spawn(
            async move { play(&surge_edges, &surge_channel, &small(100, 18.0), clock).await },
        );
    tokio::time::sleep(Duration::from_secs(5)).await; // the surge is in full swing
    origin
        .origin
        .faults()
        .begin_for(Kind::Segment, AnswerFault::Truncated);
    tokio::time::sleep(Duration::from_secs(3)).await;
    origin.origin.faults().end();
    let record = surge.await.unwrap();
    let outcomes = |wanted| {
        record
            .requests
            .iter()
            .filter(|request| request.outcome == wanted)
            .count()
    };
    assert!(outcomes(Outcome::Truncated) > 0, "the faults were felt");
    assert_eq!(outcomes(Outcome::WrongBytes), 0);
    no_player_gave_up(&record);
    // Every segment that is still listed is now whole at both edges.
    let playlist = client::get(edges[0].listeners.listen, "/live/trouble/360p/media.m3u8").await;
    let rendition = channel.rendition("360p").unwrap();
    for name in String::from_utf8(playlist.body)
        .unwrap()
        .lines()
        .filter(|line| line.ends_with(".ts"))
    {
        let number = name.trim_end_matches(".ts").parse().unwrap();
        for edge in edges.iter() {
            let reply =
                client::get(edge.listeners.listen, &format!("/live/trouble/360p/{name}")).await;
            assert!(
                reply.whole && reply.body == seawall::media::segment(&channel, rendition, number),
                "{name}"
            );
        }
    }
    off_air.cancel();
    for edge in edges.iter() {
        edge.listeners.stop().await;
    }
    origin.listeners.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shield_that_is_killed_in_mid_surge_costs_no_viewer_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::start();
    let (origin, channel, off_air) = on_air(folder.path(), Doors::free(), clock).await;
    let upstream = origin.url();
    let shield = |name| {
        let doors = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let own = ["edge", "--name", name, "--upstream", &upstream];
        Program::seawall(&[&own[..], &doors[..]].concat())
    };
    let shields = [shield("shield-1"), shield("shield-2")];
    let mut urls = Vec::new();
    for (shield, name) in shields.iter().zip(["shield-1", "shield-2"]) {
        urls.push(format!("http://{}", shield.address(name).await));
    }
    let edges = open_edges(&urls, clock);
    let viewers = small(200, 14.0);
    let surge = play(&edges, &channel, &viewers, clock);
    let injecting = async {
        tokio::time::sleep(Duration::from_secs(6)).await; // the surge is in full swing
        shields[0].kill();
    };
    let (record, ()) = tokio::join!(surge, injecting);
    let failed: Vec<_> = record
        .requests
        .iter()
        .filter(|request| request.outcome != Outcome::Ok)
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {} failed: {:?}",
        failed.len(),
        record.requests.len(),
        failed.first()
    );
    no_player_gave_up(&record);
    for edge in &edges {
        edge.listeners.stop().await;
    }
    off_air.cancel();
    origin.listeners.stop().await;
}

/// Accepts connections at an address without a server, counts them, and closes them at once.
async fn count_connects(addr: SocketAddr, stop: CancellationToken) -> usize {
    let listener = listener::bind(addr, "--listen").unwrap();
    let mut count = 0;
    while let Some(Ok(_)) = stop.run_until_cancelled(listener.accept()).await {
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute and a half"]
async fn an_origin_that_is_out_for_thirty_seconds_is_left_alone_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::start();
    let (origin, channel, off_air) = on_air(folder.path(), Doors::free(), clock).await;
    let edges = Arc::new(open_edges(&[origin.url()], clock));
    let (surge_edges, surge_channel) = (edges.clone(), channel.clone());
    let surge = tokio::spawn(async move {
        play(&surge_edges, &surge_channel, &small(1_000, 65.0), clock).await
    });
    tokio::time::sleep(Duration::from_secs(12)).await; // the surge is in full swing
    let outage = Outage::begin(origin, off_air, &edges).await;
    let outage_began = clock.now();
    let counting = CancellationToken::new();
    let connects = tokio::spawn(count_connects(outage.doors.listen, counting.clone()));
    let (stopped, mut words) = (Instant::now(), BTreeMap::<u16, u32>::new());
    while stopped.elapsed() < Duration::from_secs(30) {
        for edge in edges.iter() {
            let reply = client::get(edge.listeners.listen, "/live/trouble/360p/media.m3u8").await;
            *words.entry(reply.status).or_default() += 1;
            match reply.status {
                // Three target durations of 2 s, by whole seconds of Age.
                200 => assert!(reply.header("age").parse::<u64>().unwrap() <= 6),
                _ => assert!(!reply.header("retry-after").is_empty(), "{reply:?}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    counting.cancel();
    let connects = connects.await.unwrap();
    // Per edge: five failures open the breaker, then one probe a second. Requests that were under way when it opened come on
    // top.
    let bound = edges.len() * (5 + 31 + 64);
    assert!(
        connects <= bound,
        "{connects} connects in 30 s at {} edges",
        edges.len()
    );
    let (origin, off_air, recovered) = outage.end(folder.path(), &channel, &edges, clock).await;
    let recovered_at = clock.now();
    let record = surge.await.unwrap();
    let lost = record
        .viewers
        .iter()
        .filter(|viewer| matches!(viewer.quality.exit, Exit::Fatal | Exit::StartFailed))
        .count();
    let wrong = record
        .requests
        .iter()
        .any(|request| request.outcome == Outcome::WrongBytes);
    println!(
        "{connects} connects to the dead origin (bound {bound}); playlists by status {words:?}; back after {recovered:?}; \
         {lost} of {} viewers lost",
        record.viewers.len()
    );
    assert!(!wrong, "something wrong was cached");
    // A player asks for the playlist of each of three renditions three times, with pauses of 1 and 2 s, and then, since there is no
    // other, for the last one with pauses of 4, 8, 8 and 8 s. So a player is lost if its first failure was more than 37 s before the
    // origin was back.
    let schedule = Duration::from_secs(3 * (1 + 2) + 4 + 3 * 8);
    let mut first_failures = BTreeMap::new();
    for request in &record.requests {
        if request.outcome != Outcome::Ok && request.sent >= outage_began {
            let first = first_failures.entry(request.viewer).or_insert(request.sent);
            *first = request.sent.min(*first);
        }
    }
    let due: usize = first_failures
        .values()
        .filter(|&&first| first + schedule + recovered < recovered_at)
        .count();
    println!("{due} were due to be lost by their retry schedule");
    assert!(
        lost.abs_diff(due) * 50 <= record.viewers.len(),
        "{lost} lost, {due} due"
    );
    off_air.cancel();
    for edge in edges.iter() {
        edge.listeners.stop().await;
    }
    origin.listeners.stop().await;
}

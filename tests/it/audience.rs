//! Surges as a user plays them: at a foreign server, with real faults, and twice with one seed. Results are compared with
//! theory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use rand_distr::{Distribution, Exp, Uniform};
use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;
use seawall::report::record::{Kind, Object, Outcome, RunRecord};
use seawall::report::summary::Summary;
use seawall::report::thresholds::{Ruling, Verdict};
use seawall::run::runner;
use seawall::scenario;
use seawall::serve::clock::Clock;
use seawall::serve::components::MetricsDoor;
use seawall::serve::metrics::Registry;
use seawall::theory::collapse::{Demand, leak_share};
use seawall::theory::interval::{Confidence, Interval};
use seawall::viewer::abr;
use seawall::viewer::arrivals::Arrivals;
use seawall::viewer::audience::{Failover, LastMile, Sessions};
use tokio_util::sync::CancellationToken;

use crate::support::client;
use crate::support::edge::TestEdge;
use crate::support::fault_origin::{Behaviour, FaultOrigin};
use crate::support::played::{play_scenario, short, written};
use crate::support::program::{Program, run};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_gets_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (args, code, told) in [
        (
            &["--target", "http://127.0.0.1:9"][..],
            1,
            "does not describe the channel",
        ),
        (
            &["--target", "http://127.0.0.1:9/a.m3u8"],
            1,
            "http://127.0.0.1:9/a.m3u8",
        ),
        (&["--target", "https://host/"], 1, "speak no TLS"),
        (
            &["--target", "http://h/a.m3u8", "--header", "nonsense"],
            2,
            "NAME: VALUE",
        ),
        (&["--ab", "colour=red,blue"], 2, "miss-queue=flights,off"),
        (
            &["--origin-slots", "4", "--target", "http://127.0.0.1:9"],
            1,
            "with --target there is none",
        ),
        (&["--report", "/proc/nowhere"], 1, "cannot write a report"),
        (&["--viewers", "4001"], 3, "must be from 1 to 4000"),
    ] {
        let ended = run(&[&["surge", "celebrity-live"], args].concat()).await;
        assert_eq!(ended.code, Some(code), "{args:?}: {}", ended.err);
        assert!(ended.err.contains(told), "{args:?}: {}", ended.err);
    }
    let mut pooled = short(100_000, 5.0);
    pooled.real.connections.pool = Some(8_192);
    let path = written(&folder, &pooled);
    let limited = format!(
        "ulimit -n 2000; exec {} surge {path}",
        env!("CARGO_BIN_EXE_seawall")
    );
    let crowd = Program::start(Command::new("sh").args(["-c", &limited]))
        .ended()
        .await;
    assert_eq!(crowd.code, Some(1));
    assert!(
        crowd.err.contains("file descriptors") && crowd.err.contains("fit"),
        "{}",
        crowd.err
    );

    let mut replayed = short(3, 5.0);
    replayed.real.audience.arrivals = Arrivals::Replay(Default::default());
    let text = toml::to_string(&replayed)
        .unwrap()
        .replace("csv = \"\"", "csv = \"arrivals.csv\"");
    let path = folder.path().join("replay.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    for (csv, told) in [
        (
            "arrives_s\n0\nsoon\n",
            "arrivals.csv: line 3: a time must be",
        ),
        ("arrives_s\n0\n1\n", "must be at most 2: arrivals.csv"),
    ] {
        std::fs::write(folder.path().join("arrivals.csv"), csv).unwrap();
        let ended = run(&["surge", path]).await;
        assert_eq!(ended.code, Some(3), "{}", ended.err);
        assert!(ended.err.contains(told), "{}", ended.err);
    }
    let fault = "[[real.faults]]\nat_s = 1.0\nwhat = { edge-killed = 9 }\n";
    let path = folder.path().join("fault.toml");
    std::fs::write(
        &path,
        format!("{}\n{fault}", toml::to_string(&short(3, 5.0)).unwrap()),
    )
    .unwrap();
    let ended = run(&["surge", path.to_str().unwrap()]).await;
    assert!(
        ended.code == Some(3)
            && ended
                .err
                .contains("real.faults must name an edge from 1 to 3, not 9"),
        "{}",
        ended.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn steered_viewers_leave_a_dead_edge_at_once_and_spread_over_the_others() {
    let folder = tempfile::tempdir().unwrap();
    // Players keep their first manifest for 10 s, which is until the end. The next one would name the others in another order, and
    // those who have left their first edge would move once more.
    let mut scenario = short(60, 9.5);
    let real = &mut scenario.real;
    real.audience.manners.failover = Failover::Steering;
    real.faults = vec![scenario::Fault {
        at_s: 5.0,
        until_s: Some(9.0),
        what: scenario::FaultKind::EdgeKilled(1),
    }];
    let path = written(&folder, &scenario);
    let played = run(&["surge", &path, "--json"]).await;
    let summary: Summary =
        serde_json::from_str(&played.out).unwrap_or_else(|_| panic!("{played:?}"));
    let experience = &summary.experience;
    assert_eq!(
        (experience.fatal, experience.start_failures),
        (0, 0),
        "{summary:?}"
    );
    let at_dead_edge = summary.edges[0].viewers;
    assert!(at_dead_edge >= 10, "{:?}", summary.edges);
    // Each of these viewers moves once. They had loaded the manifest before the edge died.
    assert!(
        (at_dead_edge..=at_dead_edge + 5).contains(&experience.failovers),
        "{at_dead_edge} viewers, {} moves",
        experience.failovers
    );
    assert!(summary.outcomes(Kind::Steering, Outcome::Ok) >= 60);
    // Edges keep a manifest for a second, whatever a player adds to its address.
    let other = summary.origin.measured.other;
    assert!(other < 60, "{other} requests at the origin");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_is_really_killed_another_silenced_and_viewers_go_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let mut scenario = short(60, 22.0);
    scenario.real.audience.manners.failover = Failover::NextEdge;
    scenario.real.likes = scenario::find("celebrity-live").unwrap().real.likes;
    let fault = |at_s, until_s, what| scenario::Fault {
        at_s,
        until_s: Some(until_s),
        what,
    };
    scenario.real.faults = vec![
        fault(5.0, 9.0, scenario::FaultKind::EdgeKilled(1)),
        fault(6.0, 18.0, scenario::FaultKind::EdgeSilent(2)),
        fault(10.0, 12.0, scenario::FaultKind::OriginStopped),
        fault(12.0, 13.0, scenario::FaultKind::StreamStalled),
    ];
    let path = written(&folder, &scenario);
    let played = run(&["surge", &path, "--json"]).await;
    let summary: Summary =
        serde_json::from_str(&played.out).unwrap_or_else(|_| panic!("{played:?}"));
    let started: Vec<_> = played
        .err
        .lines()
        .filter(|line| line.contains("could not be"))
        .collect();
    assert!(started.is_empty(), "{started:?}");
    assert_eq!(summary.viewers.started, 60);
    // Refused at the first edge, in vain at the second; no viewer is lost, and both kinds of failure are in the log.
    let outcomes: BTreeMap<_, u64> = summary
        .requests
        .iter()
        .flat_map(|row| row.outcomes.clone())
        .fold(BTreeMap::new(), |mut sums, (outcome, count)| {
            *sums.entry(outcome.to_string()).or_default() += count;
            sums
        });
    assert!(outcomes.contains_key("refused"), "{outcomes:?}");
    assert!(outcomes.contains_key("timeout"), "{outcomes:?}");
    assert_eq!(summary.experience.fatal, 0, "{summary:?}");
    assert!(summary.origin.not_binding.is_some());
    // Likes at the silent edge were sent again elsewhere, and arrived once more when that edge woke up: each counts once.
    let likes = summary.likes.as_ref().unwrap();
    assert!(likes.refusals.contains_key("no-answer"), "{likes:?}");
    let mut checks = summary.checks.iter();
    let tally = checks.find(|check| check.what.starts_with("likes and hearts at the origin"));
    assert_eq!(tally.unwrap().ruling, Ruling::Pass, "{likes:?}");
}

/// The parts of a run that do not depend on time: each viewer's edge, and its requests until its first frame.
fn schedule(record: &RunRecord) -> BTreeMap<u32, (u32, Vec<String>)> {
    let mut by_viewer: BTreeMap<u32, (u32, Vec<String>)> = BTreeMap::new();
    let mut requests: Vec<_> = record.requests.iter().collect();
    requests.sort_by_key(|request| (request.viewer, request.sent));
    for request in requests {
        let asked = by_viewer
            .entry(request.viewer)
            .or_insert((request.edge, Vec::new()));
        if asked.1.len() < 4 {
            asked.1.push(match request.object {
                Object::Multivariant => "multivariant".to_owned(),
                Object::MediaPlaylist { rendition } => format!("playlist {rendition}"),
                Object::Segment { rendition, .. } => format!("segment {rendition}"),
                Object::Header { .. } | Object::Key { .. } | Object::Steering => {
                    unreachable!("not in this run")
                }
            });
        }
    }
    by_viewer
}

#[tokio::test(flavor = "multi_thread")]
async fn one_seed_is_one_schedule_and_another_seed_is_another() {
    let mut scenario = short(80, 4.0);
    scenario.real.audience.abr = abr::Mode::Fixed("180p".to_owned());
    scenario.real.audience.last_mile = LastMile {
        median_bps: 50_000_000,
        sigma: 0.0,
        at_least_bps: 1,
    };
    let mut schedules = Vec::new();
    for seed in [7, 7, 8] {
        scenario.seed = seed;
        let played = play_scenario(&scenario, MissQueue::Flights).await;
        assert_eq!(played.record.viewers_dropped, 0);
        schedules.push(schedule(&played.record));
    }
    assert_eq!(schedules[0].len(), 80);
    assert_eq!(schedules[0], schedules[1]);
    assert_ne!(schedules[0], schedules[2]);
}

/// Asks for `path` as a Poisson process, until the end. A request does not wait for the answer of the one before.
async fn poisson_polls(
    addr: SocketAddr,
    path: String,
    rate: f64,
    seed: u64,
    until: Instant,
) -> usize {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let gap = Exp::new(rate).unwrap();
    let mut due = tokio::time::Instant::now();
    let mut polls = tokio::task::JoinSet::new();
    loop {
        due += Duration::from_secs_f64(gap.sample(&mut chance));
        if due.into_std() >= until {
            break;
        }
        tokio::time::sleep_until(due).await;
        let path = path.clone();
        polls.spawn(async move { client::get(addr, &path).await.status });
    }
    let mut count = 0;
    while let Some(status) = polls.join_next().await {
        assert_eq!(status.unwrap(), 200);
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn poisson_polls_cost_the_origin_what_renewal_theory_says_with_the_queue_and_without() {
    const KEYS: u64 = 6;
    const RATE: f64 = 40.0;
    const SPAN: Duration = Duration::from_secs(10);
    let fetch = Duration::from_millis(100);
    let asked = Arc::new(AtomicUsize::new(0));
    for miss_queue in [MissQueue::Flights, MissQueue::Off] {
        let counted = asked.clone();
        let origin = FaultOrigin::start(move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            let body = Behaviour::ok_with("cache-control: max-age=1\r\n", "polled");
            Behaviour::Late(fetch, Box::new(body))
        })
        .await;
        let edge = TestEdge::start_with(&origin.url(), miss_queue, Limits::default());
        asked.store(0, Ordering::Relaxed);
        let until = Instant::now() + SPAN;
        let polls = (0..KEYS)
            .map(|key| poisson_polls(edge.addr, format!("/polled/{key}"), RATE, 100 + key, until));
        let polls: usize = futures_util::future::join_all(polls)
            .await
            .into_iter()
            .sum();
        let demand = Demand {
            rate_per_s: polls as f64 / KEYS as f64 / SPAN.as_secs_f64(),
            fetch,
            lifetime: Duration::from_secs(1),
        };
        let measured = asked.load(Ordering::Relaxed) as f64 / KEYS as f64 / SPAN.as_secs_f64();
        // A cycle is T + L + 1/r = 1.125 s, so 10 s hold nearly nine, and each key may have begun one more. With rates of 1/r
        // in the cycle's length alone, 99 % of such means lie within a tenth. Without the queue a cycle costs 1 + Poisson(4)
        // fetches: six keys of nine cycles have a deviation of 2 / sqrt(54) = 0.27 of five.
        let (expected, within) = match miss_queue {
            MissQueue::Flights => (demand.origin_rate_collapsed(), 0.12),
            _ => (demand.origin_rate_uncollapsed(), 0.12 + 2.6 * 0.27 / 5.0),
        };
        assert!(
            (measured / expected - 1.0).abs() <= within,
            "{miss_queue}: {measured:.3} fetches per second and key, {expected:.3} expected"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaks_of_a_segment_without_the_queue_is_a_fetch_over_the_time_in_which_it_is_asked_for()
 {
    const SEGMENTS: u64 = 30;
    const REQUESTS: usize = 200;
    const WINDOW: Duration = Duration::from_secs(6);
    let origin = FaultOrigin::start(|_, _| {
        let body = Behaviour::ok("segment");
        Behaviour::Late(Duration::from_millis(120), Box::new(body))
    })
    .await;
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Off, Limits::default());
    let mut requests = tokio::task::JoinSet::new();
    let begins = tokio::time::Instant::now() + Duration::from_millis(100);
    for number in 0..SEGMENTS {
        let mut chance = ChaCha8Rng::seed_from_u64(number);
        let evenly = Uniform::new(0.0, WINDOW.as_secs_f64()).unwrap();
        for _ in 0..REQUESTS {
            let due = begins + Duration::from_secs_f64(evenly.sample(&mut chance));
            let addr = edge.addr;
            requests.spawn(async move {
                tokio::time::sleep_until(due).await;
                let asked = Instant::now();
                let path = format!("/live/demo/180p/{number}.ts");
                let reply = client::get(addr, &path).await;
                assert_eq!(reply.status, 200);
                let missed = !reply.header("cache-status").contains("hit");
                (number, missed, asked.elapsed())
            });
        }
    }
    let mut fetches = [0_u32; SEGMENTS as usize];
    let (mut missed, mut waited) = (0_u32, Duration::ZERO);
    while let Some(ended) = requests.join_next().await {
        let (number, is_miss, took) = ended.unwrap();
        if is_miss {
            fetches[number as usize] += 1;
            missed += 1;
            waited += took;
        }
    }
    assert_eq!(origin.arrived().len(), missed as usize);
    // With the fetch time as clients saw it.
    let expected = leak_share(waited / missed, WINDOW);
    let beyond = fetches.map(|fetches| f64::from(fetches - 1) / REQUESTS as f64 - expected);
    let interval = Interval::of(&beyond, Confidence::Percent99).unwrap();
    assert!(
        interval.contains(0.0) && interval.half_width < expected / 3.0,
        "what leaks differs from L/W = {expected:.4}: {interval:?}, {fetches:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_leaves_a_report_and_a_worse_one_is_told_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &short(30, 5.0));
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let played = run(&["surge", &path, "--report", &at("a"), "--json"]).await;
    let summary: Summary = serde_json::from_str(&played.out).unwrap();
    let left = |name: &str| std::fs::read_to_string(folder.path().join("a").join(name)).unwrap();
    let written: Summary = serde_json::from_str(&left("summary.json")).unwrap();
    assert_eq!(written, summary);
    assert!(left("timeseries.csv").lines().count() > 5);
    assert!(left("report.md").contains("short"));
    let page = left("report.html");
    assert!(
        page.contains("<svg") && !page.contains("src="),
        "nothing is asked for"
    );

    let same = run(&["compare", &at("a"), &at("a/summary.json")]).await;
    assert_eq!(same.code, Some(0), "{same:?}");
    let mut worse = summary;
    worse.origin.measured.segment *= 3;
    std::fs::write(at("b.json"), serde_json::to_string(&worse).unwrap()).unwrap();
    let page = at("comparison.html");
    let told = run(&["compare", &at("a"), &at("b.json"), "--html", &page]).await;
    assert_eq!(told.code, Some(4), "{told:?}");
    assert!(told.out.contains("origin hits"), "{}", told.out);
    assert!(
        std::fs::read_to_string(&page)
            .unwrap()
            .contains("origin hits")
    );
    let json = run(&["compare", &at("a"), &at("b.json"), "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["trend"], "worse");
    for (missing, why) in [("nothing", "cannot read"), ("short.toml", "is no summary")] {
        let ended = run(&["compare", &at("a"), &at(missing)]).await;
        assert!(
            ended.code == Some(1) && ended.err.contains(why),
            "{ended:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_interrupted_reports_the_part_that_was_played() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &short(30, 60.0));
    let surge = Program::seawall(&["surge", &path, "--json"]);
    surge.logs("viewers").await;
    // Whichever signals come, and how often: the report is written.
    for name in ["INT", "HUP", "TERM", "INT"] {
        surge.signal(name);
    }
    let ended = surge.ended().await;
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    let summary: Summary = serde_json::from_str(&ended.out).unwrap();
    assert!(summary.interrupted && summary.verdict == Verdict::Interrupted);
    assert_eq!(summary.viewers.started, 30);
}

/// The value of a sample, found by the start of its name and labels.
fn sample(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(series));
    let value = line.and_then(|line| line.rsplit_once(' '));
    value
        .unwrap_or_else(|| panic!("no {series} in\n{text}"))
        .1
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_shows_the_viewers_their_stalls_and_the_phase_while_a_surge_is_played() {
    let mut scenario = scenario::find("origin-brownout").unwrap();
    scenario.real.audience.viewers = 80;
    scenario.real.audience.arrivals = Arrivals::AtOnce;
    scenario.real.audience.sessions = Sessions::TheEnd {
        until_s: 9.0,
        plunge_s: 0.0,
    };
    scenario.real.faults.truncate(1);
    scenario.real.faults[0].at_s = 3.0;
    scenario.real.faults[0].until_s = Some(4.0);
    let (clock, registry) = (Clock::start(), Registry::new(&[]));
    let metrics = runner::metrics(&scenario, &registry, clock);
    let door = MetricsDoor::open(([127, 0, 0, 1], 0).into(), registry).unwrap();
    let scrape = async || {
        let reply = client::get(door.addr, "/metrics").await;
        assert_eq!(reply.status, 200);
        String::from_utf8(reply.body).unwrap()
    };
    assert_eq!(sample(&scrape().await, "seawall_viewer_joins_total"), 0.0);
    let stop = CancellationToken::new();
    let playing = runner::at_own_cluster(&scenario, MissQueue::Flights, &metrics, clock, &stop);
    let event = "seawall_event_timestamp_seconds{event=\"";
    let watching = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let text = scrape().await;
            let begun = text
                .lines()
                .filter(|line| line.starts_with(event) && !line.ends_with(" 0"));
            if begun.count() >= 2 {
                return text;
            }
        }
    };
    let (played, during) = tokio::join!(playing, watching);
    let summary = played.unwrap().summary;
    let viewers = ["starting", "playing", "stalled"]
        .map(|state| sample(&during, &format!("seawall_viewers{{state=\"{state}\"}}")));
    assert_eq!(viewers.iter().sum::<f64>(), 80.0, "{viewers:?}");
    assert!(viewers[1] > 40.0, "{viewers:?}");
    let after = scrape().await;
    let experience = &summary.experience;
    for (series, told) in [
        (
            "seawall_viewer_joins_total",
            u64::from(summary.viewers.started),
        ),
        ("seawall_viewer_startup_seconds_count", experience.started),
        ("seawall_viewer_stalls_total", experience.stalls),
        (
            "seawall_viewer_failures_total{reason=\"fatal\"}",
            experience.fatal,
        ),
        ("seawall_viewers{state=\"playing\"}", 0),
    ] {
        assert_eq!(sample(&after, series), told as f64, "{series}");
    }
    let phase = "seawall_scenario_phase{";
    let phases = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with(phase) && line.ends_with(" 1"))
            .count()
    };
    let named = usize::from(!scenario.real.phases.is_empty());
    assert_eq!((phases(&during), phases(&after)), (named, 0));
}

//! Seawall's viewer beside a real hls.js in Chromium: the same edge, the same bandwidth, the same minute.
//!
//! hls.js gets its bandwidth from a [`line::Line`], which slows the answers down. The viewer models its last mile itself, so
//! its line only notes requests. The test compares the requests of both players, not their own statements.

mod browser;
mod line;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use seawall::hls::names::LivePath;
use seawall::load::{self, Metrics, Network, RunPlan, Stream};
use seawall::policy::status::MissQueue;
use seawall::report::record::Process;
use seawall::scenario::connections::Connections;
use seawall::serve::workers::Workers;
use seawall::time::Timestamp;
use seawall::viewer::abr;
use seawall::viewer::arrivals::Arrivals;
use seawall::viewer::audience::{Audience, LastMile, Manners, Sessions};
use tokio_util::sync::CancellationToken;

use self::browser::{Browser, HLS_JS};
use self::line::{Asked, Line};
use crate::support::stage::Stage;

const BANDWIDTHS_BPS: [u64; 3] = [350_000, 1_200_000, 6_000_000];
/// Time from the first request until the rendition no longer changes.
const WARM_UP: Duration = Duration::from_secs(20);
/// Length of the compared period.
const STEADY: Duration = Duration::from_secs(60);

/// The requests of a player in its steady state.
#[derive(Debug)]
struct Steady {
    /// Median time between two reloads of the media playlist.
    reload_median: Duration,
    reloads: usize,
    /// The rendition of most segments.
    rendition: String,
    segments: usize,
    /// Number of segments newer than the first one that it asked for.
    began_behind: u64,
}

/// Both players on one bandwidth.
struct Pair {
    bandwidth_bps: u64,
    hlsjs: Steady,
    viewer: Steady,
    /// The final report of the page about itself.
    page: serde_json::Value,
    errors: Vec<serde_json::Value>,
}

#[ignore = "takes five minutes, a browser and npm: make test-long"]
#[tokio::test(flavor = "multi_thread")]
async fn the_viewer_reloads_and_chooses_as_hls_js_does_in_a_browser() {
    let page = browser::page().await;
    let stage = Stage::on_air(3).await;
    let mut pairs = Vec::new();
    // One after another: browsers that share a processor measure each other, not the line.
    for bandwidth_bps in BANDWIDTHS_BPS {
        pairs.push(Pair::watch(&stage, &page, bandwidth_bps).await);
    }
    let table = table(&browser::version().await, &pairs);
    println!("{table}");
    std::fs::write(browser::build_folder().join("hlsjs.md"), &table).unwrap();
    let segment = stage.channel.layout.segment_duration();
    for pair in &pairs {
        pair.agrees(segment);
    }
}

#[test]
fn the_table_that_is_kept_has_the_form_of_a_new_one() {
    let kept = include_str!("../../docs/hlsjs.md");
    let bare = table("", &[]);
    for line in bare.lines().filter(|line| line.starts_with(['#', '|'])) {
        assert!(kept.contains(line), "docs/hlsjs.md lacks {line}");
    }
    let rows = kept.lines().filter(|line| line.contains(" kb/s | "));
    assert_eq!(rows.count(), 2 * BANDWIDTHS_BPS.len());
    assert!(kept.contains(HLS_JS), "it was made with another hls.js");
}

/// One viewer of Seawall, for slightly longer than the compared period.
async fn watch(stage: &Stage, line: &Line, bandwidth_bps: u64) {
    let ladder = &stage.channel.layout.ladder;
    let whole = WARM_UP + STEADY + Duration::from_secs(1);
    let plan = RunPlan {
        scenario: "hlsjs".to_owned(),
        audience: Audience {
            viewers: 1,
            arrivals: Arrivals::AtOnce,
            sessions: Sessions::TheEnd {
                until_s: whole.as_secs_f64(),
                plunge_s: 0.0,
            },
            last_mile: LastMile {
                median_bps: bandwidth_bps,
                sigma: 0.0,
                at_least_bps: 1,
            },
            abr: abr::Mode::HlsJs,
            renditions: ladder
                .iter()
                .map(|rendition| rendition.name.clone())
                .collect(),
            manners: Manners::default(),
            seekers: None,
            intermission: None,
        },
        seed: 1,
        targets: vec![format!("http://{}", line.addr)],
        stream: Stream::Channels(vec![stage.channel.clone()]),
        miss_queue: MissQueue::Flights,
        requests_logged_max: 10_000,
        process: Process::SharedWithServers,
        connections: Connections::default(),
        likes: None,
        network: Network::default(),
        workers: Workers::Here,
        metrics: Metrics::unseen(stage.clock),
    };
    let stop = CancellationToken::new();
    load::run(&plan, stage.clock, |_| (), stop).await.unwrap();
}

/// Evaluates a player's requests in the minute after its warm-up.
fn steady(stage: &Stage, asked: &[Asked]) -> Steady {
    let from = asked.first().expect("it asked for something").at + WARM_UP;
    let is_steady = |at: Timestamp| from <= at && at < from + STEADY;
    let (mut reloads, mut segments) = (Vec::new(), Vec::new());
    let mut began_behind = None;
    for Asked { at, path } in asked {
        match LivePath::parse(path) {
            Some(LivePath::MediaPlaylist { .. }) if is_steady(*at) => reloads.push(*at),
            Some(LivePath::Segment {
                rendition, number, ..
            }) => {
                let newest = stage.channel.newest(stage.clock.unix_at(*at));
                began_behind.get_or_insert(newest.unwrap() - number);
                if is_steady(*at) {
                    segments.push(rendition);
                }
            }
            _ => {}
        }
    }
    let mut intervals: Vec<_> = reloads
        .windows(2)
        .map(|pair| pair[1].since(pair[0]))
        .collect();
    intervals.sort();
    let ladder = stage.channel.layout.ladder.iter();
    let most = ladder.max_by_key(|rendition| {
        let name = &rendition.name;
        segments.iter().filter(|chosen| *chosen == name).count()
    });
    Steady {
        reload_median: intervals[intervals.len() / 2],
        reloads: reloads.len(),
        rendition: most.unwrap().name.clone(),
        segments: segments.len(),
        began_behind: began_behind.expect("it asked for a segment"),
    }
}

impl Pair {
    /// Lets both players play.
    async fn watch(stage: &Stage, page: &Path, bandwidth_bps: u64) -> Self {
        let hlsjs = Line::to(stage.addr(), Some(bandwidth_bps), stage.clock).await;
        let viewer = Line::to(stage.addr(), None, stage.clock).await;
        let stream = format!("http://{}/live/demo/main.m3u8", hlsjs.addr);
        let browser = Browser::open(page, &stream);
        watch(stage, &viewer, bandwidth_bps).await;
        let silent = || -> ! { panic!("the page is silent: {}", browser.logged()) };
        // Chromium takes a few seconds to open a page.
        let first = hlsjs
            .asked()
            .first()
            .map_or_else(|| silent(), |asked| asked.at);
        let enough = stage.clock.instant(first + WARM_UP + STEADY);
        tokio::time::sleep_until(enough).await;
        let said = browser.said();
        let last = said.iter().rfind(|said| said["version"].is_string());
        let pair = Self {
            bandwidth_bps,
            hlsjs: steady(stage, &hlsjs.asked()),
            viewer: steady(stage, &viewer.asked()),
            page: last.unwrap_or_else(|| silent()).clone(),
            errors: said
                .into_iter()
                .filter(|said| said["error"].is_string())
                .collect(),
        };
        browser.close().await;
        pair
    }

    /// Fails if the two differ, or if hls.js did not play.
    fn agrees(&self, segment: Duration) {
        let Self {
            bandwidth_bps: bps,
            hlsjs,
            viewer,
            page,
            errors,
        } = self;
        let both = format!("at {bps} b/s {hlsjs:?} and {viewer:?}; {page}; {errors:?}");
        assert_eq!(page["version"], HLS_JS);
        assert!(
            errors.iter().all(|error| error["fatal"] == false),
            "hls.js gave up: {both}"
        );
        let played_s = page["played_s"].as_f64().unwrap();
        assert!(
            played_s >= STEADY.as_secs_f64(),
            "hls.js hardly played: {both}"
        );
        let differs = |one: Duration, other: Duration| one.abs_diff(other) * 100 > other * 15;
        assert!(
            !differs(viewer.reload_median, hlsjs.reload_median)
                && !differs(viewer.reload_median, segment)
                && !differs(hlsjs.reload_median, segment),
            "reloads of the playlist: {both}"
        );
        assert_eq!(viewer.rendition, hlsjs.rendition, "the rendition: {both}");
        assert!(
            viewer.segments.abs_diff(hlsjs.segments) <= 2,
            "segments per minute: {both}"
        );
    }
}

/// The comparison as a page of Markdown.
fn table(browser: &str, pairs: &[Pair]) -> String {
    let mut text = format!(
        "# Seawall's viewer beside hls.js\n\n\
         hls.js {HLS_JS} in {browser}, its defaults but `lowLatencyMode: false`, over a line of the given bandwidth; \
         Seawall's viewer with the same bandwidth as its last mile. Both play the same edge; counted is what each asked \
         for in the minute that begins {} s after its first request.\n\n\
         | bandwidth | player | playlist reloaded every | reloads | rendition | segments | began behind the newest |\n\
         |---|---|---|---|---|---|---|\n",
        WARM_UP.as_secs()
    );
    for pair in pairs {
        for (player, steady) in [("hls.js", &pair.hlsjs), ("Seawall", &pair.viewer)] {
            writeln!(
                text,
                "| {} kb/s | {player} | {:.2} s | {} | {} | {} | {} segments |",
                pair.bandwidth_bps / 1_000,
                steady.reload_median.as_secs_f64(),
                steady.reloads,
                steady.rendition,
                steady.segments,
                steady.began_behind,
            )
            .unwrap();
        }
    }
    text + "\nMade by `cargo test --test it hlsjs -- --ignored`.\n"
}

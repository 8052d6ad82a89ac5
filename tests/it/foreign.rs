//! Surges at other people's streams, written by a scripted server: what is legal plays, and what is broken is said.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use seawall::load::Metrics;
use seawall::policy::status::MissQueue;
use seawall::report::record::Outcome;
use seawall::report::thresholds::{Ruling, Thresholds, Verdict};
use seawall::run::runner::{self, Played, RunningEdges};
use seawall::serve::clock::Clock;
use seawall::viewer::arrivals::Arrivals;
use seawall::viewer::audience::Sessions;
use tokio_util::sync::CancellationToken;

use crate::support::fault_origin::{Behaviour, FaultOrigin};
use crate::support::played::celebrity_live;

const VIEWERS: u32 = 10;

/// Numbers of the segments in a live window of one-second segments; the stream has been live for a while.
fn window(began: Instant) -> std::ops::Range<u64> {
    let newest = 100 + began.elapsed().as_secs();
    newest - 7..newest + 1
}

/// A media playlist of that window, with these names for its segments.
fn playlist(began: Instant, name: impl Fn(u64) -> String) -> Behaviour {
    let window = window(began);
    let mut text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{}\n",
        window.start
    );
    for number in window {
        text += &format!("#EXTINF:1.0,\n{}\n", name(number));
    }
    Behaviour::ok(text)
}

/// Plays ten viewers with fast last miles for eight seconds at `path`.
async fn play(server: &FaultOrigin, path: &str) -> Played {
    let mut scenario = celebrity_live();
    let real = &mut scenario.real;
    real.audience.viewers = VIEWERS;
    real.audience.arrivals = Arrivals::Steady { over_s: 1.0 };
    real.audience.sessions = Sessions::TheEnd {
        until_s: 8.0,
        plunge_s: 0.2,
    };
    real.audience.last_mile.median_bps = 20_000_000;
    real.audience.last_mile.at_least_bps = 20_000_000;
    real.thresholds = Thresholds::default();
    real.likes = None;
    let target = [format!("{}{path}", server.url())];
    let edges = RunningEdges {
        targets: &target,
        channel: "demo",
        origin_admin: None,
        miss_queue: MissQueue::Flights,
    };
    let (clock, stop) = (Clock::start(), CancellationToken::new());
    let metrics = Metrics::unseen(clock);
    runner::at_running_edges(&scenario, edges, &metrics, clock, &stop)
        .await
        .unwrap()
}

/// Every viewer played, nothing failed, no segment was left out.
fn assert_played_well(played: &Played) {
    let summary = &played.summary;
    let experience = &summary.experience;
    assert_ne!(summary.verdict, Verdict::Fail, "{:?}", summary.checks);
    assert_eq!(experience.started, u64::from(VIEWERS));
    let trouble = (experience.retries, experience.skipped, experience.stalls);
    assert_eq!(trouble, (0, 0, 0), "{experience:?}");
}

fn segment() -> Behaviour {
    Behaviour::ok(vec![0x47; 20_000])
}

#[tokio::test(flavor = "multi_thread")]
async fn renditions_that_count_for_themselves_are_switched_without_a_break() {
    for with_times in [true, false] {
        let began = Instant::now();
        let server = FaultOrigin::start(move |arrived, _| match arrived.target.as_str() {
            "/main.m3u8" => Behaviour::ok(
                "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=200000\nlow.m3u8\n\
                 #EXT-X-STREAM-INF:BANDWIDTH=3000000\nhigh.m3u8\n",
            ),
            "/low.m3u8" | "/high.m3u8" => {
                let name = &arrived.target[1..arrived.target.len() - 5];
                let shift = if name == "high" { 5_000 } else { 0 };
                let window = window(began);
                let mut text = format!(
                    "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{}\n",
                    window.start + shift
                );
                if with_times {
                    text += &format!(
                        "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:{:02}:{:02}Z\n",
                        window.start / 60,
                        window.start % 60
                    );
                }
                for number in window {
                    text += &format!("#EXTINF:1.0,\n{name}-{number}.ts\n");
                }
                Behaviour::ok(text)
            }
            _ => segment(),
        })
        .await;
        let played = play(&server, "/main.m3u8").await;
        assert_played_well(&played);
        assert!(played.summary.experience.switches >= u64::from(VIEWERS));
        // A viewer gets each second of the stream once, from one rendition or the other.
        let asked = server.arrived().len();
        let seconds = 8 + 3 + 2;
        assert!(
            asked < VIEWERS as usize * (3 + 2 * seconds),
            "with times: {with_times}, {asked} requests"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_playlists_play_and_gaps_are_neither_loaded_nor_blamed() {
    let began = Instant::now();
    let server = FaultOrigin::start(move |arrived, _| {
        if arrived.target != "/media%20list.m3u8?session=/../1" {
            return segment();
        }
        let window = window(began);
        let mut text = format!(
            "\u{feff}#EXTM3U  \r\n#EXT-X-TARGETDURATION:1 \r\n#EXT-X-MEDIA-SEQUENCE:{}\r\n",
            window.start
        );
        for number in window {
            if number % 5 == 0 {
                text += "#EXT-X-GAP\r\n";
            }
            text += &format!("#EXTINF:1.0,\r\nseg {number}.ts?a=/../b#here\r\n");
        }
        // Without a newline at the end; the length of the body says that it is whole.
        Behaviour::ok(text.trim_end())
    })
    .await;
    let played = play(&server, "/media list.m3u8?session=/../1#fragment").await;
    let experience = &played.summary.experience;
    assert_eq!(experience.started, u64::from(VIEWERS));
    assert_eq!((experience.retries, experience.skipped), (0, 0));
    let asked: BTreeSet<_> = server
        .arrived()
        .into_iter()
        .map(|arrived| arrived.target)
        .filter(|target| target.starts_with("/seg"))
        .collect();
    assert!(asked.len() >= 6, "{asked:?}");
    for target in &asked {
        let number = target.strip_prefix("/seg%20").unwrap();
        let number = number.strip_suffix(".ts?a=/../b").unwrap();
        assert_ne!(number.parse::<u64>().unwrap() % 5, 0, "{target} is a gap");
    }
    // A playlist without bit rates, and a server that counts nothing: unknown is not zero.
    assert_eq!(experience.bitrate_mean_bps, None);
    let origin = &played.summary.origin;
    assert!(origin.offload.is_none() && origin.amplification.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_gives_each_session_its_own_names_is_not_called_wrong() {
    let began = Instant::now();
    let server = FaultOrigin::start(move |arrived, count| {
        if let Some(name) = arrived.target.strip_prefix("/seg-") {
            // Each session has its own bytes for the same number: an advertisement, say.
            return Behaviour::ok(name.repeat(1_000));
        }
        if arrived.target == "/main.m3u8" {
            return Behaviour::ok(format!(
                "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=200000\nmedia.m3u8?session={count}\n"
            ));
        }
        let session = arrived.target.split('=').next_back().unwrap_or_default();
        playlist(began, |number| format!("seg-{session}-{number}.ts"))
    })
    .await;
    let played = play(&server, "/main.m3u8").await;
    assert_played_well(&played);
    let wrong = |outcome: &Outcome| *outcome == Outcome::WrongBytes;
    let rows = played.summary.requests.iter();
    assert!(!rows.flat_map(|row| row.outcomes.keys()).any(wrong));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_which_no_viewer_saw_a_frame_fails_and_says_what_the_server_answered() {
    let began = Instant::now();
    let server = FaultOrigin::start(move |arrived, _| {
        if arrived.target != "/media.m3u8" {
            return Behaviour::status(401);
        }
        playlist(began, |number| format!("{number}.ts"))
    })
    .await;
    let played = play(&server, "/media.m3u8").await;
    assert_eq!(played.summary.verdict, Verdict::Fail);
    let failed: Vec<_> = played
        .summary
        .checks
        .iter()
        .filter(|check| check.ruling == Ruling::Fail)
        .collect();
    assert!(
        failed.iter().any(
            |check| check.measured.starts_with("none of 10; of all requests")
                && check.measured.contains("with 401")
        ),
        "{failed:?}"
    );
    let told = Duration::from_secs_f64(played.summary.elapsed_s);
    assert!(told < Duration::from_secs(60), "{told:?}");
}

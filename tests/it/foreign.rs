//! Surges at other people's streams, written by scripted servers: what is legal plays, and what is broken is said.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use seawall::load::{Metrics, UserAgent};
use seawall::policy::status::MissQueue;
use seawall::report::record::{Kind, Outcome, ResultWord};
use seawall::report::thresholds::{Ruling, Verdict};
use seawall::run::runner::{self, Played, RunningEdges};
use seawall::serve::clock::Clock;
use seawall::viewer::arrivals::Arrivals;
use seawall::viewer::quality::Exit;
use tokio_util::sync::CancellationToken;

use crate::support::fault_origin::{Arrived, Behaviour, FaultOrigin};
use crate::support::played::short;

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
    play_as(server, path, &UserAgent::default()).await
}

async fn play_as(server: &FaultOrigin, path: &str, user_agent: &UserAgent) -> Played {
    let mut scenario = short(VIEWERS, 8.0);
    let audience = &mut scenario.real.audience;
    audience.arrivals = Arrivals::Steady { over_s: 1.0 };
    audience.last_mile.median_bps = 20_000_000;
    audience.last_mile.at_least_bps = 20_000_000;
    let target = [format!("{}{path}", server.url())];
    let edges = RunningEdges {
        targets: &target,
        channel: "demo",
        origin_admin: None,
        miss_queue: MissQueue::Flights,
        user_agent,
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

/// The value of a header of a request; empty without one.
fn header<'a>(arrived: &'a Arrived, name: &str) -> &'a str {
    let mut lines = arrived.head.lines().filter_map(|line| line.split_once(':'));
    let line = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
    line.map_or("", |(_, value)| value.trim())
}

/// How often each address was asked for.
fn asked(server: &FaultOrigin) -> BTreeMap<String, u64> {
    let mut asked = BTreeMap::new();
    for arrived in server.arrived() {
        *asked.entry(arrived.target).or_default() += 1;
    }
    asked
}

/// The bytes of a file that a request wants, as a part of it.
fn part_of(file: &[u8], arrived: &Arrived) -> Behaviour {
    let range = header(arrived, "range").strip_prefix("bytes=");
    let Some((from, last)) = range.and_then(|range| range.split_once('-')) else {
        return Behaviour::ok(file);
    };
    let (from, last): (usize, usize) = (from.parse().unwrap(), last.parse().unwrap());
    Behaviour::Answer {
        status: 206,
        headers: format!("content-range: bytes {from}-{last}/{}\r\n", file.len()),
        body: file[from..=last].to_vec(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_follow_redirects_keep_cookies_and_say_who_they_are() {
    let began = Instant::now();
    // The content delivery network: another host, which gives each viewer a cookie and wants it back.
    let network = FaultOrigin::start(move |arrived, count| {
        let cookie = header(arrived, "cookie");
        match arrived.target.as_str() {
            "/v1/main.m3u8" => {
                let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=200000\nlow/media.m3u8\n";
                let mut packed = GzEncoder::new(Vec::new(), Compression::default());
                packed.write_all(text.as_bytes()).unwrap();
                assert!(header(arrived, "accept-encoding").contains("gzip"));
                let headers =
                    format!("content-encoding: gzip\r\nset-cookie: viewer={count}; Path=/\r\n");
                Behaviour::ok_with(&headers, packed.finish().unwrap())
            }
            _ if !cookie.starts_with("viewer=") => Behaviour::status(403),
            "/v1/low/media.m3u8" => playlist(began, |number| format!("{number}.ts")),
            target if target.starts_with("/v1/low/") => Behaviour::Answer {
                status: 307,
                headers: format!("location: /moved{target}\r\n"),
                body: Vec::new(),
            },
            _ => segment(),
        }
    })
    .await;
    // "localhost" is another host than 127.0.0.1.
    let location = format!("http://localhost:{}/v1/main.m3u8", network.addr.port());
    let portal = FaultOrigin::start(move |_, _| Behaviour::Answer {
        status: 302,
        headers: format!("location: {location}\r\nset-cookie: portal=1\r\n"),
        body: Vec::new(),
    })
    .await;
    let user_agent = UserAgent {
        headers: vec![
            (
                "authorization".parse().unwrap(),
                "Bearer abc".parse().unwrap(),
            ),
            ("x-test".parse().unwrap(), "7".parse().unwrap()),
        ],
        insecure: false,
    };
    let played = play_as(&portal, "/watch", &user_agent).await;
    assert_played_well(&played);
    let (at_portal, at_network) = (portal.arrived(), network.arrived());
    assert!(
        at_portal
            .iter()
            .all(|one| header(one, "authorization") == "Bearer abc")
    );
    assert!(
        at_network
            .iter()
            .all(|one| header(one, "authorization").is_empty()),
        "a secret goes to the named host alone"
    );
    assert!(at_network.iter().all(|one| header(one, "x-test") == "7"));
    assert!(
        at_network
            .iter()
            .all(|one| header(one, "user-agent").starts_with("seawall/"))
    );
    assert!(
        at_network
            .iter()
            .all(|one| !header(one, "cookie").contains("portal"))
    );
    let cookies = at_network.iter().map(|one| header(one, "cookie"));
    let cookies: BTreeSet<_> = cookies.filter(|cookie| !cookie.is_empty()).collect();
    // One more for the look at the stream before the run.
    assert_eq!(cookies.len(), VIEWERS as usize + 1, "{cookies:?}");
    let counted = played.summary.foreign.unwrap().counted;
    let moved = at_network
        .iter()
        .filter(|one| one.target.starts_with("/moved"));
    assert_eq!(counted.redirects, moved.count() as u64 + u64::from(VIEWERS));
    assert_eq!(counted.hosts.len(), 2, "{counted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_belongs_to_a_segment_is_loaded_once() {
    const PIECE: usize = 3_000;
    let began = Instant::now();
    let server = FaultOrigin::start(move |arrived, _| {
        let (path, query) = arrived.target.split_once('?').unwrap_or((&arrived.target, ""));
        let window = window(began);
        let head = format!(
            "#EXTM3U\n#EXT-X-DEFINE:IMPORT=\"at\"\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{}\n",
            window.start
        );
        match path {
            "/main.m3u8" => Behaviour::ok(
                "#EXTM3U\n#EXT-X-DEFINE:NAME=\"at\",VALUE=\"/files\"\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n\
                 #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",DEFAULT=YES,URI=\"audio.m3u8\"\n\
                 #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"English\",DEFAULT=YES,URI=\"text.m3u8\"\n\
                 #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=9,URI=\"iframes.m3u8\"\n\
                 #EXT-X-STREAM-INF:BANDWIDTH=200000,AUDIO=\"a\",SUBTITLES=\"s\"\nvideo.m3u8?t={$token}\n",
            ),
            "/video.m3u8" => {
                assert_eq!(query, "t=a%20b");
                let mut text = head
                    + "#EXT-X-MAP:URI=\"{$at}/video.mp4\",BYTERANGE=\"500@0\"\n\
                       #EXT-X-KEY:METHOD=AES-128,URI=\"/key\"\n";
                for number in window {
                    let from = 500 + PIECE * (number as usize % 10);
                    text += &format!(
                        "#EXTINF:1.0,\n#EXT-X-BYTERANGE:{PIECE}@{from}\n{{$at}}/video.mp4?n={number}\n"
                    );
                }
                Behaviour::ok(text)
            }
            "/audio.m3u8" | "/text.m3u8" => {
                let mut text = head;
                if path == "/audio.m3u8" {
                    text += "#EXT-X-MAP:URI=\"{$at}/audio.mp4\"\n";
                }
                for number in window {
                    text += &format!("#EXTINF:1.0,\n{{$at}}{path}-{number}\n");
                }
                Behaviour::ok(text)
            }
            "/files/video.mp4" => part_of(&vec![7; 500 + 10 * PIECE], arrived),
            _ => Behaviour::ok(vec![1; 16]),
        }
    })
    .await;
    let played = play(&server, "/main.m3u8?token=a%20b").await;
    assert_played_well(&played);
    let asked = asked(&server);
    let viewers = u64::from(VIEWERS);
    assert_eq!(asked["/key"], viewers);
    assert_eq!(asked["/files/audio.mp4"], viewers);
    assert_eq!(asked["/files/video.mp4"], viewers, "the header, as a range");
    assert!(!asked.contains_key("/iframes.m3u8"));
    for arrived in server.arrived() {
        if arrived.target.starts_with("/files/video.mp4") {
            assert!(!header(&arrived, "range").is_empty(), "{}", arrived.head);
        }
    }
    let of = |start: &str| -> u64 {
        let segments = asked
            .iter()
            .filter(|(address, _)| address.starts_with(start));
        segments.map(|(_, count)| count).sum()
    };
    let video = of("/files/video.mp4?");
    for track in ["/files/audio.m3u8-", "/files/text.m3u8-"] {
        // The ends of two playlists may differ by a segment.
        assert!(of(track).abs_diff(video) <= viewers, "{track}: {asked:?}");
    }
    let names = &played.record.renditions;
    assert_eq!(names[1..], ["audio English", "subtitles English"]);
    assert_eq!(played.summary.outcomes(Kind::Key, Outcome::Ok), viewers);
    assert_eq!(
        played.summary.outcomes(Kind::Header, Outcome::Ok),
        2 * viewers
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ignores_ranges_sends_wrong_bytes() {
    let began = Instant::now();
    let server = FaultOrigin::start(move |arrived, _| {
        if arrived.target != "/media.m3u8" {
            return segment();
        }
        playlist(began, |number| {
            format!("#EXT-X-BYTERANGE:5000@0\n{number}.mp4")
        })
    })
    .await;
    let played = play(&server, "/media.m3u8").await;
    assert_eq!(played.summary.verdict, Verdict::Fail);
    assert!(played.summary.outcomes(Kind::Segment, Outcome::WrongBytes) > 0);
    assert_eq!(played.summary.outcomes(Kind::Segment, Outcome::Ok), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_has_ended_is_watched_from_its_beginning_to_its_end() {
    for kind in ["VOD", "EVENT"] {
        let server = FaultOrigin::start(move |arrived, _| {
            if arrived.target != "/media.m3u8" {
                return segment();
            }
            let mut text =
                format!("#EXTM3U\n#EXT-X-PLAYLIST-TYPE:{kind}\n#EXT-X-TARGETDURATION:1\n");
            for number in 0..4 {
                text += &format!("#EXTINF:0.8,\n{number}.ts\n");
            }
            Behaviour::ok(text + "#EXT-X-ENDLIST\n")
        })
        .await;
        let played = play(&server, "/media.m3u8").await;
        assert_played_well(&played);
        let asked = asked(&server);
        let viewers = u64::from(VIEWERS);
        // As multivariant and as media playlist, and once before the run.
        assert_eq!(asked["/media.m3u8"], 2 * viewers + 1, "{kind}: no reload");
        for number in 0..4 {
            assert_eq!(asked[&format!("/{number}.ts")], viewers, "{kind}");
        }
        for viewer in &played.record.viewers {
            assert_eq!(viewer.quality.exit, Exit::Ended);
            let played = viewer.quality.played;
            assert_eq!(played, Duration::from_millis(3_200), "{kind}");
        }
        assert_eq!(played.summary.experience.live_latency_p50_s, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_caches_say_is_told() {
    let began = Instant::now();
    let server = FaultOrigin::start(move |arrived, _| {
        if arrived.target != "/media.m3u8" {
            return Behaviour::ok_with("x-cache: Hit from cloudfront\r\n", vec![0x47; 20_000]);
        }
        playlist(began, |number| format!("{number}.ts"))
    })
    .await;
    let played = play(&server, "/media.m3u8").await;
    assert_played_well(&played);
    let of = |kind| {
        let mut rows = played.summary.requests.iter();
        rows.find(|row| row.kind == kind).unwrap()
    };
    let segments = of(Kind::Segment);
    assert_eq!(segments.words.get(&ResultWord::Hit), Some(&segments.total));
    let playlists = of(Kind::MediaPlaylist);
    assert_eq!(
        playlists.words.get(&ResultWord::Unmarked),
        Some(&playlists.total)
    );
}

//! The audience against a small edge in the test over loopback: what viewers ask for, what they notice, what they log.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Metrics, Network, Progress, RunPlan, Stream, run};
use crate::hls::ladder::Rendition;
use crate::hls::names::LivePath;
use crate::hls::timeline::{Channel, Layout};
use crate::likes::names::LikePath;
use crate::media;
use crate::policy::status::MissQueue;
use crate::report::counts::{Askers, EdgeCounts, OriginHits};
use crate::report::predict;
use crate::report::record::{Kind, Outcome, Process, RunRecord};
use crate::report::summarize;
use crate::report::summary::Summary;
use crate::report::thresholds::{Thresholds, Verdict};
use crate::scenario::connections::Connections;
use crate::serve::clock::Clock;
use crate::serve::workers::Workers;
use crate::viewer::abr;
use crate::viewer::arrivals::Arrivals;
use crate::viewer::asking::Fate;
use crate::viewer::audience::{Audience, LastMile, Manners, Sessions};
use crate::viewer::likes::{Burst, LikesPlan};

/// What the edge does wrong with segments.
#[derive(Clone, Copy)]
enum ServerFault {
    None,
    FlippedBit,
    CutShort,
    Missing,
}

/// An edge that regenerates what viewers ask for. It says `hit` from the second request for a segment on.
struct Edge {
    channel: Channel,
    clock: Clock,
    fault: ServerFault,
    seen: Mutex<BTreeMap<String, u64>>,
}

impl Edge {
    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        let ok = |status: &str, body: Bytes| {
            Response::builder()
                .header("cache-status", format!("edge-1; {status}"))
                .body(Full::new(body))
                .unwrap()
        };
        match LivePath::parse(path).unwrap() {
            LivePath::Multivariant { .. } => ok("hit; ttl=1", self.multivariant().into()),
            LivePath::MediaPlaylist { .. } => ok("hit; ttl=1", self.playlist().into()),
            LivePath::Segment {
                rendition, number, ..
            } => {
                let mut seen = self.seen.lock().unwrap();
                let count = seen.entry(path.to_owned()).or_default();
                *count += 1;
                let status = match *count {
                    1 => "fwd=uri-miss; fwd-status=200; stored",
                    _ => "hit; ttl=60",
                };
                let rendition = self.channel.rendition(rendition).unwrap();
                let body = media::segment(&self.channel, rendition, number);
                match self.fault {
                    ServerFault::None => ok(status, body),
                    ServerFault::FlippedBit => {
                        let mut wrong = body.to_vec();
                        *wrong.last_mut().unwrap() ^= 1;
                        ok(status, wrong.into())
                    }
                    ServerFault::CutShort => ok(status, body.slice(..body.len() / 2)),
                    ServerFault::Missing => {
                        let mut missing = ok("hit; detail=negative", Bytes::new());
                        *missing.status_mut() = http::StatusCode::NOT_FOUND;
                        missing
                    }
                }
            }
            LivePath::Description { .. } | LivePath::Steering { .. } => {
                unreachable!("viewers ask for neither")
            }
        }
    }

    fn multivariant(&self) -> String {
        self.channel
            .layout
            .ladder
            .iter()
            .fold("#EXTM3U\n".to_owned(), |text, rendition| {
                format!(
                    "{text}#EXT-X-STREAM-INF:BANDWIDTH={}\n{}/media.m3u8\n",
                    rendition.bitrate_bps, rendition.name
                )
            })
    }

    fn playlist(&self) -> String {
        let window = self.channel.window(self.clock.unix(), 10).unwrap();
        let head = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{}\n",
            self.channel.layout.target_duration_s(),
            window.start()
        );
        window.fold(head, |text, number| {
            let seconds = self.channel.layout.segment_duration().as_secs_f64();
            format!("{text}#EXTINF:{seconds:.5},\n{number}.ts\n")
        })
    }
}

/// Serves until the test's runtime ends.
async fn serve(edge: Arc<Edge>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let edge = Arc::clone(&edge);
            let service = service_fn(move |request: Request<Incoming>| {
                let edge = Arc::clone(&edge);
                async move {
                    let path = request.uri().path();
                    if LikePath::asked(request.method(), path).is_some() {
                        // This edge never answers a like.
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, Infallible>(edge.answer(path))
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

struct Ran {
    record: RunRecord,
    edge: Arc<Edge>,
}

/// Six viewers who stay for less than a second at a channel with segments of 0.96 s.
async fn surge(fault: ServerFault, stop: CancellationToken) -> Ran {
    surge_with(fault, None, |_| (), stop).await
}

/// The same viewers, who also like.
async fn surge_with(
    fault: ServerFault,
    likes: Option<LikesPlan>,
    progress: impl Fn(Progress),
    stop: CancellationToken,
) -> Ran {
    let clock = Clock::start();
    let channel = Channel {
        name: "demo".to_owned(),
        seed: 1,
        layout: Layout {
            parts_per_segment: 3,
            ladder: vec![Rendition::named("180p").unwrap()],
            ..Layout::default()
        },
        started_at: clock.unix() - Duration::from_secs(30),
    };
    let edge = Arc::new(Edge {
        channel: channel.clone(),
        clock,
        fault,
        seen: Mutex::default(),
    });
    let target = format!("http://{}", serve(Arc::clone(&edge)).await);
    let plan = RunPlan {
        scenario: "test".to_owned(),
        audience: Audience {
            viewers: 6,
            arrivals: Arrivals::AtOnce,
            sessions: Sessions::TheEnd {
                until_s: 0.8,
                plunge_s: 0.0,
            },
            last_mile: LastMile {
                median_bps: 50_000_000,
                sigma: 0.0,
                at_least_bps: 1,
            },
            abr: abr::Mode::Fixed("180p".to_owned()),
            renditions: vec!["180p".to_owned()],
            manners: Manners::default(),
            seekers: None,
            intermission: None,
        },
        seed: 1,
        targets: vec![target],
        stream: Stream::Channels(vec![channel]),
        miss_queue: MissQueue::Flights,
        requests_logged_max: 10_000,
        process: Process::SharedWithServers,
        connections: Connections::default(),
        likes,
        network: Network::default(),
        workers: Workers::Here,
        metrics: Metrics::unseen(clock),
    };
    let record = run(&plan, clock, progress, stop).await.unwrap();
    Ran { record, edge }
}

impl Ran {
    /// The summary, with the edge's own misses as the origin's hits.
    fn summary(&self) -> Summary {
        let hits = OriginHits {
            segment: self.edge.seen.lock().unwrap().len() as u64,
            ..OriginHits::default()
        };
        let thresholds = Thresholds {
            origin_hits_exact: true,
            bytes_wrong_max: Some(0),
            fatal_max: 0,
            start_failures_max: 0,
            playlists_went_back_max: 0,
            stalled_share_max: 1.0,
            flights: Some(Box::new(Thresholds {
                origin_hits_per_object_max: 1,
                ..Thresholds::default()
            })),
            ..Thresholds::default()
        };
        summarize::summarize(&self.record, &hits, &EdgeCounts::default(), &thresholds)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_viewer_joins_plays_and_leaves_and_the_log_explains_every_miss() {
    let ran = surge(ServerFault::None, CancellationToken::new()).await;
    let summary = ran.summary();
    assert_eq!(summary.viewers.started, 6);
    assert_eq!(summary.experience.started, 6);
    assert_eq!(summary.outcomes(Kind::Multivariant, Outcome::Ok), 6);
    // A join three targets of 1 s behind live takes at least the last three segments of 0.96 s, and a part of a fourth.
    assert!(summary.outcomes(Kind::Segment, Outcome::Ok) >= 6 * 4);
    assert_eq!(
        summary
            .requests
            .iter()
            .map(|row| row.outcomes.len())
            .sum::<usize>(),
        3
    );
    assert_eq!(summary.origin.predicted.0, summary.origin.measured.segment);
    let keys = predict::read_log(
        &ran.record.requests,
        ran.record.segment_duration,
        &Askers::default(),
    );
    assert!(keys.values().all(|key| key.misses == 1));
    assert_ne!(summary.verdict, Verdict::Fail, "{:?}", summary.checks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_wrong_bit_is_noticed_and_fails_the_run() {
    let ran = surge(ServerFault::FlippedBit, CancellationToken::new()).await;
    let summary = ran.summary();
    assert_eq!(summary.outcomes(Kind::Segment, Outcome::Ok), 0);
    assert!(summary.outcomes(Kind::Segment, Outcome::WrongBytes) >= 6 * 4);
    assert_eq!(summary.verdict, Verdict::Fail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_ends_early_is_truncated_and_a_missing_one_a_status() {
    for (fault, outcome) in [
        (ServerFault::CutShort, Outcome::Truncated),
        (ServerFault::Missing, Outcome::Status),
    ] {
        let ran = surge(fault, CancellationToken::new()).await;
        let summary = ran.summary();
        assert_eq!(summary.outcomes(Kind::Segment, outcome), 6);
        assert_eq!(summary.experience.exits_before_start, 6);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn likes_without_an_answer_are_bounded_and_what_had_left_is_unknown() {
    // 40,000 per second for 0.8 s: twice the number that may be under way.
    let likes = LikesPlan {
        per_s: 20_000.0,
        like_percent: 0.0,
        unlike_percent: 0.0,
        hearts_max: 1,
        bursts: vec![Burst {
            at_s: 0.0,
            over_s: 60.0,
            per_s: 20_000.0,
        }],
    };
    let stop = CancellationToken::new();
    // The last viewer has left, and no viewer waits for the rest.
    let ends = |so_far: Progress| {
        if so_far.viewers_started == 6 && so_far.viewers_now == 0 {
            stop.cancel();
        }
    };
    let ran = surge_with(ServerFault::None, Some(likes), ends, stop.clone()).await;
    let likes = ran.record.likes.as_ref().unwrap();
    let count = |fate| {
        likes
            .operations
            .iter()
            .filter(|like| like.fate == fate)
            .count()
    };
    assert!(likes.unsent > 1_000, "{}", likes.unsent);
    assert!((16_000..=16_384).contains(&likes.operations.len()));
    assert_eq!(count(Fate::Acknowledged), 0);
    // Only likes that a connection had taken.
    let unknown = count(Fate::Unknown);
    assert!((1..=64).contains(&unknown), "{unknown}");
    assert_eq!(likes.tally[0].hearts, (0, unknown as u64));
    // The video does not suffer.
    let summary = ran.summary();
    assert_eq!(summary.experience.started, 6);
    assert_eq!(summary.outcomes(Kind::Segment, Outcome::Status), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_stopped_at_once_leaves_a_record_that_says_so() {
    let stop = CancellationToken::new();
    stop.cancel();
    let summary = surge(ServerFault::None, stop).await.summary();
    assert!(summary.interrupted);
    assert_eq!(summary.verdict, Verdict::Interrupted);
}

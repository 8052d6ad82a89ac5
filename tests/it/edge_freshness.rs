//! How new the playlists of an edge are: a viewer that is alone at an edge gets the playlist that it would get at the origin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;

use crate::support::client;
use crate::support::edge::TestEdge;
use crate::support::fault_origin::{Behaviour, FaultOrigin};

const PLAYLIST: &str = "/live/demo/720p/media.m3u8";

/// A little less than the target duration, as in the stream of Seawall.
const SEGMENT: Duration = Duration::from_millis(960);

/// A stream whose newest segment is a function of the time.
#[derive(Clone, Copy)]
struct Stream {
    began: Instant,
}

impl Stream {
    fn newest(self) -> u128 {
        100 + self.began.elapsed().as_nanos() / SEGMENT.as_nanos()
    }

    fn playlist(self) -> Behaviour {
        let newest = self.newest();
        let first = newest - 5;
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        for number in first..=newest {
            text += &format!("#EXTINF:0.96,\n{number}.ts\n");
        }
        Behaviour::ok(text)
    }
}

/// The newest segment that a playlist lists.
fn listed(body: &[u8]) -> u128 {
    let text = std::str::from_utf8(body).unwrap();
    let last = text.lines().rfind(|line| line.ends_with(".ts")).unwrap();
    last.trim_end_matches(".ts").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_viewer_who_polls_once_per_segment_gets_the_newest_playlist() {
    let stream = Stream {
        began: Instant::now(),
    };
    let limits = Limits {
        // No stale copy stands in, even on a busy machine.
        playlist_wait: Duration::from_secs(60),
        ..Limits::default()
    };
    // For each viewer, segments are published at another moment of its pause.
    let viewers = (0..4).map(|viewer| async move {
        let origin = FaultOrigin::start(move |arrived, _| match arrived.target.as_str() {
            PLAYLIST => stream.playlist(),
            _ => Behaviour::ok("segment"),
        })
        .await;
        let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, limits);
        tokio::time::sleep(SEGMENT * viewer / 4).await;
        for poll in 0..7 {
            let newest = stream.newest();
            let reply = client::get(edge.addr, PLAYLIST).await;
            let listed = listed(&reply.body);
            assert!(
                listed >= newest,
                "viewer {viewer}, poll {poll}: got {listed} when the origin had {newest}: {reply:?}"
            );
            tokio::time::sleep(SEGMENT).await;
        }
        // A poll may find its playlist stale but not outdated yet; then a refresh follows.
        let asked = origin.hits(PLAYLIST);
        assert!((7..=14).contains(&asked), "{asked} fetches for 7 polls");
    });
    futures_util::future::join_all(viewers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_that_is_due_is_served_stale_when_the_origin_does_not_answer_in_time() {
    let stream = Stream {
        began: Instant::now(),
    };
    let silent = Arc::new(AtomicBool::new(false));
    let falls_silent = silent.clone();
    let origin = FaultOrigin::start(move |_, _| match falls_silent.load(Ordering::Relaxed) {
        false => stream.playlist(),
        true => Behaviour::Stall,
    })
    .await;
    let limits = Limits {
        playlist_wait: Duration::from_millis(200),
        ..Limits::default()
    };
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, limits);
    let first = client::get(edge.addr, PLAYLIST).await;
    silent.store(true, Ordering::Relaxed);
    // The next segment is due now, and the old playlist may stand in for three target durations.
    tokio::time::sleep(SEGMENT).await;
    let reply = client::get(edge.addr, PLAYLIST).await;
    assert_eq!((reply.status, &reply.body), (200, &first.body));
    let how = reply.header("cache-status");
    assert!(
        how.contains("fwd=stale; ") && how.contains("; detail=stale-if-error"),
        "{how}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steering_manifest_is_one_object_for_all_players_and_as_fresh_as_the_origin_says() {
    for (max_age, most) in [(1, 0), (20, 19), (3_600, 29)] {
        let origin = FaultOrigin::start(move |_, _| {
            Behaviour::ok_with(&format!("cache-control: max-age={max_age}\r\n"), "{}")
        })
        .await;
        let edge = TestEdge::start(&origin.url());
        let path = "/live/demo/steering.json?_HLS_pathway=.&_HLS_throughput";
        let first = client::get(edge.addr, &format!("{path}=1000")).await;
        assert_eq!(first.status, 200);
        // On a busy machine more than a second may pass before the next request: then the copy is stale, and still served.
        let next = client::get(edge.addr, &format!("{path}=2000")).await;
        let told = next.header("cache-status");
        assert!(told.contains("hit"), "{told}");
        let seconds: i64 = told.rsplit_once("ttl=").unwrap().1.parse().unwrap();
        assert!(seconds <= most, "max-age={max_age}: {told}");
        assert!(seconds > most - 10, "max-age={max_age}: {told}");
    }
}

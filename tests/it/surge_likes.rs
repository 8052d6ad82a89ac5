//! Viewers that like, in whole surges: the origin's counts equal the acknowledgements that viewers received, also when edges
//! fail.

use seawall::policy::status::MissQueue;
use seawall::report::likes::LikesSummary;
use seawall::report::summary::Summary;
use seawall::report::thresholds::{Ruling, Verdict};
use seawall::run::cluster::{Edges, OwnOrigin};
use seawall::scenario::{Fault, FaultKind, Scenario};
use seawall::serve::clock::Clock;
use seawall::viewer::arrivals::Arrivals;
use seawall::viewer::audience::Sessions;
use seawall::viewer::likes::Burst;

use crate::support::played::{celebrity_live, play_scenario};
use crate::support::program::run;
use crate::support::stage::Stage;

/// `viewers` at two edges that arrive within a second, send `likes_per_s` likes, and leave all together.
fn short(viewers: u32, until_s: f64, likes_per_s: f64) -> Scenario {
    let mut scenario = celebrity_live();
    scenario.name = "liked".to_owned();
    let real = &mut scenario.real;
    real.cluster.edges = 2;
    real.audience.viewers = viewers;
    real.audience.arrivals = Arrivals::Steady { over_s: 1.0 };
    real.audience.sessions = Sessions::TheEnd {
        until_s,
        plunge_s: 0.2,
    };
    real.thresholds = Default::default();
    real.likes.as_mut().unwrap().per_s = likes_per_s;
    scenario
}

/// The likes of a run whose count was compared with the tally, and the ruling.
fn judged(summary: &Summary) -> (&LikesSummary, &Ruling) {
    let mut checks = summary.checks.iter();
    let check = checks.find(|check| check.what.starts_with("likes and hearts at the origin"));
    let likes = summary.likes.as_ref().unwrap();
    (
        likes,
        &check.unwrap_or_else(|| panic!("{summary:?}")).ruling,
    )
}

/// Both counts are single numbers, and equal.
fn equals_its_tally(likes: &LikesSummary) {
    let [tallied, hearts] = likes.tallied();
    let counted = likes.counts().unwrap_or_else(|| panic!("{likes:?}"));
    let both = [(tallied, counted[0]), (hearts, counted[1])];
    for ((least, most), counted) in both {
        assert_eq!(least, most, "{likes:?}");
        assert_eq!(i64::try_from(least).unwrap(), counted, "{likes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_viewers_were_told_through_two_edges_is_what_the_origin_has_counted() {
    let mut scenario = short(60, 8.0, 40.0);
    scenario.real.cluster.channels = 2;
    scenario.real.likes.as_mut().unwrap().bursts = vec![Burst {
        at_s: 4.0,
        over_s: 2.0,
        per_s: 80.0,
    }];
    let played = play_scenario(&scenario, MissQueue::Flights).await;
    let (likes, ruling) = judged(&played.summary);
    assert_eq!(*ruling, Ruling::Pass);
    equals_its_tally(likes);
    assert_eq!(likes.tally.len(), 2, "one per channel");
    // 40 for 8 s and 80 for 2 s, within five standard deviations.
    assert!((370..=590).contains(&likes.sent), "{}", likes.sent);
    let became = (likes.acknowledged, likes.unknown, likes.unsent);
    assert_eq!(became, (likes.sent, 0, 0), "{likes:?}");
    assert_eq!(likes.kinds.len(), 3);
    let queue = likes.queue.unwrap();
    assert_eq!(queue.operations, likes.sent);
    assert_eq!((queue.durable, queue.applied), (likes.sent, likes.sent));
    assert!(queue.batches > 0 && likes.p50_ms > 0.0);
    let second = |at_s: u64| {
        let operations = &played.record.likes.as_ref().unwrap().operations;
        let began = played.record.began_at;
        let of = operations.iter();
        of.filter(|operation| operation.due.since(began).as_secs() == at_s)
            .count()
    };
    assert!(second(4) + second(5) > second(2) + second(6), "a goal");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_is_killed_in_mid_run_and_every_like_counts_once() {
    let mut scenario = short(60, 13.0, 60.0);
    scenario.real.audience.manners.failover = seawall::viewer::audience::Failover::NextEdge;
    scenario.real.faults = vec![Fault {
        at_s: 4.0,
        until_s: Some(8.0),
        what: FaultKind::EdgeKilled(1),
    }];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("liked.toml");
    std::fs::write(&path, toml::to_string(&scenario).unwrap()).unwrap();
    let played = run(&["surge", path.to_str().unwrap(), "--json"]).await;
    let summary: Summary =
        serde_json::from_str(&played.out).unwrap_or_else(|_| panic!("{played:?}"));
    let (likes, ruling) = judged(&summary);
    assert_eq!(*ruling, Ruling::Pass, "{likes:?}");
    equals_its_tally(likes);
    assert_eq!((likes.acknowledged, likes.unknown), (likes.sent, 0));
    assert!(likes.refusals.contains_key("no-connection"), "{likes:?}");
    assert!(likes.repeats > 0 && likes.max_ms >= 1_000.0, "{likes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_likes_too_often_is_refused_comes_back_and_counts_once() {
    // 40 per second from each viewer: twice the limit for one viewer.
    let scenario = short(3, 5.0, 120.0);
    let played = play_scenario(&scenario, MissQueue::Flights).await;
    let (likes, ruling) = judged(&played.summary);
    assert_eq!(*ruling, Ruling::Pass);
    equals_its_tally(likes);
    assert!(likes.refusals["limited"] > 0, "{likes:?}");
    assert!(likes.repeats > 0);
    assert_eq!(likes.acknowledged + likes.not_counted, likes.sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_of_somebody_else_are_sent_likes_if_they_take_them_and_each_run_has_its_own() {
    let scenario = short(10, 4.0, 30.0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("liked.toml");
    std::fs::write(&path, toml::to_string(&scenario).unwrap()).unwrap();
    let path = path.to_str().unwrap();
    let clock = Clock::start();
    let cluster = OwnOrigin::open(&scenario, clock).await.unwrap();
    let stage = &scenario.real.cluster;
    let (origin, config) = (&cluster.origin, &cluster.config);
    let edges = Edges::open(stage, origin, "edge", MissQueue::Flights, config, clock)
        .await
        .unwrap();
    let urls = edges.urls();
    let mut at = vec!["surge", path, "--json", "--channel", "liked"];
    for url in &urls {
        at.extend(["--target", url]);
    }
    // Twice with one seed: the second run's viewers do not count as those of the first.
    for _ in 0..2 {
        let played = run(&at).await;
        let summary: Summary =
            serde_json::from_str(&played.out).unwrap_or_else(|_| panic!("{played:?}"));
        let (likes, ruling) = judged(&summary);
        assert_eq!(*ruling, Ruling::Pass, "{likes:?}");
        equals_its_tally(likes);
        assert!(likes.acknowledged > 50 && likes.shared && likes.queue.is_none());
        assert_eq!(likes.duplicates, 0, "{likes:?}");
    }
    edges.stop().await;
    cluster.stop().await;
    let without = Stage::on_air(2).await;
    let url = without.edge.url();
    let played = run(&["surge", path, "--json", "--target", &url]).await;
    let summary: Summary =
        serde_json::from_str(&played.out).unwrap_or_else(|_| panic!("{played:?}"));
    let likes = summary.likes.as_ref().unwrap();
    assert!(
        likes
            .not_taken
            .as_ref()
            .is_some_and(|why| why.contains("takes no likes")),
        "{likes:?}"
    );
    assert_eq!(likes.sent, 0);
    assert_ne!(summary.verdict, Verdict::Fail);
}

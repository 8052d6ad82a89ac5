//! The celebrity surge in each of its variants, smaller: without the miss queue the origin melts, and with it a herd waits for
//! one fetch.

use seawall::report::thresholds::{Ruling, Verdict};
use seawall::run::ab;
use seawall::scenario::{self, Scenario};
use seawall::viewer::arrivals::Arrivals;
use seawall::viewer::audience::Sessions;

use crate::support::played::play_scenario;

/// 300 viewers at one edge, at an origin that is smaller in the same proportion.
fn small() -> Scenario {
    let mut scenario = scenario::find("celebrity-live").unwrap();
    let real = &mut scenario.real;
    real.cluster.edges = 1;
    real.cluster.origin.slots = Some(4);
    real.cluster.origin.queue = 8;
    real.cluster.origin.bandwidth_bps = Some(7_000_000);
    real.audience.viewers = 300;
    real.audience.arrivals = Arrivals::Gamma {
        shape: 2.0,
        scale_s: 0.2,
        within_s: 2.0,
    };
    real.audience.sessions = Sessions::TheEnd {
        until_s: 12.0,
        plunge_s: 0.5,
    };
    scenario
}

#[tokio::test(flavor = "multi_thread")]
async fn the_origin_melts_without_the_queue_and_a_herd_waits_for_one_fetch_with_it() {
    let runs = ab::variants(&small());
    let names: Vec<_> = runs.iter().map(|run| run.label.as_str()).collect();
    assert_eq!(names, ["neither", "queue", "queue + prefetch"]);
    let mut played = Vec::new();
    for run in &runs {
        let summary = play_scenario(&run.scenario, run.miss_queue).await.summary;
        let failed: Vec<_> = summary
            .checks
            .iter()
            .filter(|check| check.ruling != Ruling::Pass)
            .collect();
        assert!(failed.is_empty(), "{}: {failed:?}", run.label);
        assert_ne!(summary.verdict, Verdict::Fail);
        played.push(summary);
    }
    let [neither, queue, prefetch] = &played[..] else {
        panic!("three runs were played")
    };
    // 99 % of all shares that are drawn with the expected probability lie this near.
    let expected = neither.origin.shed_share_expected.unwrap();
    let measured = neither.origin.shed_share.unwrap();
    let hits = &neither.origin.measured;
    let asked = (hits.segment + hits.media_playlist + hits.multivariant) as f64;
    let near = 2.576 * (expected * (1.0 - expected) / asked).sqrt();
    assert!(
        (measured - expected).abs() <= near,
        "{measured:.4} were refused, and theory expects {expected:.4} ± {near:.4} of {asked}"
    );
    assert!(neither.experience.viewers_stalled > 0 || neither.experience.start_failures > 0);
    for run in [queue, prefetch] {
        assert_eq!(run.origin.measured.shed, 0);
        assert_eq!(run.experience.viewers_stalled, 0);
    }
    assert!(queue.waiters.collapsed_most >= 100, "{:?}", queue.waiters);
    assert!(queue.waiters.wait_p50_ms.unwrap() > 0.0);
    // Every prefetch is a fetch that a viewer would have had to ask for, or one that no viewer asked for.
    assert_eq!(queue.origin.predicted.0, queue.origin.measured.segment);
    assert_eq!(
        prefetch.origin.predicted.0,
        prefetch.origin.measured.segment
    );
}

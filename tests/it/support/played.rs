//! Plays a scenario to its end at a separate cluster.

use seawall::config::keys::CapacitySettings;
use seawall::load::Metrics;
use seawall::policy::status::MissQueue;
use seawall::run::runner::{self, Played};
use seawall::scenario::{self, Scenario};
use seawall::serve::clock::Clock;
use tokio_util::sync::CancellationToken;

pub(crate) async fn play_scenario(scenario: &Scenario, miss_queue: MissQueue) -> Played {
    let (clock, stop) = (Clock::start(), CancellationToken::new());
    let metrics = Metrics::unseen(clock);
    runner::at_own_cluster(scenario, miss_queue, &metrics, clock, &stop)
        .await
        .unwrap()
}

/// `celebrity-live` at an origin without bounds, as one run.
pub(crate) fn celebrity_live() -> Scenario {
    let mut scenario = scenario::find("celebrity-live").unwrap();
    let real = &mut scenario.real;
    real.variants.clear();
    real.thresholds.off = None;
    real.cluster.origin = CapacitySettings {
        latency_ms: 51.8,
        ..CapacitySettings::default()
    };
    scenario
}

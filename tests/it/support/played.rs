//! Plays a scenario to its end at a separate cluster.

use seawall::config::keys::CapacitySettings;
use seawall::load::Metrics;
use seawall::policy::status::MissQueue;
use seawall::run::runner::{self, Played};
use seawall::scenario::{self, Scenario};
use seawall::serve::clock::Clock;
use seawall::viewer::arrivals::Arrivals;
use seawall::viewer::audience::Sessions;
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

/// Writes a scenario into its own file.
pub(crate) fn written(folder: &tempfile::TempDir, scenario: &Scenario) -> String {
    let path = folder.path().join(format!("{}.toml", scenario.name));
    std::fs::write(&path, toml::to_string(scenario).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// `viewers` that arrive within two seconds and leave all together.
pub(crate) fn short(viewers: u32, until_s: f64) -> Scenario {
    let mut scenario = celebrity_live();
    scenario.name = "short".to_owned();
    let real = &mut scenario.real;
    real.audience.viewers = viewers;
    real.audience.arrivals = Arrivals::Steady { over_s: 2.0 };
    real.audience.sessions = Sessions::TheEnd {
        until_s,
        plunge_s: 0.2,
    };
    real.thresholds = Default::default();
    // Likes have their own tests.
    real.likes = None;
    scenario
}

//! What is set for a run, in words for its report.

use crate::config::keys::EdgeSettings;
use crate::policy::limits::Eviction;
use crate::policy::status::MissQueue;
use crate::report::settings::Setting;
use crate::scenario::{Scenario, SimProfile};

/// The settings of a run at a cluster of this program, whose edges have the settings `edge`. Each has a name of its own, so that
/// two reports can be compared.
pub fn of_cluster(scenario: &Scenario, miss_queue: MissQueue, edge: &EdgeSettings) -> Vec<Setting> {
    let plan = &scenario.real.cluster;
    let origin = &plan.origin;
    let or_none = |bound: Option<String>| bound.unwrap_or_else(|| "none".to_owned());
    // moka's own collapsing has neither.
    let on = |on: bool| match (miss_queue, on) {
        (MissQueue::Moka, _) => "-",
        (_, true) => "on",
        (_, false) => "off",
    };
    let mut settings = vec![
        Setting::new("edges", plan.edges),
        Setting::new("miss queue", miss_queue),
        Setting::new("prefetch", on(edge.prefetch)),
        Setting::new("refresh", on(edge.refresh)),
        Setting::new(
            "playlists fresh",
            format!("{} %", edge.limits.playlist_fresh_percent),
        ),
        Setting::new(
            "shields",
            or_none(plan.shields.map(|shields| shields.to_string())),
        ),
        Setting::new(
            "eviction",
            match edge.limits.eviction {
                Eviction::Lru => "lru",
                Eviction::TinyLfu => "tiny-lfu",
            },
        ),
        Setting::new(
            "origin latency",
            format!("{} ms {}", origin.latency_ms, origin.law.word()),
        ),
        Setting::new(
            "origin slots",
            or_none(origin.slots.map(|slots| slots.to_string())),
        ),
        Setting::new("origin queue", origin.queue),
        Setting::new(
            "origin bandwidth",
            or_none(origin.bandwidth_bps.map(|bps| format!("{bps} b/s"))),
        ),
        Setting::new(
            "segments",
            format!("{:.2} s", f64::from(plan.parts_per_segment) * 0.32),
        ),
        Setting::new("window", plan.window),
        Setting::new("channels", plan.channels),
        Setting::new("viewers", scenario.real.audience.viewers),
    ];
    settings.extend(version());
    settings
}

/// The settings of an event in virtual time.
pub fn of_sim(profile: &SimProfile, miss_queue: MissQueue) -> Vec<Setting> {
    let or_none = |bound: Option<String>| bound.unwrap_or_else(|| "none".to_owned());
    let on = |on: Option<bool>, usual: bool| if on.unwrap_or(usual) { "on" } else { "off" };
    let edge = EdgeSettings::default();
    let fresh = profile.playlist_fresh_percent;
    let fresh = fresh.unwrap_or(edge.limits.playlist_fresh_percent);
    vec![
        Setting::new("viewers", profile.viewers),
        Setting::new("edges", profile.pops),
        Setting::new("shields", profile.shield_groups),
        Setting::new("streams", profile.streams),
        Setting::new("renditions", profile.renditions),
        Setting::new("segments", format!("{:.2} s", profile.segment_s)),
        Setting::new("miss queue", miss_queue),
        Setting::new("prefetch", on(profile.prefetch, edge.prefetch)),
        Setting::new("refresh", on(profile.refresh, edge.refresh)),
        Setting::new("playlists fresh", format!("{fresh} %")),
        Setting::new(
            "origin latency",
            format!("{} ms {}", profile.origin_ms, profile.origin_law.word()),
        ),
        Setting::new(
            "origin latency, playlists",
            format!(
                "{} ms",
                profile.origin_playlist_ms.unwrap_or(profile.origin_ms)
            ),
        ),
        Setting::new(
            "origin slots",
            or_none(profile.origin_slots.map(|slots| slots.to_string())),
        ),
        Setting::new("origin queue", profile.origin_queue),
        Setting::new("players per cell", profile.players_per_cell),
    ]
}

/// The settings that are known of a run at edges of another program.
pub fn of_running_edges(scenario: &Scenario) -> Vec<Setting> {
    let viewers = Setting::new("viewers", scenario.real.audience.viewers);
    std::iter::once(viewers).chain(version()).collect()
}

fn version() -> [Setting; 1] {
    [Setting::new("seawall", env!("CARGO_PKG_VERSION"))]
}

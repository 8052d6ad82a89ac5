//! The runs of a comparison: one scenario and seed, several times, with something set differently each time.
//!
//! `--ab KNOB=A,B` names the settings of one knob. A scenario may name variants of its own.

use std::fmt;
use std::str::FromStr;

use crate::config::shields::Shields;
use crate::policy::limits::Eviction;
use crate::policy::status::MissQueue;
use crate::scenario::{Scenario, Variant};
use crate::viewer::audience::Failover;

/// The most runs in one comparison.
pub const RUNS_MAX: usize = 5;

/// Settings of one knob, in the order in which they are played.
#[derive(Clone, Debug, PartialEq)]
pub struct Ab(Vec<Setting>);

/// A run to be played.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// Its name in the report.
    pub label: String,
    /// What is played.
    pub scenario: Scenario,
    /// How misses are handled.
    pub miss_queue: MissQueue,
}

impl PlannedRun {
    /// The scenario as it is, with misses handled like this.
    pub fn plain(scenario: &Scenario, miss_queue: MissQueue) -> Self {
        Self {
            label: Setting::MissQueue(miss_queue).to_string(),
            scenario: scenario.clone(),
            miss_queue,
        }
    }
}

/// One knob, set.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Setting {
    MissQueue(MissQueue),
    Shields(Option<Shields>),
    /// Percentage of a target duration for which playlists are fresh.
    Freshness(u32),
    Eviction(Eviction),
    /// Whether viewers like.
    Likes(bool),
    Prefetch(bool),
    Refresh(bool),
    Edges(u32),
    /// The origin's slots; `None`: no bound.
    Slots(Option<u32>),
    /// The origin's queue.
    Queue(u32),
    /// The origin's mean latency, in milliseconds.
    LatencyMs(f64),
    /// Parts of 0.32 s per segment.
    Parts(u32),
    /// Segments that a playlist lists.
    Window(u64),
    Failover(Failover),
}

/// Every knob, with an example.
const FORMS: &str = "miss-queue=flights,off · prefetch=on,off · refresh=on,off · shield=none,2x2 · \
                     freshness=0,50 (per cent of a target duration) · eviction=lru,tiny-lfu · likes=on,off · edges=1,3 · \
                     origin-slots=none,16 · origin-queue=0,32 · origin-latency-ms=50,300 · parts=6,9 (of 0.32 s per segment) · \
                     window=6,10 (segments) · failover=none,next-edge,steering";

impl Ab {
    /// The runs. `miss_queue` is how misses are handled where the knob does not say.
    pub fn runs(&self, scenario: &Scenario, miss_queue: MissQueue) -> Vec<PlannedRun> {
        let run = |setting: &Setting| {
            let mut run = PlannedRun {
                label: setting.to_string(),
                ..PlannedRun::plain(scenario, miss_queue)
            };
            setting.lay_over(&mut run);
            run
        };
        self.0.iter().map(run).collect()
    }
}

/// The variants that a scenario names, as runs.
pub fn variants(scenario: &Scenario) -> Vec<PlannedRun> {
    let run = |variant: &Variant| {
        let mut scenario = scenario.clone();
        let plan = &mut scenario.real.cluster;
        plan.prefetch = variant.prefetch.or(plan.prefetch);
        plan.refresh = variant.refresh.or(plan.refresh);
        PlannedRun {
            label: variant.name.clone(),
            scenario,
            miss_queue: variant.miss_queue,
        }
    };
    scenario.real.variants.iter().map(run).collect()
}

impl Setting {
    fn lay_over(self, run: &mut PlannedRun) {
        let real = &mut run.scenario.real;
        let plan = &mut real.cluster;
        match self {
            Self::MissQueue(miss_queue) => run.miss_queue = miss_queue,
            Self::Shields(shields) => plan.shields = shields,
            Self::Freshness(percent) => plan.playlist_fresh_percent = Some(percent),
            Self::Eviction(eviction) => plan.eviction = Some(eviction),
            Self::Likes(true) => {}
            Self::Likes(false) => real.likes = None,
            Self::Prefetch(on) => plan.prefetch = Some(on),
            Self::Refresh(on) => plan.refresh = Some(on),
            Self::Edges(count) => plan.edges = count,
            Self::Slots(slots) => plan.origin.slots = slots,
            Self::Queue(queue) => plan.origin.queue = queue,
            Self::LatencyMs(millis) => plan.origin.latency_ms = millis,
            Self::Parts(parts) => plan.parts_per_segment = parts,
            Self::Window(window) => plan.window = window,
            Self::Failover(failover) => real.audience.manners.failover = failover,
        }
    }

    fn parse(knob: &str, text: &str) -> Result<Self, String> {
        let number = |what: &str| format!("{text:?} is no {what}");
        Ok(match knob {
            "miss-queue" => Self::MissQueue(text.parse()?),
            "shield" | "shields" if text == "none" => Self::Shields(None),
            "shield" | "shields" => Self::Shields(Some(text.parse()?)),
            "freshness" => {
                let percent = text.trim_end_matches('%').parse().ok();
                let percent = percent.filter(|&percent| percent <= 100);
                Self::Freshness(percent.ok_or_else(|| number("per cent from 0 to 100"))?)
            }
            "eviction" => Self::Eviction(match text {
                "lru" => Eviction::Lru,
                "tiny-lfu" => Eviction::TinyLfu,
                _ => return Err(format!("{text:?} is neither lru nor tiny-lfu")),
            }),
            "likes" => Self::Likes(on(text)?),
            "prefetch" => Self::Prefetch(on(text)?),
            "refresh" => Self::Refresh(on(text)?),
            "edges" => Self::Edges(text.parse().map_err(|_| number("number of edges"))?),
            "origin-slots" if text == "none" => Self::Slots(None),
            "origin-slots" => {
                Self::Slots(Some(text.parse().map_err(|_| number("number of slots"))?))
            }
            "origin-queue" => Self::Queue(text.parse().map_err(|_| number("length of a queue"))?),
            "origin-latency-ms" => {
                Self::LatencyMs(text.parse().map_err(|_| number("time in milliseconds"))?)
            }
            "parts" => Self::Parts(text.parse().map_err(|_| number("number of parts"))?),
            "failover" => Self::Failover(match text {
                "none" => Failover::None,
                "next-edge" => Failover::NextEdge,
                "steering" => Failover::Steering,
                _ => return Err(number("way to fail over")),
            }),
            "window" => Self::Window(text.parse().map_err(|_| number("number of segments"))?),
            _ => {
                return Err(format!(
                    "there is no knob {knob:?} to compare; one of: {FORMS}"
                ));
            }
        })
    }
}

fn on(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{text:?} is neither on nor off")),
    }
}

/// The name of the run in the report.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |on: bool| if on { "on" } else { "off" };
        match *self {
            Self::MissQueue(miss_queue) => write!(f, "miss queue {miss_queue}"),
            Self::Shields(Some(shields)) => write!(f, "shields {shields}"),
            Self::Shields(None) => f.write_str("no shields"),
            Self::Freshness(percent) => write!(f, "playlists fresh {percent} %"),
            Self::Eviction(Eviction::Lru) => f.write_str("LRU"),
            Self::Eviction(Eviction::TinyLfu) => f.write_str("TinyLFU"),
            Self::Likes(true) => f.write_str("with likes"),
            Self::Likes(false) => f.write_str("without likes"),
            Self::Prefetch(on) => write!(f, "prefetch {}", word(on)),
            Self::Refresh(on) => write!(f, "refresh {}", word(on)),
            Self::Edges(1) => f.write_str("1 edge"),
            Self::Edges(count) => write!(f, "{count} edges"),
            Self::Slots(Some(slots)) => write!(f, "origin slots {slots}"),
            Self::Slots(None) => f.write_str("origin unbounded"),
            Self::Queue(queue) => write!(f, "origin queue {queue}"),
            Self::LatencyMs(millis) => write!(f, "origin {millis} ms"),
            Self::Parts(parts) => write!(f, "segments {:.2} s", f64::from(parts) * 0.32),
            Self::Window(window) => write!(f, "window {window}"),
            Self::Failover(Failover::None) => f.write_str("no fail-over"),
            Self::Failover(Failover::NextEdge) => f.write_str("next edge"),
            Self::Failover(Failover::Steering) => f.write_str("steering"),
        }
    }
}

impl FromStr for Ab {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || format!("it is KNOB=A,B with 2 to {RUNS_MAX} settings, one of: {FORMS}");
        let (knob, settings) = text.split_once('=').ok_or_else(form)?;
        let settings = settings
            .split(',')
            .map(|setting| Setting::parse(knob.trim(), setting.trim()))
            .collect::<Result<Vec<_>, _>>()?;
        if !(2..=RUNS_MAX).contains(&settings.len()) {
            return Err(form());
        }
        Ok(Self(settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<String> {
        let scenario = crate::scenario::find("celebrity-live").unwrap();
        let ab: Ab = text.parse().unwrap();
        let runs = ab.runs(&scenario, MissQueue::Flights);
        // Every setting is a scenario that can be played.
        for run in &runs {
            run.scenario.clone().checked(text).unwrap();
        }
        runs.into_iter().map(|run| run.label).collect()
    }

    #[test]
    fn knobs_are_read_and_named() {
        for (text, expected) in [
            (
                "miss-queue=flights,off,moka",
                &["miss queue flights", "miss queue off", "miss queue moka"][..],
            ),
            ("shield=none,2x2", &["no shields", "shields 2x2"]),
            (
                "freshness=0,50%",
                &["playlists fresh 0 %", "playlists fresh 50 %"],
            ),
            ("eviction=lru,tiny-lfu", &["LRU", "TinyLFU"]),
            ("likes=on,off", &["with likes", "without likes"]),
            ("prefetch=on, off", &["prefetch on", "prefetch off"]),
            ("refresh=off,on", &["refresh off", "refresh on"]),
            (
                "edges=1,2,3,4,5",
                &["1 edge", "2 edges", "3 edges", "4 edges", "5 edges"],
            ),
            (
                "origin-slots=none,16",
                &["origin unbounded", "origin slots 16"],
            ),
            ("origin-queue=0,32", &["origin queue 0", "origin queue 32"]),
            (
                "origin-latency-ms=50,300.5",
                &["origin 50 ms", "origin 300.5 ms"],
            ),
            ("parts=6,9", &["segments 1.92 s", "segments 2.88 s"]),
            ("window=6,10", &["window 6", "window 10"]),
            (
                "failover=none,next-edge,steering",
                &["no fail-over", "next edge", "steering"],
            ),
        ] {
            assert_eq!(labels(text), expected);
        }
        for text in [
            "",
            "miss-queue",
            "miss-queue=on,off",
            "miss-queue=off",
            "edges=1,2,3,4,5,6",
            "edges=1,many",
            "shield=2,none",
            "freshness=200,0",
            "likes=on,many",
            "origin-slots=-1,2",
            "colour=red,blue",
        ] {
            assert!(text.parse::<Ab>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_run_differs_from_the_scenario_in_its_setting_alone() {
        let scenario = crate::scenario::find("celebrity-live").unwrap();
        let ab: Ab = "origin-slots=7,none".parse().unwrap();
        let runs = ab.runs(&scenario, MissQueue::Moka);
        assert_eq!(runs[0].miss_queue, MissQueue::Moka);
        assert_eq!(runs[0].scenario.real.cluster.origin.slots, Some(7));
        let mut same = runs[1].scenario.clone();
        assert_eq!(same.real.cluster.origin.slots, None);
        same.real.cluster.origin.slots = scenario.real.cluster.origin.slots;
        assert_eq!(same, scenario);
    }
}

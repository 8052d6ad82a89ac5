//! Metrics of the audience, for a Prometheus that scrapes them while a surge is played: what viewers do, what they experience,
//! and how far the scenario is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Histogram, IntCounter, IntGauge};

use crate::serve::clock::Clock;
use crate::serve::metrics::{self as table, Registry};
use crate::time::{Timestamp, UnixTime};
use crate::viewer::asking::Fate;
use crate::viewer::buffer::Playback;
use crate::viewer::player::Player;
use crate::viewer::quality::Exit;

/// The metrics of the runs of one scenario; copies share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    viewers: [IntGauge; Playback::ALL.len()],
    joins: IntCounter,
    start_failures: IntCounter,
    fatal: IntCounter,
    stalls: IntCounter,
    startup: Histogram,
    rebuffered_s: Counter,
    live_latency: Histogram,
    likes: [IntCounter; Fate::ALL.len()],
    like_seconds: Histogram,
    programme: Programme,
}

/// The phases and events of a scenario, by the time since the start of a run.
#[derive(Clone, Debug, Default)]
pub struct Plot {
    /// Its name.
    pub scenario: String,
    /// The names of its phases, and when each begins; each lasts until the next.
    pub phases: Vec<(String, Duration)>,
    /// Events beside the phases, in words, and when each happens.
    pub events: Vec<(String, Duration)>,
}

impl Metrics {
    /// All metrics, at 0.
    pub fn new(registry: &Registry, plot: Plot, clock: Clock) -> Self {
        let viewers = registry.gauges(table::VIEWERS);
        let failures = registry.counters(table::VIEWER_FAILURES);
        let likes = registry.counters(table::VIEWER_LIKES);
        let histogram = |metric| registry.histograms(metric).with_label_values::<&str>(&[]);
        Self {
            viewers: Playback::ALL.map(|playback| viewers.with_label_values(&[playback.word()])),
            joins: registry.counter(table::VIEWER_JOINS),
            start_failures: failures.with_label_values(&["start"]),
            fatal: failures.with_label_values(&["fatal"]),
            stalls: registry.counter(table::VIEWER_STALLS),
            startup: histogram(table::VIEWER_STARTUP),
            rebuffered_s: registry.float_counter(table::VIEWER_REBUFFERED),
            live_latency: histogram(table::VIEWER_LIVE_LATENCY),
            likes: Fate::ALL.map(|fate| likes.with_label_values(&[fate.word()])),
            like_seconds: histogram(table::VIEWER_LIKE_SECONDS),
            programme: registry.register(Programme::new(registry, plot, clock)),
        }
    }

    /// The same metrics, without a scrape endpoint.
    pub fn unseen(clock: Clock) -> Self {
        Self::new(&Registry::new(&[]), Plot::default(), clock)
    }

    /// A run begins: its phases and events count from now on, until the returned value is dropped.
    pub(super) fn begins(&self, began: Timestamp) -> Playing<'_> {
        *self.programme.began() = Some(began);
        Playing(&self.programme)
    }

    /// Counts the outcome of a like, and the time since the viewer wanted it.
    pub(super) fn liked(&self, fate: Fate, took: Duration) {
        self.likes[fate as usize].inc();
        if fate == Fate::Acknowledged {
            self.like_seconds.observe(took.as_secs_f64());
        }
    }

    /// A viewer has come.
    pub(super) fn joins(&self) -> Counted<'_> {
        self.joins.inc();
        let counted = Counted {
            metrics: self,
            playback: Playback::Starting,
            has_started: false,
            stalls: 0,
            stalled: Duration::ZERO,
            media: Duration::ZERO,
        };
        counted.present().inc();
        counted
    }
}

/// What is counted already of a viewer. The viewer counts as present until this is dropped.
pub(super) struct Counted<'a> {
    metrics: &'a Metrics,
    playback: Playback,
    has_started: bool,
    stalls: u32,
    stalled: Duration,
    media: Duration,
}

impl Counted<'_> {
    /// Counts what is new of this player, which has been told the time. Returns the number of new stalls.
    pub(super) fn notice(&mut self, player: &Player) -> u32 {
        let quality = player.quality();
        let playback = player.playback();
        if playback != self.playback {
            self.present().dec();
            self.playback = playback;
            self.present().inc();
        }
        if let (Some(startup), false) = (quality.startup, self.has_started) {
            self.has_started = true;
            self.metrics.startup.observe(startup.as_secs_f64());
        }
        if quality.stalled > self.stalled {
            let more = quality.stalled - self.stalled;
            self.metrics.rebuffered_s.inc_by(more.as_secs_f64());
            self.stalled = quality.stalled;
        }
        if let (Some(latency), true) = (quality.live_latency, quality.media > self.media) {
            self.metrics.live_latency.observe(latency.as_secs_f64());
        }
        self.media = quality.media;
        match quality.exit {
            Exit::StartFailed => self.metrics.start_failures.inc(),
            Exit::Fatal => self.metrics.fatal.inc(),
            _ => {}
        }
        let stalls = quality.stalls - self.stalls;
        self.metrics.stalls.inc_by(stalls.into());
        self.stalls = quality.stalls;
        stalls
    }

    fn present(&self) -> &IntGauge {
        &self.metrics.viewers[self.playback as usize]
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.present().dec();
    }
}

/// A run under way; it is over when this is dropped.
pub(super) struct Playing<'a>(&'a Programme);

impl Drop for Playing<'_> {
    fn drop(&mut self) {
        *self.0.began() = None;
    }
}

/// Phases and events, computed at each scrape. Their names come from the scenario, so each is a const label of its own gauge.
#[derive(Clone, Debug)]
struct Programme {
    clock: Clock,
    began: Arc<Mutex<Option<Timestamp>>>,
    /// When each phase begins and ends; the last one never ends.
    phases: Vec<(Vec<(Duration, Duration)>, IntGauge)>,
    /// When each event happens.
    events: Vec<(Vec<Duration>, Gauge)>,
}

impl Programme {
    fn new(registry: &Registry, plot: Plot, clock: Clock) -> Self {
        let ends = plot.phases.iter().skip(1).map(|(_, begins)| *begins);
        let phases = plot.phases.iter().zip(ends.chain([Duration::MAX]));
        let phases = phases.map(|((name, begins), ends)| (name, (*begins, ends)));
        let events = plot.events.iter().map(|(what, happens)| (what, *happens));
        let phase = |(name, spans): (&String, _)| {
            let labels = [("scenario", &*plot.scenario), ("phase", &**name)];
            let registry = registry.with(&labels);
            (spans, registry.unregistered_gauge(table::SCENARIO_PHASE))
        };
        let event = |(what, times): (&String, _)| {
            let registry = registry.with(&[("event", &**what)]);
            (times, registry.unregistered_float_gauge(table::EVENT))
        };
        Self {
            clock,
            began: Arc::default(),
            phases: by_name(phases).into_iter().map(phase).collect(),
            events: by_name(events).into_iter().map(event).collect(),
        }
    }

    fn began(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.began.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Entries with the same name form one series.
fn by_name<'a, T>(named: impl Iterator<Item = (&'a String, T)>) -> BTreeMap<&'a String, Vec<T>> {
    let mut all: BTreeMap<_, Vec<T>> = BTreeMap::new();
    for (name, what) in named {
        all.entry(name).or_default().push(what);
    }
    all
}

impl Collector for Programme {
    fn desc(&self) -> Vec<&Desc> {
        let phases = self.phases.iter().flat_map(|(_, gauge)| gauge.desc());
        let events = self.events.iter().flat_map(|(_, gauge)| gauge.desc());
        phases.chain(events).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let began = *self.began();
        let elapsed = began.map(|began| self.clock.now().since(began));
        for (spans, gauge) in &self.phases {
            let lasts = |&(from, until): &(Duration, Duration)| {
                elapsed.is_some_and(|elapsed| (from..until).contains(&elapsed))
            };
            gauge.set(spans.iter().any(lasts).into());
        }
        for (times, gauge) in &self.events {
            let has_come = |at: &&Duration| elapsed.is_some_and(|elapsed| elapsed >= **at);
            let last = times.iter().filter(has_come).max();
            // An event that has not happened in this run keeps its time from the run before, if there was one.
            if let (Some(began), Some(last)) = (began, last) {
                let at = self.clock.unix_at(began + *last);
                gauge.set(at.since(UnixTime::default()).as_secs_f64());
            }
        }
        let phases = self.phases.iter().flat_map(|(_, gauge)| gauge.collect());
        let events = self.events.iter().flat_map(|(_, gauge)| gauge.collect());
        phases.chain(events).collect()
    }
}

//! The registry in which metrics are counted; one table holds every metric (`metrics/table.rs`).
//!
//! Names from configuration (an edge's name, a client) are *const* labels of a registry or of a collector of its own.
//! Variable labels take only words of enums, and every combination that can occur exists at 0 from the start.
//! `prometheus` 0.14 hashes label values without a separator, so configured names must never be variable labels.

mod process;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{
    Counter, Encoder, Gauge, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts,
    TextEncoder,
};
use tokio::runtime::RuntimeMetrics;

use self::process::Process;
pub use self::table::*;

/// The registered metrics of one component (an edge, the origin). Its const labels stand on each metric.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: prometheus::Registry,
    consts: HashMap<String, String>,
    /// The runtimes that run the component's tasks.
    runtimes: Arc<Mutex<Vec<RuntimeMetrics>>>,
    /// Held while rendering: some readings change a value, and that change is for one scrape alone.
    turn: Arc<Mutex<()>>,
}

impl Registry {
    /// A registry whose metrics all carry `consts`, plus the figures of the build, of the process, and of the runtime that
    /// this is called on.
    pub fn new(consts: &[(&str, &str)]) -> Self {
        let bare = Self {
            inner: prometheus::Registry::new(),
            consts: HashMap::new(),
            runtimes: Arc::default(),
            turn: Arc::default(),
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            bare.watch(runtime.metrics());
        }
        bare.with(&[("version", env!("CARGO_PKG_VERSION"))])
            .gauges(BUILD_INFO)
            .with_label_values::<&str>(&[])
            .set(1);
        bare.register(Process::new(bare.runtimes.clone()));
        bare.with(consts)
    }

    /// Adds one more runtime to those of the component.
    pub fn watch(&self, runtime: RuntimeMetrics) {
        let mut runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        runtimes.push(runtime);
    }

    /// The same registry, with more const labels on the metrics that are registered through it.
    pub fn with(&self, consts: &[(&str, &str)]) -> Self {
        let mut all = self.consts.clone();
        all.extend(
            consts
                .iter()
                .map(|&(label, value)| (label.to_owned(), value.to_owned())),
        );
        Self {
            inner: self.inner.clone(),
            consts: all,
            runtimes: self.runtimes.clone(),
            turn: self.turn.clone(),
        }
    }

    /// Registers a family of counters.
    pub fn counters(&self, metric: Metric) -> IntCounterVec {
        self.register(
            IntCounterVec::new(self.opts(metric), metric.labels)
                .expect("the table holds valid names"),
        )
    }

    /// Registers a counter without labels.
    pub fn counter(&self, metric: Metric) -> prometheus::IntCounter {
        self.counters(metric).with_label_values::<&str>(&[])
    }

    /// Registers a family of gauges.
    pub fn gauges(&self, metric: Metric) -> IntGaugeVec {
        self.register(
            IntGaugeVec::new(self.opts(metric), metric.labels)
                .expect("the table holds valid names"),
        )
    }

    /// Registers a gauge without labels.
    pub fn gauge(&self, metric: Metric) -> prometheus::IntGauge {
        self.gauges(metric).with_label_values::<&str>(&[])
    }

    /// Registers a gauge without labels whose value has fractions.
    pub fn fractional_gauge(&self, metric: Metric) -> Gauge {
        self.register(Gauge::with_opts(self.opts(metric)).expect("the table holds valid names"))
    }

    /// A gauge that a collector of the caller's own registers.
    pub fn unregistered_gauge(&self, metric: Metric) -> prometheus::IntGauge {
        prometheus::IntGauge::with_opts(self.opts(metric)).expect("the table holds valid names")
    }

    /// A gauge with fractions that a collector of the caller's own registers.
    pub fn unregistered_float_gauge(&self, metric: Metric) -> Gauge {
        Gauge::with_opts(self.opts(metric)).expect("the table holds valid names")
    }

    /// Registers a counter with fractions.
    pub fn float_counter(&self, metric: Metric) -> Counter {
        let counter = Counter::with_opts(self.opts(metric));
        self.register(counter.expect("the table holds valid names"))
    }

    /// A family of gauges that a collector of the caller's own registers.
    pub fn unregistered_gauges(&self, metric: Metric) -> IntGaugeVec {
        IntGaugeVec::new(self.opts(metric), metric.labels).expect("the table holds valid names")
    }

    /// A family of counters that a collector of the caller's own registers.
    pub fn unregistered_counters(&self, metric: Metric) -> IntCounterVec {
        IntCounterVec::new(self.opts(metric), metric.labels).expect("the table holds valid names")
    }

    /// Registers a family of histograms.
    pub fn histograms(&self, metric: Metric) -> HistogramVec {
        let opts = HistogramOpts {
            common_opts: self.opts(metric),
            buckets: metric.buckets.to_vec(),
        };
        self.register(HistogramVec::new(opts, metric.labels).expect("the table holds valid names"))
    }

    /// Registers a collector that computes its values when it is scraped.
    pub fn register<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        self.inner
            .register(Box::new(collector.clone()))
            .expect("each metric is registered once per set of const labels");
        collector
    }

    /// All registered metrics in Prometheus' text format. Callers take turns.
    pub fn render(&self) -> Vec<u8> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new()
            .encode(&self.inner.gather(), &mut text)
            .expect("writing into memory cannot fail");
        text
    }

    /// Number of series that a scrape returns: the samples in the text, histogram buckets included.
    pub fn series(&self) -> usize {
        String::from_utf8_lossy(&self.render())
            .lines()
            .filter(|line| !line.starts_with('#'))
            .count()
    }

    fn opts(&self, metric: Metric) -> Opts {
        Opts::new(metric.name, metric.help).const_labels(self.consts.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        for metric in TABLE {
            assert!(
                metric.name.starts_with("seawall_") || metric.name.starts_with("process_"),
                "{}",
                metric.name
            );
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            assert!(metric.buckets.len() <= 10, "{}", metric.name);
        }
    }

    #[test]
    fn configured_names_that_join_alike_stay_apart() {
        let registry = Registry::new(&[("edge", "edge1")]);
        registry
            .with(&[("client", "1a")])
            .counters(ORIGIN_HITS)
            .with_label_values(&["segment"])
            .inc_by(3);
        let other = Registry {
            consts: HashMap::new(),
            ..registry.clone()
        };
        other
            .with(&[("edge", "edge11"), ("client", "a")])
            .counters(ORIGIN_HITS)
            .with_label_values(&["segment"])
            .inc_by(5);
        let text = String::from_utf8(registry.render()).unwrap();
        assert!(
            text.contains(r#"client="1a",edge="edge1",kind="segment"} 3"#),
            "{text}"
        );
        assert!(
            text.contains(r#"client="a",edge="edge11",kind="segment"} 5"#),
            "{text}"
        );
    }

    #[test]
    fn process_figures_keep_fractions() {
        let text = String::from_utf8(Registry::new(&[]).render()).unwrap();
        assert!(text.contains("process_cpu_seconds_total "));
        assert!(text.contains("process_open_fds "));
    }

    #[tokio::test]
    async fn a_runtime_that_is_watched_adds_its_workers() {
        let registry = Registry::new(&[]);
        let workers = |registry: &Registry| {
            let text = String::from_utf8(registry.render()).unwrap();
            let line = text
                .lines()
                .find(|line| line.starts_with("seawall_runtime_workers "));
            line.unwrap().rsplit(' ').next().unwrap().to_owned()
        };
        assert_eq!(workers(&registry), "1");
        registry.watch(tokio::runtime::Handle::current().metrics());
        assert_eq!(workers(&registry), "2");
    }
}

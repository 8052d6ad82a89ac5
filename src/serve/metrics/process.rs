//! Figures of the process and of its runtimes, read when scraped.
//!
//! CPU seconds keep their fractions. The collector of `prometheus` counts whole seconds, which hide a surge on a small
//! machine. Of tokio's figures only the stable ones are exposed.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use tokio::runtime::RuntimeMetrics;

use super::table::{
    Metric, PROCESS_CPU, PROCESS_FDS, PROCESS_FDS_MAX, PROCESS_MEMORY, PROCESS_STARTED,
    PROCESS_THREADS, RUNTIME_BUSY, RUNTIME_QUEUE, RUNTIME_TASKS, RUNTIME_WORKERS, sample,
};

const FIGURES: [Metric; 10] = [
    PROCESS_CPU,
    PROCESS_MEMORY,
    PROCESS_FDS,
    PROCESS_FDS_MAX,
    PROCESS_THREADS,
    PROCESS_STARTED,
    RUNTIME_WORKERS,
    RUNTIME_BUSY,
    RUNTIME_TASKS,
    RUNTIME_QUEUE,
];

/// Reads those of [`FIGURES`] that the system gives.
#[derive(Clone, Debug)]
pub(super) struct Process {
    descs: Vec<Desc>,
    runtimes: Arc<Mutex<Vec<RuntimeMetrics>>>,
}

impl Process {
    /// The figures of this process, and the sums over these runtimes.
    pub(super) fn new(runtimes: Arc<Mutex<Vec<RuntimeMetrics>>>) -> Self {
        let desc = |metric: Metric| {
            let (name, help) = (metric.name.to_owned(), metric.help.to_owned());
            Desc::new(name, help, Vec::new(), Default::default())
                .expect("the table holds valid names")
        };
        Self {
            descs: FIGURES.map(desc).into(),
            runtimes,
        }
    }

    fn of_runtimes(&self) -> [(Metric, f64); 4] {
        let runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |of: fn(&RuntimeMetrics) -> f64| runtimes.iter().map(of).sum();
        let busy = |runtime: &RuntimeMetrics| {
            (0..runtime.num_workers())
                .map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64())
                .sum()
        };
        [
            (RUNTIME_WORKERS, sum(|runtime| runtime.num_workers() as f64)),
            (RUNTIME_BUSY, sum(busy)),
            (
                RUNTIME_TASKS,
                sum(|runtime| runtime.num_alive_tasks() as f64),
            ),
            (
                RUNTIME_QUEUE,
                sum(|runtime| runtime.global_queue_depth() as f64),
            ),
        ]
    }
}

/// The figures that /proc gives; the others are left out.
fn of_process() -> Vec<(Metric, f64)> {
    let Ok(process) = procfs::process::Process::myself() else {
        return Vec::new();
    };
    let mut told = Vec::with_capacity(6);
    let ticks = procfs::ticks_per_second() as f64;
    if let Ok(stat) = process.stat() {
        told.push((PROCESS_CPU, (stat.utime + stat.stime) as f64 / ticks));
        told.push((PROCESS_MEMORY, (stat.rss * procfs::page_size()) as f64));
        told.push((PROCESS_THREADS, stat.num_threads as f64));
        if let Ok(booted) = procfs::boot_time_secs() {
            told.push((
                PROCESS_STARTED,
                booted as f64 + stat.starttime as f64 / ticks,
            ));
        }
    }
    if let Ok(count) = process.fd_count() {
        told.push((PROCESS_FDS, count as f64));
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = limit.current.map_or(f64::INFINITY, |most| most as f64);
    told.push((PROCESS_FDS_MAX, most));
    told
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        of_process()
            .into_iter()
            .chain(self.of_runtimes())
            .flat_map(|(metric, value)| sample(metric, value))
            .collect()
    }
}

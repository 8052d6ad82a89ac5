//! The generator watches itself: how late its wake-ups are, and how much processor time it takes.

use std::sync::Mutex;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::report::record::{Cpu, Generator, Process};

/// Times every wake-up of the audience against the time at which it was due.
pub(super) struct Watch {
    lags_us: Mutex<Histogram<u64>>,
    cpu_at_start: Option<Duration>,
    process: Process,
}

impl Watch {
    /// Starts watching.
    pub(super) fn start(process: Process) -> Self {
        // Three digits up to a minute: a lag beyond it is recorded as a minute.
        let lags_us = Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid");
        Self {
            lags_us: Mutex::new(lags_us),
            cpu_at_start: process_cpu(),
            process,
        }
    }

    /// Records a wake-up that came `late` after its time.
    pub(super) fn on_wake(&self, late: Duration) {
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.lags_us
            .lock()
            .expect("no holder of this lock panics")
            .saturating_record(micros);
    }

    /// The figures after `elapsed`.
    pub(super) fn figures(&self, elapsed: Duration) -> Generator {
        let lags = self.lags_us.lock().expect("no holder of this lock panics");
        let millis = |micros: u64| micros as f64 / 1e3;
        let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        let cpu = process_cpu()
            .zip(self.cpu_at_start)
            .filter(|_| !elapsed.is_zero())
            .map(|(now, before)| {
                let busy_s = now.saturating_sub(before).as_secs_f64();
                Cpu {
                    busy_s,
                    share: busy_s / elapsed.as_secs_f64() / cores,
                    process: self.process,
                }
            });
        Generator {
            wakes: lags.len(),
            lag_p50_ms: millis(lags.value_at_quantile(0.5)),
            lag_p99_ms: millis(lags.value_at_quantile(0.99)),
            lag_max_ms: millis(lags.max()),
            cpu,
        }
    }
}

/// Processor time of this process: fields 14 and 15 of `/proc/self/stat`, in hundredths of a second (proc(5); Linux
/// fixes the unit for user space). `None` on other systems.
fn process_cpu() -> Option<Duration> {
    parse_stat(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

fn parse_stat(stat: &str) -> Option<Duration> {
    // The second field is the program's name in brackets and may hold spaces, so the fields are counted from behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_the_programs_name() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 100 1000 10 0 0";
        assert_eq!(parse_stat(stat), Some(Duration::from_secs(3)));
        assert_eq!(parse_stat("7 (x"), None);
    }

    #[test]
    fn lags_are_ranked() {
        let watch = Watch::start(Process::Own);
        for millis in 1..=100 {
            watch.on_wake(Duration::from_millis(millis));
        }
        let figures = watch.figures(Duration::from_secs(1));
        assert_eq!(figures.wakes, 100);
        assert!((figures.lag_p99_ms - 99.0).abs() < 0.2);
        assert!((figures.lag_max_ms - 100.0).abs() < 0.2);
    }
}

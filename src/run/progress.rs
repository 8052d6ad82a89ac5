//! The progress of a run, for the user who waits for it.

use std::cell::Cell;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::load::Progress;
use crate::policy::status::MissQueue;
use crate::report::record::Level;
use crate::terminal;

/// The progress of a run on stderr: a progress bar on a terminal, else a line every ten seconds.
pub(crate) struct Bar {
    bar: ProgressBar,
    told_s: Cell<u64>,
    /// When requests were last counted, and their number then.
    requests_then: Cell<(Duration, u64)>,
    per_second: Cell<f64>,
    what: String,
}

impl Bar {
    pub(crate) fn new(scenario: &str, miss_queue: MissQueue) -> Self {
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template("{prefix} [{bar:20}] {wide_msg}")
            .expect("the template is valid");
        bar.set_style(style.progress_chars("=> "));
        let what = format!("{scenario}, miss queue {miss_queue}");
        bar.set_prefix(what.clone());
        Self {
            bar,
            told_s: Cell::new(0),
            requests_then: Cell::default(),
            per_second: Cell::default(),
            what,
        }
    }

    /// `counted`: the last two counts of origin and edges, a second apart.
    pub(crate) fn show(&self, progress: &Progress, counted: Option<[Level; 2]>) {
        let (since, before) = self.requests_then.get();
        let span = progress.elapsed.saturating_sub(since);
        if span >= Duration::from_secs(1) {
            let per_second = (progress.requests - before) as f64 / span.as_secs_f64();
            self.per_second.set(per_second);
            self.requests_then
                .set((progress.elapsed, progress.requests));
        }
        let viewers = match progress.viewers_now {
            1 => "viewer",
            _ => "viewers",
        };
        let mut text = format!(
            "{:.0}/{:.0} s  {} {viewers}  edges {:.0}/s",
            progress.elapsed.as_secs_f64(),
            progress.whole.as_secs_f64(),
            HumanCount(progress.viewers_now.into()),
            self.per_second.get(),
        );
        if let Some([before, newest]) = counted {
            let hits = newest.origin_hits.zip(before.origin_hits);
            let hits = hits.map_or(0, |(now, then)| now.saturating_sub(then));
            let span_s = newest.at.saturating_sub(before.at).as_secs_f64().max(0.001);
            text += &format!(
                "  origin {:.0}/s  {} waiting",
                hits as f64 / span_s,
                HumanCount(newest.waiters.unwrap_or(0).into())
            );
        }
        text += &format!("  {} stalls", HumanCount(progress.stalls));
        if progress.likes > 0 {
            text += &format!("  {} likes", HumanCount(progress.likes));
        }
        if progress.failures > 0 {
            text += &format!("  {} failed", HumanCount(progress.failures));
        }
        if !self.bar.is_hidden() {
            self.bar.set_length(progress.whole.as_millis() as u64);
            self.bar.set_position(progress.elapsed.as_millis() as u64);
            self.bar.set_message(text);
            return;
        }
        let tens = progress.elapsed.as_secs() / 10;
        if tens > self.told_s.replace(tens) {
            terminal::remark(&format!("{}: {text}", self.what));
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.abandon();
    }
}

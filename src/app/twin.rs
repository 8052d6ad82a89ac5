//! `seawall twin`: one scenario over sockets and in virtual time, with one seed and one phase, held against each other.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::cli;
use super::reported::{Folder, page};
use super::simulate::can_be_simulated;
use crate::report::run::Run;
use crate::report::series::Series;
use crate::report::thresholds::Verdict;
use crate::report::twin::Twin;
use crate::report::{html, text};
use crate::run::runner;
use crate::run::simulated::{self, Planned};
use crate::scenario;
use crate::serve::clock::Clock;
use crate::serve::metrics::Registry;
use crate::terminal;
use crate::time::UnixTime;
use crate::viewer::abr;

/// By how much other twins begin later: what a timer, an encoder and a scheduler change.
const PHASES_MS: [i64; 8] = [-40, -25, -12, -5, 5, 12, 25, 40];

/// Runs the command.
///
/// # Errors
/// The error, in sentences for the user.
pub async fn twin(flags: &cli::TwinFlags, stop: CancellationToken) -> anyhow::Result<u8> {
    let mut scenario = scenario::find(&flags.scenario)?;
    if let Some(seed) = flags.seed {
        scenario.seed = seed;
    }
    if let Some(viewers) = flags.viewers {
        scenario.real.scale_to(viewers);
    }
    let scenario = scenario.checked(&flags.scenario)?;
    can_be_simulated(flags.miss_queue)?;
    let report = flags.report.as_deref().map(Folder::open).transpose()?;
    let clock = Clock::start();
    let metrics = runner::metrics(&scenario, &Registry::new(&[]), clock);
    let real = runner::at_own_cluster(&scenario, flags.miss_queue, &metrics, clock, &stop).await?;
    let phases = std::iter::once(0).chain(PHASES_MS);
    let twins: Vec<_> = phases
        .map(|millis| {
            let earlier = UnixTime::from_nanos(real.record.began.as_nanos() - 100_000_000);
            let began = earlier + Duration::from_millis((100 + millis) as u64);
            let planned = Planned::real(&scenario, flags.miss_queue, began);
            simulated::play(planned, None, clock, &stop, |_| ())
        })
        .collect();
    let fixed = matches!(scenario.real.audience.abr, abr::Mode::Fixed(_));
    let summaries: Vec<_> = twins.iter().map(|twin| twin.summary.clone()).collect();
    let twin = Twin::of(&real.summary, &summaries, fixed);
    let json = serde_json::to_string_pretty(&twin)? + "\n";
    terminal::print(&match flags.json {
        true => json.clone(),
        false => text::twin(&twin, page()),
    })?;
    if let Some(folder) = report {
        let series = Series::of(&real.record);
        let runs = [
            Run {
                summary: &real.summary,
                series: &series,
                label: "over sockets",
            },
            Run {
                summary: &twins[0].summary,
                series: &twins[0].series,
                label: "virtual time",
            },
        ];
        folder.put("twin.json", &json)?;
        folder.put("twin.html", &html::twin(&twin, &runs))?;
        let page = folder.0.join("twin.html");
        terminal::remark(&format!("the page is {}", page.display()));
    }
    Ok(match twin.verdict {
        _ if stop.is_cancelled() => cli::INTERRUPTED,
        Verdict::Pass => cli::OK,
        _ => cli::THRESHOLD,
    })
}

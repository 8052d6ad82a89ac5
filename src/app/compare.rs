//! `seawall compare`: compares two runs, or two sets of runs; a regression is an exit code.

use std::path::Path;

use anyhow::{Context, bail};

use super::reported;
use crate::app::cli;
use crate::report::compare::{Comparison, Regression};
use crate::report::html;
use crate::report::summary::{self, Summary};
use crate::report::text;
use crate::terminal;

/// Compares the runs of A with the runs of B.
///
/// # Errors
/// A file does not exist, or is not a summary of a run.
pub fn compare(flags: &cli::Compare) -> anyhow::Result<u8> {
    let read = |paths: &[std::path::PathBuf]| {
        let summaries = paths.iter().map(|path| summary_at(path));
        summaries.collect::<anyhow::Result<Vec<_>>>()
    };
    if !(0.0..=100.0).contains(&flags.noise) {
        bail!("--noise is per cent, from 0 to 100");
    }
    let comparison = Comparison::of(&read(&flags.a)?, &read(&flags.b)?, flags.noise / 100.0);
    if flags.json {
        terminal::print(&format!("{}\n", serde_json::to_string_pretty(&comparison)?))?;
    } else {
        terminal::print(&text::comparison(&comparison, reported::page()))?;
    }
    if let Some(file) = &flags.html {
        std::fs::write(file, html::comparison(&comparison))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(match comparison.regression() {
        Regression::None => cli::OK,
        Regression::Found(_) => cli::THRESHOLD,
    })
}

/// The summary in a file, or in the folder of a report.
fn summary_at(path: &Path) -> anyhow::Result<Summary> {
    let file = match path.is_dir() {
        true => path.join("summary.json"),
        false => path.to_owned(),
    };
    let name = file.display();
    let text = std::fs::read_to_string(&file).with_context(|| {
        format!(
            "cannot read {name}; `seawall surge SCENARIO --report DIR` leaves a summary.json in DIR"
        )
    })?;
    let summary: Summary =
        serde_json::from_str(&text).with_context(|| format!("{name} is no summary of a run"))?;
    if !(summary::VERSION_READ_MIN..=summary::VERSION).contains(&summary.version) {
        bail!(
            "{name} is of form {}, and this Seawall reads form {}",
            summary.version,
            summary::VERSION
        );
    }
    Ok(summary)
}

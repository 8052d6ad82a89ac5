//! Runs that were played: prints their reports, writes them into a folder, and gives the exit code.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Context;

use super::cli;
use crate::report::documents;
use crate::report::run::Run;
use crate::report::series::Series;
use crate::report::summary::Summary;
use crate::report::text::{self, Ink, Page};
use crate::report::thresholds::Verdict;
use crate::terminal;

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// What fits on a screen.
    Screen,
    /// Every table.
    Full,
    /// The summaries.
    Json,
}

/// The folder for a report. It is tried before the run, because a run takes long.
pub(super) struct Folder<'a>(pub(super) &'a Path);

impl<'a> Folder<'a> {
    pub(super) fn open(path: &'a Path) -> anyhow::Result<Self> {
        let cannot = || {
            format!(
                "cannot write a report to {}: is it a folder that you may write to?",
                path.display()
            )
        };
        std::fs::create_dir_all(path).with_context(cannot)?;
        tempfile::tempfile_in(path).with_context(cannot)?;
        Ok(Self(path))
    }

    /// Writes one file.
    pub(super) fn put(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.0.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn write(&self, runs: &[Run<'_>]) -> anyhow::Result<()> {
        for (name, text) in documents::documents(runs) {
            self.put(&name, &text)?;
        }
        Ok(())
    }
}

/// The runs that were played, with their labels.
#[derive(Default)]
pub(super) struct Reported {
    played: Vec<(Summary, Series, String)>,
    /// Whether a run could not be played.
    broken: bool,
}

impl Reported {
    pub(super) fn push(&mut self, summary: Summary, series: Series, label: String) {
        self.played.push((summary, series, label));
    }

    /// Takes one more run. If it could not be played, the error is told and the runs before it are kept: returns `false`.
    ///
    /// # Errors
    /// The first run could not be played.
    pub(super) fn take(
        &mut self,
        played: anyhow::Result<(Summary, Series)>,
        label: String,
    ) -> anyhow::Result<bool> {
        match played {
            Ok((summary, series)) => {
                self.push(summary, series, label);
                Ok(true)
            }
            Err(error) if self.played.is_empty() => Err(error),
            Err(error) => {
                terminal::remark(&format!("{label} could not be played: {error:#}"));
                self.broken = true;
                Ok(false)
            }
        }
    }

    /// Prints the runs and writes their report. Returns the exit code. A report that cannot be written takes no figure away.
    pub(super) fn finish(&self, folder: Option<Folder<'_>>, format: Format) -> anyhow::Result<u8> {
        let runs: Vec<_> = self
            .played
            .iter()
            .map(|(summary, series, label)| Run {
                summary,
                series,
                label,
            })
            .collect();
        let summaries: Vec<_> = runs.iter().map(|run| run.summary).collect();
        let text = match (format, &runs[..]) {
            (Format::Json, [run]) => serde_json::to_string_pretty(run.summary)? + "\n",
            (Format::Json, _) => serde_json::to_string_pretty(&summaries)? + "\n",
            (Format::Full, runs) => {
                let each = runs
                    .iter()
                    .map(|run| text::render(run.summary, page()) + "\n");
                let beside = (runs.len() > 1).then(|| text::beside(runs, page()));
                each.chain(beside).collect()
            }
            (Format::Screen, runs) => text::screen(runs, page()),
        };
        terminal::print(&text)?;
        if let Some(folder) = folder {
            folder.write(&runs)?;
            terminal::remark(&format!(
                "the report is in {}",
                folder.0.join("report.html").display()
            ));
        } else if format == Format::Screen {
            terminal::remark(
                "more: --full prints every table, --report DIR writes a page with charts",
            );
        }
        Ok(match self.broken {
            true => cli::FAILED,
            false => code_of(&summaries),
        })
    }
}

/// The exit code of one or more runs.
pub(super) fn code_of(summaries: &[&Summary]) -> u8 {
    let any = |verdict| summaries.iter().any(|summary| summary.verdict == verdict);
    if any(Verdict::Interrupted) {
        cli::INTERRUPTED
    } else if any(Verdict::Fail) || any(Verdict::Invalid) {
        cli::THRESHOLD
    } else {
        cli::OK
    }
}

/// The format of the report for this stdout.
pub(super) fn page() -> Page {
    if !std::io::stdout().is_terminal() {
        return Page::default();
    }
    let width = comfy_table::Table::new()
        .width()
        .unwrap_or(100)
        .clamp(80, 120);
    Page {
        width,
        ink: if !terminal::may_have_colours() {
            Ink::Plain
        } else {
            Ink::Coloured
        },
    }
}

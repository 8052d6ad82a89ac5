//! All documents of a run, as names and texts: the caller writes the files.

use super::html;
use super::markdown;
use super::run::Run;

/// The documents of one run, or of up to five runs that are compared; further runs are left out.
///
/// `summary.json`, `timeseries.csv` and `report.md` describe the first run. Each further run has its own files, from
/// `summary-b.json`, `timeseries-b.csv` and `report-b.md` on. `report.html` shows all runs.
pub fn documents(runs: &[Run<'_>]) -> Vec<(String, String)> {
    let mut documents = Vec::new();
    for (run, suffix) in runs.iter().zip(["", "-b", "-c", "-d", "-e"]) {
        // Writing the JSON cannot fail, because every key is a string and every figure is finite or null.
        let json = serde_json::to_string_pretty(run.summary).unwrap_or_default();
        documents.extend([
            (format!("summary{suffix}.json"), format!("{json}\n")),
            (format!("timeseries{suffix}.csv"), run.series.csv()),
            (format!("report{suffix}.md"), markdown::render(run.summary)),
        ]);
    }
    documents.push(("report.html".to_owned(), html::render(runs)));
    documents
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::compare::{self, Comparison};
    use super::super::record::{Cpu, Process};
    use super::super::sample;
    use super::super::series::{COLUMNS, Series};
    use super::super::summary::Summary;
    use super::*;
    use crate::policy::status::MissQueue;

    /// The manual for users of these files.
    const MANUAL: &str = include_str!("../../docs/summary.md");

    /// Maps whose keys are names, not fields.
    const MAPS: [&str; 8] = [
        "requests[].words",
        "requests[].outcomes",
        "requests[].statuses",
        "origin.measured.per_client",
        "phases[].words",
        "edges[].words",
        "likes.kinds",
        "likes.refusals",
    ];

    fn paths(of: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
        match of {
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    let path = match (path, MAPS.contains(&path)) {
                        ("", _) => name.clone(),
                        (_, true) => format!("{path}.*"),
                        (_, false) => format!("{path}.{name}"),
                    };
                    found.insert(path.clone());
                    paths(value, &path, found);
                }
            }
            serde_json::Value::Array(elements) => {
                for element in elements {
                    paths(element, &format!("{path}[]"), found);
                }
            }
            _ => (),
        }
    }

    /// First cells of the table rows below a heading of the manual.
    fn documented(heading: &str) -> BTreeSet<String> {
        let (_, section) = MANUAL.split_once(heading).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.map(|row| row.split('`').next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn every_key_of_a_summary_is_in_the_manual_and_no_other() {
        let mut record = sample::record(MissQueue::Flights);
        record.generator.cpu = Some(Cpu {
            busy_s: 1.0,
            share: 0.5,
            process: Process::Own,
        });
        let json = serde_json::to_value(sample::summary(&record)).unwrap();
        let mut written = BTreeSet::new();
        paths(&json, "", &mut written);
        assert_eq!(documented("\n## summary.json\n"), written);
    }

    #[test]
    fn every_key_of_a_comparison_is_in_the_manual_and_no_other() {
        let run = || [sample::summary(&sample::record(MissQueue::Flights))];
        let mut comparison = Comparison::of(&run(), &run(), compare::NOISE);
        comparison.warnings.push("seed".to_owned());
        let json = serde_json::to_value(comparison).unwrap();
        let mut written = BTreeSet::new();
        paths(&json, "", &mut written);
        assert_eq!(documented("\n## A comparison\n"), written);
    }

    #[test]
    fn every_column_of_a_time_series_is_in_the_manual_as_it_is_here() {
        for (name, what) in COLUMNS {
            assert!(
                MANUAL.contains(&format!("| `{name}` | {what} |\n")),
                "{name}"
            );
        }
        assert_eq!(documented("\n## timeseries.csv\n").len(), COLUMNS.len());
    }

    #[test]
    fn a_pair_has_documents_of_each_run_and_one_page() {
        let record = sample::record(MissQueue::Flights);
        let (summary, series) = (sample::summary(&record), Series::of(&record));
        let run = Run {
            summary: &summary,
            series: &series,
            label: "on",
        };
        let names = |runs: &[Run<'_>]| {
            let all = documents(runs);
            assert!(all.iter().all(|(_, text)| text.ends_with('\n')));
            all.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        let alone = ["summary.json", "timeseries.csv", "report.md", "report.html"];
        assert_eq!(names(&[run]), alone);
        let pair = names(&[run, run]);
        for name in alone
            .into_iter()
            .chain(["summary-b.json", "timeseries-b.csv", "report-b.md"])
        {
            assert!(pair.iter().any(|written| written == name), "{name}");
        }
        assert_eq!(pair.len(), 7);
        let (_, json) = &documents(&[run])[0];
        let read: Summary = serde_json::from_str(json).unwrap();
        assert_eq!(read, summary);
    }
}

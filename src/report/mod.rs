//! A run's record becomes numbers, verdicts and documents.
//!
//! `load` writes the [`record::RunRecord`]; the runner adds what origin and edges counted
//! ([`counts::OriginHits`], [`counts::EdgeCounts`]); [`predict`] works out from the log alone what the origin must have
//! been asked; [`summarize::summarize`] lays both side by side and [`series::Series`] tells what happened when.
//!
//! What is said of a run is said once, in `tables`, and written four ways: [`text`] for a terminal, [`markdown`], [`html`],
//! and the summary itself as JSON; [`documents`] is all of them. [`compare`] lays any two summaries beside each other.

pub mod cache_status;
mod chart;
pub mod compare;
pub mod counts;
pub mod distributions;
pub mod documents;
pub mod edges;
pub mod experience;
mod figures;
pub mod html;
pub mod latency;
pub mod likes;
pub mod markdown;
mod markup;
mod page;
pub mod phases;
pub mod predict;
pub mod record;
pub mod run;
#[cfg(test)]
mod sample;
pub mod series;
pub mod summarize;
pub mod summary;
mod tables;
pub mod text;
pub mod thresholds;
pub mod verdict;

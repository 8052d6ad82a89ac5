//! Turns a run's record into numbers, verdicts and documents.
//!
//! `load` writes the [`record::RunRecord`]; the runner adds the counts of origin and edges ([`counts::OriginHits`],
//! [`counts::EdgeCounts`]). [`predict`] computes from the log alone how many requests the origin must have had.
//! [`summarize::summarize`] puts both side by side, and [`series::Series`] shows the run over time.
//!
//! The statements about a run are made once, in `tables`, and written in four formats: [`text`] for a terminal, [`markdown`],
//! [`html`], and the summary itself as JSON; [`documents`] gives all of them. [`compare`] compares any two summaries.

mod advice;
mod beside;
pub mod cache_status;
mod chart;
pub mod compare;
pub mod counts;
pub mod distributions;
pub mod documents;
pub mod edges;
pub mod experience;
mod figures;
pub mod foreign;
mod headline;
mod heat_map;
pub mod html;
pub mod latency;
pub mod likes;
pub mod markdown;
mod markup;
mod measures;
pub mod news;
mod page;
pub mod phases;
pub mod places;
pub mod predict;
pub mod record;
pub mod replay;
pub mod run;
#[cfg(test)]
mod sample;
mod screen;
pub mod seeds;
pub mod series;
mod servers;
pub mod settings;
pub mod summarize;
pub mod summary;
pub mod sweep;
mod tables;
pub mod text;
pub mod thresholds;
pub mod twin;
pub mod verdict;

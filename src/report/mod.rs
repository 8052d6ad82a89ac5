//! A run's record becomes numbers, verdicts and text.
//!
//! `load` writes the [`record::RunRecord`]; whoever built the origin and the edges adds what they counted
//! ([`counts::OriginHits`], [`counts::EdgeCounts`]); [`predict`] works out from the log alone what the origin must have
//! been asked; [`summary::summarize`] lays both side by side and [`series::Series`] tells what happened when.

pub mod cache_status;
pub mod counts;
pub mod distributions;
pub mod edges;
pub mod experience;
pub mod latency;
mod page;
pub mod phases;
pub mod predict;
pub mod record;
#[cfg(test)]
mod sample;
pub mod series;
pub mod summary;
pub mod text;
pub mod verdict;

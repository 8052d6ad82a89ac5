//! A run's record becomes numbers, verdicts and text.
//!
//! `load` writes the [`record::RunRecord`]; whoever built the origin and the edges adds what they counted
//! ([`counts::OriginHits`], [`counts::EdgeCounts`]); [`predict`] works out from the log alone what the origin must have
//! been asked; [`summary::summarize`] lays both side by side.

pub mod cache_status;
pub mod counts;
pub mod experience;
pub mod latency;
mod page;
pub mod predict;
pub mod record;
pub mod summary;
pub mod text;
pub mod verdict;

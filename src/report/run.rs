//! A run as its documents are made from it.

use super::series::Series;
use super::summary::Summary;

/// A run to report on.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The run, summed up.
    pub summary: &'a Summary,
    /// The run over time.
    pub series: &'a Series,
    /// What tells it from the other one, in a word or two.
    pub label: &'a str,
}

//! A run as the input of its documents.

use super::series::Series;
use super::summary::Summary;

/// A run to report on.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The summary of the run.
    pub summary: &'a Summary,
    /// The run over time.
    pub series: &'a Series,
    /// The name that distinguishes it from the other run, in a word or two.
    pub label: &'a str,
}

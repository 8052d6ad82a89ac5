//! Latency percentiles: from the time at which a player wanted an object (intended), and from the time at which the request was
//! sent (service).
//!
//! Only whole answers count. The intended latency includes the time that a request waited for its own connection or for a late
//! generator. So a slow answer cannot hide the requests behind it.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::record::{Kind, Outcome, Request, ResultWord};

/// One row of the table: percentiles in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The kind of the objects.
    pub kind: Kind,
    /// The result of the requests; `None` for all of them.
    pub word: Option<ResultWord>,
    /// The start of the measured time.
    pub since: Since,
    /// Number of requests.
    pub count: u64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// The time from which a latency is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Since {
    /// When the player wanted the object.
    Intended,
    /// When the request was sent.
    Sent,
}

/// Rows for each kind, intended and service; then rows for each result of segments.
pub fn rows<'a>(requests: impl IntoIterator<Item = &'a Request> + Clone) -> Vec<Row> {
    let by_kind = Kind::ALL
        .into_iter()
        .flat_map(|kind| [(kind, None, Since::Intended), (kind, None, Since::Sent)]);
    let by_word = [ResultWord::Hit, ResultWord::Collapsed, ResultWord::Miss]
        .into_iter()
        .map(|word| (Kind::Segment, Some(word), Since::Sent));
    by_kind
        .chain(by_word)
        .filter_map(|(kind, word, since)| row(requests.clone(), kind, word, since))
        .collect()
}

/// The row of segments with intended latency, if there is one.
pub(super) fn of_segments(rows: &[Row]) -> Option<&Row> {
    let mut rows = rows.iter();
    rows.find(|row| row.kind == Kind::Segment && row.since == Since::Intended)
}

/// One row; `None` if no such request got a whole answer.
pub(super) fn row<'a>(
    requests: impl IntoIterator<Item = &'a Request>,
    kind: Kind,
    word: Option<ResultWord>,
    since: Since,
) -> Option<Row> {
    // Three digits up to a minute; the time-out of every request is far below a minute.
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).ok()?;
    for request in requests {
        let counts = request.outcome == Outcome::Ok
            && request.object.kind() == kind
            && word.is_none_or(|word| request.word == word);
        if counts {
            let start = match since {
                Since::Intended => request.due,
                Since::Sent => request.sent,
            };
            latencies.saturating_record(request.finished.since(start).as_micros() as u64);
        }
    }
    row_of(&latencies, kind, word, since)
}

/// A row from latencies in microseconds; `None` if there are none.
pub(crate) fn row_of(
    latencies: &Histogram<u64>,
    kind: Kind,
    word: Option<ResultWord>,
    since: Since,
) -> Option<Row> {
    if latencies.is_empty() {
        return None;
    }
    let millis = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1e3;
    let at = |quantile| millis(latencies.value_at_quantile(quantile));
    Some(Row {
        kind,
        word,
        since,
        count: latencies.len(),
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        p999_ms: at(0.999),
        max_ms: millis(latencies.max()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::predict::tests::request;
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn waiting_for_the_own_connection_counts_from_the_intended_time_alone() {
        let mut late = request(0, 7, 100, 150, ResultWord::Hit);
        late.due = Timestamp::ZERO;
        let rows = rows(&[late]);
        let found: Vec<_> = rows
            .iter()
            .map(|row| (row.since, row.word, row.p50_ms.round()))
            .collect();
        assert_eq!(
            found,
            [
                (Since::Intended, None, 150.0),
                (Since::Sent, None, 50.0),
                (Since::Sent, Some(ResultWord::Hit), 50.0)
            ]
        );
    }
}

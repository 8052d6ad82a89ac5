//! The figures of a run at other people's servers.

use serde::{Deserialize, Serialize};

use super::record::{Foreign, Kind, RunRecord};

/// The figures of a run at other people's servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForeignSummary {
    /// What was counted.
    #[serde(flatten)]
    pub counted: Foreign,
    /// Duration of a segment, in seconds.
    pub segment_s: f64,
    /// Time that the mean segment takes over the median last mile, in seconds; `None` without a segment, or where a part stands
    /// for each.
    pub last_mile_s: Option<f64>,
}

/// The figures; `None` at edges of Seawall.
pub(super) fn of(record: &RunRecord) -> Option<ForeignSummary> {
    let counted = record.foreign.clone()?;
    let whole = record.requests.iter().filter(|request| {
        request.object.kind() == Kind::Segment && request.is_success() && request.bytes > 0
    });
    let (segments, bytes) = whole.fold((0_u64, 0_u64), |(count, bytes), request| {
        (count + 1, bytes + request.bytes)
    });
    let mean = (segments > 0).then(|| bytes as f64 / segments as f64);
    let bps = record.last_mile_median_bps.map(|bps| bps.max(1) as f64);
    Some(ForeignSummary {
        counted,
        segment_s: record.segment_duration.as_secs_f64(),
        last_mile_s: mean.zip(bps).map(|(bytes, bps)| bytes * 8.0 / bps),
    })
}

//! Time in a trace goes forward. A line may be somewhat late, if its writer writes lines when requests end; it then counts as
//! of the newest time so far.

use std::time::Duration;

use crate::time::Timestamp;

/// The time of a trace goes back further than it may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line} is {}s earlier than a line before it, and {} may be. Sort the trace by time, or accept late lines with \
     --reorder-s", seconds(*.back), allowed(*.reorder)
)]
pub struct BackInTime {
    line: u64,
    back: Duration,
    reorder: Duration,
}

fn seconds(span: Duration) -> String {
    format!("{} ", span.as_secs_f64())
}

fn allowed(reorder: Duration) -> String {
    match reorder {
        Duration::ZERO => "none".to_owned(),
        reorder => format!("up to {} s", reorder.as_secs_f64()),
    }
}

/// The newest time so far.
#[derive(Debug)]
pub(super) struct Order {
    newest: Timestamp,
    reorder: Duration,
}

impl Order {
    pub(super) const fn new(reorder: Duration) -> Self {
        Self {
            newest: Timestamp::ZERO,
            reorder,
        }
    }

    /// Moves the time of a late line to the newest time, and says whether it did.
    pub(super) fn place(&mut self, line: u64, time: &mut Timestamp) -> Result<bool, BackInTime> {
        let back = self.newest.since(*time);
        if back.is_zero() {
            self.newest = *time;
            return Ok(false);
        }
        if back > self.reorder {
            let reorder = self.reorder;
            return Err(BackInTime {
                line,
                back,
                reorder,
            });
        }
        *time = self.newest;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_late_line_counts_as_of_the_newest_time() {
        let mut order = Order::new(Duration::from_secs(60));
        for (millis, placed, late) in [
            (70_000, 70_000, false),
            (70_000, 70_000, false),
            (10_000, 70_000, true),
            (71_000, 71_000, false),
        ] {
            let mut time = at(millis);
            assert_eq!(order.place(1, &mut time), Ok(late));
            assert_eq!(time, at(placed));
        }
        let told = order.place(5, &mut at(10_999)).unwrap_err().to_string();
        assert!(
            told.starts_with("line 5 is 60.001 s earlier than a line before it, and up to 60 s"),
            "{told}"
        );
    }

    #[test]
    fn without_tolerance_no_line_is_late() {
        let mut order = Order::new(Duration::ZERO);
        order.place(1, &mut at(5)).unwrap();
        let told = order.place(2, &mut at(4)).unwrap_err().to_string();
        assert!(told.contains("and none may be"), "{told}");
    }
}

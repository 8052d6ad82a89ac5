//! The news of a run, in one sentence: each scenario names the figures that its news is made of.

use super::news::Part;
use super::summary::Summary;
use super::thresholds::grouped;

/// The news of a run, in one sentence.
pub(super) fn headline(summary: &Summary) -> String {
    let parts = match &summary.headline[..] {
        [] => &[Part::Origin][..],
        parts => parts,
    };
    let audience = format!(
        "{}, {} requests",
        count(u64::from(summary.viewers.started), "viewer"),
        grouped(summary.requests_total()),
    );
    let told = parts.iter().filter_map(|&part| tell(part, summary));
    let told: Vec<_> = std::iter::once(audience).chain(told).collect();
    format!("{}.", told.join("; "))
}

/// A number of things: "1 viewer", "2 viewers".
pub(super) fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{} {what}s", grouped(number)),
    }
}

/// What a figure says; `None` if the run has no such figure.
fn tell(part: Part, summary: &Summary) -> Option<String> {
    let experience = &summary.experience;
    let viewers = grouped(u64::from(summary.viewers.started));
    Some(match part {
        Part::Origin => origin(summary),
        Part::Shed => {
            let share = summary.origin.shed_share?;
            let shed = summary.origin.measured.shed;
            match shed {
                0 => "no request was beyond the origin's capacity".to_owned(),
                shed => format!(
                    "the origin refused {} requests, {:.0} % of what reached it",
                    grouped(shed),
                    share * 100.0
                ),
            }
        }
        Part::Waiting => waiting(summary)?,
        Part::Stalls => {
            let stalled = match experience.viewers_stalled {
                0 => "no viewer stalled".to_owned(),
                stalled => format!(
                    "{} of {viewers} viewers stalled, at most {:.1} s",
                    grouped(stalled),
                    experience.stalled_most_s
                ),
            };
            match experience.start_failures + experience.fatal {
                0 => stalled,
                gave_up => format!("{stalled}, and {} gave up", count(gave_up, "player")),
            }
        }
        Part::Failovers => match experience.failovers {
            0 => "no player went to another edge".to_owned(),
            moves => format!("players went to another edge {} times", grouped(moves)),
        },
        Part::Startup => {
            let started = grouped(experience.started);
            match (experience.startup_p50_s, experience.startup_p95_s) {
                (Some(p50), Some(p95)) => format!(
                    "{started} of {viewers} saw a first frame, half of them within {p50:.1} s, 95 % within {p95:.1} s"
                ),
                _ => format!("{started} of {viewers} saw a first frame"),
            }
        }
        Part::Likes => {
            let likes = summary.likes.as_ref()?;
            format!(
                "{} of {} likes were acknowledged",
                grouped(likes.acknowledged),
                grouped(likes.sent)
            )
        }
    })
}

fn origin(summary: &Summary) -> String {
    let origin = &summary.origin;
    if origin.measured.uncounted {
        return "how many of them reached the origin is unknown".to_owned();
    }
    let measured = origin.measured.segment;
    let (least, most) = origin.predicted;
    let predicted = predicted(summary);
    let beside = match &origin.not_binding {
        Some(why) => format!(
            "{} were predicted, which does not bind: {why}",
            grouped(least)
        ),
        None if least == most && measured == least => format!("exactly the {predicted} predicted"),
        None => format!("{predicted} were predicted"),
    };
    format!(
        "{} for segments reached the origin: {beside}",
        grouped(measured)
    )
}

/// How many requests waited, and how long; `None` without a miss queue.
pub(super) fn waiting(summary: &Summary) -> Option<String> {
    let waiters = &summary.waiters;
    let [p50, p95, max] = [
        waiters.wait_p50_ms,
        waiters.wait_p95_ms,
        waiters.wait_max_ms,
    ];
    let (p50, p95, max) = (p50?, p95?, max?);
    Some(format!(
        "{} of {} requests waited for the fetch of another, at most {} for one segment; they waited p50 {p50:.0} ms, p95 \
         {p95:.0} ms, at most {max:.0} ms",
        grouped(waiters.waited),
        grouped(summary.requests_total()),
        grouped(waiters.collapsed_most),
    ))
}

/// The prediction for segments, as one number or two.
pub(super) fn predicted(summary: &Summary) -> String {
    let (least, most) = summary.origin.predicted;
    match least == most {
        true => grouped(least),
        false => format!("{} to {}", grouped(least), grouped(most)),
    }
}

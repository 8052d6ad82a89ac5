//! The range of every value in a scenario, and the message for a value outside of it.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::model::{RealProfile, Scenario};
use crate::hls::ladder::Rendition;
use crate::hls::timeline::PARTS_PER_SEGMENT;
use crate::viewer::abr;
use crate::viewer::arrivals::Arrivals;
use crate::viewer::audience::Sessions;
use crate::viewer::likes::LikesPlan;

/// A share in per cent.
const PERCENT: RangeInclusive<f64> = 0.0..=100.0;
/// A time of a run, in seconds.
const SPAN_S: RangeInclusive<f64> = 0.0..=86_400.0;

/// The first key whose value is out of range, and the rule.
pub(super) fn broken(scenario: &Scenario) -> Option<(&'static str, String)> {
    let RealProfile {
        cluster,
        audience,
        connections,
        likes,
        faults,
        phases,
        variants,
        thresholds,
        ..
    } = &scenario.real;
    let percent = |value: f64| PERCENT.contains(&value);
    let span = |seconds: f64| SPAN_S.contains(&seconds);
    let positive = |value: f64| value > 0.0 && value <= 86_400.0;
    let arrivals_fit = match audience.arrivals {
        Arrivals::AtOnce => true,
        Arrivals::Steady { over_s } | Arrivals::Ramp { over_s } => positive(over_s),
        Arrivals::Step {
            before_percent,
            at_s,
            within_s,
        } => percent(before_percent) && positive(at_s) && positive(within_s),
        Arrivals::Logistic {
            midpoint_s,
            scale_s,
            within_s,
        } => span(midpoint_s) && positive(scale_s) && positive(within_s),
        Arrivals::SteepThenCliff { growth_s, cliff_s } => positive(growth_s) && positive(cliff_s),
        Arrivals::Replay(ref replay) => replay.arrives_s.len() >= audience.viewers as usize,
        Arrivals::Gamma {
            shape,
            scale_s,
            within_s,
        } => positive(shape) && positive(scale_s) && positive(within_s),
    };
    let sessions_fit = match audience.sessions {
        Sessions::TheEnd { until_s, plunge_s } => positive(until_s) && span(plunge_s),
        Sessions::Fixed { each_s } => positive(each_s),
        Sessions::LogNormal {
            median_s,
            sigma,
            at_most_s,
        } => positive(median_s) && (0.0..=10.0).contains(&sigma) && positive(at_most_s),
    };
    let last_mile = &audience.last_mile;
    let known = |name: &String| Rendition::named(name).is_some();
    let rules = [
        rule(
            crate::hls::names::is_name(&scenario.name),
            "name",
            "must be 1 to 64 of a-z, 0-9, - and _",
        ),
        rule(
            !scenario.about.is_empty() && !scenario.about.contains('\n'),
            "about",
            "must be one line",
        ),
        within("real.cluster.edges", cluster.edges, 1..=64),
        within(
            "real.cluster.parts_per_segment",
            cluster.parts_per_segment,
            PARTS_PER_SEGMENT,
        ),
        cluster.origin.check().err().map(|refused| {
            let key = refused.key.rsplit('.').next().unwrap_or_default();
            (
                "real.cluster.origin",
                format!("must have a {key} of {}", refused.range),
            )
        }),
        rule(
            (1..=connections.viewers_max()).contains(&audience.viewers),
            "real.audience.viewers",
            "must be from 1 to 4000, where each has a connection of its own; to 100000 with real.connections.pool",
        ),
        rule(
            arrivals_fit,
            "real.audience.arrivals",
            "must have numbers above 0 and at most 86400, per cent at most 100, and a replay as many lines as viewers",
        ),
        rule(
            sessions_fit,
            "real.audience.sessions",
            "must have times above 0 and at most 86400 s, and a sigma of at most 10",
        ),
        rule(
            last_mile.median_bps > 0 && last_mile.at_least_bps > 0,
            "real.audience.last_mile",
            "must have bandwidths above 0",
        ),
        within("real.audience.last_mile.sigma", last_mile.sigma, 0.0..=10.0),
        rule(
            !audience.renditions.is_empty() && audience.renditions.iter().all(known),
            "real.audience.renditions",
            "must name at least one of 180p, 360p, 720p and 1080p, and nothing else",
        ),
        rule(
            match &audience.abr {
                abr::Mode::HlsJs | abr::Mode::Throughput => true,
                abr::Mode::Fixed(name) => audience.renditions.contains(name),
            },
            "real.audience.abr",
            "must be fixed to one of real.audience.renditions",
        ),
        within("real.warm_up_s", scenario.real.warm_up_s, SPAN_S),
        within(
            "real.audience.manners.early_percent",
            audience.manners.early_percent,
            PERCENT,
        ),
        rule(
            audience.seekers.is_none_or(|seekers| {
                percent(seekers.percent) && positive(seekers.back_s) && span(seekers.within_s)
            }),
            "real.audience.seekers",
            "must have per cent from 0 to 100, and times above 0",
        ),
        rule(
            audience.intermission.is_none_or(|pause| {
                let percents = [pause.leave_percent, pause.return_percent];
                let spans = [pause.from_s, pause.over_s, pause.back_s, pause.back_over_s];
                percents.into_iter().all(percent) && spans.into_iter().all(span)
            }),
            "real.audience.intermission",
            "must have per cent from 0 to 100, and times from 0 to 86400 s",
        ),
        rule(
            likes.as_ref().is_none_or(LikesPlan::are_in_range),
            "real.likes",
            "must have rates from 0 to 20000 per second and one above 0, per cent from 0 to 100 in sum, 1 to 100 hearts, and at \
             most 100 bursts that last longer than 0 s",
        ),
        within(
            "real.connections.pool",
            connections.pool.unwrap_or(1),
            1..=8_192,
        ),
        within(
            "real.connections.one_part_of",
            connections.one_part_of,
            0..=64,
        ),
        within("real.cluster.channels", cluster.channels, 1..=200),
        within("real.cluster.window", cluster.window, 4..=600),
        rule(
            cluster.cache_bytes.is_none_or(|bytes| bytes >= 1 << 20),
            "real.cluster.cache_bytes",
            "must be at least 1048576",
        ),
        within(
            "real.cluster.playlist_fresh_percent",
            cluster.playlist_fresh_percent.unwrap_or_default(),
            0..=100,
        ),
        rule(
            faults.iter().all(|fault| {
                let over = fault
                    .until_s
                    .is_none_or(|until_s| until_s > fault.at_s && span(until_s));
                span(fault.at_s) && over && fault.what.fits(cluster.edges)
            }),
            "real.faults",
            "must begin at 0 or later, end after they begin, name edges that there are, and have numbers in their range",
        ),
        rule(
            faults.iter().enumerate().all(|(index, fault)| {
                let others = &faults[index + 1..];
                !others.iter().any(|other| fault.meets(other))
            }),
            "real.faults",
            "must not strike the same edge, origin, stream or viewers twice at the same time",
        ),
        rule(
            cluster.channels == 1 || scenario.name.len() <= 60,
            "name",
            "must have at most 60 letters where there are several channels",
        ),
        rule(
            variants.len() != 1
                && variants.len() <= 5
                && variants
                    .iter()
                    .all(|variant| (1..=40).contains(&variant.name.chars().count())),
            "real.variants",
            "must be 2 to 5, each with a name of 1 to 40 letters",
        ),
        rule(
            thresholds.are_in_range(),
            "real.thresholds",
            "must have shares from 0 to 1, per cent from 0 to 100, and times above 0",
        ),
        rule(
            !cluster.processes || cluster.shields.is_none(),
            "real.cluster.shields",
            "must be left out where edges are processes: there are no shields then",
        ),
        rule(
            phases.is_sorted_by(|before, after| before.from_s < after.from_s)
                && phases
                    .iter()
                    .all(|phase| span(phase.from_s) && !phase.name.is_empty()),
            "real.phases",
            "must have names, and begin one after another",
        ),
        within(
            "real.requests_logged_max",
            scenario.real.requests_logged_max,
            1..=5_000_000,
        ),
    ];
    rules.into_iter().flatten().next()
}

/// The key and the rule, if the rule does not hold.
type Broken = Option<(&'static str, String)>;

fn rule(holds: bool, key: &'static str, must: &str) -> Broken {
    (!holds).then(|| (key, must.to_owned()))
}

fn within<T: PartialOrd + Display>(
    key: &'static str,
    value: T,
    range: RangeInclusive<T>,
) -> Broken {
    let must = format!("must be from {} to {}", range.start(), range.end());
    rule(range.contains(&value), key, &must)
}

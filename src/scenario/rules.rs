//! The rules for what numbers alone do not say: names, forms, and keys that must fit each other.

use std::ops::RangeInclusive;

use super::fault::Fault;
use super::keys;
use super::model::{RealProfile, Scenario, SimFault};
use crate::hls::ladder::Rendition;
use crate::viewer::abr;
use crate::viewer::arrivals::Arrivals;
use crate::viewer::audience::Sessions;
use crate::viewer::likes::LikesPlan;

/// A share in per cent.
const PERCENT: RangeInclusive<f64> = 0.0..=100.0;
/// A time of a run, in seconds.
const SPAN_S: RangeInclusive<f64> = 0.0..=86_400.0;

const LIKES_RULE: &str =
    "must have a rate above 0 or bursts, at most 100 per cent in sum, and at most 100 bursts";

/// The first key whose value is out of range, and the rule.
pub(super) fn broken(scenario: &Scenario) -> Option<(String, String)> {
    let Ok(numbers) = toml::Value::try_from(scenario) else {
        let must = format!("must be at most {}", i64::MAX);
        return Some(("seed".to_owned(), must));
    };
    if let Some(refused) = keys::out_of_range(&numbers) {
        return Some(refused);
    }
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
    let arrivals_fit = |arrivals: &Arrivals| match *arrivals {
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
        Arrivals::Replay(_) => true,
        Arrivals::Gamma {
            shape,
            scale_s,
            within_s,
        } => positive(shape) && positive(scale_s) && positive(within_s),
    };
    let sessions_fit = |sessions: Sessions| match sessions {
        Sessions::TheEnd { until_s, plunge_s } => positive(until_s) && span(plunge_s),
        Sessions::Fixed { each_s } => positive(each_s),
        Sessions::LogNormal {
            median_s,
            sigma,
            at_most_s,
        } => positive(median_s) && (0.0..=10.0).contains(&sigma) && positive(at_most_s),
    };
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
        cluster.origin.check().err().map(|refused| {
            let key = refused
                .key
                .replace("origin.capacity", "real.cluster.origin");
            (key, format!("must be {}", refused.range))
        }),
        rule(
            (1..=connections.viewers_max()).contains(&audience.viewers),
            "real.audience.viewers",
            "must be from 1 to 4000, where each has a connection of its own; to 100000 with real.connections.pool",
        ),
        rule(
            arrivals_fit(&audience.arrivals),
            "real.audience.arrivals",
            "must have numbers above 0 and at most 86400, and per cent at most 100",
        ),
        match &audience.arrivals {
            Arrivals::Replay(replay) if replay.arrives_s.len() < audience.viewers as usize => {
                Some((
                    "real.audience.viewers".to_owned(),
                    format!(
                        "must be at most {}: {} has as many lines as viewers are wanted",
                        replay.arrives_s.len(),
                        replay.csv
                    ),
                ))
            }
            _ => None,
        },
        rule(
            sessions_fit(audience.sessions),
            "real.audience.sessions",
            "must have times above 0 and at most 86400 s, and a sigma of at most 10",
        ),
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
        rule(
            likes.as_ref().is_none_or(LikesPlan::is_possible),
            "real.likes",
            LIKES_RULE,
        ),
        rule(
            scenario
                .sim
                .as_ref()
                .and_then(|sim| sim.likes.as_ref())
                .is_none_or(LikesPlan::is_possible),
            "sim.likes",
            LIKES_RULE,
        ),
        odd_fault("real.faults", faults.iter().cloned(), cluster.edges),
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
            (1..variants.len()).all(|nth| {
                let name = &variants[nth].name;
                variants[..nth].iter().all(|other| other.name != *name)
            }),
            "real.variants",
            "must have a name of its own each",
        ),
        rule(
            audience
                .intermission
                .is_none_or(|pause| pause.back_s >= pause.from_s),
            "real.audience.intermission.back_s",
            "must not be before from_s: viewers return after they have left",
        ),
        rule(
            thresholds.are_nested_once(),
            "real.thresholds",
            "must have no tables inside its tables",
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
    ];
    let of_sim = scenario.sim.as_ref().and_then(|sim| {
        let rules = [
            rule(
                arrivals_fit(&sim.arrivals) && !matches!(sim.arrivals, Arrivals::Replay(_)),
                "sim.arrivals",
                "must have numbers in their ranges, and no file",
            ),
            rule(
                sessions_fit(sim.sessions),
                "sim.sessions",
                "must have numbers in their ranges",
            ),
            odd_fault(
                "sim.faults",
                sim.faults.iter().flat_map(SimFault::each),
                sim.pops,
            ),
        ];
        rules.into_iter().flatten().next()
    });
    rules.into_iter().flatten().next().or(of_sim)
}

/// The first fault that cannot be.
fn odd_fault(key: &str, faults: impl Iterator<Item = Fault>, edges: u32) -> Broken {
    faults.zip(1..).find_map(|(fault, nth): (Fault, u32)| {
        let must = if fault.until_s.is_some_and(|until_s| until_s <= fault.at_s) {
            "must end after it begins".to_owned()
        } else if !fault.what.fits(edges) {
            match fault.what.edge() {
                Some(edge) => format!("must name an edge from 1 to {edges}, not {edge}"),
                None => "must have a number in its range".to_owned(),
            }
        } else {
            return None;
        };
        let word = format!("{must} (fault {nth}: {})", fault.what);
        Some((key.to_owned(), word))
    })
}

/// The key and the rule, if the rule does not hold.
type Broken = Option<(String, String)>;

fn rule(holds: bool, key: &'static str, must: &str) -> Broken {
    (!holds).then(|| (key.to_owned(), must.to_owned()))
}

//! Scenarios: surges with a name, as data. One TOML file each, built into the program, or read from a path.
//!
//! A scenario says who comes (the audience), to what (the stage: edges, segments, an origin with a delay), what goes wrong
//! when (faults), and what must come out (thresholds). An unknown key is refused with its line and column.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::hls::ladder::Rendition;
use crate::load::Lines;
use crate::policy::limits::Eviction;
use crate::report::verdict::Thresholds;
use crate::tiers::Shields;
use crate::viewer::abr;
use crate::viewer::arrivals::Arrivals;
use crate::viewer::audience::{Audience, Sessions};

/// A surge with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The name on the command line.
    pub name: String,
    /// What it shows, in one line.
    pub about: String,
    /// Seeds the audience.
    pub seed: u64,
    /// How it is played over real sockets.
    pub real: RealProfile,
    /// How large it is on the internet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sim: Option<SimProfile>,
}

/// A scenario at the size of the internet, as published figures have it: to be played in virtual time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimProfile {
    /// Where the figures come from.
    pub figures_from: String,
    /// Viewers.
    pub viewers: u64,
    /// Points of presence.
    pub pops: u32,
    /// Groups of shields; 0: none.
    #[serde(default)]
    pub shield_groups: u32,
    /// Streams; their shares follow Zipf's law.
    #[serde(default = "one")]
    pub streams: u32,
    /// Renditions of each.
    pub renditions: u32,
    /// Duration of a segment in seconds.
    pub segment_s: f64,
    /// How long the origin takes for an answer, in milliseconds.
    pub origin_ms: f64,
    /// When viewers arrive.
    pub arrivals: Arrivals,
    /// When they leave.
    pub sessions: Sessions,
}

fn one() -> u32 {
    1
}

/// A scenario over real sockets: sized for two cores and a minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealProfile {
    /// What the audience comes to.
    pub stage: Stage,
    /// The audience.
    pub audience: Audience,
    /// How viewers reach the edges.
    #[serde(default)]
    pub lines: Lines,
    /// What is wanted so early is left out of latencies: caches and players warm up, counted from the start of the run.
    #[serde(default)]
    pub warm_up_s: f64,
    /// What goes wrong, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// The stretches by whose names figures are labelled, each from its beginning until the next begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// What must come out.
    pub thresholds: Thresholds,
    /// Requests that the generator's log holds at most; those beyond it are counted, and the run is not judged exactly.
    pub requests_logged_max: usize,
}

/// The cluster that a scenario is played at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Number of edges.
    pub edges: u32,
    /// Groups of shields before the origin, and shields per group, as GROUPSxN; none if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shields: Option<Shields>,
    /// Parts of 0.32 s per segment.
    pub parts_per_segment: u32,
    /// How long the origin waits before it answers: on loopback a fetch would otherwise take no time.
    pub origin_delay_ms: f64,
    /// Channels, the most popular first: their shares of the viewers follow Zipf's law.
    #[serde(default = "one")]
    pub channels: u32,
    /// Segments that a playlist lists.
    #[serde(default = "usual_window")]
    pub window: u64,
    /// Bytes that the cache of each edge may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_bytes: Option<u64>,
    /// Per cent of a target duration for which a playlist is fresh at an edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playlist_fresh_percent: Option<u32>,
    /// What an edge lets go when its cache is full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eviction: Option<Eviction>,
    /// Whether each edge is a process of its own; each is where a fault kills, silences or restarts one.
    #[serde(default)]
    pub processes: bool,
}

fn usual_window() -> u64 {
    10
}

/// A stretch of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// When it begins, counted from the start of the run.
    pub from_s: f64,
}

/// Trouble that is made on purpose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it begins, counted from the start of the run.
    pub at_s: f64,
    /// When it is over; left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_s: Option<f64>,
    /// What is done.
    pub what: Trouble,
}

/// What can go wrong. Edges are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// An edge is killed (SIGKILL); when that is over it is started again, with nothing in its cache.
    EdgeKilled(u32),
    /// An edge falls silent (SIGSTOP): connections stand, and nothing comes.
    EdgeSilent(u32),
    /// An edge is ended in order (SIGTERM) and started again, with nothing in its cache.
    EdgeRestarted(u32),
    /// Every answer of the origin takes so much longer, in milliseconds.
    OriginSlow(f64),
    /// Of a hundred answers of the origin so many are 503.
    OriginUnavailable(f64),
    /// The origin takes no connection.
    OriginStopped,
    /// The broadcaster publishes nothing.
    StreamStalled,
    /// The broadcaster's clock loses so many milliseconds per second.
    ClockDrift(f64),
    /// Of a hundred viewers so many reach nobody: what they have open breaks.
    ViewersOffline(f64),
}

impl Fault {
    /// Whether another strikes the same while this one lasts: the end of one would end both.
    fn meets(&self, other: &Self) -> bool {
        let end = |fault: &Self| fault.until_s.unwrap_or(f64::INFINITY);
        let overlap = self.at_s < end(other) && other.at_s < end(self);
        overlap && self.what.means() == other.what.means()
    }
}

impl Trouble {
    /// What it strikes: an edge by its number, or one of the others by a number of its own.
    fn means(self) -> (u32, &'static str) {
        match self {
            Self::EdgeKilled(edge) | Self::EdgeSilent(edge) | Self::EdgeRestarted(edge) => {
                (edge, "edge")
            }
            Self::OriginSlow(_) | Self::OriginUnavailable(_) => (0, "answers"),
            Self::OriginStopped => (0, "door"),
            Self::StreamStalled | Self::ClockDrift(_) => (0, "broadcast"),
            Self::ViewersOffline(_) => (0, "viewers"),
        }
    }

    /// The edge that it strikes, counted from 1.
    pub fn edge(self) -> Option<u32> {
        match self {
            Self::EdgeKilled(edge) | Self::EdgeSilent(edge) | Self::EdgeRestarted(edge) => {
                Some(edge)
            }
            _ => None,
        }
    }

    fn fits(self, edges: u32) -> bool {
        match self {
            Self::EdgeKilled(edge) | Self::EdgeSilent(edge) | Self::EdgeRestarted(edge) => {
                (1..=edges).contains(&edge)
            }
            Self::OriginSlow(millis) => (0.0..=60_000.0).contains(&millis),
            Self::ClockDrift(millis) => (0.0..=900.0).contains(&millis),
            Self::OriginUnavailable(percent) | Self::ViewersOffline(percent) => {
                (0.0..=100.0).contains(&percent)
            }
            Self::OriginStopped | Self::StreamStalled => true,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EdgeKilled(edge) => write!(f, "edge-{edge} is killed"),
            Self::EdgeSilent(edge) => write!(f, "edge-{edge} falls silent"),
            Self::EdgeRestarted(edge) => write!(f, "edge-{edge} is restarted"),
            Self::OriginSlow(millis) => write!(f, "the origin is {millis} ms slower"),
            Self::OriginUnavailable(percent) => {
                write!(f, "the origin answers {percent} % with 503")
            }
            Self::OriginStopped => f.write_str("the origin is gone"),
            Self::StreamStalled => f.write_str("the stream stalls"),
            Self::ClockDrift(millis) => {
                write!(f, "the broadcaster's clock loses {millis} ms per second")
            }
            Self::ViewersOffline(percent) => write!(f, "{percent} % of the viewers are offline"),
        }
    }
}

/// Why a scenario cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No scenario has this name.
    #[error("there is no scenario `{name}`{}", suggestion(.nearest))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The name that comes nearest, if one is near.
        nearest: Option<&'static str>,
    },
    /// The file cannot be read.
    #[error(
        "cannot read the scenario {path}: {why}; `seawall scenarios` lists those that are built in"
    )]
    Unreadable {
        /// The path asked for.
        path: String,
        /// What the system says.
        why: std::io::Error,
    },
    /// The arrivals that a scenario wants replayed cannot be read.
    #[error("{path}: {why}")]
    Replay {
        /// The file of arrivals.
        path: String,
        /// What is wrong, and on which line.
        why: String,
    },
    /// The text is no scenario; the message holds line and column.
    #[error("{origin} is no scenario: {why}")]
    Malformed {
        /// The file.
        origin: String,
        /// What is wrong and where.
        why: Box<toml::de::Error>,
    },
    /// A value is outside its range.
    #[error("{origin}: {key} {rule}")]
    OutOfRange {
        /// The file.
        origin: String,
        /// The key, with its tables.
        key: &'static str,
        /// What it must be.
        rule: &'static str,
    },
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    match nearest {
        Some(name) => format!("; did you mean `{name}`?"),
        None => "; `seawall scenarios` lists them".to_owned(),
    }
}

/// The scenarios that are built in: name and text.
const BUILT_IN: [(&str, &str); 11] = [
    (
        "celebrity-live",
        include_str!("../tests/scenarios/celebrity-live.toml"),
    ),
    ("kickoff", include_str!("../tests/scenarios/kickoff.toml")),
    (
        "title-fight",
        include_str!("../tests/scenarios/title-fight.toml"),
    ),
    (
        "break-and-return",
        include_str!("../tests/scenarios/break-and-return.toml"),
    ),
    ("pop-loss", include_str!("../tests/scenarios/pop-loss.toml")),
    (
        "origin-brownout",
        include_str!("../tests/scenarios/origin-brownout.toml"),
    ),
    (
        "playlist-herd",
        include_str!("../tests/scenarios/playlist-herd.toml"),
    ),
    (
        "many-streams",
        include_str!("../tests/scenarios/many-streams.toml"),
    ),
    (
        "reconnect-storm",
        include_str!("../tests/scenarios/reconnect-storm.toml"),
    ),
    (
        "early-404",
        include_str!("../tests/scenarios/early-404.toml"),
    ),
    (
        "rolling-restart",
        include_str!("../tests/scenarios/rolling-restart.toml"),
    ),
];

/// All built-in scenarios, in the order in which they are listed.
pub fn built_in() -> Vec<Scenario> {
    BUILT_IN
        .iter()
        .map(|(name, text)| parse(name, text).expect("a test reads every built-in scenario"))
        .collect()
}

/// Finds a scenario: a path if `wanted` looks like one (a slash, or `.toml` at its end), otherwise a built-in name.
pub fn find(wanted: &str) -> Result<Scenario, Refused> {
    if wanted.contains('/') || wanted.ends_with(".toml") {
        return load(Path::new(wanted));
    }
    let text = BUILT_IN.iter().find(|(name, _)| *name == wanted);
    let Some((name, text)) = text else {
        return Err(Refused::Unknown {
            name: wanted.to_owned(),
            nearest: nearest(wanted, BUILT_IN.iter().map(|(name, _)| *name)),
        });
    };
    parse(name, text)
}

/// Reads a scenario from a file.
pub fn load(path: &Path) -> Result<Scenario, Refused> {
    let origin = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(why) => return Err(Refused::Unreadable { path: origin, why }),
    };
    let mut scenario = read(&origin, &text)?;
    if let Arrivals::Replay(replay) = &mut scenario.real.audience.arrivals {
        let file = path.with_file_name(&replay.csv);
        let refused = |why| Refused::Replay {
            path: file.display().to_string(),
            why,
        };
        let text = std::fs::read_to_string(&file).map_err(|why| refused(why.to_string()))?;
        replay
            .read(&text)
            .map_err(|(line, why)| refused(format!("line {line}: {why}")))?;
    }
    scenario.checked(&origin)
}

/// Reads a scenario from its text. `origin` names it in messages.
pub fn parse(origin: &str, text: &str) -> Result<Scenario, Refused> {
    read(origin, text)?.checked(origin)
}

fn read(origin: &str, text: &str) -> Result<Scenario, Refused> {
    toml::from_str(text).map_err(|why| Refused::Malformed {
        origin: origin.to_owned(),
        why: Box::new(why),
    })
}

impl Scenario {
    /// Holds every value against its range. `origin` names the scenario in messages.
    ///
    /// # Errors
    /// The first key that is outside.
    pub fn checked(mut self, origin: &str) -> Result<Self, Refused> {
        let RealProfile { stage, faults, .. } = &mut self.real;
        stage.processes |= faults.iter().any(|fault| fault.what.edge().is_some());
        match broken_rule(&self) {
            None => Ok(self),
            Some((key, rule)) => Err(Refused::OutOfRange {
                origin: origin.to_owned(),
                key,
                rule,
            }),
        }
    }
}

impl Stage {
    /// The origin's delay.
    pub fn origin_delay(&self) -> Duration {
        Duration::try_from_secs_f64(self.origin_delay_ms / 1e3).unwrap_or_default()
    }
}

/// The first key whose value is outside its range, and the rule.
fn broken_rule(scenario: &Scenario) -> Option<(&'static str, &'static str)> {
    let RealProfile {
        stage,
        audience,
        lines,
        faults,
        phases,
        thresholds,
        ..
    } = &scenario.real;
    let percent = |value: f64| (0.0..=100.0).contains(&value);
    let span = |seconds: f64| (0.0..=86_400.0).contains(&seconds);
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
        (
            crate::hls::names::is_name(&scenario.name),
            "name",
            "must be 1 to 64 of a-z, 0-9, - and _",
        ),
        (
            !scenario.about.is_empty() && !scenario.about.contains('\n'),
            "about",
            "must be one line",
        ),
        (
            (1..=64).contains(&stage.edges),
            "real.stage.edges",
            "must be from 1 to 64",
        ),
        (
            (3..=30).contains(&stage.parts_per_segment),
            "real.stage.parts_per_segment",
            "must be from 3 to 30 (parts of 0.32 s)",
        ),
        (
            (0.0..=10_000.0).contains(&stage.origin_delay_ms),
            "real.stage.origin_delay_ms",
            "must be from 0 to 10000",
        ),
        (
            (1..=lines.viewers_max()).contains(&audience.viewers),
            "real.audience.viewers",
            "must be from 1 to 4000, where each has a connection of its own; to 100000 with real.lines.pool",
        ),
        (
            arrivals_fit,
            "real.audience.arrivals",
            "must have numbers above 0 and at most 86400, per cent at most 100, and a replay as many lines as viewers",
        ),
        (
            sessions_fit,
            "real.audience.sessions",
            "must have times above 0 and at most 86400 s, and a sigma of at most 10",
        ),
        (
            last_mile.median_bps > 0 && last_mile.at_least_bps > 0,
            "real.audience.last_mile",
            "must have bandwidths above 0",
        ),
        (
            (0.0..=10.0).contains(&last_mile.sigma),
            "real.audience.last_mile.sigma",
            "must be from 0 to 10",
        ),
        (
            !audience.renditions.is_empty() && audience.renditions.iter().all(known),
            "real.audience.renditions",
            "must name at least one of 180p, 360p, 720p and 1080p, and nothing else",
        ),
        (
            match &audience.abr {
                abr::Mode::HlsJs | abr::Mode::Throughput => true,
                abr::Mode::Fixed(name) => audience.renditions.contains(name),
            },
            "real.audience.abr",
            "must be fixed to one of real.audience.renditions",
        ),
        (
            span(scenario.real.warm_up_s),
            "real.warm_up_s",
            "must be from 0 to 86400",
        ),
        (
            percent(audience.manners.early_percent),
            "real.audience.manners.early_percent",
            "must be from 0 to 100",
        ),
        (
            audience.seekers.is_none_or(|seekers| {
                percent(seekers.percent) && positive(seekers.back_s) && span(seekers.within_s)
            }),
            "real.audience.seekers",
            "must have per cent from 0 to 100, and times above 0",
        ),
        (
            audience.intermission.is_none_or(|pause| {
                let percents = [pause.leave_percent, pause.return_percent];
                let spans = [pause.from_s, pause.over_s, pause.back_s, pause.back_over_s];
                percents.into_iter().all(percent) && spans.into_iter().all(span)
            }),
            "real.audience.intermission",
            "must have per cent from 0 to 100, and times from 0 to 86400 s",
        ),
        (
            lines.pool.is_none_or(|pool| (1..=8_192).contains(&pool)),
            "real.lines.pool",
            "must be from 1 to 8192 connections",
        ),
        (
            lines.one_part_of <= 64,
            "real.lines.one_part_of",
            "must be from 1 to 64",
        ),
        (
            (1..=200).contains(&stage.channels),
            "real.stage.channels",
            "must be from 1 to 200",
        ),
        (
            (4..=600).contains(&stage.window),
            "real.stage.window",
            "must be from 4 to 600 segments",
        ),
        (
            stage.cache_bytes.is_none_or(|bytes| bytes >= 1 << 20),
            "real.stage.cache_bytes",
            "must be at least 1048576",
        ),
        (
            stage
                .playlist_fresh_percent
                .is_none_or(|share| share <= 100),
            "real.stage.playlist_fresh_percent",
            "must be from 0 to 100",
        ),
        (
            faults.iter().all(|fault| {
                let over = fault
                    .until_s
                    .is_none_or(|until_s| until_s > fault.at_s && span(until_s));
                span(fault.at_s) && over && fault.what.fits(stage.edges)
            }),
            "real.faults",
            "must begin at 0 or later, end after they begin, name edges that there are, and have numbers in their range",
        ),
        (
            faults.iter().enumerate().all(|(index, fault)| {
                let others = &faults[index + 1..];
                !others.iter().any(|other| fault.meets(other))
            }),
            "real.faults",
            "must not strike the same edge, origin, stream or viewers twice at the same time",
        ),
        (
            stage.channels == 1 || scenario.name.len() <= 60,
            "name",
            "must have at most 60 letters where there are several channels",
        ),
        (
            thresholds.are_in_range(),
            "real.thresholds",
            "must have shares from 0 to 1, per cent from 0 to 100, and times above 0",
        ),
        (
            !stage.processes || stage.shields.is_none(),
            "real.stage.shields",
            "must be left out where edges are processes: there are no shields then",
        ),
        (
            phases.is_sorted_by(|before, after| before.from_s < after.from_s)
                && phases
                    .iter()
                    .all(|phase| span(phase.from_s) && !phase.name.is_empty()),
            "real.phases",
            "must have names, and begin one after another",
        ),
        (
            (1..=5_000_000).contains(&scenario.real.requests_logged_max),
            "real.requests_logged_max",
            "must be from 1 to 5000000",
        ),
    ];
    rules
        .into_iter()
        .find(|(holds, _, _)| !holds)
        .map(|(_, key, rule)| (key, rule))
}

/// The name that is fewest edits away from `wanted`, if that is at most a third of its length or only its end is missing.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (edits(wanted, name), name))
        .min()
        .filter(|&(edits, name)| edits * 3 <= name.len() || name.starts_with(wanted))
        .map(|(_, name)| name)
}

/// Insertions, deletions and replacements between two words (Levenshtein).
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, &candidate) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != candidate);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> &'static str {
        BUILT_IN[0].1
    }

    #[test]
    fn every_built_in_scenario_reads_under_its_own_name() {
        for (name, text) in BUILT_IN {
            assert_eq!(parse(name, text).unwrap().name, name);
        }
        assert_eq!(built_in().len(), BUILT_IN.len());
    }

    #[test]
    fn celebrity_live_is_a_thousand_viewers_at_three_cold_edges() {
        let scenario = find("celebrity-live").unwrap();
        let RealProfile {
            stage, audience, ..
        } = scenario.real;
        assert_eq!((audience.viewers, stage.edges), (1_000, 3));
        assert_eq!(stage.parts_per_segment, 9);
        assert_eq!(stage.origin_delay(), Duration::from_micros(51_800));
    }

    #[test]
    fn a_name_that_is_nearly_right_is_corrected() {
        let near = find("celebrty-live").unwrap_err().to_string();
        assert_eq!(
            near,
            "there is no scenario `celebrty-live`; did you mean `celebrity-live`?"
        );
        let far = find("x").unwrap_err().to_string();
        assert!(far.contains("`seawall scenarios` lists them"), "{far}");
    }

    #[test]
    fn an_unknown_key_is_refused_with_line_and_column() {
        let text = text().replace("edges = ", "edgse = 1\nedges = ");
        let line = 1 + text[..text.find("edgse").unwrap()].matches('\n').count();
        let message = parse("mine.toml", &text).unwrap_err().to_string();
        assert!(
            message.contains(&format!("line {line}, column 1")),
            "{message}"
        );
        assert!(message.contains("unknown field `edgse`"), "{message}");
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_its_key_and_range() {
        for (from, to, key) in [
            ("viewers = 1000", "viewers = 0", "real.audience.viewers"),
            ("edges = 3", "edges = 0", "real.stage.edges"),
            ("shape = 2.0", "shape = -2.0", "real.audience.arrivals"),
            ("shape = 2.0", "shape = nan", "real.audience.arrivals"),
            ("\"360p\"]", "\"361p\"]", "real.audience.renditions"),
            ("\"hls.js\"", "{ fixed = \"720p\" }", "real.audience.abr"),
            (
                "stalled_share_max = 0.05",
                "stalled_share_max = nan",
                "real.thresholds",
            ),
            (
                "[real.thresholds]",
                "[[real.faults]]\nat_s = 1\nwhat = { origin-slow = 1 }\n[[real.faults]]\nat_s = 9\nwhat = { origin-slow = 2 }\n\n\
                 [real.thresholds]",
                "real.faults",
            ),
        ] {
            let text = text().replace(from, to);
            let message = parse("mine.toml", &text).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("mine.toml: {key} must")),
                "{message}"
            );
        }
    }

    #[test]
    fn edits_are_counted() {
        for (one, other, count) in [("", "abc", 3), ("kitten", "sitting", 3), ("a", "a", 0)] {
            assert_eq!(edits(one, other), count);
        }
    }
}

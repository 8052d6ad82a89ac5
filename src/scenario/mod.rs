//! Scenarios: surges with a name, as data. One TOML file each, built into the program, or read from a path.
//!
//! A scenario says who comes (the audience), to what (the stage: edges, segments, an origin with a delay), what goes wrong
//! when (faults), and what must come out (thresholds). An unknown key is refused with its line and column.

pub mod connections;
mod fault;
mod rules;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::connections::Connections;
pub use self::fault::{Fault, Trouble};
use crate::config::shields::Shields;
use crate::policy::limits::Eviction;
use crate::report::thresholds::Thresholds;
use crate::viewer::arrivals::Arrivals;
use crate::viewer::audience::{Audience, Sessions};
use crate::viewer::likes::Likes;

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
    pub connections: Connections,
    /// What is wanted so early is left out of latencies: caches and players warm up, counted from the start of the run.
    #[serde(default)]
    pub warm_up_s: f64,
    /// What viewers like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likes: Option<Likes>,
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

/// The name and the text of each scenario.
macro_rules! texts {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/", $name, ".toml")))),*]
    };
}

/// The scenarios that are built in, in the order in which they are listed.
const BUILT_IN: [(&str, &str); 12] = texts![
    "celebrity-live",
    "kickoff",
    "title-fight",
    "break-and-return",
    "pop-loss",
    "origin-brownout",
    "playlist-herd",
    "many-streams",
    "reconnect-storm",
    "early-404",
    "rolling-restart",
    "goal-like-storm",
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
        match rules::broken(&self) {
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
            ("per_s = ", "per_s = -", "real.likes"),
            ("hearts_max = ", "hearts_max = 99", "real.likes"),
            ("like_percent = ", "like_percent = 99", "real.likes"),
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

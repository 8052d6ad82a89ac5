//! Scenarios: named surges, as data. Each is one TOML file, built into the program or read from a path.
//!
//! A scenario describes the audience, the cluster (edges, segments, an origin with a delay), the faults and their times, and
//! the thresholds. An unknown key is refused with its line and column.

pub mod connections;
mod fault;
pub mod keys;
mod model;
mod rules;
mod text;

use std::path::Path;

pub use self::fault::{Fault, FaultKind};
pub use self::model::{ClusterPlan, Phase, RealProfile, Scenario, SimFault, SimProfile, Variant};
pub use self::text::explained;
use crate::viewer::arrivals::Arrivals;

/// Why a scenario cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No scenario has this name.
    #[error("there is no scenario `{name}`{}", suggestion(.nearest))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The most similar name, if one is similar.
        nearest: Option<&'static str>,
    },
    /// The file cannot be read.
    #[error(
        "cannot read the scenario {path}: {why}; `seawall scenarios` lists those that are built in"
    )]
    Unreadable {
        /// The path asked for.
        path: String,
        /// The system's error.
        why: std::io::Error,
    },
    /// The arrivals that a scenario wants replayed cannot be read.
    #[error("{path}: {why}")]
    Replay {
        /// The file of arrivals.
        path: String,
        /// The error and its line.
        why: String,
    },
    /// The text is not a scenario; the message has line and column.
    #[error("{origin} is no scenario: {why}")]
    Malformed {
        /// The file.
        origin: String,
        /// The error and its position.
        why: Box<toml::de::Error>,
    },
    /// A value is outside its range.
    #[error("{origin}: {key} {rule}")]
    OutOfRange {
        /// The file.
        origin: String,
        /// The key, with its tables.
        key: String,
        /// The rule for its value.
        rule: String,
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

/// The built-in scenarios, in the order in which they are listed.
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

/// Finds a scenario: by path if `wanted` has a slash or ends with `.toml`, otherwise by built-in name.
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
    /// Checks every value against its range. `origin` names the scenario in messages.
    ///
    /// # Errors
    /// The first key whose value is out of range.
    pub fn checked(mut self, origin: &str) -> Result<Self, Refused> {
        let RealProfile {
            cluster, faults, ..
        } = &mut self.real;
        cluster.processes |= faults.iter().any(|fault| fault.what.edge().is_some());
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

/// The name with the fewest edits from `wanted`, if that number is at most a third of its length, or if only its end is
/// missing.
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
    use std::time::Duration;

    use super::*;
    use crate::viewer::likes::{BURSTS_MAX, HEARTS_MAX, LikesPlan, RATE_MAX_PER_S};

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
    fn celebrity_live_is_two_thousand_viewers_at_three_cold_edges() {
        let scenario = find("celebrity-live").unwrap();
        let RealProfile {
            cluster, audience, ..
        } = scenario.real;
        assert_eq!((audience.viewers, cluster.edges), (2_000, 3));
        assert_eq!(cluster.parts_per_segment, 9);
        assert_eq!(
            cluster.origin.capacity().latency.mean,
            Duration::from_millis(300)
        );
    }

    #[test]
    fn a_scenario_is_written_without_limits_that_do_not_bind_and_reads_back() {
        for scenario in built_in() {
            let text = toml::to_string(&scenario).unwrap();
            assert!(
                !text.contains("inf\n") && !text.contains("18446744073709551615"),
                "{text}"
            );
            assert_eq!(parse("written.toml", &text).unwrap(), scenario);
        }
    }

    #[test]
    fn likes_per_second_follow_the_number_of_viewers() {
        let mut scenario = find("goal-like-storm").unwrap();
        let before = scenario.real.likes.clone().unwrap();
        let viewers = scenario.real.audience.viewers;
        scenario.real.scale_to(viewers / 4);
        let after = scenario.real.likes.unwrap();
        assert_eq!(scenario.real.audience.viewers, viewers / 4);
        assert_eq!(after.per_s, before.per_s / 4.0);
        assert_eq!(after.bursts[0].per_s, before.bursts[0].per_s / 4.0);
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
            ("viewers = 2000", "viewers = 0", "real.audience.viewers"),
            ("edges = 3", "edges = 0", "real.cluster.edges"),
            ("shape = 2.0", "shape = -2.0", "real.audience.arrivals"),
            ("shape = 2.0", "shape = nan", "real.audience.arrivals"),
            ("\"360p\"]", "\"361p\"]", "real.audience.renditions"),
            ("per_s = ", "per_s = -", "real.likes.per_s"),
            ("hearts_max = ", "hearts_max = 99", "real.likes.hearts_max"),
            (
                "like_percent = ",
                "like_percent = 99",
                "real.likes.like_percent",
            ),
            ("\"hls.js\"", "{ fixed = \"720p\" }", "real.audience.abr"),
            ("slots = 16", "slots = 0", "real.cluster.origin.slots"),
            ("queue = 32", "queue = 2000000", "real.cluster.origin.queue"),
            (
                "stalled_share_max = 0.05",
                "stalled_share_max = nan",
                "real.thresholds.flights.stalled_share_max",
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
    fn each_value_of_likes_has_a_range() {
        let whole = find("goal-like-storm").unwrap();
        assert!(!whole.real.likes.as_ref().unwrap().bursts.is_empty());
        for spoil in [
            (|likes| (likes.per_s, likes.bursts) = (0.0, Vec::new())) as fn(&mut LikesPlan),
            |likes| likes.per_s = f64::NAN,
            |likes| likes.per_s = RATE_MAX_PER_S + 1.0,
            |likes| likes.like_percent = -1.0,
            |likes| likes.unlike_percent = 100.1 - likes.like_percent,
            |likes| likes.hearts_max = 0,
            |likes| likes.hearts_max = HEARTS_MAX + 1,
            |likes| likes.bursts[0].per_s = 0.0,
            |likes| likes.bursts[0].over_s = f64::INFINITY,
            |likes| likes.bursts[0].over_s = 0.0,
            |likes| likes.bursts[0].at_s = -1.0,
            |likes| likes.bursts = vec![likes.bursts[0]; BURSTS_MAX + 1],
        ] {
            let mut wrong = whole.clone();
            spoil(wrong.real.likes.as_mut().unwrap());
            let refused = wrong.checked("mine.toml").unwrap_err().to_string();
            assert!(refused.starts_with("mine.toml: real.likes"), "{refused}");
        }
    }

    #[test]
    fn what_is_left_out_means_what_the_configuration_means_by_it() {
        for (key, of_config) in [
            (
                "playlist_fresh_percent",
                "edge.limits.playlist_fresh_percent",
            ),
            ("cache_bytes", "edge.cache_bytes"),
            ("prefetch", "edge.prefetch"),
            ("refresh", "edge.refresh"),
            ("window", "origin.window"),
        ] {
            let rows = crate::config::Config::rows();
            let row = rows.iter().find(|row| row.key == of_config).unwrap();
            let mut keys = keys::TABLES.iter().flat_map(|table| table.keys);
            let known = keys.find(|known| known.name == key).unwrap();
            assert_eq!(Some(known.example), row.default.as_deref(), "{key}");
        }
    }

    #[test]
    fn edits_are_counted() {
        for (one, other, count) in [("", "abc", 3), ("kitten", "sitting", 3), ("a", "a", 0)] {
            assert_eq!(edits(one, other), count);
        }
    }
}

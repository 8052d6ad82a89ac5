//! A scenario with some keys of its `[sim]` table set otherwise: one run of a comparison or of a sweep.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, anyhow, bail};
use toml::Value;

use crate::policy::status::MissQueue;
use crate::scenario::Scenario;

/// A key and some values, written `KEY=A,B,C`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values {
    /// The key.
    pub key: String,
    /// The values, as written.
    pub values: Vec<String>,
}

/// A key and its value, written `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The key.
    pub key: String,
    /// The value, as written.
    pub value: String,
}

/// The key that is no part of the `[sim]` table.
const MISS_QUEUE: &str = "miss_queue";

fn name(key: &str) -> String {
    key.trim().trim_start_matches("sim.").replace('-', "_")
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is not KEY=VALUE, such as shield_groups=4"))?;
        Ok(Self {
            key: name(key),
            value: value.trim().to_owned(),
        })
    }
}

impl FromStr for Values {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, values) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is not KEY=A,B, such as shield_groups=0,1,4"))?;
        let values: Vec<_> = values
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        if values.iter().any(String::is_empty) {
            return Err(format!("{text:?} has an empty value"));
        }
        Ok(Self {
            key: name(key),
            values,
        })
    }
}

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// A scenario to be played, with how misses are handled.
#[derive(Clone, Debug)]
pub struct Varied {
    /// The scenario.
    pub scenario: Scenario,
    /// How misses are handled.
    pub miss_queue: MissQueue,
}

impl Varied {
    /// The same with one key set otherwise.
    ///
    /// # Errors
    /// There is no such key, or its value cannot be.
    pub fn with(&self, set: &Assignment) -> anyhow::Result<Self> {
        if set.key == MISS_QUEUE {
            let miss_queue = set.value.parse().map_err(|why| anyhow!("{set}: {why}"))?;
            return Ok(Self {
                miss_queue,
                ..self.clone()
            });
        }
        let mut table = toml::Table::try_from(&self.scenario)?;
        let Some(sim) = table.get_mut("sim").and_then(Value::as_table_mut) else {
            bail!("{:?} has no [sim] table", self.scenario.name);
        };
        // A value is TOML; a word needs no quotes.
        let value = format!("value = {}", set.value)
            .parse::<toml::Table>()
            .ok()
            .and_then(|mut parsed| parsed.remove("value"))
            .unwrap_or_else(|| Value::String(set.value.clone()));
        // A whole number will do where a fraction may stand.
        let value = match (sim.get(&set.key), value) {
            (Some(Value::Float(_)), Value::Integer(whole)) => Value::Float(whole as f64),
            (_, value) => value,
        };
        sim.insert(set.key.clone(), value);
        let misfit = || format!("{set} does not fit the [sim] table");
        let text = toml::to_string(&table)?;
        let mut scenario = crate::scenario::parse("--set", &text).with_context(misfit)?;
        if let (Some(before), Some(now)) = (&self.scenario.sim, &mut scenario.sim)
            && let Some(likes) = now.likes.as_mut().filter(|_| set.key == "viewers")
        {
            // Likes per second grow and shrink with the number of viewers.
            likes.scale(now.viewers as f64 / before.viewers as f64);
        }
        let scenario = scenario.checked("--set").with_context(misfit)?;
        Ok(Self {
            scenario,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    fn varied() -> Varied {
        Varied {
            scenario: scenario::find("celebrity-live").unwrap(),
            miss_queue: MissQueue::Flights,
        }
    }

    #[test]
    fn any_key_of_the_table_can_be_set() {
        let set = |text: &str| varied().with(&text.parse().unwrap());
        let sim = |text: &str| set(text).unwrap().scenario.sim.unwrap();
        assert_eq!(sim("shield-groups=0").shield_groups, 0);
        assert_eq!(sim("sim.origin_ms=80").origin_ms, 80.0);
        assert_eq!(
            sim("playlist_fresh_percent=25").playlist_fresh_percent,
            Some(25)
        );
        assert_eq!(sim("abr=hls.js").abr, Some(crate::viewer::abr::Rule::HlsJs));
        let storm = Varied {
            scenario: scenario::find("goal-like-storm").unwrap(),
            ..varied()
        };
        let rate = |storm: &Varied| {
            let sim = storm.scenario.sim.as_ref();
            sim.and_then(|sim| sim.likes.as_ref()).unwrap().per_s
        };
        let tenth = storm.with(&"viewers=2500000".parse().unwrap()).unwrap();
        assert_eq!(rate(&tenth) * 10.0, rate(&storm));
        assert_eq!(set("miss-queue=off").unwrap().miss_queue, MissQueue::Off);
        for wrong in ["viewer=3", "viewers=many", "pops=0", "miss_queue=never"] {
            assert!(set(wrong).is_err(), "{wrong}");
        }
        assert!("shield_groups".parse::<Assignment>().is_err());
        assert!("shield_groups=1,,2".parse::<Values>().is_err());
    }
}

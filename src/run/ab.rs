//! `--ab KNOB=A,B`: one scenario and seed twice, with one knob set differently.

use std::str::FromStr;

use crate::config::shields::Shields;
use crate::policy::limits::Eviction;
use crate::policy::status::MissQueue;
use crate::scenario::Scenario;

/// Two settings of one knob: A and B.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ab {
    /// How misses are handled.
    MissQueue([MissQueue; 2]),
    /// Shields between the edges and the origin.
    Shields([Option<Shields>; 2]),
    /// Percentage of a target duration for which playlists are fresh.
    Freshness([u32; 2]),
    /// How an edge evicts objects when its cache is full.
    Eviction([Eviction; 2]),
    /// Whether viewers like.
    Likes([Liking; 2]),
}

/// Whether viewers send the likes of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liking {
    /// Viewers send them.
    On,
    /// Viewers send no likes.
    Off,
}

/// One side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first setting.
    A,
    /// The second setting.
    B,
}

impl Ab {
    /// Sets the knob to this side's setting.
    pub fn lay_over(&self, side: Side, scenario: &mut Scenario, miss_queue: &mut MissQueue) {
        let place = side as usize;
        let plan = &mut scenario.real.cluster;
        match self {
            Self::MissQueue(settings) => *miss_queue = settings[place],
            Self::Shields(settings) => plan.shields = settings[place],
            Self::Freshness(settings) => plan.playlist_fresh_percent = Some(settings[place]),
            Self::Eviction(settings) => plan.eviction = Some(settings[place]),
            Self::Likes(settings) if settings[place] == Liking::Off => scenario.real.likes = None,
            Self::Likes(_) => {}
        }
    }

    /// This side's name in the report.
    pub fn label(&self, side: Side) -> String {
        let place = side as usize;
        match self {
            Self::MissQueue(settings) => format!("miss queue {}", settings[place]),
            Self::Shields(settings) => match settings[place] {
                Some(shields) => format!("shields {shields}"),
                None => "no shields".to_owned(),
            },
            Self::Freshness(settings) => format!("playlists fresh {} %", settings[place]),
            Self::Eviction([one, other]) => match [one, other][place] {
                Eviction::Lru => "LRU".to_owned(),
                Eviction::TinyLfu => "TinyLFU".to_owned(),
            },
            Self::Likes([one, other]) => match [one, other][place] {
                Liking::On => "with likes".to_owned(),
                Liking::Off => "without likes".to_owned(),
            },
        }
    }
}

impl FromStr for Ab {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORMS: &str = "miss-queue=flights,off · shield=none,2x2 · freshness=0,50 (per cent of a target duration) · \
                             eviction=lru,tiny-lfu · likes=on,off";
        let halves = || {
            let (knob, settings) = text.split_once('=')?;
            let (one, other) = settings.split_once(',')?;
            Some((knob, [one, other]))
        };
        let (knob, settings) =
            halves().ok_or_else(|| format!("it is KNOB=A,B, one of: {FORMS}"))?;
        let comparison = match knob {
            "miss-queue" => Self::MissQueue(each(settings, str::parse)?),
            "shield" | "shields" => Self::Shields(each(settings, |setting| match setting {
                "none" => Ok(None),
                shields => shields.parse().map(Some),
            })?),
            "freshness" => Self::Freshness(each(settings, |setting| {
                let percent = setting.trim_end_matches('%').parse::<u32>().ok();
                let percent = percent.filter(|&percent| percent <= 100);
                percent.ok_or_else(|| format!("{setting:?} is no per cent from 0 to 100"))
            })?),
            "eviction" => Self::Eviction(each(settings, |setting| match setting {
                "lru" => Ok(Eviction::Lru),
                "tiny-lfu" => Ok(Eviction::TinyLfu),
                _ => Err(format!("{setting:?} is neither lru nor tiny-lfu")),
            })?),
            "likes" => Self::Likes(each(settings, |setting| match setting {
                "on" => Ok(Liking::On),
                "off" => Ok(Liking::Off),
                _ => Err(format!("{setting:?} is neither on nor off")),
            })?),
            _ => {
                return Err(format!(
                    "there is no knob {knob:?} to compare; one of: {FORMS}"
                ));
            }
        };
        Ok(comparison)
    }
}

fn each<T>(
    [one, other]: [&str; 2],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<[T; 2], String> {
    Ok([parse(one.trim())?, parse(other.trim())?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knobs_are_read_and_named() {
        for (text, labels) in [
            (
                "miss-queue=flights,off",
                ["miss queue flights", "miss queue off"],
            ),
            ("shield=none,2x2", ["no shields", "shields 2x2"]),
            (
                "freshness=0,50%",
                ["playlists fresh 0 %", "playlists fresh 50 %"],
            ),
            ("eviction=lru,tiny-lfu", ["LRU", "TinyLFU"]),
            ("likes=on,off", ["with likes", "without likes"]),
        ] {
            let comparison: Ab = text.parse().unwrap();
            assert_eq!(
                [Side::A, Side::B].map(|side| comparison.label(side)),
                labels
            );
        }
        for text in [
            "",
            "miss-queue",
            "miss-queue=on,off",
            "shield=2",
            "freshness=200,0",
            "likes=on,many",
            "colour=red,blue",
        ] {
            assert!(text.parse::<Ab>().is_err(), "{text:?}");
        }
    }
}

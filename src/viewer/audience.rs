//! The audience: which viewer arrives when, at which edge, for how long, and with how fast a last mile.
//!
//! All of it is drawn beforehand from the seed, so arrivals are open-loop: a slow answer delays no other viewer. Every draw has
//! its own generator, keyed by (seed, purpose, viewer), so one viewer more or less changes no other viewer.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::abr;
use super::arrivals::Arrivals;
use super::chance::{Purpose, below, generator, log_normal, seconds, uniform, zipf};

/// How an audience arrives, stays and leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audience {
    /// Number of viewers.
    pub viewers: u32,
    /// When they arrive.
    pub arrivals: Arrivals,
    /// When they leave.
    pub sessions: Sessions,
    /// How fast the viewers' last mile is.
    pub last_mile: LastMile,
    /// How the players choose a rendition.
    pub abr: abr::Mode,
    /// The renditions that players choose from, by name; they never ask for others of the channel.
    pub renditions: Vec<String>,
    /// How the players behave in other respects.
    #[serde(default)]
    pub manners: Manners,
    /// Viewers that seek back to earlier media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seekers: Option<Seekers>,
    /// A break in which many viewers leave and some return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intermission: Option<Intermission>,
}

/// How players behave where the protocol leaves them a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Manners {
    /// When players reload a media playlist.
    pub polling: Polling,
    /// How long players wait before they try again.
    pub retries: Retries,
    /// Where players go when an edge fails them.
    pub failover: Failover,
    /// Percentage of viewers that ask for the next segment before a playlist lists it.
    pub early_percent: f64,
    /// Whether players report what they do (CTA-5004).
    pub cmcd: bool,
}

impl Manners {
    /// Whether all of them are the defaults.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a player goes when an edge fails it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failover {
    /// Nowhere: it stays.
    #[default]
    None,
    /// To the next edge of a list of its own: after two failures in a row, and at once after 404 or a closed connection.
    NextEdge,
    /// By content steering: to the first place of the origin's manifest that has not failed lately, when its retries are used up.
    Steering,
}

/// When a player reloads a media playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Polling {
    /// After a segment's duration near live, and after a target duration further behind. After half a target duration when the
    /// playlist had not changed (RFC 8216, section 6.3.4).
    #[default]
    Spec,
    /// Every half second, also when the playlist has changed.
    Aggressive,
}

/// How long a player waits before it tries again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retries {
    /// As hls.js (1, 2, 4 and 8 s for segments): viewers that failed together come back together.
    #[default]
    Doubling,
    /// Drawn evenly from zero to the wait of [`Retries::Doubling`].
    FullJitter,
}

/// Whether a viewer is among the share that is cut off from its network. The viewer's number decides, so each cut takes the same
/// viewers, spread evenly over all arrivals.
pub fn is_cut_off(viewer: u32, percent: f64) -> bool {
    // The golden ratio spreads successive numbers evenly over the circle.
    let place = f64::from(viewer) * 0.618_033_988_749_894_9;
    place.fract() * 100.0 < percent
}

/// Viewers that seek back once, to media that they have missed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seekers {
    /// Percentage of all viewers.
    pub percent: f64,
    /// How far behind the live edge they go, in seconds.
    pub back_s: f64,
    /// When they seek: within this many seconds of their arrival, drawn evenly.
    pub within_s: f64,
}

/// A break: many viewers leave, and some of them return.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intermission {
    /// Percentage of all viewers that leave.
    pub leave_percent: f64,
    /// When the first of them leaves, counted from the start of the run.
    pub from_s: f64,
    /// Seconds during which they leave, drawn evenly.
    pub over_s: f64,
    /// Percentage of the leaving viewers that return.
    pub return_percent: f64,
    /// When the first of them returns.
    pub back_s: f64,
    /// Seconds during which they return, drawn evenly.
    pub back_over_s: f64,
}

/// When viewers leave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sessions {
    /// All together when the event ends: from `until_s` after the start of the run, spread evenly over `plunge_s`.
    #[serde(rename_all = "snake_case")]
    TheEnd { until_s: f64, plunge_s: f64 },
    /// Each viewer this long after its own arrival.
    #[serde(rename_all = "snake_case")]
    Fixed { each_s: f64 },
    /// Log-normal: half of the viewers leave within `median_s` of their arrival; no viewer stays longer than `at_most_s`.
    #[serde(rename_all = "snake_case")]
    LogNormal {
        median_s: f64,
        sigma: f64,
        at_most_s: f64,
    },
}

/// The last mile: a log-normal bandwidth for each viewer, modelled in the viewer, not on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastMile {
    /// Median: half of the viewers have less.
    pub median_bps: u64,
    /// Standard deviation of the bandwidth's logarithm.
    pub sigma: f64,
    /// Lower bound for every viewer.
    pub at_least_bps: u64,
}

/// One viewer's visit, as drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The viewer's number.
    pub viewer: u32,
    /// When it arrives, counted from the start of the run.
    pub arrives: Duration,
    /// When it leaves, counted from the start of the run.
    pub leaves: Duration,
    /// The edge, counted from 0.
    pub edge: u32,
    /// Bandwidth of its last mile.
    pub last_mile_bps: u64,
    /// The channel that it watches, counted from 0.
    pub channel: u32,
    /// When it seeks back, counted from the start of the run.
    pub seeks: Option<Duration>,
    /// Whether it asks for segments before a playlist lists them.
    pub early: bool,
}

/// What viewers are distributed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Number of edges.
    pub edges: u32,
    /// Number of channels, the most popular first: their shares follow Zipf's law, 1/rank.
    pub channels: u32,
}

/// Draws every visit, in the order of arrival. A viewer that returns after an intermission makes two visits.
pub fn draw(audience: &Audience, choice: Choice, seed: u64) -> Vec<Visit> {
    let mut visits: Vec<_> = (0..audience.viewers)
        .flat_map(|viewer| draw_visits(audience, choice, seed, viewer))
        .collect();
    visits.sort_by_key(|visit| (visit.arrives, visit.viewer));
    visits
}

/// The visits of one viewer: one, or two with an intermission between them.
pub(crate) fn draw_visits(
    audience: &Audience,
    choice: Choice,
    seed: u64,
    viewer: u32,
) -> impl Iterator<Item = Visit> {
    let generator = |purpose| generator(seed, purpose, viewer);
    let arrives = audience
        .arrivals
        .draw(viewer, &mut generator(Purpose::Arrival));
    let seeks = audience.seekers.and_then(|seekers| {
        let mut chance = generator(Purpose::Seek);
        let is_one = uniform(&mut chance) * 100.0 < seekers.percent;
        is_one.then(|| arrives + seconds(seekers.within_s * uniform(&mut chance)))
    });
    let visit = Visit {
        viewer,
        arrives,
        leaves: audience
            .sessions
            .draw(arrives, &mut generator(Purpose::Session)),
        edge: below(choice.edges, &mut generator(Purpose::Edge)),
        last_mile_bps: audience.last_mile.draw(&mut generator(Purpose::LastMile)),
        channel: zipf(choice.channels, &mut generator(Purpose::Channel)),
        seeks,
        early: uniform(&mut generator(Purpose::Early)) * 100.0 < audience.manners.early_percent,
    };
    let (first, second) = match audience.intermission {
        Some(pause) => pause.split(visit, &mut generator(Purpose::Intermission)),
        None => (visit, None),
    };
    std::iter::once(first).chain(second)
}

impl Intermission {
    /// The visit before the break, and the one after it if the viewer returns.
    fn split(&self, visit: Visit, chance: &mut ChaCha8Rng) -> (Visit, Option<Visit>) {
        let [leaves, goes, returns, comes] = [(); 4].map(|()| uniform(chance));
        let gone = seconds(self.from_s + self.over_s * goes);
        if leaves * 100.0 >= self.leave_percent || gone <= visit.arrives || gone >= visit.leaves {
            return (visit, None);
        }
        let back = seconds(self.back_s + self.back_over_s * comes).max(gone);
        let second = Visit {
            arrives: back,
            seeks: visit.seeks.filter(|&at| at >= back),
            ..visit
        };
        let stays_away = returns * 100.0 >= self.return_percent || back >= visit.leaves;
        let first = Visit {
            leaves: gone,
            seeks: visit.seeks.filter(|&at| at < gone),
            ..visit
        };
        (first, (!stays_away).then_some(second))
    }
}

impl Sessions {
    /// Time from the start of the run until a viewer leaves that arrived at `arrives`.
    fn draw(&self, arrives: Duration, chance: &mut ChaCha8Rng) -> Duration {
        match *self {
            Self::TheEnd { until_s, plunge_s } => {
                seconds(until_s + plunge_s * uniform(chance)).max(arrives)
            }
            Self::Fixed { each_s } => arrives + seconds(each_s),
            Self::LogNormal {
                median_s,
                sigma,
                at_most_s,
            } => arrives + seconds(log_normal(median_s, sigma, chance).min(at_most_s)),
        }
    }
}

impl LastMile {
    fn draw(&self, chance: &mut ChaCha8Rng) -> u64 {
        let bps = log_normal(self.median_bps as f64, self.sigma, chance) as u64;
        bps.max(self.at_least_bps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audience(viewers: u32) -> Audience {
        Audience {
            viewers,
            arrivals: Arrivals::Gamma {
                shape: 2.0,
                scale_s: 4.0,
                within_s: 40.0,
            },
            sessions: Sessions::TheEnd {
                until_s: 50.0,
                plunge_s: 2.0,
            },
            last_mile: LastMile {
                median_bps: 1_500_000,
                sigma: 0.8,
                at_least_bps: 300_000,
            },
            abr: abr::Mode::HlsJs,
            renditions: vec!["180p".to_owned()],
            manners: Manners::default(),
            seekers: None,
            intermission: None,
        }
    }

    fn edges(edges: u32) -> Choice {
        Choice { edges, channels: 1 }
    }

    #[test]
    fn the_same_seed_draws_the_same_audience() {
        assert_eq!(
            draw(&audience(50), edges(3), 7),
            draw(&audience(50), edges(3), 7)
        );
        assert_ne!(
            draw(&audience(50), edges(3), 7),
            draw(&audience(50), edges(3), 8)
        );
    }

    #[test]
    fn one_viewer_more_changes_no_other() {
        let few = draw(&audience(50), edges(3), 7);
        let mut more = draw(&audience(51), edges(3), 7);
        more.retain(|visit| visit.viewer != 50);
        assert_eq!(few, more);
    }

    #[test]
    fn gamma_arrivals_have_the_mean_of_the_distribution() {
        let visits = draw(&audience(10_000), edges(3), 1);
        let mean_s = visits
            .iter()
            .map(|visit| visit.arrives.as_secs_f64())
            .sum::<f64>()
            / 10_000.0;
        assert!((mean_s - 8.0).abs() < 0.2, "{mean_s}");
        for edge in 0..3 {
            let share = visits.iter().filter(|visit| visit.edge == edge).count();
            assert!((3_100..3_570).contains(&share), "{share} at edge {edge}");
        }
        assert!(visits.is_sorted_by_key(|visit| visit.arrives));
        assert!(visits.iter().all(|visit| visit.last_mile_bps >= 300_000));
    }

    #[test]
    fn no_viewer_arrives_late_or_leaves_before_the_end() {
        let mut audience = audience(1_000);
        audience.arrivals = Arrivals::Gamma {
            shape: 2.0,
            scale_s: 4.0,
            within_s: 10.0,
        };
        for visit in draw(&audience, edges(1), 3) {
            assert!(visit.arrives <= Duration::from_secs(10));
            assert!((50..52).contains(&visit.leaves.as_secs()));
        }
    }

    #[test]
    fn half_of_log_normal_sessions_are_shorter_than_the_median() {
        let mut audience = audience(4_000);
        audience.sessions = Sessions::LogNormal {
            median_s: 60.0,
            sigma: 1.0,
            at_most_s: 600.0,
        };
        let visits = draw(&audience, edges(1), 3);
        let short = visits
            .iter()
            .filter(|visit| visit.leaves - visit.arrives < Duration::from_secs(60))
            .count();
        assert!((1_880..2_120).contains(&short), "{short}");
    }

    #[test]
    fn channels_are_watched_as_zipf_says() {
        let visits = draw(
            &audience(10_000),
            Choice {
                edges: 1,
                channels: 100,
            },
            5,
        );
        let share = |channel| {
            visits
                .iter()
                .filter(|visit| visit.channel == channel)
                .count() as f64
                / 1e4
        };
        // 1 / (rank x H(100)), where H(100) = 5.1874.
        for (channel, expected) in [(0, 0.1928), (1, 0.0964), (9, 0.0193)] {
            assert!(
                (share(channel) - expected).abs() < 0.01,
                "{channel}: {}",
                share(channel)
            );
        }
        assert!(visits.iter().all(|visit| visit.channel < 100));
    }

    #[test]
    fn in_an_intermission_many_leave_and_some_return() {
        let mut audience = audience(4_000);
        audience.intermission = Some(Intermission {
            leave_percent: 40.0,
            from_s: 42.0,
            over_s: 2.0,
            return_percent: 75.0,
            back_s: 46.0,
            back_over_s: 2.0,
        });
        let visits = draw(&audience, edges(1), 5);
        let gone = visits
            .iter()
            .filter(|visit| visit.leaves < seconds(45.0))
            .count();
        let back = visits
            .iter()
            .filter(|visit| visit.arrives >= seconds(46.0))
            .count();
        assert!((1_500..1_700).contains(&gone), "{gone}");
        assert!((1_100..1_300).contains(&back), "{back}");
        assert_eq!(visits.len(), 4_000 + back);
    }

    #[test]
    fn as_many_seek_and_ask_early_as_the_audience_says() {
        let mut audience = audience(10_000);
        audience.manners.early_percent = 5.0;
        audience.seekers = Some(Seekers {
            percent: 2.0,
            back_s: 20.0,
            within_s: 10.0,
        });
        let visits = draw(&audience, edges(1), 5);
        let early = visits.iter().filter(|visit| visit.early).count();
        let seekers = visits.iter().filter(|visit| visit.seeks.is_some()).count();
        assert!((440..560).contains(&early), "{early}");
        assert!((160..240).contains(&seekers), "{seekers}");
    }
}

//! Which viewer likes what when: likes, unlikes and hearts, drawn from a seed.
//!
//! The times are a Poisson process whose rate steps up and down with the bursts. Each operation belongs to a viewer that
//! watches at that instant, drawn evenly. So the whole audience keeps the rate, for any number of viewers. While no viewer
//! watches, nothing is sent. All of it is drawn beforehand, so a slow answer delays nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::audience::Visit;
use super::chance::{Purpose, generator, uniform};
use crate::likes::Action;

/// How an audience likes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LikesPlan {
    /// Operations per second of all watching viewers together, while at least one viewer watches.
    pub per_s: f64,
    /// Percentage of operations that are likes.
    pub like_percent: f64,
    /// Percentage of operations that take a like back. All others are hearts.
    pub unlike_percent: f64,
    /// Maximum number of hearts in one operation; the number is drawn evenly from 1 up.
    pub hearts_max: u32,
    /// Periods with more operations, such as after a goal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bursts: Vec<Burst>,
}

/// A period with more operations. Where two bursts overlap, their rates add up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// When it begins, counted from the start of the run.
    pub at_s: f64,
    /// Duration in seconds.
    pub over_s: f64,
    /// Additional operations per second.
    pub per_s: f64,
}

/// Maximum number of operations per second, for the rate and for each burst.
pub const RATE_MAX_PER_S: f64 = 20_000.0;
/// The same in virtual time.
pub const SIM_RATE_MAX_PER_S: f64 = 100_000_000.0;
/// Maximum number of hearts in one operation, because origins take no more.
pub const HEARTS_MAX: u32 = 100;
/// Maximum number of bursts.
pub const BURSTS_MAX: usize = 100;

/// One operation of a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Like {
    /// The time, counted from the start of the run.
    pub at: Duration,
    /// The viewer's number.
    pub viewer: u32,
    /// The channel, counted from 0.
    pub channel: u32,
    /// The kind of operation.
    pub action: Action,
    /// The viewer's own sequence number, from 1: one for likes and unlikes together, another for hearts.
    pub sequence: u64,
}

impl LikesPlan {
    /// Multiplies all rates, because there are more or fewer viewers.
    pub fn scale(&mut self, factor: f64) {
        self.per_s *= factor;
        for burst in &mut self.bursts {
            burst.per_s *= factor;
        }
    }

    /// Whether there is something to send, and the values fit each other. The scenario's table of keys has the range of each.
    pub fn is_possible(&self) -> bool {
        self.like_percent + self.unlike_percent <= 100.0
            && self.bursts.len() <= BURSTS_MAX
            && (self.per_s > 0.0 || !self.bursts.is_empty())
    }

    /// All operations of these visits, sorted by time.
    pub fn schedule(&self, visits: Vec<Visit>, seed: u64) -> Schedule {
        let audience = visits.iter().map(|visit| visit.viewer as usize + 1);
        Schedule {
            counts: vec![[0; 2]; audience.max().unwrap_or(0)],
            present: Present::of(visits),
            pace: Pace::of(self),
            likes: self.clone(),
            chance: generator(seed, Purpose::Like, 0),
        }
    }
}

/// The operations of an audience, drawn one by one.
#[derive(Debug)]
pub struct Schedule {
    likes: LikesPlan,
    pace: Pace,
    present: Present,
    /// For each viewer: number of likes and unlikes so far, and number of operations with hearts.
    counts: Vec<[u64; 2]>,
    chance: ChaCha8Rng,
}

impl Iterator for Schedule {
    type Item = Like;

    fn next(&mut self) -> Option<Like> {
        loop {
            let at = self.pace.next(&mut self.chance)?;
            self.present.turn_to(at);
            let drawn = [(); 3].map(|()| uniform(&mut self.chance));
            if let Some(visit) = self.present.one_of(drawn[0]) {
                return Some(self.like(at, visit, drawn[1], drawn[2]));
            }
            if self.present.all_have_been() {
                return None;
            }
        }
    }
}

impl Schedule {
    fn like(&mut self, at: Duration, visit: Visit, what: f64, hearts: f64) -> Like {
        let likes = &self.likes;
        let percent = what * 100.0;
        let action = if percent < likes.like_percent {
            Action::Like
        } else if percent < likes.like_percent + likes.unlike_percent {
            Action::Unlike
        } else {
            let more = (hearts * f64::from(likes.hearts_max)) as u32;
            Action::Hearts(1 + more.min(likes.hearts_max - 1))
        };
        let is_hearts = matches!(action, Action::Hearts(_));
        let count = &mut self.counts[visit.viewer as usize][usize::from(is_hearts)];
        *count += 1;
        Like {
            at,
            viewer: visit.viewer,
            channel: visit.channel,
            action,
            sequence: *count,
        }
    }
}

/// The times: a Poisson process whose rate changes in steps.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// Each change of the rate as (time, rate), sorted by time; the last one has no end.
    steps: Vec<(f64, f64)>,
    at_s: f64,
}

impl Pace {
    pub(crate) fn of(likes: &LikesPlan) -> Self {
        let ends = likes
            .bursts
            .iter()
            .map(|burst| (burst.at_s, burst.at_s + burst.over_s, burst.per_s));
        let ends: Vec<_> = ends.collect();
        let mut times: Vec<f64> = ends
            .iter()
            .flat_map(|&(from, until, _)| [from, until])
            .collect();
        times.push(0.0);
        times.sort_by(f64::total_cmp);
        times.dedup();
        let rate = |at: f64| {
            let lasting = ends
                .iter()
                .filter(|(from, until, _)| (*from..*until).contains(&at));
            likes.per_s + lasting.map(|(_, _, per_s)| per_s).sum::<f64>()
        };
        Self {
            steps: times.into_iter().map(|at| (at, rate(at))).collect(),
            at_s: 0.0,
        }
    }

    /// The next time; `None` if no operation follows.
    fn next(&mut self, chance: &mut ChaCha8Rng) -> Option<Duration> {
        // Expected number of operations until then: exponential, with mean 1.
        let ahead = -libm::log(1.0 - uniform(chance));
        self.at_s = self.reach(self.at_s, ahead)?;
        Duration::try_from_secs_f64(self.at_s).ok()
    }

    /// When so many operations are expected since an instant; `None`: never.
    pub(crate) fn reach(&self, mut from_s: f64, mut ahead: f64) -> Option<f64> {
        loop {
            let (rate, until_s) = self.step_at(from_s);
            let until_then = rate * (until_s - from_s);
            if until_then > ahead {
                return Some(from_s + ahead / rate);
            }
            if until_s.is_infinite() {
                return None;
            }
            ahead -= until_then;
            from_s = until_s;
        }
    }

    /// The expected number of operations between two instants.
    pub(crate) fn expected(&self, mut from_s: f64, end_s: f64) -> f64 {
        let mut sum = 0.0;
        while from_s < end_s {
            let (rate, until_s) = self.step_at(from_s);
            sum += rate * (until_s.min(end_s) - from_s);
            from_s = until_s;
        }
        sum
    }

    /// The rate at an instant, and until when it lasts.
    fn step_at(&self, at_s: f64) -> (f64, f64) {
        let behind = self.steps.partition_point(|&(from, _)| from <= at_s);
        let (_, rate) = self.steps[behind - 1];
        let until_s = self.steps.get(behind).map(|&(until_s, _)| until_s);
        (rate, until_s.unwrap_or(f64::INFINITY))
    }
}

/// The viewers that watch, as time passes.
#[derive(Debug)]
struct Present {
    /// All visits, in the order of arrival.
    visits: Vec<Visit>,
    /// Number of visits that have begun.
    begun: usize,
    /// Visits under way, in no order.
    here: Vec<usize>,
    /// The position of a visit in `here`.
    place: Vec<usize>,
    /// When the visits under way end, the first on top.
    ends: BinaryHeap<Reverse<(Duration, usize)>>,
}

impl Present {
    fn of(mut visits: Vec<Visit>) -> Self {
        visits.sort_by_key(|visit| (visit.arrives, visit.viewer));
        Self {
            place: vec![0; visits.len()],
            visits,
            begun: 0,
            here: Vec::new(),
            ends: BinaryHeap::new(),
        }
    }

    fn turn_to(&mut self, at: Duration) {
        while let Some(visit) = self
            .visits
            .get(self.begun)
            .filter(|visit| visit.arrives <= at)
        {
            self.ends.push(Reverse((visit.leaves, self.begun)));
            self.place[self.begun] = self.here.len();
            self.here.push(self.begun);
            self.begun += 1;
        }
        while let Some(&Reverse((_, ended))) = self.ends.peek().filter(|end| end.0.0 <= at) {
            self.ends.pop();
            let place = self.place[ended];
            self.here.swap_remove(place);
            if let Some(&moved) = self.here.get(place) {
                self.place[moved] = place;
            }
        }
    }

    fn one_of(&self, drawn: f64) -> Option<Visit> {
        let index = (drawn * self.here.len() as f64) as usize;
        self.here.get(index).map(|&visit| self.visits[visit])
    }

    fn all_have_been(&self) -> bool {
        self.begun == self.visits.len() && self.here.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::viewer::abr;
    use crate::viewer::arrivals::Arrivals;
    use crate::viewer::audience::{
        Audience, Choice, Intermission, LastMile, Manners, Sessions, draw,
    };

    const SEEDS: std::ops::Range<u64> = 1..6;

    fn likes(per_s: f64, bursts: &[(f64, f64, f64)]) -> LikesPlan {
        let bursts = bursts.iter();
        let bursts = bursts.map(|&(at_s, over_s, per_s)| Burst {
            at_s,
            over_s,
            per_s,
        });
        LikesPlan {
            per_s,
            like_percent: 30.0,
            unlike_percent: 10.0,
            hearts_max: 5,
            bursts: bursts.collect(),
        }
    }

    /// 200 viewers that arrive within 10 s and leave from 50 s on; half of them take a break.
    fn visits(seed: u64) -> Vec<Visit> {
        let audience = Audience {
            viewers: 200,
            arrivals: Arrivals::Steady { over_s: 10.0 },
            sessions: Sessions::TheEnd {
                until_s: 50.0,
                plunge_s: 5.0,
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
            intermission: Some(Intermission {
                leave_percent: 50.0,
                from_s: 20.0,
                over_s: 5.0,
                return_percent: 80.0,
                back_s: 30.0,
                back_over_s: 5.0,
            }),
        };
        let choice = Choice {
            edges: 2,
            channels: 3,
        };
        draw(&audience, choice, seed)
    }

    fn drawn(likes: &LikesPlan, seed: u64) -> Vec<Like> {
        likes.schedule(visits(seed), seed).collect()
    }

    /// Whether a count is within four standard deviations of the mean of a Poisson process.
    fn is_near(count: usize, expected: f64) -> bool {
        (count as f64 - expected).abs() <= 4.0 * expected.sqrt()
    }

    #[test]
    fn one_seed_is_one_schedule_and_another_seed_is_another() {
        let wanted = likes(50.0, &[(20.0, 5.0, 100.0)]);
        assert_eq!(drawn(&wanted, 1), drawn(&wanted, 1));
        assert_ne!(drawn(&wanted, 1), drawn(&wanted, 2));
    }

    #[test]
    fn the_rate_is_kept_before_in_and_after_bursts_for_any_audience() {
        let wanted = likes(20.0, &[(15.0, 10.0, 300.0), (20.0, 10.0, 100.0)]);
        for seed in SEEDS {
            let all = drawn(&wanted, seed);
            let within = |from: u64, until: u64| {
                let span = Duration::from_secs(from)..Duration::from_secs(until);
                all.iter().filter(|like| span.contains(&like.at)).count()
            };
            for (from, until, per_s) in [
                (1, 15, 20.0),
                (15, 20, 320.0),
                (20, 25, 420.0),
                (25, 30, 120.0),
                (30, 50, 20.0),
            ] {
                let expected = per_s * (until - from) as f64;
                let count = within(from, until);
                assert!(is_near(count, expected), "{count} for {expected}");
            }
            assert!(all.is_sorted_by_key(|like| like.at));
        }
    }

    #[test]
    fn the_shares_are_those_that_were_asked_for() {
        let wanted = likes(500.0, &[]);
        for seed in SEEDS {
            let all = drawn(&wanted, seed);
            let count = |of: fn(Action) -> bool| all.iter().filter(|like| of(like.action)).count();
            let whole = all.len() as f64;
            assert!(is_near(count(|action| action == Action::Like), whole * 0.3));
            assert!(is_near(
                count(|action| action == Action::Unlike),
                whole * 0.1
            ));
            for hearts in 1..=5 {
                let bundles = all.iter();
                let bundles = bundles.filter(|like| like.action == Action::Hearts(hearts));
                assert!(is_near(bundles.count(), whole * 0.6 / 5.0), "{hearts}");
            }
        }
    }

    #[test]
    fn only_present_viewers_like_and_each_counts_from_one() {
        let wanted = likes(400.0, &[]);
        for seed in SEEDS {
            let visits = visits(seed);
            let mut numbers: HashMap<(u32, bool), u64> = HashMap::new();
            for like in wanted.schedule(visits.clone(), seed) {
                let is_there = |visit: &&Visit| {
                    visit.viewer == like.viewer && (visit.arrives..visit.leaves).contains(&like.at)
                };
                let visit = visits.iter().find(is_there).expect("it watches");
                assert_eq!(visit.channel, like.channel);
                let hearts = matches!(like.action, Action::Hearts(_));
                let number = numbers.entry((like.viewer, hearts)).or_default();
                *number += 1;
                assert_eq!(like.sequence, *number);
            }
        }
    }

    #[test]
    fn nothing_comes_before_the_first_viewer_or_after_the_last() {
        assert_eq!(likes(10.0, &[]).schedule(Vec::new(), 1).next(), None);
        let late = likes(0.0, &[(60.0, 5.0, 100.0)]);
        assert_eq!(drawn(&late, 1), []);
        let never = likes(0.0, &[(0.5, 0.001, 0.001)]);
        assert_eq!(drawn(&never, 1), []);
    }
}

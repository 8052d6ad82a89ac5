//! From scrapes to a view: rates between two scrapes, the last minutes, and the state of each component.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::samples::{Bound, Scrape, add, quantile_bound};
use crate::policy::status::Served;
use crate::time::Timestamp;

/// How many past rounds are kept.
pub const ROUNDS_MAX: usize = 600;
/// The time over which offload and p99 are computed.
pub const WINDOW: Duration = Duration::from_secs(30);

/// The role of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Viewers send requests to it.
    Edge,
    /// Edges send requests to it.
    Shield,
    /// It keeps the stream.
    Origin,
    /// It simulates viewers.
    Audience,
}

/// The result of scraping one component.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The role, if it is known beforehand; else the exposed metrics tell.
    pub role: Option<Role>,
    /// The name, if it is known beforehand; else the exposed metrics tell.
    pub name: Option<String>,
    /// `HOST:PORT` of its admin listener.
    pub address: String,
    /// When the scrape was sent.
    pub at: Timestamp,
    /// The exposed metrics, or the sentence that says why there are none.
    pub scrape: Result<Scrape, String>,
}

/// What all components together did from one round to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// When the round ended.
    pub at: Timestamp,
    /// How many seconds the round lasted.
    pub seconds: f64,
    /// Requests of viewers at edges, in the order of [`Served::ALL`].
    pub results: [f64; Served::ALL.len()],
    /// Requests at the origin.
    pub origin: f64,
    /// Those among them that no cache could have answered, such as likes.
    pub origin_other: f64,
    /// Bytes sent to viewers.
    pub bytes: f64,
    /// Number of segment answers by time until their first byte: upper bound and cumulative count.
    pub segments: Vec<(f64, f64)>,
}

impl Step {
    /// Requests that a cache can answer.
    fn cacheable(&self) -> f64 {
        let results = self.results.iter().zip(Served::ALL);
        let cacheable = results.filter(|(_, served)| *served != Served::Pass);
        cacheable.map(|(count, _)| count).sum()
    }

    /// Requests per second at the edges.
    pub fn edge_per_s(&self) -> f64 {
        per_s(self.results.iter().sum(), self.seconds)
    }

    /// Requests per second at the origin.
    pub fn origin_per_s(&self) -> f64 {
        per_s(self.origin, self.seconds)
    }
}

/// The circuit breaker towards the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// The origin is asked normally.
    Closed,
    /// One request tests whether the origin answers again.
    Probing,
    /// The origin is not asked.
    Open,
}

impl Breaker {
    /// The word for this state.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Probing => "probing",
            Self::Open => "open",
        }
    }
}

/// The state of one edge or shield.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Edge or shield.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// `None` if the component does not answer.
    pub figures: Option<Figures>,
}

/// The figures of an edge or shield that answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Rates per second: requests, cache hits among them, and fetches from upstream. `None` after one scrape only.
    pub rates: Option<Rates>,
    /// Requests that wait for a flight now.
    pub waiters: f64,
    /// Flights under way.
    pub flights: f64,
    /// Open connections.
    pub connections: f64,
    /// How full the cache is, 0 to 1.
    pub fill: f64,
    /// State of the circuit breaker.
    pub breaker: Breaker,
}

/// Figures that need two scrapes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Requests per second.
    pub requests: f64,
    /// Share of requests answered from the cache, fresh; `None` without requests. Requests that no cache can answer, such as
    /// likes, are left out.
    pub hit_ratio: Option<f64>,
    /// Requests to upstream per second.
    pub origin: f64,
    /// Body bytes per second.
    pub bytes: f64,
}

/// The audience of a surge.
#[derive(Clone, Debug, PartialEq)]
pub struct Audience {
    /// Present viewers by their player's state; the largest group first.
    pub states: Vec<(String, f64)>,
    /// The scenario and its phase, if a scenario is played.
    pub phase: Option<String>,
}

impl Audience {
    /// Number of viewers present.
    pub fn viewers(&self) -> f64 {
        self.states.iter().map(|(_, count)| count).sum()
    }
}

/// The likes of all watched origins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LikesPanel {
    /// Likes acknowledged and likes refused, per second; `None` after one scrape only.
    pub per_s: Option<(f64, f64)>,
    /// Operations that wait to be made durable.
    pub waiting: f64,
    /// Operations that are durable but not counted yet.
    pub uncounted: f64,
    /// Logs that have failed.
    pub logs_down: f64,
}

/// Everything that is shown at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct View<'a> {
    /// How long the cluster has been watched.
    pub watched: Duration,
    /// The past, oldest first; empty after one round.
    pub steps: &'a VecDeque<Step>,
    /// Requests that wait now, summed over all edges.
    pub waiters: f64,
    /// The most requests that waited at once: the sum of the edges' own peaks. It covers the time that the cluster was
    /// watched, and at most the half minute before.
    pub waiters_peak: f64,
    /// Share of viewers' requests that did not reach the origin, over [`WINDOW`]; without those that no cache can answer.
    pub offload: Option<f64>,
    /// Upper bound for 99 of 100 segments' time until the first byte, in seconds, over [`WINDOW`].
    pub segment_p99: Option<Bound>,
    /// Viewers, while a surge is played.
    pub audience: Option<Audience>,
    /// Likes, once there are any.
    pub likes: Option<LikesPanel>,
    /// Edges and shields by name.
    pub rows: Vec<Row>,
    /// Components that do not answer: name, address and reason.
    pub down: Vec<String>,
    /// Further remarks.
    pub notes: Vec<String>,
}

impl View<'_> {
    /// The last step; `None` after one round.
    pub fn last(&self) -> Option<&Step> {
        self.steps.back()
    }
}

/// State that is kept from round to round.
#[derive(Debug, Default)]
pub struct Watch {
    began: Option<Timestamp>,
    before: HashMap<String, (Timestamp, Scrape)>,
    steps: VecDeque<Step>,
    waiters_peak: f64,
    round: Option<Timestamp>,
}

impl Watch {
    /// Takes the results of a round of scrapes at `now`.
    pub fn take(&mut self, now: Timestamp, answers: Vec<Answer>, notes: Vec<String>) -> View<'_> {
        let began = *self.began.get_or_insert(now);
        let mut step = Step {
            at: now,
            ..Step::default()
        };
        let mut compared = false;
        let (mut rows, mut down, mut audience) = (Vec::new(), Vec::new(), None);
        let mut likes: Option<LikesPanel> = None;
        let (mut waiters, mut peak) = (0.0, 0.0);
        let (mut origin_hits, mut of_shields, mut of_edges) = (None, None, 0.0);
        let mut latest = HashMap::new();
        for answer in answers {
            let scrape = match answer.scrape {
                Ok(scrape) => scrape,
                Err(why) => {
                    let name = answer.name.unwrap_or_else(|| answer.address.clone());
                    down.push(format!("{name} ({}): {why}", answer.address));
                    if let Some(role @ (Role::Edge | Role::Shield)) = answer.role {
                        let figures = None;
                        rows.push(Row {
                            role,
                            name,
                            figures,
                        });
                    }
                    continue;
                }
            };
            // A component that was down has no "before": its activity meanwhile is not a current rate.
            let before = self.before.get(&answer.address);
            let before = before.map(|(at, before)| (answer.at.since(*at).as_secs_f64(), before));
            match answer.role.or_else(|| role_of(&scrape)) {
                Some(role @ (Role::Edge | Role::Shield)) => {
                    let figures = figures(&scrape, before);
                    if role == Role::Edge {
                        waiters += figures.waiters;
                        // The first peak may belong to a time before this watch began.
                        let said =
                            before.and_then(|_| scrape.sum("seawall_edge_miss_waiters_peak", &[]));
                        peak += said.unwrap_or(0.0).max(figures.waiters);
                    }
                    match (role, before) {
                        (Role::Edge, Some((_, before))) => {
                            compared = true;
                            of_edges += edge_step(&mut step, &scrape, before);
                        }
                        (_, Some((_, before))) => {
                            *of_shields.get_or_insert(0.0) += fetches(&scrape, before);
                        }
                        (_, None) => {}
                    }
                    let name = answer.name.or_else(|| {
                        let label = scrape.label("seawall_edge_connections", "edge");
                        label.map(str::to_owned)
                    });
                    rows.push(Row {
                        role,
                        name: name.unwrap_or_else(|| answer.address.clone()),
                        figures: Some(figures),
                    });
                }
                Some(Role::Origin) => {
                    if let Some((_, before)) = before {
                        compared = true;
                        let hits = scrape.increase(before, "seawall_origin_hits_total", &[]);
                        *origin_hits.get_or_insert(0.0) += hits;
                        let other = [("kind", "other")];
                        step.origin_other +=
                            scrape.increase(before, "seawall_origin_hits_total", &other);
                    }
                    if let Some(of_one) = likes_of(&scrape, before) {
                        likes = Some(likes.map_or(of_one, |of_others| of_others.and(of_one)));
                    }
                }
                Some(Role::Audience) => audience = Some(audience_of(&scrape)),
                None => down.push(format!(
                    "{}: it answers, but exposes nothing of Seawall",
                    answer.address
                )),
            }
            latest.insert(answer.address, (answer.at, scrape));
        }
        // If the origin is not watched, the fetches sent to it stand in for its hits: those of shields, if there are
        // any, else of edges.
        step.origin = origin_hits.or(of_shields).unwrap_or(of_edges);
        if let (Some(round), true) = (self.round, compared) {
            step.seconds = now.since(round).as_secs_f64();
            self.steps.push_back(step);
            while self.steps.len() > ROUNDS_MAX {
                self.steps.pop_front();
            }
        }
        self.round = Some(now);
        self.before = latest;
        self.waiters_peak = self.waiters_peak.max(peak);
        rows.sort_by(|a, b| (a.role, natural(&a.name)).cmp(&(b.role, natural(&b.name))));
        let window = || {
            let recent = self.steps.iter().rev();
            recent.take_while(move |step| now.since(step.at) < WINDOW)
        };
        let asked: f64 = window().map(Step::cacheable).sum();
        let origin: f64 = window().map(|step| step.origin - step.origin_other).sum();
        let mut segments = Vec::new();
        for (bound, count) in window().flat_map(|step| step.segments.iter().copied()) {
            add(&mut segments, bound, count);
        }
        View {
            watched: now.since(began),
            waiters,
            waiters_peak: self.waiters_peak,
            offload: (asked > 0.0).then(|| (1.0 - origin / asked).max(0.0)),
            segment_p99: quantile_bound(&segments, 0.99),
            audience,
            likes,
            rows,
            down,
            notes,
            steps: &self.steps,
        }
    }
}

/// Adds the activity of an edge to the step. Returns the number of its fetches from upstream.
fn edge_step(step: &mut Step, scrape: &Scrape, before: &Scrape) -> f64 {
    for (sum, served) in step.results.iter_mut().zip(Served::ALL) {
        let result = [("result", served.word())];
        *sum += scrape.increase(before, "seawall_edge_requests_total", &result);
    }
    step.bytes += scrape.increase(before, "seawall_edge_response_bytes_total", &[]);
    let name = "seawall_edge_request_duration_seconds";
    for (bound, count) in scrape.buckets_increase(before, name, &[("kind", "segment")]) {
        add(&mut step.segments, bound, count);
    }
    fetches(scrape, before)
}

/// Number of fetches that a component sent upstream.
fn fetches(scrape: &Scrape, before: &Scrape) -> f64 {
    scrape.increase(before, "seawall_edge_origin_fetches_total", &[])
}

fn figures(scrape: &Scrape, before: Option<(f64, &Scrape)>) -> Figures {
    let gauge = |name| scrape.sum(name, &[]).unwrap_or(0.0);
    let rates = before.map(|(seconds, before)| {
        let increase = |name, filter| scrape.increase(before, name, filter);
        let requests = increase("seawall_edge_requests_total", &[]);
        let hits = increase("seawall_edge_requests_total", &[("result", "hit")]);
        let passed = increase("seawall_edge_requests_total", &[("result", "pass")]);
        Rates {
            requests: per_s(requests, seconds),
            hit_ratio: (requests > passed).then(|| hits / (requests - passed)),
            origin: per_s(increase("seawall_edge_origin_fetches_total", &[]), seconds),
            bytes: per_s(increase("seawall_edge_response_bytes_total", &[]), seconds),
        }
    });
    Figures {
        rates,
        waiters: gauge("seawall_edge_miss_waiters"),
        flights: gauge("seawall_edge_flights"),
        connections: gauge("seawall_edge_connections"),
        fill: gauge("seawall_edge_cache_bytes")
            / gauge("seawall_edge_cache_capacity_bytes").max(1.0),
        breaker: match gauge("seawall_edge_breaker_state") {
            state if state >= 2.0 => Breaker::Open,
            state if state >= 1.0 => Breaker::Probing,
            _ => Breaker::Closed,
        },
    }
}

impl LikesPanel {
    /// The sum of the likes of two origins.
    fn and(self, other: Self) -> Self {
        let per_s = match (self.per_s, other.per_s) {
            (Some(one), Some(two)) => Some((one.0 + two.0, one.1 + two.1)),
            (one, two) => one.or(two),
        };
        Self {
            per_s,
            waiting: self.waiting + other.waiting,
            uncounted: self.uncounted + other.uncounted,
            logs_down: self.logs_down + other.logs_down,
        }
    }
}

/// `None` before the first like, so that the view shows nothing about likes.
fn likes_of(scrape: &Scrape, before: Option<(f64, &Scrape)>) -> Option<LikesPanel> {
    const ANSWERED: &str = "seawall_likes_accepted_total";
    let gauge = |name| scrape.sum(name, &[]).unwrap_or(0.0);
    let counted = gauge("seawall_likes_applied_sequence");
    if counted + gauge(ANSWERED) == 0.0 {
        return None;
    }
    let per_s = before.map(|(seconds, before)| {
        let all = scrape.increase(before, ANSWERED, &[]);
        let acknowledged: f64 = ["counted", "duplicate"]
            .map(|result| scrape.increase(before, ANSWERED, &[("result", result)]))
            .into_iter()
            .sum();
        (
            per_s(acknowledged, seconds),
            per_s(all - acknowledged, seconds),
        )
    });
    Some(LikesPanel {
        per_s,
        waiting: gauge("seawall_likes_queue_depth"),
        uncounted: (gauge("seawall_likes_durable_sequence") - counted).max(0.0),
        logs_down: gauge("seawall_likes_down"),
    })
}

fn audience_of(scrape: &Scrape) -> Audience {
    let mut states: Vec<_> = scrape
        .series("seawall_viewers")
        .filter(|(_, count)| *count > 0.0)
        .map(|(labels, count)| (labels.get("state").cloned().unwrap_or_default(), count))
        .collect();
    states.sort_by(|a, b| b.1.total_cmp(&a.1));
    let phase = scrape
        .series("seawall_scenario_phase")
        .find(|(_, lasts)| *lasts > 0.0)
        .and_then(|(labels, _)| Some((labels.get("scenario")?, labels.get("phase")?)))
        .map(|(scenario, phase)| format!("{scenario}: {phase}"));
    Audience { states, phase }
}

fn role_of(scrape: &Scrape) -> Option<Role> {
    let known = [
        ("seawall_edge_requests_total", Role::Edge),
        ("seawall_origin_hits_total", Role::Origin),
        ("seawall_origin_inflight", Role::Origin),
        ("seawall_viewers", Role::Audience),
    ];
    let found = known.into_iter().find(|(name, _)| scrape.has(name));
    found.map(|(_, role)| role)
}

fn per_s(count: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { count / seconds } else { 0.0 }
}

/// A sort key that puts `edge-10` behind `edge-9`: the shorter name first where the letters are the same.
fn natural(name: &str) -> (&str, usize, &str) {
    let letters = name.trim_end_matches(|character: char| character.is_ascii_digit());
    (letters, name.len(), name)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::top) fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    pub(in crate::top) fn answer(role: Role, name: &str, second: u64, text: &str) -> Answer {
        Answer {
            role: Some(role),
            name: Some(name.to_owned()),
            address: format!("{name}:1"),
            at: at(second),
            scrape: Ok(Scrape::parse(text)),
        }
    }

    pub(in crate::top) fn edge(hits: u32, misses: u32, waiters: u32) -> String {
        format!(
            "seawall_edge_requests_total{{kind=\"segment\",result=\"hit\"}} {hits}
seawall_edge_requests_total{{kind=\"segment\",result=\"miss\"}} {misses}
seawall_edge_request_duration_seconds_bucket{{kind=\"segment\",path=\"hit\",le=\"0.001\"}} {hits}
seawall_edge_request_duration_seconds_bucket{{kind=\"segment\",path=\"hit\",le=\"+Inf\"}} {hits}
seawall_edge_origin_fetches_total{{kind=\"segment\"}} {misses}
seawall_edge_response_bytes_total{{kind=\"segment\"}} {hits}000
seawall_edge_miss_waiters{{kind=\"segment\"}} {waiters}
seawall_edge_miss_waiters{{kind=\"media\"}} 1
seawall_edge_cache_bytes 25
seawall_edge_cache_capacity_bytes 100
"
        )
    }

    fn origin(hits: u32) -> String {
        format!("seawall_origin_hits_total{{client=\"edge-1\",kind=\"segment\"}} {hits}\n")
    }

    #[test]
    fn two_rounds_make_rates_and_the_first_none() {
        let mut watch = Watch::default();
        let round = |second, hits, misses| {
            vec![
                answer(Role::Edge, "edge-1", second, &edge(hits, misses, 7)),
                answer(Role::Origin, "origin", second, &origin(misses)),
            ]
        };
        let view = watch.take(at(10), round(10, 1000, 10), vec![]);
        assert!(view.last().is_none() && view.offload.is_none());
        assert_eq!((view.waiters, view.waiters_peak), (8.0, 8.0));
        let view = watch.take(at(12), round(12, 1990, 20), vec![]);
        let step = view.last().unwrap();
        assert_eq!(step.edge_per_s(), 500.0);
        assert_eq!(step.origin_per_s(), 5.0);
        assert_eq!(view.offload, Some(0.99));
        assert_eq!(view.segment_p99, Some(Bound::AtMost(0.001)));
        let figures = view.rows[0].figures.as_ref().unwrap();
        assert_eq!(figures.fill, 0.25);
        assert_eq!(figures.rates.unwrap().hit_ratio, Some(0.99));
        assert_eq!(view.watched, Duration::from_secs(2));
    }

    #[test]
    fn likes_are_requests_and_make_no_cache_look_worse() {
        let mut watch = Watch::default();
        let round = |second, hits, likes| {
            let passed = "seawall_edge_requests_total{kind=\"other\",result=\"pass\"}";
            let at_edge = format!("{}{passed} {likes}\n", edge(hits, 0, 0));
            let at_origin = format!(
                "{}seawall_origin_hits_total{{kind=\"other\"}} {likes}\n",
                origin(0)
            );
            vec![
                answer(Role::Edge, "edge-1", second, &at_edge),
                answer(Role::Origin, "origin", second, &at_origin),
            ]
        };
        watch.take(at(0), round(0, 0, 0), vec![]);
        let view = watch.take(at(1), round(1, 100, 100), vec![]);
        assert_eq!(view.last().unwrap().edge_per_s(), 200.0);
        let rates = view.rows[0].figures.as_ref().unwrap().rates.unwrap();
        assert_eq!((rates.requests, rates.hit_ratio), (200.0, Some(1.0)));
        assert_eq!(view.offload, Some(1.0));
    }

    #[test]
    fn a_restarted_edge_has_no_negative_rate() {
        let mut watch = Watch::default();
        let round = |second, hits| vec![answer(Role::Edge, "edge-1", second, &edge(hits, 0, 0))];
        watch.take(at(0), round(0, 5000), vec![]);
        let view = watch.take(at(1), round(1, 40), vec![]);
        assert_eq!(view.last().unwrap().edge_per_s(), 40.0);
    }

    #[test]
    fn an_edge_that_is_down_is_named_and_comes_back_without_a_leap() {
        let mut watch = Watch::default();
        let up = |second, hits| answer(Role::Edge, "edge-1", second, &edge(hits, 0, 0));
        let down = |second| Answer {
            scrape: Err("no answer".to_owned()),
            ..up(second, 0)
        };
        watch.take(at(0), vec![up(0, 10)], vec![]);
        let view = watch.take(at(1), vec![down(1)], vec![]);
        assert_eq!(view.down, ["edge-1 (edge-1:1): no answer"]);
        assert_eq!(view.rows[0].figures, None);
        let view = watch.take(at(100), vec![up(100, 9_000)], vec![]);
        assert!(view.rows[0].figures.as_ref().unwrap().rates.is_none());
        let view = watch.take(at(101), vec![up(101, 9_005)], vec![]);
        assert_eq!(view.last().unwrap().edge_per_s(), 5.0);
    }

    #[test]
    fn shields_are_no_viewers_edges_and_rooms_without_labels_are_told_by_what_they_expose() {
        let mut watch = Watch::default();
        let round = |second, hits| {
            let unlabelled = Answer {
                role: None,
                name: None,
                ..answer(Role::Edge, "x", second, &edge(hits, hits, 0))
            };
            let shield = answer(Role::Shield, "shield-1", second, &edge(hits, hits / 10, 50));
            vec![shield, unlabelled]
        };
        watch.take(at(0), round(0, 0), vec![]);
        let view = watch.take(at(1), round(1, 100), vec![]);
        assert_eq!(view.last().unwrap().edge_per_s(), 200.0);
        assert_eq!(view.waiters, 1.0);
        assert_eq!(view.last().unwrap().origin, 10.0, "edges ask shields");
        let names: Vec<_> = view.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["x:1", "shield-1"]);
    }

    #[test]
    fn the_audience_tells_its_phase() {
        let text = "seawall_viewers{state=\"playing\"} 90\nseawall_viewers{state=\"stalled\"} 10
seawall_scenario_phase{scenario=\"kickoff\",phase=\"rush\"} 1
seawall_scenario_phase{scenario=\"kickoff\",phase=\"calm\"} 0\n";
        let mut watch = Watch::default();
        let view = watch.take(at(0), vec![answer(Role::Audience, "a", 0, text)], vec![]);
        let audience = view.audience.unwrap();
        assert_eq!(audience.viewers(), 100.0);
        assert_eq!(audience.phase.as_deref(), Some("kickoff: rush"));
    }

    #[test]
    fn likes_are_told_of_once_there_are_any() {
        let origin = |name: &str, second, counted: u32, shed: u32| {
            let text = format!(
                "seawall_origin_hits_total{{kind=\"segment\"}} 1
seawall_likes_accepted_total{{op=\"like\",result=\"counted\"}} {counted}
seawall_likes_accepted_total{{op=\"like\",result=\"overloaded\"}} {shed}
seawall_likes_queue_depth{{shard=\"0\"}} 5
seawall_likes_durable_sequence{{shard=\"0\"}} {counted}
seawall_likes_applied_sequence{{shard=\"0\"}} {}
seawall_likes_down{{shard=\"0\"}} 0\n",
                counted.saturating_sub(2)
            );
            answer(Role::Origin, name, second, &text)
        };
        let mut watch = Watch::default();
        let view = watch.take(at(0), vec![origin("a", 0, 0, 0)], vec![]);
        assert_eq!(view.likes, None);
        let view = watch.take(at(2), vec![origin("a", 2, 200, 4)], vec![]);
        let one = LikesPanel {
            per_s: Some((100.0, 2.0)),
            waiting: 5.0,
            uncounted: 2.0,
            logs_down: 0.0,
        };
        assert_eq!(view.likes, Some(one));
        let both = vec![origin("a", 4, 400, 4), origin("b", 4, 7, 0)];
        let view = watch.take(at(4), both, vec![]);
        let likes = view.likes.unwrap();
        assert_eq!(likes.per_s, Some((100.0, 0.0)), "b has no past yet");
        assert_eq!((likes.waiting, likes.uncounted), (10.0, 4.0));
    }

    #[test]
    fn names_are_sorted_as_people_count() {
        let mut names = ["edge-10", "edge-9", "edge-1"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["edge-1", "edge-9", "edge-10"]);
    }
}

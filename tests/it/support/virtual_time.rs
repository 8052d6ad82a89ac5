//! Players, one edge and an origin in virtual time, by the pure core alone.
//!
//! `viewer::player` decides for the viewers and `policy` for the edge. This file performs their decisions: an agenda of events
//! replaces sockets, tasks and the clock.

use std::collections::{BTreeMap, HashMap};

use http::StatusCode;
use seawall::hls::facts;
use seawall::policy::collapse::{Boarding, Flights, Generation};
use seawall::policy::edge::{self, Decision, Stored, WhyStale};
use seawall::policy::flight::{self, Attempt, Flight, Outcome, Reason, Subject, Surroundings};
use seawall::policy::freshness::Validity;
use seawall::policy::key::Kind;
use seawall::policy::limits::Limits;
use seawall::policy::rendition::{Due, Fit, PlaylistFacts, Rendition, Sighting};
use seawall::policy::retry::{self, Budget};
use seawall::policy::status::FetchError;
use seawall::policy::{landing, prefetch};
use seawall::report::record::ResultWord;
use seawall::time::Timestamp;
use seawall::viewer::player::{Action, Object, Player};

use crate::virtual_time::{Counters, DELAY, Schedule, hear};

/// A future event.
enum Event {
    /// A viewer wakes up.
    Viewer(usize),
    /// The origin has answered the fetch of this object.
    Answer(Object, u16, Vec<u8>),
    /// The pause before the next attempt is over.
    Paused(Object),
    /// A playlist is no longer held back.
    Released(Object, Generation),
}

/// A flight under way.
struct UnderWay {
    generation: Generation,
    flight: Flight,
    asked_at: Timestamp,
    waiters: Vec<(usize, ResultWord)>,
    body: Vec<u8>,
    validity: Option<Validity>,
    news: Option<(PlaylistFacts, Due, Fit)>,
    /// Segments that the playlist waits for.
    waits_for: Vec<Object>,
}

/// The whole state at one instant.
pub(crate) struct World<'a> {
    schedule: &'a Schedule,
    limits: Limits,
    now: Timestamp,
    agenda: BTreeMap<(Timestamp, usize), Event>,
    events: usize,
    players: Vec<Player>,
    stored: HashMap<Object, (Stored, Vec<u8>)>,
    flights: Flights<Object, ()>,
    under_way: HashMap<Object, UnderWay>,
    rendition: Option<Rendition>,
    budget: Budget,
    counters: Counters,
}

impl<'a> World<'a> {
    /// Plays the schedule to its end.
    pub(crate) fn play(schedule: &'a Schedule, limits: Limits) -> Counters {
        let mut world = Self {
            schedule,
            now: Timestamp::ZERO,
            agenda: BTreeMap::new(),
            events: 0,
            players: schedule.players(),
            stored: HashMap::new(),
            flights: Flights::new(),
            under_way: HashMap::new(),
            rendition: None,
            budget: Budget::new(limits.retry_budget_percent),
            counters: Counters::default(),
            limits,
        };
        for viewer in 0..world.players.len() {
            world.on_viewer(viewer);
        }
        while let Some(((at, _), event)) = world.agenda.pop_first() {
            world.now = at;
            match event {
                Event::Viewer(viewer) => world.on_viewer(viewer),
                Event::Answer(object, status, body) => world.on_answer(object, status, body),
                Event::Paused(object) => {
                    let newest = world.newest();
                    world.flight(object).handle_wait(newest);
                    world.drive(object);
                }
                Event::Released(object, generation) => {
                    let under_way = world.under_way.get(&object);
                    if under_way.is_some_and(|flight| flight.generation == generation) {
                        world.release(object);
                    }
                }
            }
        }
        world
            .players
            .iter()
            .for_each(|player| world.counters.plays(player));
        world.counters
    }

    fn at(&mut self, at: Timestamp, event: Event) {
        self.events += 1;
        self.agenda.insert((at.max(self.now), self.events), event);
    }

    fn flight(&mut self, object: Object) -> &mut Flight {
        let under_way = self.under_way.get_mut(&object);
        &mut under_way.expect("a flight under way").flight
    }

    fn newest(&self) -> Option<PlaylistFacts> {
        self.rendition.map(|rendition| rendition.newest)
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            newest: self.newest(),
            crowded: false,
        }
    }

    fn on_viewer(&mut self, viewer: usize) {
        match self.players[viewer].next(self.now) {
            Action::Get { object, .. } => self.ask(viewer, object),
            Action::WakeAt(at) => self.at(at, Event::Viewer(viewer)),
            Action::Leave => {}
        }
    }

    /// A viewer's request reaches the edge.
    fn ask(&mut self, viewer: usize, object: Object) {
        let (stored, body) = self.stored.get(&object).cloned().unwrap_or_default();
        match stored.glance(self.now) {
            Decision::Hit => self.tell(viewer, object, ResultWord::Hit, Some(&body)),
            Decision::Stale(why) => {
                if why == WhyStale::Revalidate {
                    self.fetch_ahead(object, Reason::Refresh);
                }
                self.tell(viewer, object, ResultWord::Stale, Some(&body));
            }
            Decision::Negative => self.tell(viewer, object, ResultWord::Negative, None),
            Decision::Pass => panic!("this origin forbids nothing to be shared"),
            Decision::Ask => {
                let waiting = self
                    .under_way
                    .values()
                    .map(|flight| flight.waiters.len())
                    .sum::<usize>();
                let boarding = self
                    .flights
                    .board(&object, waiting as u32, &self.limits, |_| ());
                let word = match boarding {
                    Boarding::Lead(generation, ()) => {
                        self.begin(object, generation, Reason::Miss);
                        ResultWord::Miss
                    }
                    Boarding::Follow(..) => ResultWord::Collapsed,
                    Boarding::Shed(shed) => panic!("{shed:?}"),
                };
                self.under_way
                    .get_mut(&object)
                    .unwrap()
                    .waiters
                    .push((viewer, word));
            }
        }
    }

    /// Gives a viewer its answer: a body, or a failure.
    fn tell(&mut self, viewer: usize, object: Object, word: ResultWord, body: Option<&[u8]>) {
        self.counters.answered(object, word);
        hear(&mut self.players[viewer], self.now, object, body);
        self.at(self.now, Event::Viewer(viewer));
    }

    /// Begins a flight without waiting viewers. Returns whether a flight was necessary.
    fn fetch_ahead(&mut self, object: Object, reason: Reason) -> bool {
        let Some((generation, ())) = self.flights.refresh(&object, |_| ()) else {
            return false;
        };
        self.begin(object, generation, reason);
        true
    }

    fn begin(&mut self, object: Object, generation: Generation, reason: Reason) {
        let subject = subject(object);
        let flight = Flight::begin(
            subject,
            reason,
            false,
            true,
            &self.limits,
            self.now,
            self.newest(),
        );
        self.under_way.insert(
            object,
            UnderWay {
                generation,
                flight,
                asked_at: self.now,
                waiters: Vec::new(),
                body: Vec::new(),
                validity: None,
                news: None,
                waits_for: Vec::new(),
            },
        );
        self.drive(object);
    }

    /// Performs the actions of a flight until it waits for an event.
    fn drive(&mut self, object: Object) {
        loop {
            let (now, around) = (self.now, self.surroundings());
            match self.flight(object).poll() {
                flight::Action::Ask(..) => {
                    self.under_way.get_mut(&object).unwrap().asked_at = now;
                    let nth = self.counters.asks_origin(object);
                    let (status, body) = self.schedule.origin(object, now, nth);
                    self.counters.origin_answers(object, status);
                    return self.at(now + DELAY, Event::Answer(object, status, body));
                }
                flight::Action::TakeRetry(error, retry_after) => {
                    let granted = self.flight(object).failures()
                        < self.limits.retries_per_flight_max
                        && retry::is_worth_repeating(error, retry_after)
                        && error != FetchError::Outdated
                        && self.budget.take();
                    self.flight(object).handle_retry(granted, now);
                }
                flight::Action::TakeHold => self.flight(object).handle_hold(true, now, around),
                flight::Action::Wait(until, None) => return self.at(until, Event::Paused(object)),
                flight::Action::Wait(_, Some(_)) => panic!("no viewer asks early here"),
                flight::Action::Abandon => panic!("a permit is always free here"),
                flight::Action::Land(Outcome::Whole) => return self.bring(object),
                flight::Action::Land(outcome) => return self.land(object, outcome),
            }
        }
    }

    fn on_answer(&mut self, object: Object, status: u16, body: Vec<u8>) {
        let (now, fresh) = (self.now, self.limits.playlist_fresh_percent);
        let kind = subject(object).kind;
        let facts = facts::of_media_playlist(&body).filter(|_| kind == Kind::MediaPlaylist);
        let under_way = self.under_way.get_mut(&object).unwrap();
        let mut attempt = match StatusCode::from_u16(status).unwrap() {
            StatusCode::OK => Attempt::Whole,
            refused if refused.is_client_error() => Attempt::Refused(refused),
            _ => Attempt::Failed(FetchError::Status(status), None),
        };
        if let Some(facts) = facts {
            let sighting = Sighting::of_answer(under_way.asked_at, now, Default::default());
            let (mut fit, known) = (Fit::Newer(None), &mut self.rendition);
            match known {
                Some(rendition) => fit = rendition.saw(facts, sighting, now),
                None => *known = Some(Rendition::begin(facts, sighting, now)),
            }
            assert_ne!(fit, Fit::Reset, "the stream never begins anew here");
            if fit == Fit::Older {
                attempt = Attempt::Failed(FetchError::Outdated, None);
            }
            under_way.news = known.map(|rendition| (facts, rendition.due(), fit));
        }
        under_way.validity = Some(Validity::of_live(
            now,
            Default::default(),
            None,
            kind,
            facts,
            fresh,
        ));
        under_way.body = body;
        let around = self.surroundings();
        self.flight(object).handle_attempt(attempt, now, around);
        self.drive(object);
    }

    /// A whole object has arrived. A new playlist starts prefetches, and waits for them for a while.
    fn bring(&mut self, object: Object) {
        self.budget.filled();
        let under_way = &self.under_way[&object];
        let Some((facts, _, fit)) = under_way.news.clone() else {
            return self.land(object, Outcome::Whole);
        };
        let flown = self.now.since(under_way.flight.began());
        let mut waits_for = Vec::new();
        for number in prefetch::numbers(&fit) {
            let segment = Object::Segment {
                rendition: 0,
                number,
            };
            let is_stored = |(stored, _): &(Stored, _)| stored.validity.is_some();
            if !self.stored.get(&segment).is_some_and(is_stored) {
                self.stored.remove(&segment);
                if self.fetch_ahead(segment, Reason::Prefetch) {
                    waits_for.push(segment);
                }
            }
        }
        if waits_for.is_empty() {
            return self.release(object);
        }
        self.under_way.get_mut(&object).unwrap().waits_for = waits_for;
        let held_back_max = prefetch::held_back_max(facts, &self.limits, flown);
        let generation = self.under_way[&object].generation;
        self.at(
            self.now + held_back_max,
            Event::Released(object, generation),
        );
    }

    /// Hands a playlist out, unless this was done before.
    fn release(&mut self, object: Object) {
        let under_way = self.under_way.get_mut(&object).expect("a flight under way");
        if let (Some(validity), Some((facts, due, _))) = (under_way.validity, &under_way.news) {
            under_way.validity = Some(validity.until_due(self.now, *due, *facts));
        }
        self.land(object, Outcome::Whole);
    }

    /// Ends a flight: the store keeps the result, and each waiter gets its answer.
    fn land(&mut self, object: Object, outcome: Outcome) {
        let UnderWay {
            generation,
            flight,
            waiters,
            body,
            validity,
            ..
        } = self.under_way.remove(&object).unwrap();
        self.flights.land(&object, generation);
        let (before, old) = self.stored.remove(&object).unwrap_or_default();
        let keep = landing::keep(&outcome, before.negative, self.now);
        let after = keep.facts(before, validity);
        let kept = if outcome == Outcome::Whole { body } else { old };
        let deadline = flight.began() + edge::wait_max(subject(object).kind, &self.limits);
        assert!(
            waiters.is_empty() || self.now < deadline,
            "no waiter reaches its deadline here"
        );
        for (viewer, word) in waiters {
            match outcome {
                Outcome::Whole => self.tell(viewer, object, word, Some(&kept)),
                Outcome::Failed(..) if before.may_stand_in(self.now) => {
                    self.tell(viewer, object, ResultWord::Stale, Some(&kept));
                }
                _ => self.tell(viewer, object, word, None),
            }
        }
        self.stored.insert(object, (after, kept));
        self.landed(object);
    }

    /// Playlists that wait for this segment no longer wait for it.
    fn landed(&mut self, segment: Object) {
        let mut complete = Vec::new();
        for (&playlist, under_way) in &mut self.under_way {
            let before = under_way.waits_for.len();
            under_way.waits_for.retain(|&waited| waited != segment);
            if before > 0 && under_way.waits_for.is_empty() {
                complete.push(playlist);
            }
        }
        complete
            .into_iter()
            .for_each(|playlist| self.release(playlist));
    }
}

fn subject(object: Object) -> Subject {
    let (kind, segment) = match object {
        Object::Multivariant => (Kind::Multivariant, None),
        Object::MediaPlaylist { .. } => (Kind::MediaPlaylist, None),
        Object::Segment { number, .. } => (Kind::Segment, Some(number)),
        Object::Steering => (Kind::Other, None),
    };
    Subject {
        kind,
        segment,
        foreign: false,
    }
}

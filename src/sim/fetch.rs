//! A fetch in virtual time: performs [`crate::policy::flight`], from the permit to the landing.

use http::StatusCode;

use super::agenda::Rank;
use super::exchange::{Answer, Asker, Crowd, Reply, Trail, Waiter};
use super::key::Key;
use super::node::{Entry, FlightId, State, Upstream};
use super::origin::{Arrived, Call};
use super::split;
use super::stream::PLAYLIST_BYTES;
use super::world::{Event, UnderWay, World};
use crate::policy::admission::{Admission, Class};
use crate::policy::collapse::Generation;
use crate::policy::flight::{Action, Attempt, Flight, Outcome, Reason, Surroundings};
use crate::policy::freshness::Validity;
use crate::policy::key::Kind;
use crate::policy::landing::{self, Keep};
use crate::policy::prefetch;
use crate::policy::rendition::{Fit, PlaylistFacts, Rendition, Sighting};
use crate::policy::retry::{self, Health};
use crate::policy::status::{FetchError, MissQueue, Shed};
use crate::report::record::ResultWord;
use crate::time::Timestamp;
use crate::viewer::player::TIMEOUT;

/// Bytes that a remembered failure takes in a store.
const FAILURE_BYTES: u64 = 200;

impl World {
    /// Begins a flight that refreshes what is stored, unless one is under way.
    pub(super) fn refresh(&mut self, node: u32, key: Key) -> Option<FlightId> {
        self.begin_ahead(node, key, Reason::Refresh)
    }

    /// Begins a flight for which no request waits, unless one is under way.
    fn begin_ahead(&mut self, node: u32, key: Key, reason: Reason) -> Option<FlightId> {
        if self.plan.miss_queue == MissQueue::Off {
            return Some(self.fly(node, key, None, reason, None, None));
        }
        let flights = &mut self.nodes[node as usize].flights;
        let (generation, ()) = flights.refresh(&key, |_| ())?;
        Some(self.fly(node, key, Some(generation), reason, None, None))
    }

    /// A flight begins.
    pub(super) fn fly(
        &mut self,
        node: u32,
        key: Key,
        generation: Option<Generation>,
        reason: Reason,
        waiter: Option<Waiter>,
        trail: Option<Trail>,
    ) -> FlightId {
        let newest = self.newest(node, key);
        let by_cache = waiter.is_some_and(|waiter| matches!(waiter.asker, Asker::Flight(..)));
        let flight = Flight::begin(
            key.subject(),
            reason,
            by_cache,
            self.plan.miss_queue == MissQueue::Flights,
            &self.plan.limits,
            self.now,
            newest,
        );
        let (place, serial) = self.flights.add(UnderWay {
            node,
            key,
            generation,
            flight,
            nth: 0,
            ticket: None,
            permit: None,
            server: 0,
            asked_at: self.now,
            head_at: None,
            waiters: Vec::new(),
            trails: trail.into_iter().collect(),
            deadline_set: false,
            holds: false,
            validity: None,
            last: 0,
            news: None,
            waits_for: 0,
            awaited_by: Vec::new(),
        });
        let id = FlightId { place, serial };
        let at = &mut self.nodes[node as usize];
        at.fetches += 1;
        if generation.is_some() {
            let before = at.under_way.insert(key, id);
            let alone = before.is_none();
            self.must(alone, "no key has two shared fetches at a cache");
        }
        if reason == Reason::Prefetch {
            self.tally.prefetched(&self.nodes[node as usize], key);
        }
        if let Some(waiter) = waiter {
            self.join(id, waiter);
        }
        self.drive(id);
        id
    }

    /// A request waits for a flight.
    pub(super) fn join(&mut self, id: FlightId, waiter: Waiter) {
        let Some(under_way) = self.flights.get_mut(id.place, id.serial) else {
            return;
        };
        under_way.waiters.push(waiter);
        let node = under_way.node;
        if !std::mem::replace(&mut under_way.deadline_set, true) {
            self.at(waiter.until, Rank::Bound, Event::Deadline(id));
        }
        self.nodes[node as usize].waiting += 1;
    }

    fn under_way(&mut self, id: FlightId) -> Option<&mut UnderWay> {
        self.flights.get_mut(id.place, id.serial)
    }

    /// The flight, if this attempt is its last one.
    fn attempt_of(&mut self, id: FlightId, nth: u32) -> Option<&mut UnderWay> {
        self.under_way(id).filter(|flight| flight.nth == nth)
    }

    fn newest(&self, node: u32, key: Key) -> Option<PlaylistFacts> {
        let renditions = &self.nodes[node as usize].renditions;
        renditions.get(&key.cell()).map(|known| known.newest)
    }

    fn around(&self, node: u32, key: Key) -> Surroundings {
        Surroundings {
            newest: self.newest(node, key),
            crowded: self.nodes[node as usize].waiting > self.plan.limits.waiters_max / 2,
        }
    }

    /// Whether requests to upstreams are bounded.
    fn is_bounded(&self) -> bool {
        self.plan.miss_queue == MissQueue::Flights
    }

    /// Performs the actions of a flight until it waits for an event.
    fn drive(&mut self, id: FlightId) {
        loop {
            let now = self.now;
            let Some(under_way) = self.under_way(id) else {
                return;
            };
            let (node, key, nth) = (under_way.node, under_way.key, under_way.nth);
            let generation = under_way.generation;
            match under_way.flight.poll() {
                Action::Ask(class, _) => match self.admit(id, class) {
                    Ok(true) => return self.attempt(id),
                    Ok(false) => return,
                    Err(shed) => {
                        let failed = Attempt::Failed(FetchError::Shed(shed), None);
                        self.handle(id, failed);
                    }
                },
                Action::Abandon => {
                    let at = &mut self.nodes[node as usize];
                    let gone = generation.is_some_and(|number| at.flights.abandon(&key, number));
                    if gone {
                        at.under_way.remove(&key);
                    }
                    let newest = self.newest(node, key);
                    if let Some(under_way) = self.under_way(id) {
                        under_way.flight.handle_abandon(gone, newest);
                    }
                }
                Action::TakeRetry(error, retry_after) => {
                    let failures = under_way.flight.failures() + 1;
                    let bounded = self.is_bounded();
                    let limits = self.plan.limits;
                    let at = &mut self.nodes[node as usize];
                    let granted = bounded
                        && retry::is_granted(
                            failures,
                            error,
                            retry_after,
                            at.servers.len(),
                            &limits,
                            &mut at.budget,
                        );
                    if let Some(under_way) = self.under_way(id) {
                        under_way.flight.handle_retry(granted, now);
                    }
                }
                Action::TakeHold => {
                    let around = self.around(node, key);
                    let max = self.plan.limits.held_max;
                    let at = &mut self.nodes[node as usize];
                    let granted = at.held < max;
                    at.held += usize::from(granted);
                    if let Some(under_way) = self.under_way(id) {
                        under_way.holds |= granted;
                        under_way.flight.handle_hold(granted, now, around);
                    }
                }
                // A held segment is asked for again when the pause is over, or when a playlist lists it (see `wake_held`).
                Action::Wait(until, _) => {
                    return self.at(until, Rank::Arrival, Event::Paused(id, nth));
                }
                Action::Land(Outcome::Whole) => return self.bring(id),
                Action::Land(outcome) => return self.land(id, outcome),
            }
        }
    }

    fn handle(&mut self, id: FlightId, attempt: Attempt) {
        let Some(under_way) = self.under_way(id) else {
            return;
        };
        let (node, key) = (under_way.node, under_way.key);
        let (now, around) = (self.now, self.around(node, key));
        if let Some(under_way) = self.under_way(id) {
            under_way.flight.handle_attempt(attempt, now, around);
        }
    }

    /// Asks for a permit. `false`: the flight waits for it.
    fn admit(&mut self, id: FlightId, class: Class) -> Result<bool, Shed> {
        let bounded = self.is_bounded();
        let late = self.now + self.plan.limits.origin_queue_wait;
        let Some(under_way) = self.under_way(id) else {
            return Ok(false);
        };
        under_way.nth += 1;
        let (node, nth) = (under_way.node, under_way.nth);
        if !bounded {
            return Ok(true);
        }
        match self.nodes[node as usize].gate.ask(class, id) {
            Admission::Go => {
                if let Some(under_way) = self.under_way(id) {
                    under_way.permit = Some(class);
                }
                Ok(true)
            }
            Admission::Refused(shed) => Err(shed),
            Admission::Queued(ticket) => {
                if let Some(under_way) = self.under_way(id) {
                    under_way.ticket = Some(ticket);
                    under_way.permit = Some(class);
                }
                self.at(late, Rank::Bound, Event::PermitLate(id, nth));
                Ok(false)
            }
        }
    }

    /// A permit is given back, and the next flight goes.
    fn give_back(&mut self, node: u32, class: Class) {
        let Some(next) = self.nodes[node as usize].gate.done(class) else {
            return;
        };
        if let Some(under_way) = self.under_way(next) {
            under_way.ticket = None;
            self.attempt(next);
        }
    }

    /// A flight has waited for its permit for as long as it may. Here a displaced flight learns that only now, and not at once.
    pub(super) fn permit_late(&mut self, id: FlightId, nth: u32) {
        let waiting = self.attempt_of(id, nth);
        let Some((node, ticket)) =
            waiting.and_then(|flight| Some((flight.node, flight.ticket.take()?)))
        else {
            return;
        };
        // A flight that has left the queue without a permit was displaced by a more urgent one.
        let shed = match self.nodes[node as usize].gate.give_up(ticket) {
            true => Shed::OriginQueueLate,
            false => Shed::OriginQueueFull,
        };
        if let Some(under_way) = self.under_way(id) {
            under_way.permit = None;
        }
        self.handle(id, Attempt::Failed(FetchError::Shed(shed), None));
        self.drive(id);
    }

    /// The flight asks a server.
    fn attempt(&mut self, id: FlightId) {
        let (now, bounded) = (self.now, self.is_bounded());
        let Some(under_way) = self.under_way(id) else {
            return;
        };
        let (node, key, nth) = (under_way.node, under_way.key, under_way.nth);
        let (failures, reason) = (under_way.flight.failures(), under_way.flight.reason());
        let ends_at = under_way.flight.ends_at();
        under_way.asked_at = now;
        under_way.head_at = None;
        let at = &mut self.nodes[node as usize];
        let Some(server) = at.server_for(key, failures, bounded, now) else {
            return self.ended(
                id,
                Attempt::Failed(FetchError::Shed(Shed::BreakerOpen), None),
                None,
            );
        };
        let who = at.servers[server].who;
        if let Some(under_way) = self.under_way(id) {
            under_way.server = server;
        }
        let first_byte = now + self.plan.limits.first_byte;
        let (at, error) = match ends_at < first_byte {
            true => (ends_at, FetchError::TotalTimeout),
            false => (first_byte, FetchError::FirstByteTimeout),
        };
        self.at(at, Rank::Bound, Event::Silence(id, nth, error));
        self.tally
            .fetches(&self.nodes[node as usize], key, reason, self.now);
        match who {
            Upstream::Origin => self.ask_origin(Call {
                flight: id,
                nth,
                key,
            }),
            Upstream::Shield(shield) => {
                let asker = Asker::Flight(id, nth);
                if let Some(reply) = self.ask(asker, shield, key, (0, now)) {
                    self.answer_later(id, nth, reply.answer);
                }
            }
        }
    }

    /// An answer is on its way to a cache.
    pub(super) fn answer_later(&mut self, id: FlightId, nth: u32, answer: Answer) {
        let asked = self.flights.get(id.place, id.serial);
        let asked = asked.map(|flight| {
            let servers = &self.nodes[flight.node as usize].servers;
            servers[flight.server].who
        });
        let round_trip = match asked {
            Some(Upstream::Shield(_)) => self.plan.shield_round_trip,
            _ => self.plan.origin_round_trip,
        };
        let at = self.now + round_trip;
        self.at(at, Rank::Arrival, Event::Answered(id, nth, answer));
    }

    /// The attempt is over: its server's health is noted, its permit is given back, and the flight goes on.
    fn ended(&mut self, id: FlightId, attempt: Attempt, health: Option<Health>) {
        let now = self.now;
        let Some(under_way) = self.under_way(id) else {
            return;
        };
        let (node, server, permit) = (under_way.node, under_way.server, under_way.permit.take());
        // What comes of this attempt from now on is void.
        under_way.nth += 1;
        if let Some(health) = health {
            self.nodes[node as usize].servers[server]
                .breaker
                .ended(now, health);
        }
        self.handle(id, attempt);
        if let Some(class) = permit {
            self.give_back(node, class);
        }
        self.drive(id);
    }

    /// No answer came in time: the connection is closed.
    pub(super) fn silence(&mut self, id: FlightId, nth: u32, error: FetchError) {
        let now = self.now;
        let Some(under_way) = self.attempt_of(id, nth) else {
            return;
        };
        if under_way.head_at.is_some() && error == FetchError::FirstByteTimeout {
            // The body is coming in.
            let at = under_way.flight.ends_at();
            return self.at(
                at,
                Rank::Bound,
                Event::Silence(id, nth, FetchError::TotalTimeout),
            );
        }
        let key = under_way.key;
        self.origin_client_leaves(
            Call {
                flight: id,
                nth,
                key,
            },
            now,
        );
        let health = retry::health_after(error, false);
        self.ended(id, Attempt::Failed(error, None), Some(health));
    }

    /// The answer to an attempt has come.
    pub(super) fn answered(&mut self, id: FlightId, nth: u32, answer: Answer) {
        let (now, fresh) = (self.now, self.plan.limits.playlist_fresh_percent);
        let Some(under_way) = self.attempt_of(id, nth) else {
            return;
        };
        let (node, key, asked_at) = (under_way.node, under_way.key, under_way.asked_at);
        let attempt = match answer {
            Answer::Whole { last, age } => {
                let kind = key.kind();
                let facts = (kind == Kind::MediaPlaylist).then(|| self.broadcast.facts(last));
                let lifetime = (kind == Kind::Other)
                    .then(|| std::time::Duration::from_secs(crate::hls::steering::FRESH_S.into()));
                let validity = Validity::of_live(now, age, lifetime, kind, facts, fresh);
                let mut attempt = Attempt::Whole;
                let mut news = None;
                if let Some(facts) = facts {
                    let sighting = Sighting::of_answer(asked_at, now, whole_seconds(age));
                    let known = &mut self.nodes[node as usize].renditions;
                    let (fit, due) = match known.get_mut(&key.cell()) {
                        Some(rendition) => (rendition.saw(facts, sighting, now), rendition.due()),
                        None => {
                            let begun = Rendition::begin(facts, sighting, now);
                            known.insert(key.cell(), begun);
                            (Fit::Newer(None), begun.due())
                        }
                    };
                    if fit == Fit::Older {
                        attempt = Attempt::Failed(FetchError::Outdated, None);
                    } else {
                        self.wake_held(node, &fit, key);
                        news = Some((facts, due, fit));
                    }
                }
                if let Some(under_way) = self.under_way(id) {
                    under_way.validity = Some(validity);
                    under_way.last = last;
                    under_way.news = news;
                }
                attempt
            }
            Answer::Status(status @ 400..=499, _) => {
                Attempt::Refused(StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND))
            }
            Answer::Status(status, retry_after) => {
                Attempt::Failed(FetchError::Status(status), retry_after)
            }
            Answer::None(error) => Attempt::Failed(error, None),
        };
        let health = match attempt {
            Attempt::Failed(error, _) => retry::health_after(error, false),
            _ => Health::Well,
        };
        self.ended(id, attempt, Some(health));
    }

    /// A playlist lists segments for the first time: fetches that are held for them ask at once.
    fn wake_held(&mut self, node: u32, fit: &Fit, playlist: Key) {
        for number in prefetch::numbers(fit) {
            let Some(id) = self.flight_of(node, playlist.sibling(number)) else {
                continue;
            };
            let holding = self.under_way(id);
            let is_held = holding
                .is_some_and(|flight| matches!(flight.flight.poll(), Action::Wait(_, Some(_))));
            if is_held {
                let nth = self.under_way(id).map_or(0, |flight| flight.nth);
                self.at(self.now, Rank::Arrival, Event::Paused(id, nth));
            }
        }
    }

    /// The pause of a flight is over.
    pub(super) fn paused(&mut self, id: FlightId, nth: u32) {
        let Some(under_way) = self.attempt_of(id, nth) else {
            return;
        };
        if !matches!(under_way.flight.poll(), Action::Wait(..)) {
            return;
        }
        let (node, key) = (under_way.node, under_way.key);
        let newest = self.newest(node, key);
        if let Some(under_way) = self.under_way(id) {
            under_way.flight.handle_wait(newest);
        }
        self.drive(id);
    }

    /// A whole object has come. A new playlist has its segments fetched, and waits for them for a while.
    fn bring(&mut self, id: FlightId) {
        let limits = self.plan.limits;
        let Some(under_way) = self.under_way(id) else {
            return;
        };
        let (node, key) = (under_way.node, under_way.key);
        let began = under_way.flight.began();
        let news = under_way.news.clone();
        self.nodes[node as usize].budget.filled();
        let Some((facts, _, fit)) = news else {
            return self.land(id, Outcome::Whole);
        };
        let mut waits_for = 0;
        let prefetches = self.nodes[node as usize].prefetches;
        for number in prefetch::numbers(&fit) {
            let segment = key.sibling(number);
            match self.nodes[node as usize].peek(segment) {
                Some(entry) if entry.facts.validity.is_some() => continue,
                // A remembered 404 is void now.
                Some(_) => self.nodes[node as usize].forget(segment),
                None => {}
            }
            if !prefetches {
                continue;
            }
            let begun = self.begin_ahead(node, segment, Reason::Prefetch);
            let begun = begun.and_then(|flight| self.under_way(flight));
            if let Some(flight) = begun {
                flight.awaited_by.push(id);
                waits_for += 1;
            }
        }
        if waits_for == 0 {
            return self.release(id);
        }
        if let Some(under_way) = self.under_way(id) {
            under_way.waits_for = waits_for;
        }
        let held_back_max = prefetch::held_back_max(facts, &limits, self.now.since(began));
        self.at(self.now + held_back_max, Rank::Bound, Event::Released(id));
    }

    /// A playlist is handed out, unless it has been.
    pub(super) fn release(&mut self, id: FlightId) {
        let now = self.now;
        let Some(under_way) = self.under_way(id) else {
            return;
        };
        if let (Some(validity), Some((facts, due, _))) = (under_way.validity, &under_way.news) {
            under_way.validity = Some(validity.until_due(now, *due, *facts));
        }
        self.land(id, Outcome::Whole);
    }

    /// Ends a flight: the store keeps the result, and each waiter gets its answer.
    fn land(&mut self, id: FlightId, outcome: Outcome) {
        let Some(under_way) = self.flights.take(id.place, id.serial) else {
            return;
        };
        let (node, key, now) = (under_way.node, under_way.key, self.now);
        let at = &mut self.nodes[node as usize];
        at.fetches -= 1;
        at.held -= usize::from(under_way.holds);
        at.waiting = at.waiting.saturating_sub(under_way.waiters.len() as u32);
        let is_listed = match under_way.generation {
            Some(generation) => {
                let landed = at.flights.land(&key, generation).is_some();
                if landed {
                    at.under_way.remove(&key);
                }
                landed
            }
            None => true,
        };
        let before = at.peek(key).unwrap_or_default();
        let keep = landing::keep(&outcome, before.facts.negative, now);
        let off = self.plan.miss_queue == MissQueue::Off;
        let stores = match keep {
            Keep::AsItWas => false,
            Keep::Object => is_listed,
            // This baseline remembers no failure.
            _ => is_listed && !off,
        };
        if stores {
            let entry = Entry {
                facts: keep.facts(before.facts, under_way.validity),
                last: match outcome {
                    Outcome::Whole => under_way.last,
                    _ => before.last,
                },
                status: match outcome {
                    Outcome::Refused(status, _) => status.as_u16(),
                    Outcome::Failed(error, _) => error.status().as_u16(),
                    _ => 200,
                },
            };
            let bytes = match entry.facts.validity {
                Some(_) => self.bytes_of(key),
                None => FAILURE_BYTES,
            };
            let evicted = self.nodes[node as usize].keep(key, entry, bytes);
            self.tally.evicted += evicted;
        }
        let first_byte = under_way.head_at.unwrap_or(now);
        let mut waited = under_way.waiters.len() as u64;
        let whole = self.stored(ResultWord::Miss, under_way.last, under_way.validity);
        for waiter in under_way.waiters {
            let mut reply = self.outcome_for(node, key, outcome, waiter.word, whole);
            reply.first_byte = first_byte.max(waiter.since);
            self.tell(node, key, waiter.asker, waiter.since, reply);
        }
        waited += self.divide(node, key, outcome, whole, &under_way.trails);
        self.tally.landed(waited);
        for playlist in under_way.awaited_by {
            if let Some(waiting) = self.under_way(playlist) {
                waiting.waits_for -= 1;
                if waiting.waits_for == 0 {
                    self.release(playlist);
                }
            }
        }
    }

    /// What a request gets from a flight that has landed.
    fn outcome_for(
        &self,
        node: u32,
        key: Key,
        outcome: Outcome,
        word: ResultWord,
        whole: Reply,
    ) -> Reply {
        match outcome {
            Outcome::Whole => Reply { word, ..whole },
            Outcome::Refused(status, _) => self.reply(word, Self::refused(status)),
            Outcome::Failed(error, retry_after) => {
                self.without(node, key, error, retry_after, word)
            }
            Outcome::Private => self.without(node, key, FetchError::Broken, None, word),
        }
    }

    /// Divides the requests that came while a flight was under way from those that come after it.
    /// Returns the number of those that waited.
    fn divide(
        &mut self,
        node: u32,
        key: Key,
        outcome: Outcome,
        whole: Reply,
        trails: &[Trail],
    ) -> u64 {
        let mut all = 0;
        for trail in trails {
            let chance = &mut self.nodes[node as usize].chance;
            let share = split::share(trail.from, self.now, trail.until);
            let waited = split::binomial(trail.count, share, chance);
            let crowd = Crowd {
                node,
                key,
                count: trail.count - waited,
                until: trail.until,
            };
            if waited > 0 {
                if trail.word == ResultWord::Collapsed {
                    all += u64::from(waited);
                }
                let reply = match trail.word {
                    // The stored object was served meanwhile.
                    ResultWord::Stale => Reply {
                        word: ResultWord::Stale,
                        ..whole
                    },
                    word => self.outcome_for(node, key, outcome, word, whole),
                };
                self.tally
                    .waited(&self.nodes, crowd, waited, *trail, self.now, &reply);
            }
            self.follow_after(crowd);
        }
        all
    }

    /// Requests that have waited for as long as they can get what may stand in, or 503.
    pub(super) fn deadline(&mut self, id: FlightId) {
        let now = self.now;
        let Some(under_way) = self.under_way(id) else {
            return;
        };
        let (node, key) = (under_way.node, under_way.key);
        if under_way.head_at.is_some() && under_way.flight.subject().is_streamed() {
            // They read the body as it comes.
            return;
        }
        let generation = under_way.generation;
        let waiters = std::mem::take(&mut under_way.waiters);
        let (late, others): (Vec<_>, Vec<_>) =
            waiters.into_iter().partition(|waiter| waiter.until <= now);
        let next = others.iter().map(|waiter| waiter.until).min();
        under_way.deadline_set = next.is_some();
        under_way.waiters = others;
        if let Some(next) = next {
            self.at(next, Rank::Bound, Event::Deadline(id));
        }
        let at = &mut self.nodes[node as usize];
        at.waiting = at.waiting.saturating_sub(late.len() as u32);
        for _ in &late {
            if let Some(generation) = generation {
                at.flights.leave(&key, generation);
            }
        }
        for waiter in late {
            let error = FetchError::Shed(Shed::Deadline);
            let reply = self.without(node, key, error, None, waiter.word);
            self.tell(node, key, waiter.asker, waiter.since, reply);
        }
    }

    /// Gives an asker its answer.
    pub(super) fn tell(
        &mut self,
        node: u32,
        key: Key,
        asker: Asker,
        since: Timestamp,
        reply: Reply,
    ) {
        let is_silent = self.nodes[node as usize].state == State::Silent;
        match asker {
            Asker::Viewer(visitor, nth) if is_silent => {
                // The answer is made, and no byte of it leaves.
                self.unheard.push((asker, node, key));
                let gives_up = Event::GivesUp(visitor, nth);
                self.at(since + TIMEOUT, Rank::Bound, gives_up);
            }
            Asker::Viewer(visitor, nth) => self.hear(visitor, nth, reply),
            Asker::Flight(id, nth) => self.answer_later(id, nth, reply.answer),
            Asker::Crowd => {
                let one = Crowd {
                    node,
                    key,
                    count: 1,
                    until: self.now,
                };
                self.tally.crowd_since(&self.nodes, one, 1, since, &reply);
            }
        }
    }

    /// Bytes of an object.
    pub(super) fn bytes_of(&self, key: Key) -> u64 {
        match key.kind() {
            Kind::Segment => self.tally.bytes_of(key.rendition()),
            _ => PLAYLIST_BYTES,
        }
    }

    /// Sends a request to the origin.
    fn ask_origin(&mut self, call: Call) {
        let (now, id) = (self.now, call.flight);
        let client = self.under_way(id).map_or(0, |flight| flight.node);
        let arrived = self.origin.arrives(call, now);
        if arrived != Arrived::Refused {
            let shed = arrived == Arrived::Full;
            self.tally
                .hit(&self.nodes[client as usize], client, call.key, shed, now);
        }
        match arrived {
            Arrived::Refused => {
                self.answer_later(id, call.nth, Answer::None(FetchError::Connect));
            }
            Arrived::Full => {
                let busy = Answer::Status(503, Some(std::time::Duration::from_secs(1)));
                self.answer_later(id, call.nth, busy);
            }
            Arrived::Queued => {}
            Arrived::Done(at) => self.at(at, Rank::Arrival, Event::Worked(call)),
        }
    }
}

/// An age as `Age` tells it: in whole seconds.
fn whole_seconds(age: std::time::Duration) -> std::time::Duration {
    std::time::Duration::from_secs(age.as_secs())
}

//! Which flight may ask the origin now: a limited number at once, while the others wait in queues by class.
//!
//! The live edge goes before older objects. Some permits are for the live edge alone, so that requests for slow foreign
//! objects cannot starve it. Background requests are never queued. A full queue and a wait that is too long have words
//! of their own ([`Shed`]). The performer owns the clock, and gives up for a request that waited too long.

use std::collections::VecDeque;

use super::status::Shed;

/// How much a request to the origin matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Playlists and the newest segments: every viewer needs them now.
    LiveEdge,
    /// Older segments and foreign objects: a request waits for them.
    Older,
    /// Refreshes and prefetches: no request waits for them. They are dropped, not queued.
    Background,
}

impl Class {
    /// Every class, the most urgent first.
    pub const ALL: [Self; 3] = [Self::LiveEdge, Self::Older, Self::Background];

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::LiveEdge => "live-edge",
            Self::Older => "older",
            Self::Background => "background",
        }
    }
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    class: Class,
    number: u64,
}

/// The gate's answer to a request for a permit.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// The request may go.
    Go,
    /// The request waits until [`Gate::done`] returns its waker.
    Queued(Ticket),
    /// The request may not go, and does not wait.
    Refused(Shed),
}

/// The gate before an origin. `T` wakes a request that waits.
#[derive(Debug)]
pub struct Gate<T> {
    at_once_max: usize,
    queued_max: usize,
    under_way: usize,
    /// Requests under way that are not for the live edge.
    others_under_way: usize,
    /// One queue per class that can wait, the most urgent first.
    queues: [VecDeque<(u64, T)>; 2],
    next: u64,
}

impl<T> Gate<T> {
    /// A gate with `at_once_max` permits and `queued_max` places in its queues. A quarter of the permits, rounded down,
    /// is for the live edge alone.
    pub fn new(at_once_max: usize, queued_max: usize) -> Self {
        Self {
            at_once_max,
            queued_max,
            under_way: 0,
            others_under_way: 0,
            queues: Default::default(),
            next: 0,
        }
    }

    /// Asks for a permit. A request that goes must call [`Gate::done`] once.
    pub fn ask(&mut self, class: Class, waker: T) -> Admission {
        if self.has_room_for(class) {
            self.goes(class);
            return Admission::Go;
        }
        if class == Class::Background {
            return Admission::Refused(Shed::Background);
        }
        if self.queued() >= self.queued_max {
            // The live edge takes the place of the newest older request that waits; the waker of that request is
            // dropped unused.
            let displaced = (class == Class::LiveEdge)
                .then(|| self.queues[Class::Older as usize].pop_back())
                .flatten();
            if displaced.is_none() {
                return Admission::Refused(Shed::OriginQueueFull);
            }
        }
        let number = self.next;
        self.queues[class as usize].push_back((number, waker));
        self.next += 1;
        Admission::Queued(Ticket { class, number })
    }

    /// A request of this class has ended. Returns the waker of the next request that goes: the most urgent class with a
    /// free permit comes first.
    pub fn done(&mut self, class: Class) -> Option<T> {
        self.under_way = self.under_way.saturating_sub(1);
        if class != Class::LiveEdge {
            self.others_under_way = self.others_under_way.saturating_sub(1);
        }
        let next = [Class::LiveEdge, Class::Older]
            .into_iter()
            .find(|&next| self.depth(next) > 0 && self.has_room_for(next))?;
        self.goes(next);
        let (_, waker) = self.queues[next as usize].pop_front()?;
        Some(waker)
    }

    fn has_room_for(&self, class: Class) -> bool {
        let others_max = self.at_once_max - self.at_once_max / 4;
        self.under_way < self.at_once_max
            && (class == Class::LiveEdge || self.others_under_way < others_max)
    }

    fn goes(&mut self, class: Class) {
        self.under_way += 1;
        self.others_under_way += usize::from(class != Class::LiveEdge);
    }

    /// A request that waits gives up. `false`: it no longer waits. If it has got its permit meanwhile, it must call
    /// [`Gate::done`].
    pub fn give_up(&mut self, ticket: Ticket) -> bool {
        let queue = &mut self.queues[ticket.class as usize];
        let place = queue
            .iter()
            .position(|(number, _)| *number == ticket.number);
        place.is_some_and(|place| queue.remove(place).is_some())
    }

    /// Number of requests of a class that wait.
    pub fn depth(&self, class: Class) -> usize {
        self.queues.get(class as usize).map_or(0, VecDeque::len)
    }

    /// Number of requests under way.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    fn queued(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_live_edge_goes_before_what_is_older() {
        let mut gate = Gate::new(1, 10);
        assert_eq!(gate.ask(Class::Older, "first"), Admission::Go);
        gate.ask(Class::Older, "old");
        gate.ask(Class::LiveEdge, "new");
        assert_eq!(gate.done(Class::Older), Some("new"));
        assert_eq!(gate.done(Class::LiveEdge), Some("old"));
        assert_eq!(gate.done(Class::Older), None);
        assert_eq!(gate.under_way(), 0);
    }

    #[test]
    fn a_quarter_of_the_places_is_for_the_live_edge_alone() {
        let mut gate = Gate::new(4, 10);
        for class in [Class::Older, Class::Background, Class::Older] {
            assert_eq!(gate.ask(class, "slow"), Admission::Go);
        }
        assert!(matches!(
            gate.ask(Class::Older, "older"),
            Admission::Queued(_)
        ));
        assert_eq!(
            gate.ask(Class::Background, "ahead"),
            Admission::Refused(Shed::Background)
        );
        assert_eq!(gate.ask(Class::LiveEdge, "live"), Admission::Go);
        assert!(matches!(
            gate.ask(Class::LiveEdge, "next"),
            Admission::Queued(_)
        ));
        assert_eq!(gate.done(Class::LiveEdge), Some("next"));
        assert_eq!(gate.done(Class::LiveEdge), None, "that place is kept free");
        assert_eq!(gate.done(Class::Older), Some("older"));
    }

    #[test]
    fn a_flight_without_waiters_is_dropped_and_a_full_queue_says_so() {
        let mut gate = Gate::new(1, 1);
        gate.ask(Class::LiveEdge, ());
        assert_eq!(
            gate.ask(Class::Background, ()),
            Admission::Refused(Shed::Background)
        );
        assert!(matches!(
            gate.ask(Class::LiveEdge, ()),
            Admission::Queued(_)
        ));
        for class in [Class::LiveEdge, Class::Older] {
            assert_eq!(
                gate.ask(class, ()),
                Admission::Refused(Shed::OriginQueueFull)
            );
        }
    }

    #[test]
    fn the_live_edge_displaces_what_can_wait() {
        let mut gate = Gate::new(1, 2);
        gate.ask(Class::Older, "goes");
        gate.ask(Class::Older, "first");
        let Admission::Queued(newest) = gate.ask(Class::Older, "second") else {
            panic!()
        };
        assert!(matches!(
            gate.ask(Class::LiveEdge, "live"),
            Admission::Queued(_)
        ));
        assert!(!gate.give_up(newest), "its place is taken");
        assert_eq!(gate.done(Class::Older), Some("live"));
        assert_eq!(gate.done(Class::LiveEdge), Some("first"));
    }

    #[test]
    fn who_gives_up_too_late_has_been_let_go() {
        let mut gate = Gate::new(1, 2);
        gate.ask(Class::Older, 0);
        let Admission::Queued(one) = gate.ask(Class::Older, 1) else {
            panic!()
        };
        let Admission::Queued(two) = gate.ask(Class::Older, 2) else {
            panic!()
        };
        assert!(gate.give_up(two));
        assert!(!gate.give_up(two));
        assert_eq!(gate.done(Class::Older), Some(1));
        assert!(!gate.give_up(one));
    }

    proptest! {
        /// In any order of events the bounds hold: of requests under way, of those outside the live edge, and of queued
        /// requests. No request is lost.
        #[test]
        fn the_bounds_hold(events in prop::collection::vec((0_u8..4, 0_usize..3, any::<prop::sample::Index>()), 0..200)) {
            let (at_once, queued, others_max) = (4, 5, 3);
            let mut gate = Gate::new(at_once, queued);
            let (mut going, mut waiting, mut next) = (Vec::new(), Vec::new(), 0_u32);
            let others = |going: &[Class]| going.iter().filter(|&&class| class != Class::LiveEdge).count();
            for (event, class, pick) in events {
                match event {
                    0 | 1 => {
                        match gate.ask(Class::ALL[class], next) {
                            Admission::Go => going.push(Class::ALL[class]),
                            Admission::Queued(ticket) => {
                                if waiting.len() == queued {
                                    let displaced = waiting.iter().rposition(|(ticket, _): &(Ticket, u32)| ticket.class == Class::Older);
                                    waiting.remove(displaced.unwrap());
                                }
                                waiting.push((ticket, next));
                            }
                            Admission::Refused(_) => prop_assert!(going.len() == at_once || others(&going) == others_max),
                        }
                        next += 1;
                    }
                    2 if !going.is_empty() => {
                        let class = going.remove(pick.index(going.len()));
                        match gate.done(class) {
                            Some(id) => {
                                let at = waiting.iter().position(|&(_, other)| other == id);
                                prop_assert!(at.is_some());
                                going.push(waiting.remove(at.unwrap()).0.class);
                            }
                            None => prop_assert!(waiting.iter().all(|(ticket, _)| ticket.class == Class::Older && others(&going) == others_max)),
                        }
                    }
                    _ if !waiting.is_empty() => {
                        let (ticket, _) = waiting.remove(pick.index(waiting.len()));
                        prop_assert!(gate.give_up(ticket));
                    }
                    _ => {}
                }
                prop_assert!(going.len() <= at_once && others(&going) <= others_max && waiting.len() <= queued);
                prop_assert_eq!(gate.under_way(), going.len());
                prop_assert_eq!(gate.queued(), waiting.len());
            }
        }
    }
}

//! What an edge gathers while its last batch is under way: operations in the order of their arrival, and sums.
//!
//! ```text
//! likes, unlikes, hearts with a number or a key ─▶ one operation each, in their order
//! hearts without a name                         ─▶ one sum per channel, behind the operations: order does not matter
//! ```
//! An operation with an identity is never summed. Only the origin knows what it has counted of that viewer, and another
//! edge may get the same operation. A ticket stands for each waiting sender. The ticket is given back once, with the
//! sender's operation or with the sum that contains its hearts.

use std::collections::VecDeque;
use std::sync::Arc;

use super::batch::Header;
use super::forward::{self, Filling};
use super::operation::{HEARTS_PER_OPERATION_MAX, Operation};

/// A viewer's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// An operation with an identity: sent twice, it counts once.
    Named(Operation),
    /// Hearts without an identity: they count each time they are sent.
    Nameless {
        /// The channel.
        channel: Arc<str>,
        /// Number of hearts, 1 to [`HEARTS_MAX`](super::operation::HEARTS_MAX).
        hearts: u32,
    },
}

impl Sent {
    /// The channel of the request.
    pub fn channel(&self) -> &str {
        match self {
            Self::Named(operation) => &operation.channel,
            Self::Nameless { channel, .. } => channel,
        }
    }
}

/// Requests that wait to be forwarded. The queue has no bound of its own, because each waiting like holds a permit.
#[derive(Debug)]
pub struct Gathering<T> {
    waiting: VecDeque<Waiting<T>>,
    next: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    number: u64,
    sent: Sent,
    from: Box<str>,
    ticket: T,
}

/// One forwarded request.
#[derive(Debug)]
pub struct Taken<T> {
    /// The bytes to send: see [`forward`].
    pub bytes: Vec<u8>,
    /// For each operation in the bytes, its tickets: one, or all those whose hearts are in a sum.
    pub tickets: Vec<Part<T>>,
}

/// The tickets of one operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<T> {
    /// The ticket of the viewer that sent it.
    Named(T),
    /// The tickets of all viewers whose hearts are in this sum.
    Sum(Vec<T>),
}

/// The sum of hearts for one channel.
#[derive(Debug)]
struct Sum<T> {
    channel: Arc<str>,
    hearts: u32,
    tickets: Vec<T>,
}

impl<T> Default for Gathering<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            next: 0,
        }
    }
}

impl<T> Gathering<T> {
    /// Appends a request that came from these addresses: `X-Forwarded-For` with the nearest last. Returns a number by
    /// which the request can be withdrawn.
    pub fn push(&mut self, sent: Sent, from: &str, ticket: T) -> u64 {
        self.next += 1;
        self.waiting.push_back(Waiting {
            number: self.next,
            sent,
            from: nearest(from).into(),
            ticket,
        });
        self.next
    }

    /// Withdraws a request that was not taken yet.
    pub fn withdraw(&mut self, number: u64) -> Option<T> {
        let found = self
            .waiting
            .binary_search_by_key(&number, |waiting| waiting.number);
        let waiting = self.waiting.remove(found.ok()?)?;
        Some(waiting.ticket)
    }

    /// Takes as many requests as fit, the oldest first; `None` if none waits.
    pub fn take(&mut self, header: Header) -> Option<Taken<T>> {
        let (mut filling, mut tickets) = (Filling::default(), Vec::new());
        let mut sums: Vec<Sum<T>> = Vec::new();
        while let Some(first) = self.waiting.front() {
            let fits = match &first.sent {
                Sent::Named(operation) => filling.push(operation, &first.from, sums.len()),
                Sent::Nameless { channel, hearts } => {
                    match sums.iter().find(|sum| sum.channel == *channel) {
                        Some(sum) => sum.hearts + hearts <= HEARTS_PER_OPERATION_MAX,
                        None => filling.has_room(sums.len()),
                    }
                }
            };
            if !fits {
                break;
            }
            let Some(Waiting { sent, ticket, .. }) = self.waiting.pop_front() else {
                break;
            };
            match sent {
                Sent::Named(_) => tickets.push(Part::Named(ticket)),
                Sent::Nameless { channel, hearts } => add(&mut sums, channel, hearts, ticket),
            }
        }
        for sum in sums {
            let fits = filling.push(&forward::sum(header, &sum.channel, sum.hearts), "", 0);
            debug_assert!(fits, "its room was kept");
            tickets.push(Part::Sum(sum.tickets));
        }
        (!tickets.is_empty()).then(|| Taken {
            bytes: filling.finish(header),
            tickets,
        })
    }
}

fn add<T>(sums: &mut Vec<Sum<T>>, channel: Arc<str>, hearts: u32, ticket: T) {
    match sums.iter_mut().find(|sum| sum.channel == channel) {
        Some(sum) => {
            sum.hearts += hearts;
            sum.tickets.push(ticket);
        }
        None => sums.push(Sum {
            channel,
            hearts,
            tickets: vec![ticket],
        }),
    }
}

/// The end of a list of addresses, if the whole list is too long. The end is kept, because the nearest addresses are
/// the trusted ones.
fn nearest(from: &str) -> &str {
    let mut rest = from;
    while rest.len() > forward::FROM_BYTES_MAX {
        rest = rest.split_once(',').map_or("", |(_, nearer)| nearer.trim());
    }
    rest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::likes::batch::OPERATIONS_MAX;
    use crate::likes::forward::{Forwarded, is_sum};
    use crate::likes::{Action, Change, Identity};

    fn header(number: u64) -> Header {
        Header {
            writer: 1,
            epoch: 1,
            number,
        }
    }

    fn like(viewer: &str, sequence: u64) -> Sent {
        let identity = Identity::Sequence(sequence);
        Sent::Named(Operation::update("demo", viewer, identity, Action::Like))
    }

    fn nameless(channel: &str, hearts: u32) -> Sent {
        let channel = channel.into();
        Sent::Nameless { channel, hearts }
    }

    /// One request of a script: a viewer's operation, or hearts without an identity.
    fn sent() -> impl Strategy<Value = Sent> {
        let channel = prop::sample::select(vec!["a", "b", "c"]);
        (channel, 0..8_u8, 1..100_u32, 0..4_u8).prop_map(|(channel, viewer, number, what)| {
            let action = [Action::Like, Action::Unlike, Action::Hearts(number)];
            let Some(action) = action.get(usize::from(what)) else {
                return nameless(channel, number);
            };
            let identity = if viewer % 2 == 0 {
                Identity::Sequence(number.into())
            } else {
                Identity::Key(format!("k{number}").into())
            };
            let viewer = format!("v{viewer}");
            Sent::Named(Operation::update(channel, &viewer, identity, *action))
        })
    }

    proptest! {
        /// Whatever is sent, and whenever a batch leaves: operations keep their identities and their order, sums are exact,
        /// and each ticket comes back once, with its own operation or in the sum of its channel.
        #[test]
        fn gathering_keeps_order_and_identities_and_sums_are_exact(
            script in prop::collection::vec((sent(), any::<bool>()), 0..200),
        ) {
            let mut gathering = Gathering::default();
            let mut left = Vec::new();
            let mut number = 0;
            for (index, (sent, leaves)) in script.iter().enumerate() {
                gathering.push(sent.clone(), "192.0.2.1", index);
                if *leaves {
                    number += 1;
                    left.extend(gathering.take(header(number)));
                }
            }
            left.extend(gathering.take(header(number + 1)));
            prop_assert!(gathering.take(header(number + 2)).is_none());

            let mut named = Vec::new();
            let mut sums = BTreeMap::<String, u32>::new();
            for taken in left {
                let Forwarded { batch, from } = Forwarded::decode(&taken.bytes).unwrap();
                prop_assert_eq!(batch.operations.len(), taken.tickets.len());
                for ((operation, part), from) in batch.operations.iter().zip(taken.tickets).zip(from) {
                    match part {
                        Part::Named(ticket) => {
                            prop_assert_eq!(&Sent::Named(operation.clone()), &script[ticket].0);
                            prop_assert_eq!(&*from, "192.0.2.1");
                            named.push(ticket);
                        }
                        Part::Sum(tickets) => {
                            prop_assert!(is_sum(operation, batch.header));
                            let mut sum = 0;
                            for ticket in tickets {
                                let Sent::Nameless { channel, hearts } = &script[ticket].0 else {
                                    panic!("an operation with an identity is in a sum");
                                };
                                prop_assert_eq!(channel, &operation.channel);
                                sum += hearts;
                                *sums.entry(channel.to_string()).or_default() += hearts;
                            }
                            let Change::Update(update) = &operation.change else { unreachable!() };
                            prop_assert_eq!(update.action, Action::Hearts(sum));
                        }
                    }
                }
            }
            let expected: Vec<_> = (0..script.len())
                .filter(|&index| matches!(script[index].0, Sent::Named(_)))
                .collect();
            prop_assert_eq!(named, expected);
            let mut totals = BTreeMap::<String, u32>::new();
            for (sent, _) in &script {
                if let Sent::Nameless { channel, hearts } = sent {
                    *totals.entry(channel.to_string()).or_default() += hearts;
                }
            }
            prop_assert_eq!(sums, totals);
        }
    }

    #[test]
    fn a_batch_is_full_with_4096_operations_however_many_hearts_are_in_its_sums() {
        let mut gathering = Gathering::default();
        for number in 1..=OPERATIONS_MAX as u64 {
            gathering.push(nameless("demo", 100), "", ());
            gathering.push(like("ann", number), "192.0.2.1", ());
        }
        let first = gathering.take(header(1)).unwrap();
        assert_eq!(first.tickets.len(), OPERATIONS_MAX);
        let hearts = |taken: &Taken<()>| match taken.tickets.last() {
            Some(Part::Sum(tickets)) => tickets.len(),
            _ => 0,
        };
        assert_eq!(hearts(&first), OPERATIONS_MAX);
        let second = gathering.take(header(2)).unwrap();
        assert_eq!((second.tickets.len(), hearts(&second)), (1, 0));
        assert!(gathering.take(header(3)).is_none());
    }

    #[test]
    fn what_is_withdrawn_is_not_forwarded_and_what_was_taken_cannot_be_withdrawn() {
        let mut gathering = Gathering::default();
        let numbers: Vec<_> = (1..=4)
            .map(|number| gathering.push(like("ann", number), "", number))
            .collect();
        assert_eq!(gathering.withdraw(numbers[1]), Some(2));
        assert_eq!(gathering.withdraw(numbers[1]), None);
        let taken = gathering.take(header(1)).unwrap();
        assert_eq!(
            taken.tickets,
            [Part::Named(1), Part::Named(3), Part::Named(4)]
        );
        assert_eq!(gathering.withdraw(numbers[0]), None);
    }

    #[test]
    fn a_list_of_addresses_that_is_too_long_loses_its_beginning() {
        let short = "10.0.0.1, 192.0.2.1";
        assert_eq!(nearest(short), short);
        let long = format!("{}192.0.2.1", "10.0.0.1, ".repeat(40));
        assert!(nearest(&long).len() <= forward::FROM_BYTES_MAX);
        assert!(nearest(&long).ends_with("10.0.0.1, 192.0.2.1"));
        assert_eq!(nearest(&"x".repeat(300)), "");
    }
}

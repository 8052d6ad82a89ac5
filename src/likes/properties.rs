//! Tests the fold against an oracle without windows, batches and snapshots: it uses whole histories and lists.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::batch::{Batch, Header};
use super::fold::{Effect, Rules, State};
use super::operation::{Action, Identity, Operation};
use super::snapshot;

/// One step of a history: channel, viewer, number or key, action.
type Step = (u8, u8, Result<u8, u8>, Action);

/// Counts each step of a history by comparing it with all steps before. Returns likes and hearts per channel, and which
/// steps counted.
fn oracle(history: &[Step]) -> (BTreeMap<u8, (u64, u64)>, Vec<bool>) {
    let mut counted: Vec<Step> = Vec::new();
    let mut counts = Vec::new();
    for step in history {
        let (channel, viewer, identity, action) = *step;
        let hearts = |action: Action| matches!(action, Action::Hearts(_));
        let same = |past: &&Step| (past.0, past.1) == (channel, viewer);
        let mine = || counted.iter().filter(same);
        let refused = match identity {
            Err(key) => mine().any(|past| past.2 == Err(key)),
            Ok(number) if hearts(action) => {
                mine().any(|past| hearts(past.3) && past.2 == Ok(number))
            }
            Ok(number) => mine().any(|past| !hearts(past.3) && past.2.is_ok_and(|n| n >= number)),
        };
        counts.push(!refused);
        if !refused {
            counted.push(*step);
        }
    }
    let mut channels: BTreeMap<u8, (u64, u64)> =
        history.iter().map(|step| (step.0, (0, 0))).collect();
    for (&channel, (likes, hearts)) in &mut channels {
        let here = || counted.iter().filter(|step| step.0 == channel);
        let viewers: BTreeSet<u8> = here().map(|step| step.1).collect();
        let last = |viewer: &u8| {
            let mut own = here().filter(|step| step.1 == *viewer);
            own.rfind(|step| !matches!(step.3, Action::Hearts(_)))
        };
        let liking = |viewer: &&u8| last(viewer).is_some_and(|step| step.3 == Action::Like);
        *likes = viewers.iter().filter(liking).count() as u64;
        *hearts = here()
            .map(|step| {
                if let Action::Hearts(n) = step.3 {
                    n.into()
                } else {
                    0
                }
            })
            .sum();
    }
    (channels, counts)
}

fn operation(&(channel, viewer, identity, action): &Step) -> Operation {
    let identity = match identity {
        Ok(number) => Identity::Sequence(number.into()),
        Err(key) => Identity::Key(format!("k{key}").into()),
    };
    let (channel, viewer) = (format!("c{channel}"), format!("v{viewer}"));
    Operation::update(channel, &viewer, identity, action)
}

fn step() -> impl Strategy<Value = Step> {
    let action = prop_oneof![
        Just(Action::Like),
        Just(Action::Unlike),
        (1..4_u32).prop_map(Action::Hearts),
    ];
    // The numbers span less than a window. Another test covers numbers outside of it.
    let identity = prop_oneof![(1..60_u8).prop_map(Ok), (0..6_u8).prop_map(Err)];
    (0..2_u8, 0..4_u8, identity, action)
}

/// How a history is written to a log: cut into batches, some of them twice, with snapshots in between.
#[derive(Clone, Debug)]
struct Way {
    cuts: Vec<(usize, bool, bool)>,
}

fn way() -> impl Strategy<Value = Way> {
    prop::collection::vec((1..9_usize, any::<bool>(), any::<bool>()), 1..40)
        .prop_map(|cuts| Way { cuts })
}

/// Encodes and decodes a history as batches, applies them, and returns the state and the outcome of each step.
fn play(history: &[Step], way: &Way) -> (State, Vec<Effect>) {
    let rules = Rules::default();
    let (mut state, mut effects, mut number) = (State::new(rules), Vec::new(), 0);
    let (mut rest, mut cuts) = (history, way.cuts.iter().cycle());
    while !rest.is_empty() {
        let &(length, twice, restart) = cuts.next().unwrap();
        let (now, later) = rest.split_at(length.min(rest.len()));
        rest = later;
        number += 1;
        let batch = Batch {
            header: Header {
                writer: 7,
                epoch: 1,
                number,
            },
            operations: now.iter().map(operation).collect(),
        };
        let batch = Batch::decode(&batch.encode().unwrap()).unwrap();
        for _ in 0..=usize::from(twice) {
            let next = state.position() + 1;
            let outcomes = state.apply(next, batch.header, &batch.operations).unwrap();
            for outcome in outcomes {
                effects.push(outcome.effect);
                assert_eq!(outcome.sequence, effects.len() as u64, "no gap");
            }
        }
        if restart {
            let (bytes, _) = snapshot::encode(&state);
            state = snapshot::decode(&bytes, rules).unwrap();
        }
    }
    (state, effects)
}

proptest! {
    /// Invariants 2, 3, 4: each operation counts at most once, and counts are those that are counted by hand.
    #[test]
    fn the_fold_counts_as_the_oracle_does(
        history in prop::collection::vec(step(), 0..120),
        way in way(),
    ) {
        let (state, effects) = play(&history, &way);
        let (channels, counted) = oracle(&history);
        let found: Vec<_> = effects.iter().map(|effect| *effect == Effect::Counted).collect();
        prop_assert_eq!(found, counted);
        for (channel, (likes, hearts)) in channels {
            let counts = state.counts(&format!("c{channel}")).unwrap();
            prop_assert_eq!((counts.likes, counts.hearts), (likes, hearts));
        }
    }

    /// Invariant 9: a snapshot and what follows it come to what all of it comes to, however it was cut.
    #[test]
    fn one_history_has_one_hash(
        history in prop::collection::vec(step(), 0..120),
        one in way(),
        two in way(),
    ) {
        let (one, two) = (play(&history, &one).0, play(&history, &two).0);
        prop_assert_eq!(snapshot::hash(&one), snapshot::hash(&two));
    }

    /// Invariant 2: a history that is sent again from its beginning changes nothing but the numbers.
    #[test]
    fn what_is_sent_again_has_no_further_effect(
        history in prop::collection::vec(step(), 1..60),
        way in way(),
    ) {
        let (before, _) = play(&history, &way);
        let (after, effects) = play(&[history.clone(), history.clone()].concat(), &way);
        prop_assert!(effects[history.len()..].iter().all(|effect| *effect != Effect::Counted));
        for (channel, counts) in before.all_counts() {
            let later = after.counts(&channel).unwrap();
            prop_assert_eq!((later.likes, later.hearts), (counts.likes, counts.hearts));
            prop_assert!(later.seq > counts.seq);
        }
    }
}

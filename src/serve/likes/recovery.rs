//! Recovers a state from the newest whole snapshot and the log after it.
//!
//! Every entry that the log still holds is read and checked, also those that the snapshot includes. So a damaged entry
//! is reported when the program starts, not when it is needed. Nothing is repaired automatically. Servers keep
//! checksums of their own, so of their logs only the entries after the snapshot are read.

use super::generations::Generations;
use super::log::{Facts, Keeper, LogError, LogReader};
use crate::likes::batch::BatchError;
use crate::likes::fold::{FoldError, Rules};
use crate::likes::{Batch, State};

/// Bytes of the log that are read at once.
pub(super) const READ_BYTES: usize = 4 << 20;

/// Why a log cannot be continued.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The log or the snapshots cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An entry is damaged.
    #[error("entry {position} of the log is damaged: {source}; {advice}", advice = cut(*position, *keeper))]
    Damaged {
        /// The position of the entry.
        position: u64,
        /// The keeper of the log.
        keeper: Keeper,
        /// The error.
        source: BatchError,
    },
    /// An entry does not follow from the entries before it.
    #[error("entry {position} of the log does not follow: {source}; {advice}", advice = cut(*position, *keeper))]
    Order {
        /// The position of the entry.
        position: u64,
        /// The keeper of the log.
        keeper: Keeper,
        /// The error.
        source: FoldError,
    },
    /// Entries are missing.
    #[error("entry {expected} of the log is missing: {found} follows; {advice}", advice = cut(*expected, *keeper))]
    Missing {
        /// The entry that should come next.
        expected: u64,
        /// The keeper of the log.
        keeper: Keeper,
        /// The entry that came.
        found: u64,
    },
    /// A snapshot includes entries that the log has lost.
    #[error(
        "the log ends with entry {last}, but a snapshot includes all up to {position}: the log has lost its end; {advice}, or remove state.db to go on with what the log has",
        advice = match keeper {
            Keeper::Us => "put back the file that belongs to state.db",
            Keeper::Servers => "restore the stream from a copy that has it",
        }
    )]
    LogBehind {
        /// The keeper of the log.
        keeper: Keeper,
        /// The last entry.
        last: u64,
        /// The last entry that the snapshot includes.
        position: u64,
    },
    /// No snapshot is whole, and the first entries of the log are gone.
    #[error(
        "the log begins with entry {first}, and no snapshot of what came before is whole: put back state.db from a copy; newest: {why}"
    )]
    NoBeginning {
        /// The first entry that the log holds.
        first: u64,
        /// Why the newest snapshot cannot be used.
        why: String,
    },
}

fn cut(position: u64, keeper: Keeper) -> String {
    match keeper {
        Keeper::Us => format!(
            "`seawall likes verify` tells what can be read, `seawall likes truncate --at {position}` gives up that entry and all behind it"
        ),
        Keeper::Servers => {
            "restore the stream from a copy: others fold it too, so nothing is given up here"
                .to_owned()
        }
    }
}

/// The state that the snapshots and the log give.
///
/// # Errors
/// They do not give a valid state. The message names the position.
pub fn recover(
    log: &mut dyn LogReader,
    facts: &Facts,
    generations: Option<&Generations>,
    rules: Rules,
) -> Result<State, RecoveryError> {
    let mut state = newest_whole(facts, generations, rules)?;
    let mut facts = *facts;
    if facts.keeper == Keeper::Servers {
        facts.trimmed = facts.trimmed.max(state.position());
    }
    let keeper = facts.keeper;
    read_all(log, &facts, |batch, position| {
        if position <= state.position() {
            return Ok(());
        }
        let applied = state.apply(position, batch.header, &batch.operations);
        applied.map(drop).map_err(|source| RecoveryError::Order {
            position,
            keeper,
            source,
        })
    })?;
    Ok(state)
}

/// Passes every entry that the log holds to `each`, in order.
///
/// # Errors
/// An entry is damaged or missing, or `each` fails.
pub fn read_all(
    log: &mut dyn LogReader,
    facts: &Facts,
    mut each: impl FnMut(Batch, u64) -> Result<(), RecoveryError>,
) -> Result<(), RecoveryError> {
    let keeper = facts.keeper;
    let mut expected = facts.trimmed + 1;
    while expected <= facts.last {
        let entries = log.read_from(expected, READ_BYTES)?;
        if entries.is_empty() {
            let found = facts.last;
            return Err(RecoveryError::Missing {
                expected,
                keeper,
                found,
            });
        }
        for entry in entries {
            let position = entry.position;
            if position != expected {
                let found = position;
                return Err(RecoveryError::Missing {
                    expected,
                    keeper,
                    found,
                });
            }
            let batch = Batch::decode(&entry.bytes).map_err(|source| RecoveryError::Damaged {
                position,
                keeper,
                source,
            })?;
            each(batch, position)?;
            expected += 1;
        }
    }
    Ok(())
}

/// The state of the newest whole snapshot; an empty state if the log holds all entries.
fn newest_whole(
    facts: &Facts,
    generations: Option<&Generations>,
    rules: Rules,
) -> Result<State, RecoveryError> {
    let all = generations.map(Generations::all).transpose()?;
    let mut why = "there is none".to_owned();
    for (index, generation) in all.into_iter().flatten().enumerate() {
        let position = generation.position;
        if position > facts.last {
            let Facts { last, keeper, .. } = *facts;
            return Err(RecoveryError::LogBehind {
                keeper,
                last,
                position,
            });
        }
        if position < facts.trimmed {
            break;
        }
        let loaded = generations
            .expect("a generation stands in them")
            .load(generation, rules);
        match loaded {
            Ok(state) => return Ok(state),
            Err(error) => {
                tracing::warn!(%error, "an older snapshot and more of the log stand in");
                if index == 0 {
                    why = error.to_string();
                }
            }
        }
    }
    if facts.trimmed > 0 {
        let first = facts.trimmed + 1;
        return Err(RecoveryError::NoBeginning { first, why });
    }
    Ok(State::new(rules))
}

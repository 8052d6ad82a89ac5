//! From what the disk holds to a state: the newest snapshot that is whole, and the log behind it.
//!
//! Every entry that the log still holds is read and checked, also those that the snapshot includes: a damaged one is told
//! when the program starts, not when it is needed. Nothing is repaired in passing. Servers keep checksums of their own, so of
//! a log that they keep only what follows the snapshot is read.

use super::generations::Generations;
use super::log::{Facts, Keeper, LogError, LogReader};
use crate::likes::batch::BatchError;
use crate::likes::fold::{FoldError, Rules};
use crate::likes::{Batch, State};

/// Bytes of the log that are read at once.
pub(super) const READ_BYTES: usize = 4 << 20;

/// Why a log cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The log or the snapshots cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An entry is not what was written.
    #[error("entry {position} of the log is damaged: {source}; {advice}", advice = cut(*position, *keeper))]
    Damaged {
        /// Its place.
        position: u64,
        /// Who has the log.
        keeper: Keeper,
        /// What is wrong.
        source: BatchError,
    },
    /// An entry does not follow from those before it.
    #[error("entry {position} of the log does not follow: {source}; {advice}", advice = cut(*position, *keeper))]
    Order {
        /// Its place.
        position: u64,
        /// Who has the log.
        keeper: Keeper,
        /// What is wrong.
        source: FoldError,
    },
    /// Entries are missing.
    #[error("entry {expected} of the log is missing: {found} follows; {advice}", advice = cut(*expected, *keeper))]
    Missing {
        /// The entry that should come next.
        expected: u64,
        /// Who has the log.
        keeper: Keeper,
        /// The entry that came.
        found: u64,
    },
    /// A snapshot includes what the log has lost.
    #[error(
        "the log ends with entry {last}, but a snapshot includes all up to {position}: the log has lost its end; {advice}, or remove state.db to go on with what the log has",
        advice = match keeper {
            Keeper::Us => "put back the file that belongs to state.db",
            Keeper::Servers => "restore the stream from a copy that has it",
        }
    )]
    LogBehind {
        /// Who has the log.
        keeper: Keeper,
        /// The last entry.
        last: u64,
        /// What the snapshot includes.
        position: u64,
    },
    /// No snapshot is whole, and the log does not begin at its beginning.
    #[error(
        "the log begins with entry {first}, and no snapshot of what came before is whole: put back state.db from a copy; newest: {why}"
    )]
    NoBeginning {
        /// The first entry that the log holds.
        first: u64,
        /// Why the newest snapshot is none.
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

/// The state that the snapshots and the log come to.
///
/// # Errors
/// They do not come to one; the sentence names the place.
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

/// Hands every entry that the log holds to `each`, in order.
///
/// # Errors
/// One is damaged or missing, or `each` says so.
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

/// The newest snapshot that is whole, or nothing yet if the log holds all.
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

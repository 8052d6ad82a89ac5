//! Snapshots on disk: a state, its cursor and its hash in one transaction. Two generations are kept.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::log::LogError;
use super::sqlite::failed;
use crate::likes::State;
use crate::likes::fold::Rules;
use crate::likes::snapshot::{self, Hash};

/// Number of snapshots that are kept.
pub const KEPT: u64 = 2;
/// Bytes of a snapshot in one row.
const PIECE_BYTES: usize = 1 << 20;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS generations (
    position INTEGER PRIMARY KEY, log INTEGER NOT NULL, sequence INTEGER NOT NULL, hash TEXT NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS pieces (
    position INTEGER NOT NULL, piece INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (position, piece)
) STRICT, WITHOUT ROWID;
";

/// The snapshots of one shard.
#[derive(Debug)]
pub struct Generations {
    connection: Connection,
    path: PathBuf,
    log: u64,
}

/// A stored snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The last entry that it includes.
    pub position: u64,
    /// The last operation that it includes.
    pub sequence: u64,
    /// The hash that its state must have.
    pub hash: Hash,
}

impl Generations {
    /// Opens or creates the file with the snapshots of this log. Blocks.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(path: &Path, log: u64) -> Result<Self, LogError> {
        let connection = Connection::open(path).map_err(failed("open", path))?;
        let made = connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 4194304; {SCHEMA}"
        ));
        made.map_err(failed("write to", path))?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            log,
        })
    }

    /// Opens a file for reading only; `None` if it does not exist yet.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_only(path: &Path, log: u64) -> Result<Option<Self>, LogError> {
        if !path.exists() {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed("read", path))?;
        connection
            .execute_batch("BEGIN")
            .map_err(failed("read", path))?;
        Ok(Some(Self {
            connection,
            path: path.to_owned(),
            log,
        }))
    }

    /// All snapshots, the newest first.
    ///
    /// # Errors
    /// The file cannot be read, or belongs to another log.
    pub fn all(&self) -> Result<Vec<Generation>, LogError> {
        let read = || {
            let mut select = self.connection.prepare(
                "SELECT position, log, sequence, hash FROM generations ORDER BY position DESC",
            )?;
            let rows = select.query_map([], |row| {
                let hash: String = row.get(3)?;
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, i64>(2)?,
                    hash,
                ))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = read().map_err(failed("read", &self.path))?;
        let generation = |(position, log, sequence, hash): (i64, i64, i64, String)| {
            if log as u64 != self.log {
                return Err(LogError::Broken(format!(
                    "{} holds snapshots of another log: put the files back that belong together, or remove this one",
                    self.path.display()
                )));
            }
            let hash = Hash::parse(&hash)
                .ok_or_else(|| self.damaged(position as u64, "its hash is none"))?;
            Ok(Generation {
                position: position as u64,
                sequence: sequence as u64,
                hash,
            })
        };
        rows.into_iter().map(generation).collect()
    }

    /// Reads a snapshot back.
    ///
    /// # Errors
    /// The snapshot is damaged.
    pub fn load(&self, generation: Generation, rules: Rules) -> Result<State, LogError> {
        let read = || {
            let mut select = self
                .connection
                .prepare("SELECT bytes FROM pieces WHERE position = ?1 ORDER BY piece")?;
            let mut rows = select.query([generation.position as i64])?;
            let mut whole = Vec::new();
            while let Some(row) = rows.next()? {
                whole.extend_from_slice(row.get_ref(0)?.as_blob()?);
            }
            Ok(whole)
        };
        let bytes = read().map_err(|error: rusqlite::Error| {
            self.damaged(generation.position, &error.to_string())
        })?;
        let state = snapshot::decode(&bytes, rules)
            .map_err(|error| self.damaged(generation.position, &error.to_string()))?;
        if (state.position(), state.sequence()) != (generation.position, generation.sequence)
            || snapshot::hash(&state) != generation.hash
        {
            return Err(self.damaged(generation.position, "its hash does not hold"));
        }
        Ok(state)
    }

    /// Stores a state, and deletes the oldest snapshots beyond [`KEPT`]. Returns the position up to which the log is no
    /// longer needed: that of the oldest snapshot, or 0 as long as there are fewer than [`KEPT`].
    ///
    /// # Errors
    /// The disk refuses. The earlier snapshots are still there.
    pub fn save(&mut self, state: &State) -> Result<u64, LogError> {
        let (bytes, hash) = snapshot::encode(state);
        self.write(state, &bytes, hash)
            .map_err(failed("write to", &self.path))
    }

    fn write(&mut self, state: &State, bytes: &[u8], hash: Hash) -> rusqlite::Result<u64> {
        let position = state.position() as i64;
        let log = self.log as i64;
        let change = self.connection.transaction()?;
        change.execute(
            "INSERT OR REPLACE INTO generations VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                position,
                log,
                state.sequence() as i64,
                hash.to_string(),
                bytes.len() as i64
            ],
        )?;
        change.execute("DELETE FROM pieces WHERE position = ?1", [position])?;
        for (index, piece) in bytes.chunks(PIECE_BYTES).enumerate() {
            change.execute(
                "INSERT INTO pieces VALUES (?1, ?2, ?3)",
                params![position, index as i64, piece],
            )?;
        }
        let oldest: Option<i64> = change
            .query_row(
                "SELECT position FROM generations ORDER BY position DESC LIMIT 1 OFFSET ?1",
                [KEPT as i64 - 1],
                |row| row.get(0),
            )
            .optional()?;
        let oldest = oldest.unwrap_or(0);
        change.execute("DELETE FROM generations WHERE position < ?1", [oldest])?;
        change.execute("DELETE FROM pieces WHERE position < ?1", [oldest])?;
        change.commit()?;
        Ok(oldest as u64)
    }

    /// Deletes the snapshots that include the entry at `position`. Returns their number.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn cut(&mut self, position: u64) -> Result<u64, LogError> {
        let mut cut = || {
            let change = self.connection.transaction()?;
            change.execute("DELETE FROM pieces WHERE position >= ?1", [position as i64])?;
            let removed = change.execute(
                "DELETE FROM generations WHERE position >= ?1",
                [position as i64],
            )?;
            change.commit()?;
            Ok(removed as u64)
        };
        cut().map_err(failed("write to", &self.path))
    }

    fn damaged(&self, position: u64, what: &str) -> LogError {
        LogError::Broken(format!(
            "the snapshot up to entry {position} in {} is damaged: {what}",
            self.path.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::likes::batch::Header;
    use crate::likes::{Action, Identity, Operation};

    fn state(entries: u64) -> State {
        let mut state = State::default();
        for number in 1..=entries {
            let header = Header {
                writer: 1,
                epoch: 1,
                number,
            };
            let like = Operation::update("demo", "ann", Identity::Sequence(number), Action::Like);
            state.apply(number, header, &[like]).unwrap();
        }
        state
    }

    #[test]
    fn two_generations_are_kept_and_the_log_is_needed_from_the_older_one_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let mut generations = Generations::open(&path, 7).unwrap();
        assert_eq!(generations.save(&state(3)), Ok(0));
        assert_eq!(generations.save(&state(5)), Ok(3));
        assert_eq!(generations.save(&state(9)), Ok(5));
        drop(generations);
        let mut generations = Generations::open(&path, 7).unwrap();
        let all = generations.all().unwrap();
        let positions: Vec<_> = all.iter().map(|generation| generation.position).collect();
        assert_eq!(positions, [9, 5]);
        assert_eq!(generations.load(all[0], Rules::default()), Ok(state(9)));
        assert_eq!(generations.cut(9), Ok(1));
        assert_eq!(generations.all().unwrap()[0].position, 5);
    }

    #[test]
    fn a_damaged_snapshot_and_one_of_another_log_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let mut generations = Generations::open(&path, 7).unwrap();
        generations.save(&state(3)).unwrap();
        let all = generations.all().unwrap();
        let damage = "UPDATE pieces SET bytes = cast(substr(bytes, 2) AS BLOB)";
        generations.connection.execute(damage, []).unwrap();
        let error = generations.load(all[0], Rules::default()).unwrap_err();
        assert!(error.to_string().contains("up to entry 3"), "{error}");
        drop(generations);
        let error = Generations::open(&path, 8).unwrap().all().unwrap_err();
        assert!(error.to_string().contains("another log"), "{error}");
    }
}

//! The embedded log: a SQLite file with one row per batch, which is on the disk before it is confirmed.
//!
//! WAL with `synchronous=FULL`: each commit is one append to the write-ahead log and one fsync. An entry's bytes have
//! their own checksum, because SQLite's pages have none. After any error of an append its outcome is unknown: after a
//! failed fsync the kernel has forgotten what it did not write. So the file is trusted again only once it has been
//! read.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::log::{AppendError, Entry, Facts, Keeper, LikeLog, LogError, LogReader};
use crate::likes::durability::Ack;

/// The version of the file's layout; other versions are refused.
const FORMAT: i64 = 1;
/// Maximum number of entries that one trim deletes.
const TRIM_ENTRIES: u64 = 64;

const SCHEMA: &str = "
CREATE TABLE log (
    one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, id INTEGER NOT NULL, epoch INTEGER NOT NULL,
    shard INTEGER NOT NULL, shards INTEGER NOT NULL, trimmed INTEGER NOT NULL
) STRICT;
CREATE TABLE entries (position INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
";

/// Which of how many logs a file is. Another number of shards would move a channel to another log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The index, from 0.
    pub index: u32,
    /// Number of shards.
    pub count: u32,
}

/// A log that this process appends to.
#[derive(Debug)]
pub struct SqliteLog {
    connection: Connection,
    path: PathBuf,
    facts: Facts,
}

/// A log for reading only.
#[derive(Debug)]
pub struct SqliteReader(Connection);

impl SqliteLog {
    /// Opens or creates the file, and begins a new life as its writer. Blocks.
    ///
    /// # Errors
    /// The disk refuses, the file is no log of likes, or it is the log of another shard.
    pub fn open(path: &Path, shard: Shard, ack: Ack) -> Result<Self, LogError> {
        let connection = open_to_write(path, ack)?;
        if is_empty(&connection).map_err(failed("read", path))? {
            let made = connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {SCHEMA}
                 INSERT INTO log VALUES (1, {FORMAT}, {}, 0, {}, {}, 0); COMMIT;",
                crate::serve::chance::draw() as i64,
                shard.index,
                shard.count
            ));
            made.map_err(failed("write to", path))?;
        }
        let mut facts = read_facts(&connection, path, Some(shard))?;
        facts.epoch += 1;
        facts.fsync_before_ack = ack == Ack::Disk;
        // Durable before the first append, so no two lives are ever the same.
        connection
            .execute("UPDATE log SET epoch = ?1", [facts.epoch as i64])
            .map_err(failed("write to", path))?;
        super::disk::sync_folder(path).map_err(|error| {
            LogError::Broken(format!(
                "cannot write the folder of {} down: {error}",
                path.display()
            ))
        })?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            facts,
        })
    }

    /// Opens an existing log, to [`cut`](Self::cut) it. Blocks.
    ///
    /// # Errors
    /// The log does not exist, or is no log of likes.
    pub fn open_to_cut(path: &Path) -> Result<Self, LogError> {
        drop(open_to_read(path)?);
        let connection = open_to_write(path, Ack::Disk)?;
        let facts = read_facts(&connection, path, None)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            facts,
        })
    }

    /// Opens a log for reading only, as it is now, while another process may append to it. Blocks.
    ///
    /// # Errors
    /// The log does not exist, or is no log of likes.
    pub fn read_only(path: &Path) -> Result<(SqliteReader, Facts), LogError> {
        let connection = open_to_read(path)?;
        // One transaction for all reads, so that nothing is trimmed meanwhile.
        connection
            .execute_batch("BEGIN")
            .map_err(failed("read", path))?;
        let facts = read_facts(&connection, path, None)?;
        Ok((SqliteReader(connection), facts))
    }

    /// Deletes the entry at `position` and all entries after it, for good. Returns their number. Blocks.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn cut(&mut self, position: u64) -> Result<u64, LogError> {
        let removed = self
            .connection
            .execute(
                "DELETE FROM entries WHERE position >= ?1",
                [position as i64],
            )
            .map_err(failed("write to", &self.path))?;
        self.facts.last = self.facts.last.min(position.saturating_sub(1));
        Ok(removed as u64)
    }

    fn trim_some(&mut self, position: u64) -> rusqlite::Result<()> {
        let change = self.connection.transaction()?;
        let bytes: i64 = change.query_row(
            "SELECT coalesce(sum(length(bytes)), 0) FROM entries WHERE position <= ?1",
            [position as i64],
            |row| row.get(0),
        )?;
        change.execute(
            "DELETE FROM entries WHERE position <= ?1",
            [position as i64],
        )?;
        change.execute("UPDATE log SET trimmed = ?1", [position as i64])?;
        change.commit()?;
        self.facts.bytes = self.facts.bytes.saturating_sub(bytes as u64);
        self.facts.trimmed = position;
        Ok(())
    }
}

impl LikeLog for SqliteLog {
    fn facts(&self) -> Facts {
        self.facts
    }

    fn append(&mut self, batch: &[u8]) -> Result<u64, AppendError> {
        let position = self.facts.last + 1;
        let unknown = |error: rusqlite::Error| {
            AppendError::Unknown(failed("write to", &self.path)(error).to_string())
        };
        let mut insert = self
            .connection
            .prepare_cached("INSERT INTO entries VALUES (?1, ?2)")
            .map_err(unknown)?;
        // A single statement is its own transaction: it returns after the fsync.
        insert
            .execute(params![position as i64, batch])
            .map_err(unknown)?;
        drop(insert);
        self.facts.last = position;
        self.facts.bytes += batch.len() as u64;
        Ok(position)
    }

    fn tail_barrier(&mut self) -> Result<u64, LogError> {
        // No other process appends, because the folder is locked.
        Ok(self.facts.last)
    }

    fn trim(&mut self, position: u64) -> Result<bool, LogError> {
        let until = position.min(self.facts.last);
        let next = until.min(self.facts.trimmed + TRIM_ENTRIES);
        if next > self.facts.trimmed {
            self.trim_some(next)
                .map_err(failed("write to", &self.path))?;
        }
        Ok(next < until)
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, LogError> {
        Ok(Box::new(SqliteReader(open_to_read(&self.path)?)))
    }
}

impl LogReader for SqliteLog {
    fn read_from(&mut self, position: u64, bytes_max: usize) -> Result<Vec<Entry>, LogError> {
        read_entries(&self.connection, position, bytes_max)
    }
}

impl LogReader for SqliteReader {
    fn read_from(&mut self, position: u64, bytes_max: usize) -> Result<Vec<Entry>, LogError> {
        read_entries(&self.0, position, bytes_max)
    }
}

fn open_to_write(path: &Path, ack: Ack) -> Result<Connection, LogError> {
    let connection = Connection::open(path).map_err(failed("open", path))?;
    let pragmas = connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {}; PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1;
         PRAGMA journal_size_limit = 67108864; PRAGMA temp_store = MEMORY;",
        if ack == Ack::Disk { "FULL" } else { "OFF" }
    ));
    pragmas.map_err(failed("write to", path))?;
    Ok(connection)
}

fn open_to_read(path: &Path) -> Result<Connection, LogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(failed("read", path))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables == 0)
}

/// Reads the facts of a file. `shard` is the shard that the file must belong to.
fn read_facts(
    connection: &Connection,
    path: &Path,
    shard: Option<Shard>,
) -> Result<Facts, LogError> {
    let of_log = "SELECT format, id, epoch, shard, shards, trimmed FROM log";
    let row = connection
        .query_row(of_log, [], |row| {
            let column = |index| row.get::<_, i64>(index);
            Ok([
                column(0)?,
                column(1)?,
                column(2)?,
                column(3)?,
                column(4)?,
                column(5)?,
            ])
        })
        .optional();
    let no_log = || {
        LogError::Broken(format!(
            "{} is no log of likes: name another folder, or move that file away",
            path.display()
        ))
    };
    let [format, id, epoch, index, count, trimmed] = match row {
        Ok(Some(row)) => row,
        Ok(None) => return Err(no_log()),
        Err(rusqlite::Error::SqliteFailure(_, Some(message))) if message.contains("no such") => {
            return Err(no_log());
        }
        Err(error) => return Err(failed("read", path)(error)),
    };
    if format != FORMAT {
        return Err(LogError::Broken(format!(
            "{} has layout {format}, which is not known here: read it with the program that wrote it",
            path.display()
        )));
    }
    if let Some(shard) = shard
        && (index, count) != (shard.index.into(), shard.count.into())
    {
        return Err(LogError::Broken(format!(
            "{} is log {index} of {count}, and not {} of {}: set likes.shards to {count} again",
            path.display(),
            shard.index,
            shard.count
        )));
    }
    let (last, bytes): (i64, i64) = connection
        .query_row(
            "SELECT coalesce(max(position), 0), coalesce(sum(length(bytes)), 0) FROM entries",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(failed("read", path))?;
    Ok(Facts {
        log: id as u64,
        writer: id as u64,
        epoch: epoch as u64,
        trimmed: trimmed as u64,
        last: last.max(trimmed) as u64,
        bytes: bytes as u64,
        fsync_before_ack: true,
        keeper: Keeper::Us,
    })
}

fn read_entries(
    connection: &Connection,
    position: u64,
    bytes_max: usize,
) -> Result<Vec<Entry>, LogError> {
    let read = || {
        let mut select = connection.prepare_cached(
            "SELECT position, bytes FROM entries WHERE position >= ?1 ORDER BY position",
        )?;
        let mut rows = select.query([position as i64])?;
        let (mut entries, mut left) = (Vec::new(), bytes_max);
        while let Some(row) = rows.next()? {
            let bytes: Vec<u8> = row.get(1)?;
            if bytes.len() > left && !entries.is_empty() {
                break;
            }
            left = left.saturating_sub(bytes.len());
            entries.push(Entry {
                position: row.get::<_, i64>(0)? as u64,
                bytes,
            });
        }
        Ok(entries)
    };
    read().map_err(|error: rusqlite::Error| {
        LogError::Broken(format!("the log cannot be read: {error}"))
    })
}

pub(super) fn failed<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl Fn(rusqlite::Error) -> LogError + 'a {
    move |error| LogError::Broken(format!("cannot {doing} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONLY: Shard = Shard { index: 0, count: 1 };

    fn entries(log: &mut dyn LogReader, position: u64, bytes_max: usize) -> Vec<u64> {
        let entries = log.read_from(position, bytes_max).unwrap();
        entries.iter().map(|entry| entry.position).collect()
    }

    #[test]
    fn what_was_appended_is_there_when_it_is_opened_again_and_each_life_is_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let mut log = SqliteLog::open(&path, ONLY, Ack::Disk).unwrap();
        let first = log.facts();
        assert_eq!((first.epoch, first.last, first.trimmed), (1, 0, 0));
        assert_eq!(log.append(b"one"), Ok(1));
        assert_eq!(log.append(b"three"), Ok(2));
        assert_eq!(log.tail_barrier(), Ok(2));
        drop(log);
        let mut log = SqliteLog::open(&path, ONLY, Ack::Disk).unwrap();
        let facts = log.facts();
        assert_eq!((facts.epoch, facts.last, facts.bytes), (2, 2, 8));
        assert_eq!((facts.log, facts.writer), (first.log, first.writer));
        assert_eq!(log.read_from(2, 1).unwrap()[0].bytes, b"three");
        assert_eq!(log.append(b"x"), Ok(3));
        let mut reader = log.reader().unwrap();
        assert_eq!(entries(&mut *reader, 1, 8), [1, 2]);
        assert_eq!(entries(&mut *reader, 1, 0), [1]);
        assert_eq!(entries(&mut log, 4, 100), [0; 0]);
    }

    #[test]
    fn a_trim_forgets_a_bounded_number_of_entries_and_positions_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let mut log = SqliteLog::open(&path, ONLY, Ack::Disk).unwrap();
        for _ in 0..100 {
            log.append(b"1234").unwrap();
        }
        assert_eq!(log.trim(90), Ok(true));
        assert_eq!((log.facts().trimmed, log.facts().bytes), (64, 36 * 4));
        assert_eq!(log.trim(90), Ok(false));
        assert_eq!(entries(&mut log, 1, 4), [91]);
        assert_eq!(log.trim(1_000), Ok(false));
        assert_eq!((log.facts().last, log.facts().bytes), (100, 0));
        drop(log);
        let mut log = SqliteLog::open(&path, ONLY, Ack::Disk).unwrap();
        assert_eq!(log.append(b"x"), Ok(101));
    }

    #[test]
    fn another_file_and_another_number_of_shards_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        drop(SqliteLog::open(&path, ONLY, Ack::Disk).unwrap());
        let other = Shard { index: 0, count: 2 };
        let error = SqliteLog::open(&path, other, Ack::Disk).unwrap_err();
        assert!(
            error.to_string().contains("set likes.shards to 1"),
            "{error}"
        );

        let text = folder.path().join("text.db");
        std::fs::write(
            &text,
            "something else, longer than a hundred bytes. ".repeat(50),
        )
        .unwrap();
        let error = SqliteLog::open(&text, ONLY, Ack::Disk).unwrap_err();
        assert!(error.to_string().contains("text.db"), "{error}");

        let foreign = folder.path().join("foreign.db");
        let made = Connection::open(&foreign).unwrap();
        made.execute_batch("CREATE TABLE t (x)").unwrap();
        drop(made);
        let error = SqliteLog::open(&foreign, ONLY, Ack::Disk).unwrap_err();
        assert!(error.to_string().contains("is no log of likes"), "{error}");
    }
}

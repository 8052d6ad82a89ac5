//! The writer of a log that others append to as well: a name that the folder keeps, and the number of its present life.
//!
//! Both are on the disk before the first batch, so no two batches ever have the same name. The file also names the log,
//! because the snapshots of the folder belong to that log only.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::disk;
use super::log::LogError;

/// The file of a shard that holds its writer.
pub const WRITER_FILE: &str = "writer.json";

/// The content of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The log that the folder belongs to.
    pub log: u64,
    /// The name.
    pub writer: u64,
    /// The latest life.
    pub epoch: u64,
}

/// The same content as text. Numbers of 64 bits are hexadecimal, because readers of JSON may round them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    log: String,
    writer: String,
    epoch: u64,
}

impl Writer {
    /// Reads the file in this folder; `None` if it does not exist yet.
    ///
    /// # Errors
    /// The file cannot be read, or its content is not valid.
    pub fn read(folder: &Path) -> Result<Option<Self>, LogError> {
        let path = folder.join(WRITER_FILE);
        let broken = |why: String| {
            LogError::Broken(format!(
                "{} does not say who this is: {why}; move it away to go on under a new name",
                path.display()
            ))
        };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(broken(error.to_string())),
        };
        let written: Written =
            serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        let number =
            |text: &str| u64::from_str_radix(text, 16).map_err(|error| broken(error.to_string()));
        Ok(Some(Self {
            log: number(&written.log)?,
            writer: number(&written.writer)?,
            epoch: written.epoch,
        }))
    }

    /// Writes the file durably, either whole or not at all.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write(&self, folder: &Path) -> Result<(), LogError> {
        let path = folder.join(WRITER_FILE);
        let written = Written {
            log: format!("{:016x}", self.log),
            writer: format!("{:016x}", self.writer),
            epoch: self.epoch,
        };
        let text = serde_json::to_string(&written).expect("numbers are plain data") + "\n";
        let beside = folder.join("writer.new");
        let write = || {
            let mut file = File::create(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            disk::sync_folder(&path)
        };
        write().map_err(|error: io::Error| {
            LogError::Broken(format!("cannot write {}: {error}", path.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_anything_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Writer::read(folder.path()), Ok(None));
        let writer = Writer {
            log: u64::MAX,
            writer: 7,
            epoch: 3,
        };
        writer.write(folder.path()).unwrap();
        assert_eq!(Writer::read(folder.path()), Ok(Some(writer)));
        fs::write(folder.path().join(WRITER_FILE), "{\"log\":\"x\"}").unwrap();
        let error = Writer::read(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("writer.json") && error.contains("move it away"),
            "{error}"
        );
    }
}

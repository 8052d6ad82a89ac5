//! The disk for likes: its free bytes, its lock, and folders that survive a loss of power.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A folder that only this process writes to. Its lock ends with the process, however the process ends.
#[derive(Debug)]
pub struct Locked {
    path: PathBuf,
    _lock: File,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The operating system refuses.
    #[error("cannot use {path} for likes: {source}; choose another folder with likes.dir")]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Another process uses the folder.
    #[error(
        "another process keeps its likes in {0}: stop it, or choose another folder with likes.dir"
    )]
    InUse(PathBuf),
}

impl Locked {
    /// Creates the folder if necessary, and locks it. Blocks.
    ///
    /// # Errors
    /// The folder cannot be written to, or another process has locked it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let unusable = |source| FolderError::Unusable {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(unusable)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The folder of one shard, created if necessary.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn shard(&self, index: u32) -> Result<PathBuf, FolderError> {
        let path = shard_folder(&self.path, index);
        let made = fs::create_dir_all(&path).and_then(|()| sync_folder(&path));
        match made {
            Ok(()) => Ok(path),
            Err(source) => Err(FolderError::Unusable { path, source }),
        }
    }
}

/// The path of a shard's folder.
pub fn shard_folder(folder: &Path, index: u32) -> PathBuf {
    folder.join(format!("shard-{index}"))
}

/// Syncs the folder that contains `path`: without this, a new file may be gone after a loss of power.
///
/// # Errors
/// The operating system refuses.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Bytes of the disk under `path` that are free for this process; `None` if the operating system does not tell.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("likes");
        let owner = Locked::open(&place).unwrap();
        let refused = Locked::open(&place).unwrap_err().to_string();
        assert!(refused.contains("another process"), "{refused}");
        drop(owner);
        Locked::open(&place).unwrap().shard(0).unwrap();
        assert!(free_bytes(&place).unwrap() > 0);
    }

    #[test]
    fn a_file_is_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let refused = Locked::open(&file).unwrap_err().to_string();
        assert!(refused.contains("choose another folder"), "{refused}");
    }
}

//! The folder that keeps the live window across restarts.
//!
//! ```text
//! {root}/{channel}/channel.json             the channel's description
//! {root}/{channel}/{rendition}/{number}.ts  a segment
//! ```
//!
//! A file is written under a temporary name in the same folder and then renamed, so a reader finds a whole file or
//! none. All functions here block: call them off the async threads.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::hls::container::Container;
use crate::hls::names;
use crate::hls::timeline::Channel;

/// An error of the disk. The broadcaster may try again; an operator must look at the folder.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot {doing} {path}: {source}; check the folder for segments, or choose another one with --segments"
)]
pub struct DiskError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The extension of a file that is still being written.
const UNFINISHED: &str = "unfinished";

/// The folder; it has been tested to be writable.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Creates the folder if necessary, and writes a test file into it.
    pub(super) fn open(root: PathBuf) -> Result<Self, DiskError> {
        fs::create_dir_all(&root).map_err(failed("create the folder", &root))?;
        let probe = root.join(format!(".probe.{UNFINISHED}"));
        fs::write(&probe, b"").map_err(failed("write to", &probe))?;
        fs::remove_file(&probe).map_err(failed("remove", &probe))?;
        Ok(Self { root })
    }

    /// The channels described in the folder. Folders without a description are left alone. A description that cannot be
    /// read is an error, because a newly invented `started_at` would give old names to new bytes.
    pub(super) fn channels(&self) -> Result<Vec<Channel>, DiskError> {
        let mut channels = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed("list", &self.root))? {
            let folder = entry.map_err(failed("list", &self.root))?.path();
            let path = folder.join("channel.json");
            let text = match fs::read(&path) {
                Ok(text) => text,
                Err(error) if is_absent(&error) => continue,
                Err(source) => return Err(failed("read", &path)(source)),
            };
            let channel: Channel = serde_json::from_slice(&text)
                .map_err(|error| failed("understand", &path)(error.into()))?;
            if folder.file_name() != Some(OsStr::new(&channel.name)) {
                let why = format!("it describes another channel, {:?}", channel.name);
                return Err(failed("use", &path)(io::Error::other(why)));
            }
            channels.push(channel);
        }
        Ok(channels)
    }

    /// Writes the description of a channel.
    pub(super) fn describe(&self, channel: &Channel, text: &str) -> Result<(), DiskError> {
        let folder = self.root.join(&channel.name);
        write_whole(&folder.join("channel.json"), text.as_bytes())
    }

    /// The numbers of a rendition's stored segments, in order. Unfinished files are removed.
    pub(super) fn numbers(&self, channel: &str, rendition: &str) -> Result<Vec<u64>, DiskError> {
        let folder = self.root.join(channel).join(rendition);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(source) => return Err(failed("list", &folder)(source)),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed("list", &folder))?.path();
            if path.extension() == Some(OsStr::new(UNFINISHED)) {
                fs::remove_file(&path).map_err(failed("remove", &path))?;
            }
            numbers.extend(number_of(&path));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Reads a segment.
    pub(super) fn read(
        &self,
        channel: &str,
        rendition: &str,
        number: u64,
    ) -> Result<Vec<u8>, DiskError> {
        let path = self.path(channel, rendition, number);
        fs::read(&path).map_err(failed("read", &path))
    }

    /// Writes a segment.
    pub(super) fn write(
        &self,
        channel: &str,
        rendition: &str,
        number: u64,
        body: &[u8],
    ) -> Result<(), DiskError> {
        write_whole(&self.path(channel, rendition, number), body)
    }

    /// Removes a segment; a missing segment is no error.
    pub(super) fn remove(
        &self,
        channel: &str,
        rendition: &str,
        number: u64,
    ) -> Result<(), DiskError> {
        let path = self.path(channel, rendition, number);
        match fs::remove_file(&path) {
            Err(source) if !is_absent(&source) => Err(failed("remove", &path)(source)),
            _ => Ok(()),
        }
    }

    fn path(&self, channel: &str, rendition: &str, number: u64) -> PathBuf {
        self.root
            .join(channel)
            .join(rendition)
            .join(Container::default().file(number))
    }
}

/// The number in `{number}.ts`, if it is written in our form.
fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    match names::LivePath::parse(&format!("/live/c/r/{name}"))? {
        names::LivePath::Segment { number, .. } => Some(number),
        _ => None,
    }
}

fn write_whole(path: &Path, body: &[u8]) -> Result<(), DiskError> {
    let folder = path.parent().expect("the path of a file has a folder");
    fs::create_dir_all(folder).map_err(failed("create the folder", folder))?;
    let unfinished = path.with_added_extension(UNFINISHED);
    let written = fs::write(&unfinished, body).and_then(|()| fs::rename(&unfinished, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&unfinished);
        failed("write", path)(source)
    })
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError {
        doing,
        path,
        source,
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_written_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = Folder::open(file.join("segments")).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot create the folder ") && error.contains("choose another one"),
            "{error}"
        );
    }

    #[test]
    fn only_finished_segments_are_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().to_owned()).unwrap();
        folder.write("demo", "720p", 12, b"whole").unwrap();
        folder.write("demo", "720p", 9, b"whole").unwrap();
        let rendition = dir.path().join("demo/720p");
        for name in ["13.ts.unfinished", "007.ts", "notes.txt"] {
            fs::write(rendition.join(name), b"half").unwrap();
        }
        assert_eq!(folder.numbers("demo", "720p").unwrap(), [9, 12]);
        assert!(!rendition.join("13.ts.unfinished").exists());
        assert!(folder.numbers("demo", "360p").unwrap().is_empty());
        folder.remove("demo", "720p", 9).unwrap();
        folder.remove("demo", "720p", 9).unwrap();
        assert_eq!(folder.numbers("demo", "720p").unwrap(), [12]);
    }

    #[test]
    fn a_damaged_description_is_an_error_not_a_new_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().to_owned()).unwrap();
        fs::write(dir.path().join("README.md"), b"not a channel").unwrap();
        assert!(folder.channels().unwrap().is_empty());
        fs::create_dir(dir.path().join("demo")).unwrap();
        fs::write(dir.path().join("demo/channel.json"), b"{").unwrap();
        let error = folder.channels().unwrap_err().to_string();
        assert!(error.starts_with("cannot understand ") && error.contains("channel.json"));
    }
}

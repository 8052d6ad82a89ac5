//! What a person reads: results on stdout, remarks on stderr. That a reader has gone away is never a failure.
//!
//! `println!` and `eprintln!` panic when the other end of a pipe is closed. So a server whose log is lost would lose its
//! signal task as well, and a run its result.

use std::io::{self, Write};

use anyhow::Context;

/// Whether stdout still has a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// What was printed can be read.
    Present,
    /// The other end of the pipe is closed.
    Gone,
}

/// Writes to stdout.
///
/// # Errors
/// The disk behind stdout is full, say. A reader who has gone away is no error.
pub fn print(text: &str) -> anyhow::Result<Reader> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Present),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error).context("cannot write to stdout"),
    }
}

/// Writes a line to stderr, if anything reads it.
pub fn remark(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

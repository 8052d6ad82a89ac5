//! Output for the user: results on stdout, remarks on stderr. A reader that has gone away is never a failure.
//!
//! `println!` and `eprintln!` panic when the other end of a pipe is closed. So a server whose log reader is gone would also
//! lose its signal task, and a run its result.

use std::io::{self, Write};

use anyhow::Context;

/// Whether stdout still has a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The output can be read.
    Present,
    /// The other end of the pipe is closed.
    Gone,
}

/// Writes to stdout.
///
/// # Errors
/// Writing failed, for example because the disk behind stdout is full. A reader that has gone away is no error.
pub fn print(text: &str) -> anyhow::Result<Reader> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Present),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error).context("cannot write to stdout"),
    }
}

/// Whether output to a terminal may have colours (no-color.org).
pub fn may_have_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a line to stderr, if stderr has a reader.
pub fn remark(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

//! `seawall replay`: sends the requests of a trace through a cache in virtual time, and prints what they would have cost.

pub mod flags;
mod input;

use std::io::{self, BufRead, BufReader, Read};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use self::flags::Replay as Flags;
use self::input::{Input, Interrupted};
use super::reported::{self, Folder};
use crate::app::cli;
use crate::report::{self, html};
use crate::sim::replay::engine::Replay;
use crate::sim::replay::summary::{self, End, Source};
use crate::sim::replay::trace::{self, BadLine, LINE_BYTES_MAX, Line, Trace};
use crate::terminal;

/// Bytes from which the format is guessed.
const HEAD_BYTES: u64 = 64 << 10;
/// Bytes of the buffer in which lines are found.
const PIECE_BYTES: usize = 64 << 10;
/// Bad lines that are named.
const NAMED_MAX: u64 = 3;
/// Lines between two looks at the progress and at Ctrl-C.
const LINES_PER_LOOK: u64 = 4_096;

/// Replays a trace.
///
/// # Errors
/// The trace cannot be read, is empty, or is refused; the sentence names the line.
pub(super) fn replay(flags: &Flags, stop: &CancellationToken) -> anyhow::Result<u8> {
    let name = match flags.file.as_str() {
        "-" => "stdin",
        file => file,
    };
    let report = flags.report.as_deref().map(Folder::open).transpose()?;
    let mut input = Input::open(&flags.file, stop.clone())?;
    let mut head = Vec::new();
    let begun = input.by_ref().take(HEAD_BYTES).read_to_end(&mut head);
    if let Some(end) = ended(begun, name)? {
        return Ok(end);
    }
    if head.trim_ascii().is_empty() && (head.len() as u64) < HEAD_BYTES {
        bail!("{name} is empty: there is nothing to replay");
    }
    let format = flags.format.or_else(|| trace::guess(&head));
    let format = format.with_context(|| {
        format!(
            "the first lines of {name} tell no format; name it with --format csv, combined or json"
        )
    })?;

    let bar = bar(input.bytes);
    let mut trace = Trace::new(flags.reading(format));
    let setup = flags.setup(format);
    let mut replay = Replay::new(setup);
    let mut lines = BufReader::with_capacity(PIECE_BYTES, io::Cursor::new(head).chain(input));
    let mut line = Vec::new();
    let end = loop {
        if trace.counts().read.is_multiple_of(LINES_PER_LOOK) {
            bar.set_position(lines.get_ref().get_ref().1.position());
            if stop.is_cancelled() {
                break End::Interrupted;
            }
        }
        line.clear();
        let read = lines
            .by_ref()
            .take(LINE_BYTES_MAX as u64 + 1)
            .read_until(b'\n', &mut line);
        match read {
            Ok(0) => break End::Reached,
            Ok(_) => {}
            Err(error) if is_interruption(&error) => break End::Interrupted,
            Err(error) => return Err(unreadable(error, name, trace.counts().read)),
        }
        let bad = if line.len() > LINE_BYTES_MAX && !line.ends_with(b"\n") {
            match lines.skip_until(b'\n') {
                Ok(_) => Some(trace.too_long()),
                Err(error) if is_interruption(&error) => break End::Interrupted,
                Err(error) => return Err(unreadable(error, name, trace.counts().read)),
            }
        } else {
            match trace.line(&line) {
                Ok(Line::Request(request)) => {
                    replay.on_request(&request)?;
                    None
                }
                Ok(Line::Skipped) => None,
                Ok(Line::Bad(bad)) => Some(Ok(bad)),
                Err(refused) => Some(Err(refused)),
            }
        };
        if let Some(bad) = bad {
            let bad = bad.with_context(|| format!("{name} is not replayed"))?;
            name_it(&bad, trace.counts().bad, &bar);
        }
    };
    bar.finish_and_clear();
    let counted = match end {
        End::Reached => trace
            .finish()
            .with_context(|| format!("{name} is not replayed"))?,
        // The rest may be better.
        End::Interrupted => trace.counts(),
    };
    if end == End::Reached && replay.requests() == 0 {
        let skipped = counted.not_get + counted.other_status;
        bail!(
            "{name} holds no request that counts: {} lines, {skipped} of them requests that are not GET or not answered with 200, \
             206 or 304",
            counted.read
        );
    }
    let source = Source {
        file: name,
        format,
        lines: counted,
        end,
    };
    let summary = summary::summary(source, &setup, &replay.finish());
    let json = serde_json::to_string_pretty(&summary)? + "\n";
    terminal::print(&match flags.json {
        true => json.clone(),
        false => report::replay::screen(&summary, reported::page()),
    })?;
    if let Some(folder) = report {
        folder.put("replay.json", &json)?;
        folder.put("replay.html", &html::replay(&summary))?;
        let page = folder.0.join("replay.html");
        terminal::remark(&format!("the page is {}", page.display()));
    }
    Ok(match end {
        End::Reached => cli::OK,
        End::Interrupted => cli::INTERRUPTED,
    })
}

/// The exit code, if reading has ended before the first line.
fn ended(begun: io::Result<usize>, name: &str) -> anyhow::Result<Option<u8>> {
    match begun {
        Ok(_) => Ok(None),
        Err(error) if is_interruption(&error) => {
            terminal::remark("nothing was read yet, so there is no result");
            Ok(Some(cli::INTERRUPTED))
        }
        Err(error) => Err(unreadable(error, name, 0)),
    }
}

fn unreadable(error: io::Error, name: &str, lines: u64) -> anyhow::Error {
    anyhow::Error::new(error).context(format!("cannot read {name} behind line {lines}"))
}

fn is_interruption(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<Interrupted>())
}

/// Names a bad line on stderr, if it is one of the first. `count`: number of bad lines so far.
fn name_it(bad: &BadLine, count: u64, bar: &ProgressBar) {
    if count > NAMED_MAX {
        return;
    }
    bar.suspend(|| {
        terminal::remark(&format!("{bad}; it is skipped"));
        if count == NAMED_MAX {
            terminal::remark("further lines like that are counted and not named");
        }
    });
}

/// The progress on stderr, if that is a terminal: by bytes read of the file.
fn bar(bytes: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr_with_hz(10));
    let template = match bytes {
        Some(_) => "replay [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        None => "replay {bytes}, {bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    bar.with_style(style.progress_chars("=> "))
}

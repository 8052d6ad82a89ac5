//! What Ctrl-C and other signals do to a command.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::cli;
use crate::run::processes;
use crate::serve::clock::Clock;
use crate::terminal;

/// What a further signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Further {
    /// It ends the program at once.
    Ends,
    /// Nothing, for a while: the report of an interrupted run is being written.
    Waits,
}

/// How long a report may take.
const REPORT_WAIT: Duration = Duration::from_secs(20);

/// A token that Ctrl-C, SIGTERM or the end of the terminal cancels.
pub(super) fn stop_signal(further: Further) -> anyhow::Result<CancellationToken> {
    stop_signal_hearing(further, |_| ())
}

/// The same, for a part: `hear` gets each line that the parent process writes.
pub(super) fn stop_signal_hearing(
    further: Further,
    mut hear: impl FnMut(&str) + Send + 'static,
) -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let is_part = std::env::var_os(processes::ENDS_WITH_STDIN).is_some();
    if is_part {
        let orphaned = stop.clone();
        // The thread ends with stdin, or with the program. It is a thread because a task that reads stdin would keep the
        // runtime from ending.
        std::thread::spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                hear(&line);
            }
            orphaned.cancel();
        });
    }
    let mut signals = Signals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
        hangup: match ignores_hangup() {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        },
    };
    let token = stop.clone();
    // The task lives as long as the program, and only waits for signals.
    tokio::spawn(async move {
        signals.next().await;
        if !is_part {
            terminal::remark(match further {
                Further::Ends => {
                    "\nstopping: answers in flight have up to 10 s; once more to end at once"
                }
                Further::Waits => "\nstopping: the report of what was played follows",
            });
        }
        token.cancel();
        let clock = Clock::start();
        let first = clock.now();
        loop {
            signals.next().await;
            if further == Further::Ends || clock.now().since(first) > REPORT_WAIT {
                std::process::exit(i32::from(cli::INTERRUPTED));
            }
        }
    });
    Ok(stop)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether this program was started to outlive its terminal, as by `nohup`.
fn ignores_hangup() -> bool {
    const SIGHUP: u64 = 1;
    let own = procfs::process::Process::myself().and_then(|own| own.status());
    own.is_ok_and(|status| status.sigign & (1 << (SIGHUP - 1)) != 0)
}

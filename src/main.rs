//! The program: arguments, a log on stderr, an exit code.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use seawall::app::cli::{self, Cli};
use seawall::app::commands;
use seawall::terminal;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = Cli::parse();
    // async_nats logs as much as Seawall for each server that it tries, so only its warnings are shown by default.
    let wanted = arguments.filter();
    let filter = format!("async_nats=warn,{wanted}");
    let filter = match EnvFilter::try_new(filter) {
        Ok(filter) => filter,
        Err(error) => {
            terminal::remark(&format!(
                "error: --log {wanted:?} is no filter: {error}; try `info`, or `seawall::serve::edge=debug`"
            ));
            return ExitCode::from(cli::USAGE);
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(std::io::stderr)
        // Internal errors would be printed on stderr, with a panic where stderr is closed.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal() && terminal::may_have_colours())
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let ended = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(commands::run(arguments.command)));
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            terminal::remark(&format!("error: {}", commands::told(&error)));
            ExitCode::from(commands::code_of(&error))
        }
    }
}

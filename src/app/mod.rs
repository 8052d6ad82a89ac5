//! The command line, each command, and its exit code.

pub mod cli;
pub mod commands;
pub mod compare;
pub mod inspect;
pub mod likes;
pub mod replay;
mod reported;
mod signals;
pub mod simulate;
pub mod surge;
pub mod top;
pub mod twin;
mod values;

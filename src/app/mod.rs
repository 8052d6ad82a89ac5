//! The command line, each command, and its exit code.

pub mod cli;
pub mod commands;
pub mod compare;
pub mod inspect;
pub mod likes;
pub mod replay;
mod signals;
pub mod surge;
pub mod top;
mod values;

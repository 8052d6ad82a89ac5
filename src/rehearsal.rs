//! A rehearsal: a scenario is played, and what the audience saw is laid beside what origin and edges counted.

use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::config::Config;
use crate::hls::timeline::Channel;
use crate::scenario::Scenario;
use crate::serve::clock::Clock;
use crate::serve::cluster::{EdgeRoom, OriginRoom};

pub async fn surge(_flags: &cli::Surge, _stop: CancellationToken) -> anyhow::Result<u8> {
    anyhow::bail!("not here yet")
}

pub async fn both(
    _: &Scenario,
    _: &OriginRoom,
    _: &[EdgeRoom],
    _: &Channel,
    _: &Config,
    _: Clock,
    _: &CancellationToken,
) -> anyhow::Result<u8> {
    anyhow::bail!("not here yet")
}

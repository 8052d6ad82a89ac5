//! The log on NATS JetStream: whole batches as messages, compared with one message for each like.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream;
use futures_util::{StreamExt, TryStreamExt, stream};
use seawall::config::keys::JetStreamSettings;
use seawall::likes::State;
use seawall::likes::batch::OPERATIONS_MAX;
use seawall::likes::fold::Rules;
use seawall::serve::clock::Clock;
use seawall::serve::likes::jetstream::Servers;
use seawall::serve::likes::sqlite::Shard;

use crate::process::{Ends, free_address};
use crate::{log, median, row};

/// Maximum number of one-like messages that wait for their acknowledgement at once.
const IN_FLIGHT: usize = 64;

/// Likes per second, gathered and one by one. In both cases Debian's server acknowledges before the message is on its disk.
pub(crate) fn batched(folder: &Path, pairs: usize, run: Duration) -> anyhow::Result<String> {
    const AT_LEAST: f64 = 50.0;
    let folder = folder.join("nats");
    fs::create_dir_all(&folder)?;
    let addr = free_address()?;
    let settings = folder.join("nats.conf");
    fs::write(
        &settings,
        format!(
            "listen: \"{addr}\"\njetstream {{ store_dir: {:?}, max_file_store: 8GB }}\n",
            folder.join("store")
        ),
    )?;
    let _server = Command::new("nats-server")
        .arg("-c")
        .arg(&settings)
        .stderr(Stdio::null())
        .spawn()
        .map(Ends)
        .context("cannot start nats-server; on Debian: apt-get install nats-server")?;
    for _ in 0..100 {
        if TcpStream::connect(addr).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let url = format!("nats://{addr}");
    let config = JetStreamSettings {
        replicas: 1,
        max_bytes: 4 << 30,
        allow_unsynced_ack: true,
        ..JetStreamSettings::at(vec![url.clone()])
    };
    let mut log = Servers::connect(&config)?.open(Shard { index: 0, count: 1 }, &folder)?;
    log.begin_life(&State::new(Rules::default()))?;
    let runtime = tokio::runtime::Runtime::new()?;
    let client = runtime.block_on(Client::connect(&url))?;
    let clock = Clock::start();
    let mut sent = 0;
    let mut number = 0;
    // Millions of likes per second fill a disk, so one second of them is enough.
    let run = run.min(Duration::from_secs(1));
    let mut gathered_per_s = || -> anyhow::Result<f64> {
        let (begun, before) = (clock.now(), sent);
        while clock.now().since(begun) < run {
            number += 1;
            log::append_as(&mut log, &mut sent, OPERATIONS_MAX as u64, number)?;
        }
        Ok((sent - before) as f64 / clock.now().since(begun).as_secs_f64())
    };
    let (mut gathered, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..pairs.max(3) {
        gathered.push(gathered_per_s()?);
        alone.push(runtime.block_on(client.likes_per_s(clock, run))?);
    }
    let ratio = median(gathered.iter().zip(&alone).map(|(one, other)| one / other));
    let show = |rates: Vec<f64>| format!("{:.0}/s", median(rates));
    Ok(row(
        &format!("likes on JetStream, {OPERATIONS_MAX} to a message"),
        [
            show(gathered),
            format!(
                "one message for each, {IN_FLIGHT} in flight {}",
                show(alone)
            ),
        ],
        ratio,
        &format!("≥ {AT_LEAST}"),
        ratio >= AT_LEAST,
    ))
}

/// A client that sends each like as a separate message.
struct Client(jetstream::Context);

impl Client {
    async fn connect(url: &str) -> anyhow::Result<Self> {
        let context = jetstream::new(async_nats::connect(url).await?);
        let config = jetstream::stream::Config {
            name: "ALONE".to_owned(),
            subjects: vec!["alone".to_owned()],
            max_bytes: 2 << 30,
            ..Default::default()
        };
        context.create_stream(config).await?;
        Ok(Self(context))
    }

    async fn likes_per_s(&self, clock: Clock, run: Duration) -> anyhow::Result<f64> {
        const MESSAGES: usize = 2_000;
        let begun = clock.now();
        let mut sent = 0;
        while clock.now().since(begun) < run {
            let likes = stream::iter(0..MESSAGES).map(|viewer| async move {
                let like = format!("{{\"viewer\":\"viewer-{viewer}\",\"like\":1}}");
                let acknowledged = self.0.publish("alone", like.into()).await?;
                anyhow::Ok(acknowledged.await?)
            });
            let mut likes = likes.buffer_unordered(IN_FLIGHT);
            while likes.try_next().await?.is_some() {
                sent += 1;
            }
        }
        Ok(f64::from(sent) / clock.now().since(begun).as_secs_f64())
    }
}

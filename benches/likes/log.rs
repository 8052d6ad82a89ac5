//! The log without HTTP: the benefit of committing many operations at once, and the duration of a start.

use std::path::Path;
use std::time::Duration;

use seawall::likes::batch::{Encoder, Header, OPERATIONS_MAX};
use seawall::likes::durability::Ack;
use seawall::likes::fold::Rules;
use seawall::likes::{Action, Identity, Operation};
use seawall::serve::clock::Clock;
use seawall::serve::likes::log::LikeLog;
use seawall::serve::likes::recovery;
use seawall::serve::likes::sqlite::{Shard, SqliteLog};
use seawall::time::Timestamp;

use crate::{median, row};

/// 64 operations in flight: one transaction for all of them, compared with one for each.
pub(crate) fn grouped(folder: &Path, pairs: usize) -> anyhow::Result<String> {
    const IN_FLIGHT: u64 = 64;
    const AT_LEAST: f64 = 10.0;
    let mut log = open(&folder.join("grouped.db"), Ack::Disk)?;
    let clock = Clock::start();
    let mut sent = 0;
    let mut per_s = |batch: u64, batches: u64| -> anyhow::Result<f64> {
        let begun = clock.now();
        for _ in 0..batches {
            append(&mut log, &mut sent, batch)?;
        }
        Ok((batch * batches) as f64 / clock.now().since(begun).as_secs_f64())
    };
    per_s(1, 20)?;
    let (mut together, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..pairs.max(3) {
        together.push(per_s(IN_FLIGHT, 300)?);
        alone.push(per_s(1, 300)?);
    }
    let ratio = median(together.iter().zip(&alone).map(|(one, other)| one / other));
    let show = |rates: Vec<f64>| format!("{:.0}/s", median(rates));
    Ok(row(
        &format!("{IN_FLIGHT} likes in flight: one transaction for all"),
        [show(together), format!("one for each {}", show(alone))],
        ratio,
        &format!("≥ {AT_LEAST}"),
        ratio >= AT_LEAST,
    ))
}

/// The duration of a start after a million operations without a snapshot.
pub(crate) fn recovered(folder: &Path) -> anyhow::Result<String> {
    const OPERATIONS: u64 = 1_000_000;
    const AT_MOST: Duration = Duration::from_secs(2);
    let path = folder.join("recovered.db");
    // The way of writing does not change the way of reading.
    let mut log = open(&path, Ack::Memory)?;
    let mut sent = 0;
    let batch = OPERATIONS_MAX as u64 / 8;
    for _ in 0..OPERATIONS.div_ceil(batch) {
        append(&mut log, &mut sent, batch)?;
    }
    drop(log);
    let clock = Clock::start();
    let mut log = open(&path, Ack::Disk)?;
    let facts = log.facts();
    let state = recovery::recover(&mut log, &facts, None, Rules::default())?;
    let took = clock.now().since(Timestamp::ZERO);
    let per_million = took.as_secs_f64() * 1e6 / state.sequence() as f64;
    Ok(row(
        "a start without a snapshot, per million operations",
        [format!("{per_million:.2} s"), "-".to_owned()],
        f64::NAN,
        &format!("≤ {} s", AT_MOST.as_secs()),
        per_million <= AT_MOST.as_secs_f64(),
    ))
}

fn open(path: &Path, ack: Ack) -> anyhow::Result<SqliteLog> {
    let shard = Shard { index: 0, count: 1 };
    Ok(SqliteLog::open(path, shard, ack)?)
}

/// Appends a batch of likes, each of another viewer; the viewers repeat every 200,000 likes.
fn append(log: &mut SqliteLog, sent: &mut u64, operations: u64) -> anyhow::Result<()> {
    // This is the only writer, so its batches are the entries.
    let number = log.facts().last + 1;
    append_as(log, sent, operations, number)
}

/// The same for any log, as the batch with this number.
pub(crate) fn append_as(
    log: &mut impl LikeLog,
    sent: &mut u64,
    operations: u64,
    number: u64,
) -> anyhow::Result<()> {
    const VIEWERS: u64 = 200_000;
    let facts = log.facts();
    let first = *sent;
    *sent += operations;
    let mut encoder = Encoder::default();
    for like in first..*sent {
        let viewer = format!("viewer-{}", like % VIEWERS);
        let identity = Identity::Sequence(like / VIEWERS + 1);
        let fits = encoder.push(&Operation::update("demo", &viewer, identity, Action::Like));
        anyhow::ensure!(fits, "a batch of {operations} operations is too large");
    }
    let header = Header {
        writer: facts.writer,
        epoch: facts.epoch,
        number,
    };
    log.append(&encoder.finish(header))?;
    Ok(())
}

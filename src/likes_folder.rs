//! `seawall likes`: what a folder of likes holds, whether it is whole, and, when told the place, without its damaged end.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Serialize;

use crate::cli::{self, ExportFormat, Likes, LikesCounts, LikesExport, LikesTruncate};
use crate::likes::fold::{Liker, Rules};
use crate::likes::{Counts, State, snapshot};
use crate::serve::likes::disk::{self, Locked};
use crate::serve::likes::generations::{Generation, Generations};
use crate::serve::likes::log::{Facts, LikeLog};
use crate::serve::likes::recovery::{self, RecoveryError};
use crate::serve::likes::sqlite::{SqliteLog, SqliteReader};
use crate::serve::likes::{LOG_FILE, STATE_FILE};

/// Does what was asked.
///
/// # Errors
/// There is no such folder, or it is damaged; the sentence names the place.
pub fn run(what: &Likes) -> anyhow::Result<u8> {
    match what {
        Likes::Counts(flags) => counts(flags),
        Likes::Verify(folder) => verify(&folder.path()?),
        Likes::Truncate(flags) => truncate(flags),
        Likes::Export(flags) => export(flags),
    }
}

/// One shard, as it is now.
struct Shard {
    folder: PathBuf,
    log: SqliteReader,
    facts: Facts,
    generations: Option<Generations>,
}

/// A channel as it is printed.
#[derive(Serialize)]
struct Printed<'a> {
    channel: &'a str,
    #[serde(flatten)]
    counts: Counts,
    closed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    viewers: Option<Vec<Liker>>,
}

fn counts(flags: &LikesCounts) -> anyhow::Result<u8> {
    let states = states(&flags.folder.path()?)?;
    let all = states.iter().flat_map(|state| {
        let counts = state.all_counts().into_iter();
        counts.map(move |(channel, counts)| (state.is_closed(&channel), channel, counts))
    });
    let all: Vec<_> = all.collect();
    let printed = all.iter().map(|(closed, channel, counts)| Printed {
        channel,
        counts: *counts,
        closed: *closed,
        viewers: None,
    });
    let printed: Vec<_> = printed.collect();
    if flags.json {
        cli::print(&format!("{}\n", serde_json::to_string_pretty(&printed)?))?;
        return Ok(cli::OK);
    }
    let mut text = String::new();
    for channel in printed {
        let Counts { likes, hearts, seq } = channel.counts;
        let closed = if channel.closed { "   closed" } else { "" };
        let name = channel.channel;
        let _ = writeln!(
            text,
            "{name:<24} {likes:>12} likes {hearts:>14} hearts   up to operation {seq}{closed}"
        );
    }
    cli::print(&text)?;
    Ok(cli::OK)
}

/// Replays each log from the oldest that there is, and holds every snapshot on the way against it.
fn verify(folder: &Path) -> anyhow::Result<u8> {
    for mut shard in shards(folder)? {
        let place = shard.folder.display().to_string();
        let wrong = || format!("{place} is damaged");
        let snapshots = shard.generations.as_ref().map(Generations::all);
        let mut snapshots = snapshots
            .transpose()
            .with_context(wrong)?
            .unwrap_or_default();
        snapshots.reverse();
        let (from, mut state) = shard.oldest(&snapshots).with_context(wrong)?;
        let mut held = Vec::new();
        for snapshot in &snapshots {
            if let Some(generations) = &shard.generations {
                generations
                    .load(*snapshot, Rules::default())
                    .with_context(wrong)?;
            }
        }
        recovery::read_all(&mut shard.log, &shard.facts, |batch, position| {
            if position > state.position() {
                state
                    .apply(position, batch.header, &batch.operations)
                    .map_err(|source| RecoveryError::Order { position, source })?;
            }
            let snapshot = snapshots
                .iter()
                .find(|snapshot| snapshot.position == position);
            if let Some(snapshot) = snapshot {
                held.push((position, snapshot::hash(&state) == snapshot.hash));
            }
            Ok(())
        })
        .with_context(wrong)?;
        if let Some((position, _)) = held.iter().find(|(_, holds)| !holds) {
            bail!("{place}: the snapshot up to entry {position} is not what the log comes to");
        }
        let compared = held.iter().filter(|(position, _)| *position > from).count();
        cli::print(&format!(
            "{place}: whole. Entries {} to {}, {} operations, {} snapshots ({compared} held against a replay from entry {})\n  \
             hash {}\n",
            shard.facts.trimmed + 1,
            shard.facts.last,
            state.sequence(),
            snapshots.len(),
            from + 1,
            snapshot::hash(&state),
        ))?;
    }
    Ok(cli::OK)
}

fn truncate(flags: &LikesTruncate) -> anyhow::Result<u8> {
    let folder = flags.folder.path()?;
    let shard = disk::shard_folder(&folder, flags.shard);
    let file = shard.join(LOG_FILE);
    if !file.exists() {
        bail!("there is no log at {}", file.display());
    }
    let _locked = Locked::open(&folder)?;
    let mut log = SqliteLog::open_to_cut(&file)?;
    let facts = log.facts();
    let (first, at) = (facts.trimmed + 1, flags.at);
    if !(first..=facts.last).contains(&at) {
        bail!(
            "the log holds entries {first} to {}, so nothing can be given up at {at}",
            facts.last
        );
    }
    let mut snapshots = 0;
    if shard.join(STATE_FILE).exists() {
        let mut generations = Generations::open(&shard.join(STATE_FILE), facts.log)?;
        let kept = generations.all()?;
        let usable = |generation: &Generation| (facts.trimmed..at).contains(&generation.position);
        if facts.trimmed > 0 && !kept.iter().any(usable) {
            bail!(
                "no snapshot from before entry {at} is left, and the log begins with {first}: nothing would remain to go on with"
            );
        }
        // Snapshots go first: without them the log alone still comes to the same.
        snapshots = generations.cut(at)?;
    }
    let entries = log.cut(at)?;
    cli::print(&format!(
        "gave up {entries} entries, from {at} on, and {snapshots} snapshots that include them\n"
    ))?;
    Ok(cli::OK)
}

fn export(flags: &LikesExport) -> anyhow::Result<u8> {
    let states = states(&flags.folder.path()?)?;
    let wanted = |channel: &str| flags.channel.as_deref().is_none_or(|name| name == channel);
    let mut documents = Vec::new();
    if flags.format == ExportFormat::Csv {
        cli::print("channel,viewer,likes,sequence\n")?;
    }
    for state in &states {
        for (channel, counts) in state.all_counts() {
            if !wanted(&channel) {
                continue;
            }
            let printed = Printed {
                channel: &channel,
                counts,
                closed: state.is_closed(&channel),
                viewers: Some(state.likers(&channel)),
            };
            match flags.format {
                ExportFormat::Json => documents.push(serde_json::to_value(printed)?),
                ExportFormat::Csv => cli::print(&lines(&printed))?,
            }
        }
    }
    if flags.format == ExportFormat::Json {
        cli::print(&format!("{}\n", serde_json::to_string_pretty(&documents)?))?;
    }
    Ok(cli::OK)
}

/// A line per viewer. No name may hold a comma or a quote.
fn lines(printed: &Printed<'_>) -> String {
    let mut text = String::new();
    for liker in printed.viewers.iter().flatten() {
        let Liker {
            viewer,
            likes,
            sequence,
        } = liker;
        let _ = writeln!(text, "{},{viewer},{likes},{sequence}", printed.channel);
    }
    text
}

/// The state of every shard.
fn states(folder: &Path) -> anyhow::Result<Vec<State>> {
    let recovered = shards(folder)?.into_iter().map(|mut shard| {
        let (facts, generations) = (shard.facts, shard.generations.as_ref());
        recovery::recover(&mut shard.log, &facts, generations, Rules::default())
            .with_context(|| format!("{} is damaged", shard.folder.display()))
    });
    recovered.collect()
}

fn shards(folder: &Path) -> anyhow::Result<Vec<Shard>> {
    let mut shards = Vec::new();
    loop {
        let shard = disk::shard_folder(folder, shards.len() as u32);
        let file = shard.join(LOG_FILE);
        if !file.exists() {
            break;
        }
        // The snapshots first: the log then reaches at least as far.
        let (_, facts) = SqliteLog::read_only(&file)?;
        let generations = Generations::read_only(&shard.join(STATE_FILE), facts.log)?;
        let (log, facts) = SqliteLog::read_only(&file)?;
        shards.push(Shard {
            folder: shard,
            log,
            facts,
            generations,
        });
    }
    if shards.is_empty() {
        bail!(
            "there are no likes in {}; name their folder with --dir",
            folder.display()
        );
    }
    Ok(shards)
}

impl Shard {
    /// Where a replay begins: nothing yet, or the oldest snapshot that the log follows on.
    fn oldest(&self, snapshots: &[Generation]) -> anyhow::Result<(u64, State)> {
        if self.facts.trimmed == 0 {
            return Ok((0, State::new(Rules::default())));
        }
        let usable = |snapshot: &&Generation| snapshot.position >= self.facts.trimmed;
        let (Some(snapshot), Some(generations)) =
            (snapshots.iter().find(usable), &self.generations)
        else {
            bail!(
                "the log begins with entry {}, and there is no snapshot of what came before",
                self.facts.trimmed + 1
            );
        };
        Ok((
            snapshot.position,
            generations.load(*snapshot, Rules::default())?,
        ))
    }
}

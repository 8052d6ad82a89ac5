//! `seawall likes`: prints the content of a log of likes, verifies the log, and cuts its damaged end off at a given entry.
//!
//! The log is a file in the folder, or a stream of NATS JetStream if the configuration says so. Snapshots are in the folder.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Serialize;

use crate::app::cli::{self, ExportFormat, LikesCommand, LikesCounts, LikesExport, LikesTruncate};
use crate::config::Config;
use crate::config::keys::Backend;
use crate::likes::fold::{Liker, Rules};
use crate::likes::{Counts, State, snapshot};
use crate::serve::likes::disk::{self, Locked};
use crate::serve::likes::generations::{Generation, Generations};
use crate::serve::likes::jetstream::Servers;
use crate::serve::likes::log::{Facts, LikeLog, LogReader};
use crate::serve::likes::recovery::{self, RecoveryError};
use crate::serve::likes::sqlite::{self, SqliteLog};
use crate::serve::likes::{LOG_FILE, STATE_FILE};
use crate::terminal::{self, Reader};

/// Runs the command.
///
/// # Errors
/// The folder does not exist or is damaged; the sentence names the position.
pub fn run(what: &LikesCommand) -> anyhow::Result<u8> {
    match what {
        LikesCommand::Counts(flags) => counts(flags),
        LikesCommand::Verify(folder) => verify(&folder.resolve()?),
        LikesCommand::Truncate(flags) => truncate(flags),
        LikesCommand::Export(flags) => export(flags),
    }
}

/// One shard, in its current state.
struct Shard {
    /// The folder, or the stream.
    place: String,
    log: Box<dyn LogReader>,
    facts: Facts,
    generations: Option<Generations>,
}

/// A channel in printed form.
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
    let states = states(&flags.folder.resolve()?)?;
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
        terminal::print(&format!("{}\n", serde_json::to_string_pretty(&printed)?))?;
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
    terminal::print(&text)?;
    Ok(cli::OK)
}

/// Replays each log from its oldest entry, and compares every snapshot on the way with the replay.
fn verify(config: &Config) -> anyhow::Result<u8> {
    for mut shard in shards(config)? {
        let (place, keeper) = (shard.place.clone(), shard.facts.keeper);
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
        recovery::read_all(&mut *shard.log, &shard.facts, |batch, position| {
            if position > state.position() {
                state
                    .apply(position, batch.header, &batch.operations)
                    .map_err(|source| RecoveryError::Order {
                        position,
                        keeper,
                        source,
                    })?;
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
        terminal::print(&format!(
            "{place}: whole. Entries {} to {}, {} operations, {}{} ({compared} held against a replay from entry {})\n  hash {}\n",
            shard.facts.trimmed + 1,
            shard.facts.last,
            state.sequence(),
            match snapshots.len() {
                1 => "1 snapshot".to_owned(),
                count => format!("{count} snapshots"),
            },
            snapshots.iter().fold(String::new(), |text, snapshot| {
                let before = if text.is_empty() {
                    ", up to entry"
                } else {
                    " and"
                };
                format!("{text}{before} {}", snapshot.position)
            }),
            from + 1,
            snapshot::hash(&state),
        ))?;
    }
    Ok(cli::OK)
}

fn truncate(flags: &LikesTruncate) -> anyhow::Result<u8> {
    let config = flags.folder.resolve()?;
    if config.likes.backend == Backend::JetStream {
        bail!(
            "the log is a stream that other origins fold as well, so nothing of it is given up here: restore the stream from a \
             copy"
        );
    }
    let folder = config.likes_dir();
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
        // Snapshots go first: without them the log alone still gives the same state.
        snapshots = generations.cut(at)?;
    }
    let entries = log.cut(at)?;
    terminal::print(&format!(
        "gave up {entries} entries, from {at} on, and {snapshots} snapshots that include them\n"
    ))?;
    Ok(cli::OK)
}

fn export(flags: &LikesExport) -> anyhow::Result<u8> {
    let states = states(&flags.folder.resolve()?)?;
    let wanted = |channel: &str| flags.channel.as_deref().is_none_or(|name| name == channel);
    let mut documents = Vec::new();
    if flags.format == ExportFormat::Csv {
        terminal::print("channel,viewer,likes,sequence\n")?;
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
                ExportFormat::Csv => {
                    if terminal::print(&lines(&printed))? == Reader::Gone {
                        return Ok(cli::OK);
                    }
                }
            }
        }
    }
    if flags.format == ExportFormat::Json {
        terminal::print(&format!("{}\n", serde_json::to_string_pretty(&documents)?))?;
    }
    Ok(cli::OK)
}

/// One line per viewer. A name can have no comma and no quote.
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
fn states(config: &Config) -> anyhow::Result<Vec<State>> {
    let recovered = shards(config)?.into_iter().map(|mut shard| {
        let (facts, generations) = (shard.facts, shard.generations.as_ref());
        recovery::recover(&mut *shard.log, &facts, generations, Rules::default())
            .with_context(|| format!("{} is damaged", shard.place))
    });
    recovered.collect()
}

fn shards(config: &Config) -> anyhow::Result<Vec<Shard>> {
    let folder = config.likes_dir();
    match config.likes.backend {
        Backend::Sqlite => shards_of_files(&folder),
        Backend::JetStream => shards_of_streams(config, &folder),
    }
}

/// The shards of streams. Snapshots in the folder are read too, if there are any.
fn shards_of_streams(config: &Config, folder: &Path) -> anyhow::Result<Vec<Shard>> {
    let jetstream = &config.likes.jetstream;
    let servers = Servers::connect(jetstream)?;
    let count = config.likes.shards;
    let open = |index| {
        let shard = sqlite::Shard { index, count };
        let state = disk::shard_folder(folder, index).join(STATE_FILE);
        // Snapshots are read first, so that the log reaches at least as far.
        let (_, facts) = servers.read_only(shard)?;
        let generations = Generations::read_only(&state, facts.log)?;
        let (log, facts) = servers.read_only(shard)?;
        Ok(Shard {
            place: format!("the stream {}_{index}", jetstream.stream_prefix),
            log: Box::new(log),
            facts,
            generations,
        })
    };
    (0..count).map(open).collect()
}

fn shards_of_files(folder: &Path) -> anyhow::Result<Vec<Shard>> {
    let mut shards = Vec::new();
    loop {
        let shard = disk::shard_folder(folder, shards.len() as u32);
        let file = shard.join(LOG_FILE);
        if !file.exists() {
            break;
        }
        // Snapshots are read first, so that the log reaches at least as far.
        let (_, facts) = SqliteLog::read_only(&file)?;
        let generations = Generations::read_only(&shard.join(STATE_FILE), facts.log)?;
        let (log, facts) = SqliteLog::read_only(&file)?;
        shards.push(Shard {
            place: shard.display().to_string(),
            log: Box::new(log),
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
    /// The start of a replay: an empty state, or the oldest snapshot that the log continues.
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

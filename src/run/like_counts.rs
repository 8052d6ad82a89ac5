//! Counts of likes before and after a run, for comparison with the acknowledgements that viewers received. Also the origin's
//! queue during the run.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use crate::report::record::{Counted, LikesRecord, Queue, RunRecord};
use crate::run::ask;
use crate::serve::likes::figures::Work;
use crate::viewer;

/// How a run counts likes.
#[derive(Debug)]
pub enum Counting {
    /// The scenario has no likes.
    None,
    /// The scenario has likes, but the servers do not take them, for this reason. So none is sent.
    NotTaken(String),
    /// Likes are sent, and the counts were read before.
    Begun {
        /// The likes to send.
        likes: viewer::likes::LikesPlan,
        /// The counts before.
        before: Before,
    },
}

/// The counts of some channels at one server, before a run.
#[derive(Debug)]
pub struct Before {
    server: String,
    channels: Vec<String>,
    counts: Vec<Counts>,
}

/// The counts of one channel.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Counts {
    likes: u64,
    hearts: u64,
}

impl Counting {
    /// Reads the counts at the first of these servers (`http://HOST:PORT`), if all of them take likes of these channels.
    pub async fn begin(
        likes: Option<&viewer::likes::LikesPlan>,
        servers: &[String],
        channels: Option<Vec<String>>,
    ) -> Self {
        let Some(likes) = likes else {
            return Self::None;
        };
        let (Some(channels), Some(first)) = (channels, servers.first()) else {
            return Self::NotTaken(
                "only channels of Seawall can be liked, and this is another stream".to_owned(),
            );
        };
        let mut counted = None;
        for server in servers {
            match counts(server, &channels).await {
                Ok(counts) => drop(counted.get_or_insert(counts)),
                Err(why) => {
                    return Self::NotTaken(format!("{server} takes no likes: {why:#}"));
                }
            }
        }
        Self::Begun {
            likes: likes.clone(),
            before: Before {
                server: first.clone(),
                channels,
                counts: counted.unwrap_or_default(),
            },
        }
    }

    /// The likes to send.
    pub fn to_send(&self) -> Option<viewer::likes::LikesPlan> {
        match self {
            Self::Begun { likes, .. } => Some(likes.clone()),
            Self::None | Self::NotTaken(_) => None,
        }
    }

    /// Writes into a run's record how the counts have grown, or why no like was sent.
    pub async fn finish(self, record: &mut RunRecord) {
        match (self, &mut record.likes) {
            (Self::NotTaken(why), likes) => {
                *likes = Some(LikesRecord {
                    not_taken: Some(why),
                    ..LikesRecord::default()
                });
            }
            (Self::Begun { before, .. }, Some(likes)) => before.note_growth(likes).await,
            _ => {}
        }
    }
}

impl Before {
    /// Reads the counts again, and writes down their growth.
    async fn note_growth(&self, likes: &mut LikesRecord) {
        match counts(&self.server, &self.channels).await {
            Ok(after) => {
                let grown = self.counts.iter().zip(&after);
                likes.counted = grown
                    .map(|(before, after)| Counted {
                        likes: difference(after.likes, before.likes),
                        hearts: difference(after.hearts, before.hearts),
                    })
                    .collect();
            }
            Err(why) => likes.uncounted = Some(format!("{why:#}")),
        }
    }
}

/// Counts that include every like acknowledged so far.
async fn counts(server: &str, channels: &[String]) -> anyhow::Result<Vec<Counts>> {
    let mut all = Vec::with_capacity(channels.len());
    for channel in channels {
        let url = format!("{server}/live/{channel}/counts?consistency=strong");
        all.push(ask::get_json(&url).await?);
    }
    Ok(all)
}

fn difference(after: u64, before: u64) -> i64 {
    i64::try_from(i128::from(after) - i128::from(before)).unwrap_or(i64::MAX)
}

/// Watches the origin's queue of likes during a run.
pub struct QueueWatch<F> {
    work: F,
    before: Option<Work>,
    /// The longest lag and the highest number of waiting operations seen.
    seen: Mutex<(Duration, u64)>,
}

impl<F: Fn() -> Option<Work>> QueueWatch<F> {
    /// Begins to watch. `work` returns the work of the queue so far, if there is a queue.
    pub fn begin(work: F) -> Self {
        Self {
            before: work(),
            work,
            seen: Mutex::default(),
        }
    }

    /// Reads the queue's figures once.
    pub fn look(&self) {
        if let Some(work) = (self.work)() {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            *seen = (seen.0.max(work.lag), seen.1.max(work.waiting));
        }
    }

    /// The work of the queue since the beginning.
    pub fn figures(&self) -> Option<Queue> {
        self.look();
        let (before, after) = self.before.zip((self.work)())?;
        let (lag, waiting) = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Queue {
            batches: after.batches - before.batches,
            operations: after.operations - before.operations,
            lag_max_ms: lag.as_secs_f64() * 1e3,
            waiting_most: waiting,
            durable: after.durable,
            applied: after.applied,
        })
    }
}

//! Serves likes: a bounded queue, one committer per shard that makes batches durable and counts them, and routes.
//!
//! ```text
//! batches of edges ──┐
//! PUT, DELETE, POST ─▶ Queue (bounded) ─▶ Committer: one batch ─▶ LikeLog: fsync ─▶ fold ─▶ Board ─▶ 202
//!                                                     LikeLog: a file (sqlite), or a stream of NATS (jetstream)
//!                                                     Snapshotter: reads the log, writes state.db, lets it be trimmed
//! GET ─▶ Board
//! ```
//! [`crate::likes`] defines their meaning. A channel always belongs to the same shard, so all its updates are in one
//! order.

pub(in crate::serve) mod answer;
pub(in crate::serve) mod batches;
pub mod board;
pub(in crate::serve) mod body;
pub mod committer;
pub mod disk;
pub mod figures;
pub mod generations;
pub mod jetstream;
pub mod log;
mod node;
pub mod queue;
pub mod rates;
pub mod recovery;
mod request;
mod routes;
pub mod simulated;
pub mod snapshotter;
pub mod sqlite;
pub(in crate::serve) mod stream;
pub(in crate::serve) mod update;
pub mod writer;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use warp::Filter;

use self::board::Board;
use self::committer::Committer;
use self::disk::{FolderError, Locked};
use self::figures::{Answers, Figures, Work};
use self::generations::Generations;
use self::jetstream::Servers;
use self::log::{LikeLog, LogError};
use self::node::{Handle, Node, Thread};
use self::queue::Queue;
use self::rates::{Addresses, Rates};
use self::recovery::RecoveryError;
use self::snapshotter::Snapshotter;
use self::sqlite::{Shard, SqliteLog};
use super::clock::Clock;
use super::metrics::Registry;
use super::token::Token;
use crate::config::keys::JetStreamSettings;
use crate::likes::durability::{Ack, SnapshotDue};
use crate::likes::fold::Rules;
use crate::likes::{LikesLimits, State};

/// Methods of a listener that takes likes.
pub const METHODS: &[http::Method] = &[
    http::Method::GET,
    http::Method::HEAD,
    http::Method::OPTIONS,
    http::Method::PUT,
    http::Method::POST,
    http::Method::DELETE,
];

/// The file of a shard that holds its log.
pub const LOG_FILE: &str = "log.db";
/// The file of a shard that holds its snapshots.
pub const STATE_FILE: &str = "state.db";

/// The settings of likes.
#[derive(Clone, Debug)]
pub struct LikesConfig {
    /// The folder of the likes.
    pub dir: PathBuf,
    /// Number of logs; each channel belongs to one of them. It never changes for a folder.
    pub shards: u32,
    /// The bounds.
    pub limits: LikesLimits,
    /// When snapshots are written.
    pub due: SnapshotDue,
    /// Whether the rate limit also applies to addresses of this machine.
    pub loopback_counts: bool,
    /// Edges on other machines, which are trusted to name their viewers' addresses.
    pub edges: Vec<IpAddr>,
    /// The log that makes likes durable.
    pub backend: Backend,
}

/// The log that makes likes durable.
#[derive(Clone, Debug)]
pub enum Backend {
    /// A file in the folder, with the moment at which a batch is confirmed.
    Sqlite(Ack),
    /// Streams at these servers, which other origins use as well. The folder keeps this writer's name, and snapshots.
    JetStream(Box<JetStreamSettings>),
}

impl LikesConfig {
    /// The default settings for likes in this folder.
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            shards: 1,
            limits: LikesLimits::default(),
            due: SnapshotDue::default(),
            loopback_counts: false,
            edges: Vec::new(),
            backend: Backend::Sqlite(Ack::Disk),
        }
    }

    /// How often addresses may send.
    fn addresses(&self) -> Addresses {
        Addresses {
            rate_max: self.limits.address_rate_max,
            loopback_counts: self.loopback_counts,
            edges: self.edges.clone(),
        }
    }
}

/// Why likes cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file cannot be used.
    #[error("likes cannot be kept: {0}")]
    Log(#[from] LogError),
    /// The folder does not contain a valid state.
    #[error("the likes in {} cannot be gone on with: {source}", folder.display())]
    Recovery {
        /// The folder of the shard.
        folder: PathBuf,
        /// What is wrong.
        source: RecoveryError,
    },
    /// The operating system gives no thread.
    #[error("cannot start a thread for likes: {0}")]
    Thread(std::io::Error),
}

/// The likes of one node; copies share them.
#[derive(Clone, Debug)]
pub struct Likes(Arc<Node>);

/// What the likes need from the origin: which channels are on air, and who may close a channel.
pub struct Neighbours {
    /// Whether a channel of this name is on air.
    pub on_air: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// The token that an operator must send to close a channel. Without it, no channel can be closed.
    pub operator: Option<Token>,
}

/// A log that has been read and is ready for new entries.
struct Opened {
    log: Box<dyn LikeLog>,
    state: State,
    snapshots: Option<Generations>,
    folder: Option<PathBuf>,
}

impl Likes {
    /// Reads the log in the folder and continues it. Blocks until all entries are counted.
    ///
    /// # Errors
    /// The folder is in use or unusable, or its content is damaged. Then nothing has been changed.
    pub fn open(
        config: &LikesConfig,
        neighbours: Neighbours,
        clock: Clock,
        registry: &Registry,
    ) -> Result<Self, OpenError> {
        let folder = Arc::new(Locked::open(&config.dir)?);
        type Open = Box<dyn Fn(&Path, Shard) -> Result<Opened, OpenError>>;
        let open_one: Open = match &config.backend {
            &Backend::Sqlite(ack) => {
                Box::new(move |folder, shard| open_shard(folder, shard, ack, clock))
            }
            Backend::JetStream(config) => {
                let servers = Servers::connect(config)?;
                Box::new(move |folder, shard| open_shard_at(&servers, folder, shard, clock))
            }
        };
        let open = |index| {
            let count = config.shards;
            open_one(&folder.shard(index)?, Shard { index, count })
        };
        let opened = (0..config.shards.max(1))
            .map(open)
            .collect::<Result<Vec<_>, _>>()?;
        Self::start(opened, Some(folder), config, neighbours, clock, registry)
    }

    /// Starts likes over logs that the caller has opened: one per shard, read from their beginning, without snapshots.
    ///
    /// # Errors
    /// A log is damaged.
    pub fn over(
        logs: Vec<Box<dyn LikeLog>>,
        config: &LikesConfig,
        neighbours: Neighbours,
        clock: Clock,
        registry: &Registry,
    ) -> Result<Self, OpenError> {
        let open = |mut log: Box<dyn LikeLog>| {
            let state = recovered(&mut *log, None, &config.dir);
            state.map(|state| Opened {
                log,
                state,
                snapshots: None,
                folder: None,
            })
        };
        let opened = logs.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
        Self::start(opened, None, config, neighbours, clock, registry)
    }

    fn start(
        opened: Vec<Opened>,
        folder: Option<Arc<Locked>>,
        config: &LikesConfig,
        neighbours: Neighbours,
        clock: Clock,
        registry: &Registry,
    ) -> Result<Self, OpenError> {
        let answers = Answers::new(registry);
        let (mut shards, mut threads) = (Vec::new(), Vec::new());
        for (index, opened) in opened.into_iter().enumerate() {
            let figures = Figures::new(registry, &answers, index as u32);
            let queue = Queue::new(config.limits.clone(), figures.depth.clone());
            let board = Arc::new(Board::new(&opened.state));
            let facts = opened.log.facts();
            shards.push(Handle {
                queue: queue.clone(),
                board: board.clone(),
                figures: figures.clone(),
                log: facts.log,
                on_disk: facts.fsync_before_ack,
            });
            if let Some(generations) = opened.snapshots {
                let newest = generations.all()?.first().copied();
                let snapshotter = Snapshotter {
                    log: opened.log.reader()?,
                    generations,
                    state: opened.state.clone(),
                    written: newest.map_or(0, |newest| newest.sequence),
                    relieved: facts.trimmed,
                    queue: queue.clone(),
                    board: board.clone(),
                    due: config.due,
                    clock,
                };
                let (stop, stopped) = mpsc::channel();
                let name = format!("likes-state-{index}");
                let run = move || snapshotter.run(&stopped);
                let thread = Thread::start(name, Some(stop), folder.clone(), run);
                threads.push(thread.map_err(OpenError::Thread)?);
            }
            let committer = Committer {
                log: opened.log,
                state: opened.state,
                queue,
                board,
                figures,
                limits: config.limits.clone(),
                folder: opened.folder,
                clock,
            };
            committer.prepare();
            let name = format!("likes-log-{index}");
            let thread = Thread::start(name, None, folder.clone(), || committer.run());
            threads.push(thread.map_err(OpenError::Thread)?);
        }
        Ok(Self(Arc::new(Node {
            shards,
            limits: config.limits.clone(),
            rates: Rates::new(config.limits.viewer_rate_max, &config.addresses()),
            readers: Arc::new(Semaphore::new(config.limits.waiting_readers_max)),
            batches: Semaphore::new(batches::AT_ONCE_KIB_MAX),
            name: format!(
                "~origin.{:016x}.{:x}",
                crate::serve::chance::draw(),
                clock.unix().as_millis()
            )
            .into(),
            nameless: Mutex::new(0),
            on_air: neighbours.on_air,
            answers,
            clock,
            operator: neighbours.operator,
            closing: CancellationToken::new(),
            threads: Mutex::new(threads),
        })))
    }

    /// The totals of the queues of all shards.
    pub fn work(&self) -> Work {
        let shards = self.0.shards.iter();
        shards.fold(Work::default(), |work, shard| shard.figures.add_to(work))
    }

    /// Waits for `stop`. Then releases the waiting readers, commits the queue, and ends.
    pub async fn run_until(self, stop: CancellationToken) {
        stop.cancelled().await;
        let threads = self.0.close();
        let joining = tokio::task::spawn_blocking(move || {
            for thread in threads {
                drop(thread.stop);
                let _ = thread.handle.join();
            }
        });
        let _ = joining.await;
    }
}

/// The routes of [`crate::likes::names`]. Every other path is rejected. Without likes, these paths are rejected too.
pub fn routes(
    likes: Option<&Likes>,
) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection> + Clone + Send + Sync + use<>
{
    routes::routes(likes.map(|likes| likes.0.clone()))
}

/// `POST /-/likes/close?channel=NAME` and `/-/likes/reopen?channel=NAME`, for the admin listener.
pub fn admin_routes(
    likes: Option<&Likes>,
) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection> + Clone + Send + Sync + use<>
{
    routes::admin_routes(likes.map(|likes| likes.0.clone()))
}

/// Opens a shard whose log servers keep.
fn open_shard_at(
    servers: &Servers,
    folder: &Path,
    shard: Shard,
    clock: Clock,
) -> Result<Opened, OpenError> {
    let begun = clock.now();
    let mut log = servers.open(shard, folder)?;
    let facts = log.facts();
    let generations = Generations::open(&folder.join(STATE_FILE), facts.log)?;
    let state = recovered(&mut log, Some(&generations), folder)?;
    log.begin_life(&state)?;
    tracing::info!(
        folder = %folder.display(),
        operations = state.sequence(),
        fsync_before_ack = facts.fsync_before_ack,
        took = ?clock.now().since(begun),
        "likes are open: their log has been read from the servers of NATS"
    );
    Ok(Opened {
        log: Box::new(log),
        state,
        snapshots: Some(generations),
        folder: None,
    })
}

fn open_shard(folder: &Path, shard: Shard, ack: Ack, clock: Clock) -> Result<Opened, OpenError> {
    let begun = clock.now();
    let mut log = SqliteLog::open(&folder.join(LOG_FILE), shard, ack)?;
    let generations = Generations::open(&folder.join(STATE_FILE), log.facts().log)?;
    let state = recovered(&mut log, Some(&generations), folder)?;
    tracing::info!(
        folder = %folder.display(),
        operations = state.sequence(),
        took = ?clock.now().since(begun),
        "likes are open: their log has been read"
    );
    Ok(Opened {
        log: Box::new(log),
        state,
        snapshots: Some(generations),
        folder: Some(folder.to_owned()),
    })
}

/// The state from a log and its snapshots. `folder` is named in the error.
fn recovered(
    log: &mut dyn LikeLog,
    generations: Option<&Generations>,
    folder: &Path,
) -> Result<State, OpenError> {
    let facts = log.facts();
    recovery::recover(log, &facts, generations, Rules::default()).map_err(|source| {
        OpenError::Recovery {
            folder: folder.to_owned(),
            source,
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::log::LogReader;
    use super::simulated::{LogFault, SimulatedLog};
    use super::*;
    use crate::likes::batch::Header;
    use crate::likes::snapshot::Hash;
    use crate::likes::{Action, Batch, Identity, Operation, snapshot};

    /// Appends a script, cut into batches, and returns the hash of the log's state.
    fn hash_of(script: &[Operation], cut: usize, log: &mut dyn LikeLog) -> Hash {
        let begun = log.facts();
        for (index, operations) in script.chunks(cut).enumerate() {
            let header = Header {
                writer: begun.writer,
                epoch: begun.epoch,
                number: index as u64 + 1,
            };
            let batch = Batch {
                header,
                operations: operations.to_vec(),
            };
            log.append(&batch.encode().unwrap()).unwrap();
        }
        let facts = log.facts();
        let mut reader: Box<dyn LogReader> = log.reader().unwrap();
        let state = recovery::recover(&mut *reader, &facts, None, Rules::default()).unwrap();
        snapshot::hash(&state)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// The same script comes to the same state in every log, however it is cut, and though one holds batches twice.
        #[test]
        fn one_script_has_one_hash_in_every_log(
            script in prop::collection::vec((0..3_u8, 1..40_u64, 0..3_u8), 1..100),
            cut in 1..20_usize,
        ) {
            let operation = |&(viewer, sequence, what): &(u8, u64, u8)| {
                let action = [Action::Like, Action::Unlike, Action::Hearts(2)][usize::from(what)];
                let viewer = format!("v{viewer}");
                Operation::update("demo", &viewer, Identity::Sequence(sequence), action)
            };
            let script: Vec<_> = script.iter().map(operation).collect();
            let folder = tempfile::tempdir().unwrap();
            let shard = Shard { index: 0, count: 1 };
            let path = folder.path().join(LOG_FILE);
            let mut sqlite = SqliteLog::open(&path, shard, Ack::Memory).unwrap();
            let mut simulated = SimulatedLog::default();
            simulated.inject(std::iter::repeat_n(LogFault::Doubled, 100));
            prop_assert_eq!(
                hash_of(&script, cut, &mut sqlite),
                hash_of(&script, 7, &mut simulated)
            );
        }
    }
}

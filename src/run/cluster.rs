//! The cluster of a run: an origin with its channels, and edges in front of it, either in this process or as separate
//! processes.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::Signal;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::keys::EdgeSettings;
use crate::config::target::Role;
use crate::hls::steering::{Pathway, Pathways};
use crate::hls::timeline::Channel;
use crate::policy::key::Kind;
use crate::policy::status::MissQueue;
use crate::report::counts::{Askers, Caches, EdgeCounts, OriginHits, SegmentHits, Unasked};
use crate::report::record;
use crate::run::ask;
use crate::run::compose;
use crate::run::processes::{self, Part, Start};
use crate::run::tiers::{Plan, Tiers};
use crate::scenario::{ClusterPlan, Scenario};
use crate::serve::clock::Clock;
use crate::serve::components::{Doors, EdgeComponent, OriginComponent};
use crate::serve::discovery::{Directory, DirectoryEntry};
use crate::serve::edge::admin::operate::Audit;
use crate::serve::origin::hits::Snapshot;

/// The edges of a cluster.
pub enum Edges {
    /// In this process.
    Components(Tiers),
    /// Each in its own process.
    Processes(Vec<EdgeProcess>),
}

/// An edge in its own process.
pub struct EdgeProcess {
    name: String,
    url: String,
    admin: String,
    upstream: String,
    /// Its configuration file, which exists as long as this value.
    file: std::sync::Arc<tempfile::TempPath>,
    /// `None` while it is dead.
    part: Mutex<Option<Part>>,
    _entry: DirectoryEntry,
}

/// The cluster at which a run is played.
pub struct Cluster<'a> {
    /// The origin.
    pub origin: &'a OriginComponent,
    /// The edges.
    pub edges: &'a Edges,
    /// The channels, the most popular first.
    pub channels: &'a [Channel],
    /// The settings of the edges.
    pub edge: &'a EdgeSettings,
}

/// The counts before a run, to be subtracted from the counts after it.
pub struct Before {
    origin: Snapshot,
    edges: Vec<Option<Audit>>,
}

impl EdgeProcess {
    async fn open(
        name: String,
        upstream: &str,
        file: &std::sync::Arc<tempfile::TempPath>,
        directory: &Directory,
    ) -> anyhow::Result<Self> {
        let any = "127.0.0.1:0".to_owned();
        let (part, told) = start(&name, upstream, file, [any.clone(), any]).await?;
        let [url, admin] = &told[..] else {
            bail!("{name} does not say where it listens")
        };
        let address = admin.trim_start_matches("http://").parse()?;
        Ok(Self {
            _entry: directory.list(Role::Edge, &name, address),
            name,
            url: url.clone(),
            admin: admin.clone(),
            upstream: upstream.to_owned(),
            file: file.clone(),
            part: Mutex::new(Some(part)),
        })
    }

    /// Starts the edge again at the same address, if it is dead.
    ///
    /// # Errors
    /// The edge does not start.
    pub async fn revive(&self) -> anyhow::Result<()> {
        let mut part = self.part.lock().await;
        if part.is_none() {
            let address = |url: &str| url.trim_start_matches("http://").to_owned();
            let doors = [address(&self.url), address(&self.admin)];
            *part = Some(
                start(&self.name, &self.upstream, &self.file, doors)
                    .await?
                    .0,
            );
        }
        Ok(())
    }

    /// Sends the edge a signal, if it is running.
    pub async fn signal(&self, signal: Signal) {
        if let Some(part) = &*self.part.lock().await {
            part.signal(signal);
        }
    }

    /// Kills the edge (SIGKILL), if it is running.
    ///
    /// # Errors
    /// The system refuses to kill it.
    pub async fn kill(&self) -> anyhow::Result<()> {
        if let Some(mut part) = self.part.lock().await.take() {
            part.child.kill().await?;
        }
        Ok(())
    }

    /// Ends the edge gracefully, if it is running.
    pub async fn end(&self) {
        if let Some(mut part) = self.part.lock().await.take() {
            part.end().await;
        }
    }
}

async fn start(
    name: &str,
    upstream: &str,
    file: &Path,
    [listen, admin]: [String; 2],
) -> anyhow::Result<(Part, Vec<String>)> {
    let file = file
        .to_str()
        .context("the folder for temporary files has no readable name")?;
    let start = Start {
        file,
        token: processes::token(),
    };
    let edge = [
        "edge", "--name", name, "--listen", &listen, "--admin", &admin,
    ];
    let edge = [&edge[..], &["--upstream", upstream, "--log", "warn"]].concat();
    start.part(name, &edge, &[name, "admin"]).await
}

impl Edges {
    /// Opens the cold edges and shields of a scenario's cluster, on free ports, for this origin. `config` holds the values of the
    /// plan already ([`ClusterPlan::lay_over`]).
    ///
    /// # Errors
    /// No port is free, or a process cannot be started.
    pub async fn open(
        plan: &ClusterPlan,
        origin: &OriginComponent,
        name: &str,
        miss_queue: MissQueue,
        config: &Config,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let mut config = config.clone();
        config.edge.miss_queue = miss_queue;
        if plan.processes {
            let file = tempfile::Builder::new()
                .prefix("seawall-")
                .suffix(".toml")
                .tempfile()?;
            std::fs::write(file.path(), toml::to_string(&config)?)?;
            let file = std::sync::Arc::new(file.into_temp_path());
            let upstream = origin.url();
            let opening = (1..=plan.edges).map(|index| {
                let name = format!("{name}-{index}");
                EdgeProcess::open(name, &upstream, &file, &origin.directory)
            });
            let edges = futures_util::future::try_join_all(opening).await?;
            return Ok(Self::Processes(edges));
        }
        let tiers = Plan {
            config: &config,
            origin: origin.url(),
            name,
            edges: plan.edges,
            shields: plan.shields,
            miss_queue,
            directory: origin.directory.clone(),
            edge_doors: Doors::free(),
            shield_doors: Doors::free(),
        };
        Ok(Self::Components(Tiers::open(&tiers, clock)?))
    }

    /// The URLs for viewers.
    pub fn urls(&self) -> Vec<String> {
        match self {
            Self::Components(tiers) => tiers.edges.iter().map(EdgeComponent::url).collect(),
            Self::Processes(edges) => edges.iter().map(|edge| edge.url.clone()).collect(),
        }
    }

    /// Whether the edges run in this process.
    pub fn process(&self) -> record::Process {
        match self {
            Self::Components(_) => record::Process::SharedWithServers,
            Self::Processes(_) => record::Process::WithOrigin,
        }
    }

    /// Which client asks the origin for which edge.
    fn askers(&self) -> Askers {
        match self {
            Self::Components(tiers) => tiers.askers(),
            Self::Processes(edges) => Askers::edges(edges.iter().map(|edge| edge.name.clone())),
        }
    }

    /// The counts of each edge, and of each shield behind them; `None` for one that does not answer.
    pub async fn audits(&self) -> Vec<Option<Audit>> {
        match self {
            Self::Components(tiers) => {
                let components = tiers.edges.iter().chain(&tiers.shields);
                components
                    .map(|component| Some(component.edge.audit()))
                    .collect()
            }
            Self::Processes(edges) => {
                let asking = edges.iter().map(|edge| async {
                    let url = format!("{}/-/audit", edge.admin);
                    let asked = ask::get_json::<Audit>(&url);
                    let answered = tokio::time::timeout(Duration::from_secs(1), asked).await;
                    answered.ok().and_then(Result::ok)
                });
                futures_util::future::join_all(asking).await
            }
        }
    }

    /// Requests that wait for a flight now, over all edges.
    pub async fn waiters(&self) -> u32 {
        match self {
            Self::Components(tiers) => {
                let components = tiers.edges.iter().chain(&tiers.shields);
                components.map(|component| component.edge.waiters()).sum()
            }
            Self::Processes(_) => {
                let audits = self.audits().await;
                audits.iter().flatten().map(|audit| audit.waiters).sum()
            }
        }
    }

    /// The audits after every fetch of an audience has landed, so that all counts cover the same fetches.
    async fn settled(&self) -> Vec<Option<Audit>> {
        let mut audits = self.audits().await;
        for _ in 0..200 {
            if audits.iter().flatten().all(|audit| audit.fetches == 0) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            audits = self.audits().await;
        }
        audits
    }

    /// Stops the servers, first those that viewers ask.
    pub async fn stop(&self) {
        match self {
            Self::Components(tiers) => tiers.stop().await,
            Self::Processes(edges) => {
                futures_util::future::join_all(edges.iter().map(EdgeProcess::end)).await;
            }
        }
    }

    /// The process of an edge; edges are counted from 1.
    ///
    /// # Errors
    /// The edges are not processes, or there is no edge with this number.
    pub fn process_of(&self, edge: u32) -> anyhow::Result<&EdgeProcess> {
        let Self::Processes(edges) = self else {
            bail!("edges in this process can be neither killed nor silenced")
        };
        let index = edge.saturating_sub(1) as usize;
        edges
            .get(index)
            .with_context(|| format!("there is no edge-{edge}"))
    }
}

impl ClusterPlan {
    /// Sets its values for edges in a configuration.
    pub fn lay_over(&self, config: &mut Config) {
        let edge = &mut config.edge;
        edge.cache_bytes = self.cache_bytes.unwrap_or(edge.cache_bytes);
        edge.prefetch = self.prefetch.unwrap_or(edge.prefetch);
        edge.refresh = self.refresh.unwrap_or(edge.refresh);
        let limits = &mut edge.limits;
        limits.playlist_fresh_percent = self
            .playlist_fresh_percent
            .unwrap_or(limits.playlist_fresh_percent);
        limits.eviction = self.eviction.unwrap_or(limits.eviction);
    }
}

impl Cluster<'_> {
    /// Steers players between the edges: the origin names them `edge-1`, `edge-2` and so on.
    pub fn steer(&self) {
        /// Players keep a manifest for this long: a run is short.
        const TTL_S: u32 = 10;
        let pathway = |(index, url): (usize, String)| Pathway {
            id: format!("edge-{index}"),
            url,
        };
        let list = (1..).zip(self.edges.urls()).map(pathway);
        self.origin.origin.store().steer(Pathways {
            list: list.collect(),
            ttl_s: TTL_S,
        });
    }

    /// The counts so far.
    pub async fn before(&self) -> Before {
        Before {
            origin: self.origin.origin.hits().snapshot(),
            edges: self.edges.audits().await,
        }
    }

    /// The growth of the counts since `before`, after every fetch has landed. `struck`: why the edges' own counts are void.
    pub async fn since(&self, before: &Before, struck: Option<String>) -> (OriginHits, EdgeCounts) {
        let after = self.edges.settled().await;
        let askers = self.edges.askers();
        let clients: Vec<_> = askers.group_of_client.keys().cloned().collect();
        let hits = self.origin.origin.hits().snapshot().since(&before.origin);
        let hits = origin_hits(&hits, Some(&clients), self.channels.len() > 1);
        let edge_count = self.edges.urls().len();
        let pairs = || before.edges.iter().zip(&after);
        let all_told = pairs().all(|pair| matches!(pair, (Some(_), Some(_)))) && struck.is_none();
        let grown = |of: fn(&Audit) -> u64, skip: usize, take: usize| -> u64 {
            let pairs = pairs().skip(skip).take(take);
            pairs
                .filter_map(|(before, after)| {
                    Some(of(after.as_ref()?).saturating_sub(of(before.as_ref()?)))
                })
                .sum()
        };
        // The servers that ask the origin: the shields if there are any, which come last.
        let first_asker = if after.len() > edge_count {
            edge_count
        } else {
            0
        };
        let is_cold = before
            .edges
            .iter()
            .flatten()
            .all(|audit| audit.segment_requests == 0);
        let several = self.channels.len() > 1;
        let unasked = (0..)
            .zip(&after)
            .take(edge_count)
            .flat_map(|(edge, audit)| {
                let names = audit.iter().flat_map(|audit| &audit.unasked);
                let ours = names.filter(|(channel, _, _)| {
                    self.channels.iter().any(|known| known.name == *channel)
                });
                ours.map(move |(channel, rendition, number)| Unasked {
                    edge,
                    rendition: name_of(channel, rendition, several),
                    number: *number,
                })
                .collect::<Vec<_>>()
            });
        let layout = self.channels.first().map(|channel| &channel.layout);
        let playlist_lifetime = layout.filter(|_| first_asker == 0).map(|layout| {
            let target = Duration::from_secs(layout.target_duration_s().into());
            target * self.edge.limits.playlist_fresh_percent / 100
        });
        let counts = EdgeCounts {
            segment_requests: all_told
                .then(|| grown(|audit| audit.segment_requests, 0, edge_count)),
            waiters_peak: after
                .iter()
                .take(edge_count)
                .flatten()
                .map(|audit| u64::from(audit.followers_peak))
                .max(),
            segment_retries: grown(|audit| audit.segment_retries, first_asker, usize::MAX),
            segment_prefetches: grown(|audit| audit.segment_prefetches, first_asker, usize::MAX),
            evicted: grown(|audit| audit.evicted, 0, usize::MAX),
            unasked: unasked.collect(),
            playlist_lifetime,
            caches: if is_cold {
                Caches::Cold
            } else {
                Caches::Unknown
            },
            struck,
            askers,
        };
        (hits, counts)
    }
}

/// An origin for one run, with its channels: opened cold, and stopped after the run.
pub struct OwnOrigin {
    /// The origin.
    pub origin: OriginComponent,
    /// Its channels.
    pub channels: Vec<Channel>,
    /// The configuration of the edges.
    pub config: Config,
    off_air: CancellationToken,
    _segments: tempfile::TempDir,
}

impl OwnOrigin {
    /// Opens an origin with the channels of a scenario, on free ports.
    ///
    /// # Errors
    /// No port is free, or the folder for temporary files cannot be written.
    pub async fn open(scenario: &Scenario, clock: Clock) -> anyhow::Result<Self> {
        let segments = tempfile::Builder::new().prefix("seawall-").tempdir()?;
        let plan = &scenario.real.cluster;
        let mut config = Config::default();
        config.channel.name.clone_from(&scenario.name);
        config.channel.parts_per_segment = plan.parts_per_segment;
        if plan.channels > 1 {
            // Several channels are a heavy load for the encoder, so no channel has a rendition that no viewer watches.
            config
                .channel
                .renditions
                .clone_from(&scenario.real.audience.renditions);
        }
        config.origin.capacity = plan.origin.clone();
        config.origin.window = plan.window;
        config.origin.segments = segments.path().to_owned();
        let config = config.checked()?;
        let off_air = CancellationToken::new();
        let (origin, channels) = compose::open_origin_with(
            &config,
            plan.channels,
            Doors::free(),
            clock,
            off_air.clone(),
        )
        .await?;
        Ok(Self {
            origin,
            channels,
            config,
            off_air,
            _segments: segments,
        })
    }

    /// Ends the broadcasts and the origin.
    pub async fn stop(&self) {
        self.origin.pace.recover();
        self.off_air.cancel();
        self.origin.listeners.stop().await;
    }
}

fn name_of(channel: &str, rendition: &str, several: bool) -> String {
    if several {
        format!("{channel}/{rendition}")
    } else {
        rendition.to_owned()
    }
}

/// The origin's counts in the report's form: for these clients, or for all. `several`: whether there are several channels.
pub fn origin_hits(snapshot: &Snapshot, clients: Option<&[String]>, several: bool) -> OriginHits {
    let counted =
        |client: &str| clients.is_none_or(|clients| clients.iter().any(|name| name == client));
    let of_kind = |kind: Kind| {
        snapshot
            .clients
            .iter()
            .filter(|(client, _)| counted(client))
            .filter_map(|(_, kinds)| kinds.get(&kind))
            .sum()
    };
    let segments: Vec<_> = snapshot
        .objects
        .iter()
        .filter(|asked| asked.object.kind == Kind::Segment && counted(&asked.object.client))
        .map(|asked| SegmentHits {
            client: asked.object.client.to_string(),
            rendition: name_of(&asked.object.channel, &asked.object.rendition, several),
            number: asked.object.number.unwrap_or_default(),
            hits: asked.hits,
        })
        .collect();
    OriginHits {
        segment: of_kind(Kind::Segment),
        media_playlist: of_kind(Kind::MediaPlaylist),
        multivariant: of_kind(Kind::Multivariant),
        other: of_kind(Kind::Other),
        shed: snapshot
            .shed
            .iter()
            .filter(|(client, _)| counted(client))
            .map(|(_, count)| count)
            .sum(),
        per_client: snapshot
            .clients
            .iter()
            .filter(|(client, _)| counted(client))
            .map(|(client, kinds)| (client.clone(), kinds.values().sum()))
            .collect(),
        most_per_segment: segments
            .iter()
            .map(|segment| segment.hits)
            .max()
            .unwrap_or(0),
        segments,
        uncounted: false,
    }
}

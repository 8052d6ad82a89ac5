//! Turns the configuration into the settings of components, and into an origin with its broadcast.

use std::time::Duration;

use anyhow::bail;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::keys::Backend;
use crate::hls::steering::Pathways;
use crate::hls::timeline::Channel;
use crate::serve::admin::Admin;
use crate::serve::clock::Clock;
use crate::serve::components::{Doors, OriginComponent};
use crate::serve::discovery::Directory;
use crate::serve::edge;
use crate::serve::likes;
use crate::serve::likes::rates::Addresses;
use crate::serve::origin::OriginConfig;
use crate::serve::token::Token;

/// Maximum time until a full window exists.
const ON_AIR: Duration = Duration::from_secs(120);

/// Opens an origin with its broadcast in this process; the broadcast ends with `off_air`. Returns when viewers can join
/// at the live edge.
pub(crate) async fn open_origin(
    config: &Config,
    doors: Doors,
    clock: Clock,
    off_air: CancellationToken,
) -> anyhow::Result<(OriginComponent, Channel)> {
    let (origin, mut channels) = open_origin_with(config, 1, doors, clock, off_air).await?;
    Ok((origin, channels.remove(0)))
}

/// The same with several channels: the names of the second and later channels end with a number.
pub(crate) async fn open_origin_with(
    config: &Config,
    count: u32,
    doors: Doors,
    clock: Clock,
    off_air: CancellationToken,
) -> anyhow::Result<(OriginComponent, Vec<Channel>)> {
    let (setup, wanted) = (origin_config(config), config.channel.clone());
    let admin = admin(config, directory(config));
    let runtime = tokio::runtime::Handle::current();
    // The disk may be slow, so the origin is opened on a thread that may block.
    let opened = tokio::task::spawn_blocking(move || {
        let _context = runtime.enter();
        let origin = OriginComponent::open(setup, doors, None, admin, clock)?;
        let broadcast = |index: u32| {
            let name = match index {
                0 => wanted.name.clone(),
                _ => format!("{}-{}", wanted.name, index + 1),
            };
            let seed = wanted.seed.wrapping_add(index.into());
            let (layout, started_at_ms) = (wanted.layout(), wanted.started_at_ms);
            origin.broadcast(&name, seed, layout, started_at_ms, off_air.clone())
        };
        let channels = (0..count.max(1)).map(broadcast).collect::<Result<_, _>>()?;
        anyhow::Ok((origin, channels))
    });
    let (origin, channels): (OriginComponent, Vec<Channel>) = opened.await??;
    let filling = async {
        for channel in &channels {
            while !origin.origin.store().is_current(channel) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    if tokio::time::timeout(ON_AIR, filling).await.is_err() {
        bail!(
            "after {} s the stream is not on air: is this machine too slow for {count} channels of this ladder?",
            ON_AIR.as_secs()
        );
    }
    Ok((origin, channels))
}

/// The settings of an edge.
pub(crate) fn edge_config(
    config: &Config,
    name: String,
    upstreams: Vec<String>,
) -> edge::EdgeConfig {
    edge::EdgeConfig {
        name,
        upstreams,
        miss_queue: config.edge.miss_queue,
        cache_bytes: config.edge.cache_bytes,
        prefetch: config.edge.prefetch,
        refresh: config.edge.refresh,
        limits: config.edge.limits.limits(),
        access_log: config.edge.access_log.clone().map(|path| {
            edge::admin::access::AccessLogConfig {
                path,
                one_of: config.edge.access_log_one_of,
            }
        }),
        likes: Addresses {
            rate_max: config.likes.address_rate_max,
            loopback_counts: config.likes.loopback_counts,
            edges: config.likes.edges.clone(),
        },
    }
}

/// What operators of a component may see and do, with the components that `directory` lists.
pub(crate) fn admin(config: &Config, directory: Directory) -> Admin {
    // This cannot fail: the configuration is plain data that TOML can hold.
    let shown = toml::to_string(&config.clone().redacted()).unwrap_or_default();
    Admin {
        token: config.admin.token.as_deref().map(Token::new),
        config: shown.into(),
        directory,
        ..Admin::default()
    }
}

/// The components elsewhere that a configuration names.
pub(crate) fn directory(config: &Config) -> Directory {
    Directory::of(config.admin.targets.clone())
}

/// The settings of an origin.
pub(crate) fn origin_config(config: &Config) -> OriginConfig {
    OriginConfig {
        window: config.origin.window,
        capacity: config.origin.capacity.capacity(),
        segments_dir: config.origin.segments.clone(),
        ingest_token: config.origin.token.as_deref().map(Token::new),
        pathways: Pathways {
            list: config.origin.pathways.clone(),
            ttl_s: config.origin.steering_ttl_s,
        },
        likes: config.likes.enabled.then(|| likes_config(config)),
        ..OriginConfig::default()
    }
}

/// The settings of likes.
fn likes_config(config: &Config) -> likes::LikesConfig {
    let wanted = &config.likes;
    likes::LikesConfig {
        dir: config.likes_dir(),
        shards: wanted.shards,
        limits: wanted.limits(),
        due: wanted.snapshot_due(),
        loopback_counts: wanted.loopback_counts,
        edges: wanted.edges.clone(),
        backend: match wanted.backend {
            Backend::Sqlite => likes::Backend::Sqlite(wanted.ack),
            Backend::JetStream => likes::Backend::JetStream(Box::new(wanted.jetstream.clone())),
        },
    }
}

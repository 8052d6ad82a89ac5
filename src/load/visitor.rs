//! One viewer: performs what its player decides, and logs every request.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::client::{Connection, Sink, Trace, Wanted};
use super::generator::Watch;
use super::likers::Whereabouts;
use super::line::{Edge, Pool};
use super::log::Log;
use super::metrics::{Counted, Metrics};
use super::network::Network;
use super::playlists::{Playlists, Read};
use super::stream::{Offered, Watched};
use super::ticks::{TICK, Ticks};
use crate::hls::reader;
use crate::report::record::{self, Outcome, Request};
use crate::serve::clock::Clock;
use crate::time::Timestamp;
use crate::viewer::abr;
use crate::viewer::audience::{Manners, Visit};
use crate::viewer::player::{self, Action, Object, Player, Seat, TIMEOUT};

/// What all viewers of a run share.
pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) began: Timestamp,
    pub(super) watched: Watched,
    pub(super) playlists: Playlists,
    pub(super) edges: Vec<Edge>,
    /// For each worker one per edge; none where each viewer has a connection of its own.
    pub(super) pools: Vec<Vec<Pool>>,
    /// For each worker the timers of its viewers.
    pub(super) ticks: Vec<Ticks>,
    /// Of each segment one part of so many is asked for; the last mile carries the whole.
    pub(super) one_part_of: u64,
    pub(super) abr: abr::Rule,
    pub(super) manners: Manners,
    /// How far viewers seek back who do.
    pub(super) seek_back: Duration,
    pub(super) seed: u64,
    pub(super) network: Network,
    pub(super) log: Log,
    pub(super) watch: Watch,
    pub(super) metrics: Metrics,
    /// Where viewers watch, if somebody wants to know.
    pub(super) whereabouts: Option<Arc<Whereabouts>>,
    pub(super) stop: CancellationToken,
}

/// Plays one visit at this worker, until the viewer leaves or its player gives up. What it leaves behind is logged then, or
/// when this is dropped.
pub(super) async fn play(world: Arc<World>, visit: Visit, worker: usize) {
    let player = Player::new(Seat {
        arrives: world.began + visit.arrives,
        leaves: world.began + visit.leaves,
        last_mile_bps: visit.last_mile_bps,
        unix_at_zero: world.clock.unix_at(Timestamp::ZERO),
        abr: world.abr,
        manners: world.manners,
        // Of other streams no segment has a name before it is listed.
        early: visit.early && matches!(world.watched, Watched::Channels { .. }),
        seeks: visit.seeks.map(|at| (world.began + at, world.seek_back)),
        chances: player::Chances {
            seed: world.seed,
            viewer: visit.viewer,
        },
    });
    if let Some(whereabouts) = &world.whereabouts {
        whereabouts.went(visit.viewer, visit.edge);
    }
    let mut visitor = Visitor {
        player,
        at: visit.edge,
        counted: world.metrics.joins(),
        own: None,
        pools: &world.pools[worker],
        ticks: &world.ticks[worker],
        visit,
        variants: Vec::new(),
        playlist: None,
        path: String::new(),
        text: Vec::new(),
        world: &world,
    };
    visitor.watch().await;
}

/// A viewer who is there. It leaves when this is dropped, so one that is cut in the middle is logged too.
struct Visitor<'a> {
    world: &'a World,
    visit: Visit,
    player: Player,
    counted: Counted<'a>,
    /// The edge where it is now.
    at: u32,
    /// Its own connection, where there is no pool.
    own: Option<Connection>,
    /// Those of its worker, one per edge.
    pools: &'a [Pool],
    /// Those of its worker.
    ticks: &'a Ticks,
    /// Renditions as the player numbers them.
    variants: Vec<Offered>,
    /// The playlist that it has.
    playlist: Option<Arc<Read>>,
    /// Both are kept from request to request, so that asking and receiving allocate nothing.
    path: String,
    text: Vec<u8>,
}

impl Drop for Visitor<'_> {
    fn drop(&mut self) {
        let now = self.world.clock.now();
        self.player.on_interrupt(now);
        self.world.log.left(record::Viewer {
            viewer: self.visit.viewer,
            edge: self.visit.edge,
            arrived: self.world.began + self.visit.arrives,
            left: now,
            stalls: self.player.stalls().to_vec(),
            quality: self.player.quality().clone(),
        });
    }
}

impl Visitor<'_> {
    async fn watch(&mut self) {
        let clock = self.world.clock;
        loop {
            let now = clock.now();
            let action = self.player.next(now);
            let stalls = self.counted.notice(&self.player);
            let tally = &self.world.log.tally;
            tally.stalls.fetch_add(stalls.into(), Ordering::Relaxed);
            match action {
                Action::Leave => return,
                Action::WakeAt(at) => {
                    let woken = self.ticks.sleep_until(at).await;
                    self.world.watch.on_wake(woken.since(at.next_tick(TICK)));
                }
                Action::Get { object, due } => {
                    self.go_where_the_player_is();
                    // Wanted from when the timer was to go off, unless something else woke the player before that.
                    let due = due.next_tick(TICK).min(now);
                    self.get(object, due).await;
                }
            }
        }
    }

    fn go_where_the_player_is(&mut self) {
        let edges = self.world.edges.len() as u32;
        let at = (self.visit.edge + self.player.moves()) % edges;
        if at != self.at {
            self.at = at;
            self.own = None;
            if let Some(whereabouts) = &self.world.whereabouts {
                whereabouts.went(self.visit.viewer, at);
            }
        }
    }

    async fn get(&mut self, object: Object, due: Timestamp) {
        let world = self.world;
        let clock = world.clock;
        let mut path = std::mem::take(&mut self.path);
        path.clear();
        let logged = self.locate(object, &mut path);
        let mut entry = Entry {
            log: &world.log,
            clock,
            viewer: self.visit.viewer,
            edge: self.at,
            object: logged,
            due,
            began: clock.now(),
            trace: Trace::default(),
            outcome: Outcome::Cut,
        };
        let wanted = Wanted {
            path: &path,
            first_bytes: self.first_bytes(object),
            told: self.told(object),
        };
        let sink = match (logged, &world.watched) {
            (record::Object::Segment { rendition, number }, Watched::Channels { verifier, .. }) => {
                Sink::Compare {
                    verifier,
                    rendition,
                    number,
                }
            }
            (record::Object::Segment { rendition, number }, Watched::Foreign { bodies, .. }) => {
                Sink::Fingerprint {
                    bodies,
                    rendition,
                    number,
                }
            }
            _ => Sink::Collect(&mut self.text),
        };
        let deadline = entry.began + TIMEOUT;
        entry.outcome = {
            let trace = &mut entry.trace;
            // Pinned here, because it is large: whoever takes it by value has room for it once more.
            let exchange = pin!(async {
                if let Some(pool) = self.pools.get(self.at as usize) {
                    let mut lent = pool.borrow().await;
                    lent.connection().get(clock, &wanted, sink, trace).await
                } else {
                    let edge = &world.edges[self.at as usize];
                    let own = self.own.get_or_insert_with(|| Connection::new(edge));
                    own.get(clock, &wanted, sink, trace).await
                }
            });
            tokio::select! {
                biased;
                () = world.network.breaks_for(self.visit.viewer) => Outcome::Reset,
                ended = self.ticks.timeout_at(deadline, exchange) => ended.unwrap_or(Outcome::Timeout),
            }
        };
        if entry.outcome == Outcome::Reset {
            self.own = None;
            if entry.trace.sent.is_none() {
                entry.outcome = Outcome::Refused;
            }
        }
        if entry.outcome == Outcome::Ok {
            entry.outcome = match object {
                Object::Multivariant => self.on_multivariant(&path),
                Object::MediaPlaylist { .. } => self.on_playlist(&path, logged),
                Object::Segment { .. } => Outcome::Ok,
            };
        }
        self.path = path;
        match (object, entry.outcome) {
            // A player cannot know that bytes are wrong; the log does.
            (Object::Segment { .. }, Outcome::Ok | Outcome::WrongBytes) => {
                let bytes = entry.trace.whole_bytes.unwrap_or(entry.trace.bytes);
                if let Some(at) = entry.trace.first_byte {
                    self.player.on_first_byte(at);
                }
                self.player.on_segment(clock.now(), bytes);
            }
            (_, Outcome::Ok) => {}
            _ => self.player.on_failure(clock.now(), entry.trace.retry_after),
        }
    }

    /// How much of an object is asked for, where a part of each segment stands for the whole.
    fn first_bytes(&self, object: Object) -> Option<u64> {
        let Object::Segment { rendition, number } = object else {
            return None;
        };
        let parts = self.world.one_part_of;
        if parts < 2 {
            return None;
        }
        let segment = self.listed(number)?;
        let bits = self.variants[rendition].bandwidth_bps as f64 * segment.duration.as_secs_f64();
        Some((bits as u64 / 8 / parts).max(1_024))
    }

    /// What the player tells of itself (CTA-5004, by headers).
    fn told(&self, object: Object) -> Vec<(&'static str, String)> {
        if !self.world.manners.cmcd {
            return Vec::new();
        }
        let (kind, of_rendition) = match object {
            Object::Multivariant | Object::MediaPlaylist { .. } => ("m", None),
            Object::Segment { rendition, .. } => ("av", self.variants.get(rendition)),
        };
        let mut about_object = format!("ot={kind}");
        if let Some(rendition) = of_rendition {
            about_object = format!("br={},{about_object}", rendition.bandwidth_bps / 1_000);
        }
        // Rounded to the nearest hundred, as the standard wants it.
        let hundreds = |value: u128| (value + 50) / 100 * 100;
        let buffered_ms = hundreds(self.player.buffered().as_millis());
        let measured_kbps = hundreds((self.player.estimate_bps() / 1e3) as u128);
        let session = format!(
            "sf=h,sid=\"{:x}-{}\",st=l",
            self.world.seed, self.visit.viewer
        );
        vec![
            ("cmcd-object", about_object),
            (
                "cmcd-request",
                format!("bl={buffered_ms},mtp={measured_kbps}"),
            ),
            ("cmcd-session", session),
        ]
    }

    /// Writes the path of what the player asks for; says its name in the log.
    fn locate(&self, object: Object, path: &mut String) -> record::Object {
        let watched = &self.world.watched;
        match object {
            Object::Multivariant => {
                path.push_str(&watched.start(self.visit.channel, self.at));
                record::Object::Multivariant
            }
            Object::MediaPlaylist { rendition } => {
                let offered = &self.variants[rendition];
                path.push_str(&offered.path);
                let rendition = offered.rendition;
                record::Object::MediaPlaylist { rendition }
            }
            Object::Segment { rendition, number } => {
                let rendition = self.variants[rendition].rendition;
                match self.listed(number) {
                    Some(segment) => path.push_str(&segment.path),
                    None => {
                        let named = watched.path_of(rendition, number);
                        path.push_str(&named.expect(
                            "only where names follow from numbers does a player ask early",
                        ));
                    }
                }
                record::Object::Segment { rendition, number }
            }
        }
    }

    /// What addresses in the playlist at `path` are resolved against.
    fn base(&self, path: &str) -> String {
        match self.world.watched {
            Watched::Channels { .. } => path.to_owned(),
            // Other servers may name themselves.
            Watched::Foreign { .. } => {
                let host = &self.world.edges[self.at as usize].host;
                format!("http://{host}{path}")
            }
        }
    }

    fn on_multivariant(&mut self, path: &str) -> Outcome {
        let base = self.base(path);
        let offered = self
            .world
            .watched
            .offered(self.visit.channel, &base, path, &self.text);
        if offered.is_empty() {
            return Outcome::Unreadable;
        }
        let needs = offered.iter().map(|offered| abr::Needs {
            peak_bps: offered.bandwidth_bps,
            average_bps: offered.average_bps,
        });
        let needs = needs.collect();
        self.variants = offered;
        self.player.on_multivariant(self.world.clock.now(), needs);
        Outcome::Ok
    }

    fn on_playlist(&mut self, path: &str, logged: record::Object) -> Outcome {
        let record::Object::MediaPlaylist { rendition } = logged else {
            return Outcome::Unreadable;
        };
        let world = self.world;
        let base = self.base(path);
        let read = world.playlists.read(rendition, &base, &self.text, |facts| {
            let mut listed = facts.listed.iter();
            listed.all(|segment| world.watched.is_named_so(rendition, segment))
        });
        let Some(read) = read else {
            return Outcome::Unreadable;
        };
        let (target_duration, listed) = (read.facts.target_duration, read.listed.clone());
        self.playlist = Some(read);
        self.player
            .on_playlist(world.clock.now(), target_duration, listed);
        Outcome::Ok
    }

    /// A segment as its playlist lists it.
    fn listed(&self, number: u64) -> Option<&reader::Listed> {
        let mut listed = self.playlist.as_ref()?.facts.listed.iter();
        listed.find(|segment| segment.number == number)
    }
}

/// A line of the log. It is written when it is dropped, so a request that is cut in the middle is logged too.
struct Entry<'a> {
    log: &'a Log,
    clock: Clock,
    viewer: u32,
    edge: u32,
    object: record::Object,
    due: Timestamp,
    began: Timestamp,
    trace: Trace,
    outcome: Outcome,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.log.push(Request {
            viewer: self.viewer,
            edge: self.edge,
            object: self.object,
            due: self.due,
            sent: self.trace.sent.unwrap_or(self.began),
            first_byte: self.trace.first_byte,
            finished: self.clock.now(),
            status: self.trace.status,
            word: self.trace.word,
            bytes: self.trace.bytes,
            outcome: match (self.outcome, self.trace.sent) {
                // Nothing had left yet.
                (Outcome::Cut | Outcome::Timeout, None) => Outcome::Refused,
                (outcome, _) => outcome,
            },
        });
    }
}

//! One viewer: performs what its player decides, over one connection, and logs every request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;
use tokio_util::sync::CancellationToken;

use super::client::{Connection, Sink, Trace};
use super::generator::Watch;
use super::verifier::Verifier;
use crate::hls::names::LivePath;
use crate::hls::reader;
use crate::hls::timeline::Channel;
use crate::report::record::{self, Outcome, Request, ResultWord};
use crate::serve::clock::Clock;
use crate::time::Timestamp;
use crate::viewer::audience::Visit;
use crate::viewer::player::{Action, Listed, Object, Player, Seat, TIMEOUT};

/// What all viewers of a run share.
pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) began: Timestamp,
    pub(super) channel: Arc<Channel>,
    /// Indices into the ladder of the renditions that players may choose.
    pub(super) allowed: Vec<u32>,
    pub(super) edges: Vec<(SocketAddr, HeaderValue)>,
    pub(super) verifier: Verifier,
    pub(super) log: Log,
    pub(super) watch: Watch,
    pub(super) stop: CancellationToken,
}

/// How many of the newest segments are kept regenerated: as many as a join asks for.
const PREPARED: u64 = 4;

impl World {
    /// Regenerates what viewers may soon ask for, the segment under way included, so that no answer waits for its check.
    pub(super) fn prepare(&self) {
        let Some(newest) = self.channel.newest(self.clock.unix()) else {
            return;
        };
        let oldest = (newest + 1).saturating_sub(PREPARED);
        for number in oldest.max(self.channel.first_number())..=newest + 1 {
            for &rendition in &self.allowed {
                self.verifier.prepare(rendition, number);
            }
        }
    }
}

/// The generator's own log: bounded; what is beyond the bound is counted.
pub(super) struct Log {
    requests: Mutex<Vec<Request>>,
    requests_max: usize,
    pub(super) tally: Tally,
}

/// Running counts for those who watch the run.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) requests: AtomicU64,
    pub(super) unlogged: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) collapsed: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) failures: AtomicU64,
}

impl Log {
    pub(super) fn new(requests_max: usize) -> Self {
        Self {
            requests: Mutex::new(Vec::new()),
            requests_max,
            tally: Tally::default(),
        }
    }

    fn push(&self, request: Request) {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        count(&self.tally.requests);
        match request.word {
            ResultWord::Hit | ResultWord::Stale => count(&self.tally.hits),
            ResultWord::Collapsed => count(&self.tally.collapsed),
            ResultWord::Miss => count(&self.tally.misses),
            _ => 0,
        };
        if request.outcome != Outcome::Ok {
            count(&self.tally.failures);
        }
        let mut requests = self.requests.lock().expect("no holder of this lock panics");
        match requests.len() < self.requests_max {
            true => requests.push(request),
            false => drop(count(&self.tally.unlogged)),
        }
    }

    pub(super) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().expect("no holder of this lock panics"))
    }
}

/// Plays one visit to its end: until the viewer leaves, its player gives up, or the run is stopped.
pub(super) async fn play(world: Arc<World>, visit: Visit) -> record::Viewer {
    let (address, host) = world.edges[visit.edge as usize].clone();
    let mut visitor = Visitor {
        player: Player::new(Seat {
            arrives: world.began + visit.arrives,
            leaves: world.began + visit.leaves,
            last_mile_bps: visit.last_mile_bps,
            unix_at_zero: world.clock.unix_at(Timestamp::ZERO),
        }),
        connection: Connection::new(address, host),
        visit,
        variants: Vec::new(),
        listed: Vec::new(),
        text: Vec::new(),
        world: &world,
    };
    let stopped = tokio::select! {
        () = visitor.watch() => false,
        () = world.stop.cancelled() => true,
    };
    if stopped {
        visitor.player.on_interrupt(world.clock.now());
    }
    record::Viewer {
        viewer: visit.viewer,
        edge: visit.edge,
        arrived: world.began + visit.arrives,
        left: world.clock.now(),
        stalls: visitor.player.stalls().to_vec(),
        quality: visitor.player.quality().clone(),
    }
}

struct Visitor<'a> {
    world: &'a World,
    visit: Visit,
    player: Player,
    connection: Connection,
    /// Renditions as the player numbers them: index into the ladder, and path of the media playlist.
    variants: Vec<(u32, String)>,
    listed: Vec<reader::Listed>,
    /// Kept from playlist to playlist, so that reading one allocates nothing.
    text: Vec<u8>,
}

impl Visitor<'_> {
    async fn watch(&mut self) {
        let clock = self.world.clock;
        loop {
            match self.player.next(clock.now()) {
                Action::Leave => return,
                Action::WakeAt(at) => {
                    tokio::time::sleep_until(clock.instant(at)).await;
                    self.world.watch.on_wake(clock.now().since(at));
                }
                Action::Get { object, due } => self.get(object, due).await,
            }
        }
    }

    async fn get(&mut self, object: Object, due: Timestamp) {
        let clock = self.world.clock;
        let (path, logged) = self.locate(object);
        let mut entry = Entry {
            log: &self.world.log,
            clock,
            visit: self.visit,
            object: logged,
            due,
            began: clock.now(),
            trace: Trace::default(),
            outcome: Outcome::Cut,
        };
        let sink = match logged {
            record::Object::Segment { rendition, number } => Sink::Compare {
                verifier: &self.world.verifier,
                rendition,
                number,
            },
            _ => Sink::Collect(&mut self.text),
        };
        let exchange = self.connection.get(clock, &path, sink, &mut entry.trace);
        let deadline = clock.instant(clock.now() + TIMEOUT);
        entry.outcome = tokio::time::timeout_at(deadline, exchange)
            .await
            .unwrap_or(Outcome::Timeout);
        if entry.outcome == Outcome::Ok {
            entry.outcome = match object {
                Object::Multivariant => self.on_multivariant(&path),
                Object::MediaPlaylist { .. } => self.on_playlist(&path, logged),
                Object::Segment { .. } => Outcome::Ok,
            };
        }
        match (object, entry.outcome) {
            // A player cannot know that bytes are wrong; the log does.
            (Object::Segment { .. }, Outcome::Ok | Outcome::WrongBytes) => {
                self.player.on_segment(clock.now(), entry.trace.bytes);
            }
            (_, Outcome::Ok) => {}
            _ => self.player.on_failure(clock.now(), entry.trace.retry_after),
        }
    }

    /// Path and name in the log of what the player asks for.
    fn locate(&self, object: Object) -> (String, record::Object) {
        let ladder_index = |rendition: usize| self.variants[rendition].0;
        match object {
            Object::Multivariant => {
                let channel = &self.world.channel.name;
                let path = LivePath::Multivariant { channel }.to_string();
                (path, record::Object::Multivariant)
            }
            Object::MediaPlaylist { rendition } => {
                let path = self.variants[rendition].1.clone();
                let rendition = ladder_index(rendition);
                (path, record::Object::MediaPlaylist { rendition })
            }
            Object::Segment { rendition, number } => {
                let listed = self
                    .listed
                    .iter()
                    .find(|segment| segment.number == number)
                    .expect("a player asks for what its playlist lists");
                let rendition = ladder_index(rendition);
                (
                    listed.path.clone(),
                    record::Object::Segment { rendition, number },
                )
            }
        }
    }

    fn on_multivariant(&mut self, base: &str) -> Outcome {
        let Ok(mut offered) = reader::multivariant(base, &self.text) else {
            return Outcome::Unreadable;
        };
        offered.sort_by_key(|variant| variant.bandwidth_bps);
        let world = self.world;
        let ladder_index = |path: &str| match LivePath::parse(path) {
            Some(LivePath::MediaPlaylist { channel, rendition })
                if channel == world.channel.name =>
            {
                let mut ladder = world.channel.layout.ladder.iter();
                let index = ladder.position(|known| known.name == rendition)? as u32;
                world.allowed.contains(&index).then_some(index)
            }
            _ => None,
        };
        let (variants, bandwidths): (Vec<_>, Vec<_>) = offered
            .into_iter()
            .filter_map(|variant| {
                let index = ladder_index(&variant.path)?;
                Some(((index, variant.path), variant.bandwidth_bps))
            })
            .unzip();
        if variants.is_empty() {
            return Outcome::Unreadable;
        }
        self.variants = variants;
        self.player.on_multivariant(world.clock.now(), bandwidths);
        Outcome::Ok
    }

    fn on_playlist(&mut self, base: &str, logged: record::Object) -> Outcome {
        let record::Object::MediaPlaylist { rendition } = logged else {
            return Outcome::Unreadable;
        };
        let Ok(facts) = reader::media(base, &self.text) else {
            return Outcome::Unreadable;
        };
        // One number has one name, in the playlist as in the URL: otherwise no byte could be checked.
        let world = self.world;
        let name = world.channel.layout.ladder[rendition as usize]
            .name
            .as_str();
        let is_named_so = |segment: &reader::Listed| {
            LivePath::parse(&segment.path)
                == Some(LivePath::Segment {
                    channel: &world.channel.name,
                    rendition: name,
                    number: segment.number,
                })
        };
        if !facts.listed.iter().all(is_named_so) {
            return Outcome::Unreadable;
        }
        let listed = facts
            .listed
            .iter()
            .map(|segment| Listed {
                number: segment.number,
                duration: segment.duration,
                begins_at: segment.begins_at,
            })
            .collect();
        self.listed = facts.listed;
        self.player
            .on_playlist(world.clock.now(), facts.target_duration, listed);
        Outcome::Ok
    }
}

/// A line of the log. It is written when it is dropped, so a request that is cut in the middle is logged too.
struct Entry<'a> {
    log: &'a Log,
    clock: Clock,
    visit: Visit,
    object: record::Object,
    due: Timestamp,
    began: Timestamp,
    trace: Trace,
    outcome: Outcome,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.log.push(Request {
            viewer: self.visit.viewer,
            edge: self.visit.edge,
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

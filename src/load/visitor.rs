//! One viewer: performs what its player decides, and logs every request.

use std::hint::black_box;
use std::pin::pin;
use std::sync::atomic::Ordering;

use super::client::{Connection, Sink, Trace, Wanted};
use super::entry::Entry;
use super::guest::{Errand, Guest};
use super::metrics::Counted;
use super::stream::Watched;
use super::stream_view::{Came, StreamView};
use super::ticks::TICK;
use super::world::World;
use crate::hls::steering::{self, Manifest};
use crate::report::record::{self, Outcome};
use crate::time::Timestamp;
use crate::viewer::audience::{Failover, Manners, Visit};
use crate::viewer::failure::Failure;
use crate::viewer::player::{self, Action, Object, Player, Seat, TIMEOUT};

/// What is known of the requests for one object, for the player.
#[derive(Default)]
struct Outing {
    trace: Trace,
    /// Whether the viewer's own network failed.
    offline: bool,
}

/// A viewer that is present. It leaves when this is dropped, so a viewer that is cut off in the middle is logged too.
pub(super) struct Visitor<'a> {
    world: &'a World,
    visit: Visit,
    player: Player,
    counted: Counted<'a>,
    view: StreamView,
    /// When the viewer was to wake up; `None` once it has acted on the wake-up.
    wakes: Option<Timestamp>,
    /// The edge where it is now.
    at: u32,
    worker: usize,
    /// The viewer's own connection, if there is no pool.
    own: Option<Box<Connection>>,
    /// The viewer's client and what it has loaded, at other people's servers.
    guest: Option<Box<Guest>>,
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

impl<'a> Visitor<'a> {
    /// A viewer comes to this worker.
    pub(super) fn arrives(world: &'a World, visit: Visit, worker: usize) -> Self {
        let player = Player::new(Seat {
            arrives: world.began + visit.arrives,
            leaves: world.began + visit.leaves,
            last_mile_bps: visit.last_mile_bps,
            unix_at_zero: world.clock.unix_at(Timestamp::ZERO),
            abr: world.abr,
            manners: match &world.watched {
                Watched::Channels { .. } => world.manners,
                // The playlists of another target name other addresses: a viewer stays where it began.
                Watched::Foreign(_) => Manners {
                    failover: Failover::None,
                    ..world.manners
                },
            },
            // In other streams a segment has no name before a playlist lists it.
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
        Self {
            world,
            player,
            counted: world.metrics.joins(),
            view: StreamView {
                channel: visit.channel,
                ..StreamView::default()
            },
            wakes: None,
            at: visit.edge,
            worker,
            own: None,
            guest: match &world.watched {
                Watched::Foreign(stream) => Some(Box::new(Guest::new(stream.browser(worker)))),
                Watched::Channels { .. } => None,
            },
            visit,
        }
    }

    /// Reads a few fields of the viewer. The memory of many viewers goes cold while they wait. Touching several viewers before
    /// the first one decides lets the cache misses overlap instead of following one another.
    pub(super) fn touch(&self) {
        let quality = self.player.quality();
        black_box((
            self.visit.viewer,
            self.player.edges_beyond(),
            self.player.buffered(),
            quality.media,
            quality.stalled,
            self.view.channel,
        ));
    }

    /// Wakes the viewer; it was due at `due`.
    pub(super) fn wakes(&mut self, due: Timestamp) {
        self.wakes = Some(due);
    }

    /// The viewer acts now: only now is it known how late its wake-up is.
    fn does(&mut self, now: Timestamp) {
        if let Some(due) = self.wakes.take() {
            self.world.watch.on_wake(now.since(due));
        }
    }

    /// What its player wants now.
    pub(super) fn next(&mut self, now: Timestamp) -> Action {
        let action = self.player.next(now);
        let stalls = self.counted.notice(&self.player);
        let tally = &self.world.log.tally;
        tally.stalls.fetch_add(stalls.into(), Ordering::Relaxed);
        let Action::Get { object, due } = action else {
            self.does(now);
            return action;
        };
        self.go_where_the_player_is();
        // The object counts as wanted from the time at which the timer was to go off, unless another event woke the player
        // earlier.
        let due = due.next_tick(TICK).min(now);
        Action::Get { object, due }
    }

    fn go_where_the_player_is(&mut self) {
        let at = (self.visit.edge + self.player.edges_beyond()) % self.world.targets;
        if at != self.at {
            self.at = at;
            self.own = None;
            if let Some(whereabouts) = &self.world.whereabouts {
                whereabouts.went(self.visit.viewer, at);
            }
        }
    }

    /// Gets the object that the player has wanted since `due`, and tells the player the outcome.
    pub(super) async fn get(mut self: Box<Self>, object: Object, due: Timestamp) -> Box<Self> {
        let clock = self.world.clock;
        self.does(clock.now());
        let mut errand = Outing::default();
        let ended = match self.guest.take() {
            Some(guest) => self.get_elsewhere(guest, object, due, &mut errand).await,
            None => self.get_here(object, due, &mut errand).await,
        };
        let Outing { trace, offline } = errand;
        match ended {
            Ok(Came::Multivariant(came)) => {
                self.player
                    .on_multivariant(clock.now(), came.needs.clone(), came.steers);
                self.view.multivariant = came;
            }
            Ok(Came::Media(came)) => {
                let target_duration = came.facts.target_duration;
                let listed = came.listed.clone();
                self.player
                    .on_playlist(clock.now(), target_duration, listed, came.facts.ended);
                self.view.playlist = Some(came);
            }
            Ok(Came::Steering(manifest)) => {
                let order = self.places(&manifest);
                self.player.on_steering(clock.now(), manifest.ttl(), &order);
            }
            // A player cannot know that bytes are wrong; only the log records it.
            Ok(Came::Segment) | Err(Outcome::WrongBytes) => {
                let bytes = trace.whole_bytes.unwrap_or(trace.bytes);
                if let Some(at) = trace.first_byte {
                    self.player.on_first_byte(at);
                }
                self.player.on_segment(clock.now(), bytes);
            }
            Err(outcome) => {
                if outcome == Outcome::Reset {
                    self.own = None;
                }
                let failure = match outcome {
                    _ if offline => Failure::Offline,
                    Outcome::Timeout => Failure::Timeout,
                    Outcome::Status => Failure::Status(trace.status),
                    _ => Failure::Closed,
                };
                self.player
                    .on_failure(clock.now(), failure, trace.retry_after);
            }
        }
        self
    }

    /// The pathways of a manifest as edges, counted from the viewer's own. The edges of a run are called `edge-1`, `edge-2` and so
    /// on, in the order of its targets; other names lead nowhere that the run knows.
    fn places(&self, manifest: &Manifest) -> Vec<u32> {
        let targets = self.world.targets;
        let place = |id: &String| match id.strip_prefix("edge-") {
            _ if id == steering::HERE => Some(0),
            Some(number) => {
                let target = number.parse::<u32>().ok()?.checked_sub(1)?;
                (target < targets).then(|| (target + targets - self.visit.edge) % targets)
            }
            None => None,
        };
        let mut places: Vec<_> = manifest.priority().iter().filter_map(place).collect();
        let mut seen = Vec::new();
        places.retain(|place| {
            let is_new = !seen.contains(place);
            seen.push(*place);
            is_new
        });
        places
    }

    /// Gets an object from an edge of Seawall: one request, which is a line of the log.
    async fn get_here(
        &mut self,
        object: Object,
        due: Timestamp,
        outing: &mut Outing,
    ) -> Result<Came, Outcome> {
        let world = self.world;
        let mut entry = Entry {
            log: &world.log,
            clock: world.clock,
            viewer: self.visit.viewer,
            edge: self.at,
            object: self.view.name(object),
            due,
            began: world.clock.now(),
            trace: Trace::default(),
            outcome: Outcome::Cut,
        };
        let ended = self.ask(object, &mut entry, &mut outing.offline).await;
        entry.ends(&ended);
        outing.trace = entry.trace.clone();
        ended
    }

    /// Gets an object from another server, with all that belongs to it.
    async fn get_elsewhere(
        &mut self,
        mut guest: Box<Guest>,
        object: Object,
        due: Timestamp,
        outing: &mut Outing,
    ) -> Result<Came, Outcome> {
        let Watched::Foreign(stream) = &self.world.watched else {
            return Err(Outcome::Unreadable);
        };
        let told = self.told(object);
        let mut errand = Errand {
            world: self.world,
            stream,
            view: &self.view,
            worker: self.worker,
            viewer: self.visit.viewer,
            edge: self.at,
            told: &told,
            due,
            offline: false,
            trace: Trace::default(),
        };
        let ended = guest.get(&mut errand, object).await;
        outing.offline = errand.offline;
        outing.trace = errand.trace;
        self.guest = Some(guest);
        ended
    }

    /// Asks for an object and reads the answer. Sets `offline` if the viewer's own network fails meanwhile.
    async fn ask(
        &mut self,
        object: Object,
        entry: &mut Entry<'_>,
        offline: &mut bool,
    ) -> Result<Came, Outcome> {
        let world = self.world;
        let path = self.view.path(&world.watched, object);
        let wanted = Wanted {
            path: &path,
            first_bytes: self.view.first_bytes(object, world.one_part_of),
            told: self.told(object),
        };
        let logged = entry.object;
        let sink = match (logged, &world.watched) {
            (record::Object::Segment { rendition, number }, Watched::Channels { verifier, .. }) => {
                Sink::Compare {
                    verifier,
                    rendition,
                    number,
                }
            }
            _ => Sink::Keep,
        };
        let deadlines = &world.deadlines[self.worker];
        let trace = &mut entry.trace;
        // Pinned here, because it is large: a function that takes it by value makes room for it once more.
        let exchange = pin!(async {
            let mut lent;
            let pools = &world.pools[self.worker];
            let connection = match pools.get(self.at as usize) {
                Some(pool) => {
                    lent = pool.borrow().await;
                    lent.connection()
                }
                None => {
                    let edge = &world.edges[self.at as usize];
                    self.own
                        .get_or_insert_with(|| Box::new(Connection::new(edge)))
                }
            };
            connection.get(world.clock, &wanted, sink, trace).await?;
            let text = connection.text();
            self.view.read(world, logged, &path, text)
        });
        tokio::select! {
            biased;
            () = world.network.breaks_for(self.visit.viewer) => {
                *offline = true;
                Err(Outcome::Reset)
            }
            ended = deadlines.timeout_at(entry.began + TIMEOUT, exchange) => {
                ended.unwrap_or(Err(Outcome::Timeout))
            }
        }
    }

    /// What the player reports about itself (CTA-5004, as request headers).
    fn told(&self, object: Object) -> Vec<(&'static str, String)> {
        if !self.world.manners.cmcd {
            return Vec::new();
        }
        let (kind, of_rendition) = match object {
            Object::Multivariant | Object::MediaPlaylist { .. } | Object::Steering => ("m", None),
            Object::Segment { rendition, .. } => ("av", Some(self.view.offered(rendition))),
        };
        let mut about_object = format!("ot={kind}");
        if let Some(rendition) = of_rendition {
            about_object = format!("br={},{about_object}", rendition.bandwidth_bps / 1_000);
        }
        // Rounded to the nearest hundred, as CTA-5004 requires.
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
}

//! A player as a state machine: multivariant playlist, media playlist, first segments, then playing ⇄ stalled, then left.
//!
//! ```text
//!            next(now) ─► Get(object) ─► performed ─► on_multivariant · on_playlist · on_segment · on_failure
//!                         WakeAt(time)
//!                         Leave
//! ```
//! The constants are those of hls.js 1.7.4, with the option's name beside each; what follows a failure stands in [`failure`]. A
//! viewer has one connection, so one request is under way at a time. Of two requests that are due, the one
//! that was due first goes first. The last mile is modelled here: a segment enters the buffer bytes / bandwidth after it came
//! from the wire. Until then the player asks for no other segment.

use std::sync::Arc;
use std::time::Duration;

use super::abr;
use super::audience::{Failover, Manners, Polling, Retries};
use super::buffer::{Begins, Buffer, Playback};
use super::chance::{self, Purpose};
use super::failure::{self, Failure, Reaction};
pub use super::object::{Listed, Object};
use super::place::Place;
use super::quality::{Exit, Quality};
use super::steering::Steering;
use crate::time::{Timestamp, UnixTime};

/// A player joins this many target durations behind the end of the playlist (`liveSyncDurationCount`).
const TARGETS_BEHIND_LIVE: u32 = 3;
/// Within this many target durations of the end of the playlist, a player reloads the playlist after its last segment's
/// duration. Further behind, it reloads after a target duration.
const TARGETS_NEAR_LIVE: u32 = 4;
/// No segment is asked for while this much media is buffered (`maxBufferLength`).
const BUFFER_MAX: Duration = Duration::from_secs(30);
/// A request whose answer is not whole after this time has failed. hls.js has two limits: 10 s for the first byte
/// (`fragLoadPolicy.default.maxTimeToFirstByteMs`), and 120 s for a whole segment (`maxLoadTimeMs`).
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// How often an aggressive player reloads a playlist.
const AGGRESSIVE_RELOAD: Duration = Duration::from_millis(500);
/// Failures in a row at one edge after which a player with failover goes to the next edge.
const FAILURES_PER_EDGE: u32 = 2;

/// What a player wants its performer to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Fetch `object`. It was wanted at `due`, which lies in the past if the connection was busy.
    Get { object: Object, due: Timestamp },
    /// Do nothing before this time.
    WakeAt(Timestamp),
    /// The visit is over.
    Leave,
}

/// What a player needs to know about its viewer and the run.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// When the viewer arrives.
    pub arrives: Timestamp,
    /// When it leaves.
    pub leaves: Timestamp,
    /// Bandwidth of its last mile.
    pub last_mile_bps: u64,
    /// UNIX time at [`Timestamp::ZERO`].
    pub unix_at_zero: UnixTime,
    /// How the player chooses a rendition.
    pub abr: abr::Rule,
    /// How the player behaves in other respects.
    pub manners: Manners,
    /// Whether the player asks for segments before a playlist lists them.
    pub early: bool,
    /// When the viewer seeks back, and how far behind live it goes.
    pub seeks: Option<(Timestamp, Duration)>,
    /// The source of the viewer's random draws.
    pub chances: Chances,
}

/// The source of one viewer's random draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chances {
    /// The seed of the run.
    pub seed: u64,
    /// The viewer's number.
    pub viewer: u32,
}

/// The player of one viewer.
#[derive(Clone, Debug)]
pub struct Player {
    seat: Seat,
    quality: Quality,
    estimator: abr::Estimator,
    offered: Arc<[abr::Needs]>,
    rendition: usize,
    /// The newest media playlist of the current rendition; empty right after a switch.
    listed: Arc<[Listed]>,
    newest_seen: u64,
    /// Whether the stream has ended: no playlist will list more.
    ended: bool,
    /// The next segment to fetch.
    place: Place,
    /// When the player may next ask for a playlist and for a segment.
    playlist_due: Timestamp,
    segment_due: Timestamp,
    playlist_failures: usize,
    segment_failures: usize,
    /// Failures in a row at the current edge.
    failures_here: u32,
    /// Where the player is, counted from the edge that it has come to.
    place_of_edge: u32,
    /// What it knows about pathways; `None` if it is not steered.
    steering: Option<Box<Steering>>,
    /// One bit for each rendition that has failed since the last segment came.
    failed_renditions: u64,
    asked: Option<Asked>,
    in_transit: Option<Transit>,
    buffer: Buffer,
    left: bool,
}

/// The bit of a rendition; those beyond the 64th share the last one.
fn bit(rendition: usize) -> u64 {
    1 << rendition.min(63)
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
struct Asked {
    object: Object,
    due: Timestamp,
    at: Timestamp,
    /// Time until the first byte; zero until it is known.
    first_byte: Duration,
}

/// A segment on the last mile.
#[derive(Clone, Copy, Debug)]
struct Transit {
    arrives: Timestamp,
    asked_at: Timestamp,
    first_byte: Duration,
    bytes: u64,
    segment: Listed,
    offset: Duration,
}

impl Transit {
    /// Time from the request until the segment is in the buffer.
    fn took(&self) -> Duration {
        self.arrives.since(self.asked_at)
    }
}

impl Player {
    /// A player that begins with the multivariant playlist when its viewer arrives.
    pub fn new(seat: Seat) -> Self {
        Self {
            seat,
            quality: Quality::default(),
            estimator: abr::Estimator::new(seat.abr),
            offered: Arc::default(),
            rendition: 0,
            listed: Arc::default(),
            newest_seen: 0,
            ended: false,
            place: Place::default(),
            playlist_due: seat.arrives,
            segment_due: seat.arrives,
            playlist_failures: 0,
            segment_failures: 0,
            failures_here: 0,
            place_of_edge: 0,
            steering: None,
            failed_renditions: 0,
            asked: None,
            in_transit: None,
            buffer: Buffer::new(seat.arrives),
            left: false,
        }
    }

    /// What the viewer has experienced so far.
    pub fn quality(&self) -> &Quality {
        &self.quality
    }

    /// Where the player is: that many edges beyond the one that it has come to.
    pub fn edges_beyond(&self) -> u32 {
        self.place_of_edge
    }

    /// Media ahead of the playhead.
    pub fn buffered(&self) -> Duration {
        self.buffer.level()
    }

    /// The estimated bandwidth in bits per second.
    pub fn estimate_bps(&self) -> f64 {
        self.estimator.estimate_bps()
    }

    /// What the player shows.
    pub fn playback(&self) -> Playback {
        self.buffer.playback()
    }

    /// The stalls so far, as (begin, end), without one that still lasts.
    pub fn stalls(&self) -> &[(Timestamp, Timestamp)] {
        self.buffer.stalls()
    }

    /// Does what is due by `now` and returns what to perform. After an [`Action::Get`] the caller must report the outcome to
    /// the player.
    pub fn next(&mut self, now: Timestamp) -> Action {
        self.advance(now);
        if !self.left && now >= self.seat.leaves {
            self.end(match self.quality.startup {
                Some(_) => Exit::Left,
                None => Exit::BeforeStart,
            });
        }
        if self.left {
            return Action::Leave;
        }
        self.seek_if_due(now);
        let steering = self.steering.as_ref();
        let steering = steering.map(|steering| (steering.due, Object::Steering));
        let wanted = [self.playlist(), self.segment(), steering];
        // Of those that are due at the same time the playlist goes first.
        let earliest = wanted.into_iter().flatten().min_by_key(|(due, _)| *due);
        if let Some((due, object)) = earliest.filter(|(due, _)| *due <= now) {
            self.asked = Some(Asked {
                object,
                due,
                at: now,
                first_byte: Duration::ZERO,
            });
            return Action::Get { object, due };
        }
        let in_transit = self.in_transit.filter(|transit| self.waits_for(transit));
        let arrives = in_transit.map(|transit| transit.arrives);
        let seeks = self.seat.seeks.map(|(at, _)| at).filter(|&at| at > now);
        let due = earliest.map(|(due, _)| due);
        let others = [due, arrives, seeks, self.ends_at()];
        let first = others.into_iter().flatten();
        Action::WakeAt(first.fold(self.seat.leaves, Ord::min))
    }

    /// The multivariant playlist arrived; `offered` is sorted from low to high. `steers` says that it names a steering manifest.
    pub fn on_multivariant(&mut self, now: Timestamp, offered: Arc<[abr::Needs]>, steers: bool) {
        self.asked = None;
        if steers && self.seat.manners.failover == Failover::Steering {
            self.steering = Some(Box::new(Steering::new(now)));
        }
        self.playlist_failures = 0;
        self.failures_here = 0;
        self.rendition = self.estimator.begin(&offered);
        self.offered = offered;
        self.playlist_due = now;
    }

    /// A media playlist arrived; `ended` says that no segment will be added (EXT-X-ENDLIST).
    pub fn on_playlist(
        &mut self,
        now: Timestamp,
        target_duration: Duration,
        listed: Arc<[Listed]>,
        ended: bool,
    ) {
        self.advance(now);
        let asked = self.asked.take();
        self.playlist_failures = 0;
        self.failures_here = 0;
        if asked.is_some_and(|asked| self.has_left(asked.object)) {
            // The player has switched meanwhile: this playlist lists segments of the rendition that it left.
            return;
        }
        if self.listed.is_empty() {
            self.place.find_in(&listed);
        }
        let due = asked.map_or(now, |asked| asked.due);
        let newest = listed.last().map_or(0, |segment| segment.number);
        let unchanged = newest <= self.newest_seen && !self.listed.is_empty();
        if newest < self.newest_seen {
            self.quality.playlists_went_back += 1;
        }
        self.newest_seen = self.newest_seen.max(newest);
        let last = listed
            .last()
            .map_or(target_duration, |segment| segment.duration);
        let near_live = target_duration * TARGETS_NEAR_LIVE;
        let last = if last.is_zero() {
            target_duration
        } else {
            last
        };
        let interval = match self.seat.manners.polling {
            Polling::Aggressive => AGGRESSIVE_RELOAD,
            Polling::Spec if unchanged => target_duration / 2,
            Polling::Spec if self.behind_end(&listed) < near_live => last.min(target_duration),
            Polling::Spec => target_duration,
        };
        // Counted from the time at which the request was due, not from when it was sent, so lateness does not add up.
        self.playlist_due = (due + interval).max(now);
        self.ended = ended;
        if self.place.number().is_none() {
            // What has ended is watched from its beginning.
            let behind = match ended {
                true => Duration::MAX,
                false => target_duration * TARGETS_BEHIND_LIVE,
            };
            self.place.join(&listed, behind);
        } else {
            self.quality.skipped += self.place.on_playlist(&listed);
        }
        let known = self.place.is_in(&self.listed);
        self.listed = listed;
        if !known {
            self.segment_due = self.segment_due.max(now);
        }
    }

    /// The first byte of the answer arrived at `at`.
    pub fn on_first_byte(&mut self, at: Timestamp) {
        if let Some(asked) = &mut self.asked {
            asked.first_byte = at.since(asked.at);
        }
    }

    /// The requested segment came from the wire: its `bytes` now travel over the last mile.
    pub fn on_segment(&mut self, now: Timestamp, bytes: u64) {
        self.advance(now);
        let Some(Asked {
            object: Object::Segment { number, .. },
            at: asked_at,
            first_byte,
            ..
        }) = self.asked.take()
        else {
            return;
        };
        self.segment_failures = 0;
        self.failures_here = 0;
        self.failed_renditions = 0;
        let known = self.listed.iter().find(|segment| segment.number == number);
        let Some(segment) = known.copied().or_else(|| self.next_to_come(number)) else {
            return;
        };
        let offset = self.place.offset();
        self.place.on_segment(&segment, &self.listed);
        let nanos =
            u128::from(bytes) * 8 * 1_000_000_000 / u128::from(self.seat.last_mile_bps.max(1));
        self.in_transit = Some(Transit {
            arrives: now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
            asked_at,
            first_byte,
            bytes,
            segment,
            offset,
        });
    }

    /// The request failed. `retry_after` is the wait that the answer asked for, if it did.
    pub fn on_failure(&mut self, now: Timestamp, failure: Failure, retry_after: Option<Duration>) {
        self.advance(now);
        let Some(Asked { object, .. }) = self.asked.take() else {
            return;
        };
        if object == Object::Steering {
            // The player goes on as it was, and asks again when the last manifest would have ended.
            if let Some(steering) = &mut self.steering {
                steering.on_failure(now);
            }
            return;
        }
        if let Object::Segment { number, .. } = object
            && self.next_to_come(number).is_some()
        {
            // The segment was requested before a playlist listed it, so its absence is no failure. The next playlist will list
            // it.
            self.segment_due = self.playlist_due.max(now);
            return;
        }
        if self.has_left(object) {
            // The playlist of the rendition that it plays now is due already.
            self.quality.retries += 1;
            return;
        }
        let earlier = match object {
            Object::Segment { .. } => self.segment_failures,
            _ => self.playlist_failures,
        };
        self.failures_here += 1;
        let reaction = failure::react(object, failure, earlier);
        let moves = reaction == Reaction::Elsewhere || self.failures_here >= FAILURES_PER_EDGE;
        if self.seat.manners.failover == Failover::NextEdge
            && moves
            && earlier < failure::IN_A_ROW_MAX
        {
            // The player does not wait at another edge for the failures of this one. They count all the same: at the end of its
            // list it gives up.
            self.failures_here = 0;
            self.count_failure(object);
            self.place_of_edge += 1;
            self.quality.failovers += 1;
            return self.try_again(object, now);
        }
        if reaction == Reaction::Elsewhere
            && let Some(steering) = &mut self.steering
            && let Some(other) = steering.leave(now, self.place_of_edge)
        {
            self.count_failure(object);
            self.go_to(other);
            return self.try_again(object, now);
        }
        let wait = match reaction {
            Reaction::Again(wait) => wait,
            Reaction::Elsewhere => match self.another_rendition() {
                Some(other) => {
                    self.quality.retries += 1;
                    self.segment_failures = 0;
                    return self.switch_to(other, now);
                }
                None => match failure::react_at_last(object, earlier) {
                    Some(wait) => wait,
                    None => {
                        return self.end(match self.quality.startup {
                            Some(_) => Exit::Fatal,
                            None => Exit::StartFailed,
                        });
                    }
                },
            },
        };
        self.count_failure(object);
        let wait = self.jittered(wait).max(retry_after.unwrap_or_default());
        self.try_again(object, now + wait);
    }

    /// The player asks another edge from now on; what it knows of the stream is the same there.
    fn go_to(&mut self, edge: u32) {
        self.place_of_edge = edge;
        self.failures_here = 0;
        self.quality.failovers += 1;
    }

    /// A steering manifest came: how long it holds, and the edges in the order of preference, counted from the edge that the player
    /// has come to.
    pub fn on_steering(&mut self, now: Timestamp, ttl: Duration, order: &[u32]) {
        self.advance(now);
        self.asked = None;
        if let Some(steering) = &mut self.steering {
            steering.on_manifest(now, ttl, order);
            if let Some(edge) = steering.preferred(now)
                && edge != self.place_of_edge
            {
                self.go_to(edge);
            }
        }
    }

    fn count_failure(&mut self, object: Object) {
        match object {
            Object::Segment { .. } => self.segment_failures += 1,
            _ => self.playlist_failures += 1,
        }
    }

    /// The player asks for the object again at `due`.
    fn try_again(&mut self, object: Object, due: Timestamp) {
        self.quality.retries += 1;
        match object {
            Object::Segment { .. } => self.segment_due = due,
            _ => self.playlist_due = due,
        }
    }

    /// A wait as the manners of the player want it.
    fn jittered(&self, longest: Duration) -> Duration {
        match self.seat.manners.retries {
            Retries::Doubling => longest,
            Retries::FullJitter => {
                let Chances { seed, viewer } = self.seat.chances;
                // Each retry of a viewer has its own draw.
                let seed = seed.wrapping_add(u64::from(self.quality.retries) << 32);
                let mut chance = chance::generator(seed, Purpose::Retry, viewer);
                longest.mul_f64(chance::uniform(&mut chance))
            }
        }
    }

    /// A rendition that has not failed since the last segment came: the next lower one, else the next higher one. `None` if
    /// there is none.
    fn another_rendition(&mut self) -> Option<usize> {
        self.failed_renditions |= bit(self.rendition);
        let lower = (0..self.rendition).rev();
        let higher = self.rendition + 1..self.offered.len();
        lower
            .chain(higher)
            .find(|&other| self.failed_renditions & bit(other) == 0)
    }

    /// Whether this is the playlist of a rendition that the player has left since it asked.
    fn has_left(&self, object: Object) -> bool {
        matches!(object, Object::MediaPlaylist { rendition } if rendition != self.rendition)
    }

    /// The run was interrupted.
    pub fn on_interrupt(&mut self, now: Timestamp) {
        self.advance(now);
        if !self.left {
            self.end(Exit::Cut);
        }
    }

    /// The playlist to fetch next, and when; `None` if the player has the last one.
    fn playlist(&self) -> Option<(Timestamp, Object)> {
        if self.ended && !self.listed.is_empty() {
            return None;
        }
        let object = match self.offered.is_empty() {
            true => Object::Multivariant,
            false => Object::MediaPlaylist {
                rendition: self.rendition,
            },
        };
        Some((self.playlist_due, object))
    }

    /// The segment to fetch next, and since when it is wanted. `None` if it may not be asked for yet, or while another one is
    /// on the last mile.
    fn segment(&self) -> Option<(Timestamp, Object)> {
        let number = self.place.number()?;
        if !self.may_ask_for_next() || self.in_transit.is_some() {
            return None;
        }
        let since = match self.buffer.falls_to(BUFFER_MAX) {
            Some(room) => self.segment_due.max(room),
            None => self.segment_due,
        };
        let rendition = self.rendition;
        Some((since, Object::Segment { rendition, number }))
    }

    /// Whether the player has something to do as soon as this segment arrives. If not, it may sleep on: at its next wake-up it
    /// accounts for what happened meanwhile, with the correct times.
    fn waits_for(&self, transit: &Transit) -> bool {
        // After the last segment of a stream that has ended the end of the media is what it waits for.
        self.ended
            || self.may_ask_for_next()
            || !self.buffer.lasts_until(transit.arrives)
            || self.may_switch_on(transit)
    }

    /// Whether the download of this segment may lead to another rendition, for any amount of media in the buffer.
    fn may_switch_on(&self, transit: &Transit) -> bool {
        if self.offered.len() < 2 {
            return false;
        }
        let mut estimator = self.estimator;
        estimator.on_download(transit.bytes, transit.took(), transit.first_byte);
        let chosen = |cushion| estimator.choose(&self.offered, self.rendition, cushion);
        let cushions = [abr::Cushion::TwoSegments, abr::Cushion::Less];
        cushions.map(chosen) != [self.rendition; 2]
    }

    /// Whether the next segment is listed, or the player is one that does not wait for that.
    fn may_ask_for_next(&self) -> bool {
        let number = self.place.number().unwrap_or_default();
        let is_early = self.seat.early && self.next_to_come(number).is_some();
        is_early || self.place.is_in(&self.listed)
    }

    /// Segment `number`, with its expected values, if it follows the newest listed one.
    fn next_to_come(&self, number: u64) -> Option<Listed> {
        let newest = self.listed.last().filter(|_| !self.ended)?;
        (newest.number + 1 == number).then(|| Listed {
            number,
            duration: newest.duration,
            begins_at: newest
                .begins_at
                .map(|begins_at| begins_at + newest.duration),
            gap: false,
        })
    }

    /// Seeks back, once, as soon as the player has a playlist and has started to play.
    fn seek_if_due(&mut self, now: Timestamp) {
        let Some((at, back)) = self.seat.seeks else {
            return;
        };
        if now < at || self.listed.is_empty() || self.quality.startup.is_none() {
            return;
        }
        self.seat.seeks = None;
        if self.ended {
            // There is no live edge to seek back from.
            return;
        }
        self.quality.seeks += 1;
        self.place.join(&self.listed, back);
        self.in_transit = None;
        self.buffer.clear();
        self.segment_due = now;
    }

    /// Distance from the playhead to the end of a new playlist. Before the player has chosen a start position, the whole length
    /// of the playlist.
    fn behind_end(&self, listed: &[Listed]) -> Duration {
        let in_transit = self.in_transit.map_or(Duration::ZERO, |transit| {
            transit.segment.duration.saturating_sub(transit.offset)
        });
        self.buffer.level() + in_transit + self.place.until_end_of(listed)
    }

    /// When the last frame has been shown; `None` while more media may come.
    fn ends_at(&self) -> Option<Timestamp> {
        let is_last = self.ended
            && !self.listed.is_empty()
            && !self.place.is_in(&self.listed)
            && self.in_transit.is_none();
        is_last.then(|| self.buffer.dry_at())
    }

    /// Lets time pass until `now`: media plays, a segment may arrive over the last mile, the buffer may run dry.
    fn advance(&mut self, now: Timestamp) {
        if self.left {
            return;
        }
        let now = now.min(self.seat.leaves);
        if let Some(transit) = self.in_transit.take_if(|transit| transit.arrives <= now) {
            self.buffer.drain(transit.arrives, &mut self.quality);
            self.append(transit);
        }
        match self.ends_at().filter(|&end| end <= now) {
            Some(end) => {
                self.buffer.drain(end, &mut self.quality);
                self.end(match self.quality.startup {
                    Some(_) => Exit::Ended,
                    None => Exit::BeforeStart,
                });
            }
            None => self.buffer.drain(now, &mut self.quality),
        }
    }

    fn append(&mut self, transit: Transit) {
        let now = transit.arrives;
        let Listed {
            duration,
            begins_at,
            ..
        } = transit.segment;
        let media = duration.saturating_sub(transit.offset);
        let begins = self.buffer.append(media, duration);
        if !self.ended {
            self.quality.live_latency = begins_at.map(|begins_at| {
                let unix = self.seat.unix_at_zero + now.since(Timestamp::ZERO);
                (unix + self.buffer.level()).since(begins_at + duration)
            });
        }
        if begins == Begins::Now && self.quality.startup.is_none() {
            self.quality.startup = Some(now.since(self.seat.arrives));
            self.quality.live_latency_at_start = self.quality.live_latency;
        }
        self.quality.media += media;
        if let Some(needs) = self.offered.get(self.rendition) {
            self.quality.media_bits += needs.peak_bps as f64 * media.as_secs_f64();
        }
        self.estimator
            .on_download(transit.bytes, transit.took(), transit.first_byte);
        self.segment_due = now;
        let cushion = match self.buffer.level() >= duration * 2 {
            true => abr::Cushion::TwoSegments,
            false => abr::Cushion::Less,
        };
        // Nothing is left to load after the last segment.
        if !self.ended || self.place.is_in(&self.listed) {
            self.consider_switch(now, cushion);
        }
    }

    fn consider_switch(&mut self, now: Timestamp, cushion: abr::Cushion) {
        let chosen = self
            .estimator
            .choose(&self.offered, self.rendition, cushion);
        if chosen != self.rendition {
            self.switch_to(chosen, now);
        }
    }

    fn switch_to(&mut self, rendition: usize, now: Timestamp) {
        // After a switch without a playlist the place is as it was.
        if !self.listed.is_empty() {
            self.place.leave(&self.listed);
        }
        self.rendition = rendition;
        self.quality.switches += 1;
        self.playlist_failures = 0;
        // The playlist of the new rendition is needed before its segments.
        self.listed = Arc::default();
        self.newest_seen = 0;
        self.playlist_due = now;
    }

    fn end(&mut self, exit: Exit) {
        self.quality.exit = exit;
        self.left = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A failure after which a player waits.
    const BUSY: Failure = Failure::Status(503);

    /// When the player asks for this object; until then it gets every playlist that it wants.
    fn asks_for(player: &mut Player, wanted: Object, mut now: Timestamp) -> Timestamp {
        loop {
            match player.next(now) {
                Action::Get { object, .. } if object == wanted => return now,
                Action::Get { .. } => player.on_playlist(now, TARGET, listed(1..=10), false),
                Action::WakeAt(at) => now = at,
                Action::Leave => panic!("the player left at {now:?}"),
            }
        }
    }

    /// When the player asks for a steering manifest; until then it gets all that it wants of a live stream.
    fn steers(player: &mut Player, mut now: Timestamp) -> Timestamp {
        loop {
            match player.next(now) {
                Action::Get { object, .. } => match object {
                    Object::Steering => return now,
                    Object::Segment { .. } => player.on_segment(now, 12_500),
                    _ => {
                        let newest = now.since(Timestamp::ZERO).as_millis() as u64 / 2_880 + 10;
                        player.on_playlist(now, TARGET, listed(newest - 9..=newest), false);
                    }
                },
                Action::WakeAt(at) => now = at,
                Action::Leave => panic!("the player left at {now:?}"),
            }
        }
    }

    const D: Duration = Duration::from_millis(2_880);
    const TARGET: Duration = Duration::from_secs(3);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    fn listed(numbers: std::ops::RangeInclusive<u64>) -> Arc<[Listed]> {
        numbers
            .map(|number| Listed {
                number,
                duration: D,
                begins_at: Some(UnixTime::from_millis(number * 2_880)),
                gap: false,
            })
            .collect()
    }

    fn ladder() -> Vec<abr::Needs> {
        let needs = |bps| abr::Needs {
            peak_bps: bps,
            average_bps: bps,
        };
        vec![needs(230_000), needs(840_000)]
    }

    fn seat(leaves_ms: u64) -> Seat {
        Seat {
            arrives: at(1_000),
            leaves: at(leaves_ms),
            last_mile_bps: 1_000_000,
            unix_at_zero: UnixTime::from_millis(10 * 2_880),
            abr: abr::Rule::HlsJs,
            manners: Manners::default(),
            early: false,
            seeks: None,
            chances: Chances::default(),
        }
    }

    fn player(leaves_ms: u64) -> Player {
        Player::new(seat(leaves_ms))
    }

    /// A player that has the playlist with segments 1 to 10 and asks for its first segment.
    fn joined(leaves_ms: u64) -> Player {
        joined_as(seat(leaves_ms))
    }

    fn joined_as(seat: Seat) -> Player {
        let mut player = Player::new(seat);
        player.next(at(1_000));
        player.on_multivariant(at(1_010), ladder().into(), false);
        player.next(at(1_010));
        player.on_playlist(at(1_020), TARGET, listed(1..=10), false);
        player
    }

    fn get(object: Object, due: u64) -> Action {
        Action::Get {
            object,
            due: at(due),
        }
    }

    fn segment(number: u64) -> Object {
        Object::Segment {
            rendition: 0,
            number,
        }
    }

    #[test]
    fn a_join_asks_for_both_playlists_and_then_for_segments_three_targets_behind_live() {
        let mut player = player(60_000);
        assert_eq!(player.next(at(500)), Action::WakeAt(at(1_000)));
        assert_eq!(player.next(at(1_000)), get(Object::Multivariant, 1_000));
        player.on_multivariant(at(1_010), ladder().into(), false);
        assert_eq!(
            player.next(at(1_010)),
            get(Object::MediaPlaylist { rendition: 0 }, 1_010)
        );
        player.on_playlist(at(1_020), TARGET, listed(1..=10), false);
        // 9 s behind the end lies in the fourth last segment of 2.88 s.
        assert_eq!(player.next(at(1_020)), get(segment(7), 1_020));
        player.on_segment(at(1_030), 12_500);
        // 12,500 bytes take 100 ms at 1 Mb/s; the player asks for nothing else meanwhile.
        assert_eq!(player.next(at(1_030)), Action::WakeAt(at(1_130)));
        assert_eq!(player.next(at(1_131)), get(segment(8), 1_130));
        // Only 360 ms of segment 7 are ahead of the playhead, so playback begins with segment 8.
        assert_eq!(player.quality().startup, None);
        player.on_segment(at(1_140), 12_500);
        player.next(at(1_240));
        assert_eq!(player.quality().startup, Some(Duration::from_millis(240)));
    }

    #[test]
    fn the_playhead_starts_three_targets_behind_the_end_of_the_playlist() {
        let mut player = joined(60_000);
        player.next(at(1_020));
        player.on_segment(at(1_030), 12_500);
        player.next(at(1_130));
        // The playlist ends at UNIX 11 x 2,880 ms = the player's 2,880 ms; 9 s before that is -6,120 ms.
        assert_eq!(
            player.quality().live_latency,
            Some(Duration::from_millis(1_130 + 6_120))
        );
    }

    #[test]
    fn reloads_count_from_when_they_were_due_and_an_unchanged_playlist_halves_the_target_duration()
    {
        let mut player = joined(60_000);
        player.next(at(1_020));
        player.on_segment(at(1_030), 12_500);
        for number in 8..=10 {
            let Action::WakeAt(arrives) = player.next(at(1_031)) else {
                panic!("a segment is on the last mile");
            };
            assert!(
                matches!(player.next(arrives), Action::Get { object, .. } if object == segment(number))
            );
            player.on_segment(arrives, 12_500);
        }
        player.next(at(1_430));
        // Due at 1,010, with the whole playlist ahead: due again a target duration later.
        assert_eq!(player.next(at(2_000)), Action::WakeAt(at(4_010)));
        let playlist = Object::MediaPlaylist { rendition: 0 };
        assert_eq!(player.next(at(4_012)), get(playlist, 4_010));
        player.on_playlist(at(4_050), TARGET, listed(1..=10), false);
        assert_eq!(player.next(at(4_050)), Action::WakeAt(at(4_010 + 1_500)));
        // Less than four target durations behind the end: due again a segment's duration later.
        assert_eq!(player.next(at(5_510)), get(playlist, 5_510));
        player.on_playlist(at(5_520), TARGET, listed(2..=11), false);
        assert_eq!(player.next(at(5_520)), get(segment(11), 5_520));
        player.on_segment(at(5_530), 12_500);
        player.next(at(5_630));
        assert_eq!(player.next(at(5_640)), Action::WakeAt(at(5_510 + 2_880)));
    }

    /// A player that has played since 1,240 with 3,240 ms of media: the end of segment 7, and segment 8.
    fn playing(leaves_ms: u64) -> Player {
        let mut player = joined(leaves_ms);
        player.next(at(1_020));
        player.on_segment(at(1_030), 12_500);
        player.next(at(1_130));
        player.on_segment(at(1_140), 12_500);
        player.next(at(1_240));
        player
    }

    #[test]
    fn an_empty_buffer_stalls_and_the_next_segment_resumes() {
        let mut player = playing(60_000);
        player.on_segment(at(6_000), 12_500);
        player.next(at(6_500));
        let quality = player.quality();
        assert_eq!(quality.stalls, 1);
        // Empty at 1,240 + 3,240; segment 9 is off the last mile at 6,100.
        assert_eq!(quality.stalled, Duration::from_millis(6_100 - 4_480));
        assert_eq!(quality.played, Duration::from_millis(3_240 + 400));
    }

    #[test]
    fn six_retries_wait_longer_each_time_and_after_the_seventh_failure_it_takes_another_rendition()
    {
        let mut player = joined(60_000);
        let mut now = asks_for(&mut player, segment(7), at(1_020));
        for wait_s in [1, 2, 4, 8, 8, 8] {
            player.on_failure(now, BUSY, None);
            let again = asks_for(&mut player, segment(7), now);
            assert_eq!(again.since(now), Duration::from_secs(wait_s));
            now = again;
        }
        player.on_failure(now, BUSY, None);
        let other = Object::MediaPlaylist { rendition: 1 };
        asks_for(&mut player, other, now);
        assert_eq!(
            (player.quality().retries, player.quality().switches),
            (7, 1)
        );
    }

    #[test]
    fn after_404_the_player_takes_another_rendition_at_once_and_then_gives_up() {
        let mut player = player(60_000);
        player.next(at(1_000));
        player.on_multivariant(at(1_010), ladder().into(), false);
        player.next(at(1_010));
        player.on_playlist(at(1_020), TARGET, listed(1..=10), false);
        assert_eq!(player.next(at(1_020)), get(segment(7), 1_020));
        player.on_failure(at(1_030), Failure::Status(404), None);
        let other = Object::MediaPlaylist { rendition: 1 };
        assert_eq!(player.next(at(1_030)), get(other, 1_030));
        assert_eq!(
            (player.quality().switches, player.quality().retries),
            (1, 1)
        );
        // The playlist of the other rendition is refused, too: the first one has failed since the last segment came.
        player.on_failure(at(1_040), Failure::Status(404), None);
        assert_eq!(player.next(at(1_040)), Action::WakeAt(at(2_040)));
    }

    #[test]
    fn a_multivariant_playlist_that_fails_twice_is_fatal() {
        let mut player = player(60_000);
        player.next(at(1_000));
        player.on_failure(at(1_010), BUSY, None);
        player.next(at(2_010));
        player.on_failure(at(2_020), BUSY, None);
        assert_eq!(player.next(at(2_020)), Action::Leave);
        assert_eq!(player.quality().exit, Exit::StartFailed);
    }

    #[test]
    fn a_player_with_a_list_of_edges_leaves_a_closed_one_at_once() {
        let mut mobile = seat(60_000);
        mobile.manners.failover = Failover::NextEdge;
        let mut player = Player::new(mobile);
        player.next(at(1_000));
        player.on_failure(at(1_010), Failure::Closed, None);
        assert_eq!(player.edges_beyond(), 1);
        assert_eq!(player.next(at(1_010)), get(Object::Multivariant, 1_010));
        // Where every edge is closed, it gives up.
        for _ in 0..6 {
            player.on_failure(at(1_020), Failure::Closed, None);
            player.next(at(1_020));
        }
        assert_eq!(player.edges_beyond(), 6);
        assert_eq!(player.quality().exit, Exit::StartFailed);
    }

    #[test]
    fn retry_after_is_honoured() {
        let mut player = player(60_000);
        player.next(at(1_000));
        player.on_failure(at(1_050), BUSY, Some(Duration::from_secs(3)));
        assert_eq!(player.next(at(1_050)), Action::WakeAt(at(4_050)));
    }

    #[test]
    fn a_viewer_leaves_when_its_time_is_over() {
        let mut player = playing(5_000);
        assert_eq!(player.next(at(7_000)), Action::Leave);
        assert_eq!(player.quality().exit, Exit::Left);
        // Time after the end does not count.
        let watched = player.quality().played + player.quality().stalled;
        assert_eq!(watched, Duration::from_millis(5_000 - 1_240));
    }

    #[test]
    fn a_viewer_that_saw_nothing_left_before_the_start() {
        let mut player = joined(4_000);
        assert_eq!(player.next(at(1_020)), get(segment(7), 1_020));
        player.on_segment(at(4_500), 12_500);
        assert_eq!(player.next(at(4_500)), Action::Leave);
        assert_eq!(player.quality().exit, Exit::BeforeStart);
    }

    #[test]
    fn a_fast_line_climbs_and_fetches_the_other_playlist_first() {
        let mut player = Player::new(Seat {
            arrives: at(0),
            last_mile_bps: 8_000_000,
            ..seat(60_000)
        });
        player.next(at(0));
        player.on_multivariant(at(1), ladder().into(), false);
        player.next(at(1));
        player.on_playlist(at(2), TARGET, listed(1..=10), false);
        player.next(at(2));
        player.on_segment(at(3), 100_000);
        assert_eq!(
            player.next(at(103)),
            get(Object::MediaPlaylist { rendition: 1 }, 103)
        );
        player.on_playlist(at(110), TARGET, listed(1..=10), false);
        let up = Object::Segment {
            rendition: 1,
            number: 8,
        };
        assert_eq!(player.next(at(110)), get(up, 110));
        assert_eq!(player.quality().switches, 1);
    }

    #[test]
    fn a_rendition_that_counts_for_itself_is_entered_where_the_other_one_was_left() {
        let as_it_is = |segment: Listed| segment;
        let without_times = |segment: Listed| Listed {
            begins_at: None,
            ..segment
        };
        let playlist = |shift: u64, of: fn(Listed) -> Listed| -> Arc<[Listed]> {
            let plain = listed(1..=10);
            let shifted = plain.iter().map(|&segment| {
                of(Listed {
                    number: segment.number + shift,
                    ..segment
                })
            });
            shifted.collect()
        };
        for (shift, of) in [
            (0, as_it_is as fn(Listed) -> Listed),
            (1_000, as_it_is),
            (3, as_it_is),
            (0, without_times),
            (1_000, without_times),
        ] {
            let mut fast = seat(60_000);
            fast.last_mile_bps = 8_000_000;
            let mut player = Player::new(fast);
            player.next(at(1_000));
            player.on_multivariant(at(1_010), ladder().into(), false);
            player.next(at(1_010));
            player.on_playlist(at(1_020), TARGET, playlist(0, of), false);
            assert_eq!(player.next(at(1_020)), get(segment(7), 1_020));
            player.on_segment(at(1_030), 100_000);
            let other = Object::MediaPlaylist { rendition: 1 };
            assert_eq!(player.next(at(1_130)), get(other, 1_130));
            player.on_playlist(at(1_140), TARGET, playlist(shift, of), false);
            let next = Object::Segment {
                rendition: 1,
                number: 8 + shift,
            };
            assert_eq!(player.next(at(1_140)), get(next, 1_140), "{shift}");
            assert_eq!(player.quality().skipped, 0);
        }
    }

    #[test]
    fn a_segment_that_is_missing_on_purpose_is_stepped_over() {
        let mut player = joined(60_000);
        let mut gaps = listed(1..=11).to_vec();
        gaps[7].gap = true;
        gaps[8].gap = true;
        player.on_playlist(at(1_030), TARGET, gaps.into(), false);
        assert_eq!(player.next(at(1_030)), get(segment(7), 1_020));
        player.on_segment(at(1_040), 12_500);
        assert_eq!(player.next(at(1_140)), get(segment(10), 1_140));
        assert_eq!(player.quality().skipped, 0);
    }

    #[test]
    fn a_playlist_of_a_rendition_that_was_left_meanwhile_lists_nothing_of_the_new_one() {
        let mut fast = seat(60_000);
        fast.arrives = at(0);
        fast.last_mile_bps = 8_000_000;
        fast.manners.polling = Polling::Aggressive;
        let mut player = Player::new(fast);
        player.next(at(0));
        player.on_multivariant(at(1), ladder().into(), false);
        player.next(at(1));
        player.on_playlist(at(2), TARGET, listed(1..=10), false);
        player.next(at(450));
        // The segment is off the last mile at 551, and then the player switches.
        player.on_segment(at(451), 100_000);
        let playlist = |rendition| Object::MediaPlaylist { rendition };
        assert_eq!(player.next(at(501)), get(playlist(0), 501));
        let mut failed = player.clone();
        player.on_playlist(at(600), TARGET, listed(1..=10), false);
        failed.on_failure(at(600), BUSY, Some(Duration::from_secs(3)));
        for mut player in [player, failed] {
            assert_eq!(player.quality().switches, 1);
            assert_eq!(player.next(at(600)), get(playlist(1), 551));
        }
    }

    #[test]
    fn segments_that_left_the_playlist_are_skipped_and_an_older_playlist_is_noticed() {
        let mut player = joined(60_000);
        player.on_playlist(at(1_030), TARGET, listed(20..=29), false);
        assert_eq!(player.next(at(1_030)), get(segment(20), 1_030));
        assert_eq!(player.quality().skipped, 13);
        player.on_playlist(at(1_040), TARGET, listed(19..=28), false);
        assert_eq!(player.quality().playlists_went_back, 1);
    }

    #[test]
    fn a_stream_that_has_ended_is_played_from_its_start_to_its_last_frame() {
        let mut player = Player::new(seat(60_000));
        player.next(at(1_000));
        player.on_multivariant(at(1_010), ladder()[..1].into(), false);
        player.next(at(1_010));
        player.on_playlist(at(1_020), TARGET, listed(1..=2), true);
        for (number, millis) in [(1, 1_020), (2, 1_120)] {
            assert_eq!(player.next(at(millis)), get(segment(number), millis));
            player.on_segment(at(millis), 12_500);
        }
        // The first segment is there at 1,120, and both last 5,760 ms.
        assert_eq!(player.next(at(1_220)), Action::WakeAt(at(6_880)));
        assert_eq!(player.next(at(6_880)), Action::Leave);
        let quality = player.quality();
        assert_eq!((quality.exit, quality.stalls), (Exit::Ended, 0));
        assert_eq!(quality.played, 2 * D);
        assert_eq!(quality.live_latency, None);
    }

    #[test]
    fn an_aggressive_player_reloads_every_half_second() {
        let mut aggressive = seat(60_000);
        aggressive.manners.polling = Polling::Aggressive;
        let mut player = joined_as(aggressive);
        player.next(at(1_020));
        player.on_segment(at(1_030), 12_500);
        // The playlist had been due at 1,010.
        let playlist = Object::MediaPlaylist { rendition: 0 };
        assert_eq!(player.next(at(1_510)), get(segment(8), 1_130));
        player.on_segment(at(1_511), 12_500);
        assert_eq!(player.next(at(1_511)), get(playlist, 1_510));
    }

    #[test]
    fn with_full_jitter_each_wait_is_drawn_and_no_longer_than_without() {
        let waits = |viewer| {
            let mut jittered = seat(60_000);
            jittered.manners.retries = Retries::FullJitter;
            jittered.chances = Chances { seed: 1, viewer };
            let mut player = Player::new(jittered);
            let mut now = at(1_000);
            let mut waits = Vec::new();
            player.next(now);
            player.on_multivariant(now, ladder()[..1].into(), false);
            for nth in 0..5 {
                let asked = asks_for(&mut player, segment(7), now);
                if nth > 0 {
                    waits.push(asked.since(now));
                }
                now = asked;
                player.on_failure(now, BUSY, None);
            }
            waits
        };
        for (viewer, longest) in (0..50).flat_map(|viewer| (0..4).map(move |nth| (viewer, nth))) {
            assert!(waits(viewer)[longest] <= Duration::from_secs(1 << longest));
        }
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }

    #[test]
    fn a_player_with_a_list_of_edges_goes_to_the_next_after_two_failures_in_a_row() {
        let mut mobile = seat(60_000);
        mobile.manners.failover = Failover::NextEdge;
        let mut player = Player::new(mobile);
        player.next(at(1_000));
        player.on_failure(at(1_000), BUSY, None);
        assert_eq!(
            (player.edges_beyond(), player.next(at(1_000))),
            (0, Action::WakeAt(at(2_000)))
        );
        player.next(at(2_000));
        player.on_failure(at(2_010), BUSY, None);
        // At once, at the next edge.
        assert_eq!(player.edges_beyond(), 1);
        assert_eq!(player.next(at(2_010)), get(Object::Multivariant, 2_010));
        player.on_multivariant(at(2_020), ladder()[..1].into(), false);
        player.next(at(2_020));
        player.on_failure(at(2_030), BUSY, None);
        assert_eq!(player.edges_beyond(), 1, "failures in a row, not in all");
    }

    #[test]
    fn a_steered_player_leaves_an_edge_that_has_failed_and_comes_back_when_its_penalty_is_over() {
        let mut steered = seat(600_000);
        steered.manners.failover = Failover::Steering;
        let mut player = Player::new(steered);
        player.next(at(1_000));
        player.on_multivariant(at(1_010), ladder()[..1].into(), true);
        let playlist = Object::MediaPlaylist { rendition: 0 };
        assert_eq!(player.next(at(1_010)), get(playlist, 1_010));
        player.on_playlist(at(1_020), TARGET, listed(1..=10), false);
        // Once the stream has a playlist the manifest, which was due before the segment, goes first.
        assert_eq!(player.next(at(1_020)), get(Object::Steering, 1_010));
        player.on_steering(at(1_030), Duration::from_secs(10), &[0, 2, 1]);
        assert_eq!(player.edges_beyond(), 0);
        assert_eq!(player.next(at(1_030)), get(segment(7), 1_020));
        // A connection that is closed sends it elsewhere, at once.
        player.on_failure(at(1_040), Failure::Closed, None);
        assert_eq!((player.edges_beyond(), player.quality().failovers), (2, 1));
        assert_eq!(player.next(at(1_040)), get(segment(7), 1_040));
        player.on_segment(at(1_050), 12_500);
        // The manifest is loaded again when it has ended, and without one the player stays.
        let asked = steers(&mut player, at(1_050));
        assert!(asked >= at(11_030), "{asked:?}");
        player.on_failure(asked, Failure::Status(503), None);
        assert_eq!((player.edges_beyond(), player.quality().retries), (2, 1));
        // After its penalty the edge of its own is preferred again.
        let mut asked = asked;
        while asked < at(302_000) {
            asked = steers(&mut player, asked);
            if asked < at(302_000) {
                player.on_steering(asked, Duration::from_secs(10), &[0, 2, 1]);
                assert_eq!(player.edges_beyond(), 2, "at {asked:?}");
            }
        }
        player.on_steering(asked, Duration::from_secs(10), &[0, 2, 1]);
        assert_eq!((player.edges_beyond(), player.quality().failovers), (0, 2));
    }

    #[test]
    fn an_early_player_asks_for_the_next_segment_and_takes_its_absence_for_no_failure() {
        let mut early = seat(60_000);
        early.early = true;
        let mut player = joined_as(early);
        for (number, millis) in (7..=10).zip(1_020..) {
            let asked = player.next(at(millis));
            assert!(matches!(asked, Action::Get { object, .. } if object == segment(number)));
            player.on_segment(at(millis), 100);
        }
        let asked = player.next(at(1_030));
        assert!(matches!(asked, Action::Get { object, .. } if object == segment(11)));
        player.on_failure(at(1_100), Failure::Status(404), None);
        assert_eq!(player.quality().retries, 0);
        // The playlist, due at 1,010, decides when to ask again.
        assert_eq!(player.next(at(1_100)), Action::WakeAt(at(1_010 + 3_000)));
    }

    #[test]
    fn a_viewer_seeks_back_to_what_the_playlist_still_lists() {
        let mut curious = seat(60_000);
        curious.seeks = Some((at(1_300), Duration::from_secs(20)));
        let mut player = joined_as(curious);
        player.next(at(1_020));
        player.on_segment(at(1_030), 12_500);
        player.next(at(1_130));
        player.on_segment(at(1_140), 12_500);
        // 20 s behind the end of segment 10 lies in segment 4, 160 ms after its start.
        player.next(at(1_240));
        player.on_segment(at(1_250), 12_500);
        assert_eq!(player.next(at(1_260)), Action::WakeAt(at(1_300)));
        assert_eq!(player.next(at(1_300)), get(segment(4), 1_300));
        assert_eq!(player.quality().seeks, 1);
        let startup = player.quality().startup;
        player.on_segment(at(1_310), 12_500);
        player.next(at(1_410));
        player.on_segment(at(1_420), 12_500);
        player.next(at(1_520));
        let quality = player.quality();
        assert_eq!(
            (quality.startup, quality.stalls),
            (startup, 0),
            "a seek is neither a start nor a stall"
        );
    }

    #[test]
    fn a_segment_that_left_takes_the_place_to_begin_within_it_along() {
        let mut player = joined(60_000);
        // Playback was to begin 2,520 ms into segment 7, which has left the playlist. Segment 20 lasts half a second.
        let mut listed = listed(20..=29).to_vec();
        listed[0].duration = Duration::from_millis(500);
        player.on_playlist(at(1_030), TARGET, listed.into(), false);
        assert!(
            matches!(player.next(at(1_030)), Action::Get { object, .. } if object == segment(20))
        );
        player.on_segment(at(1_040), 12_500);
        player.next(at(1_140));
        assert_eq!(player.quality().media, Duration::from_millis(500));
    }

    /// What a player asked for, when, and what it experienced, if it wakes up at the times that it wants and at `extra_ms` too.
    /// Its last mile gets slower and faster again, and some segments are missing.
    fn lived(extra_ms: &[u64], last_mile_bps: u64) -> (Vec<(Action, Timestamp)>, String) {
        let mut player = Player::new(Seat {
            last_mile_bps,
            seeks: Some((at(31_000), Duration::from_secs(12))),
            ..seat(60_000)
        });
        let mut extra: Vec<_> = extra_ms.iter().map(|&millis| at(millis)).collect();
        extra.sort_unstable();
        let (mut now, mut asked) = (at(1_000), Vec::new());
        let mut has_playlist_of = None;
        loop {
            match player.next(now) {
                Action::Leave => {
                    return (
                        asked,
                        format!("{:?} {:?}", player.quality(), player.stalls()),
                    );
                }
                Action::WakeAt(due) => {
                    let sooner = extra.iter().find(|&&extra| extra > now && extra < due);
                    now = *sooner.unwrap_or(&due);
                }
                get @ Action::Get { object, .. } => {
                    asked.push((get, now));
                    // Some answers are slow, so that much may happen before they arrive.
                    let slow = asked.len() % 5 == 0;
                    now = now + Duration::from_millis(if slow { 900 } else { 15 });
                    let newest = now.since(Timestamp::ZERO).as_millis() as u64 / 2_880 + 10;
                    match object {
                        Object::Steering => panic!("nobody steers this player"),
                        Object::Multivariant => player.on_multivariant(now, ladder().into(), false),
                        Object::MediaPlaylist { rendition } => {
                            player.on_playlist(now, TARGET, listed(newest - 9..=newest), false);
                            has_playlist_of = Some(rendition);
                        }
                        Object::Segment { rendition, .. } if has_playlist_of != Some(rendition) => {
                            panic!("a segment of {rendition} by the list of {has_playlist_of:?}")
                        }
                        Object::Segment { number, .. }
                            if number % 13 == 0 && asked.len() % 3 == 0 =>
                        {
                            player.on_failure(now, BUSY, None);
                        }
                        Object::Segment { rendition, number } => {
                            let bytes = ladder()[rendition].peak_bps * 2_880 / 8_000;
                            player.on_segment(now, bytes * (1 + number % 4));
                        }
                    }
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn a_player_that_is_woken_up_more_often_than_it_wants_does_the_same(
            extra_ms in proptest::collection::vec(1_000_u64..60_000, 0..200),
            last_mile_kbps in 300_u64..6_000,
        ) {
            let alone = lived(&[], last_mile_kbps * 1_000);
            proptest::prop_assert!(alone.0.len() > 20);
            proptest::prop_assert_eq!(lived(&extra_ms, last_mile_kbps * 1_000), alone);
        }
    }
}

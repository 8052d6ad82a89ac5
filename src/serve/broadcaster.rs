//! The fake broadcaster: it encodes each segment while the segment's time passes, and publishes it the moment that it
//! is whole.
//!
//! A segment that could not be published is tried again until no playlist could list it any longer. Then it is dropped,
//! and the stream goes on with newer segments.

mod figures;
pub mod sink;

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

pub use figures::Figures;
pub use sink::Sink;

use self::sink::Rejected;
use super::clock::Clock;
use crate::hls::timeline::{Channel, Layout};
use crate::media;
use crate::time::UnixTime;

/// Why a broadcast ended without being stopped.
#[derive(Debug, thiserror::Error)]
pub enum BroadcastError {
    /// The origin will never take this channel.
    #[error("the origin refuses the channel: {0}")]
    Refused(String),
    /// The encoder panicked.
    #[error(
        "the encoder failed on segment {0}: this is a fault of Seawall, please report it with the channel's description"
    )]
    Encoder(u64),
}

/// When a new channel says that it began: so early that a full window exists at once and players can join at once.
pub fn fresh_start(layout: &Layout, window: u64, now: UnixTime) -> UnixTime {
    now - layout.segment_duration() * u32::try_from(window).unwrap_or(u32::MAX)
}

/// Permits to encode, for half of the processor's cores. All channels of a process begin their next segment at the same
/// moment, and have its whole duration to encode it. The servers and viewers in this process have the other half.
static ENCODING: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Semaphore::new((cores / 2).max(1))
});

/// A broadcast of one channel.
#[derive(Debug)]
pub struct Broadcaster {
    channel: Channel,
    window: u64,
    sink: Sink,
    clock: Clock,
    figures: Figures,
    outage: Outage,
    pace: Pace,
}

/// When a broadcast publishes a segment that is due: on time, unless a caller delays or stalls it on purpose. Copies
/// share the pace.
#[derive(Clone, Debug)]
pub struct Pace(Arc<watch::Sender<Hindrance>>);

#[derive(Clone, Copy, Debug, Default)]
struct Hindrance {
    late: Duration,
    stalled: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self(Arc::new(watch::channel(Hindrance::default()).0))
    }
}

impl Pace {
    /// From now on each segment is published this much later than it is due.
    pub fn be_late(&self, late: Duration) {
        self.0.send_modify(|hindrance| hindrance.late = late);
    }

    /// From now on no segment is published.
    pub fn stall(&self) {
        self.0.send_modify(|hindrance| hindrance.stalled = true);
    }

    /// Ends the delay and the stall; segments that are due are published at once.
    pub fn recover(&self) {
        self.0.send_replace(Hindrance::default());
    }

    /// Waits until a segment that is available at `instant` may be published.
    async fn reached(&self, instant: tokio::time::Instant) {
        let mut changes = self.0.subscribe();
        loop {
            let hindrance = *changes.borrow_and_update();
            let due = tokio::time::sleep_until(instant + hindrance.late);
            if hindrance.stalled {
                // It cannot fail, because `self` holds the sender.
                let _ = changes.changed().await;
                continue;
            }
            tokio::select! {
                () = due => return,
                _ = changes.changed() => {}
            }
        }
    }
}

impl Broadcaster {
    /// A broadcast of `channel` into `sink`; `window` is the number of segments in the origin's playlists. If the
    /// origin knows the channel already, the origin's `started_at` replaces the one given here.
    pub fn new(channel: Channel, window: u64, sink: Sink, clock: Clock, figures: Figures) -> Self {
        Self {
            channel,
            window,
            sink,
            clock,
            figures,
            outage: Outage::default(),
            pace: Pace::default(),
        }
    }

    /// The same broadcast, at a pace that a caller may hinder.
    pub fn paced_by(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// Fills the window, then publishes each segment on time, until `stop`.
    ///
    /// # Errors
    /// The origin refuses the channel for good, or the encoder failed.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), BroadcastError> {
        match stop.run_until_cancelled(self.broadcast()).await {
            None => Ok(()),
            Some(Err(error)) => Err(error),
        }
    }

    async fn broadcast(&mut self) -> Result<Infallible, BroadcastError> {
        self.describe().await?;
        for rendition in &self.channel.layout.ladder {
            // The figures exist from the start, not only from the first segment on.
            self.figures.of(&self.channel.name, &rendition.name);
        }
        let began = self.clock.unix();
        tracing::info!(
            channel = self.channel.name,
            started_at = %self.channel.started_at.to_utc(),
            "on air"
        );
        let mut number = self.channel.first_number();
        loop {
            let due = due_from(&self.channel, number, self.window, self.clock.unix());
            if self.channel.available_at(number) >= began {
                self.outage.dropped += due - number;
            }
            number = due;
            if !self.sink.has(&self.channel, number) {
                let bodies = encode(&self.channel, number).await?;
                let available_at = self.channel.available_at(number);
                self.pace
                    .reached(self.clock.instant_of_unix(available_at))
                    .await;
                self.publish(number, bodies).await?;
                // Segments that fill the window at the start were due before the broadcast began.
                if available_at >= began {
                    let late = self.clock.unix().since(available_at);
                    self.figures.lateness.observe(late.as_secs_f64());
                }
            }
            number += 1;
        }
    }

    /// Describes the channel to the origin, however long that takes, and adopts the description in force there.
    async fn describe(&mut self) -> Result<(), BroadcastError> {
        for attempt in 0.. {
            match self.sink.describe(&self.channel).await {
                Ok(in_force) => {
                    self.outage.ends();
                    self.channel = in_force;
                    break;
                }
                Err(Rejected::Never(why) | Rejected::Forgotten(why)) => {
                    return Err(BroadcastError::Refused(why));
                }
                Err(Rejected::Later(why)) => self.outage.goes_on(&why),
            }
            tokio::time::sleep(back_off(attempt)).await;
        }
        Ok(())
    }

    /// Publishes every rendition of one segment, and tries again while a playlist could list it.
    async fn publish(&mut self, number: u64, bodies: Vec<Bytes>) -> Result<(), BroadcastError> {
        for (index, body) in bodies.into_iter().enumerate() {
            for attempt in 0.. {
                let rendition = &self.channel.layout.ladder[index].name;
                let sent = self
                    .sink
                    .publish(&self.channel.name, rendition, number, body.clone())
                    .await;
                let Err(rejected) = sent else {
                    let figures = self.figures.of(&self.channel.name, rendition);
                    figures.published(number);
                    break;
                };
                self.figures.failed.inc();
                self.outage.goes_on(rejected.why());
                match rejected {
                    Rejected::Never(_) => {
                        self.outage.dropped += 1;
                        return Ok(());
                    }
                    // The origin came back with an empty folder.
                    Rejected::Forgotten(_) => self.describe_again().await?,
                    Rejected::Later(_) => {}
                }
                tokio::time::sleep(back_off(attempt)).await;
                if due_from(&self.channel, number, self.window, self.clock.unix()) > number {
                    self.outage.dropped += 1;
                    return Ok(());
                }
            }
        }
        self.outage.ends();
        Ok(())
    }

    /// An origin that forgot the channel takes this description as it is. If the origin has learnt another `started_at`
    /// meanwhile, bytes under names in use would change, so the broadcast ends.
    async fn describe_again(&mut self) -> Result<(), BroadcastError> {
        let before = self.channel.clone();
        self.describe().await?;
        if self.channel == before {
            Ok(())
        } else {
            let why =
                "it now has another description of it; start the broadcaster again to adopt that";
            Err(BroadcastError::Refused(why.to_owned()))
        }
    }
}

/// Whether the origin takes what it is sent. The log tells each change once, and not each attempt.
#[derive(Debug, Default)]
struct Outage {
    under_way: bool,
    /// Number of segments given up since the failures began.
    dropped: u64,
}

impl Outage {
    fn goes_on(&mut self, why: &str) {
        if !self.under_way {
            tracing::warn!(
                why,
                "the origin does not take what is sent; trying on until it does"
            );
            self.under_way = true;
        }
    }

    fn ends(&mut self) {
        if self.dropped > 0 {
            tracing::warn!(segments = self.dropped, "dropped: too old for any playlist");
        }
        if self.under_way {
            tracing::info!("the origin takes what is sent again");
        }
        *self = Self::default();
    }
}

/// `number`, or the oldest segment that a playlist could list now if that is newer.
fn due_from(channel: &Channel, number: u64, window: u64, now: UnixTime) -> u64 {
    channel
        .window(now, window)
        .map_or(number, |listed| number.max(*listed.start()))
}

/// Encodes every rendition of one segment, in the order of the ladder, off the async threads.
async fn encode(channel: &Channel, number: u64) -> Result<Vec<Bytes>, BroadcastError> {
    let _turn = ENCODING.acquire().await;
    let channel = channel.clone();
    tokio::task::spawn_blocking(move || {
        let ladder = channel.layout.ladder.iter();
        ladder
            .map(|rendition| media::segment(&channel, rendition, number))
            .collect()
    })
    .await
    .map_err(|_| BroadcastError::Encoder(number))
}

/// 0.1 s, doubled with each attempt, 2 s at most.
fn back_off(attempt: u32) -> Duration {
    Duration::from_millis(100 << attempt.min(5)).min(Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::serve::metrics::Registry;
    use crate::serve::origin::Store;
    use crate::serve::origin::testing::{Fixture, Listening, TOKEN};
    use crate::serve::token::Token;

    const WINDOW: u64 = 6;

    /// Segments of 0.96 s, so that a test of live segments is short.
    fn channel(clock: &Clock) -> Channel {
        let mut layout = Layout {
            parts_per_segment: 3,
            ..Layout::default()
        };
        layout.ladder.truncate(2);
        Channel {
            name: "fresh".to_owned(),
            seed: 7,
            started_at: fresh_start(&layout, WINDOW, clock.unix()),
            layout,
        }
    }

    async fn origin() -> Listening {
        Fixture::listening(|config| config.window = WINDOW).await
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::task::yield_now().await;
        }
    }

    struct Running {
        stop: CancellationToken,
        figures: Figures,
        task: tokio::task::JoinHandle<Result<(), BroadcastError>>,
    }

    fn broadcast(origin: &Fixture, sink: Sink) -> Running {
        let broadcaster = Broadcaster::new(
            channel(&origin.clock),
            WINDOW,
            sink,
            origin.clock,
            Figures::new(&Registry::new(&[])),
        );
        let stop = CancellationToken::new();
        Running {
            figures: broadcaster.figures.clone(),
            task: tokio::spawn(broadcaster.run(stop.clone())),
            stop,
        }
    }

    fn http(origin: &Listening, token: &str) -> Sink {
        let url = format!("http://{}", origin.broadcasters);
        Sink::http(&url, &Token::new(token)).unwrap()
    }

    fn listed(store: &Store) -> Vec<u64> {
        let path = crate::hls::names::LivePath::parse("/live/fresh/180p/media.m3u8").unwrap();
        let Some(document) = store.get(path) else {
            return Vec::new();
        };
        let playlist = m3u8_rs::parse_media_playlist_res(&document.plain.body).unwrap();
        (playlist.media_sequence..)
            .take(playlist.segments.len())
            .collect()
    }

    #[tokio::test]
    async fn a_full_window_exists_at_once_and_then_moves_on_in_time() {
        let origin = origin().await;
        for sink in [Sink::InProcess(origin.origin.store()), http(&origin, TOKEN)] {
            let store = origin.origin.store();
            let running = broadcast(&origin, sink);
            until(|| listed(&store).len() as u64 == WINDOW).await;
            let newest = store.newest("fresh").unwrap();
            until(|| running.figures.lateness.get_sample_count() > 0).await;
            assert!(store.newest("fresh").unwrap() > newest);
            let numbers = listed(&store);
            let text = origin.get("/live/fresh/360p/media.m3u8", "").await.text();
            assert!(!text.contains("GAP"), "{text}");
            assert_eq!(numbers.len() as u64, WINDOW);
            running.stop.cancel();
            running.task.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_disk_that_fails_is_tried_again() {
        let origin = origin().await;
        let in_the_way = origin.dir.path().join("fresh");
        std::fs::create_dir(&in_the_way).unwrap();
        std::fs::write(in_the_way.join("360p"), b"a file where a folder must be").unwrap();
        let store = origin.origin.store();
        let running = broadcast(&origin, Sink::InProcess(store.clone()));
        until(|| running.figures.failed.get() > 0).await;
        assert!(store.newest("fresh").is_none());
        std::fs::remove_file(in_the_way.join("360p")).unwrap();
        until(|| store.newest("fresh").is_some()).await;
        running.stop.cancel();
        running.task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_channel_that_the_origin_refuses_ends_the_broadcast() {
        let origin = origin().await;
        let error = broadcast(&origin, http(&origin, "wrong"))
            .task
            .await
            .unwrap()
            .unwrap_err();
        assert!(
            error.to_string().contains("the token is missing or wrong"),
            "{error}"
        );

        let mut other = channel(&origin.clock);
        other.seed += 1;
        origin.origin.store().adopt_or_describe(other).unwrap();
        for sink in [Sink::InProcess(origin.origin.store()), http(&origin, TOKEN)] {
            let error = broadcast(&origin, sink).task.await.unwrap().unwrap_err();
            assert!(error.to_string().contains("choose another name"), "{error}");
        }
    }

    #[tokio::test]
    async fn what_an_earlier_broadcast_published_is_not_encoded_again() {
        let origin = origin().await;
        let store = origin.origin.store();
        let channel = channel(&origin.clock);
        let in_force = store.adopt_or_describe(channel).unwrap();
        let first = in_force.first_number();
        // Bytes that no encoder makes: a second publication would be refused as a change.
        let body = Bytes::from([&[0x47][..], &[0; 187]].concat());
        for rendition in &in_force.layout.ladder {
            let published = store
                .publish("fresh", &rendition.name, first, body.clone())
                .await;
            published.unwrap();
        }
        let running = broadcast(&origin, Sink::InProcess(Arc::clone(&store)));
        until(|| store.newest("fresh") > Some(first)).await;
        assert_eq!(running.figures.failed.get(), 0);
        running.stop.cancel();
        running.task.await.unwrap().unwrap();
    }

    #[test]
    fn a_broadcaster_that_fell_behind_goes_on_with_what_can_be_listed() {
        let channel = channel(&Clock::start());
        let first = channel.first_number();
        let at = |number| channel.available_at(number);
        for (number, now, due) in [
            (first, at(first), first),
            (first, at(first + 5), first),
            (first, at(first + 6), first + 1),
            (first + 9, at(first + 6), first + 9),
            (first, at(first + 1_000), first + 995),
        ] {
            assert_eq!(due_from(&channel, number, WINDOW, now), due);
        }
    }

    #[test]
    fn a_fresh_channel_has_a_full_window_whenever_it_begins() {
        let layout = Layout::default();
        for millis in [
            1_700_000_000_000,
            1_700_000_000_001,
            1_699_999_999_999,
            1_700_000_000_640,
        ] {
            let now = UnixTime::from_millis(millis);
            let channel = Channel {
                name: "fresh".to_owned(),
                seed: 1,
                started_at: fresh_start(&layout, 10, now),
                layout: layout.clone(),
            };
            let window = channel.window(now, u64::MAX).unwrap();
            assert_eq!(window.count(), 10, "{millis}");
        }
    }

    #[test]
    fn attempts_grow_rarer_up_to_a_bound() {
        let waits: Vec<_> = (0..7)
            .map(|attempt| back_off(attempt).as_millis())
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 2_000, 2_000]);
        assert_eq!(back_off(u32::MAX), Duration::from_secs(2));
    }
}

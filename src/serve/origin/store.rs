//! The live window: in memory for readers, on disk for a restart.
//!
//! Readers clone a pointer to a version of the window (`LiveWindow`) that never changes. A writer makes the next version
//! beside it and swaps the two. So a playlist and the segments that it lists appear at the same instant. Writers of one
//! channel take turns.
//!
//! * A number is listed once every rendition has it.
//! * A segment that is no longer listed stays for its own duration plus that of the longest playlist that listed it. Then
//!   it leaves memory and disk.
//! * The bytes under a name never change.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::description;
use super::document::Document;
use super::folder::Folder;
use super::store_error::{CHANNELS_MAX, StoreError};
use super::window::{OnAir, SegmentId};
use crate::hls::names::LivePath;
use crate::hls::steering::{self, Manifest, Pathways};
use crate::hls::timeline::Channel;
use crate::policy::key::Kind;
use crate::serve::clock::Clock;
use crate::serve::metrics::{ORIGIN_MEDIA_SEQUENCE, Registry};
use crate::time::UnixTime;

/// The channels of an origin.
#[derive(Debug)]
pub struct Store {
    folder: Folder,
    window: u64,
    clock: Clock,
    registry: Registry,
    channels: RwLock<HashMap<String, Arc<OnAir>>>,
    pathways: RwLock<Pathways>,
    /// Held while a new channel is stored on disk.
    describing: Mutex<()>,
    /// Permits to write a segment: the segments of all channels are due at the same moment, and there is one disk.
    writing: Semaphore,
}

/// Maximum number of segments that are written at once.
const WRITERS: usize = 4;

impl Store {
    /// Opens the folder, and loads the channels and segments that an earlier run left there. `window` is the number of
    /// segments that a playlist lists. Blocks.
    ///
    /// # Errors
    /// The folder cannot be written, or holds a description that cannot be used.
    pub fn open(
        dir: PathBuf,
        window: u64,
        clock: Clock,
        registry: &Registry,
    ) -> Result<Arc<Self>, StoreError> {
        let store = Self {
            folder: Folder::open(dir)?,
            window,
            clock,
            registry: registry.clone(),
            channels: RwLock::default(),
            pathways: RwLock::default(),
            describing: Mutex::default(),
            writing: Semaphore::new(WRITERS),
        };
        for channel in store.folder.channels()? {
            description::check(&channel, store.clock.unix())
                .map_err(|error| stored(&channel.name, error))?;
            store.pick_up(&store.put_on_air(channel))?;
        }
        Ok(Arc::new(store))
    }

    /// The whole object at a path; `None` if it does not exist now.
    pub fn get(&self, path: LivePath<'_>) -> Option<Arc<Document>> {
        match path {
            LivePath::Description { channel } => Some(self.on_air(channel)?.description.clone()),
            LivePath::Multivariant { channel } => Some(self.on_air(channel)?.multivariant()),
            LivePath::Steering { channel } => {
                self.on_air(channel)?;
                let pathways = self.pathways();
                let manifest = Manifest::at(&pathways, self.clock.unix());
                let document = Document::text(Kind::Other, manifest.text(), steering::FRESH_S);
                (!pathways.list.is_empty()).then(|| Arc::new(document))
            }
            LivePath::MediaPlaylist { channel, rendition } => {
                let on_air = self.on_air(channel)?;
                on_air.index(rendition)?;
                on_air.live().playlist.clone()
            }
            LivePath::Segment {
                channel,
                rendition,
                number,
            } => {
                let on_air = self.on_air(channel)?;
                let index = on_air.index(rendition)?;
                on_air.live().renditions[index].get(&number).cloned()
            }
        }
    }

    /// Steers the players of all channels by these pathways from now on; an empty list steers none.
    pub fn steer(&self, pathways: Pathways) {
        let mut known = self
            .pathways
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *known = pathways.clone();
        drop(known);
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        for on_air in channels.values() {
            on_air.steer(&pathways);
        }
    }

    fn pathways(&self) -> Pathways {
        let pathways = self.pathways.read();
        pathways.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest number in the channel's playlists: the version of those playlists.
    pub fn newest(&self, channel: &str) -> Option<u64> {
        self.on_air(channel)?.live().newest
    }

    /// Whether a channel of this name has been described.
    pub fn knows(&self, channel: &str) -> bool {
        self.on_air(channel).is_some()
    }

    /// Whether this is a playlist of a channel that is no longer broadcast: nothing that it lists would be listed now.
    pub fn is_off_air(&self, path: LivePath<'_>) -> bool {
        let (LivePath::Multivariant { channel } | LivePath::MediaPlaylist { channel, .. }) = path
        else {
            return false;
        };
        self.on_air(channel).is_some_and(|on_air| {
            let due = on_air.channel.newest(self.clock.unix());
            let listed = on_air.live().newest;
            listed.is_some_and(|listed| due.is_some_and(|due| listed + self.window <= due))
        })
    }

    /// Whether the channel's playlists list the newest segment that is due, or at least the one before it. If so, a
    /// viewer can join at the live edge.
    pub fn is_current(&self, channel: &Channel) -> bool {
        let due = channel.newest(self.clock.unix());
        let listed = self.newest(&channel.name);
        due.is_some_and(|due| listed.is_some_and(|listed| listed + 1 >= due))
    }

    /// The channels, in no particular order.
    pub fn channels(&self) -> Vec<Channel> {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        channels
            .values()
            .map(|on_air| on_air.channel.clone())
            .collect()
    }

    /// Adds a channel and returns the one in force. For a new channel that is `proposed`. For a known channel it is the
    /// known one, with the `started_at` that was stored when the channel began. Blocks on the disk for a new channel.
    ///
    /// # Errors
    /// The description is not usable, or differs from the one in force.
    pub fn adopt_or_describe(&self, mut proposed: Channel) -> Result<Channel, StoreError> {
        // Rounded to milliseconds, as the description will be read back.
        proposed.started_at = UnixTime::from_millis(proposed.started_at.as_millis());
        description::check(&proposed, self.clock.unix())?;
        let on_air = match self.on_air(&proposed.name) {
            Some(on_air) => on_air,
            None => self.describe(proposed.clone())?,
        };
        let known = &on_air.channel;
        if known.seed == proposed.seed && known.layout == proposed.layout {
            Ok(known.clone())
        } else {
            Err(StoreError::Differs(proposed.name))
        }
    }

    /// Stores a segment, and lists it once every rendition has it. The same bytes again change nothing.
    ///
    /// # Errors
    /// The channel, the rendition or the number is not plausible, the name has other bytes, or the disk failed. Then
    /// nothing becomes visible.
    pub async fn publish(
        self: &Arc<Self>,
        channel: &str,
        rendition: &str,
        number: u64,
        body: Bytes,
    ) -> Result<(), StoreError> {
        let on_air = self
            .on_air(channel)
            .ok_or_else(|| StoreError::UnknownChannel(channel.to_owned()))?;
        let index = on_air
            .index(rendition)
            .ok_or_else(|| on_air.unknown(rendition))?;
        on_air.check_number(number, self.window, self.clock.unix())?;
        if !on_air.channel.layout.container.holds(&body) {
            return Err(StoreError::Malformed(body.len()));
        }
        let store = self.clone();
        let _turn = self.writing.acquire().await;
        tokio::task::spawn_blocking(move || store.publish_blocking(&on_air, (index, number), body))
            .await
            .map_err(|_| StoreError::Stopping)?
    }

    fn publish_blocking(
        &self,
        on_air: &OnAir,
        (index, number): SegmentId,
        body: Bytes,
    ) -> Result<(), StoreError> {
        let (channel, rendition) = (&on_air.channel.name, on_air.rendition(index));
        // Held while the disk is written: writers of one channel take turns, and readers never wait for this lock.
        let mut schedule = on_air
            .schedule
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = on_air.live().renditions[index].get(&number) {
            return if known.plain.body == body {
                Ok(())
            } else {
                Err(StoreError::OtherBytes(number))
            };
        }
        self.folder.write(channel, rendition, number, &body)?;
        let document = Arc::new(Document::segment(body));
        let removed = on_air.place(&mut schedule, (index, number), document, self.clock.now());
        for (index, number) in removed {
            let removed = self.folder.remove(channel, on_air.rendition(index), number);
            if let Err(error) = removed {
                tracing::warn!(%error, "an old segment stays on disk until the next start");
            }
        }
        Ok(())
    }

    fn on_air(&self, channel: &str) -> Option<Arc<OnAir>> {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        channels.get(channel).cloned()
    }

    fn describe(&self, channel: Channel) -> Result<Arc<OnAir>, StoreError> {
        let _describing = self
            .describing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(on_air) = self.on_air(&channel.name) {
            return Ok(on_air);
        }
        if self.channels().len() >= CHANNELS_MAX {
            return Err(StoreError::Full);
        }
        self.folder
            .describe(&channel, &description::text(&channel))?;
        Ok(self.put_on_air(channel))
    }

    fn put_on_air(&self, channel: Channel) -> Arc<OnAir> {
        let gauge = self
            .registry
            .with(&[("channel", &channel.name)])
            .gauge(ORIGIN_MEDIA_SEQUENCE);
        let name = channel.name.clone();
        let on_air = Arc::new(OnAir::new(channel, self.window, gauge, &self.pathways()));
        let mut channels = self
            .channels
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        channels.insert(name, on_air.clone());
        on_air
    }

    /// Loads the window from the disk. Segments beyond the maximum are removed from the disk.
    fn pick_up(&self, on_air: &OnAir) -> Result<(), StoreError> {
        let channel = &on_air.channel.name;
        let mut schedule = on_air
            .schedule
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let kept_max = 2 * self.window as usize + 2;
        let mut found = Vec::new();
        for index in 0..on_air.channel.layout.ladder.len() {
            let rendition = on_air.rendition(index);
            let numbers = self.folder.numbers(channel, rendition)?;
            let (old, kept) = numbers.split_at(numbers.len().saturating_sub(kept_max));
            for &number in old {
                self.folder.remove(channel, rendition, number)?;
            }
            found.extend(kept.iter().map(|&number| (index, number)));
        }
        found.sort_unstable_by_key(|&(index, number)| (number, index));
        for &(index, number) in &found {
            let body = self.folder.read(channel, on_air.rendition(index), number)?;
            if !on_air.channel.layout.container.holds(&body) {
                tracing::warn!(channel, number, "a damaged segment on disk is removed");
                self.folder
                    .remove(channel, on_air.rendition(index), number)?;
                continue;
            }
            let document = Arc::new(Document::segment(body.into()));
            on_air.place(&mut schedule, (index, number), document, self.clock.now());
        }
        tracing::info!(channel, segments = found.len(), "picked up from disk");
        Ok(())
    }
}

/// The description came from the disk: the message says where it lies.
fn stored(channel: &str, error: StoreError) -> StoreError {
    match error {
        StoreError::Description(why) => StoreError::Description(format!(
            "{why} (it is {channel}/channel.json in the folder for segments: remove the folder {channel})"
        )),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::timeline::Layout;

    const WINDOW: u64 = 3;

    fn body(text: &str) -> Bytes {
        let mut packet = vec![0; 188];
        packet[0] = 0x47;
        packet[1..=text.len()].copy_from_slice(text.as_bytes());
        packet.into()
    }

    /// A channel with two renditions that began a hundred segments ago.
    fn channel(clock: &Clock) -> Channel {
        let mut layout = Layout::default();
        layout.ladder.truncate(2);
        Channel {
            name: "demo".to_owned(),
            seed: 1,
            started_at: clock.unix() - layout.segment_duration() * 100,
            layout,
        }
    }

    struct Fixture {
        dir: tempfile::TempDir,
        clock: Clock,
        store: Arc<Store>,
        channel: Channel,
        /// The newest whole segment when the fixture was made.
        newest: u64,
    }

    impl Fixture {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let clock = Clock::start();
            let store = open(&dir, clock).unwrap();
            let channel = store.adopt_or_describe(channel(&clock)).unwrap();
            let newest = channel.newest(clock.unix()).unwrap();
            Self {
                dir,
                clock,
                store,
                channel,
                newest,
            }
        }

        async fn publish(&self, rendition: &str, number: u64) {
            let body = body(&format!("{rendition} {number}"));
            let published = self.store.publish("demo", rendition, number, body).await;
            published.unwrap();
        }

        async fn publish_all(&self, number: u64) {
            for rendition in &self.channel.layout.ladder {
                self.publish(&rendition.name, number).await;
            }
        }

        fn listed(&self) -> Vec<String> {
            listed(&self.store)
        }
    }

    fn open(dir: &tempfile::TempDir, clock: Clock) -> Result<Arc<Store>, StoreError> {
        Store::open(dir.path().to_owned(), WINDOW, clock, &Registry::new(&[]))
    }

    fn segment(number: u64) -> LivePath<'static> {
        LivePath::Segment {
            channel: "demo",
            rendition: "180p",
            number,
        }
    }

    const PLAYLIST: LivePath<'static> = LivePath::MediaPlaylist {
        channel: "demo",
        rendition: "360p",
    };

    fn listed(store: &Store) -> Vec<String> {
        let Some(document) = store.get(PLAYLIST) else {
            return Vec::new();
        };
        let playlist = m3u8_rs::parse_media_playlist_res(&document.plain.body).unwrap();
        playlist
            .segments
            .into_iter()
            .map(|segment| segment.uri)
            .collect()
    }

    fn uris(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
        numbers
            .into_iter()
            .map(|number| format!("{number}.ts"))
            .collect()
    }

    #[tokio::test]
    async fn a_number_is_listed_once_every_rendition_has_it() {
        let origin = Fixture::new();
        assert!(origin.store.get(PLAYLIST).is_none());
        origin.publish("180p", origin.newest).await;
        assert!(origin.store.get(PLAYLIST).is_none());
        assert!(origin.store.get(segment(origin.newest)).is_some());
        origin.publish("360p", origin.newest).await;
        assert_eq!(origin.listed(), uris([origin.newest]));
        assert_eq!(origin.store.newest("demo"), Some(origin.newest));
    }

    #[tokio::test]
    async fn what_is_listed_is_there_and_is_there_again_after_a_restart() {
        let origin = Fixture::new();
        for number in origin.newest - 4..=origin.newest {
            origin.publish_all(number).await;
        }
        let expected = uris(origin.newest - 2..=origin.newest);
        assert_eq!(origin.listed(), expected);
        let tag = origin.store.get(PLAYLIST).unwrap().plain.etag.clone();

        let restarted = open(&origin.dir, origin.clock).unwrap();
        assert_eq!(listed(&restarted), expected);
        assert_eq!(restarted.get(PLAYLIST).unwrap().plain.etag, tag);
        for number in origin.newest - 4..=origin.newest {
            let document = restarted.get(segment(number)).unwrap();
            assert_eq!(document.plain.body, body(&format!("180p {number}")));
        }
        let mut proposed = origin.channel.clone();
        proposed.started_at = origin.clock.unix();
        assert_eq!(
            restarted.adopt_or_describe(proposed).unwrap(),
            origin.channel
        );
    }

    #[tokio::test]
    async fn a_file_damaged_by_a_power_cut_is_not_served() {
        let origin = Fixture::new();
        for number in origin.newest - 1..=origin.newest {
            origin.publish_all(number).await;
        }
        let path = origin
            .dir
            .path()
            .join(format!("demo/180p/{}.ts", origin.newest));
        std::fs::write(&path, b"").unwrap();
        let restarted = open(&origin.dir, origin.clock).unwrap();
        assert_eq!(listed(&restarted), uris([origin.newest - 1]));
        assert!(!path.exists());
        assert!(restarted.get(segment(origin.newest)).is_none());
    }

    #[tokio::test]
    async fn implausible_segments_are_refused_and_nothing_is_visible() {
        let origin = Fixture::new();
        let newest = origin.newest;
        let cases = [
            ("nobody", "180p", newest, "is not known here"),
            ("demo", "4k", newest, "it has 180p, 360p"),
            ("demo", "180p", newest + 9, "is not due yet"),
            ("demo", "180p", newest - 9, "is too old"),
            ("demo", "180p", u64::MAX, "is not due yet"),
            ("demo", "180p", 0, "is too old"),
        ];
        for (channel, rendition, number, expected) in cases {
            let published = origin
                .store
                .publish(channel, rendition, number, body("any"))
                .await;
            let message = published.unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let cut = body("any").slice(..100);
        let message = origin
            .store
            .publish("demo", "180p", newest, cut)
            .await
            .unwrap_err();
        assert!(
            message.to_string().contains("these 100 bytes are not"),
            "{message}"
        );
        assert!(origin.store.get(segment(newest)).is_none());
    }

    #[tokio::test]
    async fn the_bytes_under_a_name_never_change() {
        let origin = Fixture::new();
        origin.publish("180p", origin.newest).await;
        origin.publish("180p", origin.newest).await;
        let other = origin
            .store
            .publish("demo", "180p", origin.newest, body("other"));
        assert!(matches!(other.await, Err(StoreError::OtherBytes(_))));
        let kept = origin.store.get(segment(origin.newest)).unwrap();
        assert_eq!(kept.plain.body, body(&format!("180p {}", origin.newest)));
    }

    #[tokio::test]
    async fn a_disk_that_fails_makes_nothing_visible() {
        let origin = Fixture::new();
        let in_the_way = origin.dir.path().join("demo/180p");
        std::fs::write(&in_the_way, b"a file where a folder must be").unwrap();
        let failed = origin
            .store
            .publish("demo", "180p", origin.newest, body("any"));
        let message = failed.await.unwrap_err().to_string();
        assert!(
            message.contains("demo/180p") && message.contains("check the folder"),
            "{message}"
        );
        assert!(origin.store.get(segment(origin.newest)).is_none());
        std::fs::remove_file(in_the_way).unwrap();
        origin.publish("180p", origin.newest).await;
    }

    #[test]
    fn a_channel_keeps_its_seed_and_layout() {
        let origin = Fixture::new();
        let mut other = origin.channel.clone();
        other.seed += 1;
        let error = origin.store.adopt_or_describe(other).unwrap_err();
        assert!(error.to_string().contains("choose another name"), "{error}");
    }
}

//! A viewer of other people's streams: loads what its player asks for, with everything that belongs to it.
//!
//! A media playlist comes with the playlists of its sound and subtitles. A segment comes with its key, its header, and the
//! segments of those tracks that are shown with it. Each request is a line of the log; for the player they are one object.

use std::sync::Arc;

use reqwest::cookie::Jar;
use url::Url;

use super::agent::{Asked, Browser, Failed, Got, Keep};
use super::client::Trace;
use super::entry::Entry;
use super::foreign::ForeignStream;
use super::offered::OfferedTrack;
use super::playlists::{Media, Multivariant};
use super::stream_view::{Came, StreamView};
use super::world::World;
use crate::hls::parts::{Held, Part, TrackPlace};
use crate::hls::reader::{self, Listed, Span, TrackKind, Variables};
use crate::report::record::{self, Outcome};
use crate::time::Timestamp;
use crate::viewer::player::{Object, TIMEOUT};

/// What the viewer has.
pub(super) struct Guest {
    browser: Browser,
    cookies: Jar,
    held: Held,
    /// The segment of the rendition that has come, if more of it is to be loaded: its index in the log and its number.
    came: Option<(u32, u64)>,
    tracks: Vec<Track>,
}

/// Sound or subtitles beside the rendition.
struct Track {
    offered: OfferedTrack,
    playlist: Option<Arc<Media>>,
    /// When its newest segment was first listed.
    grew: Timestamp,
    place: TrackPlace,
    held: Held,
}

/// A track whose newest segment has not changed for this many target durations stands still, and a player without its sound
/// stalls.
const STILL_TARGETS: u32 = 3;

impl Track {
    /// A playlist of the track came. One that lists nothing, or no more than long ago, is of no use.
    fn take(&mut self, playlist: Arc<Media>, now: Timestamp) -> Result<(), Outcome> {
        let newest = |media: &Media| media.facts.listed.last().map(|segment| segment.number);
        let before = self.playlist.as_deref().and_then(newest);
        let listed = newest(&playlist).ok_or(Outcome::Unreadable)?;
        if before != Some(listed) {
            self.grew = now;
        }
        let patience = playlist.facts.target_duration * STILL_TARGETS;
        let stands_still = !playlist.facts.ended && now.since(self.grew) > patience;
        self.playlist = Some(playlist);
        match stands_still {
            true => Err(Outcome::Unreadable),
            false => Ok(()),
        }
    }
}

/// What a player has asked for.
pub(super) struct Errand<'a> {
    pub(super) world: &'a World,
    pub(super) stream: &'a ForeignStream,
    pub(super) view: &'a StreamView,
    pub(super) worker: usize,
    pub(super) viewer: u32,
    pub(super) edge: u32,
    pub(super) told: &'a [(&'static str, String)],
    pub(super) due: Timestamp,
    /// Becomes true if the viewer's own network fails meanwhile.
    pub(super) offline: bool,
    /// What is known of the requests so far, as of one.
    pub(super) trace: Trace,
}

impl Guest {
    pub(super) fn new(browser: Browser) -> Self {
        Self {
            browser,
            cookies: Jar::default(),
            held: Held::default(),
            came: None,
            tracks: Vec::new(),
        }
    }

    /// Gets the object, and reads it.
    pub(super) async fn get(
        &mut self,
        errand: &mut Errand<'_>,
        object: Object,
    ) -> Result<Came, Outcome> {
        match object {
            Object::Multivariant => self.multivariant(errand).await,
            Object::MediaPlaylist { rendition } => self.playlists(errand, rendition).await,
            Object::Segment { rendition, number } => {
                self.segment(errand, rendition, number).await?;
                Ok(Came::Segment)
            }
            Object::Steering => Err(Outcome::Unreadable),
        }
    }

    async fn multivariant(&mut self, errand: &mut Errand<'_>) -> Result<Came, Outcome> {
        let url = errand.stream.urls[errand.edge as usize].as_str();
        let (stream, world) = (errand.stream, errand.world);
        let read = |got: &Got| {
            let texts = &world.playlists.multivariant;
            texts.says(0, got.url.as_str(), &got.text, || {
                let offered = stream.offered(got.url.as_str(), url, &got.text);
                // Viewers of other people's streams stay with the pathway that they begin with.
                Multivariant::of(offered, false)
            })
        };
        let object = record::Object::Multivariant;
        let came = self.ask_and(errand, object, (url, None), read).await?;
        Ok(Came::Multivariant(came))
    }

    async fn playlists(
        &mut self,
        errand: &mut Errand<'_>,
        rendition: usize,
    ) -> Result<Came, Outcome> {
        let offered = errand.view.offered(rendition);
        let variables = &offered.variables;
        let came = self
            .media(errand, offered.rendition, &offered.path, variables)
            .await?;
        self.take_tracks(&offered.tracks);
        for index in 0..self.tracks.len() {
            let track = &self.tracks[index];
            if let Some(playlist) = &track.playlist
                && playlist.facts.ended
            {
                continue;
            }
            let OfferedTrack {
                rendition,
                path,
                kind,
            } = track.offered.clone();
            let loaded = self.media(errand, rendition, &path, variables).await;
            let now = errand.world.clock.now();
            let loaded = loaded.and_then(|playlist| self.tracks[index].take(playlist, now));
            // Players play on without subtitles; the log tells the failure.
            if kind == TrackKind::Audio || errand.offline {
                loaded?;
            }
        }
        Ok(Came::Media(came))
    }

    /// Keeps the tracks that the rendition shares with the one before it.
    fn take_tracks(&mut self, offered: &[OfferedTrack]) {
        let mut kept = std::mem::take(&mut self.tracks);
        let tracks = offered.iter().map(|offered| {
            let known = kept.iter().position(|track| track.offered == *offered);
            match known {
                Some(index) => kept.swap_remove(index),
                None => Track {
                    offered: offered.clone(),
                    playlist: None,
                    grew: Timestamp::ZERO,
                    place: TrackPlace::default(),
                    held: Held::default(),
                },
            }
        });
        self.tracks = tracks.collect();
    }

    async fn media(
        &mut self,
        errand: &mut Errand<'_>,
        rendition: u32,
        url: &str,
        variables: &Variables,
    ) -> Result<Arc<Media>, Outcome> {
        let world = errand.world;
        let read = |got: &Got| {
            let parse = || {
                let base = got.url.as_str();
                let facts = reader::media_importing(base, &got.text, variables).ok()?;
                Some(Media::from(facts))
            };
            // Values of variables may differ from viewer to viewer where texts do not.
            if !variables.is_empty() {
                return parse().map(Arc::new);
            }
            let texts = &world.playlists.media;
            texts.says(rendition, got.url.as_str(), &got.text, parse)
        };
        let object = record::Object::MediaPlaylist { rendition };
        self.ask_and(errand, object, (url, None), read).await
    }

    async fn segment(
        &mut self,
        errand: &mut Errand<'_>,
        rendition: usize,
        number: u64,
    ) -> Result<(), Outcome> {
        let (view, world) = (errand.view, errand.world);
        let playlist = view.playlist.as_ref().ok_or(Outcome::Unreadable)?;
        let segment = view.listed(number).ok_or(Outcome::Unreadable)?;
        let first_bytes =
            view.first_bytes(Object::Segment { rendition, number }, world.one_part_of);
        let log_index = view.offered(rendition).rendition;
        for part in self.held.missing(segment) {
            // After a failure of its sound the picture is not loaded again.
            if matches!(part, Part::Media(_)) && self.came == Some((log_index, number)) {
                continue;
            }
            self.part(errand, log_index, segment, &part, first_bytes)
                .await?;
            self.held.on_part(part);
        }
        self.came = Some((log_index, number));
        for index in 0..self.tracks.len() {
            let track = &self.tracks[index];
            let Some(sound) = track.playlist.clone() else {
                continue;
            };
            let log_index = track.offered.rendition;
            for listed in track.place.wanted(&playlist.facts, number, &sound.facts) {
                let listed = &sound.facts.listed[listed];
                let parts = match listed.gap {
                    true => Vec::new(),
                    false => self.tracks[index].held.missing(listed),
                };
                for part in parts {
                    let loaded = self.part(errand, log_index, listed, &part, None).await;
                    if self.tracks[index].offered.kind == TrackKind::Audio || errand.offline {
                        loaded?;
                    }
                    self.tracks[index].held.on_part(part);
                }
                self.tracks[index].place.on_segment(listed.number);
            }
        }
        Ok(())
    }

    /// Gets one part of a segment; of its bytes only the first, if that is wanted.
    async fn part(
        &self,
        errand: &mut Errand<'_>,
        rendition: u32,
        segment: &Listed,
        part: &Part,
        first_bytes: Option<u64>,
    ) -> Result<(), Outcome> {
        let (object, path, span) = match part {
            Part::Key(path) => (record::Object::Key { rendition }, path, None),
            Part::Header(header) => (
                record::Object::Header { rendition },
                &header.path,
                header.range,
            ),
            Part::Media(media) => (
                record::Object::Segment {
                    rendition,
                    number: segment.number,
                },
                &media.path,
                first_of(media.range, first_bytes),
            ),
        };
        let range = match part {
            Part::Key(_) => None,
            Part::Header(from) | Part::Media(from) => from.range,
        };
        let bodies = &errand.stream.bodies;
        let compare = matches!(part, Part::Media(_));
        let agrees = |got: &Got| {
            // A server that ignores the range sends a whole file where a piece of it belongs.
            let is_that_part = range.is_none() || got.is_part;
            let asked = span.filter(|_| got.is_part);
            let agrees =
                is_that_part && (!compare || bodies.agrees(path, asked, (&got.body).into()));
            agrees.then_some(())
        };
        let before = errand.trace.bytes;
        let ended = self.ask_and(errand, object, (path, span), agrees).await;
        if first_bytes.is_some() {
            // The rest is not asked for, and yet it is on the last mile.
            let whole = range.map(|range| range.bytes).or(errand.trace.whole_bytes);
            errand.trace.bytes = whole.map_or(errand.trace.bytes, |whole| before + whole);
        }
        errand.trace.whole_bytes = None;
        match ended {
            // A player cannot know that bytes are wrong; only the log records it.
            Err(Outcome::WrongBytes) => Ok(()),
            ended => ended,
        }
    }

    /// Sends one request, which is a line of the log. `read` makes something of the answer, or finds that it is wrong.
    async fn ask_and<T>(
        &self,
        errand: &mut Errand<'_>,
        object: record::Object,
        (url, span): (&str, Option<Span>),
        read: impl FnOnce(&Got) -> Option<T>,
    ) -> Result<T, Outcome> {
        let world = errand.world;
        let began = world.clock.now();
        let mut entry = Entry {
            log: &world.log,
            clock: world.clock,
            viewer: errand.viewer,
            edge: errand.edge,
            object,
            // What follows the first request of an object is wanted when its turn comes.
            due: match errand.trace.sent {
                None => errand.due,
                Some(_) => began,
            },
            began,
            trace: Trace::default(),
            outcome: Outcome::Cut,
        };
        let is_playlist = matches!(
            object,
            record::Object::Multivariant | record::Object::MediaPlaylist { .. }
        );
        let answered = self.answered(errand, &mut entry.trace, (url, span), is_playlist);
        let ended = answered.await.and_then(|got| {
            let wrong = match is_playlist {
                true => Outcome::Unreadable,
                false => Outcome::WrongBytes,
            };
            read(&got).ok_or(wrong)
        });
        entry.ends(&ended);
        let trace = &entry.trace;
        errand.trace = Trace {
            bytes: errand.trace.bytes + trace.bytes,
            sent: errand.trace.sent.or(trace.sent),
            first_byte: errand.trace.first_byte.or(trace.first_byte),
            ..*trace
        };
        ended
    }

    async fn answered(
        &self,
        errand: &mut Errand<'_>,
        trace: &mut Trace,
        (url, span): (&str, Option<Span>),
        is_playlist: bool,
    ) -> Result<Got, Outcome> {
        let (world, stream) = (errand.world, errand.stream);
        let asked = Asked {
            url: Url::parse(url).map_err(|_| Outcome::Unreadable)?,
            span,
            told: errand.told,
            keep: match is_playlist {
                true => Keep::Text,
                false => Keep::Checksum,
            },
        };
        let until = world.clock.now() + TIMEOUT;
        let asking = self.browser.get(
            &stream.agent,
            &self.cookies,
            asked,
            world.clock,
            trace,
            &stream.elsewhere,
        );
        let asking = std::pin::pin!(asking);
        let ended = tokio::select! {
            biased;
            () = world.network.breaks_for(errand.viewer) => {
                errand.offline = true;
                return Err(Outcome::Reset);
            }
            ended = world.deadlines[errand.worker].timeout_at(until, asking) => ended,
        };
        match ended {
            None => Err(Outcome::Timeout),
            Some(answered) => answered.map_err(|Failed { outcome, .. }| outcome),
        }
    }
}

/// The first bytes of a range, if only those are wanted.
fn first_of(range: Option<Span>, first_bytes: Option<u64>) -> Option<Span> {
    match (range, first_bytes) {
        (range, None) => range,
        (Some(Span { from, bytes }), Some(first)) => Some(Span {
            from,
            bytes: bytes.min(first),
        }),
        (None, Some(bytes)) => Some(Span { from: 0, bytes }),
    }
}

//! The stream that viewers watch: the paths that they ask for, the log's names for them, and the bytes that segments are
//! compared with.
//!
//! For Seawall's own channels every byte is known beforehand. For any other HLS stream only one thing is known: viewers that
//! ask for the same segment must get the same bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Crc;

use super::numbering::{global, local};
use super::verifier::Verifier;
use crate::hls::names::LivePath;
use crate::hls::reader::{self, Variant};
use crate::hls::timeline::Channel;
use crate::report::record::HeldAgainst;
use crate::serve::clock::Clock;

/// A stream to watch.
#[derive(Clone, Debug)]
pub enum Stream {
    /// Channels of Seawall, the most popular first; all have the same ladder.
    Channels(Vec<Channel>),
    /// Any other HLS stream, at paths of its own.
    Foreign {
        /// At each target, the path and query of its playlist.
        paths: Vec<String>,
        /// BANDWIDTH of each rendition that the stream offers, lowest first.
        bandwidths_bps: Vec<u64>,
        /// Duration of its segments.
        segment_duration: Duration,
    },
}

impl Stream {
    /// The names of its renditions, in the order of the log's indices.
    pub fn renditions(&self) -> Vec<String> {
        match self {
            Self::Channels(channels) => {
                let named = |channel: &Channel, rendition: &str| match channels.len() {
                    1 => rendition.to_owned(),
                    _ => format!("{}/{rendition}", channel.name),
                };
                let of = |channel| {
                    let Channel { layout, .. }: &Channel = channel;
                    let ladder = layout.ladder.iter();
                    ladder
                        .map(|rendition| named(channel, &rendition.name))
                        .collect::<Vec<_>>()
                };
                channels.iter().flat_map(of).collect()
            }
            Self::Foreign { bandwidths_bps, .. } => bandwidths_bps
                .iter()
                .map(|bps| match bps {
                    // A media playlist does not state its bandwidth.
                    0 => "the stream".to_owned(),
                    bps => format!("{} kb/s", bps / 1_000),
                })
                .collect(),
        }
    }

    /// The names of its channels, if they are Seawall's.
    pub fn names(&self) -> Option<Vec<String>> {
        let Self::Channels(channels) = self else {
            return None;
        };
        let names = channels.iter().map(|channel| channel.name.clone());
        Some(names.collect())
    }

    /// Duration of a segment.
    pub fn segment_duration(&self) -> Duration {
        match self {
            Self::Channels(channels) => channels
                .first()
                .map_or(Duration::ZERO, |channel| channel.layout.segment_duration()),
            Self::Foreign {
                segment_duration, ..
            } => *segment_duration,
        }
    }

    /// What its segments are compared with.
    pub(super) fn held_against(&self) -> HeldAgainst {
        match self {
            Self::Channels(_) => HeldAgainst::Channel,
            Self::Foreign { .. } => HeldAgainst::FirstReceived,
        }
    }

    /// Number of channels to choose from.
    pub fn channels(&self) -> u32 {
        match self {
            Self::Channels(channels) => channels.len() as u32,
            Self::Foreign { .. } => 1,
        }
    }
}

/// A stream that is being watched.
pub(super) enum Watched {
    Channels {
        channels: Vec<Arc<Channel>>,
        verifier: Verifier,
        /// Indices into the ladder of the renditions that players may choose.
        allowed: Vec<u32>,
    },
    Foreign {
        paths: Vec<String>,
        bandwidths_bps: Vec<u64>,
        /// Whether viewers have no choice: only the lowest rendition is offered.
        one: bool,
        bodies: Fingerprints,
    },
}

/// A rendition as a player sees it.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    /// Its index in the log.
    pub(super) rendition: u32,
    pub(super) bandwidth_bps: u64,
    pub(super) average_bps: u64,
    /// Path of its media playlist.
    pub(super) path: String,
}

/// Number of the newest segments that are kept regenerated: as many as a joining viewer asks for.
const PREPARED: u64 = 4;
/// Segments of further channels are made only when a viewer asks for them.
const CHANNELS_PREPARED_MAX: usize = 4;

impl Watched {
    /// With `one`, viewers keep to one rendition.
    pub(super) fn new(stream: &Stream, allowed: Vec<u32>, one: bool) -> Self {
        match stream {
            Stream::Channels(channels) => {
                let channels: Vec<_> = channels.iter().cloned().map(Arc::new).collect();
                Self::Channels {
                    verifier: Verifier::new(channels.clone()),
                    channels,
                    allowed,
                }
            }
            Stream::Foreign {
                paths,
                bandwidths_bps,
                ..
            } => Self::Foreign {
                paths: paths.clone(),
                bandwidths_bps: bandwidths_bps.clone(),
                one,
                bodies: Fingerprints::default(),
            },
        }
    }

    /// Regenerates the segments that viewers may soon ask for, including the next one to be published, so that no answer waits
    /// for its check.
    pub(super) fn prepare(&self, clock: Clock) {
        let Self::Channels {
            channels,
            verifier,
            allowed,
        } = self
        else {
            return;
        };
        for (index, channel) in (0..).zip(channels).take(CHANNELS_PREPARED_MAX) {
            let Some(newest) = channel.newest(clock.unix()) else {
                continue;
            };
            let oldest = (newest + 1).saturating_sub(PREPARED);
            for number in oldest.max(channel.first_number())..=newest + 1 {
                for &rendition in allowed {
                    verifier.prepare(global(channel, index, rendition), number);
                }
            }
        }
    }

    /// The path at which a viewer of this channel begins, at this edge.
    pub(super) fn start(&self, channel: u32, edge: u32) -> String {
        match self {
            Self::Channels { channels, .. } => {
                let channel = &channels[channel as usize].name;
                LivePath::Multivariant { channel }.to_string()
            }
            Self::Foreign { paths, .. } => paths[edge as usize].clone(),
        }
    }

    /// The renditions that a multivariant playlist at `path` offers of this channel, lowest first; empty if the playlist cannot
    /// be read. Its addresses are resolved against `base`.
    pub(super) fn offered(
        &self,
        channel: u32,
        base: &str,
        path: &str,
        text: &[u8],
    ) -> Vec<Offered> {
        let mut variants = match reader::multivariant(base, text) {
            Ok(variants) => variants,
            // A media playlist alone is a stream with one rendition.
            Err(_) if matches!(self, Self::Foreign { .. }) && reader::media(base, text).is_ok() => {
                vec![Variant {
                    bandwidth_bps: 0,
                    average_bps: None,
                    path: path.to_owned(),
                }]
            }
            Err(_) => return Vec::new(),
        };
        variants.sort_by_key(|variant| variant.bandwidth_bps);
        if let Self::Foreign { one: true, .. } = self {
            variants.truncate(1);
        }
        let offered = |(place, variant): (u32, Variant)| {
            let rendition = match self {
                Self::Channels {
                    channels, allowed, ..
                } => {
                    let known = &channels[channel as usize];
                    let Some(LivePath::MediaPlaylist {
                        channel: name,
                        rendition,
                    }) = LivePath::parse(&variant.path)
                    else {
                        return None;
                    };
                    let ladder = &known.layout.ladder;
                    let index = ladder.iter().position(|known| known.name == rendition)? as u32;
                    if name != known.name || !allowed.contains(&index) {
                        return None;
                    }
                    global(known, channel, index)
                }
                Self::Foreign { bandwidths_bps, .. } => {
                    (place < bandwidths_bps.len() as u32).then_some(place)?
                }
            };
            Some(Offered {
                rendition,
                bandwidth_bps: variant.bandwidth_bps,
                average_bps: variant.average_bps.unwrap_or(variant.bandwidth_bps),
                path: variant.path,
            })
        };
        (0..).zip(variants).filter_map(offered).collect()
    }

    /// Whether a listed segment has the name that belongs to its number: otherwise its bytes could not be checked.
    pub(super) fn is_named_so(&self, rendition: u32, segment: &reader::Listed) -> bool {
        let Self::Channels { channels, .. } = self else {
            return true;
        };
        let (channel, ladder_index) = local(&channels[0], rendition);
        let channel = &channels[channel as usize];
        LivePath::parse(&segment.path)
            == Some(LivePath::Segment {
                channel: &channel.name,
                rendition: &channel.layout.ladder[ladder_index as usize].name,
                number: segment.number,
            })
    }

    /// The path of a segment that no playlist lists yet, where names follow from numbers.
    pub(super) fn path_of(&self, rendition: u32, number: u64) -> Option<String> {
        let Self::Channels { channels, .. } = self else {
            return None;
        };
        let (channel, ladder_index) = local(&channels[0], rendition);
        let channel = &channels[channel as usize];
        let path = LivePath::Segment {
            channel: &channel.name,
            rendition: &channel.layout.ladder[ladder_index as usize].name,
            number,
        };
        Some(path.to_string())
    }
}

/// Length and checksum of each segment of a foreign stream when it was first received, by its path and query. A number says
/// nothing: each rendition, and each session, may count for itself (RFC 8216bis, section 6.3.2).
#[derive(Default)]
pub(super) struct Fingerprints {
    seen: Mutex<HashMap<Box<str>, Fingerprint>>,
}

/// Maximum number of segments that are remembered; further segments are not compared.
const REMEMBERED_MAX: usize = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// Length modulo 2^32.
    bytes: u32,
    checksum: u32,
}

impl From<Crc> for Fingerprint {
    fn from(body: Crc) -> Self {
        Self {
            bytes: body.amount(),
            checksum: body.sum(),
        }
    }
}

impl Fingerprints {
    /// Whether a body equals the first body at the same path. The first body itself always does.
    pub(super) fn agrees(&self, path: &str, body: Fingerprint) -> bool {
        let mut seen = self.seen.lock().expect("no holder of this lock panics");
        if let Some(first) = seen.get(path) {
            return *first == body;
        }
        if seen.len() < REMEMBERED_MAX {
            seen.insert(path.into(), body);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::timeline::Layout;
    use crate::time::UnixTime;

    #[test]
    fn the_same_bytes_agree_however_they_were_cut_and_others_do_not() {
        let body = |pieces: &[&[u8]]| {
            let mut body = Crc::new();
            pieces.iter().for_each(|piece| body.update(piece));
            Fingerprint::from(body)
        };
        let bodies = Fingerprints::default();
        assert!(bodies.agrees("/low/7.ts", body(&[b"segment ", b"seven"])));
        assert!(bodies.agrees("/low/7.ts", body(&[b"segm", b"ent seve", b"n"])));
        assert!(!bodies.agrees("/low/7.ts", body(&[b"segment ", b"eight"])));
        assert!(bodies.agrees("/high/7.ts", body(&[b"another"])));
    }

    #[test]
    fn renditions_of_several_channels_have_names_and_indices_of_their_own() {
        let channel = |name: &str| Channel {
            name: name.to_owned(),
            seed: 1,
            layout: Layout::default(),
            started_at: UnixTime::default(),
        };
        let one = Stream::Channels(vec![channel("a")]);
        let two = Stream::Channels(vec![channel("a"), channel("b")]);
        let names = one.renditions();
        assert_eq!(two.renditions()[0], format!("a/{}", names[0]));
        assert_eq!(two.renditions().len(), 2 * names.len());
        let watched = Watched::new(&two, vec![0], false);
        let offered = watched.offered(
            1,
            "/live/b/main.m3u8",
            "/live/b/main.m3u8",
            b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n180p/media.m3u8\n",
        );
        assert_eq!(offered[0].rendition, names.len() as u32);
        let path = watched.path_of(offered[0].rendition, 7);
        assert_eq!(path.as_deref(), Some("/live/b/180p/7.ts"));
    }
}

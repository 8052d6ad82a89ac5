//! The stream that viewers watch: the paths that they ask for, the log's names for them, and the bytes that segments are
//! compared with. For Seawall's own channels every byte is known beforehand.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::agent::{Agent, UserAgent};
use super::foreign::ForeignStream;
use super::numbering::{global, local};
use super::offered::Offered;
use super::playlists::Multivariant;
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
        /// At each target, the address of its playlist.
        urls: Vec<Url>,
        /// BANDWIDTH of each rendition that the stream offers, lowest first.
        bandwidths_bps: Vec<u64>,
        /// Names of its sound and subtitles, where those have playlists of their own.
        tracks: Vec<String>,
        /// How viewers present themselves.
        user_agent: UserAgent,
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
            Self::Foreign {
                bandwidths_bps,
                tracks,
                ..
            } => {
                let variants = bandwidths_bps.iter().map(|bps| match bps {
                    // A media playlist does not state its bandwidth.
                    0 => "the stream".to_owned(),
                    bps => format!("{} kb/s", bps / 1_000),
                });
                variants.chain(tracks.iter().cloned()).collect()
            }
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
    Foreign(Box<ForeignStream>),
}

/// Number of the newest segments that are kept regenerated: as many as a joining viewer asks for.
const PREPARED: u64 = 4;
/// Segments of further channels are made only when a viewer asks for them.
const CHANNELS_PREPARED_MAX: usize = 4;

impl Watched {
    /// With `one`, viewers keep to one rendition. `pool` is the number of workers, and the connections that viewers share.
    pub(super) fn new(
        stream: &Stream,
        allowed: Vec<u32>,
        one: bool,
        pool: (usize, Option<u32>),
    ) -> Self {
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
                urls,
                bandwidths_bps,
                tracks,
                user_agent,
                ..
            } => Self::Foreign(Box::new(ForeignStream::new(
                urls.clone(),
                (bandwidths_bps.len(), tracks.len()),
                one,
                Agent::new(user_agent, urls),
                pool,
            ))),
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

    /// The path at which a viewer of this channel of Seawall begins.
    pub(super) fn start(&self, channel: u32) -> String {
        let Self::Channels { channels, .. } = self else {
            return String::new();
        };
        let channel = &channels[channel as usize].name;
        LivePath::Multivariant { channel }.to_string()
    }

    /// The path of the steering manifest of this channel of Seawall.
    pub(super) fn steering(&self, channel: u32) -> String {
        let Self::Channels { channels, .. } = self else {
            return String::new();
        };
        let channel = &channels[channel as usize].name;
        LivePath::Steering { channel }.to_string()
    }

    /// What the multivariant playlist at `path` offers of this channel of Seawall; `None` if the playlist cannot be read.
    pub(super) fn offered(&self, channel: u32, path: &str, text: &[u8]) -> Option<Multivariant> {
        let (
            Self::Channels {
                channels, allowed, ..
            },
            Ok(facts),
        ) = (self, reader::multivariant(path, text))
        else {
            return None;
        };
        let mut variants = facts.variants;
        variants.sort_by_key(|variant| variant.bandwidth_bps);
        let known = &channels[channel as usize];
        let offered = |variant: Variant| {
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
            Some(Offered {
                rendition: global(known, channel, index),
                bandwidth_bps: variant.bandwidth_bps,
                average_bps: variant.average_bps.unwrap_or(variant.bandwidth_bps),
                path: variant.path,
                tracks: Vec::new(),
                variables: Arc::default(),
            })
        };
        let offered = variants.into_iter().filter_map(offered);
        Multivariant::of(offered.collect(), facts.steers)
    }

    /// Whether a listed segment has the name that belongs to its number: otherwise its bytes could not be checked.
    pub(super) fn is_named_so(&self, rendition: u32, segment: &reader::Listed) -> bool {
        let Self::Channels { channels, .. } = self else {
            return true;
        };
        let (channel, ladder_index) = local(&channels[0], rendition);
        let channel = &channels[channel as usize];
        LivePath::parse(&segment.resource.path)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::timeline::Layout;
    use crate::time::UnixTime;

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
        let watched = Watched::new(&two, vec![0], false, (1, None));
        let offered = watched.offered(
            1,
            "/live/b/main.m3u8",
            b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n180p/media.m3u8\n",
        );
        let offered = offered.unwrap().offered;
        assert_eq!(offered[0].rendition, names.len() as u32);
        let path = watched.path_of(offered[0].rendition, 7);
        assert_eq!(path.as_deref(), Some("/live/b/180p/7.ts"));
    }
}

//! A stream of other people's servers. Only one thing is known about its bytes: viewers that ask for the same segment must get
//! the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use flate2::Crc;
use url::Url;

use super::agent::{Agent, Browser};
use super::elsewhere::Elsewhere;
use super::offered::{Offered, OfferedTrack};
use crate::hls::reader::{self, Span};
use crate::report::record::Foreign;

/// A stream of other people's servers, while it is watched.
pub(super) struct ForeignStream {
    /// At each target, the address of its playlist.
    pub(super) urls: Vec<Url>,
    /// Number of variants and of tracks that have names in the log.
    variants: usize,
    tracks: usize,
    /// Whether viewers have no choice: only the lowest rendition is offered.
    one: bool,
    pub(super) bodies: Fingerprints,
    pub(super) agent: Agent,
    /// For each worker, the client that its viewers share; empty where each viewer has its own.
    shared: Vec<Browser>,
    pub(super) elsewhere: Elsewhere,
}

impl ForeignStream {
    /// With `pool`, all viewers together have at most this many requests under way, over connections that those of a worker share.
    pub(super) fn new(
        urls: Vec<Url>,
        (variants, tracks): (usize, usize),
        one: bool,
        agent: Agent,
        (workers, pool): (usize, Option<u32>),
    ) -> Self {
        let shared = pool.map_or_else(Vec::new, |size| {
            let share = (size as usize).div_ceil(workers);
            (0..workers).map(|_| agent.shared(share)).collect()
        });
        Self {
            urls,
            variants,
            tracks,
            one,
            bodies: Fingerprints::default(),
            agent,
            shared,
            elsewhere: Elsewhere::default(),
        }
    }

    /// The client of a viewer of this worker.
    pub(super) fn browser(&self, worker: usize) -> Browser {
        let shared = self.shared.get(worker).cloned();
        shared.unwrap_or_else(|| self.agent.browser())
    }

    /// The renditions that the playlist at `url` offers, lowest first; empty if it cannot be read. Its addresses are resolved
    /// against `base`, where it came from.
    pub(super) fn offered(&self, base: &str, url: &str, text: &[u8]) -> Vec<Offered> {
        let Ok(facts) = reader::multivariant(base, text) else {
            // A media playlist alone is a stream with one rendition.
            let alone = reader::media(base, text).is_ok().then(|| Offered {
                rendition: 0,
                bandwidth_bps: 0,
                average_bps: 0,
                path: url.to_owned(),
                tracks: Vec::new(),
                variables: Arc::default(),
            });
            return alone.into_iter().collect();
        };
        let variables = Arc::new(facts.variables.clone());
        let mut variants: Vec<_> = facts.variants.iter().collect();
        variants.sort_by_key(|variant| variant.bandwidth_bps);
        variants.truncate(if self.one { 1 } else { self.variants });
        let offered = (0..).zip(variants).map(|(rendition, variant)| {
            let tracks = facts.tracks_of(variant);
            let known = tracks.filter(|track| *track < self.tracks);
            Offered {
                rendition,
                bandwidth_bps: variant.bandwidth_bps,
                average_bps: variant.average_bps.unwrap_or(variant.bandwidth_bps),
                path: variant.path.clone(),
                tracks: known
                    .map(|track| OfferedTrack {
                        rendition: (self.variants + track) as u32,
                        path: facts.tracks[track].path.clone().unwrap_or_default(),
                        kind: facts.tracks[track].kind,
                    })
                    .collect(),
                variables: variables.clone(),
            }
        });
        offered.collect()
    }

    /// What was counted.
    pub(super) fn figures(&self) -> Foreign {
        Foreign {
            redirects: self.elsewhere.redirects(),
            hosts: self.elsewhere.hosts(),
            compared: self.bodies.compared.load(Ordering::Relaxed),
        }
    }
}

/// Length and checksum of each segment when it was first received, by its address and range. A number says nothing: each
/// rendition, and each session, may count for itself (RFC 8216bis, section 6.3.2).
#[derive(Default)]
pub(super) struct Fingerprints {
    seen: Mutex<HashMap<Box<str>, Fingerprint>>,
    /// Segments that could be held against an earlier one.
    compared: AtomicU64,
}

/// Maximum number of segments that are remembered; further segments are not compared.
const REMEMBERED_MAX: usize = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// Length modulo 2^32.
    bytes: u32,
    checksum: u32,
}

impl From<&Crc> for Fingerprint {
    fn from(body: &Crc) -> Self {
        Self {
            bytes: body.amount(),
            checksum: body.sum(),
        }
    }
}

impl Fingerprints {
    /// Whether a body equals the first body at the same address. The first body itself always does.
    pub(super) fn agrees(&self, url: &str, span: Option<Span>, body: Fingerprint) -> bool {
        let name = match span {
            Some(Span { from, bytes }) => format!("{bytes}@{from} {url}"),
            None => url.to_owned(),
        };
        let mut seen = self.seen.lock().expect("no holder of this lock panics");
        if let Some(first) = seen.get(&*name) {
            self.compared.fetch_add(1, Ordering::Relaxed);
            return *first == body;
        }
        if seen.len() < REMEMBERED_MAX {
            seen.insert(name.into(), body);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_agree_however_they_were_cut_and_others_do_not() {
        let body = |pieces: &[&[u8]]| {
            let mut body = Crc::new();
            pieces.iter().for_each(|piece| body.update(piece));
            Fingerprint::from(&body)
        };
        let bodies = Fingerprints::default();
        let agrees = |url, span, pieces| bodies.agrees(url, span, body(pieces));
        assert!(agrees("/low/7.ts", None, &[b"segment ", b"seven"]));
        assert!(agrees("/low/7.ts", None, &[b"segm", b"ent seve", b"n"]));
        assert!(!agrees("/low/7.ts", None, &[b"segment ", b"eight"]));
        assert!(agrees("/high/7.ts", None, &[b"another"]));
        let span = |from| Some(Span { from, bytes: 7 });
        assert!(agrees("/all.mp4", span(0), &[b"segment"]));
        assert!(agrees("/all.mp4", span(7), &[b"another"]));
        assert_eq!(bodies.compared.load(Ordering::Relaxed), 2);
    }
}

//! The bytes that each segment must have: regenerated once, then shared by all viewers that receive the segment. Where viewers
//! ask only for the first part of each segment, only that part is made.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::numbering;
use crate::hls::timeline::Channel;
use crate::media;

/// Segments kept: two windows of ten segments in three renditions, and a few for each channel. Beyond that the oldest segment
/// is dropped, and made again when a viewer asks for it.
const KEPT_MAX: usize = 60;
const KEPT_PER_CHANNEL_MAX: usize = 4;

/// Regenerates segments off the threads that serve sockets.
pub(super) struct Verifier {
    channels: Vec<Arc<Channel>>,
    kept: Mutex<Kept>,
    kept_max: usize,
}

/// The segments that are kept.
#[derive(Default)]
struct Kept {
    /// Segments by number, then rendition, then number of first bytes: the oldest come first.
    segments: BTreeMap<(u64, u32, u64), Arc<OnceCell<Bytes>>>,
    /// Number of first bytes that the last request for each rendition wanted.
    asked: BTreeMap<u32, u64>,
}

/// Stands for all bytes of a segment.
pub(super) const WHOLE: u64 = u64::MAX;

impl Verifier {
    /// A verifier for the segments of these channels, whose ladders have the same renditions.
    pub(super) fn new(channels: Vec<Arc<Channel>>) -> Self {
        Self {
            kept_max: KEPT_MAX + KEPT_PER_CHANNEL_MAX * channels.len(),
            channels,
            kept: Mutex::default(),
        }
    }

    /// The first `bytes` of segment `number` of the rendition with this index in the log. All bytes, if the segment has fewer.
    pub(super) async fn expected(&self, rendition: u32, number: u64, bytes: u64) -> Bytes {
        self.cell(rendition, number, bytes)
            .get_or_init(|| self.make(rendition, number, bytes))
            .await
            .clone()
    }

    /// The same bytes, if they are made already.
    pub(super) fn made(&self, rendition: u32, number: u64, bytes: u64) -> Option<Bytes> {
        let kept = self.lock();
        let cell = kept.segments.get(&(number, rendition, bytes))?;
        cell.get().cloned()
    }

    /// Begins to make a segment that viewers will soon ask for, with as many bytes as the last request for its rendition
    /// wanted. The task ends when the bytes are made.
    pub(super) fn prepare(&self, rendition: u32, number: u64) {
        let asked = self.lock().asked.get(&rendition).copied();
        let bytes = asked.unwrap_or(WHOLE);
        let cell = self.cell(rendition, number, bytes);
        if cell.initialized() || Arc::strong_count(&cell) > 2 {
            return;
        }
        let making = self.make(rendition, number, bytes);
        tokio::spawn(async move {
            cell.get_or_init(|| making).await;
        });
    }

    fn make(&self, rendition: u32, number: u64, bytes: u64) -> impl Future<Output = Bytes> + use<> {
        let (channel, rendition) = numbering::local(&self.channels[0], rendition);
        make(
            Arc::clone(&self.channels[channel as usize]),
            rendition,
            number,
            usize::try_from(bytes).unwrap_or(usize::MAX),
        )
    }

    fn cell(&self, rendition: u32, number: u64, bytes: u64) -> Arc<OnceCell<Bytes>> {
        let key = (number, rendition, bytes);
        let mut kept = self.lock();
        kept.asked.insert(rendition, bytes);
        let segments = &mut kept.segments;
        if segments.len() >= self.kept_max && !segments.contains_key(&key) {
            segments.pop_first();
        }
        Arc::clone(segments.entry(key).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no holder of this lock panics")
    }
}

async fn make(channel: Arc<Channel>, rendition: u32, number: u64, bytes: usize) -> Bytes {
    let made = tokio::task::spawn_blocking(move || {
        let rendition = &channel.layout.ladder[rendition as usize];
        media::segment_start(&channel, rendition, number, bytes)
    });
    made.await.expect("segments of every rendition can be made")
}

//! The bytes that each segment must have: regenerated once, then shared by everybody who receives it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::stream;
use crate::hls::timeline::Channel;
use crate::media;

/// Segments kept: two windows of ten segments in three renditions, and for each further channel a few. Beyond it the oldest
/// goes, and is made again if somebody asks for it.
const KEPT_MAX: usize = 60;
const KEPT_PER_CHANNEL_MAX: usize = 4;

/// Regenerates segments off the threads that serve sockets.
pub(super) struct Verifier {
    channels: Vec<Arc<Channel>>,
    kept: Mutex<Kept>,
    kept_max: usize,
}

/// Segments by number, then rendition: the oldest come first.
type Kept = BTreeMap<(u64, u32), Arc<OnceCell<Bytes>>>;

impl Verifier {
    /// For the segments of these channels, whose ladders are alike.
    pub(super) fn new(channels: Vec<Arc<Channel>>) -> Self {
        Self {
            kept_max: KEPT_MAX + KEPT_PER_CHANNEL_MAX * channels.len(),
            channels,
            kept: Mutex::new(Kept::new()),
        }
    }

    /// The bytes of segment `number` of the rendition with this index in the log.
    pub(super) async fn expected(&self, rendition: u32, number: u64) -> Bytes {
        self.cell(rendition, number)
            .get_or_init(|| self.make(rendition, number))
            .await
            .clone()
    }

    /// The same, if they are made already.
    pub(super) fn made(&self, rendition: u32, number: u64) -> Option<Bytes> {
        let kept = self.kept.lock().expect("no holder of this lock panics");
        kept.get(&(number, rendition))?.get().cloned()
    }

    /// Begins to make a segment that somebody is about to ask for. The task ends when the segment is made.
    pub(super) fn prepare(&self, rendition: u32, number: u64) {
        let cell = self.cell(rendition, number);
        if cell.initialized() || Arc::strong_count(&cell) > 2 {
            return;
        }
        let making = self.make(rendition, number);
        tokio::spawn(async move {
            cell.get_or_init(|| making).await;
        });
    }

    fn make(&self, rendition: u32, number: u64) -> impl Future<Output = Bytes> + use<> {
        let (channel, rendition) = stream::local(&self.channels[0], rendition);
        make(
            Arc::clone(&self.channels[channel as usize]),
            rendition,
            number,
        )
    }

    fn cell(&self, rendition: u32, number: u64) -> Arc<OnceCell<Bytes>> {
        let mut kept = self.kept.lock().expect("no holder of this lock panics");
        if kept.len() >= self.kept_max && !kept.contains_key(&(number, rendition)) {
            kept.pop_first();
        }
        Arc::clone(kept.entry((number, rendition)).or_default())
    }
}

async fn make(channel: Arc<Channel>, rendition: u32, number: u64) -> Bytes {
    let made = tokio::task::spawn_blocking(move || {
        let rendition = &channel.layout.ladder[rendition as usize];
        media::segment(&channel, rendition, number)
    });
    made.await.expect("segments of every rendition can be made")
}

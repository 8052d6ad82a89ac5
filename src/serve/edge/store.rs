//! The store of landed objects: moka, weighed in bytes; the least recently used object is evicted first.
//!
//! moka's clock can't be injected, so it never decides freshness: every entry carries its own validity, and policy
//! judges that on reading. moka's default policy (TinyLFU) refuses new live segments when the store is full, hence LRU.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AGE, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::policy::collapse::Generation;
use crate::policy::edge::Stored;
use crate::policy::freshness::{Negative, Validity};
use crate::policy::key::{Key, KeyRef};
use crate::policy::limits::Eviction;
use crate::time::Timestamp;

pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// A whole answer of the origin: status 200, and a body of the announced length.
#[derive(Debug)]
pub struct Object {
    /// The headers that viewers get, ready to be sent.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Until when the object may be served, and for what.
    pub validity: Validity,
    /// Number of the newest segment in the object, if it is a media playlist.
    pub lists_up_to: Option<u64>,
    gzip: OnceLock<Bytes>,
    /// Whether the object was fetched ahead and no viewer has asked for it yet.
    unasked: AtomicBool,
}

impl Object {
    /// An object that has just landed; `ahead` if it was fetched before a viewer asked.
    pub fn new(mut headers: HeaderMap, body: Bytes, validity: Validity, ahead: bool) -> Self {
        headers.insert(CONTENT_LENGTH, body.len().into());
        // Places for the headers that each answer adds: its copy of the map need not grow for them.
        for name in [AGE, CACHE_STATUS] {
            headers.insert(name, HeaderValue::from_static("0"));
        }
        Self {
            headers,
            body,
            validity,
            lists_up_to: None,
            gzip: OnceLock::new(),
            unasked: AtomicBool::new(ahead),
        }
    }

    /// A media playlist whose newest segment has this number.
    pub fn listing_up_to(self, lists_up_to: Option<u64>) -> Self {
        Self {
            lists_up_to,
            ..self
        }
    }

    /// A viewer asks for the object. Returns whether this is the first time for an object that was fetched ahead.
    pub fn asked_for_first(&self) -> bool {
        // Read before it is written: a hit on any other object must not write to memory that other threads read.
        self.unasked.load(Ordering::Relaxed) && self.unasked.swap(false, Ordering::Relaxed)
    }

    /// The compressed body; it is compressed once for all viewers who want it.
    pub fn gzip(&self) -> Bytes {
        let compress = || {
            let mut encoder =
                GzEncoder::new(Vec::with_capacity(self.body.len() / 2), Compression::fast());
            encoder
                .write_all(&self.body)
                .expect("writing into memory cannot fail");
            encoder
                .finish()
                .expect("writing into memory cannot fail")
                .into()
        };
        self.gzip.get_or_init(compress).clone()
    }
}

/// A failure that is remembered for a moment.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// Until when the failure is remembered.
    pub negative: Negative,
    /// The status that viewers get.
    pub status: StatusCode,
}

/// Everything that is known of one key.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The newest object that landed whole.
    pub object: Option<Arc<Object>>,
    /// The last failure, if the last fetch failed.
    pub failure: Option<Failure>,
    /// Until when the object is known not to be shared.
    pub pass_until: Option<Timestamp>,
    /// How the last fetch ended.
    pub landing: Option<LastLanding>,
}

/// How a fetch ended, for an operator who inspects an object.
#[derive(Clone, Copy, Debug)]
pub struct LastLanding {
    /// The word of its outcome.
    pub outcome: &'static str,
    /// The flight's number; a baseline's fetch has none.
    pub generation: Option<Generation>,
    /// When it landed.
    pub at: Timestamp,
}

impl Entry {
    /// What policy needs to know of the entry.
    pub fn facts(&self) -> Stored {
        Stored {
            validity: self.object.as_ref().map(|object| object.validity),
            negative: self.failure.map(|failure| failure.negative),
            pass_until: self.pass_until,
        }
    }

    fn weight(&self, key: &Key) -> u32 {
        // Memory that a key and an entry cost beside their text and body: maps, counters, the header table.
        const OVERHEAD: usize = 1_024;
        let text = match key {
            Key::Live {
                channel, rendition, ..
            } => channel.len() + rendition.len(),
            Key::Foreign {
                authority,
                path,
                query,
            } => authority.len() + path.len() + query.as_ref().map_or(0, |query| query.len()),
        };
        let body = self.object.as_ref().map_or(0, |object| object.body.len());
        u32::try_from(OVERHEAD + text + body).unwrap_or(u32::MAX)
    }
}

/// The objects that one edge holds.
#[derive(Clone, Debug)]
pub struct Store {
    cache: Cache<Key, Arc<Entry>>,
    capacity_bytes: u64,
    /// Number of objects that were removed, in the order of [`Cause::ALL`].
    evicted: Arc<[AtomicU64; Cause::ALL.len()]>,
}

/// Why an object was removed from the store. A newer version that replaces it does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There was no room for all objects.
    Size,
    /// It was purged, or newer facts made it void.
    Purged,
}

impl Cause {
    /// Every word.
    pub const ALL: [Self; 2] = [Self::Size, Self::Purged];

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Purged => "purged",
        }
    }
}

impl Store {
    /// An empty store of at most `capacity_bytes`.
    pub fn new(capacity_bytes: u64, eviction: Eviction) -> Self {
        let policy = match eviction {
            Eviction::Lru => EvictionPolicy::lru(),
            Eviction::TinyLfu => EvictionPolicy::tiny_lfu(),
        };
        let evicted = Arc::<[AtomicU64; Cause::ALL.len()]>::default();
        let counted = evicted.clone();
        let cache = Cache::builder()
            .eviction_listener(move |_, _, cause| {
                let cause = match cause {
                    RemovalCause::Size => Cause::Size,
                    RemovalCause::Explicit => Cause::Purged,
                    RemovalCause::Expired | RemovalCause::Replaced => return,
                };
                counted[cause as usize].fetch_add(1, Ordering::Relaxed);
            })
            .max_capacity(capacity_bytes)
            .weigher(|key: &Key, entry: &Arc<Entry>| entry.weight(key))
            .eviction_policy(policy)
            .build();
        Self {
            cache,
            capacity_bytes,
            evicted,
        }
    }

    /// What is known of `key`.
    pub fn get(&self, key: KeyRef<'_>) -> Option<Arc<Entry>> {
        self.cache.get(&key)
    }

    /// Replaces what is known of `key`. After a large entry the caller calls [`Store::evict`], outside of any lock.
    pub fn put(&self, key: Key, entry: Entry) {
        self.cache.insert(key, Arc::new(entry));
    }

    /// Evicts what exceeds the capacity. moka evicts only in maintenance, which runs only now and then. Without this
    /// call the store may hold far more than its capacity.
    pub fn evict(&self) {
        self.cache.run_pending_tasks();
    }

    /// Makes an object stale from `now` on; returns whether there was a fresh one.
    pub fn make_stale(&self, key: &Key, now: Timestamp) -> bool {
        let Some(entry) = self.get(key.as_ref()) else {
            return false;
        };
        let Some(object) = entry
            .object
            .as_ref()
            .filter(|object| now < object.validity.fresh_until)
        else {
            return false;
        };
        let validity = Validity {
            fresh_until: now,
            ..object.validity
        };
        let stale = Object::new(object.headers.clone(), object.body.clone(), validity, false)
            .listing_up_to(object.lists_up_to);
        let entry = Entry {
            object: Some(Arc::new(stale)),
            ..(*entry).clone()
        };
        self.put(key.clone(), entry);
        true
    }

    /// Number of objects that were removed so far for this reason.
    pub fn evicted(&self, cause: Cause) -> u64 {
        self.evicted[cause as usize].load(Ordering::Relaxed)
    }

    /// The keys of all entries.
    pub fn keys(&self) -> Vec<Key> {
        self.cache.iter().map(|(key, _)| (*key).clone()).collect()
    }

    /// The keys of all objects that were fetched ahead and not asked for since.
    pub fn unasked(&self) -> Vec<Arc<Key>> {
        let unasked = |entry: &Entry| {
            let object = entry.object.as_ref();
            object.is_some_and(|object| object.unasked.load(Ordering::Relaxed))
        };
        self.cache
            .iter()
            .filter(|(_, entry)| unasked(entry))
            .map(|(key, _)| key)
            .collect()
    }

    /// Removes the entry of `key`.
    pub fn forget(&self, key: &Key) {
        self.cache.invalidate(key);
    }

    /// Number of entries, after eviction has caught up.
    pub fn entries(&self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.entry_count()
    }

    /// Number of bytes held, after eviction has caught up.
    pub fn bytes(&self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.weighted_size()
    }

    /// Number of bytes that the store may hold.
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::key::Kind;

    fn segment(number: u64) -> Key {
        Key::Live {
            channel: "demo".into(),
            rendition: "720p".into(),
            kind: Kind::Segment,
            number,
        }
    }

    fn object(bytes: usize) -> Entry {
        let validity = Validity::of_live(
            Timestamp::ZERO,
            Duration::ZERO,
            None,
            Kind::Segment,
            None,
            50,
        );
        let object = Object::new(HeaderMap::new(), vec![7; bytes].into(), validity, false);
        Entry {
            object: Some(Arc::new(object)),
            ..Entry::default()
        }
    }

    #[test]
    fn a_full_store_lets_the_oldest_go_and_takes_the_newest() {
        let store = Store::new(10 << 20, Eviction::Lru);
        for number in 0..20 {
            store.put(segment(number), object(1 << 20));
            store.evict();
        }
        assert!(store.bytes() <= store.capacity_bytes());
        assert!(store.get(segment(19).as_ref()).is_some());
        assert!(store.get(segment(0).as_ref()).is_none());
    }

    #[test]
    fn gzip_reads_back() {
        let entry = object(10_000);
        let packed = entry.object.as_ref().unwrap().gzip();
        assert!(packed.len() < 200);
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut plain)
            .unwrap();
        assert_eq!(plain, vec![7; 10_000]);
    }
}

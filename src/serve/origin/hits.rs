//! Counts every request that reaches the origin: by client and kind for Prometheus, by object for a run's report.
//!
//! A client is the cache that the last `Via` names, so each edge has its own hits. A request without `Via` is `direct`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use http::HeaderMap;
use http::header::VIA;
use prometheus::IntCounter;
use serde::{Deserialize, Serialize};

use crate::hls::names::{LivePath, is_name};
use crate::policy::key::Kind;
use crate::serve::metrics::{ORIGIN_HITS, ORIGIN_SHED, Registry};

/// Clients that have counters of their own. The hits of further clients are counted under [`OTHERS`].
pub const CLIENTS_MAX: usize = 64;
/// Objects whose hits are counted separately. Beyond this number, the object that was first requested longest ago is
/// forgotten.
pub const OBJECTS_MAX: usize = 8_192;

/// The client of a request without `Via`: a player, or a browser.
pub const DIRECT: &str = "direct";
/// The name for all clients beyond [`CLIENTS_MAX`].
pub const OTHERS: &str = "other";

/// The counters of one origin; copies share them.
#[derive(Clone, Debug)]
pub struct Hits {
    registry: Registry,
    clients: Arc<RwLock<HashMap<Arc<str>, Client>>>,
    objects: Arc<Mutex<Objects>>,
    /// Requests beyond the origin's capacity, in the order of [`Kind::ALL`].
    shed: [IntCounter; Kind::ALL.len()],
    /// The same by client: no more than there are clients with counters.
    shed_by_client: Arc<Mutex<BTreeMap<Arc<str>, u64>>>,
}

/// Hits of one client, in the order of [`Kind::ALL`].
type Client = Arc<(Arc<str>, [IntCounter; Kind::ALL.len()])>;

/// An object as one client requested it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Object {
    /// The client.
    pub client: Arc<str>,
    /// The kind of object.
    pub kind: Kind,
    /// The channel.
    pub channel: String,
    /// The rendition; empty for an object of the whole channel.
    pub rendition: String,
    /// The segment. For a media playlist, the newest segment in it, which tells its versions apart.
    pub number: Option<u64>,
}

/// The number of requests for an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectHits {
    /// The object and its client.
    #[serde(flatten)]
    pub object: Object,
    /// Number of requests.
    pub hits: u64,
}

#[derive(Debug, Default)]
struct Objects {
    hits: HashMap<Object, u64>,
    first_asked: VecDeque<Object>,
}

/// All counts at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Number of all requests.
    pub total: u64,
    /// Requests per client and kind.
    pub clients: BTreeMap<String, BTreeMap<Kind, u64>>,
    /// Requests among them that were beyond the origin's capacity and got 503, per client.
    #[serde(default)]
    pub shed: BTreeMap<String, u64>,
    /// For each kind, the object that one client requested most often, among those not yet forgotten.
    pub most: Vec<ObjectHits>,
    /// Every object not yet forgotten, in order.
    pub objects: Vec<ObjectHits>,
}

impl Hits {
    /// Counters at 0, without any client except [`DIRECT`].
    pub fn new(registry: &Registry) -> Self {
        let shed = registry.counters(ORIGIN_SHED);
        let hits = Self {
            registry: registry.clone(),
            clients: Arc::default(),
            objects: Arc::default(),
            shed: Kind::ALL.map(|kind| shed.with_label_values(&[kind.word()])),
            shed_by_client: Arc::default(),
        };
        hits.client(DIRECT);
        hits
    }

    /// Counts a request. `version` is the newest segment that the channel's playlists list now.
    pub(super) fn count(
        &self,
        request: &HeaderMap,
        path: Option<LivePath<'_>>,
        version: Option<u64>,
    ) {
        let client = self.client(client_of(request).unwrap_or(DIRECT));
        let kind = kind_of(path);
        client.1[kind as usize].inc();
        let (channel, rendition, number) = match path {
            None => return,
            Some(
                LivePath::Multivariant { channel }
                | LivePath::Description { channel }
                | LivePath::Steering { channel },
            ) => (channel, "", None),
            Some(LivePath::MediaPlaylist { channel, rendition }) => (channel, rendition, version),
            Some(LivePath::Segment {
                channel,
                rendition,
                number,
            }) => (channel, rendition, Some(number)),
        };
        let object = Object {
            client: client.0.clone(),
            kind,
            channel: channel.to_owned(),
            rendition: rendition.to_owned(),
            number,
        };
        self.objects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(object);
    }

    /// Counts a request that was beyond the origin's capacity.
    pub(super) fn count_shed(&self, request: &HeaderMap, kind: Kind) {
        self.shed[kind as usize].inc();
        let client = self.client(client_of(request).unwrap_or(DIRECT));
        let by_client = self.shed_by_client.lock();
        let mut by_client = by_client.unwrap_or_else(PoisonError::into_inner);
        *by_client.entry(client.0.clone()).or_default() += 1;
    }

    /// Number of requests so far that were beyond the origin's capacity.
    pub fn total_shed(&self) -> u64 {
        self.shed.iter().map(IntCounter::get).sum()
    }

    /// Number of requests so far.
    pub fn total(&self) -> u64 {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        let counters = clients.values().flat_map(|client| &client.1);
        counters.map(IntCounter::get).sum()
    }

    /// All counts at this instant.
    pub fn snapshot(&self) -> Snapshot {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        let clients: BTreeMap<_, _> = clients
            .values()
            .map(|client| {
                let counts = Kind::ALL.map(|kind| (kind, client.1[kind as usize].get()));
                (client.0.to_string(), BTreeMap::from(counts))
            })
            .collect();
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let objects = objects.hits.iter().map(|(object, &hits)| ObjectHits {
            object: object.clone(),
            hits,
        });
        let shed = self.shed_by_client.lock();
        let shed = shed.unwrap_or_else(PoisonError::into_inner);
        let shed = shed
            .iter()
            .map(|(client, &count)| (client.to_string(), count));
        Snapshot {
            shed: shed.collect(),
            ..Snapshot::new(clients, objects.collect())
        }
    }

    fn client(&self, name: &str) -> Client {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(name) {
            return client.clone();
        }
        drop(clients);
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        let name = if clients.len() < CLIENTS_MAX {
            name
        } else {
            OTHERS
        };
        if let Some(client) = clients.get(name) {
            return client.clone();
        }
        let family = self
            .registry
            .with(&[("client", name)])
            .counters(ORIGIN_HITS);
        let counters = Kind::ALL.map(|kind| family.with_label_values(&[kind.word()]));
        let client: Client = Arc::new((name.into(), counters));
        clients.insert(client.0.clone(), client.clone());
        client
    }
}

impl Objects {
    fn count(&mut self, object: Object) {
        if let Some(hits) = self.hits.get_mut(&object) {
            *hits += 1;
            return;
        }
        if self.first_asked.len() >= OBJECTS_MAX
            && let Some(oldest) = self.first_asked.pop_front()
        {
            self.hits.remove(&oldest);
        }
        self.first_asked.push_back(object.clone());
        self.hits.insert(object, 1);
    }
}

impl Snapshot {
    fn new(clients: BTreeMap<String, BTreeMap<Kind, u64>>, mut objects: Vec<ObjectHits>) -> Self {
        objects.sort_unstable_by(|a, b| a.object.cmp(&b.object));
        let mut most: BTreeMap<Kind, &ObjectHits> = BTreeMap::new();
        for object in &objects {
            let first = most.entry(object.object.kind).or_insert(object);
            if object.hits > first.hits {
                *first = object;
            }
        }
        Self {
            total: clients.values().flat_map(BTreeMap::values).sum(),
            most: most.into_values().cloned().collect(),
            clients,
            shed: BTreeMap::new(),
            objects,
        }
    }

    /// The counts since `earlier`, a snapshot of the same origin.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut clients = self.clients.clone();
        for (name, counts) in &mut clients {
            for (kind, count) in counts {
                let before = earlier
                    .clients
                    .get(name)
                    .and_then(|counts| counts.get(kind));
                *count = count.saturating_sub(before.copied().unwrap_or(0));
            }
        }
        let before: HashMap<&Object, u64> = earlier
            .objects
            .iter()
            .map(|object| (&object.object, object.hits))
            .collect();
        let objects = self.objects.iter().map(|object| ObjectHits {
            object: object.object.clone(),
            hits: object
                .hits
                .saturating_sub(before.get(&object.object).copied().unwrap_or(0)),
        });
        let mut shed = self.shed.clone();
        for (client, count) in &mut shed {
            *count = count.saturating_sub(earlier.shed.get(client).copied().unwrap_or(0));
        }
        Self {
            shed,
            ..Self::new(clients, objects.filter(|object| object.hits > 0).collect())
        }
    }
}

/// The kind of object that a path names.
pub(super) fn kind_of(path: Option<LivePath<'_>>) -> Kind {
    match path {
        Some(LivePath::Multivariant { .. }) => Kind::Multivariant,
        Some(LivePath::MediaPlaylist { .. }) => Kind::MediaPlaylist,
        Some(LivePath::Segment { .. }) => Kind::Segment,
        Some(LivePath::Description { .. } | LivePath::Steering { .. }) => Kind::Other,
        None => Kind::Other,
    }
}

/// The last cache that forwarded a request: `received-by` of the last member of `Via` (RFC 9110, section 7.6.3). `None`
/// if it is not one of our names.
fn client_of(request: &HeaderMap) -> Option<&str> {
    let line = request.get_all(VIA).iter().next_back()?.to_str().ok()?;
    let mut words = line.rsplit(',').next()?.split_ascii_whitespace();
    let _version = words.next()?;
    words.next().filter(|name| is_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(VIA, value.parse().unwrap())])
    }

    fn segment(number: u64) -> Option<LivePath<'static>> {
        Some(LivePath::Segment {
            channel: "demo",
            rendition: "720p",
            number,
        })
    }

    #[test]
    fn the_client_is_the_last_that_forwarded() {
        let cases = [
            ("1.1 edge-1", Some("edge-1")),
            ("1.0 proxy, 1.1 edge-2 (seawall)", Some("edge-2")),
            ("1.1 edge:8080", None),
            ("1.1 Edge", None),
            ("1.1", None),
            ("", None),
        ];
        for (value, client) in cases {
            assert_eq!(client_of(&via(value)), client, "{value}");
        }
        assert_eq!(client_of(&HeaderMap::new()), None);
        let mut two = via("1.1 a");
        two.append(VIA, "1.1 b".parse().unwrap());
        assert_eq!(client_of(&two), Some("b"));
    }

    #[test]
    fn every_hit_is_counted_once_per_client_kind_and_object() {
        let registry = Registry::new(&[]);
        let hits = Hits::new(&registry);
        let before = hits.snapshot();
        for number in [7, 8, 8] {
            hits.count(&via("1.1 edge-1"), segment(number), Some(8));
        }
        hits.count(&HeaderMap::new(), segment(8), Some(8));
        hits.count(&HeaderMap::new(), None, None);
        let snapshot = hits.snapshot();
        assert_eq!(snapshot.total, 5);
        assert_eq!(snapshot.clients["edge-1"][&Kind::Segment], 3);
        assert_eq!(snapshot.clients["direct"][&Kind::Segment], 1);
        assert_eq!(snapshot.clients["direct"][&Kind::Other], 1);
        assert_eq!(snapshot.most.len(), 1);
        assert_eq!(
            (snapshot.most[0].hits, snapshot.most[0].object.number),
            (2, Some(8))
        );
        assert_eq!(&*snapshot.most[0].object.client, "edge-1");
        let text = String::from_utf8(registry.render()).unwrap();
        assert!(
            text.contains(r#"seawall_origin_hits_total{client="edge-1",kind="segment"} 3"#),
            "{text}"
        );

        hits.count(&via("1.1 edge-1"), segment(8), Some(8));
        let later = hits.snapshot().since(&snapshot);
        assert_eq!(
            (later.total, later.objects.len(), later.most[0].hits),
            (1, 1, 1)
        );
        assert_eq!(snapshot.since(&before).total, 5);

        let json = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&json).unwrap(), snapshot);
    }

    #[test]
    fn the_versions_of_a_playlist_are_objects_of_their_own() {
        let hits = Hits::new(&Registry::new(&[]));
        let path = Some(LivePath::MediaPlaylist {
            channel: "demo",
            rendition: "720p",
        });
        for version in [7, 7, 8] {
            hits.count(&via("1.1 edge-1"), path, Some(version));
        }
        let snapshot = hits.snapshot();
        let counts: Vec<_> = snapshot
            .objects
            .iter()
            .map(|o| (o.object.number, o.hits))
            .collect();
        assert_eq!(counts, [(Some(7), 2), (Some(8), 1)]);
    }

    #[test]
    fn clients_and_objects_are_bounded_and_no_hit_is_lost() {
        let hits = Hits::new(&Registry::new(&[]));
        for number in 0..OBJECTS_MAX as u64 + 10 {
            hits.count(
                &via(&format!("1.1 edge-{}", number % 100)),
                segment(number),
                None,
            );
        }
        let snapshot = hits.snapshot();
        assert_eq!(snapshot.total, OBJECTS_MAX as u64 + 10);
        assert_eq!(snapshot.objects.len(), OBJECTS_MAX);
        assert_eq!(snapshot.clients.len(), CLIENTS_MAX + 1);
        assert!(snapshot.clients[OTHERS][&Kind::Segment] > 0);
    }
}

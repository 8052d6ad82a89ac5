//! Fifty viewers, one edge and an origin with faults. The pure core plays them in virtual time, and the whole edge plays them
//! over sockets. Both must count the same.
//!
//! A herd arrives at a cold edge, and later viewers find stored objects. One segment is listed before the origin has it, one
//! fails twice, and for a moment the origin refuses playlists. Each compared event lies at least 150 ms of schedule away from
//! the point where it would count differently.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seawall::hls::timeline::Channel;
use seawall::hls::{ladder, playlist, reader, timeline};
use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;
use seawall::report::cache_status;
use seawall::report::record::ResultWord;
use seawall::serve::clock::Clock;
use seawall::time::{Timestamp, UnixTime};
use seawall::viewer::abr;
use seawall::viewer::audience::Manners;
use seawall::viewer::failure::Failure;
use seawall::viewer::player::{Action, Chances, Listed, Object, Player, Seat};
use tokio::task::JoinSet;

use crate::support::client;
use crate::support::edge::TestEdge;
use crate::support::fault_origin::{Behaviour, FaultOrigin};
use crate::support::virtual_time::World;

/// How long the origin takes for every answer.
pub(crate) const DELAY: Duration = Duration::from_millis(150);
/// The herd arrives this long after a segment has become available.
const PHASE: Duration = Duration::from_millis(300);
const SEGMENT: Duration = Duration::from_millis(1_920);
const WINDOW: u64 = 10;
/// Number of viewers: the herd, those that arrive while the playlist is fresh, and those that arrive when it is stale.
const VIEWERS: [usize; 3] = [40, 5, 5];

/// The schedule that both worlds play.
pub(crate) struct Schedule {
    channel: Channel,
    unix_at_zero: UnixTime,
    starts: Timestamp,
}

/// The counts of one world.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Counters {
    /// Viewers' requests by object and by result.
    answers: BTreeMap<(&'static str, ResultWord), u32>,
    /// The origin's answers by object and by status.
    origin: BTreeMap<(&'static str, u16), u32>,
    /// Number of viewers that started, of stalls, of retries, of skipped segments.
    players: [u32; 4],
    /// The origin's hits of each object.
    asked: HashMap<Object, u32>,
}

impl Counters {
    pub(crate) fn answered(&mut self, object: Object, word: ResultWord) {
        *self.answers.entry((name(object), word)).or_default() += 1;
    }

    /// Counts one more request at the origin. Returns the number of earlier requests for the same object.
    pub(crate) fn asks_origin(&mut self, object: Object) -> u32 {
        let asked = self.asked.entry(object).or_default();
        *asked += 1;
        *asked - 1
    }

    pub(crate) fn origin_answers(&mut self, object: Object, status: u16) {
        *self.origin.entry((name(object), status)).or_default() += 1;
    }

    pub(crate) fn plays(&mut self, player: &Player) {
        let quality = player.quality();
        let started = u32::from(quality.startup.is_some());
        let more = [started, quality.stalls, quality.retries, quality.skipped];
        self.players
            .iter_mut()
            .zip(more)
            .for_each(|(sum, more)| *sum += more);
    }
}

fn name(object: Object) -> &'static str {
    match object {
        Object::Multivariant => "multivariant",
        Object::MediaPlaylist { .. } => "media playlist",
        Object::Segment { .. } => "segment",
        Object::Steering => "steering manifest",
    }
}

impl Schedule {
    /// Begins at the first instant, at least `after` from now, that lies `PHASE` after a segment has become available.
    fn soon(clock: Clock, after: Duration) -> Self {
        let layout = timeline::Layout {
            ladder: ladder::Rendition::known().into_iter().take(1).collect(),
            ..timeline::Layout::default()
        };
        assert_eq!(layout.segment_duration(), SEGMENT);
        let channel = Channel {
            name: "demo".to_owned(),
            seed: 1,
            layout,
            started_at: UnixTime::from_nanos(0),
        };
        let now = clock.now() + after;
        let newest = channel
            .newest(clock.unix_at(now))
            .expect("a stream since 1970");
        let available_at = channel.available_at(newest + 1);
        let starts = now + available_at.since(clock.unix_at(now)) + PHASE;
        let unix_at_zero = clock.unix_at(Timestamp::ZERO);
        Self {
            channel,
            unix_at_zero,
            starts,
        }
    }

    fn unix(&self, at: Timestamp) -> UnixTime {
        self.unix_at_zero + at.since(Timestamp::ZERO)
    }

    /// The origin's answer to a request that arrives at `now`, after `nth` requests for the same object.
    pub(crate) fn origin(&self, object: Object, now: Timestamp, nth: u32) -> (u16, Vec<u8>) {
        let first = self.channel.newest(self.unix(self.starts)).unwrap();
        let newest = self.channel.newest(self.unix(now)).unwrap();
        let fails_from = self.starts + DELAY / 2 + SEGMENT * 6;
        match object {
            Object::Steering => (404, Vec::new()),
            Object::Multivariant => (200, playlist::multivariant(&self.channel).into_bytes()),
            Object::MediaPlaylist { .. }
                if now > fails_from && now.since(fails_from) < DELAY * 6 =>
            {
                (500, Vec::new())
            }
            Object::MediaPlaylist { .. } => {
                let mut window = playlist::Window::new(WINDOW);
                let numbers = self.channel.window(self.unix(now), WINDOW).unwrap();
                numbers.for_each(|number| assert!(window.append(number)));
                (
                    200,
                    playlist::media(&self.channel, &window)
                        .unwrap()
                        .into_bytes(),
                )
            }
            Object::Segment { number, .. } if number == first + 4 && nth == 0 => (404, Vec::new()),
            Object::Segment { number, .. } if number == first + 5 && nth < 2 => (500, Vec::new()),
            Object::Segment { number, .. } if number > newest => (404, Vec::new()),
            Object::Segment { number, .. } => (200, segment(number)),
        }
    }

    /// The players in their initial state.
    pub(crate) fn players(&self) -> Vec<Player> {
        let second = Duration::from_secs(1);
        let visits = [
            (Duration::ZERO, 17 * second),
            (SEGMENT * 2 + Duration::from_millis(900), second * 3 / 2),
            (SEGMENT * 3 + Duration::from_millis(650), second * 3 / 2),
        ];
        let visits = visits.into_iter().zip(VIEWERS);
        let visits = visits.flat_map(|(visit, viewers)| std::iter::repeat_n(visit, viewers));
        let seat = |(viewer, (arrives, stays))| Seat {
            arrives: self.starts + arrives,
            leaves: self.starts + arrives + stays,
            last_mile_bps: 1_000_000_000,
            unix_at_zero: self.unix_at_zero,
            abr: abr::Rule::HlsJs,
            manners: Manners::default(),
            early: false,
            seeks: None,
            chances: Chances { seed: 1, viewer },
        };
        (0..).zip(visits).map(seat).map(Player::new).collect()
    }
}

/// Tells a player the outcome of its request: a body, or a failure of the edge, after which the player waits.
pub(crate) fn hear(player: &mut Player, now: Timestamp, object: Object, body: Option<&[u8]>) {
    match (object, body) {
        (_, None) | (Object::Steering, _) => player.on_failure(now, Failure::Status(503), None),
        (Object::Multivariant, Some(body)) => {
            let needs = reader::multivariant("/", body)
                .unwrap()
                .variants
                .into_iter()
                .map(|variant| abr::Needs {
                    peak_bps: variant.bandwidth_bps,
                    average_bps: variant.average_bps.unwrap_or(variant.bandwidth_bps),
                });
            player.on_multivariant(now, needs.collect(), false);
        }
        (Object::MediaPlaylist { .. }, Some(body)) => {
            let facts = reader::media("/", body).unwrap();
            let listed = facts.listed.into_iter().map(|segment| Listed {
                number: segment.number,
                duration: segment.duration,
                begins_at: segment.begins_at,
                gap: segment.gap,
            });
            player.on_playlist(now, facts.target_duration, listed.collect(), facts.ended);
        }
        (Object::Segment { number, .. }, Some(body)) => {
            assert_eq!(body, segment(number), "another segment's bytes");
            player.on_first_byte(now);
            player.on_segment(now, body.len() as u64);
        }
    }
}

/// The bytes of a segment: its number, again and again.
fn segment(number: u64) -> Vec<u8> {
    format!("{number} ").repeat(100).into_bytes()
}

fn path(object: Object) -> String {
    match object {
        Object::Multivariant => "/live/demo/main.m3u8".to_owned(),
        Object::MediaPlaylist { .. } => "/live/demo/180p/media.m3u8".to_owned(),
        Object::Segment { number, .. } => format!("/live/demo/180p/{number}.ts"),
        Object::Steering => "/live/demo/steering.json".to_owned(),
    }
}

fn object(path: &str) -> Object {
    match path.rsplit('/').next().unwrap() {
        "main.m3u8" => Object::Multivariant,
        "media.m3u8" => Object::MediaPlaylist { rendition: 0 },
        file => Object::Segment {
            rendition: 0,
            number: file.trim_end_matches(".ts").parse().unwrap(),
        },
    }
}

/// Plays the schedule over sockets at a real edge, as tasks that sleep.
async fn over_sockets(schedule: Arc<Schedule>, limits: Limits, clock: Clock) -> Counters {
    let counters = Arc::new(Mutex::new(Counters::default()));
    let (script, counts) = (schedule.clone(), counters.clone());
    let origin = FaultOrigin::start(move |arrived, _| {
        let object = object(&arrived.target);
        let nth = counts.lock().unwrap().asks_origin(object);
        let (status, body) = script.origin(object, clock.now(), nth);
        counts.lock().unwrap().origin_answers(object, status);
        let answer = Behaviour::Answer {
            status,
            headers: String::new(),
            body,
        };
        Behaviour::Late(DELAY, Box::new(answer))
    })
    .await;
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, limits);
    let mut viewers = JoinSet::new();
    for mut player in schedule.players() {
        let (addr, counters) = (edge.addr, counters.clone());
        viewers.spawn(async move {
            loop {
                match player.next(clock.now()) {
                    Action::Leave => break counters.lock().unwrap().plays(&player),
                    Action::WakeAt(at) => tokio::time::sleep_until(clock.instant(at)).await,
                    Action::Get { object, .. } => {
                        let reply = client::get(addr, &path(object)).await;
                        assert!(reply.whole, "{object:?}");
                        let word = cache_status::word(&reply.header("cache-status"));
                        counters.lock().unwrap().answered(object, word);
                        let body = Some(&*reply.body).filter(|_| reply.status == 200);
                        hear(&mut player, clock.now(), object, body);
                    }
                }
            }
        });
    }
    while let Some(ended) = viewers.join_next().await {
        ended.unwrap();
    }
    drop(edge);
    std::mem::take(&mut *counters.lock().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_viewers_count_the_same_in_virtual_time_and_over_sockets() {
    let clock = Clock::start();
    let schedule = Arc::new(Schedule::soon(clock, Duration::from_millis(500)));
    let limits = Limits::default();
    let virtually = World::play(&schedule, limits);
    // The comparison is meaningful only if all of this happens in the schedule.
    let answers = |object, word| virtually.answers.get(&(object, word)).copied().unwrap_or(0);
    for word in [ResultWord::Hit, ResultWord::Miss, ResultWord::Collapsed] {
        for object in ["multivariant", "media playlist", "segment"] {
            assert!(
                answers(object, word) > 0,
                "{object} {word:?}: {virtually:#?}"
            );
        }
    }
    assert!(
        answers("media playlist", ResultWord::Stale) > 0,
        "{virtually:#?}"
    );
    for failed in [("segment", 404), ("segment", 500), ("media playlist", 500)] {
        assert!(virtually.origin.contains_key(&failed), "{virtually:#?}");
    }
    let really = over_sockets(schedule.clone(), limits, clock).await;
    assert_eq!(
        virtually, really,
        "in virtual time on the left, over sockets on the right"
    );
    assert_eq!(
        virtually,
        World::play(&schedule, limits),
        "the same each time"
    );
}

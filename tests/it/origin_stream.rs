//! The stream of an edge keeps the rules of HLS while it runs. The test reloads every rendition for fifteen seconds, then reads
//! each segment that was ever listed, like a receiver.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use seawall::hls::reader::{self, MediaFacts};
use seawall::hls::timeline::PART;

use crate::support::client::{self, Reply};
use crate::support::stage::{Stage, WINDOW};

/// Ticks of the 90 kHz clock in one picture, at 25 pictures per second.
const FRAME_TICKS: u64 = 3_600;

struct Reload {
    facts: MediaFacts,
    text: String,
}

async fn found(stage: &Stage, path: &str) -> Reply {
    let reply = client::get(stage.addr(), path).await;
    assert!(
        reply.status == 200 && reply.whole,
        "{path}: {}",
        reply.status
    );
    reply
}

async fn reload(stage: &Stage, rendition: &str) -> Reload {
    let path = format!("/live/demo/{rendition}/media.m3u8");
    let reply = found(stage, &path).await;
    assert_eq!(
        reply.header("content-type"),
        "application/vnd.apple.mpegurl"
    );
    assert_eq!(
        reply.header("content-encoding"),
        "",
        "nobody asked for gzip"
    );
    Reload {
        facts: reader::media(&path, &reply.body).unwrap(),
        text: String::from_utf8(reply.body).unwrap(),
    }
}

/// Checks one playlist alone, and against the clock.
fn check_alone(stage: &Stage, reload: &Reload) {
    let (facts, text) = (&reload.facts, &reload.text);
    let target = facts.target_duration;
    let span: Duration = facts.listed.iter().map(|segment| segment.duration).sum();
    assert_eq!(
        target.as_secs(),
        u64::from(stage.channel.layout.target_duration_s())
    );
    assert!(
        !text.contains("#EXT-X-PLAYLIST-TYPE") && !facts.ended,
        "{text}"
    );
    assert!(text.contains("#EXT-X-INDEPENDENT-SEGMENTS\n") && text.contains("#EXT-X-VERSION:3\n"));
    assert!(facts.listed.len() >= 6 && span >= target * 3, "{text}");
    for (index, segment) in facts.listed.iter().enumerate() {
        assert!(segment.duration.as_secs_f64().round() <= target.as_secs_f64());
        assert_eq!(segment.number, facts.listed[0].number + index as u64);
        assert!(
            segment
                .resource
                .path
                .ends_with(&format!("/{}.ts", segment.number))
        );
        // On the wall clock: the time that the picture shows.
        assert_eq!(
            segment.begins_at,
            Some(stage.channel.begins_at(segment.number))
        );
    }
    assert_eq!(
        text.matches("#EXT-X-PROGRAM-DATE-TIME:").count(),
        facts.listed.len()
    );
}

/// Checks what a reload may change: segments leave at one end and arrive at the other.
fn check_step(before: &MediaFacts, after: &MediaFacts) {
    let (first, last) = (after.listed[0].number, before.listed.last().unwrap().number);
    assert!(
        first >= before.listed[0].number,
        "the media sequence went back"
    );
    assert!(
        after.listed.last().unwrap().number >= last,
        "the head went back"
    );
    let kept: Vec<_> = before
        .listed
        .iter()
        .filter(|segment| segment.number >= first)
        .collect();
    assert_eq!(
        kept,
        after.listed.iter().take(kept.len()).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_keeps_the_rules_while_it_runs() {
    let stage = Stage::on_air(2).await;
    let names: Vec<_> = stage
        .channel
        .layout
        .ladder
        .iter()
        .map(|known| known.name.clone())
        .collect();
    let mut newest: BTreeMap<&str, Reload> = BTreeMap::new();
    let mut segments: BTreeMap<(&str, u64), Vec<u8>> = BTreeMap::new();
    let first = reload(&stage, &names[0]).await.facts.listed[0].number;
    // Eight segments, fifteen seconds: a reader of a live stream learns of a new segment only at the next reload.
    while newest
        .values()
        .next()
        .is_none_or(|reload| reload.facts.listed[0].number < first + 8)
    {
        for name in &names {
            let asked = stage.clock.unix();
            let now = reload(&stage, name).await;
            check_alone(&stage, &now);
            // New versions keep coming: players stall after three target durations without one. Benchmarks on an idle machine
            // check that new versions come within one and a half.
            let due = stage.channel.newest(asked - now.facts.target_duration * 3);
            assert!(now.facts.listed.last().map(|segment| segment.number) >= due);
            for segment in &now.facts.listed {
                // The segment is listed, so it can be downloaded at once.
                if let Entry::Vacant(place) = segments.entry((name, segment.number)) {
                    let reply = found(&stage, &segment.resource.path).await;
                    assert_eq!(reply.header("content-type"), "video/mp2t");
                    place.insert(reply.body);
                }
            }
            if let Some(before) = newest.insert(name, now) {
                check_step(&before.facts, &newest[name.as_str()].facts);
            }
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }

    let numbers_of = |name: &str| -> BTreeSet<u64> {
        segments
            .keys()
            .filter(|(of, _)| *of == name)
            .map(|(_, number)| *number)
            .collect()
    };
    let numbers = numbers_of(&names[0]);
    let span = numbers.last().unwrap() - numbers.first().unwrap() + 1;
    assert_eq!(numbers.len() as u64, span, "a number was skipped");
    assert!(span >= WINDOW + 7);
    for name in &names[1..] {
        // One playlist may be ahead of the other by one segment, at the beginning and at the end.
        assert!(numbers.symmetric_difference(&numbers_of(name)).count() <= 2);
    }
    // Segments that have left the playlists can still be downloaded, with the same bytes.
    for ((name, number), body) in segments
        .iter()
        .filter(|((_, number), _)| *number < first + 8)
    {
        let reply = found(&stage, &format!("/live/demo/{name}/{number}.ts")).await;
        assert!(reply.body == *body, "{name}: {number}");
    }

    let mut boundaries: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for name in &names {
        let numbers = numbers_of(name);
        let bodies: Vec<_> = numbers
            .iter()
            .map(|number| &segments[&(name.as_str(), *number)][..])
            .collect();
        for (number, begins) in numbers.iter().zip(read_as_a_receiver(&bodies)) {
            boundaries.entry(*number).or_default().insert(begins);
        }
        check_bandwidth(&stage, name, &bodies).await;
    }
    for (number, begins) in boundaries {
        assert_eq!(
            begins.len(),
            1,
            "{number} begins at one instant in every rendition"
        );
    }
}

/// Reads the segments of one rendition one after another, and returns when the pictures of each begin.
fn read_as_a_receiver(bodies: &[&[u8]]) -> Vec<u64> {
    let mut counters: BTreeMap<u16, u8> = BTreeMap::new();
    let mut begins = Vec::new();
    let mut pictures = Vec::new();
    for body in bodies {
        let packets: Vec<_> = body.chunks(188).map(Packet).collect();
        assert!(
            packets
                .iter()
                .all(|packet| packet.0.len() == 188 && packet.0[0] == 0x47)
        );
        assert_eq!(packets[0].pid(), 0, "the PAT comes first");
        let tables = packets[0].payload().unwrap();
        let pmt = u16::from_be_bytes([tables[11], tables[12]]) & 0x1fff;
        assert_eq!(packets[1].pid(), pmt, "the PMT comes second");
        let before = pictures.len();
        for packet in packets.iter().filter(|packet| packet.payload().is_some()) {
            let counter = packet.0[3] & 15;
            if let Some(last) = counters.insert(packet.pid(), counter) {
                assert_eq!(
                    counter,
                    (last + 1) & 15,
                    "a packet of {} is missing",
                    packet.pid()
                );
            }
            pictures.extend(packet.video_pts());
        }
        begins.push(pictures[before]);
    }
    assert!(
        pictures
            .windows(2)
            .all(|pair| pair[1] - pair[0] == FRAME_TICKS),
        "each picture follows the last by 1/25 s, across segments too"
    );
    let segment_ticks = PART.as_millis() as u64 * 90 * 6;
    assert!(
        begins
            .windows(2)
            .all(|pair| pair[1] - pair[0] == segment_ticks)
    );
    begins
}

/// A packet of 188 bytes by ISO/IEC 13818-1, section 2.4.3.2.
struct Packet<'a>(&'a [u8]);

impl<'a> Packet<'a> {
    fn pid(&self) -> u16 {
        u16::from_be_bytes([self.0[1], self.0[2]]) & 0x1fff
    }

    fn payload(&self) -> Option<&'a [u8]> {
        let begins = match (self.0[3] >> 4) & 3 {
            1 => 4,
            3 => 5 + usize::from(self.0[4]),
            _ => return None,
        };
        Some(&self.0[begins..])
    }

    /// The presentation time of the picture that begins here, if one does.
    fn video_pts(&self) -> Option<u64> {
        let payload = self
            .payload()
            .filter(|payload| payload.starts_with(&[0, 0, 1]))?;
        let is_video = self.0[1] & 0x40 != 0 && payload[3] & 0xf0 == 0xe0;
        let bits = |at: usize, mask: u8| u64::from(payload[at] & mask);
        is_video.then(|| {
            (bits(9, 0x0e) << 29)
                | (bits(10, 0xff) << 22)
                | (bits(11, 0xfe) << 14)
                | (bits(12, 0xff) << 7)
                | (bits(13, 0xfe) >> 1)
        })
    }
}

/// Compares BANDWIDTH and AVERAGE-BANDWIDTH with the downloaded bytes.
async fn check_bandwidth(stage: &Stage, name: &str, bodies: &[&[u8]]) {
    let reply = found(stage, "/live/demo/main.m3u8").await;
    assert_eq!(
        reply.header("content-type"),
        "application/vnd.apple.mpegurl"
    );
    let text = String::from_utf8(reply.body).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let at = lines
        .iter()
        .position(|line| *line == format!("{name}/media.m3u8"))
        .unwrap();
    let attribute = |key: &str| -> f64 {
        let (_, value) = lines[at - 1].split_once(key).unwrap();
        value.split(',').next().unwrap().parse().unwrap()
    };
    let (peak, average) = (attribute(":BANDWIDTH="), attribute(",AVERAGE-BANDWIDTH="));
    let bits_per_second = |bytes: usize, segments: usize| {
        bytes as f64 * 8.0
            / (stage.channel.layout.segment_duration().as_secs_f64() * segments as f64)
    };
    let largest = bodies.iter().map(|body| body.len()).max().unwrap();
    assert!(peak >= bits_per_second(largest, 1) / 1.25, "{name}");
    let measured = bits_per_second(bodies.iter().map(|body| body.len()).sum(), bodies.len());
    assert!(
        (measured / average - 1.0).abs() <= 0.1,
        "{name}: {measured} beside {average}"
    );
}

/// Asks for gzip until the answer is a hit: an answer still on its way from the origin is passed on as it arrives.
async fn compressed(stage: &Stage, path: &str) -> Reply {
    let accept = "accept-encoding: gzip\r\n";
    for _ in 0..50 {
        let reply = client::request(stage.addr(), "GET", path, accept, b"").await;
        if reply.header("cache-status").contains("; hit") {
            return reply;
        }
    }
    panic!("{path} is never a hit");
}

#[tokio::test(flavor = "multi_thread")]
async fn playlists_are_compressed_only_for_whoever_asks() {
    let stage = Stage::on_air(1).await;
    for path in ["/live/demo/main.m3u8", "/live/demo/180p/media.m3u8"] {
        let reply = compressed(&stage, path).await;
        assert_eq!(
            (reply.status, reply.header("content-encoding").as_str()),
            (200, "gzip"),
            "{path}"
        );
        let mut text = String::new();
        std::io::Read::read_to_string(
            &mut flate2::read::GzDecoder::new(&reply.body[..]),
            &mut text,
        )
        .unwrap();
        assert!(text.starts_with("#EXTM3U\n"), "{text}");
        let plain = found(&stage, path).await;
        assert_eq!(plain.header("content-encoding"), "");
        assert!(plain.body.starts_with(b"#EXTM3U\n"));
    }
    let lowest = &stage.channel.layout.ladder[0];
    assert!(
        lowest.bitrate_bps <= 192_000,
        "the lowest rendition is for the worst line"
    );
}

//! Surges at streams that ffmpeg writes and nginx serves: MPEG-2 TS, byte ranges of one MP4 file, encrypted segments, sound with a
//! playlist of its own, and all over TLS.

use std::collections::BTreeMap;

use seawall::report::record::{Kind, Outcome};
use seawall::report::summary::Summary;
use seawall::report::thresholds::Verdict;

use crate::support::other_server::OtherServer;
use crate::support::played::{short, written};
use crate::support::program::{Program, run};

const VIEWERS: u64 = 30;

/// A scenario file: viewers that arrive within two seconds, with fast last miles, and leave all together.
struct Short {
    path: String,
    _folder: tempfile::TempDir,
}

impl Short {
    fn written() -> Self {
        let mut scenario = short(VIEWERS as u32, 8.0);
        let audience = &mut scenario.real.audience;
        audience.last_mile.at_least_bps = 2_000_000;
        // In these streams a segment has no known name before a playlist lists it, so no viewer asks earlier.
        audience.manners.early_percent = 50.0;
        let folder = tempfile::tempdir().unwrap();
        Self {
            path: written(&folder, &scenario),
            _folder: folder,
        }
    }

    /// Plays it at this URL, and asserts that every viewer saw the stream without a failure.
    async fn plays_well(&self, url: &str, more: &[&str], settings: &[(&str, &str)]) -> Summary {
        let args = [&["surge", &self.path, "--target", url, "--json"], more].concat();
        let played = Program::seawall_with(&args, settings).ended().await;
        let summary: Summary = serde_json::from_str(&played.out)
            .unwrap_or_else(|error| panic!("{url}: {error}: {}", played.err));
        // On a busy machine the generator may be late, and the report says so.
        assert_ne!(summary.verdict, Verdict::Fail, "{url}: {}", played.out);
        let experience = &summary.experience;
        assert_eq!(
            (experience.started, experience.stalls, experience.retries),
            (VIEWERS, 0, 0),
            "{url}: {summary:?}"
        );
        assert!(ok(&summary, Kind::Segment) >= VIEWERS * 6, "{summary:?}");
        assert!(summary.origin.measured.uncounted);
        summary
    }
}

/// Requests for objects of this kind that were served.
fn ok(summary: &Summary, kind: Kind) -> u64 {
    summary.outcomes(kind, Outcome::Ok)
}

/// How often each address was asked for.
fn asked(log: &str) -> BTreeMap<&str, u64> {
    let mut asked = BTreeMap::new();
    for line in log.lines() {
        let (address, _) = line.split_once(' ').unwrap();
        *asked.entry(address).or_default() += 1;
    }
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_mpeg_2_ts_plays_from_both_playlists_and_over_tls() {
    #[rustfmt::skip]
    let encode = [
        "-c:a", "aac", "-f", "hls", "-hls_time", "1", "-hls_list_size", "8",
        "-hls_flags", "delete_segments+program_date_time", "-hls_delete_threshold", "8",
        "-master_pl_name", "main.m3u8", "media.m3u8",
    ];
    let server = OtherServer::on_air(&encode, "media.m3u8").await;
    let short = Short::written();
    for playlist in ["main.m3u8", "media.m3u8"] {
        let target = format!("http://{}/{playlist}", server.addr);
        let summary = short.plays_well(&target, &[], &[]).await;
        let foreign = summary.foreign.unwrap();
        assert!(foreign.counted.compared >= VIEWERS * 4, "{foreign:?}");
        assert_eq!(
            foreign.counted.hosts.keys().collect::<Vec<_>>(),
            [&server.addr.to_string()]
        );
    }
    let path = &short.path;
    let target = format!("http://{}/main.m3u8", server.addr);
    let text = run(&["surge", path, "--target", &target, "--viewers", "2"]).await;
    for said in ["unknown: no origin", "servers", "last mile"] {
        assert!(text.out.contains(said), "{}", text.out);
    }
    // Over TLS: any certificate, or this one.
    let secure = format!("https://{}/main.m3u8", server.tls);
    let header = ["--header", "User-Agent: rehearsal/7", "--insecure"];
    short.plays_well(&secure, &header, &[]).await;
    let certificate = server.certificate();
    let trusted = [("SSL_CERT_FILE", certificate.as_str())];
    short.plays_well(&secure, &[], &trusted).await;
    let log = server.log();
    let of = |agent: &str| log.lines().filter(|line| line.contains(agent)).count();
    assert!(
        of("HTTP/2.0 rehearsal/7 200") > VIEWERS as usize,
        "{log:.400}"
    );
    assert!(of("HTTP/2.0 seawall/") > VIEWERS as usize, "{log:.400}");
    for (target, told) in [
        (secure, "certificate"),
        (
            format!("http://{}/nginx.conf", server.addr),
            "is no HLS playlist",
        ),
        (format!("http://{}/nothing.m3u8", server.addr), "404"),
    ] {
        let refused = run(&["surge", path, "--target", &target]).await;
        assert_eq!(refused.code, Some(1));
        assert!(refused.err.contains(told), "{target}: {}", refused.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn byte_ranges_of_one_mp4_file_play() {
    // All segments stay listed: of a window of one file ffmpeg writes EXT-X-MEDIA-SEQUENCE:0 for ever, which no player can follow.
    #[rustfmt::skip]
    let encode = [
        "-c:a", "aac", "-f", "hls", "-hls_time", "1", "-hls_list_size", "0", "-hls_segment_type", "fmp4",
        "-hls_flags", "single_file", "media.m3u8",
    ];
    let server = OtherServer::on_air(&encode, "media.m3u8").await;
    let target = format!("http://{}/media.m3u8", server.addr);
    let summary = Short::written().plays_well(&target, &[], &[]).await;
    assert_eq!(ok(&summary, Kind::Header), VIEWERS, "one for each viewer");
    assert!(summary.foreign.unwrap().counted.compared >= VIEWERS * 4);
    let log = server.log();
    let ranges = log.lines().filter(|line| line.ends_with(" 206")).count() as u64;
    assert!(ranges >= VIEWERS * 7, "{log:.400}");
    assert!(
        !log.contains("media.m4s HTTP/1.1 seawall/0.1.0 200"),
        "never the whole file"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_segments_play_and_each_viewer_gets_the_key_once() {
    #[rustfmt::skip]
    let encode = [
        "-c:a", "aac", "-f", "hls", "-hls_time", "1", "-hls_list_size", "8", "-hls_flags", "delete_segments",
        "-hls_delete_threshold", "8", "-hls_key_info_file", "key.info", "media.m3u8",
    ];
    let server = OtherServer::on_air(&encode, "media.m3u8").await;
    let target = format!("http://{}/media.m3u8", server.addr);
    let summary = Short::written().plays_well(&target, &[], &[]).await;
    assert_eq!(ok(&summary, Kind::Key), VIEWERS);
    assert_eq!(asked(&server.log())["/stream.key"], VIEWERS);
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_with_a_playlist_of_its_own_is_loaded_with_the_picture() {
    #[rustfmt::skip]
    let encode = [
        "-c:a", "aac", "-map", "0:v", "-map", "1:a", "-f", "hls", "-hls_time", "1", "-hls_list_size", "8",
        "-hls_segment_type", "fmp4", "-hls_flags", "delete_segments", "-hls_delete_threshold", "8",
        "-var_stream_map", "v:0,agroup:sound,name:video a:0,agroup:sound,default:yes,language:en,name:audio",
        "-hls_fmp4_init_filename", "init.mp4",
        "-master_pl_name", "main.m3u8", "-hls_segment_filename", "%v-%d.m4s", "%v.m3u8",
    ];
    let server = OtherServer::on_air(&encode, "audio.m3u8").await;
    let target = format!("http://{}/main.m3u8", server.addr);
    let summary = Short::written().plays_well(&target, &[], &[]).await;
    // A header for the picture and one for the sound.
    assert_eq!(ok(&summary, Kind::Header), 2 * VIEWERS);
    let log = server.log();
    let of = |kind: &str| -> u64 {
        let asked = asked(&log).into_iter();
        let named = |address: &str| address.starts_with(kind) && address.ends_with(".m4s");
        asked
            .filter(|(address, _)| named(address))
            .map(|(_, count)| count)
            .sum()
    };
    let (video, audio) = (of("/video-"), of("/audio-"));
    // Each second of sound comes with a second of picture; the ends of the two may differ by a segment.
    assert!(video >= VIEWERS * 6, "{video}");
    assert!(
        audio.abs_diff(video) <= VIEWERS,
        "{video} of pictures, {audio} of sound"
    );
}

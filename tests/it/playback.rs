//! Foreign players play the stream: every frame, without a warning, and as the playlists announce.

use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use futures_util::future::join_all;
use seawall::hls::ladder::Rendition;

use crate::support::client;
use crate::support::program::{Ended, Program};
use crate::support::stage::Stage;

const SECONDS: u32 = 20;
const FRAMES_PER_SECOND: u32 = 25;

async fn finished(program: &str, args: &[&str]) -> Ended {
    Program::start(Command::new(program).args(args))
        .ended()
        .await
}

/// Decodes 20 s from the oldest listed segment, and stops at the first error.
async fn decoded(url: &str) -> Ended {
    let seconds = SECONDS.to_string();
    #[rustfmt::skip]
    let args = [
        "-nostdin", "-hide_banner", "-nostats", "-v", "warning", "-xerror", "-err_detect", "explode",
        "-live_start_index", "0", "-i", url, "-t", &seconds, "-map", "0:v:0", "-map", "0:a:0",
        "-progress", "pipe:1", "-f", "null", "-",
    ];
    finished("ffmpeg", &args).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_decodes_every_frame_of_every_rendition_without_a_warning() {
    let stage = Stage::on_air(3).await;
    let ladder = &stage.channel.layout.ladder;
    let urls: Vec<_> = ladder
        .iter()
        .map(|rendition| stage.media(rendition))
        .collect();
    let all = join_all(urls.iter().map(|url| decoded(url))).await;
    for (rendition, ended) in ladder.iter().zip(all) {
        let name = &rendition.name;
        // A break in the continuity counters is the warning "Packet corrupt".
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{name}");
        let last = |key: &str| {
            let value = ended
                .out
                .lines()
                .rev()
                .find_map(|line| line.strip_prefix(key));
            value
                .unwrap_or_else(|| panic!("no {key} in {ended:?}"))
                .to_owned()
        };
        assert_eq!(
            last("frame="),
            (SECONDS * FRAMES_PER_SECOND).to_string(),
            "{name}"
        );
        assert_eq!(last("out_time="), "00:00:20.000000", "{name}");
        assert_eq!(
            (last("dup_frames="), last("drop_frames=")),
            ("0".to_owned(), "0".to_owned())
        );
    }
}

/// An attribute of a rendition's line in the multivariant playlist.
fn promised(main: &str, rendition: &Rendition, attribute: &str) -> String {
    let uri = format!("{}/media.m3u8", rendition.name);
    let lines: Vec<_> = main.lines().collect();
    let at = lines.iter().position(|line| *line == uri).unwrap();
    let (_, value) = lines[at - 1].split_once(&format!("{attribute}=")).unwrap();
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap().to_owned(),
        None => value.split(',').next().unwrap().to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ffprobe_finds_what_the_multivariant_playlist_promises() {
    let stage = Stage::on_air(3).await;
    let main = client::get(stage.addr(), "/live/demo/main.m3u8").await;
    let main = String::from_utf8(main.body).unwrap();
    let probed = stage.channel.layout.ladder.iter().map(async |rendition| {
        let url = stage.media(rendition);
        let args = ["-v", "warning", "-show_streams", "-of", "json", &url];
        (rendition, finished("ffprobe", &args).await)
    });
    for (rendition, ended) in join_all(probed).await {
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        let found: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        let [video, audio] = ["video", "audio"].map(|kind| {
            let streams = found["streams"].as_array().unwrap();
            let of_kind: Vec<_> = streams
                .iter()
                .filter(|stream| stream["codec_type"] == kind)
                .collect();
            assert_eq!(of_kind.len(), 1, "{}: {kind}", rendition.name);
            of_kind[0].clone()
        });
        // 66 is Baseline, and flag 0xc0 makes it Constrained (RFC 6381, section 3.3).
        assert_eq!(video["profile"], "Constrained Baseline");
        let level = format!("{:02x}", video["level"].as_u64().unwrap());
        assert_eq!(
            (&audio["codec_name"], &audio["profile"]),
            (&"aac".into(), &"LC".into())
        );
        assert_eq!(
            promised(&main, rendition, "CODECS"),
            format!("avc1.42c0{level},mp4a.40.2")
        );
        assert_eq!(
            promised(&main, rendition, "RESOLUTION"),
            format!("{}x{}", video["width"], video["height"])
        );
        assert_eq!(promised(&main, rendition, "FRAME-RATE"), "25.000");
        assert_eq!(video["avg_frame_rate"], "25/1");
        assert_eq!(
            (&audio["sample_rate"], &audio["channels"]),
            (&"48000".into(), &2.into())
        );
    }
}

/// The clock in ffplay's newest status line, once picture and sound both run.
fn clock_of_ffplay(said: &str) -> Option<f64> {
    let line = said
        .split(['\r', '\n'])
        .rev()
        .find(|line| line.contains("A-V:"))?;
    let (clock, _) = line.split_once("A-V:")?;
    clock
        .trim()
        .parse()
        .ok()
        .filter(|clock: &f64| clock.is_finite())
}

#[tokio::test(flavor = "multi_thread")]
async fn ffplay_plays_picture_and_sound_for_ten_seconds() {
    let stage = Stage::on_air(2).await;
    // Not with -nodisp, because it switches the picture off. Not with -autoexit, because the stream never ends.
    let mut command = Command::new("ffplay");
    command
        .envs([("SDL_VIDEODRIVER", "dummy"), ("SDL_AUDIODRIVER", "dummy")])
        .args(["-hide_banner", "-v", "warning", "-stats", &stage.main()]);
    let player = Program::start(&mut command);
    let mut first = None;
    player
        .logs_what("ten seconds of A-V clock", |said| {
            let Some(clock) = clock_of_ffplay(said) else {
                return false;
            };
            clock - *first.get_or_insert(clock) >= 10.0
        })
        .await;
    let logged = player.logged();
    let complaints: Vec<_> = logged
        .split(['\r', '\n'])
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.contains(" fd="))
        // A message about a missing feature of SDL's dummy driver.
        .filter(|line| !line.contains("hardware accelerated renderer"))
        .collect();
    assert_eq!(complaints, Vec::<&str>::new());
}

/// Modules whose complaints do not concern the stream, on a machine without a screen: control by hotkeys; displays and
/// converters for pictures in the memory of a graphics card, which VLC tries first; and the first half of a window of AAC, at
/// the start of every decoder.
const OF_NO_STREAM: [&str; 6] = [
    "interface",
    "vout display error",
    "video output",
    "video converter",
    "level of recursion",
    "decoded zero sample",
];

/// Plays the stream in VLC for 15 s as an unprivileged user, and keeps every picture and all sound as shown. VLC's clock begins
/// with the window, two segments before the played part, so 20 s of the clock are enough.
async fn played_by_vlc(url: &str, home: &Path) -> Ended {
    const NOBODY: u32 = 65_534;
    chown(home, Some(NOBODY), Some(NOBODY)).unwrap();
    let home = home.to_str().unwrap();
    let (pictures, sound) = (format!("{home}/pictures.yuv"), format!("{home}/sound.wav"));
    let mut command = Command::new("setpriv");
    #[rustfmt::skip]
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "cvlc", "--no-color", "-v", "--no-dbus"])
        .args(["--intf", "dummy", "--vout", "yuv", "--yuv-chroma", "I420", "--yuv-file", &pictures])
        .args(["--aout", "afile", "--audiofile-file", &sound, "--avcodec-hw", "none"])
        .args(["--adaptive-logic", "lowest", "--run-time", "20", url, "vlc://quit"])
        .envs([("HOME", home), ("TMPDIR", home)]);
    Program::start(&mut command).ended().await
}

#[ignore = "takes 17 s: make test-long"]
#[tokio::test(flavor = "multi_thread")]
async fn vlc_plays_picture_and_sound_for_fifteen_seconds() {
    let installed = Command::new("cvlc").arg("--version").output();
    assert!(
        installed.is_ok(),
        "VLC is not installed: apt-get install vlc-bin vlc-plugin-base"
    );
    let stage = Stage::on_air(2).await;
    let folder = tempfile::tempdir().unwrap();
    let ended = played_by_vlc(&stage.main(), folder.path()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let complaints: Vec<_> = ended
        .err
        .lines()
        .filter(|line| line.contains("error") || line.contains("warning"))
        .filter(|line| !OF_NO_STREAM.iter().any(|known| line.contains(known)))
        .collect();
    assert_eq!(complaints, Vec::<&str>::new());
    let bytes = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
    let lowest = &stage.channel.layout.ladder[0];
    // Luma, and two chroma planes of a quarter of its size each.
    let picture_bytes = u64::from(lowest.width * lowest.height * 3 / 2);
    let pictures = bytes("pictures.yuv") / picture_bytes;
    assert!(pictures >= 15 * 25, "{pictures} pictures: {ended:?}");
    // 48 kHz, stereo, 16 bits.
    let sound_bytes = bytes("sound.wav");
    assert!(
        sound_bytes >= 15 * 192_000,
        "{sound_bytes} bytes of sound: {ended:?}"
    );
}

//! Seawall as its users run it: one process per part, signals, restarts, and the metrics that operators read.

use std::net::SocketAddr;
use std::path::Path;

use seawall::hls::reader;
use seawall::hls::timeline::Channel;
use seawall::media;
use seawall::serve::metrics;

use crate::support::client::{self, Reply};
use crate::support::program::{FREE_DOORS, Program};

const TOKEN: &str = "a-secret";
const WINDOW: usize = 6;
const RENDITIONS: [&str; 2] = ["180p", "360p"];
/// Maximum number of series that one edge may expose.
const SERIES_MAX: usize = 600;

fn origin(segments: &Path) -> Program {
    let segments = segments.to_str().unwrap();
    #[rustfmt::skip]
    let args = [
        "origin", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ingest", "127.0.0.1:0",
        "--window", "6", "--segments", segments,
    ];
    Program::seawall_with(&args, &[("SEAWALL_TOKEN", TOKEN)])
}

async fn broadcast(origin: &Program) -> Program {
    let to = format!("http://{}", origin.address("ingest").await);
    let args = [
        "broadcast",
        "--to",
        &to,
        "--renditions",
        "180p,360p",
        "--window",
        "6",
    ];
    Program::seawall_with(&args, &[("SEAWALL_TOKEN", TOKEN)])
}

async fn edge(origin: &Program) -> Program {
    let upstream = format!("http://{}", origin.address("origin").await);
    #[rustfmt::skip]
    let args = ["edge", "--upstream", &upstream, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    Program::seawall(&args)
}

/// Asks until the answer satisfies the condition. Only the stream itself shows that it is on air.
async fn once(addr: SocketAddr, path: &str, condition: impl Fn(&Reply) -> bool) -> Reply {
    for _ in 0..600 {
        let reply = client::get(addr, path).await;
        if condition(&reply) {
            return reply;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{path} at {addr} never was as it should be");
}

async fn full_window(addr: SocketAddr, rendition: &str) -> Vec<reader::Listed> {
    let path = format!("/live/demo/{rendition}/media.m3u8");
    let listed = |reply: &Reply| reader::media(&path, &reply.body).map(|facts| facts.listed);
    let full = |reply: &Reply| listed(reply).is_ok_and(|listed| listed.len() == WINDOW);
    listed(&once(addr, &path, full).await).unwrap()
}

async fn described(addr: SocketAddr) -> Channel {
    let reply = client::get(addr, "/live/demo/channel.json").await;
    serde_json::from_slice(&reply.body).unwrap()
}

async fn ends_well(program: Program) {
    program.terminate();
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.err.contains("panicked"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_serve_what_the_description_says_and_a_restart_changes_nothing() {
    let segments = tempfile::tempdir().unwrap();
    let first = origin(segments.path());
    let broadcaster = broadcast(&first).await;
    let edge = edge(&first).await;
    let viewers = edge.address("edge").await;
    let mut seen = Vec::new();
    for rendition in RENDITIONS {
        let window = full_window(viewers, rendition).await;
        let channel = described(viewers).await;
        for segment in window {
            let reply = client::get(viewers, &segment.resource.path).await;
            let made = media::segment(
                &channel,
                channel.rendition(rendition).unwrap(),
                segment.number,
            );
            assert!(
                reply.status == 200 && reply.body == made,
                "{}",
                segment.resource.path
            );
            seen.push((segment.resource.path, made));
        }
    }

    // SIGTERM from the audience inwards: each part ends within its drain, without an error.
    let before = described(first.address("origin").await).await;
    ends_well(edge).await;
    ends_well(broadcaster).await;
    ends_well(first).await;

    let again = origin(segments.path());
    let addr = again.address("origin").await;
    assert_eq!(described(addr).await, before, "`started_at` is kept");
    for (path, bytes) in &seen {
        let reply = client::get(addr, path).await;
        assert!(reply.status == 200 && reply.body == *bytes, "{path}");
    }
    let left_off = full_window(addr, RENDITIONS[0]).await;
    let broadcaster = broadcast(&again).await;
    broadcaster.logs("on air").await;
    let path = "/live/demo/180p/media.m3u8";
    let goes_on = once(addr, path, |reply| {
        reader::media(path, &reply.body).is_ok_and(|facts| {
            facts.listed.last().map(|segment| segment.number)
                > left_off.last().map(|segment| segment.number)
        })
    })
    .await;
    let listed = reader::media(path, &goes_on.body).unwrap().listed;
    let newest = listed.last().unwrap();
    let made = media::segment(&before, &before.layout.ladder[0], newest.number);
    let reply = client::get(addr, &newest.resource.path).await;
    assert!(
        reply.status == 200 && reply.body == made,
        "{}",
        newest.resource.path
    );
    assert_eq!(described(addr).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_find_health_and_a_bounded_number_of_series() {
    let segments = tempfile::tempdir().unwrap();
    let origin = origin(segments.path());
    let edge = edge(&origin).await;
    let (of_origin, of_edge) = (origin.address("admin").await, edge.address("admin").await);
    for admin in [of_origin, of_edge] {
        let health = client::get(admin, "/healthz").await;
        assert_eq!((health.status, health.body), (200, b"ok\n".to_vec()));
    }
    let waiting = client::get(of_origin, "/readyz").await;
    assert_eq!(waiting.status, 503);
    assert_eq!(
        waiting.body,
        b"not ready: no channel has been described yet\n"
    );
    let broadcaster = broadcast(&origin).await;
    for admin in [of_origin, of_edge] {
        let ready = once(admin, "/readyz", |reply| reply.status == 200).await;
        assert_eq!(ready.body, b"ready\n");
    }

    let viewers = edge.address("edge").await;
    for segment in full_window(viewers, "180p").await {
        assert_eq!(
            client::get(viewers, &segment.resource.path).await.status,
            200
        );
    }
    for path in ["/live/demo/nothing", "/favicon.ico", "/live/demo/180p/1.ts"] {
        client::get(viewers, path).await;
    }
    for admin in [of_origin, of_edge] {
        let scraped = client::get(admin, "/metrics").await;
        assert_eq!(
            (scraped.status, scraped.header("content-type").as_str()),
            (200, "text/plain; version=0.0.4")
        );
        let text = String::from_utf8(scraped.body).unwrap();
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        assert!((20..=SERIES_MAX).contains(&series), "{series} series");
        for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
            let name = line.split(' ').next().unwrap();
            assert!(
                metrics::TABLE.iter().any(|metric| metric.name == name),
                "{name} is in no table"
            );
        }
    }
    drop(broadcaster);
}

#[test]
fn the_reference_of_keys_is_the_table() {
    let reference = include_str!("../../docs/configuration.md");
    let rows = seawall::config::Config::rows();
    let rows = rows.iter().map(|row| {
        let live = if row.live { "yes" } else { "" };
        let (key, rule, sentence) = (row.key, &row.range, row.sentence);
        let default = row.default.as_deref().unwrap_or("unset");
        format!("| `{key}` | {default} | {rule} | {live} | {sentence} |\n")
    });
    let table = rows.collect::<String>();
    assert!(
        reference.contains(&table),
        "the table in docs/configuration.md must be:\n{table}"
    );
}

#[test]
fn the_reference_of_metrics_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let reference = std::fs::read_to_string(path).unwrap();
    let (_, after) = reference
        .split_once("<!-- metrics -->")
        .expect("docs/metrics.md marks where the metrics are");
    let (table, _) = after
        .split_once("<!-- /metrics -->")
        .expect("docs/metrics.md marks where they end");
    let cells = |line: &str| {
        line.split('|')
            .map(|cell| cell.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let told: Vec<_> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(cells)
        .collect();
    let rows: Vec<_> = metrics::TABLE
        .iter()
        .map(|metric| {
            let labels: Vec<_> = metric
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect();
            format!(
                "| `{}` | {} | {} |",
                metric.name,
                labels.join(", "),
                metric.help
            )
        })
        .collect();
    let known: Vec<_> = rows.iter().map(|row| cells(row)).collect();
    assert!(
        told == known,
        "the table in docs/metrics.md between the marks must be:\n| name | labels | what it says |\n|---|---|---|\n{}",
        rows.join("\n")
    );
}

/// `seawall up` with two edges, each part in its own process.
fn up_by_processes(segments: &Path) -> Program {
    let segments = segments.to_str().unwrap();
    let own = ["up", "--processes", "--edges", "2", "--segments", segments];
    Program::seawall(&[&own[..], &FREE_DOORS[..]].concat())
}

/// The address of the URL on the line that begins with `name`.
fn said_address(said: &str, name: &str) -> SocketAddr {
    let line = said
        .lines()
        .find(|line| line.trim_start().starts_with(name))
        .unwrap();
    let (_, url) = line.split_once("http://").unwrap();
    url.split('/').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_end_when_the_process_that_started_them_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let up = up_by_processes(folder.path());
    up.says("Ctrl-C ends all of it").await;
    let said = up.said();
    let parts = ["edge-1", "edge-2", "origin"].map(|name| said_address(&said, name));
    up.kill();
    for part in parts {
        let mut attempts = 0;
        while tokio::net::TcpStream::connect(part).await.is_ok() {
            attempts += 1;
            assert!(attempts < 150, "{part} is still there");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_can_be_a_process_and_one_that_is_killed_leaves_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let up = up_by_processes(folder.path());
    up.says("Ctrl-C ends all of it").await;
    let said = up.said();
    let (first, second) = (said_address(&said, "edge-1"), said_address(&said, "edge-2"));
    for edge in [first, second] {
        let playing = once(edge, "/live/demo/main.m3u8", |reply| reply.status == 200).await;
        assert!(String::from_utf8(playing.body).unwrap().contains("720p"));
    }
    let line = said
        .lines()
        .find(|line| line.starts_with("  edge-1"))
        .unwrap();
    let id: i32 = line.rsplit(' ').next().unwrap().parse().unwrap();
    let killed = std::process::Command::new("kill")
        .args(["-9", &id.to_string()])
        .status();
    assert!(killed.unwrap().success());
    up.logs("edge-1 has ended").await;
    assert!(tokio::net::TcpStream::connect(first).await.is_err());
    let still = client::get(second, "/live/demo/main.m3u8").await;
    assert_eq!(still.status, 200);
    up.terminate();
    let ended = up.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        tokio::net::TcpStream::connect(second).await.is_err(),
        "no part is left"
    );
}

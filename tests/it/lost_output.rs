//! Programs whose stdout or stderr has no reader: a lost log stops no server, and a lost reader ends only the program that
//! wrote for it.

use crate::support::client;
use crate::support::eventually;
use crate::support::fault_origin::{Behaviour, FaultOrigin};
use crate::support::program::{FREE_DOORS, Program};

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_whose_log_is_lost_serves_and_stops_as_any_other() {
    let origin = FaultOrigin::start(|_, _| Behaviour::ok("segment")).await;
    let upstream = origin.url();
    #[rustfmt::skip]
    let args = [
        "--log", "debug", "edge", "--upstream", &upstream, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
    ];
    let edge = Program::seawall_without_log(&args);
    let addr = edge.address("edge").await;
    let reply = client::get(addr, "/live/demo/720p/7.ts").await;
    assert_eq!((reply.status, reply.body), (200, b"segment".to_vec()));
    edge.terminate();
    assert_eq!(edge.ended().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_log_is_lost_stops_at_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let segments = folder.path().to_str().unwrap();
    let args = [&["up", "--segments", segments][..], &FREE_DOORS].concat();
    let up = Program::seawall_without_log(&args);
    up.says("Ctrl-C ends it").await;
    up.signal("INT");
    assert_eq!(up.ended().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcaster_whose_log_is_lost_outlives_its_warnings() {
    let origin = FaultOrigin::start(|_, _| Behaviour::status(503)).await;
    let to = origin.url();
    let args = [
        "broadcast",
        "--to",
        &to,
        "--token",
        "a-secret",
        "--renditions",
        "180p",
    ];
    let broadcaster = Program::seawall_without_log(&args);
    // The broadcaster warns of the first refusal, and asks again.
    eventually("it asks more than once", || origin.arrived().len() > 1).await;
    broadcaster.terminate();
    let ended = broadcaster.ended().await;
    assert_ne!(ended.code, Some(101), "a panic: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_surge_whose_log_is_lost_prints_its_result() {
    let scenario = std::fs::read_to_string("scenarios/celebrity-live.toml").unwrap();
    let short = scenario
        .replace(
            "scale_s = 0.4, within_s = 4.0",
            "scale_s = 0.4, within_s = 2.0",
        )
        .replace("until_s = 23.0", "until_s = 6.0")
        .replace("from_s = 8.0", "from_s = 3.0");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short.toml");
    std::fs::write(&path, short).unwrap();
    let args = ["surge", path.to_str().unwrap(), "--viewers", "3", "--json"];
    let ended = Program::seawall_without_log(&args).ended().await;
    let result: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(result["scenario"], "celebrity-live", "{ended:?}");
    assert!(matches!(ended.code, Some(0 | 4)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn top_ends_when_its_reader_has_gone_away() {
    let folder = tempfile::tempdir().unwrap();
    let segments = folder.path().to_str().unwrap();
    let args = [&["up", "--segments", segments][..], &FREE_DOORS].concat();
    let up = Program::seawall(&args);
    let admin = up.address("A Prometheus finds").await.to_string();
    let top = Program::seawall_without_reader(&["top", "--plain", "--admin", &admin]);
    let ended = top.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

//! What an operator does to a running edge: inspect, purge hard and soft, drain. Without the token these calls are refused.

use std::net::SocketAddr;

use crate::support::client::{self, Reply};
use crate::support::eventually;
use crate::support::fault_origin::{Behaviour, FaultOrigin, Gate};
use crate::support::program::{self, Program};

const SEGMENT: &str = "/live/demo/720p/7.ts";
const TOKEN: &str = "open-sesame";
const BEARER: &str = "authorization: Bearer open-sesame\r\n";

/// An edge in its own process in front of `origin`, and its addresses for viewers and for operators.
async fn edge(origin: &FaultOrigin, token: Option<&str>) -> (Program, SocketAddr, SocketAddr) {
    let upstream = origin.url();
    let own = ["edge", "--name", "edge-t", "--upstream", &upstream];
    let doors = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let settings: Vec<_> = token
        .map(|token| ("SEAWALL_ADMIN_TOKEN", token))
        .into_iter()
        .collect();
    let edge = Program::seawall_with(&[&own[..], &doors[..]].concat(), &settings);
    let (viewers, admin) = (edge.address("edge-t").await, edge.address("admin").await);
    (edge, viewers, admin)
}

async fn post(admin: SocketAddr, target: &str, headers: &str) -> Reply {
    client::request(admin, "POST", target, headers, b"").await
}

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.body.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_makes_an_edge_ask_again_and_a_soft_one_serves_once_more() {
    let origin = FaultOrigin::start(|_, number| {
        Behaviour::ok_with(
            "etag: \"x\"\r\ncache-control: max-age=600\r\n",
            format!("{number}"),
        )
    })
    .await;
    let (_program, viewers, admin) = edge(&origin, Some(TOKEN)).await;
    let get = |path| async move { text(&client::get(viewers, path).await) };
    assert_eq!(get(SEGMENT).await, "0");
    assert_eq!(get("/foreign?a=1").await, "1");
    assert_eq!(get(SEGMENT).await, "0");

    let purged = post(admin, &format!("/-/purge?path={SEGMENT}"), BEARER).await;
    assert_eq!(
        (purged.status, text(&purged).as_str()),
        (200, "{\"purged\":1}")
    );
    assert_eq!(get(SEGMENT).await, "2");
    assert_eq!(get("/foreign?a=1").await, "1", "nothing else is purged");

    let purged = post(admin, "/-/purge?channel=demo&soft=true", BEARER).await;
    assert_eq!(text(&purged), "{\"purged\":1}");
    let stale = client::get(viewers, SEGMENT).await;
    assert_eq!(text(&stale), "2");
    assert!(
        stale.header("cache-status").contains("hit; ttl=-"),
        "{stale:?}"
    );
    eventually("it is refreshed", || origin.hits(SEGMENT) == 3).await;

    let purged = post(admin, "/-/purge?prefix=/foreign", BEARER).await;
    assert_eq!(text(&purged), "{\"purged\":1}");
    let nothing = post(admin, "/-/purge?prefix=/foreign", BEARER).await;
    assert_eq!(text(&nothing), "{\"purged\":0}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_purged_while_it_comes_in_reaches_its_waiters_and_is_not_kept() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |_, number| match number {
        0 => Behaviour::Gated(held.clone(), Box::new(Behaviour::ok("old"))),
        _ => Behaviour::ok("new"),
    })
    .await;
    let (_program, viewers, admin) = edge(&origin, Some(TOKEN)).await;
    let waiter = tokio::spawn(async move { client::get(viewers, SEGMENT).await });
    eventually("the fetch is under way", || origin.hits(SEGMENT) == 1).await;
    let purged = post(admin, &format!("/-/purge?path={SEGMENT}"), BEARER).await;
    assert_eq!(text(&purged), "{\"purged\":1}");
    assert_eq!(text(&client::get(viewers, SEGMENT).await), "new");
    gate.open();
    assert_eq!(text(&waiter.await.unwrap()), "old");
    assert_eq!(text(&client::get(viewers, SEGMENT).await), "new");
    assert_eq!(origin.hits(SEGMENT), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_without_the_token() {
    let origin = FaultOrigin::start(|_, _| Behaviour::ok("x")).await;
    let (_with, viewers, admin) = edge(&origin, Some(TOKEN)).await;
    client::get(viewers, SEGMENT).await;
    for headers in [
        "",
        "authorization: Bearer wrong\r\n",
        "authorization: Basic eA==\r\n",
    ] {
        for target in ["/-/purge?channel=demo", "/-/drain"] {
            let refused = post(admin, target, headers).await;
            assert_eq!(refused.status, 401, "{target} {headers:?}");
            assert!(
                text(&refused).contains("Authorization: Bearer"),
                "{refused:?}"
            );
        }
    }
    let (_without, _, admin) = edge(&origin, None).await;
    let refused = post(admin, "/-/purge?channel=demo", BEARER).await;
    assert_eq!(refused.status, 403);
    assert!(
        text(&refused).contains("SEAWALL_ADMIN_TOKEN"),
        "{refused:?}"
    );
    assert!(
        client::get(viewers, SEGMENT)
            .await
            .header("cache-status")
            .contains("; hit")
    );
    // The viewers' listener has no such paths: requests for them go to the origin like any other.
    let outside = post(viewers, "/-/purge?channel=demo", BEARER).await;
    assert_eq!(outside.status, 200);
    assert!(
        client::get(viewers, SEGMENT)
            .await
            .header("cache-status")
            .contains("; hit")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_edge_says_so_and_serves_on() {
    let origin = FaultOrigin::start(|_, _| Behaviour::ok("x")).await;
    let (_program, viewers, admin) = edge(&origin, Some(TOKEN)).await;
    client::get(viewers, SEGMENT).await;
    assert_eq!(post(admin, "/-/drain", BEARER).await.status, 200);
    let ready = client::get(admin, "/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(text(&ready).contains("drained"), "{ready:?}");
    assert_eq!(client::get(viewers, SEGMENT).await.status, 200);
    let back = client::request(admin, "DELETE", "/-/drain", BEARER, b"").await;
    assert_eq!(back.status, 200);
    eventually_ready(admin).await;
}

async fn eventually_ready(admin: SocketAddr) {
    for _ in 0..100 {
        if client::get(admin, "/readyz").await.status == 200 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("/readyz never says 200");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_inspect_and_purge_speak_for_themselves() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |arrived, _| match arrived.target.as_str() {
        SEGMENT => Behaviour::ok_with("etag: \"seven\"\r\n", vec![7; 1_000]),
        "/live/demo/720p/8.ts" => Behaviour::Gated(held.clone(), Box::new(Behaviour::ok("8"))),
        _ => Behaviour::status(404),
    })
    .await;
    let (_program, viewers, admin) = edge(&origin, Some(TOKEN)).await;
    let admin = format!("http://{admin}");
    let url = |number: u32| format!("http://{viewers}/live/demo/720p/{number}.ts");
    client::get(viewers, SEGMENT).await;
    client::get(viewers, "/live/demo/720p/9.ts").await;
    let waiting = tokio::spawn(async move { client::get(viewers, "/live/demo/720p/8.ts").await });
    eventually("8 is on its way", || {
        origin.hits("/live/demo/720p/8.ts") == 1
    })
    .await;

    let stored = program::run(&["inspect", &url(7), "--admin", &admin]).await;
    assert_eq!(stored.code, Some(0), "{}", stored.err);
    for said in [
        "fresh, 1000 bytes",
        "etag \"seven\"",
        "flight        none",
        "last landing  ok",
    ] {
        assert!(stored.out.contains(said), "{said:?} in {}", stored.out);
    }
    let flying = program::run(&["inspect", &url(8), "--admin", &admin]).await;
    for said in ["stored        nothing", "generation", "1 waiting"] {
        assert!(flying.out.contains(said), "{said:?} in {}", flying.out);
    }
    let missing = program::run(&["inspect", &url(9), "--admin", &admin, "--json"]).await;
    let missing: serde_json::Value = serde_json::from_str(&missing.out).unwrap();
    assert_eq!(missing["last_landing"]["outcome"], "refused");
    assert_eq!(missing["object"], serde_json::Value::Null);
    gate.open();
    waiting.await.unwrap();

    let purge = ["purge", &url(7), "--admin", &admin, "--token"];
    let wrong = program::run(&[&purge[..], &["wrong"]].concat()).await;
    assert_eq!(wrong.code, Some(1));
    assert!(
        wrong.err.contains("token is missing or wrong"),
        "{}",
        wrong.err
    );
    let right = program::run(&[&purge[..], &[TOKEN]].concat()).await;
    assert_eq!((right.code, right.out.as_str()), (Some(0), "purged 1\n"));
    let nobody = program::run(&["inspect", &url(7), "--admin", "http://127.0.0.1:9"]).await;
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.err.contains("is --admin right?"), "{}", nobody.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_change_while_an_edge_runs() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |_, _| {
        Behaviour::Gated(held.clone(), Box::new(Behaviour::ok("x")))
    })
    .await;
    let (_program, viewers, admin) = edge(&origin, Some(TOKEN)).await;
    let before = text(&client::get(admin, "/-/limits").await);
    assert!(before.contains("\"segment_wait_ms\":4000"), "{before}");
    assert_eq!(
        post(admin, "/-/limits?segment_wait_ms=50", "").await.status,
        401
    );
    for wrong in [
        "segment_wait_ms=0",
        "waiters_max=0",
        "nonsense=1",
        "origin_at_once_max=1",
    ] {
        let refused = post(admin, &format!("/-/limits?{wrong}"), BEARER).await;
        assert_eq!(refused.status, 400, "{wrong}");
    }
    assert_eq!(text(&client::get(admin, "/-/limits").await), before);
    let changed = post(admin, "/-/limits?segment_wait_ms=50", BEARER).await;
    assert!(
        text(&changed).contains("\"segment_wait_ms\":50"),
        "{changed:?}"
    );
    let shed = client::get(viewers, SEGMENT).await;
    assert_eq!(shed.status, 503);
    assert!(
        shed.header("cache-status").contains("detail=deadline"),
        "{shed:?}"
    );
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_logged_where_a_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (config, log) = (
        folder.path().join("edge.toml"),
        folder.path().join("access.jsonl"),
    );
    let origin = FaultOrigin::start(|_, _| Behaviour::ok("seven")).await;
    let start = |one_of: u32| {
        let settings = format!(
            "[edge]\nname = \"edge-t\"\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nupstreams = [\"{}\"]\n\
             access_log = \"{}\"\naccess_log_one_of = {one_of}\n",
            origin.url(),
            log.display()
        );
        std::fs::write(&config, settings).unwrap();
        Program::seawall(&["edge", "--config", config.to_str().unwrap()])
    };
    let all = start(1);
    let viewers = all.address("edge-t").await;
    for _ in 0..3 {
        client::get(viewers, &format!("{SEGMENT}?session=secret")).await;
    }
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("three lines are written", || lines().lines().count() == 3).await;
    assert!(!lines().contains("secret"));
    let logged: Vec<serde_json::Value> = lines()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let results: Vec<_> = logged
        .iter()
        .map(|line| line["result"].as_str().unwrap())
        .collect();
    assert_eq!(results, ["miss", "hit", "hit"]);
    assert_eq!(logged[0]["path"], SEGMENT);
    assert_eq!(logged[0]["bytes"], 5);
    drop(all);

    let some = start(10);
    let viewers = some.address("edge-t").await;
    for _ in 0..20 {
        client::get(viewers, SEGMENT).await;
    }
    eventually("one of ten is written", || lines().lines().count() == 5).await;

    std::fs::write(
        &config,
        format!("[edge]\naccess_log = \"{}\"\n", folder.path().display()),
    )
    .unwrap();
    let doors = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let own = ["edge", "--config", config.to_str().unwrap()];
    let refused = program::run(&[&own[..], &doors[..]].concat()).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("edge.access_log"), "{}", refused.err);
}

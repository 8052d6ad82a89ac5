//! The admin listener: all components are found through one address, and nothing is disclosed or changed without the token.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use seawall::config::target::Role;
use seawall::serve::discovery::Group;

use crate::support::client;
use crate::support::program::{FREE_DOORS, Program};

const TOKEN: &str = "open-sesame";
const BEARER: &str = "authorization: Bearer open-sesame\r\n";

async fn groups(admin: SocketAddr) -> Vec<Group> {
    let told = client::get(admin, "/-/targets").await;
    assert_eq!(
        (told.status, told.header("content-type").as_str()),
        (200, "application/json")
    );
    serde_json::from_slice(&told.body).unwrap()
}

/// Every component that is found at `admin` answers a scrape. Returns their roles and names.
async fn found(admin: SocketAddr) -> Vec<(Role, String)> {
    let mut components = Vec::new();
    for Group { targets, labels } in groups(admin).await {
        let [target] = &targets[..] else {
            panic!("{targets:?}")
        };
        let scraped = client::get(target.parse().unwrap(), "/metrics").await;
        let text = String::from_utf8(scraped.body).unwrap();
        let own = match labels.component {
            Role::Origin => "seawall_origin_inflight".to_owned(),
            _ => format!("seawall_edge_flights{{edge=\"{}\"}}", labels.name),
        };
        assert!(text.contains(&own), "{labels:?}");
        components.push((labels.component, labels.name));
    }
    components
}

fn components(expected: &[(Role, &str)]) -> Vec<(Role, String)> {
    expected
        .iter()
        .map(|(role, name)| (*role, (*name).to_owned()))
        .collect()
}

/// `seawall up` on free ports with the smallest ladder.
fn up(more: &[&str]) -> (Program, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let segments = folder.path().to_str().unwrap();
    let own = ["up", "--segments", segments, "--renditions", "180p"];
    let config = folder.path().join("seawall.toml");
    // The shields' listeners have no flags.
    let shields = "[edge]\nshield_listen = \"127.0.0.1:0\"\nshield_admin = \"127.0.0.1:0\"\n";
    std::fs::write(&config, shields).unwrap();
    let config = ["--config", config.to_str().unwrap()];
    let program = Program::seawall(&[&own[..], &FREE_DOORS[..], &config[..], more].concat());
    (program, folder)
}

/// The address that `seawall up` names for a Prometheus.
async fn discovery(up: &Program) -> SocketAddr {
    up.says("/-/targets").await;
    let said = up.said();
    let (before, _) = said.split_once("/-/targets").unwrap();
    before.rsplit("http://").next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_names_every_room_of_one_process() {
    let (up, _folder) = up(&["--edges", "2", "--shields", "1x1"]);
    let expected = [
        (Role::Edge, "edge-1"),
        (Role::Edge, "edge-2"),
        (Role::Shield, "shield-1-1"),
        (Role::Origin, "origin"),
    ];
    assert_eq!(found(discovery(&up).await).await, components(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_names_every_room_that_is_a_process() {
    let (up, _folder) = up(&["--edges", "2", "--processes"]);
    let expected = [
        (Role::Edge, "edge-1"),
        (Role::Edge, "edge-2"),
        (Role::Origin, "origin"),
    ];
    let discovery = discovery(&up).await;
    // The origin learns of the last edge just before the address is printed, and may not have processed it yet.
    let begun = Instant::now();
    while groups(discovery).await.len() < expected.len() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "an edge is missing"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(found(discovery).await, components(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn components_that_were_started_apart_are_named_by_hand() {
    let doors = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let edge = Program::seawall(&[&["edge", "--name", "edge-rome"][..], &doors[..]].concat());
    let elsewhere = format!("edge/edge-rome={}", edge.address("admin").await);
    let folder = tempfile::tempdir().unwrap();
    let segments = folder.path().to_str().unwrap();
    let own = ["origin", "--segments", segments, "--targets", &elsewhere];
    let origin = Program::seawall(&[&own[..], &doors[..]].concat());
    let expected = [(Role::Edge, "edge-rome"), (Role::Origin, "origin")];
    let admin = origin.address("admin").await;
    assert_eq!(found(admin).await, components(&expected));

    let wrong = ["origin", "--targets", "127.0.0.1:9081"];
    let refused = crate::support::program::run(&wrong).await;
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.err.contains("COMPONENT/NAME=HOST:PORT"),
        "{}",
        refused.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_shown_to_whoever_brings_the_token_and_its_secrets_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("seawall.toml");
    let settings = format!(
        "[origin]\nsegments = \"{}\"\ntoken = \"hunter2\"\n[edge]\nname = \"edge-rome\"\n\
         [broadcast]\nto = \"http://user:hunter2@127.0.0.1:9\"\n",
        folder.path().display()
    );
    std::fs::write(&config, settings).unwrap();
    let own = ["--config", config.to_str().unwrap()];
    let doors = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    for component in ["origin", "edge"] {
        let arguments = [&[component][..], &own[..], &doors[..]].concat();
        let program = Program::seawall_with(&arguments, &[("SEAWALL_ADMIN_TOKEN", TOKEN)]);
        let admin = program.address("admin").await;
        let ask =
            async |headers: &str| client::request(admin, "GET", "/-/config", headers, b"").await;
        for headers in ["", "authorization: Bearer wrong\r\n"] {
            let refused = ask(headers).await;
            assert_eq!(refused.status, 401, "{component}");
            assert!(
                !String::from_utf8(refused.body)
                    .unwrap()
                    .contains("edge-rome")
            );
        }
        let shown = ask(BEARER).await;
        let text = String::from_utf8(shown.body).unwrap();
        assert_eq!(shown.status, 200, "{text}");
        assert!(
            text.contains("name = \"edge-rome\"") && text.contains("token = \"***\""),
            "{text}"
        );
        for secret in ["hunter2", TOKEN] {
            assert!(!text.contains(secret), "{component} tells {secret}");
        }
        drop(program);

        let without = Program::seawall(&arguments);
        let admin = without.address("admin").await;
        let refused = client::request(admin, "GET", "/-/config", BEARER, b"").await;
        assert_eq!(refused.status, 403, "{component}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_that_changes_something_needs_the_token() {
    let doors = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let folder = tempfile::tempdir().unwrap();
    let segments = ["--segments", folder.path().to_str().unwrap()];
    let edge = [&["edge"][..], &doors[..]].concat();
    let origin = [&["origin"][..], &doors[..], &segments[..]].concat();
    // The paths of the admin listeners; a path without a changing call answers so.
    let paths = [
        "/metrics",
        "/healthz",
        "/readyz",
        "/-/targets",
        "/-/config",
        "/-/hits",
        "/-/hits/objects",
        "/-/inspect?path=/",
        "/-/audit",
        "/-/limits?waiters_max=1",
        "/-/purge?channel=demo",
        "/-/drain",
    ];
    for arguments in [edge, origin] {
        let component = Program::seawall_with(&arguments, &[("SEAWALL_ADMIN_TOKEN", TOKEN)]);
        let admin = component.address("admin").await;
        for path in paths {
            for method in ["POST", "DELETE", "PUT", "PATCH"] {
                let answer =
                    client::request(admin, method, path, "content-length: 0\r\n", b"").await;
                assert!(
                    matches!(answer.status, 401 | 404 | 405),
                    "{} {method} {path}: {}",
                    arguments[0],
                    answer.status
                );
            }
        }
    }
}

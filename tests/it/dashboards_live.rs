//! A real Prometheus, with the configuration of `dashboards/`, scrapes a real surge. Every panel shows data, and the data agree
//! with the surge's own report.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::dashboards::{self, Reads, TARGET_LABELS};
use crate::support::program::{FREE_DOORS, Program};
use crate::support::prometheus::{Prometheus, free_address, until};

const SURGE: &str = r#"
name = "small"
about = "100 viewers within seconds at three cold edges"
seed = 1

[real]
requests_logged_max = 200000

[real.cluster]
edges = 3
parts_per_segment = 6
origin = { latency_ms = 50.0 }

[real.audience]
viewers = 100
arrivals = { gamma = { shape = 2.0, scale_s = 2.0, within_s = 8.0 } }
sessions = { the-end = { until_s = 18.0, plunge_s = 2.0 } }
last_mile = { median_bps = 4000000, sigma = 0.5, at_least_bps = 800000 }
abr = "hls.js"
renditions = ["180p", "360p"]

[[real.phases]]
name = "surge"
from_s = 0.0

[[real.phases]]
name = "plateau"
from_s = 9.0

[real.thresholds]
bytes_wrong_max = 0
fatal_max = 0
"#;

/// The URL after `word` in the line of this component.
fn url(said: &str, component: &str, word: &str) -> SocketAddr {
    let line = said
        .lines()
        .find(|line| line.trim_start().starts_with(component))
        .unwrap();
    let (_, rest) = line.split_once(word).unwrap();
    let (_, url) = rest.split_once("http://").unwrap();
    url.split('/').next().unwrap().parse().unwrap()
}

fn assert_close(what: &str, measured: f64, expected: f64) {
    let off = (measured / expected - 1.0).abs();
    assert!(off <= 0.05, "{what}: {measured} and not {expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_and_every_panel_show_what_the_report_of_a_surge_says() {
    let folder = tempfile::tempdir().unwrap();
    let segments = folder.path().join("segments");
    let own = ["up", "--edges", "3", "--renditions", "180p,360p"];
    let stage = ["--origin-latency-ms", "50", "--segments"];
    let up = Program::seawall(
        &[
            &own[..],
            &stage[..],
            &[segments.to_str().unwrap()],
            &FREE_DOORS[..],
        ]
        .concat(),
    );
    up.says("Ctrl-C ends it").await;
    let said = up.said();
    let origin = url(&said, "origin", "metrics");
    let audience = free_address();
    let prometheus = Prometheus::start(folder.path(), origin, audience).await;
    let patience = Duration::from_secs(40);
    until("four components are scraped", patience, async || {
        prometheus.value(r#"sum(up{job="seawall"})"#).await == 4.0
    })
    .await;
    let hits = prometheus.value("sum(seawall_origin_hits_total)").await;
    assert_eq!(hits, 0.0, "caches are cold");

    let scenario = folder.path().join("small.toml");
    fs::write(&scenario, SURGE).unwrap();
    let mut surge = vec!["surge".to_owned(), scenario.display().to_string()];
    for edge in ["edge-1", "edge-2", "edge-3"] {
        surge.extend([
            "--target".to_owned(),
            format!("http://{}", url(&said, edge, "")),
        ]);
    }
    surge.extend(["--origin-admin".to_owned(), format!("http://{origin}")]);
    surge.extend([
        "--metrics".to_owned(),
        audience.to_string(),
        "--json".to_owned(),
    ]);
    let surge = Program::seawall(&surge.iter().map(String::as_str).collect::<Vec<_>>());
    surge.logs("audience http://").await;
    until("the audience is scraped", patience, async || {
        prometheus.value("sum(seawall_viewers)").await > 0.0
    })
    .await;
    promtool_finds_nothing_in(audience).await;
    let likes = a_viewer_likes(url(&said, "edge-1", ""));
    let surge = surge.ended().await;
    assert_eq!(likes.ended().await.code, Some(0));
    // A machine that is busy with other tests may make a run invalid; its counts are the same nevertheless.
    assert!(matches!(surge.code, Some(0 | 4)), "{}", surge.err);
    let report: Value = serde_json::from_str(&surge.out).unwrap();
    let began = report["began"].as_f64().unwrap() / 1e3;
    let window = (began, began + report["elapsed_s"].as_f64().unwrap());
    // Time for two scrapes and the rules that follow them.
    tokio::time::sleep(Duration::from_secs(3)).await;

    headline_values_agree(&prometheus, &report, window).await;
    let known = prometheus.metrics().await;
    every_panel_shows_something(&prometheus, &known, window).await;
    rules_read_what_is_there(&prometheus, &known).await;
    previews_are_drawn(&prometheus, window).await;

    let firing = prometheus
        .value(r#"count(ALERTS{alertstate="firing"})"#)
        .await;
    assert_eq!(firing, 0.0, "nothing was wrong, and an alert fires");
}

/// A viewer that likes again and again, through an edge, while the surge is played.
fn a_viewer_likes(edge: SocketAddr) -> Program {
    let often = format!(
        "for n in $(seq 40); do curl -sSf -o /dev/null -X PUT -H \"Like-Seq: $n\" \
         http://{edge}/live/demo/likes/ann; sleep 0.2; done"
    );
    Program::start(Command::new("sh").args(["-ec", &often]))
}

async fn promtool_finds_nothing_in(component: SocketAddr) {
    let check = format!("curl -sS http://{component}/metrics | promtool check metrics");
    let ended = Program::start(Command::new("sh").args(["-c", &check]))
        .ended()
        .await;
    let said = ended.out + &ended.err;
    assert!(ended.code == Some(0) && said.is_empty(), "{said}");
}

/// Draws the pictures that stand in for Grafana's, with a figure or a line in each panel.
async fn previews_are_drawn(prometheus: &Prometheus, (from, until): (f64, f64)) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/preview/preview.py");
    for board in dashboards::BOARDS {
        let arguments = [
            board,
            &prometheus.url,
            &from.to_string(),
            &until.to_string(),
        ];
        let ended = Program::start(Command::new("python3").arg(script).args(arguments))
            .ended()
            .await;
        assert_eq!(ended.code, Some(0), "{board}: {}", ended.err);
        assert!(
            ended.out.contains("not Grafana") && !ended.out.contains("no data"),
            "{board}"
        );
    }
}

async fn headline_values_agree(prometheus: &Prometheus, report: &Value, window: (f64, f64)) {
    let of_report = |pointer: &str| report.pointer(pointer).unwrap().as_f64().unwrap();
    // The caches were cold, so all later counts are the surge's. The channel's description (`other`) is the exception, because
    // it is read before a run begins.
    for kind in ["multivariant", "media_playlist", "segment"] {
        let expr = format!(r#"sum(seawall_origin_hits_total{{kind="{kind}"}})"#);
        let counted = prometheus.value(&expr).await;
        let reported = of_report(&format!("/origin/measured/{kind}"));
        assert_eq!(counted, reported, "origin hits: {kind}");
    }
    for (client, hits) in report["origin"]["measured"]["per_client"]
        .as_object()
        .unwrap()
    {
        let expr = format!(r#"sum(seawall_origin_hits_total{{client="{client}",kind!="other"}})"#);
        assert_eq!(
            prometheus.value(&expr).await,
            hits.as_f64().unwrap(),
            "{client}"
        );
    }
    let requests: f64 = report["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of_kind| of_kind["total"].as_f64().unwrap())
        .sum();
    // Likes have the kind `other`.
    let of_viewers = r#"seawall_edge_requests_total{kind!="other"}"#;
    let counted = prometheus.value(&format!("sum({of_viewers})")).await;
    assert_eq!(counted, requests, "requests of viewers");

    let seconds = window.1 - window.0;
    let whole = format!("[{:.0}s] @ {}", seconds + 3.0, window.1 + 2.0);
    let increase = |metric: &str| format!("sum(increase({metric}{whole}))");
    let rate = prometheus.value(&increase(of_viewers)).await;
    assert_close("requests/s", rate / seconds, requests / seconds);
    let offload = format!(
        r#"1 - sum(seawall_origin_hits_total{{kind!="other"}}) / {}"#,
        increase(of_viewers)
    );
    assert_close(
        "offload",
        prometheus.value(&offload).await,
        of_report("/origin/offload"),
    );

    let most = |expr: &str| format!("max_over_time(({expr})[2m:1s])");
    let viewers = prometheus.value(&most("sum(seawall_viewers)")).await;
    assert_close("viewers", viewers, of_report("/viewers/started"));
    let joins = prometheus
        .value(&most("sum(seawall_viewer_joins_total)"))
        .await;
    assert_eq!(joins, of_report("/viewers/started"));
    let stalls = prometheus
        .value(&most("sum(seawall_viewer_stalls_total)"))
        .await;
    assert_eq!(stalls, of_report("/experience/stalls"));
    let amplification = prometheus
        .value(&most("seawall:amplification:ratio10s"))
        .await;
    assert_eq!(amplification, 1.0, "nothing was fetched twice");
    let excess = prometheus.value("seawall:origin_excess:ratio1m").await;
    assert!((0.8..1.3).contains(&excess), "excess {excess}");
}

/// Each target has at least one finite value, with the labels in its legend.
async fn every_panel_shows_something(
    prometheus: &Prometheus,
    known: &BTreeMap<String, BTreeSet<String>>,
    window: (f64, f64),
) {
    let mut wrong = Vec::new();
    for target in dashboards::targets() {
        let expr = target.resolved();
        check_labels(&target.place, &expr, known, &mut wrong);
        let series = prometheus.during(&expr, window).await;
        let finite = series
            .iter()
            .any(|(_, values)| values.iter().any(|value| value.is_finite()));
        if !finite {
            wrong.push(format!("{}: no finite value: {expr}", target.place));
        }
        for (labels, _) in &series {
            for label in &target.legend_labels {
                if !labels.contains(label) {
                    wrong.push(format!("{}: no label {label} in {labels:?}", target.place));
                }
            }
        }
    }
    let events = prometheus
        .during("(seawall_event_timestamp_seconds > 0) * 1000", window)
        .await;
    assert!(events.iter().all(|(labels, _)| labels.contains("event")));
    assert_eq!(events.len(), 2, "both phases are annotated: {events:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The rules too read only metrics and labels that exist.
async fn rules_read_what_is_there(
    prometheus: &Prometheus,
    known: &BTreeMap<String, BTreeSet<String>>,
) {
    let mut wrong = Vec::new();
    let rules = prometheus.ask("rules", &[]).await;
    let groups = rules["groups"].as_array().unwrap();
    let rules: Vec<_> = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    assert!(rules.len() > 20, "{} rules", rules.len());
    for rule in rules {
        let (name, expr) = (
            rule["name"].as_str().unwrap(),
            rule["query"].as_str().unwrap(),
        );
        assert_eq!(rule["health"], "ok", "{name}: {}", rule["lastError"]);
        check_labels(name, expr, known, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Notes every unknown metric of an expression, and every label that its metrics do not have.
fn check_labels(
    place: &str,
    expr: &str,
    known: &BTreeMap<String, BTreeSet<String>>,
    wrong: &mut Vec<String>,
) {
    let reads = Reads::of(place, expr);
    let mut all: BTreeSet<_> = TARGET_LABELS.map(str::to_owned).into();
    for (metric, labels) in &reads.metrics {
        let Some(has) = known.get(metric) else {
            wrong.push(format!("{place}: no component exposes {metric}"));
            continue;
        };
        all.extend(has.iter().cloned());
        for label in labels {
            if !has.contains(label) && !TARGET_LABELS.contains(&label.as_str()) {
                wrong.push(format!("{place}: {metric} has no label {label}"));
            }
        }
    }
    for label in reads.grouped_by.difference(&all) {
        wrong.push(format!(
            "{place}: none of its metrics has the label {label}"
        ));
    }
}

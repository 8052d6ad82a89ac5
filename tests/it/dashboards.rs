//! The content of `dashboards/`: Grafana's boards keep their rules, Prometheus' own tool finds no error, and every alert is
//! tested both firing and not firing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use promql_parser::parser::{BinModifier, Expr, LabelModifier, VectorMatchCardinality};
use promql_parser::util::visitor::{ExprVisitor, walk_expr};
use seawall::serve::metrics::TABLE;
use serde_json::Value;

use crate::support::program::Program;

/// The names of the boards.
pub(crate) const BOARDS: [&str; 4] = ["surge", "edge", "origin", "likes"];
/// Labels that Prometheus and its configuration add to every series.
pub(crate) const TARGET_LABELS: [&str; 4] = ["job", "instance", "component", "name"];

/// A file below `dashboards/`.
pub(crate) fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("dashboards")
        .join(file)
}

pub(crate) fn text(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("dashboards/{file}: {error}"))
}

pub(crate) fn board(name: &str) -> Value {
    serde_json::from_str(&text(&format!("grafana/{name}.json"))).unwrap()
}

/// An expression of a board, and its place.
pub(crate) struct Target {
    pub(crate) place: String,
    /// With Grafana's variables.
    pub(crate) expr: String,
    /// The names in double braces in its legend.
    pub(crate) legend_labels: Vec<String>,
}

impl Target {
    /// The expression in Prometheus' form: all edges, and the interval that Grafana uses for a scrape every second.
    pub(crate) fn resolved(&self) -> String {
        self.expr
            .replace("$__rate_interval", "4s")
            .replace("$edge", ".*")
    }
}

/// Every expression of every panel.
pub(crate) fn targets() -> Vec<Target> {
    let mut all = Vec::new();
    for name in BOARDS {
        let board = board(name);
        for panel in board["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let legend = target["legendFormat"].as_str().unwrap();
                all.push(Target {
                    place: format!("{name}: {}: {legend}", panel["title"]),
                    expr: target["expr"].as_str().unwrap().to_owned(),
                    legend_labels: legend
                        .split("{{")
                        .skip(1)
                        .map(|rest| rest.split("}}").next().unwrap().to_owned())
                        .collect(),
                });
            }
        }
    }
    assert!(all.len() > 100, "only {} expressions", all.len());
    all
}

/// What an expression reads.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Metrics, each with the labels that the expression needs.
    pub(crate) metrics: Vec<(String, Vec<String>)>,
    /// Labels that group or join series.
    pub(crate) grouped_by: BTreeSet<String>,
}

impl Reads {
    /// The reads of an expression in Prometheus' form.
    pub(crate) fn of(place: &str, expr: &str) -> Self {
        let parsed = promql_parser::parser::parse(expr)
            .unwrap_or_else(|error| panic!("{place}: {expr}: {error}"));
        let mut reads = Self::default();
        walk_expr(&mut reads, &parsed).unwrap();
        assert!(
            !reads.metrics.is_empty() || expr == "vector(0)",
            "{place} reads nothing"
        );
        reads
    }

    fn selector(&mut self, selector: &promql_parser::parser::VectorSelector) {
        let labels = selector.matchers.matchers.iter();
        self.metrics.push((
            selector
                .name
                .clone()
                .expect("every selector names its metric"),
            labels.map(|matcher| matcher.name.clone()).collect(),
        ));
    }

    fn modifier(&mut self, modifier: Option<&LabelModifier>) {
        if let Some(LabelModifier::Include(labels) | LabelModifier::Exclude(labels)) = modifier {
            self.grouped_by.extend(labels.labels.iter().cloned());
        }
    }

    fn joins(&mut self, modifier: Option<&BinModifier>) {
        let Some(modifier) = modifier else { return };
        self.modifier(modifier.matching.as_ref());
        if let VectorMatchCardinality::ManyToOne(labels)
        | VectorMatchCardinality::OneToMany(labels) = &modifier.card
        {
            self.grouped_by.extend(labels.labels.iter().cloned());
        }
    }
}

impl ExprVisitor for Reads {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
        match expr {
            Expr::VectorSelector(selector) => self.selector(selector),
            Expr::MatrixSelector(selector) => self.selector(&selector.vs),
            Expr::Aggregate(aggregate) => self.modifier(aggregate.modifier.as_ref()),
            Expr::Binary(binary) => self.joins(binary.modifier.as_ref()),
            _ => {}
        }
        Ok(true)
    }
}

/// Names of the series that rules.yml records.
fn recorded() -> BTreeSet<String> {
    let rules = text("prometheus/rules.yml");
    let records = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- record: "));
    records.map(str::to_owned).collect()
}

/// Whether the table of metrics has this name, also as a series of a histogram, or Prometheus adds it.
fn is_exposed(name: &str) -> bool {
    name == "up"
        || TABLE.iter().any(|metric| {
            let ends: &[&str] = match metric.buckets {
                [] => &[""],
                _ => &["_bucket", "_sum", "_count"],
            };
            ends.iter()
                .any(|end| name.strip_suffix(end) == Some(metric.name))
        })
}

async fn promtool(args: &[&str]) {
    let mut command = Command::new("promtool");
    let ended = Program::start(command.args(args).current_dir(path("prometheus")))
        .ended()
        .await;
    assert_eq!(
        ended.code,
        Some(0),
        "promtool {}: {}{}",
        args.join(" "),
        ended.out,
        ended.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_accepts_the_configuration_and_the_rules() {
    promtool(&["check", "config", "prometheus.yml"]).await;
    promtool(&["check", "rules", "rules.yml", "alerts.yml"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_alert_fires_when_it_must_and_not_when_it_must_not() {
    promtool(&["test", "rules", "alerts_test.yml"]).await;
    let (alerts, tests) = (
        text("prometheus/alerts.yml"),
        text("prometheus/alerts_test.yml"),
    );
    let names: Vec<_> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert_eq!(names.len(), 10, "{names:?}");
    for name in names {
        for said in ["fires", "does not fire"] {
            let test = format!("- name: {name} {said}");
            assert!(tests.contains(&test), "alerts_test.yml has no {test:?}");
        }
    }
    // Each description says what to do.
    assert_eq!(
        alerts.matches("description: >-").count(),
        alerts.matches("- alert: ").count()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn boards_are_what_their_script_writes() {
    let mut command = Command::new("python3");
    let ended = Program::start(command.arg(path("grafana/make.py")).arg("--check"))
        .ended()
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[test]
fn boards_have_a_datasource_variable_fixed_names_and_links_to_each_other() {
    let mut uids = BTreeSet::new();
    for name in BOARDS {
        let board = board(name);
        let uid = board["uid"].as_str().unwrap().to_owned();
        assert_eq!(uid, format!("seawall-{name}"));
        assert!(
            uid.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
            "{uid}"
        );
        assert!(uids.insert(uid));
        for absent in ["__inputs", "__requires", "id"] {
            assert!(board.get(absent).is_none(), "{name}: {absent}");
        }
        assert_eq!(board["graphTooltip"], 1, "{name}: a shared crosshair");
        assert_eq!(board["refresh"], "5s");
        assert_eq!(board["templating"]["list"][0]["name"], "datasource");
        assert_eq!(board["templating"]["list"][0]["type"], "datasource");
        assert_eq!(board["links"][0]["type"], "dashboards");
        let tag = &board["links"][0]["tags"][0];
        assert!(board["tags"].as_array().unwrap().contains(tag), "{name}");
        let annotation = &board["annotations"]["list"][0];
        assert_eq!(annotation["useValueForTime"], "on");
        let expr = annotation["expr"].as_str().unwrap();
        assert!(expr.contains("seawall_event_timestamp_seconds"), "{expr}");
        assert_eq!(annotation["datasource"]["uid"], "${datasource}");
    }
}

#[test]
fn panels_have_their_own_id_and_place_and_say_what_they_show() {
    for name in BOARDS {
        let board = board(name);
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in board["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            let place = format!("{name}: {title}");
            assert!(!title.is_empty(), "{place}");
            assert!(
                ids.insert(panel["id"].as_u64().unwrap()),
                "{place}: its id is taken"
            );
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(
                at("w") > 0 && at("h") > 0 && at("x") + at("w") <= 24,
                "{place}"
            );
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(taken.insert((x, y)), "{place} overlaps another at {x}, {y}");
                }
            }
            if panel["type"] == "row" {
                continue;
            }
            assert!(
                panel["description"]
                    .as_str()
                    .unwrap()
                    .split(' ')
                    .nth(1)
                    .is_some(),
                "{place}"
            );
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(!defaults["unit"].as_str().unwrap().is_empty(), "{place}");
            assert!(defaults["thresholds"]["steps"][0].is_object(), "{place}");
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{place}");
            for with_source in targets.iter().chain([panel]) {
                assert_eq!(with_source["datasource"]["uid"], "${datasource}", "{place}");
            }
            let refs: BTreeSet<_> = targets
                .iter()
                .map(|target| target["refId"].as_str())
                .collect();
            assert_eq!(
                refs.len(),
                targets.len(),
                "{place}: targets of the same name"
            );
        }
    }
}

#[test]
fn every_expression_reads_metrics_that_exist_over_an_interval_that_follows_the_scrapes() {
    let recorded = recorded();
    assert!(recorded.len() > 10, "{recorded:?}");
    for target in targets() {
        for range in target.expr.split('[').skip(1) {
            assert!(
                range.starts_with("$__rate_interval]"),
                "{}: {}",
                target.place,
                target.expr
            );
        }
        for (metric, _) in Reads::of(&target.place, &target.resolved()).metrics {
            assert!(
                recorded.contains(&metric) || is_exposed(&metric),
                "{}: no component exposes or records {metric}",
                target.place
            );
        }
    }
}

#[test]
fn a_metric_that_does_not_exist_and_an_expression_that_is_none_are_noticed() {
    assert!(is_exposed("seawall_edge_requests_total") && !is_exposed("seawall_edge_requests"));
    assert!(is_exposed("seawall_edge_origin_fetch_seconds_bucket"));
    assert!(!is_exposed("seawall_edge_requests_total_bucket"));
    let reads = Reads::of(
        "here",
        "sum by (a) (rate(m{b=\"1\"}[5s])) / on (c) group_left (d) n",
    );
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        reads.metrics,
        [("m".to_owned(), words(&["b"])), ("n".to_owned(), vec![])]
    );
    assert_eq!(
        reads.grouped_by.into_iter().collect::<Vec<_>>(),
        words(&["a", "c", "d"])
    );
    assert!(promql_parser::parser::parse("sum(rate(m[5s])").is_err());
}

#[test]
fn grafana_is_told_how_often_prometheus_scrapes() {
    let source = text("grafana/provisioning/datasources/prometheus.yml");
    assert!(source.contains("uid: prometheus\n") && source.contains("timeInterval: 1s\n"));
    let config = text("prometheus/prometheus.yml");
    assert!(config.contains("scrape_interval: 1s\n"));
    let compose = text("compose.yaml");
    for image in compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("image: "))
    {
        let (_, tag) = image.split_once(':').unwrap();
        assert!(
            tag.contains('.') && tag != "latest",
            "{image} is no version"
        );
    }
    let provider = text("grafana/provisioning/dashboards/seawall.yml");
    let folder = provider
        .lines()
        .find_map(|line| line.trim().strip_prefix("path: "))
        .unwrap();
    assert!(
        compose.contains(&format!("./grafana:{folder}:ro")),
        "boards are not where Grafana looks"
    );
}

//! A real Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::program::Program;
use crate::dashboards;

/// A running Prometheus.
pub(crate) struct Prometheus {
    pub(crate) url: String,
    _program: Program,
}

impl Prometheus {
    /// Starts with the configuration of `dashboards/`, but with other targets.
    pub(crate) async fn start(folder: &Path, origin: SocketAddr, audience: SocketAddr) -> Self {
        let config = dashboards::text("prometheus/prometheus.yml");
        for place in ["127.0.0.1:9000", "127.0.0.1:9070"] {
            assert!(config.contains(place), "{place}");
        }
        let config = config
            .replace("127.0.0.1:9000", &origin.to_string())
            .replace("127.0.0.1:9070", &audience.to_string());
        for rules in ["rules.yml", "alerts.yml"] {
            let text = dashboards::text(&format!("prometheus/{rules}"));
            fs::write(folder.join(rules), text).unwrap();
        }
        Self::with(folder, &config).await
    }

    /// Starts with this configuration.
    pub(crate) async fn with(folder: &Path, config: &str) -> Self {
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        let listen = free_address();
        let program = Program::start(Command::new("prometheus").args([
            format!("--config.file={}", folder.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address={listen}"),
        ]));
        program.logs("Server is ready").await;
        Self {
            url: format!("http://{listen}"),
            _program: program,
        }
    }

    /// The answer of its API.
    pub(crate) async fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "10", "--get"]);
        for (name, value) in fields {
            curl.args(["--data-urlencode", &format!("{name}={value}")]);
        }
        curl.arg(format!("{}/api/v1/{path}", self.url));
        let ended = Program::start(&mut curl).ended().await;
        let answer: Value = serde_json::from_str(&ended.out)
            .unwrap_or_else(|error| panic!("{path} {fields:?}: {error}: {ended:?}"));
        assert_eq!(answer["status"], "success", "{path} {fields:?}: {answer}");
        answer["data"].clone()
    }

    /// The single value of an expression now; 0 if there is none.
    pub(crate) async fn value(&self, expr: &str) -> f64 {
        let data = self.ask("query", &[("query", expr)]).await;
        match data["result"].as_array().unwrap().as_slice() {
            [] => 0.0,
            [one] => one["value"][1].as_str().unwrap().parse().unwrap(),
            several => panic!("{expr}: {} values", several.len()),
        }
    }

    /// Each series of an expression in a time range, second by second, with its labels.
    pub(crate) async fn during(
        &self,
        expr: &str,
        (from, until): (f64, f64),
    ) -> Vec<(BTreeSet<String>, Vec<f64>)> {
        let (from, until) = (from.to_string(), until.to_string());
        let fields = [
            ("query", expr),
            ("start", &from),
            ("end", &until),
            ("step", "1"),
        ];
        let data = self.ask("query_range", &fields).await;
        let series = data["result"].as_array().unwrap().iter().map(|series| {
            let labels = series["metric"].as_object().unwrap().keys().cloned();
            let samples = series["values"].as_array().unwrap().iter();
            let values = samples.map(|sample| sample[1].as_str().unwrap().parse().unwrap());
            (labels.collect(), values.collect())
        });
        series.collect()
    }

    /// Every metric in Prometheus, with its labels.
    pub(crate) async fn metrics(&self) -> BTreeMap<String, BTreeSet<String>> {
        let data = self
            .ask("series", &[("match[]", r#"{__name__=~".+"}"#)])
            .await;
        let mut all = BTreeMap::<_, BTreeSet<_>>::new();
        for series in data.as_array().unwrap() {
            let labels = series.as_object().unwrap();
            let name = labels["__name__"].as_str().unwrap().to_owned();
            all.entry(name).or_default().extend(labels.keys().cloned());
        }
        all
    }
}

/// An address without a listener, for programs that do not report which port 0 became.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, patience: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(
            begun.elapsed() < patience,
            "not within {patience:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

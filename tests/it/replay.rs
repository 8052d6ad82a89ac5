//! `seawall replay` as a program: each format, compressed and from a pipe; what it refuses, and what an interruption leaves.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::chance::{Chance, zipf};
use crate::support::program::{Ended, Program, run};

/// A herd of three at a cold cache, a hit, and another key.
const CSV: &str =
    "time,key,size,client\n10,/a.ts,100,x\n10.02,/a.ts,100,y\n10.05,/a.ts,100,z\n11,/b.m3u8,7,x\n";

fn written(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn result(ended: &Ended) -> Value {
    assert!(matches!(ended.code, Some(0 | 130)), "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

/// Hits, delayed hits and misses.
fn served(result: &Value) -> [u64; 3] {
    ["hits", "delayed_hits", "misses"].map(|word| result["requests"][word].as_u64().unwrap())
}

async fn replayed(text: impl AsRef<[u8]>, flags: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let file = written(&folder, "trace", text);
    run(&[&["replay", &file][..], flags].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_of_csv_is_replayed_with_the_miss_queue_and_without() {
    let on = result(&replayed(CSV, &["--json"]).await);
    assert_eq!(served(&on), [1, 1, 2]);
    assert_eq!(on["requests"]["origin_bytes"], 107);
    assert_eq!(on["added_latency"]["max_ms"], 50.0);
    assert_eq!(on["added_latency"]["delayed_hits_mean_ms"], 30.0);
    assert_eq!(on["partial"], false);
    let off = result(&replayed(CSV, &["--json", "--miss-queue", "off"]).await);
    assert_eq!(served(&off), [1, 0, 3]);
    let screen = replayed(CSV, &[]).await;
    assert_eq!(screen.code, Some(0));
    assert!(
        screen
            .out
            .contains("The miss queue kept 1 of 3 requests for missing objects away"),
        "{screen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_change_what_the_requests_meet() {
    let two = "0,a,60\n1,b,60\n2,a,60\n3,a,60\n";
    let small = result(&replayed(two, &["--json", "--cache-bytes", "100"]).await);
    assert_eq!(
        (served(&small), &small["cache"]["evictions"]),
        ([1, 0, 3], &Value::from(2))
    );
    let order = "0,a,1\n1,b,1\n2,a,1\n3,c,1\n4,a,1\n";
    for (policy, misses) in [("lru", 3), ("fifo", 4)] {
        let flags = ["--json", "--cache-bytes", "2", "--policy", policy];
        let result = result(&replayed(order, &flags).await);
        assert_eq!(result["requests"]["misses"], misses, "{policy}");
    }
    let flags = [
        "--json",
        "--fresh-s",
        "1",
        "--origin-ms",
        "0",
        "--time-unit",
        "ms",
    ];
    let stale = result(&replayed("0,a,1\n1000,a,1\n1001,a,1\n", &flags).await);
    assert_eq!(stale["requests"]["expired"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_a_server_is_replayed() {
    let line = |second: u8, request: &str, status: u16, bytes: &str| {
        format!(
            "1.2.3.4 - - [10/Oct/2000:13:55:{second} +0200] \"{request} HTTP/1.1\" {status} {bytes} \"-\" \"player\"\n"
        )
    };
    let log = [
        line(10, "GET /a.ts", 200, "100"),
        line(11, "GET /a.ts", 206, "7"),
        // Requests are written when they end.
        line(10, "GET /a.ts", 304, "-"),
        line(11, "POST /like", 200, "2"),
        line(12, "GET /none.ts", 404, "9"),
    ]
    .concat();
    let result = result(&replayed(log, &["--json"]).await);
    assert_eq!(served(&result), [2, 0, 1]);
    assert_eq!(result["requests"]["bytes"], 300);
    let trace = &result["trace"];
    assert_eq!(
        ["format", "skipped_not_get", "skipped_status", "reordered"].map(|key| trace[key].clone()),
        ["combined".into(), 1.into(), 1.into(), Value::from(1)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_an_edge_and_other_json_lines_are_replayed() {
    let mut ours = String::new();
    let mut theirs = String::new();
    for millis in [1_000, 1_020, 1_100] {
        let _ = writeln!(
            ours,
            "{{\"at_unix_ms\":{millis},\"edge\":\"edge-1\",\"method\":\"GET\",\"path\":\"/a.ts\",\"status\":200,\"result\":\"hit\",\"bytes\":9,\"head_ms\":0.1}}"
        );
        let seconds = f64::from(millis) / 1e3;
        let _ = writeln!(theirs, "{{\"ts\":{seconds},\"uri\":\"/a.ts\",\"n\":9}}");
    }
    assert_eq!(
        served(&result(&replayed(ours, &["--json"]).await)),
        [1, 1, 1]
    );
    #[rustfmt::skip]
    let flags = [
        "--json", "--format", "json", "--time-field", "ts", "--time-unit", "s", "--key-field", "uri", "--size-field", "n",
    ];
    assert_eq!(served(&result(&replayed(&theirs, &flags).await)), [1, 1, 1]);
    let lost = replayed(&theirs, &[]).await;
    assert_eq!(lost.code, Some(1));
    assert!(lost.err.contains("--time-field"), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_may_be_compressed_in_several_parts() {
    let (first, second) = CSV.split_at(CSV.find("10.05").unwrap());
    let both = [gzip(first), gzip(second)].concat();
    assert_eq!(
        served(&result(&replayed(&both, &["--json"]).await)),
        [1, 1, 2]
    );
    let cut = replayed(&both[..both.len() - 10], &["--json"]).await;
    assert_eq!(cut.code, Some(1));
    assert!(cut.err.contains("cannot read"), "{cut:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_may_come_from_stdin() {
    for bytes in [CSV.as_bytes().to_vec(), gzip(CSV)] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args(["replay", "-", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = tokio::task::block_in_place(|| child.wait_with_output()).unwrap();
        assert!(output.status.success());
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(served(&result), [1, 1, 2]);
        assert_eq!(result["trace"]["file"], "stdin");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_bad_lines_are_named_and_skipped_and_many_are_refused() {
    let trace = |bad: usize| {
        let good = (0..400).map(|time| format!("{time},a,1\n"));
        let bad = (0..bad).map(|_| "oops,a,1\n".to_owned());
        good.chain(bad).collect::<String>()
    };
    let few = replayed(trace(4), &["--json"]).await;
    assert_eq!(result(&few)["trace"]["lines_bad"], 4);
    for said in [
        "line 401 cannot be read: the time \"oops\" is no number",
        "line 403",
    ] {
        assert!(few.err.contains(said), "{few:?}");
    }
    assert!(!few.err.contains("line 404"), "{few:?}");
    let many = replayed(trace(5), &["--json"]).await;
    assert_eq!((many.code, many.out.as_str()), (Some(1), ""));
    assert!(
        many.err
            .contains("line 401 cannot be read: the time \"oops\" is no number; 5 of 405 lines"),
        "{many:?}"
    );
    let long = format!(
        "0,a,1\n0,{},1\n{}",
        "x".repeat(3 << 20),
        "0,a,1\n".repeat(200)
    );
    let long = replayed(long, &["--json"]).await;
    assert_eq!(served(&result(&long)), [0, 200, 1]);
    assert!(
        long.err
            .contains("line 2 cannot be read: it is longer than"),
        "{long:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_goes_back_in_time_is_refused_unless_that_is_tolerated() {
    let back = "10,a,1\n8.5,a,1\n11,a,1\n";
    let refused = replayed(back, &[]).await;
    assert_eq!(refused.code, Some(1));
    for said in ["line 2 is 1.5 s earlier", "--reorder-s"] {
        assert!(refused.err.contains(said), "{refused:?}");
    }
    let taken = result(&replayed(back, &["--json", "--reorder-s", "1.5"]).await);
    assert_eq!(
        (served(&taken), &taken["trace"]["reordered"]),
        ([1, 1, 1], &Value::from(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_no_trace_is_refused_with_a_reason() {
    for (text, said) in [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("# nothing\n", "tell no format"),
        ("time,key,size\n", "holds no request that counts"),
        ("1;a;2\n", "--format csv, combined or json"),
    ] {
        let ended = replayed(text, &[]).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains(said), "{text:?}: {ended:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    for (file, said) in [(path, "is a folder"), ("/nowhere/a.csv", "cannot open")] {
        let ended = run(&["replay", file]).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains(said), "{ended:?}");
    }
    for flags in [
        ["--origin-ms", "-1"],
        ["--fresh-s", "nan"],
        ["--cache-bytes", "much"],
    ] {
        assert_eq!(replayed(CSV, &flags).await.code, Some(2), "{flags:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_a_page_and_what_json_prints() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(&folder, "trace.csv", CSV);
    let report = folder.path().join("new/report");
    let flags = ["--json", "--report", report.to_str().unwrap()];
    let ended = run(&[&["replay", &file][..], &flags].concat()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("the page is "), "{ended:?}");
    let read = |name: &str| std::fs::read_to_string(report.join(name)).unwrap();
    assert_eq!(read("replay.json"), ended.out);
    let over_time = &result(&ended)["over_time"];
    assert_eq!(over_time["requests"], serde_json::json!([3, 1]));
    assert_eq!(over_time["origin_requests"], serde_json::json!([1, 1]));
    let page = read("replay.html");
    for part in ["trace.csv", "Of 4 requests 2 went to the origin", "<svg "] {
        assert!(page.contains(part), "{part}");
    }
    let flags = ["--report", &file];
    let refused = run(&[&["replay", &file][..], &flags].concat()).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err.contains("cannot write a report to") && refused.out.is_empty(),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_the_result_of_the_part_that_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let replay = Program::seawall(&[
        "replay",
        pipe.to_str().unwrap(),
        "--format",
        "csv",
        "--json",
    ]);
    // Opening waits for the reader.
    let mut writer = tokio::task::block_in_place(|| {
        std::fs::OpenOptions::new().write(true).open(&pipe).unwrap()
    });
    // More than the part from which a format is guessed. The bad line tells that the lines before it have been replayed.
    let lines = format!("{}oops,a,1\n", "1,a,1\n".repeat(20_000));
    tokio::task::block_in_place(|| writer.write_all(lines.as_bytes())).unwrap();
    replay.logs("line 20001 cannot be read").await;
    replay.signal("INT");
    let ended = replay.ended().await;
    drop(writer);
    assert_eq!(ended.code, Some(130), "{ended:?}");
    let result = result(&ended);
    assert_eq!(result["partial"], true);
    assert_eq!(served(&result), [0, 19_999, 1]);
}

/// The libCacheSim version that replays are compared with.
const LIBCACHESIM: &str = "0.3.5";

/// Installs libCacheSim into an environment of its own in the build folder if it is missing. Returns the environment's Python.
async fn libcachesim() -> PathBuf {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = scratch.parent().unwrap().join("libcachesim");
    let python = folder.join("bin/python");
    let version =
        "import importlib.metadata, libcachesim; print(importlib.metadata.version('libcachesim'))";
    let is_there = Command::new(&python).args(["-c", version]).output();
    if is_there.is_ok_and(|about| about.stdout.trim_ascii() == LIBCACHESIM.as_bytes()) {
        return python;
    }
    let mut command = Command::new("python3");
    command.args(["-m", "venv", "--clear"]).arg(&folder);
    let ended = Program::start(&mut command).ended().await;
    assert_eq!(
        ended.code,
        Some(0),
        "python3 makes no environment (scripts/deps --long installs what it needs): {ended:?}"
    );
    let mut command = Command::new(&python);
    command
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        // Of what it names, its caches need NumPy only.
        .args(["--only-binary=:all:", "--no-deps", "numpy"])
        .arg(format!("libcachesim=={LIBCACHESIM}"));
    let ended = Program::start(&mut command).ended().await;
    assert_eq!(
        ended.code,
        Some(0),
        "pip cannot install libCacheSim: {ended:?}"
    );
    python
}

#[ignore = "installs a Python package: make test-long"]
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_misses_exactly_as_often_as_libcachesim() {
    let python = libcachesim().await;
    let folder = tempfile::tempdir().unwrap();
    let mut seen = BTreeSet::new();
    for seed in 1..=3 {
        let (mut trace, mut pairs) = (String::new(), String::new());
        let objects = Chance::of(seed).objects(&zipf(3_000, 0.9)).take(100_000);
        for (second, object) in objects.enumerate() {
            // Objects differ in size, so that several may have to go for one.
            let size = 100 + object * 7_919 % 1_000;
            let _ = writeln!(trace, "{second},{object},{size}");
            let _ = writeln!(pairs, "{object},{size}");
        }
        let trace = written(&folder, "trace.csv", trace);
        let pairs = written(&folder, "pairs.csv", pairs);
        for policy in ["lru", "fifo"] {
            for cache_bytes in ["60000", "600000"] {
                let flags = [
                    "--json",
                    "--origin-ms",
                    "0",
                    "--policy",
                    policy,
                    "--cache-bytes",
                    cache_bytes,
                ];
                let ours = result(&run(&[&["replay", &trace][..], &flags].concat()).await);
                let [hits, delayed, misses] = served(&ours);
                assert_eq!((hits + misses, delayed), (100_000, 0));
                let theirs = Command::new(&python)
                    .arg(concat!(
                        env!("CARGO_MANIFEST_DIR"),
                        "/tests/libcachesim/misses.py"
                    ))
                    .args([policy, cache_bytes])
                    .stdin(std::fs::File::open(&pairs).unwrap())
                    .output()
                    .unwrap();
                assert!(theirs.status.success(), "{theirs:?}");
                let theirs = String::from_utf8(theirs.stdout).unwrap();
                println!("seed {seed}, {policy} of {cache_bytes} bytes: {misses} misses");
                assert_eq!(
                    theirs.trim(),
                    misses.to_string(),
                    "{policy} of {cache_bytes}"
                );
                seen.insert(misses);
            }
        }
    }
    assert_eq!(
        seen.len(),
        12,
        "each seed, policy and size has its own figure: {seen:?}"
    );
}

//! Likes on NATS JetStream, with real servers: configurations that are refused at the start, and later faults of servers and
//! origins.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::{Config as Settings, StorageType, Stream};
use seawall::config::keys::JetStreamSettings;
use seawall::likes::batch::Header;
use seawall::likes::durability::Ack;
use seawall::likes::fold::Rules;
use seawall::likes::{Action, Batch, Identity, Operation, State, snapshot};
use seawall::serve::likes::jetstream;
use seawall::serve::likes::log::{Facts, Keeper, LikeLog, LogError};
use seawall::serve::likes::recovery;
use seawall::serve::likes::simulated::SimulatedLog;
use seawall::serve::likes::sqlite::{Shard, SqliteLog};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use crate::support::client::{self, Reply};
use crate::support::likes::{Line, counts, folder, hearts, json, like, metric, origin};
use crate::support::nats::{Copy, Nats};
use crate::support::program::{Ended, Program, run};

/// The stream of the only shard.
const STREAM: &str = "SEAWALL_LIKES_0";
const ONLY: Shard = Shard { index: 0, count: 1 };

async fn started(segments: &Path, likes: &str) -> (Program, SocketAddr) {
    let program = origin(segments, likes);
    let addr = program.address("origin").await;
    (program, addr)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_acknowledges_before_the_disk_has_it_is_refused_unless_that_is_allowed() {
    let nats = Nats::start().await;
    let folder = folder();
    let untold = nats
        .likes_with("")
        .replace(&format!("{:?}", nats.monitor()), "");
    for likes in [nats.likes_with(""), untold] {
        let refused = origin(folder.path(), &likes).ended().await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(
            refused.err.contains("sync_interval: always")
                && refused.err.contains("allow_unsynced_ack"),
            "{}",
            refused.err
        );
    }
    let (program, addr) = started(folder.path(), &nats.likes()).await;
    program.logs("a loss of power may take").await;
    assert_eq!(
        metric(
            program.address("admin").await,
            "seawall_likes_fsync_before_ack"
        )
        .await,
        0.0
    );
    let first = like(addr, "ann", 1).await;
    assert_eq!(
        (first.status, &json(&first)["ack"]),
        (202, &"memory".into())
    );
    assert_eq!(json(&like(addr, "ann", 1).await)["duplicate"], true);
    let found = counts(addr, "?consistency=strong").await;
    assert_eq!((&found["likes"], &found["seq"]), (&1.into(), &2.into()));
    program.terminate();
    assert_eq!(program.ended().await.code, Some(0));
    let (_program, addr) = started(folder.path(), &nats.likes()).await;
    let found = counts(addr, "").await;
    assert_eq!((&found["likes"], &found["seq"]), (&1.into(), &2.into()));
}

/// A monitoring port that reports about the server `n1` like a newer version; ends with the test.
async fn scripted_monitor(version: &str, jetstream: &str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = format!("{{\"server_name\":\"n1\",\"version\":\"{version}\"}}");
    let jetstream = jetstream.to_owned();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let asked = String::from_utf8_lossy(&head[..length]).into_owned();
            let body = match asked.split(' ').nth(1) {
                Some("/varz") => &server,
                Some("/jsz?config=1") => &jetstream,
                _ => panic!("{asked}"),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + body).as_bytes()).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_tells_that_it_writes_first_is_accepted() {
    let nats = Nats::start().await;
    let always = r#"{"server_id":"x","config":{"max_memory":1,"max_storage":2,"sync_interval":120000000000,"sync_always":true}}"#;
    let later = always.replace(",\"sync_always\":true", "");
    let folder = folder();
    let likes = |monitor: &str| {
        nats.likes()
            .replace(&nats.monitor(), monitor)
            .replace("= true", "= false")
    };
    let monitor = scripted_monitor("2.11.4", &later).await;
    let refused = origin(folder.path(), &likes(&monitor)).ended().await;
    assert!(
        refused.code == Some(1)
            && refused
                .err
                .contains("the server n1 is set to write to the disk later"),
        "{refused:?}"
    );
    let monitor = scripted_monitor("2.11.4", always).await;
    let (program, addr) = started(folder.path(), &likes(&monitor)).await;
    assert_eq!(
        metric(
            program.address("admin").await,
            "seawall_likes_fsync_before_ack"
        )
        .await,
        1.0
    );
    let first = like(addr, "ann", 1).await;
    assert!(first.status == 202 && json(&first).get("ack").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_not_there_and_streams_that_are_something_else_are_refused() {
    let mut nats = Nats::start().await;
    let folder = folder();
    let settings = Settings {
        name: STREAM.to_owned(),
        subjects: vec!["SEAWALL_LIKES.0".to_owned()],
        storage: StorageType::Memory,
        ..Settings::default()
    };
    nats.operator().await.create_stream(settings).await.unwrap();
    let refused = origin(folder.path(), &nats.likes()).ended().await;
    assert!(
        refused.code == Some(1)
            && refused
                .err
                .contains("the stream SEAWALL_LIKES_0 is not as likes need it: description"),
        "{refused:?}"
    );
    let sharded = self::folder();
    let two = nats.likes_with("allow_unsynced_ack = true\nstream_prefix = \"TWO\"");
    let (program, addr) = started(sharded.path(), &format!("shards = 2\n{two}")).await;
    assert_eq!(like(addr, "ann", 1).await.status, 202);
    program.terminate();
    program.ended().await;
    let refused = origin(sharded.path(), &two).ended().await;
    assert!(
        refused.err.contains("log 0 of 2") && refused.err.contains("set likes.shards"),
        "{refused:?}"
    );
    let three = nats
        .likes()
        .replace("replicas = 1", "replicas = 3\nstream_prefix = \"OTHER\"");
    let refused = origin(folder.path(), &three).ended().await;
    assert!(
        refused
            .err
            .contains("set likes.jetstream.replicas to fewer"),
        "{refused:?}"
    );
    let shut = Nats::new("n2", "authorization { token: secret }");
    let refused = with_secret(shut, folder.path(), "token_file").await;
    assert!(
        refused.code == Some(1) && refused.err.contains("no server of NATS lets us in"),
        "{refused:?}"
    );
    let shut = Nats::new("n3", "authorization { user: me, password: secret }");
    let refused = with_secret(shut, folder.path(), "user = \"me\"\npassword_file").await;
    assert!(
        refused.code == Some(1) && refused.err.contains("no server of NATS lets us in"),
        "{refused:?}"
    );
    nats.kill().await;
    let refused = origin(folder.path(), &nats.likes()).ended().await;
    assert!(
        refused.code == Some(1) && refused.err.contains("likes.jetstream.servers"),
        "{refused:?}"
    );
}

/// Starts an origin with a file of this kind at a server that requires `secret`, and then with a wrong secret.
async fn with_secret(mut nats: Nats, segments: &Path, key: &str) -> Ended {
    nats.start_again().await;
    let file = segments.join("secret");
    std::fs::write(&file, "secret\n").unwrap();
    let likes = nats.likes_with(&format!("allow_unsynced_ack = true\n{key} = {file:?}"));
    let (program, addr) = started(segments, &likes).await;
    assert_eq!(like(addr, "ann", 1).await.status, 202);
    program.terminate();
    assert_eq!(program.ended().await.code, Some(0));
    std::fs::remove_dir_all(segments.join(".likes")).unwrap();
    std::fs::write(&file, "wrong").unwrap();
    origin(segments, &likes).ended().await
}

/// Viewers that send hearts one by one, each until it is acknowledged.
struct Crowd {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    viewers: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn begin(addr: SocketAddr, name: &str) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let viewer = |index| {
            let viewer = format!("{name}-{index}");
            tokio::spawn(send_on(
                addr,
                viewer,
                stop.clone(),
                Arc::clone(&acknowledged),
            ))
        };
        let viewers = (0..8).map(viewer).collect();
        Self {
            addr,
            stop,
            acknowledged,
            viewers,
        }
    }

    /// Waits until `more` hearts have been acknowledged.
    async fn gets(&self, more: u64) {
        let begun = Instant::now();
        let wanted = self.acknowledged.load(Ordering::Relaxed) + more;
        while self.acknowledged.load(Ordering::Relaxed) < wanted {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "nothing is acknowledged at {}",
                self.addr
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Ends after the last heart of each viewer is acknowledged. Returns the number of acknowledged hearts.
    async fn ends(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for viewer in self.viewers {
            viewer.await.unwrap();
        }
        self.acknowledged.load(Ordering::Relaxed)
    }
}

async fn send_on(
    addr: SocketAddr,
    viewer: String,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
) {
    let mut line = Line::new(addr);
    let body = format!("{{\"viewer\":\"{viewer}\",\"hearts\":1}}");
    for number in 1.. {
        let headers = format!("like-seq: {number}\r\n");
        loop {
            let reply = line
                .ask("POST", "/live/demo/reactions", &headers, &body)
                .await;
            match reply.map_or(0, |reply| reply.status) {
                202 => break,
                0 | 503 => tokio::time::sleep(Duration::from_millis(10)).await,
                other => panic!("{viewer} was told {other}"),
            }
        }
        acknowledged.fetch_add(1, Ordering::Relaxed);
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// The reason of a 503 `overloaded`.
fn shed(reply: &Reply) -> String {
    assert_eq!(
        (reply.status, &json(reply)["error"]),
        (503, &"overloaded".into())
    );
    assert!(!reply.header("retry-after").is_empty());
    json(reply)["reason"].as_str().unwrap().to_owned()
}

/// Runs `seawall likes verify` on the stream, with the configuration of the origin of this folder.
async fn verified(segments: &Path) -> Ended {
    let (file, likes) = (segments.join("seawall.toml"), segments.join(".likes"));
    let (file, likes) = (file.to_str().unwrap(), likes.to_str().unwrap());
    run(&["likes", "verify", "--config", file, "--dir", likes]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_loses_nothing_that_was_acknowledged_and_doubles_nothing() {
    let mut nats = Nats::start().await;
    let folder = folder();
    let likes = format!("snapshot_every_ms = 50\n{}", nats.likes());
    let (program, addr) = started(folder.path(), &likes).await;
    let crowd = Crowd::begin(addr, "v");
    for _ in 0..3 {
        crowd.gets(200).await;
        nats.kill().await;
        let begun = Instant::now();
        while json(&like(addr, "nobody", 1).await)["reason"] != "down" {
            assert!(
                begun.elapsed() < Duration::from_secs(15),
                "likes are still taken"
            );
        }
        nats.start_again().await;
    }
    crowd.gets(200).await;
    let sum = crowd.ends().await;
    assert_eq!(counts(addr, "?consistency=strong").await["hearts"], sum);
    let whole = verified(folder.path()).await;
    assert!(
        whole.code == Some(0) && whole.out.contains("whole"),
        "{whole:?}"
    );
    program.terminate();
    assert_eq!(program.ended().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_server_is_stopped_nobody_knows_and_a_retry_counts_once() {
    let nats = Nats::start().await;
    let folder = folder();
    let likes = format!("append_wait_ms = 500\n{}", nats.likes());
    let (_program, addr) = started(folder.path(), &likes).await;
    assert_eq!(hearts(addr, "ann", "first", 1).await.status, 202);
    nats.pause().await;
    let unknown = hearts(addr, "ann", "second", 1).await;
    assert_eq!(
        (unknown.status, &json(&unknown)["error"]),
        (503, &"outcome-unknown".into())
    );
    // After an attempt without an answer, new operations are refused at once.
    let begun = Instant::now();
    loop {
        let reply = hearts(addr, "ann", "second", 1).await;
        if json(&reply)["error"] == "overloaded" {
            assert_eq!(shed(&reply), "down");
            break;
        }
        assert!(reply.status == 503 && begun.elapsed() < Duration::from_secs(10));
    }
    nats.go_on();
    let begun = Instant::now();
    let again = loop {
        let reply = hearts(addr, "ann", "second", 1).await;
        if reply.status == 202 {
            break reply;
        }
        assert!(reply.status == 503 && begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(json(&again)["duplicate"], true);
    assert_eq!(counts(addr, "?consistency=strong").await["hearts"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_removed_turns_likes_off_and_another_is_not_taken_for_it() {
    let nats = Nats::start().await;
    let folder = folder();
    let (program, addr) = started(folder.path(), &nats.likes()).await;
    assert_eq!(like(addr, "ann", 1).await.status, 202);
    nats.operator().await.delete_stream(STREAM).await.unwrap();
    assert_eq!(shed(&like(addr, "bob", 1).await), "down");
    program.logs("the stream SEAWALL_LIKES_0 is gone").await;
    assert_eq!(
        metric(program.address("admin").await, "seawall_likes_down").await,
        1.0
    );
    assert_eq!(counts(addr, "").await["likes"], 1);
    program.terminate();
    program.ended().await;
    let refused = origin(folder.path(), &nats.likes()).ended().await;
    assert!(
        refused.code == Some(1) && refused.err.contains("SEAWALL_LIKES_0 is gone"),
        "{refused:?}"
    );
    let other = self::folder();
    let (_program, addr) = started(other.path(), &nats.likes()).await;
    assert_eq!(like(addr, "ann", 1).await.status, 202);
    let refused = origin(folder.path(), &nats.likes()).ended().await;
    assert!(
        refused.code == Some(1) && refused.err.contains("is not the one that"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_takes_nothing_and_nothing_of_that_counts() {
    let nats = Nats::start().await;
    let folder = folder();
    let likes = nats.likes().replace("67108864", "1048576");
    let (_program, addr) = started(folder.path(), &likes).await;
    let sending = (0..24).map(|index| {
        tokio::spawn(async move {
            let mut line = Line::new(addr);
            let body = format!("{{\"viewer\":\"{index:064}\",\"hearts\":1}}");
            for number in 1.. {
                let headers = format!("idempotency-key: {number:064}\r\n");
                let reply = line
                    .ask("POST", "/live/demo/reactions", &headers, &body)
                    .await;
                let reply = reply.unwrap();
                if reply.status != 202 {
                    assert_eq!(shed(&reply), "log-full");
                    return number - 1;
                }
            }
            0
        })
    });
    let mut sum = 0_u64;
    for sent in sending.collect::<Vec<_>>() {
        sum += sent.await.unwrap();
    }
    assert_eq!(counts(addr, "?consistency=strong").await["hearts"], sum);
    let operator = nats.operator().await;
    let mut stream = operator.get_stream(STREAM).await.unwrap();
    let mut settings = stream.info().await.unwrap().config.clone();
    settings.max_bytes = 2_097_152;
    operator.update_stream(settings).await.unwrap();
    assert_eq!(hearts(addr, "ann", "more", 1).await.status, 202);
    assert_eq!(counts(addr, "?consistency=strong").await["hearts"], sum + 1);
}

/// The stream as Seawall creates it, except that entries can be deleted.
async fn loose(nats: &Nats) -> Stream {
    let folder = tempfile::tempdir().unwrap();
    let config = likes_at(nats);
    let opened = tokio::task::spawn_blocking(move || {
        let servers = jetstream::Servers::connect(&config).unwrap();
        servers.open(ONLY, folder.path()).unwrap();
    });
    opened.await.unwrap();
    let operator = nats.operator().await;
    let mut stream = operator.get_stream(STREAM).await.unwrap();
    let mut settings = stream.info().await.unwrap().config.clone();
    assert!(settings.deny_delete);
    settings.deny_delete = false;
    operator.delete_stream(STREAM).await.unwrap();
    operator.create_stream(settings).await.unwrap()
}

/// The servers in the form that a log takes.
fn likes_at(nats: &Nats) -> JetStreamSettings {
    let mut config = JetStreamSettings::at(vec![nats.url()]);
    (config.replicas, config.max_bytes, config.allow_unsynced_ack) = (1, 64 << 20, true);
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_past_a_deleted_entry_is_told_its_place_also_at_the_end() {
    let nats = Nats::start().await;
    let stream = loose(&nats).await;
    let folder = tempfile::tempdir().unwrap();
    let config = likes_at(&nats);
    let filled = tokio::task::spawn_blocking(move || {
        let servers = jetstream::Servers::connect(&config).unwrap();
        let mut log = servers.open(ONLY, folder.path()).unwrap();
        log.begin_life(&State::default()).unwrap();
        for number in 1..=5 {
            let key = Identity::Key(number.to_string().into());
            let operations = vec![Operation::update("demo", "ann", key, Action::Hearts(1))];
            let Facts { writer, epoch, .. } = log.facts();
            let header = Header {
                writer,
                epoch,
                number,
            };
            let batch = Batch { header, operations }.encode().unwrap();
            assert_eq!(log.append(&batch), Ok(number));
        }
        log
    });
    let log = filled.await.unwrap();
    stream.delete_message(3).await.unwrap();
    stream.delete_message(5).await.unwrap();
    let told = tokio::task::spawn_blocking(move || {
        let mut reader = log.reader().unwrap();
        for position in [1, 2] {
            assert_eq!(reader.read_from(position, 0).unwrap()[0].position, position);
        }
        let middle = reader.read_from(3, 0).unwrap_err();
        let mut reader = log.reader().unwrap();
        assert_eq!(reader.read_from(4, 0).unwrap()[0].position, 4);
        (middle, reader.read_from(5, 0).unwrap_err())
    });
    let (middle, end) = told.await.unwrap();
    for (error, place) in [
        (middle, "entry 3 of the stream"),
        (end, "entry 5 of the stream"),
    ] {
        assert!(
            matches!(&error, LogError::Broken(why) if why.contains(place)),
            "{error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_forgotten_what_it_acknowledged_is_noticed() {
    tokio::join!(forgotten(false), forgotten(true));
}

async fn forgotten(others_go_on: bool) {
    let mut nats = Nats::start().await;
    let folder = folder();
    let (program, addr) = started(folder.path(), &nats.likes()).await;
    for number in 1..=3 {
        assert_eq!(like(addr, "ann", number).await.status, 202);
    }
    nats.kill().await;
    let copy = tempfile::tempdir().unwrap();
    nats.copy(&copy.path().join("store"), Copy::Out);
    nats.start_again().await;
    let begun = Instant::now();
    while like(addr, "bob", 1).await.status != 202 {
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "likes are not taken again"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    nats.kill().await;
    nats.copy(&copy.path().join("store"), Copy::Back);
    nats.start_again().await;
    // Other origins go on from there, or none does: then no entry is put in the place of the lost one, now or later.
    let mut last = 3;
    let another = self::folder();
    let other = if others_go_on {
        let (program, addr) = started(another.path(), &nats.likes()).await;
        assert_eq!(like(addr, "zoe", 1).await.status, 202);
        last += 1;
        Some(program)
    } else {
        None
    };
    let begun = Instant::now();
    while metric(program.address("admin").await, "seawall_likes_down").await < 1.0 {
        let reply = like(addr, "eve", 1).await;
        assert!(others_go_on || reply.status == 503);
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it is not noticed"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    program.logs("lost its end").await;
    let mut stream = nats.operator().await.get_stream(STREAM).await.unwrap();
    let found = stream.info().await.unwrap().state.last_sequence;
    assert!(found == last || others_go_on, "{found}");
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_entry_is_named_and_nothing_goes_on_from_there() {
    let nats = Nats::start().await;
    let stream = loose(&nats).await;
    let folder = folder();
    let (program, addr) = started(folder.path(), &nats.likes()).await;
    program.logs("deny_delete is off").await;
    for number in 1..=5 {
        assert_eq!(like(addr, "ann", number).await.status, 202);
    }
    stream.delete_message(3).await.unwrap();
    program.kill();
    program.ended().await;
    let damaged = verified(folder.path()).await;
    assert!(
        damaged.code == Some(1) && damaged.err.contains("the first of them 3"),
        "{damaged:?}"
    );
    let refused = origin(folder.path(), &nats.likes()).ended().await;
    assert!(
        refused.code == Some(1) && refused.err.contains("the first of them 3"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_origins_on_one_stream_count_the_same_and_a_strong_read_sees_what_the_other_acknowledged()
 {
    let nats = Nats::start().await;
    let folders = [folder(), folder()];
    let (_one, a) = started(folders[0].path(), &nats.likes()).await;
    let (_two, b) = started(folders[1].path(), &nats.likes()).await;
    assert_eq!(like(a, "ann", 1).await.status, 202);
    let begun = Instant::now();
    while client::get(b, "/live/demo/counts").await.body
        != client::get(a, "/live/demo/counts").await.body
        && counts(b, "").await["likes"] != 1
    {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "nothing has come"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for number in 2..=30 {
        let reply = hearts(a, "ann", &format!("k{number}"), 1).await;
        assert_eq!(reply.status, 202);
        let found = counts(b, "?consistency=strong").await;
        assert_eq!(
            (&found["hearts"], &found["seq"]),
            (&(number - 1).into(), &number.into())
        );
    }
    // Sent to both origins: counted once, no matter which origin is first.
    let same = tokio::join!(hearts(a, "eve", "same", 5), hearts(b, "eve", "same", 5));
    let duplicates = [json(&same.0), json(&same.1)];
    assert_eq!((same.0.status, same.1.status), (202, 202));
    assert_ne!(duplicates[0]["duplicate"], duplicates[1]["duplicate"]);

    let crowds = [Crowd::begin(a, "a"), Crowd::begin(b, "b")];
    for crowd in &crowds {
        crowd.gets(300).await;
    }
    let mut sum = 29 + 5;
    for crowd in crowds {
        sum += crowd.ends().await;
    }
    let (one, two) = (
        counts(a, "?consistency=strong").await,
        counts(b, "?consistency=strong").await,
    );
    assert_eq!(one["hearts"], sum);
    assert_eq!(
        (&one["hearts"], &one["seq"], &one["token"]),
        (&two["hearts"], &two["seq"], &two["token"])
    );
    let hash = |ended: Ended| ended.out.split("hash ").nth(1).unwrap().trim().to_owned();
    let (one, two) = (
        verified(folders[0].path()).await,
        verified(folders[1].path()).await,
    );
    assert_eq!(hash(one), hash(two));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_runs_from_a_copied_folder_is_noticed() {
    let nats = Nats::start().await;
    let folders = [folder(), folder()];
    let (one, a) = started(folders[0].path(), &nats.likes()).await;
    assert_eq!(like(a, "ann", 1).await.status, 202);
    let place = ".likes/shard-0/writer.json";
    let copy = folders[1].path().join(place);
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    std::fs::copy(folders[0].path().join(place), copy).unwrap();
    let (_two, b) = started(folders[1].path(), &nats.likes()).await;
    assert_eq!(like(b, "bob", 1).await.status, 202);
    one.logs("the folder has been copied").await;
    assert_eq!(shed(&like(a, "eve", 1).await), "down");
    assert_eq!(counts(b, "?consistency=strong").await["likes"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_killed_goes_on_and_has_lost_and_doubled_nothing() {
    let nats = Nats::start().await;
    let folder = folder();
    let likes = format!("snapshot_every_ms = 50\n{}", nats.likes());
    let (mut program, mut addr) = started(folder.path(), &likes).await;
    let mut sum = 0;
    for round in 0..3 {
        let crowd = Crowd::begin(addr, &format!("r{round}"));
        crowd.gets(150).await;
        program.kill();
        program.ended().await;
        for viewer in &crowd.viewers {
            viewer.abort();
        }
        // One heart of each viewer may be in doubt.
        let acknowledged = crowd.acknowledged.load(Ordering::Relaxed);
        (program, addr) = started(folder.path(), &likes).await;
        let found = counts(addr, "?consistency=strong").await["hearts"]
            .as_u64()
            .unwrap();
        assert!(
            (sum + acknowledged..=sum + acknowledged + 8).contains(&found),
            "round {round}: {found} of {sum} + {acknowledged}"
        );
        sum = found;
    }
    let whole = verified(folder.path()).await;
    assert!(
        whole.code == Some(0) && whole.out.contains("whole"),
        "{whole:?}"
    );
    let (file, dir) = (
        folder.path().join("seawall.toml"),
        folder.path().join(".likes"),
    );
    let told = run(&[
        "likes",
        "counts",
        "--json",
        "--config",
        file.to_str().unwrap(),
        "--dir",
        dir.to_str().unwrap(),
    ])
    .await;
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(told[0]["hearts"], sum);
    let told = run(&[
        "likes",
        "truncate",
        "--at",
        "2",
        "--config",
        file.to_str().unwrap(),
    ])
    .await;
    assert!(
        told.code == Some(1) && told.err.contains("nothing of it is given up here"),
        "{told:?}"
    );
}

/// Appends a script, cut into batches, and returns the hash of the resulting state.
fn hash_of(script: &[Operation], cut: usize, log: &mut dyn LikeLog) -> String {
    let facts = log.facts();
    for (index, operations) in script.chunks(cut).enumerate() {
        let header = Header {
            writer: facts.writer,
            epoch: facts.epoch,
            number: index as u64 + 1,
        };
        let operations = operations.to_vec();
        let batch = Batch { header, operations }.encode().unwrap();
        let position = log.append(&batch).unwrap();
        if index % 5 == 0 && facts.keeper == Keeper::Servers {
            assert_eq!(
                log.append(&batch),
                Ok(position),
                "the servers know it already"
            );
        }
    }
    let last = log.tail_barrier().unwrap();
    let facts = Facts { last, ..facts };
    let mut reader = log.reader().unwrap();
    let state = recovery::recover(&mut *reader, &facts, None, Rules::default()).unwrap();
    snapshot::hash(&state).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_script_has_one_hash_on_jetstream_on_sqlite_and_simulated() {
    let nats = Nats::start().await;
    let operation = |index: u64| {
        let drawn = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let action = [Action::Like, Action::Unlike, Action::Hearts(2)][drawn as usize % 3];
        let viewer = format!("v{}", drawn / 3 % 7);
        Operation::update(
            "demo",
            &viewer,
            Identity::Sequence(1 + drawn / 64 % 50),
            action,
        )
    };
    let script: Vec<_> = (0..400).map(operation).collect();
    let folder = tempfile::tempdir().unwrap();
    let config = likes_at(&nats);
    let hashes = tokio::task::spawn_blocking(move || {
        let servers = jetstream::Servers::connect(&config).unwrap();
        let mut shared = servers.open(ONLY, folder.path()).unwrap();
        shared.begin_life(&State::default()).unwrap();
        let mut sqlite = SqliteLog::open(&folder.path().join("log.db"), ONLY, Ack::Memory).unwrap();
        let mut simulated = SimulatedLog::default();
        [
            hash_of(&script, 3, &mut shared),
            hash_of(&script, 11, &mut sqlite),
            hash_of(&script, 64, &mut simulated),
        ]
    });
    let hashes = hashes.await.unwrap();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: a cluster of three elects its leaders"]
async fn a_cluster_whose_leader_is_killed_again_and_again_loses_and_doubles_nothing() {
    let mut nodes = cluster().await;
    let urls: Vec<_> = nodes
        .iter()
        .map(|node| format!("{:?}", node.url()))
        .collect();
    let likes = nodes[0]
        .likes()
        .replace(&format!("{:?}", nodes[0].url()), &urls.join(","))
        .replace("replicas = 1", "replicas = 3");
    let folders = [folder(), folder()];
    let (_one, a) = started(folders[0].path(), &likes).await;
    let (_two, b) = started(folders[1].path(), &likes).await;
    let crowds = [Crowd::begin(a, "a"), Crowd::begin(b, "b")];
    for round in 0..4 {
        for crowd in &crowds {
            crowd.gets(100).await;
        }
        let leader = leader(&nodes).await;
        nodes[leader].kill().await;
        for crowd in &crowds {
            crowd.gets(100).await;
        }
        nodes[leader].start_again().await;
        println!("round {round}: n{} was killed", leader + 1);
    }
    let mut sum = 0;
    for crowd in crowds {
        sum += crowd.ends().await;
    }
    let found = [
        counts(a, "?consistency=strong").await,
        counts(b, "?consistency=strong").await,
    ];
    assert_eq!(
        (&found[0]["hearts"], &found[1]["hearts"]),
        (&sum.into(), &sum.into())
    );
    assert_eq!(found[0]["token"], found[1]["token"]);
    let whole = verified(folders[0].path()).await;
    assert!(
        whole.code == Some(0) && whole.out.contains("whole"),
        "{whole:?}"
    );
}

/// Three servers that share streams.
async fn cluster() -> Vec<Nats> {
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let doors = [free(), free(), free()];
    let routes = doors.each_ref().map(|door| door.local_addr().unwrap());
    drop(doors);
    let named = routes.map(|route| format!("\"nats://{route}\""));
    let node = |index: usize| {
        let cluster = format!(
            "cluster {{ name: likes, listen: \"{}\", routes: [{}] }}",
            routes[index],
            named.join(",")
        );
        Nats::new(&format!("n{}", index + 1), &cluster)
    };
    let mut nodes: Vec<_> = (0..3).map(node).collect();
    for node in &mut nodes {
        node.start_again().await;
    }
    // The cluster is ready once it accepts a stream with three copies.
    let (operator, begun) = (nodes[0].operator().await, Instant::now());
    let settings = Settings {
        name: "READY".to_owned(),
        num_replicas: 3,
        ..Settings::default()
    };
    while operator.create_stream(settings.clone()).await.is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "the cluster elects no leader"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    nodes
}

/// The index of the server that leads the stream.
async fn leader(nodes: &[Nats]) -> usize {
    let begun = Instant::now();
    loop {
        for node in nodes {
            let Ok(stream) = node.operator().await.get_stream(STREAM).await else {
                continue;
            };
            let cluster = stream.cached_info().cluster.clone();
            if let Some(leader) = cluster.and_then(|cluster| cluster.leader) {
                return leader.trim_start_matches('n').parse::<usize>().unwrap() - 1;
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no server leads");
    }
}

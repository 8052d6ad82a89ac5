//! Likes and faults of their disk: kill -9, no space left, a folder that cannot be written, bytes that change.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use seawall::likes::durability::Ack;
use seawall::likes::fold::Rules;
use seawall::serve::likes::generations::Generations;
use seawall::serve::likes::log::LikeLog;
use seawall::serve::likes::recovery::{RecoveryError, recover};
use seawall::serve::likes::sqlite::{Shard, SqliteLog};

use crate::support::client::{self, Reply};
use crate::support::likes::{Line, counts, folder, hearts, json, like, origin};
use crate::support::program::{Ended, Program, run};

/// Number of viewers that send hearts, one after another, each until it is acknowledged.
const VIEWERS: usize = 8;
/// Very frequent snapshots, so that kills hit them too.
const RESTLESS: &str = "disk_free_bytes_min = 0\nviewer_rate_max = 1000000\nsnapshot_every_ms = 20";

fn shard(folder: &Path) -> PathBuf {
    folder.join(".likes/shard-0")
}

async fn verified(folder: &Path) -> Ended {
    let likes = folder.join(".likes");
    run(&["likes", "verify", "--dir", likes.to_str().unwrap()]).await
}

/// One viewer: the next number, and whether an earlier attempt at it may have counted.
#[derive(Clone, Copy, Default)]
struct Sender {
    acknowledged: u64,
    in_doubt: bool,
}

/// Sends until the origin no longer answers.
async fn send_on(addr: SocketAddr, viewer: usize, mut sender: Sender) -> Sender {
    let mut line = Line::new(addr);
    loop {
        let number = sender.acknowledged + 1;
        let body = format!("{{\"viewer\":\"v{viewer}\",\"hearts\":1}}");
        let headers = format!("like-seq: {number}\r\n");
        let reply = line
            .ask("POST", "/live/demo/reactions", &headers, &body)
            .await;
        match reply {
            Some(Reply { status: 202, .. }) => {
                let again = json(&reply.unwrap())["duplicate"] == true;
                assert!(!again || sender.in_doubt, "v{viewer} sent {number} once");
                sender = Sender {
                    acknowledged: number,
                    in_doubt: false,
                };
            }
            Some(reply) => assert_eq!(reply.status, 503),
            None => {
                sender.in_doubt = true;
                return sender;
            }
        }
    }
}

/// Kills an origin again and again, also while it starts and while it writes snapshots. No acknowledged operation may be lost,
/// and none may count twice.
async fn killed(rounds: u64) {
    let folder = folder();
    let mut senders = [Sender::default(); VIEWERS];
    for round in 0..rounds {
        if round % 3 == 2 {
            // In the middle of its start.
            let program = origin(folder.path(), RESTLESS);
            tokio::time::sleep(Duration::from_millis(round * 7 % 60)).await;
            program.kill();
            program.ended().await;
        }
        let program = origin(folder.path(), RESTLESS);
        let addr = program.address("origin").await;
        let sum: u64 = senders.iter().map(|sender| sender.acknowledged).sum();
        let doubts = senders.iter().filter(|sender| sender.in_doubt).count() as u64;
        let found = counts(addr, "?consistency=strong").await["hearts"]
            .as_u64()
            .unwrap();
        assert!(
            (sum..=sum + doubts).contains(&found),
            "round {round}: {found} hearts of {sum} acknowledged and {doubts} in doubt"
        );
        let sending: Vec<_> = senders
            .iter()
            .enumerate()
            .map(|(viewer, &sender)| tokio::spawn(send_on(addr, viewer, sender)))
            .collect();
        tokio::time::sleep(Duration::from_millis(100 + round * 37 % 200)).await;
        program.kill();
        program.ended().await;
        for (sender, sent) in senders.iter_mut().zip(sending) {
            *sender = sent.await.unwrap();
        }
    }
    // Viewers in doubt send once more, and then no operation is in doubt.
    let program = origin(folder.path(), RESTLESS);
    let addr = program.address("origin").await;
    let mut sum = 0;
    for (viewer, sender) in senders.iter().enumerate() {
        let body = format!("{{\"viewer\":\"v{viewer}\",\"hearts\":1}}");
        let headers = format!("like-seq: {}\r\n", sender.acknowledged + 1);
        let mut line = Line::new(addr);
        let reply = line
            .ask("POST", "/live/demo/reactions", &headers, &body)
            .await;
        assert_eq!(reply.unwrap().status, 202);
        sum += sender.acknowledged + 1;
    }
    assert!(
        sum > rounds * VIEWERS as u64,
        "hardly anything was sent: {sum}"
    );
    assert_eq!(counts(addr, "?consistency=strong").await["hearts"], sum);
    let ended = verified(folder.path()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    program.terminate();
    assert_eq!(program.ended().await.code, Some(0));
    let ended = verified(folder.path()).await;
    assert!(
        ended.code == Some(0) && ended.out.contains("whole"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_lose_nothing_that_was_acknowledged_and_double_nothing() {
    killed(10).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make test-long"]
async fn two_hundred_kills_lose_nothing_that_was_acknowledged_and_double_nothing() {
    killed(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_from_a_snapshot_and_the_log_does_not_grow_for_ever() {
    let folder = folder();
    let program = origin(folder.path(), RESTLESS);
    let addr = program.address("origin").await;
    for number in 1..=300 {
        assert_eq!(
            like(addr, &format!("v{}", number % 10), number)
                .await
                .status,
            202
        );
    }
    let before = counts(addr, "?consistency=strong").await;
    program.terminate();
    assert_eq!(program.ended().await.code, Some(0));
    let (_, facts) = SqliteLog::read_only(&shard(folder.path()).join("log.db")).unwrap();
    assert!(facts.trimmed > 0 && facts.last == 300, "{facts:?}");
    let program = origin(folder.path(), RESTLESS);
    let addr = program.address("origin").await;
    let after = counts(addr, "?consistency=strong").await;
    assert_eq!(
        (&after["likes"], &after["seq"]),
        (&before["likes"], &before["seq"])
    );
    assert_eq!(json(&like(addr, "v0", 300).await)["duplicate"], true);

    let likes = folder.path().join(".likes");
    let dir = likes.to_str().unwrap();
    let told = run(&["likes", "counts", "--dir", dir, "--json"]).await;
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(
        (&told[0]["channel"], &told[0]["likes"]),
        (&"demo".into(), &10.into())
    );
    let told = run(&["likes", "export", "--dir", dir, "--channel", "demo"]).await;
    assert!(
        told.out
            .starts_with("channel,viewer,likes,sequence\ndemo,v0,true,300\n"),
        "{}",
        told.out
    );
    assert_eq!(told.out.lines().count(), 11);
    let told = run(&["likes", "export", "--dir", dir, "--format", "json"]).await;
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(told[0]["viewers"].as_array().unwrap().len(), 10);

    // The folder has one owner.
    let second = origin(folder.path(), RESTLESS).ended().await;
    assert_eq!(second.code, Some(1));
    assert!(
        second.err.contains("another process keeps its likes in"),
        "{}",
        second.err
    );
    let refused = run(&["likes", "truncate", "--dir", dir, "--at", "300"]).await;
    assert!(
        refused.code == Some(1) && refused.err.contains("another process"),
        "{refused:?}"
    );
}

/// The position of the last batch in the file of a closed log.
fn last_batch(log: &[u8], bytes: &[u8]) -> usize {
    let found = log.windows(bytes.len()).position(|window| window == bytes);
    found.expect("a short batch stands on one page")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_anywhere_in_the_last_batch_is_named_at_the_start_and_given_up_when_told() {
    let folder = folder();
    let program = origin(folder.path(), "disk_free_bytes_min = 0");
    let addr = program.address("origin").await;
    for number in 1..=3 {
        assert_eq!(
            hearts(addr, "ann", &format!("k{number}"), 5).await.status,
            202
        );
    }
    program.terminate();
    assert_eq!(program.ended().await.code, Some(0));

    let path = shard(folder.path()).join("log.db");
    let whole = std::fs::read(&path).unwrap();
    let (mut reader, facts) = SqliteLog::read_only(&path).unwrap();
    assert_eq!(facts.last, 3);
    let last = seawall::serve::likes::log::LogReader::read_from(&mut reader, 3, 1).unwrap();
    drop(reader);
    let (begin, length) = (last_batch(&whole, &last[0].bytes), last[0].bytes.len());
    let other = tempfile::tempdir().unwrap();
    let copy = other.path().join("log.db");
    for offset in begin..begin + length {
        let mut flipped = whole.clone();
        flipped[offset] ^= 1 << (offset % 8);
        std::fs::write(&copy, flipped).unwrap();
        let only = Shard { index: 0, count: 1 };
        let mut log = SqliteLog::open(&copy, only, Ack::Disk).unwrap();
        let facts = log.facts();
        let generations = Generations::open(&other.path().join("state.db"), facts.log).unwrap();
        let recovered = recover(&mut log, &facts, Some(&generations), Rules::default());
        let error = recovered.expect_err("a byte has changed");
        assert!(
            matches!(error, RecoveryError::Damaged { position: 3, .. }),
            "offset {}: {error}",
            offset - begin
        );
    }

    // The program itself refuses to start, says where the damage is, and starts again once an operator has cut the entry.
    let mut flipped = whole;
    flipped[begin + length / 2] ^= 1;
    std::fs::write(&path, flipped).unwrap();
    let refused = origin(folder.path(), "disk_free_bytes_min = 0")
        .ended()
        .await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err.contains("entry 3 of the log is damaged")
            && refused.err.contains("truncate --at 3"),
        "{}",
        refused.err
    );
    assert!(
        refused.err.contains(shard(folder.path()).to_str().unwrap()),
        "{}",
        refused.err
    );
    let told = verified(folder.path()).await;
    assert!(
        told.code == Some(1) && told.err.contains("entry 3"),
        "{told:?}"
    );
    let dir = folder.path().join(".likes");
    let truncate = |at: &'static str| {
        let dir = dir.to_str().unwrap().to_owned();
        async move { run(&["likes", "truncate", "--dir", &dir, "--at", at]).await }
    };
    let nowhere = truncate("4").await;
    assert!(
        nowhere.code == Some(1) && nowhere.err.contains("entries 1 to 3"),
        "{nowhere:?}"
    );
    let cut = truncate("3").await;
    assert!(
        cut.code == Some(0) && cut.out.contains("gave up 1 entries"),
        "{cut:?}"
    );
    assert_eq!(verified(folder.path()).await.code, Some(0));
    let program = origin(folder.path(), "disk_free_bytes_min = 0");
    let addr = program.address("origin").await;
    assert_eq!(counts(addr, "").await["hearts"], 10);
    assert_eq!(
        json(&hearts(addr, "ann", "k3", 5).await)["duplicate"],
        false
    );
}

/// A separate small disk, for which root is needed; it is removed with the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(options: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not root: no disk can be mounted, so nothing is tested here");
            return None;
        }
        let disk = Self(tempfile::tempdir().unwrap());
        disk.run(&["mount", "-t", "tmpfs", "-o", options, "tmpfs"]);
        Some(disk)
    }

    fn remount(&self, options: &str) {
        self.run(&["mount", "-o", &format!("remount,{options}")]);
    }

    fn run(&self, command: &[&str]) {
        let mut running = Command::new(command[0]);
        let status = running.args(&command[1..]).arg(self.0.path()).status();
        assert!(status.unwrap().success(), "{command:?}");
    }

    /// The section of a configuration that keeps likes on this disk.
    fn section(&self, more: &str) -> String {
        format!(
            "dir = {:?}\nviewer_rate_max = 1000000\n{more}",
            self.0.path()
        )
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Sends hearts until one is not acknowledged. Returns the number of acknowledged hearts, and that answer.
async fn fill(addr: SocketAddr) -> (u64, Reply) {
    let mut line = Line::new(addr);
    for number in 1..200_000 {
        let headers = format!("idempotency-key: {number:064}\r\n");
        let body = format!("{{\"viewer\":\"{}\",\"hearts\":1}}", "v".repeat(64));
        let reply = line
            .ask("POST", "/live/demo/reactions", &headers, &body)
            .await;
        let reply = reply.unwrap();
        if reply.status != 202 {
            return (number - 1, reply);
        }
    }
    panic!("the disk is never full");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_space_left_ends_the_likes_loses_nothing_and_leaves_the_stream_alone() {
    let Some(disk) = SmallDisk::mount("size=2m") else {
        return;
    };
    let folder = folder();
    let likes = disk.section("disk_free_bytes_min = 0");
    let program = origin(folder.path(), &likes);
    let addr = program.address("origin").await;
    let (acknowledged, last) = fill(addr).await;
    assert!(acknowledged > 100);
    assert_eq!(
        (last.status, &json(&last)["error"]),
        (503, &"outcome-unknown".into())
    );
    let down = hearts(addr, "ann", "k", 1).await;
    assert_eq!((down.status, &json(&down)["reason"]), (503, &"down".into()));
    assert_eq!(counts(addr, "").await["hearts"], acknowledged);
    assert_eq!(
        client::get(addr, "/live/demo/channel.json").await.status,
        200
    );
    program.logs("likes are off until the next start").await;
    program.kill();
    program.ended().await;

    disk.remount("size=64m");
    let program = origin(folder.path(), &likes);
    let addr = program.address("origin").await;
    let found = counts(addr, "?consistency=strong").await["hearts"]
        .as_u64()
        .unwrap();
    assert!(
        (acknowledged..=acknowledged + 1).contains(&found),
        "{found} of {acknowledged}"
    );
    assert_eq!(hearts(addr, "ann", "k", 1).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn likes_are_refused_before_the_disk_is_full_and_taken_again_when_it_is_not() {
    let Some(disk) = SmallDisk::mount("size=4m") else {
        return;
    };
    let folder = folder();
    let program = origin(
        folder.path(),
        &disk.section("disk_free_bytes_min = 2000000"),
    );
    let addr = program.address("origin").await;
    let (acknowledged, last) = fill(addr).await;
    let why = json(&last);
    assert_eq!(
        (last.status, &why["error"], &why["reason"]),
        (503, &"overloaded".into(), &"disk-low".into())
    );
    assert!(!last.header("retry-after").is_empty());
    assert_eq!(
        counts(addr, "?consistency=strong").await["hearts"],
        acknowledged
    );
    disk.remount("size=64m");
    for _ in 0..100 {
        if hearts(addr, "ann", "k", 1).await.status == 202 {
            assert_eq!(counts(addr, "").await["hearts"], acknowledged + 1);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("likes are refused though the disk has room");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_refuses_likes_until_a_snapshot_lets_it_be_trimmed() {
    let folder = folder();
    let bounds = "disk_free_bytes_min = 0\nviewer_rate_max = 1000000\nlog_bytes_max = 20000";
    let program = origin(
        folder.path(),
        &format!("{bounds}\nsnapshot_every_ms = 600000"),
    );
    let addr = program.address("origin").await;
    let (acknowledged, last) = fill(addr).await;
    let why = json(&last);
    assert_eq!(
        (last.status, &why["error"], &why["reason"]),
        (503, &"overloaded".into(), &"log-full".into())
    );
    assert_eq!(counts(addr, "").await["hearts"], acknowledged);
    program.terminate();
    assert_eq!(program.ended().await.code, Some(0));

    // No new entry can make a second snapshot due, and still the log gets free space again.
    let program = origin(folder.path(), &format!("{bounds}\nsnapshot_every_ms = 20"));
    let addr = program.address("origin").await;
    let mut more = 0;
    for number in 0..400 {
        let reply = hearts(addr, "ann", &format!("k{number}"), 1).await;
        match reply.status {
            202 => more += 1,
            _ => assert_eq!(json(&reply)["reason"], "log-full"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(more > 200, "{more}");
    assert_eq!(counts(addr, "").await["hearts"], acknowledged + more);
    program.kill();
    program.ended().await;
    let ended = verified(folder.path()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let program = origin(folder.path(), bounds);
    let addr = program.address("origin").await;
    assert_eq!(counts(addr, "").await["hearts"], acknowledged + more);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_written_is_said_at_the_start() {
    let folder = folder();
    let refused = |ended: Ended, what: &str| {
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(
            ended.err.contains("likes.dir") && ended.err.contains(what),
            "{}",
            ended.err
        );
    };
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let ended = origin(folder.path(), &format!("dir = {file:?}"))
        .ended()
        .await;
    refused(ended, file.to_str().unwrap());
    if let Some(disk) = SmallDisk::mount("ro") {
        let ended = origin(folder.path(), &disk.section("")).ended().await;
        refused(ended, "Read-only file system");
    }
    // Without likes the stream still works.
    let program: Program = origin(folder.path(), &format!("enabled = false\ndir = {file:?}"));
    let addr = program.address("origin").await;
    assert_eq!(
        client::get(addr, "/live/demo/channel.json").await.status,
        200
    );
    assert_eq!(client::get(addr, "/live/demo/counts").await.status, 404);
}

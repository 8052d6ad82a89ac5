//! Loss of power: `strace` watches an origin. For the moment of each acknowledgement, the test builds a disk from the data that
//! the origin had asked the kernel to write. Every acknowledged like must be on that disk.
//!
//! A disk may hold none, all, or some of the writes that no fsync has covered yet: three images for each moment. With
//! `ack = "memory"` the same test must find a loss, or it would prove nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use seawall::likes::durability::Ack;
use seawall::likes::fold::Rules;
use seawall::serve::likes::generations::Generations;
use seawall::serve::likes::log::LikeLog;
use seawall::serve::likes::recovery::recover;
use seawall::serve::likes::sqlite::{Shard, SqliteLog};

use crate::support::client;
use crate::support::likes::{EASY, Line, counts, describe, hearts, json, origin, origin_command};
use crate::support::program::Program;

/// Number of hearts sent, over four connections.
const HEARTS: u64 = 120;

/// One file: the bytes that an fsync has covered, and the writes since then.
#[derive(Clone, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Write>,
}

#[derive(Clone)]
enum Write {
    At(usize, Vec<u8>),
    Cut(usize),
}

/// Which of the writes without fsync a disk has lost.
#[derive(Clone, Copy, Debug)]
enum Lost {
    All,
    None,
    EveryOther,
}

impl File {
    fn image(&self, lost: Lost) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for (index, write) in self.pending.iter().enumerate() {
            let kept = match lost {
                Lost::All => false,
                Lost::None => true,
                Lost::EveryOther => index % 2 == 0,
            };
            match write {
                Write::At(at, piece) if kept => {
                    let end = at + piece.len();
                    bytes.resize(bytes.len().max(end), 0);
                    bytes[*at..end].copy_from_slice(piece);
                }
                Write::Cut(length) if kept => bytes.resize(*length, 0),
                _ => {}
            }
        }
        bytes
    }

    fn sync(&mut self) {
        self.durable = self.image(Lost::None);
        self.pending.clear();
    }
}

type Disk = BTreeMap<String, File>;

/// Replays a trace. `at_ack` sees the disk at each acknowledgement, and the operation that it names.
fn replay(trace: &str, mut at_ack: impl FnMut(&Disk, u64)) {
    let mut disk = Disk::new();
    // An fsync counts when it returns, which may be some lines later.
    let mut syncing: BTreeMap<&str, String> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else {
            continue;
        };
        let call = call.trim_start();
        if let Some(resumed) = call.strip_prefix("<... ") {
            let synced = resumed.starts_with("fsync") || resumed.starts_with("fdatasync");
            if synced && let Some(name) = syncing.remove(thread) {
                disk.entry(name).or_default().sync();
            }
            continue;
        }
        let Some((name, arguments)) = call.split_once('(') else {
            continue;
        };
        let file = arguments
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'))
            .map(|(path, _)| String::from_utf8_lossy(&unescaped(path)).into_owned())
            .and_then(|path| Some(path.split_once("/shard-0/")?.1.to_owned()));
        match (name, file) {
            ("pwrite64", Some(file)) => {
                let (bytes, rest) = quoted(arguments);
                let mut numbers = rest.split(',').map(str::trim);
                let offset = numbers.nth(2).unwrap_or_else(|| panic!("{line:.200}"));
                let offset = offset.split([')', ' ']).next().unwrap().parse().unwrap();
                let write = Write::At(offset, bytes);
                disk.entry(file).or_default().pending.push(write);
            }
            ("ftruncate", Some(file)) => {
                let (_, rest) = arguments.split_once(">, ").unwrap();
                let length = rest.split([')', ' ']).next().unwrap().parse().unwrap();
                let write = Write::Cut(length);
                disk.entry(file).or_default().pending.push(write);
            }
            // SQLite syncs the folder afterwards, so the removal counts at once.
            ("unlink", None) => {
                let path = String::from_utf8_lossy(&quoted(arguments).0).into_owned();
                if let Some((_, file)) = path.split_once("/shard-0/") {
                    disk.remove(file);
                }
            }
            ("fsync" | "fdatasync", Some(file)) if call.contains("<unfinished") => {
                syncing.insert(thread, file);
            }
            ("fsync" | "fdatasync", Some(file)) => disk.entry(file).or_default().sync(),
            ("write" | "writev" | "sendto" | "sendmsg", None) => {
                let (mut bytes, mut rest) = quoted(arguments);
                while rest.contains('"') {
                    let (more, behind) = quoted(rest);
                    bytes.extend(more);
                    rest = behind;
                }
                let text = String::from_utf8_lossy(&bytes);
                if text.starts_with("HTTP/1.1 202")
                    && let Some((_, sequence)) = text.split_once("{\"seq\":")
                {
                    let sequence = sequence.split(',').next().unwrap();
                    at_ack(&disk, sequence.parse().unwrap());
                }
            }
            _ => {}
        }
    }
}

/// The bytes of the first string that `strace -xx` printed, and the text after it.
fn quoted(text: &str) -> (Vec<u8>, &str) {
    let Some((_, rest)) = text.split_once('"') else {
        return (Vec::new(), "");
    };
    let (digits, rest) = rest.split_once('"').unwrap();
    (unescaped(digits), rest)
}

/// The bytes of `\x41\x42`.
fn unescaped(digits: &str) -> Vec<u8> {
    let byte = |pair: &str| u8::from_str_radix(pair, 16).unwrap();
    digits.split("\\x").skip(1).map(byte).collect()
}

/// Number of operations on a disk.
fn held(disk: &Disk, lost: Lost) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    for (name, file) in disk {
        if !name.ends_with("-shm") {
            std::fs::write(folder.path().join(name), file.image(lost)).unwrap();
        }
    }
    let only = Shard { index: 0, count: 1 };
    let Ok(mut log) = SqliteLog::open(&folder.path().join("log.db"), only, Ack::Memory) else {
        return 0;
    };
    let facts = log.facts();
    let generations = Generations::open(&folder.path().join("state.db"), facts.log).unwrap();
    let state = recover(&mut log, &facts, Some(&generations), Rules::default());
    state.map_or(0, |state| state.sequence())
}

/// Acknowledged operations that are not on the disk, over all moments and images. Also the number of moments.
async fn losses(ack: &str) -> (Vec<(u64, u64, Lost)>, usize) {
    let folder = tempfile::tempdir().unwrap();
    describe(folder.path());
    let trace = folder.path().join("trace");
    let program = traced(folder.path(), &trace, ack);
    let addr = program.address("origin").await;
    let sending: Vec<_> = (0..4_u64)
        .map(|viewer| {
            tokio::spawn(async move {
                let mut line = Line::new(addr);
                for number in 1..=HEARTS / 4 {
                    let headers = format!("like-seq: {number}\r\n");
                    let body = format!("{{\"viewer\":\"v{viewer}\",\"hearts\":1}}");
                    let sent = line
                        .ask("POST", "/live/demo/reactions", &headers, &body)
                        .await;
                    assert_eq!(sent.unwrap().status, 202);
                }
            })
        })
        .collect();
    for sent in sending {
        sent.await.unwrap();
    }
    kill(program).await;

    let trace = std::fs::read_to_string(&trace).unwrap();
    let (mut lost, mut moments, mut newest) = (Vec::new(), 0, 0);
    replay(&trace, |disk, sequence| {
        moments += 1;
        newest = newest.max(sequence);
        for missing in [Lost::All, Lost::None, Lost::EveryOther] {
            let found = held(disk, missing);
            if found < newest {
                lost.push((newest, found, missing));
            }
        }
    });
    (lost, moments)
}

fn traced(folder: &Path, trace: &Path, ack: &str) -> Program {
    let section = format!("{EASY}\nsnapshot_every_ms = 50\nack = {ack:?}");
    let calls = "trace=unlink,pwrite64,ftruncate,fsync,fdatasync,write,writev,sendto,sendmsg";
    #[rustfmt::skip]
    let flags = ["-y", "-xx", "-s", "10000000", "-e", calls, "-o", trace.to_str().unwrap()];
    under_strace(folder, &section, &flags)
}

/// An origin under `strace`.
fn under_strace(folder: &Path, section: &str, flags: &[&str]) -> Program {
    let origin = origin_command(folder, section);
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq"])
        .args(flags)
        .arg(origin.get_program())
        .args(origin.get_args());
    for (name, value) in origin.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Program::start(&mut command)
}

/// Ends an origin like a loss of power, and the `strace` around it.
async fn kill(program: Program) {
    let id = program.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let origin = children.split_whitespace().next().unwrap();
    let killed = Command::new("kill").args(["-9", origin]).status().unwrap();
    assert!(killed.success());
    program.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs strace, and takes a while: make test-long"]
async fn whatever_was_acknowledged_outlives_a_loss_of_power() {
    let (lost, moments) = losses("disk").await;
    assert_eq!(moments as u64, HEARTS);
    assert!(
        lost.is_empty(),
        "{} losses; acknowledged, found, writes that were lost: {:?}",
        lost.len(),
        &lost[..lost.len().min(5)]
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs strace, and takes a while: make test-long"]
async fn without_fsync_the_same_test_finds_a_loss() {
    let (lost, moments) = losses("memory").await;
    assert_eq!(moments as u64, HEARTS);
    assert!(
        !lost.is_empty(),
        "the test sees no loss where there must be one"
    );
    let kept = |lost: &&(u64, u64, Lost)| matches!(lost.2, Lost::None);
    let wrong = lost.iter().find(kept);
    assert!(
        wrong.is_none(),
        "lost though every write was kept: {wrong:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs strace: make test-long"]
async fn a_failed_fsync_ends_the_likes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    describe(folder.path());
    let log = folder.path().join("strace.log");
    // From the twentieth fsync of a thread on, the disk fails.
    let failing = "inject=fsync,fdatasync:error=EIO:when=20+";
    let flags = ["-e", failing, "-o", log.to_str().unwrap()];
    let program = under_strace(folder.path(), EASY, &flags);
    let addr = program.address("origin").await;
    let mut acknowledged = 0;
    let last = loop {
        let reply = hearts(addr, "ann", &format!("k{acknowledged}"), 1).await;
        if reply.status != 202 {
            break reply;
        }
        acknowledged += 1;
    };
    assert!((10..20).contains(&acknowledged), "{acknowledged}");
    assert_eq!(
        (last.status, &json(&last)["error"]),
        (503, &"outcome-unknown".into())
    );
    let down = hearts(addr, "bob", "k", 1).await;
    assert_eq!((down.status, &json(&down)["reason"]), (503, &"down".into()));
    assert_eq!(
        client::get(addr, "/live/demo/channel.json").await.status,
        200
    );
    program.logs("likes are off until the next start").await;
    kill(program).await;

    let program = origin(folder.path(), EASY);
    let addr = program.address("origin").await;
    let found = counts(addr, "?consistency=strong").await["hearts"]
        .as_u64()
        .unwrap();
    assert!(
        (acknowledged..=acknowledged + 1).contains(&found),
        "{found} of {acknowledged}"
    );
    let again = hearts(addr, "ann", &format!("k{acknowledged}"), 1).await;
    assert_eq!(again.status, 202);
    assert_eq!(
        counts(addr, "").await["hearts"],
        acknowledged + 1,
        "counted once"
    );
}

//! Likes that edges gather: far fewer requests at the origin, and every viewer hears of its own like as if it had asked the
//! origin.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use seawall::likes::batch::Header;
use seawall::likes::forward::{self, Forwarded, Said};
use seawall::likes::gather::{Gathering, Sent};
use seawall::likes::limits::Shed;
use seawall::likes::names::BATCH;
use seawall::likes::{Action, Change, Identity, Operation, Token};
use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::client::{self, Reply};
use crate::support::edge::TestEdge;
use crate::support::eventually;
use crate::support::fault_origin::{Behaviour, FaultOrigin, Gate};
use crate::support::likes::{
    EASY, Line, Simulated, TOKEN, counts, folder, hearts, json, like, metric, origin,
    origin_command, send,
};
use crate::support::program::Program;

const BATCHES: &str = "seawall_likes_edge_batches_total";
const OPERATIONS: &str = "seawall_likes_edge_operations_total";

fn url(addr: SocketAddr) -> String {
    format!("http://{addr}")
}

/// An edge whose likes wait until the next batch leaves, even on a slow machine.
fn patient(upstream: SocketAddr) -> TestEdge {
    let limits = Limits {
        origin_queue_wait: Duration::from_secs(20),
        likes_wait: Duration::from_secs(20),
        ..Limits::default()
    };
    TestEdge::start_with(&url(upstream), MissQueue::Flights, limits)
}

/// The status, and the word of a refusal or whether the like is a duplicate.
fn heard(reply: &Reply) -> (u16, String) {
    let json = json(reply);
    let word = match json.get("duplicate") {
        Some(duplicate) => duplicate.to_string(),
        None => json["error"].as_str().unwrap_or("none").to_owned(),
    };
    (reply.status, word)
}

fn said(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

/// Hearts without a viewer's name.
async fn nameless(addr: SocketAddr, count: u32) -> Reply {
    let body = format!("{{\"hearts\":{count}}}");
    send(addr, "POST", "/live/demo/reactions", "", &body).await
}

fn answer(said: &[Said]) -> Behaviour {
    Behaviour::ok(forward::answer(said))
}

fn durable(sequence: u64) -> Said {
    Said::Durable {
        token: Token { log: 7, sequence },
        duplicate: false,
        on_disk: true,
    }
}

/// Likes that arrive while one batch is made durable form the next batch, and each viewer hears of its own operation.
#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_viewers_are_two_requests_and_each_hears_of_its_own() {
    const VIEWERS: u64 = 300;
    let node = Simulated::start(seawall::likes::LikesLimits {
        append_wait: Duration::from_secs(60),
        ..Default::default()
    });
    let edge = patient(node.addr);
    let addr = edge.addr;
    node.log.stall();
    let first = tokio::spawn(async move { like(addr, "ann", 5).await });
    eventually("the first is being written", || node.log.appends() == 1).await;
    let others: Vec<_> = (0..VIEWERS)
        .map(|viewer| {
            tokio::spawn(async move {
                let sent = match viewer % 6 {
                    // The same as Ann's first; another operation under its number; an older one.
                    0 => like(addr, "ann", 5).await,
                    1 => {
                        send(
                            addr,
                            "DELETE",
                            "/live/demo/likes/ann",
                            "like-seq: 5\r\n",
                            "",
                        )
                        .await
                    }
                    2 => like(addr, "ann", 4).await,
                    3 => hearts(addr, &format!("v{viewer}"), "k", 2).await,
                    4 => nameless(addr, 3).await,
                    _ => like(addr, &format!("v{viewer}"), 1).await,
                };
                (viewer % 6, sent)
            })
        })
        .collect();
    let waiting = "seawall_edge_requests_inflight{edge=\"edge-t\",kind=\"other\"}";
    eventually("all of them wait", || {
        edge.metric(waiting) == VIEWERS as f64 + 1.0
    })
    .await;
    // The last requests may still be reading their bodies.
    tokio::time::sleep(Duration::from_millis(100)).await;
    node.log.go_on();
    assert_eq!(heard(&first.await.unwrap()), said(202, "false"));
    let mut sequences = std::collections::BTreeSet::new();
    for other in others {
        let (what, reply) = other.await.unwrap();
        let expected = match what {
            0 | 2 => said(202, "true"),
            1 => said(422, "conflict"),
            _ => said(202, "false"),
        };
        assert_eq!(heard(&reply), expected, "{what}: {reply:?}");
        if what == 3 || what == 5 {
            sequences.insert(json(&reply)["seq"].as_u64().unwrap());
        }
    }
    assert_eq!(
        sequences.len() as u64,
        VIEWERS / 3,
        "each has its own place"
    );
    assert_eq!(node.metric(BATCHES), 2.0);
    let hearts_of_nobody = VIEWERS as f64 / 6.0;
    let operations = 1.0 + VIEWERS as f64 - hearts_of_nobody + 1.0;
    assert_eq!(node.metric(OPERATIONS), operations, "a sum is one");
    assert_eq!(edge.metric("seawall_edge_like_batches_total"), 2.0);
    assert_eq!(
        edge.metric("seawall_edge_like_operations_total"),
        operations
    );
    let counts = counts(addr, "?consistency=strong").await;
    let (likes, hearts) = (VIEWERS / 6 + 1, VIEWERS / 6 * 5);
    assert_eq!(
        (&counts["likes"], &counts["hearts"]),
        (&likes.into(), &hearts.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_unknown_channels_and_closed_ones_are_said_as_the_origin_says_them() {
    let folder = folder();
    let origin = origin(folder.path(), "disk_free_bytes_min = 0");
    let upstream = origin.address("origin").await;
    let admin = origin.address("admin").await;
    let edge = TestEdge::start(&url(upstream));
    let addr = edge.addr;
    let quick: Vec<_> = (1..=60)
        .map(|number| tokio::spawn(async move { like(addr, "quick", number).await }))
        .collect();
    let mut limited = 0;
    for reply in quick {
        let reply = reply.await.unwrap();
        if reply.status == 429 {
            let wait: u64 = reply.header("retry-after").parse().unwrap();
            assert!((1..=3).contains(&wait) && heard(&reply).1 == "limited");
            limited += 1;
        } else {
            assert_eq!(reply.status, 202, "{reply:?}");
        }
    }
    assert!(limited >= 10, "{limited} of 60 in a moment");
    let nobody = "/live/nobody/likes/ann";
    let unknown = send(addr, "PUT", nobody, "like-seq: 1\r\n", "").await;
    assert_eq!(heard(&unknown), said(404, "unknown-channel"));
    let close = format!("authorization: Bearer {TOKEN}\r\n");
    let path = "/-/likes/close?channel=demo";
    assert_eq!(send(admin, "POST", path, &close, "").await.status, 202);
    assert_eq!(heard(&like(addr, "late", 1).await), said(410, "closed"));
    assert_eq!(heard(&nameless(addr, 1).await), said(410, "closed"));
    assert!(metric(admin, BATCHES).await > 0.0);
}

/// Directly, and through edges and a shield: hearts without a name count as often as they are sent.
#[tokio::test(flavor = "multi_thread")]
async fn hearts_without_a_name_add_up_through_every_door() {
    let folder = folder();
    let origin = origin(folder.path(), EASY);
    let upstream = origin.address("origin").await;
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let shield = TestEdge::start_named("shield", &url(upstream), free());
    let edges = [
        TestEdge::start(&url(upstream)),
        TestEdge::start(&url(shield.addr)),
    ];
    let doors = [upstream, edges[0].addr, edges[1].addr];
    let sent: Vec<_> = (0..300)
        .map(|number| {
            let door = doors[number % doors.len()];
            tokio::spawn(async move { nameless(door, 1 + (number % 7) as u32).await })
        })
        .collect();
    for reply in sent {
        let reply = reply.await.unwrap();
        assert_eq!(heard(&reply), said(202, "false"), "{reply:?}");
    }
    let sum: usize = (0..300).map(|number| 1 + number % 7).sum();
    let strong = counts(edges[1].addr, "?consistency=strong").await;
    assert_eq!(strong["hearts"], sum);
    for (body, key) in [
        ("{\"hearts\":0}", ""),
        ("{\"hearts\":101}", ""),
        ("{\"hearts\":1}", "like-seq: 1\r\n"),
    ] {
        for door in doors {
            let reply = send(door, "POST", "/live/demo/reactions", key, body).await;
            assert_eq!(heard(&reply), said(400, "bad-request"), "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_have_their_rate_for_hearts_without_a_name_at_the_edge() {
    let folder = folder();
    let few = "address_rate_max = 5\nloopback_counts = true";
    let origin = origin(folder.path(), &format!("{EASY}\n{few}"));
    let upstream = origin.address("origin").await;
    let few = seawall::serve::likes::rates::Addresses {
        rate_max: 5,
        ..Default::default()
    };
    let edge = TestEdge::start_counting(&url(upstream), few);
    let addr = edge.addr;
    let mut limited = 0;
    for number in 0..80 {
        // Written like another edge on this machine would: forty addresses, and one address that comes forty times.
        let address = if number < 40 { number } else { 200 };
        let from = format!("x-forwarded-for: 192.0.2.{address}\r\n");
        let reply = send(
            addr,
            "POST",
            "/live/demo/reactions",
            &from,
            "{\"hearts\":1}",
        )
        .await;
        match reply.status {
            429 if number >= 40 => limited += 1,
            status => assert_eq!(status, 202, "{reply:?}"),
        }
    }
    assert!(
        limited >= 10,
        "{limited} of 40 in a moment from one address"
    );
    let strong = counts(addr, "?consistency=strong").await;
    assert_eq!(strong["hearts"], 80 - limited);
}

/// A relay to an origin, which may be replaced later. The relay loses some answers on the way back.
struct Relay {
    addr: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    lost: Arc<AtomicUsize>,
}

impl Relay {
    /// The answer of one batch in `lost_each` is lost after the origin has taken it; 0 for none.
    async fn start(target: SocketAddr, lost_each: usize) -> Self {
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            addr: door.local_addr().unwrap(),
            target: Arc::new(Mutex::new(target)),
            lost: Arc::default(),
        };
        let (target, lost) = (relay.target.clone(), relay.lost.clone());
        let batches = Arc::new(AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((stream, _)) = door.accept().await {
                let (target, lost, batches) = (target.clone(), lost.clone(), batches.clone());
                tokio::spawn(async move {
                    Self::carry(stream, target, &batches, lost_each, &lost).await
                });
            }
        });
        relay
    }

    /// While the origin is gone, a connection waits here until another origin runs.
    async fn connect(target: Arc<Mutex<SocketAddr>>) -> Option<TcpStream> {
        for _ in 0..500 {
            let addr = *target.lock().unwrap();
            match TcpStream::connect(addr).await {
                Ok(origin) => return Some(origin),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        None
    }

    async fn carry(
        mut viewer: TcpStream,
        target: Arc<Mutex<SocketAddr>>,
        batches: &AtomicUsize,
        lost_each: usize,
        lost: &AtomicUsize,
    ) -> Option<()> {
        use tokio::io::AsyncReadExt;
        let mut origin = Self::connect(target).await?;
        let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        let mut loses = false;
        loop {
            tokio::select! {
                read = viewer.read(&mut asked) => {
                    let length = read.ok().filter(|length| *length > 0)?;
                    if asked.starts_with(format!("POST {BATCH}").as_bytes()) && lost_each > 0 {
                        loses = batches.fetch_add(1, Ordering::Relaxed).is_multiple_of(lost_each);
                    }
                    origin.write_all(&asked[..length]).await.ok()?;
                }
                read = origin.read(&mut answered) => {
                    let length = read.ok().filter(|length| *length > 0)?;
                    if loses {
                        lost.fetch_add(1, Ordering::Relaxed);
                        client::reset(viewer);
                        return None;
                    }
                    viewer.write_all(&answered[..length]).await.ok()?;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_answer_is_lost_is_sent_again_and_counts_once() {
    let folder = folder();
    let origin = origin(folder.path(), EASY);
    let relay = Relay::start(origin.address("origin").await, 3).await;
    let edge = patient(relay.addr);
    let addr = edge.addr;
    let mut sent = 0;
    for round in 1..=20_u64 {
        let wave: Vec<_> = (0..20)
            .map(|viewer| {
                tokio::spawn(async move {
                    match viewer % 2 {
                        0 => nameless(addr, 5).await,
                        _ => like(addr, &format!("v{viewer}"), round).await,
                    }
                })
            })
            .collect();
        for (viewer, reply) in wave.into_iter().enumerate() {
            let reply = reply.await.unwrap();
            assert_eq!(reply.status, 202, "{reply:?}");
            if viewer % 2 == 0 {
                assert_eq!(heard(&reply).1, "false", "hearts of nobody are sent once");
                sent += 5;
            }
        }
    }
    assert!(relay.lost.load(Ordering::Relaxed) > 0);
    let strong = counts(addr, "?consistency=strong").await;
    assert_eq!(
        (&strong["hearts"], &strong["likes"]),
        (&sent.into(), &10.into())
    );
}

/// One viewer at an edge: a hundred hearts under each of its numbers, one after another, each until it is acknowledged.
async fn persist(addr: SocketAddr, viewer: usize, until: u64) -> u64 {
    let mut line = Line::new(addr);
    let mut acknowledged = 0;
    while acknowledged < until {
        let body = format!("{{\"viewer\":\"v{viewer}\",\"hearts\":100}}");
        let headers = format!("like-seq: {}\r\n", acknowledged + 1);
        let reply = line
            .ask("POST", "/live/demo/reactions", &headers, &body)
            .await;
        match reply.expect("the edge always answers").status {
            202 => acknowledged += 1,
            503 => tokio::time::sleep(Duration::from_millis(20)).await,
            other => panic!("{other}"),
        }
    }
    acknowledged
}

/// A viewer whose hearts have no name, sent one at a time: acknowledged ones count, those with an unknown outcome may count.
async fn tap_on(addr: SocketAddr, until: u64) -> (u64, u64) {
    let (mut acknowledged, mut in_doubt) = (0, 0);
    while acknowledged < until {
        let reply = nameless(addr, 1).await;
        match heard(&reply) {
            (202, _) => acknowledged += 1,
            (503, word) if word == "outcome-unknown" => in_doubt += 1,
            (503, _) => {}
            other => panic!("{other:?}"),
        }
        if reply.status == 503 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    (acknowledged, in_doubt)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_killed_under_batches_counts_every_202_and_nothing_twice() {
    const VIEWERS: usize = 12;
    const HEARTS: u64 = 120;
    let folder = folder();
    let mut program = origin(folder.path(), EASY);
    let relay = Relay::start(program.address("origin").await, 0).await;
    let edge = TestEdge::start(&url(relay.addr));
    let addr = edge.addr;
    let named: Vec<_> = (0..VIEWERS)
        .map(|viewer| tokio::spawn(persist(addr, viewer, HEARTS)))
        .collect();
    let unnamed: Vec<_> = (0..VIEWERS)
        .map(|_| tokio::spawn(tap_on(addr, HEARTS)))
        .collect();
    for _ in 0..3 {
        let taken = edge.metric("seawall_edge_like_batches_total");
        eventually("batches are under way", || {
            edge.metric("seawall_edge_like_batches_total") > taken + 5.0
        })
        .await;
        program.kill();
        program.ended().await;
        program = Program::start(&mut origin_command(folder.path(), EASY));
        *relay.target.lock().unwrap() = program.address("origin").await;
    }
    let mut sure = 0;
    for viewer in named {
        sure += viewer.await.unwrap();
    }
    let (mut acknowledged, mut in_doubt) = (0, 0);
    for viewer in unnamed {
        let (those, others) = viewer.await.unwrap();
        acknowledged += those;
        in_doubt += others;
    }
    let strong = counts(addr, "?consistency=strong").await;
    let counted = strong["hearts"].as_u64().unwrap();
    let least = sure * 100 + acknowledged;
    // So hearts with an unknown outcome cannot hide that a hundred hearts of a viewer have counted twice.
    assert!(in_doubt < 100, "{in_doubt}");
    assert!(
        (least..=least + in_doubt).contains(&counted),
        "{counted} counted, {least} acknowledged, {in_doubt} in doubt"
    );
    let admin = program.address("admin").await;
    assert!(metric(admin, BATCHES).await > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_breaks_off_twice_leaves_everybody_in_doubt_and_is_the_same_both_times() {
    let origin = FaultOrigin::start(|_, _| Behaviour::Reset).await;
    let edge = TestEdge::start(&origin.url());
    let (like, hearts) = tokio::join!(like(edge.addr, "ann", 1), nameless(edge.addr, 1));
    for reply in [like, hearts] {
        assert_eq!(heard(&reply), said(503, "outcome-unknown"));
        assert!(!reply.header("retry-after").is_empty());
    }
    let bodies: Vec<_> = origin.arrived().into_iter().map(|one| one.body).collect();
    assert_eq!(bodies[0], bodies[1]);
}

/// 429 and `overloaded` promise that the like has not counted. An edge must not answer so about a like that it has sent before.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_when_it_is_sent_again_may_have_counted_before() {
    let limited = || answer(&[Said::Limited]);
    let origin = FaultOrigin::start(move |_, number| match number {
        0 => limited(),
        1 => Behaviour::Reset,
        2 => limited(),
        3 => Behaviour::Reset,
        4 => answer(&[Said::Overloaded(Shed::QueueFull)]),
        5 => Behaviour::Reset,
        6 => Behaviour::status(404),
        7 => Behaviour::Reset,
        _ => Behaviour::status(429),
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    let mut words = Vec::new();
    for number in 1..=5 {
        words.push(heard(&like(edge.addr, "ann", number).await).1);
    }
    let unknown = "outcome-unknown";
    assert_eq!(words, ["limited", unknown, unknown, unknown, unknown]);
    assert_eq!(origin.arrived().len(), 9);
    assert_eq!(origin.hits(BATCH), 7, "the last went by itself");
}

/// A silent disk leaves all operations of a batch in doubt, and a batch that is sent again counts once.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_log_leaves_every_operation_of_a_batch_in_doubt() {
    let node = Simulated::start(seawall::likes::LikesLimits {
        append_wait: Duration::from_millis(200),
        ..Default::default()
    });
    let bytes = bytes_of(&[("ann", 1), ("bob", 1), ("eve", 1)]);
    node.log.stall();
    let stalled = post(node.addr, "", &bytes).await;
    let said = forward::read_answer(&stalled.body, 3);
    assert_eq!(said, Ok(vec![Said::Unknown; 3]));
    node.log.go_on();
    let again = post(node.addr, "", &bytes).await;
    for said in forward::read_answer(&again.body, 3).unwrap() {
        assert!(
            matches!(
                said,
                Said::Durable {
                    duplicate: true,
                    ..
                }
            ),
            "{said:?}"
        );
    }
    assert_eq!(counts(node.addr, "?consistency=strong").await["likes"], 3);
}

/// A like that has not left in time is withdrawn, and has no effect.
#[tokio::test(flavor = "multi_thread")]
async fn those_behind_a_slow_batch_are_bounded_in_number_and_in_time() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |_, _| {
        Behaviour::Gated(held.clone(), Box::new(answer(&[durable(1)])))
    })
    .await;
    let limits = Limits {
        likes_at_once_max: 2,
        likes_queued_max: 1,
        origin_queue_wait: Duration::from_millis(300),
        ..Limits::default()
    };
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, limits);
    let addr = edge.addr;
    let first = tokio::spawn(async move { like(addr, "v0", 1).await });
    eventually("the first is under way", || origin.arrived().len() == 1).await;
    let behind: Vec<_> = (1..=2)
        .map(|viewer| tokio::spawn(async move { like(addr, &format!("v{viewer}"), 1).await }))
        .collect();
    for reply in behind {
        let reply = reply.await.unwrap();
        assert_eq!(heard(&reply), said(503, "overloaded"));
        assert_eq!(json(&reply)["reason"], "edge-full");
    }
    gate.open();
    assert_eq!(first.await.unwrap().status, 202);
    assert_eq!(like(addr, "v3", 1).await.status, 202);
    let viewers: Vec<_> = origin
        .arrived()
        .iter()
        .flat_map(|one| Forwarded::decode(&one.body).unwrap().batch.operations)
        .map(|operation| operation.viewer().unwrap().to_owned())
        .collect();
    assert_eq!(viewers, ["v0", "v3"], "who was refused was not forwarded");
}

/// So no operation of a viewer can overtake an earlier one.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_has_one_batch_under_way_and_its_viewers_keep_their_order() {
    const TAKES: Duration = Duration::from_millis(4);
    const VIEWERS: u64 = 8;
    const EACH: u64 = 60;
    let begun = Arc::new(Mutex::new(Vec::new()));
    let begins = begun.clone();
    let origin = FaultOrigin::start(move |arrived, _| {
        begins.lock().unwrap().push(Instant::now());
        let batch = Forwarded::decode(&arrived.body).unwrap().batch;
        let said = vec![durable(1); batch.operations.len()];
        Behaviour::Late(TAKES, Box::new(answer(&said)))
    })
    .await;
    let edge = patient(origin.addr);
    storm(edge.addr, VIEWERS as usize, EACH, 1, true).await;
    let begun = begun.lock().unwrap();
    for pair in begun.windows(2) {
        assert!(pair[1] - pair[0] >= TAKES, "two at once");
    }
    let mut last = std::collections::HashMap::new();
    for one in origin.arrived() {
        for operation in Forwarded::decode(&one.body).unwrap().batch.operations {
            let Change::Update(update) = operation.change else {
                panic!("no update");
            };
            let before = last.insert(update.viewer, update.identity.clone());
            let expected = match before {
                None => Identity::Sequence(1),
                Some(Identity::Sequence(before)) => Identity::Sequence(before + 1),
                Some(Identity::Key(_)) => panic!("no number"),
            };
            assert_eq!(update.identity, expected);
        }
    }
    assert_eq!(last.len() as u64, VIEWERS);
}

fn bytes_of(operations: &[(&str, u64)]) -> Vec<u8> {
    let mut gathering = Gathering::default();
    for (viewer, sequence) in operations {
        let identity = Identity::Sequence(*sequence);
        let like = Operation::update("demo", viewer, identity, Action::Like);
        gathering.push(Sent::Named(like), "192.0.2.1", ());
    }
    let header = Header {
        writer: 1,
        epoch: 1,
        number: 1,
    };
    gathering.take(header).unwrap().bytes
}

async fn post(addr: SocketAddr, headers: &str, bytes: &[u8]) -> Reply {
    let headers = format!("{headers}content-length: {}\r\n", bytes.len());
    client::request(addr, "POST", BATCH, &headers, bytes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bytes_are_refused_and_who_is_no_edge_may_send_none() {
    let node = Simulated::start(seawall::likes::LikesLimits::default());
    let addr = node.addr;
    let edge = TestEdge::start(&url(addr));
    let good = bytes_of(&[("ann", 1), ("bob", 1)]);
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 0xff;
        assert_eq!(
            heard(&post(addr, "", &flipped).await),
            said(400, "bad-request"),
            "{at}"
        );
    }
    for length in [0, 1, 8, good.len() - 1] {
        assert_eq!(
            heard(&post(addr, "", &good[..length]).await),
            said(400, "bad-request")
        );
    }
    let longer = [good.clone(), vec![0]].concat();
    assert_eq!(
        heard(&post(addr, "", &longer).await),
        said(400, "bad-request")
    );
    let longest = vec![0; forward::BYTES_MAX + 1];
    assert_eq!(
        heard(&post(addr, "", &longest).await),
        said(413, "too-large")
    );
    for (door, method) in [
        (addr, "GET"),
        (addr, "PUT"),
        (edge.addr, "GET"),
        (edge.addr, "PUT"),
    ] {
        let reply = send(door, method, BATCH, "", "").await;
        assert_eq!(heard(&reply), said(405, "bad-request"), "{method}");
    }
    // A viewer elsewhere: at the origin's listener behind a proxy on this machine, and at an edge on this machine.
    let elsewhere = "x-forwarded-for: 192.0.2.7\r\n";
    for door in [addr, edge.addr] {
        assert_eq!(
            heard(&post(door, elsewhere, &good).await),
            said(403, "no-edge")
        );
    }
    assert_eq!(node.metric(BATCHES), 0.0);
    assert_eq!(counts(addr, "?consistency=strong").await["likes"], 0);
    let taken = post(addr, "", &good).await;
    assert_eq!(taken.status, 200);
    let said = forward::read_answer(&taken.body, 2).unwrap();
    assert!(said.iter().all(|one| matches!(
        one,
        Said::Durable {
            duplicate: false,
            ..
        }
    )));
    assert_eq!(counts(addr, "").await["likes"], 2);
}

/// An origin that does not know this edge takes its likes one by one, like those of any client.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_none_to_its_origin_sends_one_by_one() {
    let origin = FaultOrigin::start(|arrived, _| match arrived.target.as_str() {
        BATCH => Behaviour::status(403),
        _ => Behaviour::status(202),
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    for number in 1..=3 {
        assert_eq!(like(edge.addr, "ann", number).await.status, 202);
    }
    assert_eq!(nameless(edge.addr, 4).await.status, 202);
    assert_eq!(origin.hits(BATCH), 1);
    assert_eq!(origin.hits("/live/demo/likes/ann"), 3);
    let hearts = origin.arrived().pop().unwrap();
    assert_eq!(hearts.body, b"{\"hearts\":4}", "as they were sent");
}

/// Processor seconds that a program has used so far.
fn processor_seconds(program: &Program) -> f64 {
    let process = procfs::process::Process::new(program.id() as i32).unwrap();
    let stat = process.stat().unwrap();
    (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64
}

/// Viewers with one connection each, all of which send one operation after another to this door. `sequence` is their first
/// number.
async fn storm(door: SocketAddr, viewers: usize, each: u64, sequence: u64, named: bool) {
    let viewers: Vec<_> = (0..viewers)
        .map(|viewer| {
            tokio::spawn(async move {
                let mut line = Line::new(door);
                for number in sequence..sequence + each {
                    let (path, headers) = (
                        format!("/live/demo/likes/v{viewer}"),
                        format!("like-seq: {number}\r\n"),
                    );
                    let reply = if named {
                        line.ask("PUT", &path, &headers, "").await
                    } else {
                        line.ask("POST", "/live/demo/reactions", "", "{\"hearts\":1}")
                            .await
                    };
                    assert_eq!(reply.unwrap().status, 202);
                }
            })
        })
        .collect();
    for viewer in viewers {
        viewer.await.unwrap();
    }
}

/// The cost of a like for the origin: sent directly, like an edge without batches over as many connections, and through an edge
/// that gathers. In the order A B A B; the median of the pairs counts.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, for a minute: make test-long"]
async fn the_origin_spends_a_fraction_on_a_like_that_an_edge_has_gathered() {
    const PAIRS: u64 = 5;
    const EACH: u64 = 40;
    println!(
        "| viewers at once | what | origin's CPU per like, directly | through an edge | ratio | likes per batch |"
    );
    println!("|---|---|---|---|---|---|");
    for (viewers, named) in [(64, true), (512, true), (512, false)] {
        let folder = folder();
        let origin = origin(folder.path(), EASY);
        let (upstream, admin) = (
            origin.address("origin").await,
            origin.address("admin").await,
        );
        let edge = TestEdge::start(&url(upstream));
        let mut pairs = Vec::new();
        for pair in 0..PAIRS {
            let mut costs = [0.0; 2];
            for (cost, door) in costs.iter_mut().zip([upstream, edge.addr]) {
                let before = processor_seconds(&origin);
                let first = 1 + pair * 2 * EACH + if door == upstream { 0 } else { EACH };
                storm(door, viewers, EACH, first, named).await;
                let likes = (viewers as u64 * EACH) as f64;
                *cost = (processor_seconds(&origin) - before) / likes * 1e6;
            }
            pairs.push(costs);
        }
        pairs.sort_by(|a, b| (a[0] / a[1]).total_cmp(&(b[0] / b[1])));
        let [alone, gathered] = pairs[pairs.len() / 2];
        let sizes = viewers as u64 * EACH * PAIRS / metric(admin, BATCHES).await as u64;
        let what = if named {
            "likes"
        } else {
            "hearts without a name"
        };
        println!(
            "| {viewers} | {what} | {alone:.1} µs | {gathered:.1} µs | {:.1} | {sizes} |",
            alone / gathered
        );
        assert!(gathered < alone, "{pairs:?}");
    }
}

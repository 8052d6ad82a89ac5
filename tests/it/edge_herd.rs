//! A herd at one missing object causes one request to the origin, no matter which viewers leave and how.

use std::time::Duration;

use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;
use tokio::task::JoinSet;

use crate::support::client::{self, Reply};
use crate::support::edge::TestEdge;
use crate::support::eventually;
use crate::support::fault_origin::{Behaviour, FaultOrigin, Gate};

const SEGMENT: &str = "/live/demo/720p/7.ts";

fn body() -> Vec<u8> {
    (0..200_000_u32).map(|index| (index % 251) as u8).collect()
}

/// Limits for a machine that is busy with two thousand clients in the same process.
fn patient() -> Limits {
    let long = Duration::from_secs(20);
    Limits {
        first_byte: long,
        progress: long,
        total: long,
        segment_wait: long,
        ..Limits::default()
    }
}

async fn all(mut viewers: JoinSet<Reply>) -> Vec<Reply> {
    let mut replies = Vec::new();
    while let Some(reply) = viewers.join_next().await {
        replies.push(reply.unwrap());
    }
    replies
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_at_one_cold_segment_cost_one_origin_hit() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |_, _| {
        Behaviour::Gated(held.clone(), Box::new(Behaviour::ok(body())))
    })
    .await;
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, patient());
    let mut viewers = JoinSet::new();
    for _ in 0..2_000 {
        viewers.spawn(client::get(edge.addr, SEGMENT));
    }
    eventually("2,000 wait", || edge.edge.waiters() == 2_000).await;
    gate.open();
    let replies = all(viewers).await;
    assert_eq!(replies.len(), 2_000);
    assert!(
        replies
            .iter()
            .all(|reply| reply.status == 200 && reply.whole && reply.body == body())
    );
    let collapsed = replies
        .iter()
        .filter(|reply| reply.header("cache-status").contains("collapsed"))
        .count();
    assert_eq!(collapsed, 1_999);
    assert_eq!(origin.hits(SEGMENT), 1);
    assert_eq!(
        edge.metric("seawall_edge_duplicate_origin_fetches_total"),
        0.0
    );
    assert_eq!(
        edge.metric(
            "seawall_edge_requests_total{edge=\"edge-t\",kind=\"segment\",result=\"collapsed\"}"
        ),
        1_999.0
    );
    eventually("nothing is left", || edge.quiet()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_queue_each_of_the_herd_costs_a_hit() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |_, _| {
        Behaviour::Gated(held.clone(), Box::new(Behaviour::ok(body())))
    })
    .await;
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Off, Limits::default());
    let mut viewers = JoinSet::new();
    for _ in 0..50 {
        viewers.spawn(client::get(edge.addr, SEGMENT));
    }
    eventually("50 ask the origin", || origin.hits(SEGMENT) == 50).await;
    gate.open();
    assert!(
        all(viewers)
            .await
            .iter()
            .all(|reply| reply.whole && reply.body == body())
    );
    assert_eq!(
        edge.metric("seawall_edge_duplicate_origin_fetches_total"),
        49.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_who_leave_by_reset_and_by_close_cost_no_second_hit() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |_, _| {
        Behaviour::Gated(held.clone(), Box::new(Behaviour::ok(body())))
    })
    .await;
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, patient());
    let leader = client::send(edge.addr, "GET", SEGMENT, "", b"").await;
    eventually("the leader waits", || edge.edge.waiters() == 1).await;
    let mut leavers = vec![leader];
    for _ in 0..999 {
        leavers.push(client::send(edge.addr, "GET", SEGMENT, "", b"").await);
    }
    let mut stayers = JoinSet::new();
    for _ in 0..1_000 {
        stayers.spawn(client::get(edge.addr, SEGMENT));
    }
    eventually("2,000 wait", || edge.edge.waiters() == 2_000).await;
    // The leader leaves first, by reset. Of the others, every second one resets, and the rest close.
    for (index, stream) in leavers.into_iter().enumerate() {
        if index % 2 == 0 {
            client::reset(stream)
        } else {
            drop(stream)
        }
    }
    eventually("those who reset are seen to have left", || {
        edge.edge.waiters() == 1_500
    })
    .await;
    gate.open();
    let replies = all(stayers).await;
    assert!(
        replies
            .iter()
            .all(|reply| reply.status == 200 && reply.whole && reply.body == body())
    );
    assert_eq!(origin.hits(SEGMENT), 1);
    eventually("nothing is left", || edge.quiet()).await;
    eventually("no connection is left", || {
        edge.metric("seawall_edge_connections{") == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seven_hundred_who_give_up_one_by_one_cost_one_fetch() {
    let late = || Behaviour::Late(Duration::from_secs(8), Box::new(Behaviour::ok(body())));
    let origin = FaultOrigin::start(move |_, _| late()).await;
    let ten = Duration::from_secs(10);
    let limits = Limits {
        first_byte: ten,
        segment_wait: ten,
        total: Duration::from_secs(12),
        ..Limits::default()
    };
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, limits);
    let mut viewers = JoinSet::new();
    for index in 0..700_u64 {
        let addr = edge.addr;
        viewers.spawn(async move {
            // From 10 ms to 7 s, ten milliseconds apart: each gives up while the fetch is under way.
            let patience = Duration::from_millis(10 + index * 10);
            tokio::time::timeout(patience, client::get(addr, SEGMENT))
                .await
                .is_err()
        });
    }
    let mut gave_up = 0;
    while let Some(left) = viewers.join_next().await {
        gave_up += u32::from(left.unwrap());
    }
    assert_eq!(gave_up, 700);
    let reply = client::get(edge.addr, SEGMENT).await;
    assert_eq!((reply.status, reply.body == body()), (200, true));
    assert_eq!(
        origin.hits(SEGMENT),
        1,
        "the fetch went on although everyone had left"
    );
    eventually("nothing is left", || edge.quiet()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_are_served_while_the_fetch_is_under_way() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |_, _| Behaviour::GatedBody {
        gate: held.clone(),
        first: 50_000,
        body: body(),
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    let mut early = client::send(edge.addr, "GET", SEGMENT, "", b"").await;
    let mut late = client::send(edge.addr, "GET", SEGMENT, "range: bytes=10-19\r\n", b"").await;
    // The origin has sent a quarter and waits, so a viewer that gets its range now gets it from the fetch under way.
    let part = client::read_reply(&mut late, false).await;
    assert_eq!(
        (part.status, part.header("content-range").as_str()),
        (206, "bytes 10-19/200000")
    );
    assert_eq!(part.body, body()[10..20]);
    assert_eq!(edge.edge.flights_under_way(), 1);
    gate.open();
    let whole = client::read_reply(&mut early, false).await;
    assert!(whole.whole && whole.body == body());
    assert_eq!(origin.hits(SEGMENT), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_and_get_share_one_fetch() {
    let origin = FaultOrigin::start(|_, _| Behaviour::ok(body())).await;
    let edge = TestEdge::start(&origin.url());
    let head = client::request(edge.addr, "HEAD", SEGMENT, "", b"").await;
    assert_eq!(
        (
            head.status,
            head.header("content-length").as_str(),
            head.body.len()
        ),
        (200, "200000", 0)
    );
    let got = client::get(edge.addr, &format!("{SEGMENT}?session=42#no")).await;
    assert_eq!(got.status, 200, "{got:?}");
    assert!(got.body == body());
    assert_eq!(
        origin.arrived().len(),
        1,
        "a query never counts on a live path"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_on_waiters_are_said_in_a_word() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |_, _| {
        Behaviour::Gated(held.clone(), Box::new(Behaviour::ok(body())))
    })
    .await;
    let limits = Limits {
        waiters_per_flight_max: 2,
        waiters_max: 3,
        ..Limits::default()
    };
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, limits);
    let mut seated = JoinSet::new();
    for _ in 0..2 {
        seated.spawn(client::get(edge.addr, SEGMENT));
    }
    eventually("two wait", || edge.edge.waiters() == 2).await;
    let refused = client::get(edge.addr, SEGMENT).await;
    assert_eq!(refused.status, 503);
    assert!(
        refused
            .header("cache-status")
            .ends_with("detail=flight-full"),
        "{refused:?}"
    );
    assert!((1..=3).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
    seated.spawn(client::get(edge.addr, "/live/demo/720p/8.ts"));
    eventually("three wait", || edge.edge.waiters() == 3).await;
    let refused = client::get(edge.addr, "/live/demo/720p/9.ts").await;
    assert!(
        refused.header("cache-status").ends_with("detail=edge-full"),
        "{refused:?}"
    );
    gate.open();
    assert!(all(seated).await.iter().all(|reply| reply.status == 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_frees_the_waiter_and_not_the_fetch() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = FaultOrigin::start(move |_, _| {
        Behaviour::Gated(held.clone(), Box::new(Behaviour::ok(body())))
    })
    .await;
    let limits = Limits {
        segment_wait: Duration::from_millis(100),
        ..Limits::default()
    };
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, limits);
    let late = client::get(edge.addr, SEGMENT).await;
    assert_eq!(late.status, 503);
    assert!(
        late.header("cache-status").ends_with("detail=deadline"),
        "{late:?}"
    );
    assert_eq!(edge.edge.flights_under_way(), 1);
    gate.open();
    eventually("the fetch has landed", || edge.quiet()).await;
    let hit = client::get(edge.addr, SEGMENT).await;
    assert!(hit.header("cache-status").contains("; hit"), "{hit:?}");
    assert_eq!(origin.hits(SEGMENT), 1);
}

/// The baseline's deliberately wrong behaviour, which the flights avoid.
#[tokio::test(flavor = "multi_thread")]
async fn mokas_own_collapsing_fetches_again_when_its_leader_leaves() {
    let gate = Gate::closed();
    let held = gate.clone();
    let gated = move |_: &_, _| Behaviour::Gated(held.clone(), Box::new(Behaviour::ok(body())));
    let origin = FaultOrigin::start(gated).await;
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Moka, Limits::default());
    let leader = client::send(edge.addr, "GET", SEGMENT, "", b"").await;
    eventually("the leader's fetch is under way", || {
        origin.hits(SEGMENT) == 1
    })
    .await;
    let mut follower = client::send(edge.addr, "GET", SEGMENT, "", b"").await;
    eventually("both are connected", || {
        edge.metric("seawall_edge_connections{") == 2.0
    })
    .await;
    assert_eq!(
        origin.hits(SEGMENT),
        1,
        "as long as the leader stays, there is one fetch"
    );
    client::reset(leader);
    eventually("the fetch began again", || origin.hits(SEGMENT) == 2).await;
    gate.open();
    let reply = client::read_reply(&mut follower, false).await;
    assert!(reply.whole && reply.body == body());
}

#[tokio::test(flavor = "multi_thread")]
async fn waiters_that_poll_cost_one_hit_and_wait_for_their_next_look() {
    let origin = FaultOrigin::start(|_, _| {
        Behaviour::Late(Duration::from_millis(50), Box::new(Behaviour::ok(body())))
    })
    .await;
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Poll500ms, Limits::default());
    let mut viewers = JoinSet::new();
    let begun = std::time::Instant::now();
    for _ in 0..50 {
        let addr = edge.addr;
        viewers.spawn(async move { client::get(addr, SEGMENT).await });
    }
    let replies = all(viewers).await;
    assert!(
        begun.elapsed() >= Duration::from_millis(500),
        "no request looks sooner"
    );
    assert!(
        replies
            .iter()
            .all(|reply| reply.status == 200 && reply.body == body())
    );
    let collapsed = replies
        .iter()
        .filter(|reply| reply.header("cache-status").contains("collapsed"))
        .count();
    assert_eq!((origin.hits(SEGMENT), collapsed), (1, 49));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_after_somebody_has_the_whole_never_misses_even_without_the_queue() {
    for miss_queue in [MissQueue::Off, MissQueue::Flights] {
        let origin = FaultOrigin::start(|_, _| Behaviour::ok(vec![7; 2_000_000])).await;
        let edge = TestEdge::start_with(&origin.url(), miss_queue, Limits::default());
        for number in 0..60 {
            let path = format!("/live/demo/720p/{number}.ts");
            let first = client::get(edge.addr, &path).await;
            assert!(first.whole, "{first:?}");
            let second = client::get(edge.addr, &path).await;
            assert!(
                second.header("cache-status").contains("; hit"),
                "{miss_queue} {number}: {second:?}"
            );
        }
    }
}

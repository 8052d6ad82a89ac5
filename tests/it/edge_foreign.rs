//! Paths that are not live streams: cached with an explicit lifetime, passed through otherwise, never shared by mistake.

use crate::support::client;
use crate::support::edge::TestEdge;
use crate::support::fault_origin::{Behaviour, FaultOrigin};

#[tokio::test(flavor = "multi_thread")]
async fn an_explicit_lifetime_makes_an_object_shared() {
    let origin = FaultOrigin::start(|_, _| {
        Behaviour::ok_with("cache-control: max-age=60\r\netag: \"a\"\r\n", "page")
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    for target in ["/page", "/page", "/page?x=1", "/page?x=1", "/page?x=2"] {
        let reply = client::request(edge.addr, "GET", target, "cookie: who=me\r\n", b"").await;
        assert_eq!(
            (reply.status, reply.body.as_slice()),
            (200, b"page".as_slice())
        );
    }
    assert_eq!(origin.arrived().len(), 3, "the query belongs to the key");
    assert!(
        origin
            .arrived()
            .iter()
            .all(|arrived| !arrived.head.contains("cookie")),
        "shared requests are built from scratch"
    );
    let unchanged =
        client::request(edge.addr, "GET", "/page", "if-none-match: \"a\"\r\n", b"").await;
    assert_eq!(unchanged.status, 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_to_be_shared_reaches_each_viewer_alone() {
    for headers in [
        "",
        "cache-control: private, max-age=60\r\n",
        "cache-control: max-age=60\r\nset-cookie: id=1\r\n",
    ] {
        let origin = FaultOrigin::start(move |arrived, _| {
            let who = arrived
                .head
                .lines()
                .find_map(|line| line.strip_prefix("cookie: "))
                .unwrap_or("nobody")
                .to_owned();
            Behaviour::ok_with(headers, who)
        })
        .await;
        let edge = TestEdge::start(&origin.url());
        for who in ["ann", "bob", "cy"] {
            let reply =
                client::request(edge.addr, "GET", "/me", &format!("cookie: {who}\r\n"), b"").await;
            assert_eq!(reply.body, who.as_bytes(), "{headers:?}");
            assert!(
                reply.header("cache-status").contains("fwd=bypass"),
                "{reply:?}"
            );
        }
        // One request shows that the answer is private; then each viewer sends its own.
        assert_eq!(origin.arrived().len(), 4, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn authorised_requests_are_never_shared() {
    let origin =
        FaultOrigin::start(|_, _| Behaviour::ok_with("cache-control: max-age=60\r\n", "secret"))
            .await;
    let edge = TestEdge::start(&origin.url());
    for _ in 0..2 {
        client::request(
            edge.addr,
            "GET",
            "/secret",
            "authorization: Bearer x\r\n",
            b"",
        )
        .await;
    }
    assert_eq!(origin.hits("/secret"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn unsafe_methods_pass_with_their_body_and_make_the_copy_invalid() {
    let origin = FaultOrigin::start(|arrived, _| match arrived.method.as_str() {
        "POST" => Behaviour::Answer {
            status: 201,
            headers: "x-made: yes\r\n".to_owned(),
            body: arrived.body.clone(),
        },
        _ => Behaviour::ok_with("cache-control: max-age=60\r\n", "page"),
    })
    .await;
    let edge = TestEdge::start(&origin.url());
    client::get(edge.addr, "/page").await;
    let headers = "content-length: 5\r\nx-forwarded-host: evil\r\nconnection: x-hop\r\nx-hop: 1\r\nx-end: 2\r\n";
    let posted = client::request(edge.addr, "POST", "/page", headers, b"hello").await;
    assert_eq!(
        (
            posted.status,
            posted.body.as_slice(),
            posted.header("x-made").as_str()
        ),
        (201, b"hello".as_slice(), "yes")
    );
    client::get(edge.addr, "/page").await;
    assert_eq!(origin.arrived().len(), 3, "the stored page was forgotten");
    let forwarded = &origin.arrived()[1].head;
    assert!(
        forwarded.contains("x-end: 2") && forwarded.contains("via: 1.1 edge-t"),
        "{forwarded}"
    );
    assert!(
        !forwarded.contains("evil") && !forwarded.contains("x-hop"),
        "{forwarded}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_path_takes_no_unsafe_method() {
    let origin = FaultOrigin::start(|_, _| Behaviour::ok("never")).await;
    let edge = TestEdge::start(&origin.url());
    let reply = client::request(edge.addr, "DELETE", "/live/demo/720p/7.ts", "", b"").await;
    assert_eq!(
        (reply.status, reply.header("allow").as_str()),
        (405, "GET, HEAD, OPTIONS")
    );
    let preflight = client::request(
        edge.addr,
        "OPTIONS",
        "/live/demo/720p/7.ts",
        "origin: http://a\r\n",
        b"",
    )
    .await;
    assert_eq!(
        (
            preflight.status,
            preflight.header("access-control-allow-origin").as_str()
        ),
        (204, "*")
    );
    assert!(origin.arrived().is_empty());
}

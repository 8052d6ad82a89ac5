//! `seawall top` without a terminal: one line per poll of a real cluster, or a clear error.

use crate::support::program::{self, FREE_DOORS, Program};

#[tokio::test(flavor = "multi_thread")]
async fn one_line_tells_of_a_cluster_that_was_found_through_its_origin() {
    let segments = tempfile::tempdir().unwrap();
    let folder = segments.path().to_str().unwrap();
    let own = ["up", "--edges", "2", "--segments", folder];
    let up = Program::seawall(&[&own[..], &FREE_DOORS[..]].concat());
    let admin = up.address("A Prometheus finds").await.to_string();
    let top = [
        "top",
        "--admin",
        &admin,
        "--interval",
        "0.2",
        "--audience",
        "127.0.0.1:9",
    ];
    let once = program::run(&[&top[..], &["--once"]].concat()).await;
    assert_eq!(once.code, Some(0), "{once:?}");
    assert_eq!(once.out.lines().count(), 1, "{once:?}");
    assert!(once.out.contains("edges-up 2/2"), "{once:?}");
    assert!(
        !once.out.contains("down:") && !once.out.contains('\u{1b}'),
        "{once:?}"
    );

    // Its stdout is a pipe: it prints lines until it is told to end.
    let plain = Program::seawall(&top);
    plain.says("edges-up 2/2").await;
    plain.terminate();
    let ended = plain.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_it_says_so_and_what_to_try() {
    let ended = program::run(&["top", "--once", "--admin", "127.0.0.1:9"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for text in [
        "nothing answers at 127.0.0.1:9",
        "refused",
        "seawall up",
        "--admin HOST:PORT",
    ] {
        assert!(ended.err.contains(text), "{ended:?}");
    }
}

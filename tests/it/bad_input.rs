//! Seawall's error messages: what happened, why, and what to try; and how the program ends.

use std::net::SocketAddr;

use clap::CommandFactory;

use crate::support::client;
use crate::support::program::{Ended, Program, run};

/// Asserts how a command ended, and that all of `told` is on stderr.
#[track_caller]
fn assert_told(ended: &Ended, code: i32, told: &[&str]) {
    for part in told {
        assert!(ended.err.contains(part), "{part:?} is not in {}", ended.err);
    }
    assert_eq!(ended.code, Some(code), "{}", ended.err);
    assert_eq!(ended.out, "");
    // Each sentence appears once, and without colours where stderr is no terminal.
    let mut causes: Vec<_> = ended
        .err
        .split(": ")
        .filter(|part| part.contains("os error"))
        .collect();
    causes.dedup();
    assert!(causes.len() <= 1, "said twice: {}", ended.err);
    assert!(!ended.err.contains('\x1b'), "{:?}", ended.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_makes_no_sense_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seawall.toml");
    let file = path.to_str().unwrap();
    for (text, told) in [
        (
            "[edge]\ncount = 2\ncachebytes = 5\n",
            &[
                "seawall.toml is not a configuration",
                "line 3, column 1",
                "unknown field `cachebytes`",
                "`seawall config` prints one with every key",
            ][..],
        ),
        (
            "[edge]\ncount = \"two\"\n",
            &["line 2, column 9", "invalid type"],
        ),
        (
            "[origin]\nwindow = 3\n",
            &["origin.window is 3, but must be 6 to 1000 segments"],
        ),
        (
            "[channel]\nrenditions = [\"4k\"]\n",
            &["channel.renditions is [\"4k\"], but must be some of 180p, 360p, 720p and 1080p"],
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        assert_told(&run(&["config", "--config", file]).await, 3, told);
    }
    let missing = run(&["config", "--config", "/nowhere/seawall.toml"]).await;
    assert_told(
        &missing,
        3,
        &[
            "cannot read /nowhere/seawall.toml: No such file",
            "name another file with --config",
        ],
    );
    let flag = run(&["up", "--edges", "0"]).await;
    assert_told(&flag, 3, &["edge.count is 0, but must be 1 to 64"]);
    let open = run(&["origin", "--ingest", "127.0.0.1:0"]).await;
    assert_told(
        &open,
        3,
        &[
            "origin.token is unset",
            "a broadcaster must prove that it may",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_with_its_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let segments = folder.path().to_str().unwrap();
    #[rustfmt::skip]
    let up = |flag: &'static str| {
        ["--origin-listen", "--origin-admin", "--edge-listen", "--edge-admin"]
            .into_iter()
            .flat_map(move |known| [known, if known == flag { "TAKEN" } else { "127.0.0.1:0" }])
            .chain(["--segments", "SEGMENTS", "--renditions", "180p"])
    };
    let commands: [(&str, Vec<&str>); 6] = [
        (
            "--listen",
            vec!["edge", "--listen", "TAKEN", "--admin", "127.0.0.1:0"],
        ),
        (
            "--admin",
            vec!["edge", "--listen", "127.0.0.1:0", "--admin", "TAKEN"],
        ),
        (
            "--ingest",
            vec![
                "origin",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--ingest",
                "TAKEN",
                "--token",
                "T",
                "--segments",
                "SEGMENTS",
            ],
        ),
        (
            "--origin-listen",
            ["up"].into_iter().chain(up("--origin-listen")).collect(),
        ),
        (
            "--edge-listen",
            ["up", "--log", "warn"]
                .into_iter()
                .chain(up("--edge-listen"))
                .collect(),
        ),
        (
            "--edge-admin",
            ["up", "--log", "warn"]
                .into_iter()
                .chain(up("--edge-admin"))
                .collect(),
        ),
    ];
    for (flag, args) in commands {
        let args: Vec<_> = args
            .into_iter()
            .map(|arg| match arg {
                "TAKEN" => &port,
                "SEGMENTS" => segments,
                arg => arg,
            })
            .collect();
        let told = [
            &format!("cannot listen on {port}: Address already in use"),
            "another program has this port: stop it",
            &format!("choose another with {flag} (port 0 takes any free one)"),
        ];
        assert_told(&run(&args).await, 1, &told);
    }
}

const FREE: [&str; 4] = [
    "--origin-listen",
    "127.0.0.1:0",
    "--origin-admin",
    "127.0.0.1:0",
];
const FREE_EDGES: [&str; 4] = [
    "--edge-listen",
    "127.0.0.1:0",
    "--edge-admin",
    "127.0.0.1:0",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_for_segments_that_cannot_be_used_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"in the way").unwrap();
    let up = async |segments: &std::path::Path, parts: &str| {
        let segments = segments.to_str().unwrap();
        let more = [
            "--segments",
            segments,
            "--parts",
            parts,
            "--renditions",
            "180p",
            "--log",
            "warn",
        ];
        let args = [&["up"][..], &FREE, &FREE_EDGES, &more].concat();
        Program::seawall(&args)
    };
    let ended = up(&file, "6").await.ended().await;
    assert_told(
        &ended,
        1,
        &[
            "cannot create the folder",
            "check the folder for segments, or choose another one with --segments",
        ],
    );
    let inside = up(&file.join("segments"), "6").await.ended().await;
    assert_told(&inside, 1, &["Not a directory", "--segments"]);

    // The same channel with longer segments would give old names to new bytes.
    let first = up(folder.path(), "6").await;
    first.says("On air").await;
    first.terminate();
    assert_eq!(first.ended().await.code, Some(0));
    let other = up(folder.path(), "9").await.ended().await;
    assert_told(
        &other,
        1,
        &[
            "channel \"demo\" is known with another seed, another number of parts or other renditions",
            "choose another name with --channel",
            "remove the folder \"demo\"",
        ],
    );
    let again = up(folder.path(), "6").await;
    again.says("On air").await;
}

async fn origin_with_ingest(segments: &std::path::Path) -> Program {
    #[rustfmt::skip]
    let args = [
        "origin", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ingest", "127.0.0.1:0",
        "--segments", segments.to_str().unwrap(),
    ];
    Program::seawall_with(&args, &[("SEAWALL_TOKEN", "right")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcaster_that_may_not_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let origin = origin_with_ingest(folder.path()).await;
    let to = format!("http://{}", origin.address("ingest").await);
    let wrong = run(&[
        "broadcast",
        "--to",
        &to,
        "--token",
        "wrong",
        "--log",
        "warn",
    ])
    .await;
    assert_told(
        &wrong,
        1,
        &[
            "the origin refuses the channel",
            "401 Unauthorized",
            "the token is missing or wrong",
        ],
    );
    assert!(
        !wrong.err.contains("\"wrong\""),
        "a secret is not repeated: {}",
        wrong.err
    );
    assert_told(
        &run(&["broadcast", "--to", &to]).await,
        3,
        &["give it with --token or SEAWALL_TOKEN"],
    );
    assert_told(
        &run(&["broadcast"]).await,
        3,
        &["where to?", "--to http://HOST:PORT"],
    );
    let bare = run(&["broadcast", "--to", "127.0.0.1:1", "--token", "T"]).await;
    assert_told(
        &bare,
        3,
        &["is written as http://HOST:PORT, not as \"127.0.0.1:1\""],
    );
    let kept = std::fs::read_dir(folder.path()).unwrap();
    let names: Vec<_> = kept.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [".likes"], "no channel is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_or_not_allowed_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let origin = origin_with_ingest(folder.path()).await;
    let (ingest, viewers) = (
        origin.address("ingest").await,
        origin.address("origin").await,
    );
    let description = br#"{"name":"demo","seed":1,"layout":{"parts_per_segment":6,"ladder":[
        {"name":"180p","width":320,"height":180,"bitrate_bps":190000}]},"started_at":1700000000000}"#;
    let put = async |token: &str, path: &str, body: &[u8]| {
        let headers = format!(
            "authorization: Bearer {token}\r\ncontent-length: {}\r\n",
            body.len()
        );
        let reply = client::request(ingest, "PUT", path, &headers, body).await;
        (reply.status, String::from_utf8(reply.body).unwrap())
    };
    let (status, why) = put("wrong", "/live/demo/channel.json", description).await;
    assert_eq!(status, 401);
    assert!(
        why.starts_with("the token is missing or wrong: send `Authorization: Bearer TOKEN`"),
        "{why}"
    );
    assert_eq!(
        client::get(viewers, "/live/demo/channel.json").await.status,
        404
    );
    assert_eq!(
        put("right", "/live/demo/channel.json", description).await.0,
        200
    );

    let number = seawall::serve::clock::Clock::start().unix().as_millis() / 1_920 - 1;
    let segment = format!("/live/demo/180p/{number}.ts");
    let packet = [&[0x47][..], &[0; 187]].concat();
    assert_eq!(put("wrong", &segment, &packet).await.0, 401);
    let head = "authorization: Bearer right\r\n";
    let announced = format!("{head}content-length: 376\r\n");
    let chunked = format!("{head}transfer-encoding: chunked\r\n");
    let chunk = [b"bc\r\n", &packet[..], b"\r\n"].concat();
    for (headers, body) in [(announced, &packet), (chunked, &chunk)] {
        let mut stream = client::send(ingest, "PUT", &segment, &headers, body).await;
        tokio::io::AsyncWriteExt::shutdown(&mut stream)
            .await
            .unwrap();
        let reply = client::read_reply(&mut stream, false).await;
        assert_eq!(reply.status, 400);
        let why = String::from_utf8(reply.body).unwrap();
        assert!(
            why.contains("was cut short after 188 bytes, and nothing of it is kept"),
            "{why}"
        );
    }
    let foreign = put("right", &segment, b"not a transport stream").await;
    assert_eq!(foreign.0, 422, "{}", foreign.1);
    assert_eq!(client::get(viewers, &segment).await.status, 404);
    assert_eq!(put("right", &segment, &packet).await.0, 201);
    assert_eq!(client::get(viewers, &segment).await.body, packet);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_starts_without_its_origin_and_recovers_when_it_comes() {
    // A port that is free now, and that the origin takes later.
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr: SocketAddr = place.local_addr().unwrap();
    drop(place);
    let (url, listen) = (format!("http://{addr}"), addr.to_string());
    let edge = Program::seawall(&[
        "edge",
        "--upstream",
        &url,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]);
    let (viewers, admin) = (edge.address("edge").await, edge.address("admin").await);
    edge.logs(&format!("the origin at {url} cannot be reached"))
        .await;
    assert!(
        edge.logged()
            .contains("is it running, and is --upstream right?"),
        "{}",
        edge.logged()
    );
    assert_eq!(client::get(admin, "/readyz").await.status, 503);
    assert_eq!(
        client::get(viewers, "/live/demo/main.m3u8").await.status,
        502
    );

    let folder = tempfile::tempdir().unwrap();
    let segments = folder.path().to_str().unwrap();
    let _origin = Program::seawall(&[
        "origin",
        "--listen",
        &listen,
        "--admin",
        "127.0.0.1:0",
        "--segments",
        segments,
    ]);
    edge.logs("is there now").await;
    assert_eq!(client::get(admin, "/readyz").await.status, 200);
    // The origin has no channel yet, and answers so itself.
    for _ in 0..50 {
        if client::get(viewers, "/live/demo/main.m3u8").await.status == 404 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the edge never asked the origin again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_misspelt_on_the_command_line_is_corrected() {
    let nearest = run(&["surge", "celebrity-life"]).await;
    assert_told(
        &nearest,
        3,
        &["there is no scenario `celebrity-life`; did you mean `celebrity-live`?"],
    );
    assert_told(
        &run(&["surge", "nope"]).await,
        3,
        &["`seawall scenarios` lists them"],
    );
    assert_told(
        &run(&["surge", "/nowhere/nope.toml"]).await,
        3,
        &[
            "cannot read the scenario /nowhere/nope.toml",
            "`seawall scenarios` lists",
        ],
    );
    let flag = run(&["edge", "--upstreem", "x"]).await;
    assert_told(
        &flag,
        2,
        &["unexpected argument '--upstreem'", "'--upstream'"],
    );
    let address = run(&["edge", "--listen", "localhost"]).await;
    assert_told(
        &address,
        2,
        &[
            "invalid value 'localhost' for '--listen <ADDR>'",
            "IP:PORT, such as 127.0.0.1:8081",
        ],
    );
    let queue = run(&["edge", "--miss-queue", "on"]).await;
    assert_told(&queue, 2, &["invalid value 'on'", "flights, off, moka"]);
    for filter in ["seawall=nope", "="] {
        let ended = run(&["--log", filter, "scenarios"]).await;
        assert_told(&ended, 2, &["is no filter", "try `info`"]);
    }
    let size = run(&["edge", "--cache-bytes", "much"]).await;
    assert_told(&size, 2, &["invalid value 'much'", "2G or 2GiB"]);
    let port = run(&["edge", "--upstream", "http://127.0.0.1:99999"]).await;
    assert_told(&port, 3, &["is no upstream", "1 to 65535"]);
    for help in [&["help", "--help"][..], &["help", "likes", "verify"]] {
        let ended = run(help).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert!(ended.out.contains("Usage: seawall"), "{}", ended.out);
    }
    let unknown = run(&["help", "surgee"]).await;
    assert_told(&unknown, 1, &["no command \"surgee\""]);
    for upstream in ["127.0.0.1:8000", "https://origin.example"] {
        let ended = run(&["edge", "--upstream", upstream, "--listen", "127.0.0.1:0"]).await;
        assert_told(
            &ended,
            3,
            &["is no upstream", "try something like http://127.0.0.1:8000"],
        );
    }
    let secret = "http://user:secret@origin.example";
    for (arguments, code, why) in [
        (
            &["edge", "--listen", "127.0.0.1:0", "--upstream"][..],
            3,
            "no name and password can be sent to it",
        ),
        (
            &["broadcast", "--token", "T", "--to"],
            3,
            "is written as http://HOST:PORT",
        ),
        (
            &["surge", "celebrity-live", "--target"],
            1,
            "send them with --header",
        ),
    ] {
        let ended = run(&[arguments, &[secret]].concat()).await;
        assert_told(&ended, code, &["http://***@origin.example", why]);
        assert!(!format!("{ended:?}").contains("secret"), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_help_of_every_command_holds_an_example() {
    let program = seawall::app::cli::Cli::command();
    for command in program
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
    {
        let help = run(&[command.get_name(), "--help"]).await;
        assert_eq!(help.code, Some(0));
        assert!(help.out.contains("Example"), "{}", help.out);
        assert!(
            help.out
                .contains(&format!("  seawall {}", command.get_name())),
            "{}",
            help.out
        );
    }
}

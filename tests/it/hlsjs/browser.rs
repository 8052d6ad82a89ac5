//! hls.js in a headless Chromium: installed once in the build folder, opened with a stream, read from its console.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::program::Program;

/// The hls.js version that Seawall's viewer is compared with.
pub(super) const HLS_JS: &str = "1.7.4";

const PAGE: &str = include_str!("../../hlsjs/page.html");

/// The build folder, where the page, hls.js and the table are stored.
pub(super) fn build_folder() -> &'static Path {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    scratch.parent().unwrap()
}

/// Installs hls.js beside the page if it is missing. Returns the path of the page.
pub(super) async fn page() -> PathBuf {
    let folder = build_folder().join("hlsjs");
    std::fs::create_dir_all(&folder).unwrap();
    let page = folder.join("page.html");
    std::fs::write(&page, PAGE).unwrap();
    let about = folder.join("node_modules/hls.js/package.json");
    let is_there = std::fs::read_to_string(about)
        .is_ok_and(|about| about.contains(&format!("\"version\": \"{HLS_JS}\"")));
    if !is_there {
        let mut command = Command::new("npm");
        command
            .args(["install", "--no-save", "--no-audit", "--no-fund"])
            .args(["--ignore-scripts", &format!("hls.js@{HLS_JS}"), "--prefix"])
            .arg(&folder);
        let ended = Program::start(&mut command).ended().await;
        assert_eq!(ended.code, Some(0), "npm cannot install hls.js: {ended:?}");
    }
    page
}

/// The name and version of Chromium, such as `Chromium 140.0.7339.80`.
pub(super) async fn version() -> String {
    let mut command = Command::new("chromium");
    let ended = Program::start(command.arg("--version")).ended().await;
    let words: Vec<_> = ended.out.split(' ').take(2).collect();
    words.join(" ")
}

/// A browser with the page open; it ends when this is dropped.
pub(super) struct Browser {
    program: Program,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Opens the page with a stream. The browser reaches only this machine.
    pub(super) fn open(page: &Path, stream: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromium");
        command
            .args(["--headless=new", "--no-sandbox", "--no-first-run"])
            .args(["--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            .arg("--autoplay-policy=no-user-gesture-required")
            .arg("--enable-logging=stderr")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("file://{}?{stream}", page.display()));
        Self {
            program: Program::start(&mut command),
            _profile: profile,
        }
    }

    /// The console messages of the page so far.
    pub(super) fn said(&self) -> Vec<serde_json::Value> {
        let logged = self.program.logged();
        let lines = logged.lines().filter_map(|line| {
            let (_, said) = line.split_once("\"hlsjs ")?;
            let (said, _) = said.rsplit_once("\", source: ")?;
            serde_json::from_str(said).ok()
        });
        lines.collect()
    }

    /// The whole log of Chromium.
    pub(super) fn logged(&self) -> String {
        self.program.logged()
    }

    /// Closes the browser.
    pub(super) async fn close(self) {
        self.program.terminate();
        self.program.ended().await;
    }
}

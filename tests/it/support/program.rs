//! Programs that a test starts: Seawall itself, and players. Their output is read as it is written. Dropping a [`Program`]
//! kills it.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::eventually;

/// Maximum time for each wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// Flags by which `seawall up` takes any free ports.
pub(crate) const FREE_DOORS: [&str; 8] = [
    "--origin-listen",
    "127.0.0.1:0",
    "--origin-admin",
    "127.0.0.1:0",
    "--edge-listen",
    "127.0.0.1:0",
    "--edge-admin",
    "127.0.0.1:0",
];

/// A running program.
pub(crate) struct Program {
    name: String,
    child: Child,
    out: watch::Receiver<String>,
    err: watch::Receiver<String>,
}

/// A program that has ended, and its whole output.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Program {
    /// Starts a command. If it is missing, the test fails with the command that installs it.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    fn spawn(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{name} does not start ({error}); install it: {}",
                    installed_by(&name)
                )
            });
        let out = listen(child.stdout.take());
        let err = listen(child.stderr.take());
        Self {
            name,
            child,
            out,
            err,
        }
    }

    /// Starts Seawall with these arguments.
    pub(crate) fn seawall(args: &[&str]) -> Self {
        Self::seawall_with(args, &[])
    }

    /// The same with settings in the environment.
    pub(crate) fn seawall_with(args: &[&str], settings: &[(&str, &str)]) -> Self {
        Self::start(seawall(args).envs(settings.iter().copied()))
    }

    /// The same with a stderr whose reader has gone away.
    pub(crate) fn seawall_without_log(args: &[&str]) -> Self {
        Self::spawn(seawall(args).stdout(Stdio::piped()).stderr(readerless()))
    }

    /// The same with a stdout whose reader has gone away.
    pub(crate) fn seawall_without_reader(args: &[&str]) -> Self {
        Self::spawn(seawall(args).stdout(readerless()).stderr(Stdio::piped()))
    }

    /// Waits until the program has written `text` to stdout.
    pub(crate) async fn says(&self, text: &str) {
        self.until(&self.out, text, |said| said.contains(text))
            .await;
    }

    /// Waits until the program has written `text` to stderr.
    pub(crate) async fn logs(&self, text: &str) {
        self.logs_what(text, |said| said.contains(text)).await;
    }

    /// Waits until the text on stderr satisfies `condition`.
    pub(crate) async fn logs_what(&self, what: &str, condition: impl FnMut(&str) -> bool) {
        self.until(&self.err, what, condition).await;
    }

    /// The address after `label` on stdout.
    pub(crate) async fn address(&self, label: &str) -> SocketAddr {
        let found = |said: &str| {
            let line = said.lines().find(|line| line.starts_with(label))?;
            let (_, url) = line.split_once("http://")?;
            url.split([' ', '/']).next()?.parse().ok()
        };
        self.until(&self.out, label, |said| found(said).is_some())
            .await;
        let said = self.out.borrow();
        found(&said).unwrap()
    }

    /// The text on stderr so far.
    pub(crate) fn logged(&self) -> String {
        self.err.borrow().clone()
    }

    /// The text on stdout so far.
    pub(crate) fn said(&self) -> String {
        self.out.borrow().clone()
    }

    /// Asks the program to end, like `kill`.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Ends the program at once, like `kill -9`.
    pub(crate) fn kill(&self) {
        self.signal("KILL");
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends the program a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success(), "{} has ended already", self.name);
    }

    /// Stops the program until it gets `CONT`; on return all its threads stand still.
    pub(crate) async fn pause(&self) {
        self.signal("STOP");
        let process = procfs::process::Process::new(self.child.id() as i32).unwrap();
        eventually("all threads stand still", || {
            let tasks = process.tasks().unwrap();
            tasks
                .flatten()
                .all(|task| task.stat().unwrap().state == 'T')
        })
        .await;
    }

    /// Waits for the end of the program.
    pub(crate) async fn ended(mut self) -> Ended {
        let begun = Instant::now();
        // Both pipes close when the program ends, so its output is complete then.
        for pipe in [&mut self.out, &mut self.err] {
            let closed = async { while pipe.changed().await.is_ok() {} };
            let waited = tokio::time::timeout(PATIENCE.saturating_sub(begun.elapsed()), closed);
            assert!(
                waited.await.is_ok(),
                "{} does not end: {}",
                self.name,
                pipe.borrow().as_str()
            );
        }
        let code = tokio::task::block_in_place(|| self.child.wait())
            .unwrap()
            .code();
        let said = |pipe: &watch::Receiver<String>| pipe.borrow().clone();
        Ended {
            code,
            out: said(&self.out),
            err: said(&self.err),
        }
    }

    async fn until(
        &self,
        pipe: &watch::Receiver<String>,
        what: &str,
        mut condition: impl FnMut(&str) -> bool,
    ) {
        let mut pipe = pipe.clone();
        let heard = pipe.wait_for(|said| condition(said));
        let heard = tokio::time::timeout(PATIENCE, heard)
            .await
            .is_ok_and(|heard| heard.is_ok());
        assert!(
            heard,
            "{} never said {what:?}, but {:?} and {:?}",
            self.name,
            self.out.borrow().as_str(),
            self.err.borrow().as_str()
        );
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that runs Seawall without the settings in the tester's environment.
fn seawall(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SEAWALL_") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

/// The writing end of a pipe without a reader: each write fails with EPIPE.
fn readerless() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Runs Seawall to its end.
pub(crate) async fn run(args: &[&str]) -> Ended {
    Program::seawall(args).ended().await
}

/// Reads a pipe to its end, on a thread that ends with it.
fn listen(pipe: Option<impl Read + Send + 'static>) -> watch::Receiver<String> {
    let (said, heard) = watch::channel(String::new());
    let Some(mut pipe) = pipe else {
        return heard;
    };
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut piece) {
            said.send_modify(|text| text.push_str(&String::from_utf8_lossy(&piece[..count])));
        }
    });
    heard
}

/// The command that installs a missing program.
pub(crate) fn installed_by(program: &str) -> &'static str {
    match program {
        "ffmpeg" | "ffprobe" | "ffplay" => "apt-get install ffmpeg",
        "cvlc" => "apt-get install vlc-bin vlc-plugin-base",
        "chromium" | "npm" => "scripts/deps --long",
        "setpriv" => "apt-get install util-linux",
        "strace" => "scripts/deps --long",
        _ => "make deps",
    }
}

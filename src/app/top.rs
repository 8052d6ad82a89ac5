//! `seawall top`: polls a running cluster and shows its answers until the user quits.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::future::join_all;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::app::cli;
use crate::config::target::Role as Found;
use crate::run::ask;
use crate::serve::clock::Clock;
use crate::serve::discovery::Group;
use crate::terminal::{self, Reader};
use crate::top::draw::{self, Palette};
use crate::top::samples::Scrape;
use crate::top::text;
use crate::top::view::{Answer, Role, Watch};

/// Shows a cluster until the user quits.
///
/// # Errors
/// No component answers at the start, an address is invalid, or the terminal fails.
pub async fn top(flags: &cli::Top, stop: CancellationToken) -> anyhow::Result<u8> {
    let interval = Duration::from_secs_f64(flags.interval);
    let mut cluster = Cluster {
        admins: flags
            .admin
            .iter()
            .map(|text| address(text))
            .collect::<Result<_, _>>()?,
        audience: address(&flags.audience)?,
        patience: interval.clamp(Duration::from_secs(1), Duration::from_secs(5)),
        components: Vec::new(),
        clock: Clock::start(),
    };
    let first = tokio::select! {
        first = cluster.look() => first,
        () = stop.cancelled() => return Ok(cli::OK),
    };
    first.must_hold_something(&cluster.admins)?;
    if flags.once || flags.plain || !std::io::stdout().is_terminal() {
        plain(flags, interval, cluster, first, stop).await?;
    } else {
        let title = format!("http://{}", cluster.admins.join(", "));
        let (looks, seen) = mpsc::channel(1);
        // The task ends when its receiver is dropped, at the end of `picture`.
        let watching = tokio::spawn(look_on(cluster, interval, looks));
        // Restores the terminal on a panic too: `try_init` sets a hook for that.
        let terminal = ratatui::try_init().inspect_err(|_| ratatui::restore());
        let mut terminal = terminal.context("this terminal cannot be drawn on; try --plain")?;
        let ended = picture(&mut terminal, &title, first, seen, stop).await;
        ratatui::restore();
        watching.abort();
        ended?;
    }
    Ok(cli::OK)
}

/// The results of one round of requests.
struct Look {
    at: crate::time::Timestamp,
    answers: Vec<Answer>,
    notes: Vec<String>,
}

impl Look {
    fn must_hold_something(&self, admins: &[String]) -> anyhow::Result<()> {
        let cluster = |answer: &&Answer| answer.role != Some(Role::Audience);
        if self
            .answers
            .iter()
            .filter(cluster)
            .any(|answer| answer.scrape.is_ok())
        {
            return Ok(());
        }
        let why = self
            .answers
            .iter()
            .find_map(|answer| answer.scrape.as_ref().err());
        bail!(
            "nothing answers at {} ({}); start a cluster with `seawall up`, or name its origin's admin listener with \
             --admin HOST:PORT",
            admins.join(", "),
            why.map_or("it named no components", String::as_str)
        );
    }
}

/// The components to ask.
struct Cluster {
    admins: Vec<String>,
    audience: String,
    patience: Duration,
    /// The components that were found last.
    components: Vec<Component>,
    clock: Clock,
}

#[derive(Clone, Debug, PartialEq)]
struct Component {
    role: Option<Role>,
    name: Option<String>,
    address: String,
}

impl Cluster {
    /// One round: finds the components, and reads the metrics of each.
    async fn look(&mut self) -> Look {
        let notes = self.find().await;
        let clock = self.clock;
        let patience = self.patience;
        let answers = self.components.iter().cloned().map(|component| async move {
            let at = clock.now();
            let scrape = scrape(&component.address, patience).await;
            Answer {
                role: component.role,
                name: component.name,
                address: component.address,
                at,
                scrape,
            }
        });
        let mut answers = join_all(answers).await;
        // No answer from the audience means that no surge is being played, which is no fault.
        answers.retain(|answer| answer.role != Some(Role::Audience) || answer.scrape.is_ok());
        Look {
            at: clock.now(),
            answers,
            notes,
        }
    }

    /// Finds the components again. Those that were named by an admin listener that no longer answers stay as they were.
    async fn find(&mut self) -> Vec<String> {
        let asked = self.admins.iter().map(|admin| {
            let url = format!("http://{admin}/-/targets");
            let patience = self.patience;
            async move { tokio::time::timeout(patience, ask::get_json::<Vec<Group>>(&url)).await }
        });
        let found = join_all(asked).await;
        let mut components: Vec<Component> = Vec::new();
        let mut notes = Vec::new();
        let mut lost = false;
        for (admin, found) in self.admins.iter().zip(found) {
            match found {
                Ok(Ok(groups)) => components.extend(groups.into_iter().flat_map(components_of)),
                Ok(Err(error)) if error.is::<ask::Unwanted>() => {
                    notes.push(format!(
                        "{admin} names no components, so it is watched alone: {error:#}"
                    ));
                    components.push(alone(admin));
                }
                Ok(Err(_)) | Err(_) => {
                    lost = true;
                    components.push(alone(admin));
                }
            }
        }
        if lost {
            // The lost listener may have named other components: they are still asked.
            let known = std::mem::take(&mut self.components);
            components.splice(0..0, known);
        }
        components.push(Component {
            role: Some(Role::Audience),
            name: None,
            address: self.audience.clone(),
        });
        let mut seen = std::collections::HashSet::new();
        components.retain(|component| seen.insert(component.address.clone()));
        self.components = components;
        notes
    }
}

fn alone(admin: &str) -> Component {
    Component {
        role: None,
        name: None,
        address: admin.to_owned(),
    }
}

fn components_of(group: Group) -> impl Iterator<Item = Component> {
    let role = match group.labels.component {
        Found::Edge => Role::Edge,
        Found::Shield => Role::Shield,
        Found::Origin => Role::Origin,
        Found::Audience => Role::Audience,
    };
    let name = group.labels.name;
    group.targets.into_iter().map(move |address| Component {
        role: Some(role),
        name: Some(name.clone()),
        address,
    })
}

async fn scrape(address: &str, patience: Duration) -> Result<Scrape, String> {
    let url = format!("http://{address}/metrics");
    match tokio::time::timeout(patience, ask::get_bytes(&url)).await {
        Ok(Ok(bytes)) => Ok(Scrape::parse(&String::from_utf8_lossy(&bytes))),
        Ok(Err(error)) => Err(error.root_cause().to_string()),
        Err(_) => Err(format!("no answer within {patience:?}")),
    }
}

/// `HOST:PORT` of an address that the user typed.
fn address(text: &str) -> anyhow::Result<String> {
    let bare = text
        .strip_prefix("http://")
        .unwrap_or(text)
        .trim_end_matches('/');
    let authority = bare.parse::<http::uri::Authority>().ok();
    if authority
        .and_then(|authority| authority.port_u16())
        .is_none()
    {
        bail!("{text:?} is no address of an admin listener; try something like 127.0.0.1:9000");
    }
    Ok(bare.to_owned())
}

/// Polls once per interval and passes the result on. Ends when the receiver is gone.
async fn look_on(mut cluster: Cluster, interval: Duration, looks: mpsc::Sender<Look>) {
    loop {
        tokio::time::sleep(interval).await;
        let look = cluster.look().await;
        if looks.send(look).await.is_err() {
            return;
        }
    }
}

async fn plain(
    flags: &cli::Top,
    interval: Duration,
    mut cluster: Cluster,
    first: Look,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut watch = Watch::default();
    for note in &first.notes {
        tracing::warn!("{note}");
    }
    watch.take(first.at, first.answers, first.notes);
    // A rate needs two samples.
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stop.cancelled() => return Ok(()),
        }
        let look = cluster.look().await;
        let unix = cluster.clock.unix_at(look.at).as_millis() / 1_000;
        let of_day = unix % 86_400;
        let at = format!(
            "{:02}:{:02}:{:02}Z",
            of_day / 3600,
            of_day / 60 % 60,
            of_day % 60
        );
        let view = watch.take(look.at, look.answers, look.notes);
        let reader = terminal::print(&text::line(&view, &at))?;
        if flags.once || reader == Reader::Gone {
            return Ok(());
        }
    }
}

async fn picture(
    terminal: &mut DefaultTerminal,
    title: &str,
    first: Look,
    mut seen: mpsc::Receiver<Look>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let palette = match terminal::may_have_colours() {
        true => Palette::Colours,
        false => Palette::Plain,
    };
    let mut keys = keys();
    let mut watch = Watch::default();
    let mut view = watch.take(first.at, first.answers, first.notes);
    loop {
        terminal.draw(|frame| draw::draw(frame, &view, title, palette))?;
        tokio::select! {
            look = seen.recv() => {
                let look = look.context("the cluster is looked at no more")?;
                view = watch.take(look.at, look.answers, look.notes);
            }
            key = keys.recv() => match key {
                Some(Wish::Paint) => {}
                Some(Wish::Quit) | None => return Ok(()),
                Some(Wish::Lost(error)) => return Err(error).context("no key can be read"),
            },
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// An event of the terminal.
enum Wish {
    /// The window has a new size.
    Paint,
    /// The user quits.
    Quit,
    /// The terminal is gone.
    Lost(std::io::Error),
}

/// Reads the terminal's events on a thread, because reading them blocks. The thread ends with the terminal, or when the
/// receiver is dropped.
fn keys() -> mpsc::Receiver<Wish> {
    let (wishes, heard) = mpsc::channel(8);
    std::thread::spawn(move || {
        while !wishes.is_closed() {
            let event = match event::poll(Duration::from_millis(100)) {
                Ok(false) => continue,
                Ok(true) => event::read(),
                Err(error) => Err(error),
            };
            let wish = match event {
                Ok(Event::Key(key)) => {
                    let control = key.modifiers.contains(KeyModifiers::CONTROL);
                    match key.code {
                        KeyCode::Char('q' | 'Q') | KeyCode::Esc => Wish::Quit,
                        KeyCode::Char('c') if control => Wish::Quit,
                        _ => continue,
                    }
                }
                Ok(Event::Resize(..)) => Wish::Paint,
                Ok(_) => continue,
                Err(error) => Wish::Lost(error),
            };
            let is_last = matches!(wish, Wish::Lost(_));
            if wishes.blocking_send(wish).is_err() || is_last {
                return;
            }
        }
    });
    heard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_as_people_write_it() {
        for text in [
            "127.0.0.1:9000",
            "http://127.0.0.1:9000",
            "http://127.0.0.1:9000/",
        ] {
            assert_eq!(address(text).unwrap(), "127.0.0.1:9000");
        }
        for text in ["", "127.0.0.1", "https://x:1", "a b:1", "http://x:1/path"] {
            assert!(address(text).is_err(), "{text:?}");
        }
    }
}

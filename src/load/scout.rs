//! Looks at other people's playlists before a run begins, as one viewer of the run would.

use std::io;

use reqwest::cookie::Jar;
use url::Url;

use super::agent::{Agent, Asked, Browser, Failed, Keep, UserAgent};
use super::client::Trace;
use super::elsewhere::Elsewhere;
use crate::report::record::Outcome;
use crate::serve::clock::Clock;

/// A viewer that comes before the others.
pub(crate) struct Scout {
    agent: Agent,
    browser: Browser,
    cookies: Jar,
    clock: Clock,
}

impl Scout {
    /// At the servers of these playlists.
    pub(crate) fn new(user_agent: &UserAgent, urls: &[Url], clock: Clock) -> Self {
        let agent = Agent::new(user_agent, urls);
        Self {
            browser: agent.browser(),
            agent,
            cookies: Jar::default(),
            clock,
        }
    }

    /// The text at this URL, and where it came from after redirects.
    ///
    /// # Errors
    /// No answer, or an answer without a playlist; the error says what the server said.
    pub(crate) async fn get(&self, url: &Url) -> io::Result<(Url, Vec<u8>)> {
        let mut trace = Trace::default();
        let asked = Asked {
            url: url.clone(),
            span: None,
            told: &[],
            keep: Keep::Text,
        };
        let elsewhere = Elsewhere::default();
        let (agent, cookies) = (&self.agent, &self.cookies);
        let asking = self
            .browser
            .get(agent, cookies, asked, self.clock, &mut trace, &elsewhere);
        match asking.await {
            Ok(got) => Ok((got.url, got.text)),
            Err(Failed { outcome, why }) => Err(match (why, outcome, trace.status) {
                (Some(why), ..) => io::Error::other(why),
                (None, Outcome::Status, 0) => io::Error::other("its redirects do not end"),
                (None, Outcome::Status, status) => {
                    io::Error::other(format!("the server answered {status}"))
                }
                (None, Outcome::Unreadable, _) => {
                    io::Error::other("the answer is longer than 16 MiB: no playlist is")
                }
                (None, outcome, _) => io::Error::other(outcome.to_string()),
            }),
        }
    }
}

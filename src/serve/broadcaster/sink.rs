//! The destination of a broadcaster's segments: a store in this process, or an origin elsewhere by HTTP.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::config::redacted;
use crate::hls::container::Container;
use crate::hls::names::LivePath;
use crate::hls::timeline::Channel;
use crate::serve::origin::{Store, StoreError};
use crate::serve::token::Token;

/// The longest time from the first byte of an upload to the end of its answer.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);
/// The most bytes that are read of an answer: a description, or a sentence.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The destination of segments.
#[derive(Debug)]
pub enum Sink {
    /// The origin is in this process.
    InProcess(Arc<Store>),
    /// The origin has an ingest listener elsewhere.
    Http(Box<HttpSink>),
}

/// An origin's ingest listener and its token.
#[derive(Debug)]
pub struct HttpSink {
    authority: Authority,
    authorization: HeaderValue,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Why a sink's settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The URL does not have the required form.
    #[error("an origin to publish to is written as http://HOST:PORT, not as {0:?}")]
    Url(String),
    /// A header cannot carry the token.
    #[error("the token holds a character that no HTTP header can carry: use letters and digits")]
    Token,
}

/// Why an origin refused a request, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// The origin may accept it later: it cannot be reached, or its disk is full.
    Later(String),
    /// The origin will never accept it.
    Never(String),
    /// The origin does not know the channel, or no longer knows it.
    Forgotten(String),
}

impl Rejected {
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Later(why) | Self::Never(why) | Self::Forgotten(why) => why,
        }
    }
}

impl From<StoreError> for Rejected {
    fn from(error: StoreError) -> Self {
        let why = error.to_string();
        match error {
            StoreError::Disk(_)
            | StoreError::Full
            | StoreError::TooEarly { .. }
            | StoreError::Stopping => Self::Later(why),
            StoreError::UnknownChannel(_) => Self::Forgotten(why),
            StoreError::UnknownRendition { .. }
            | StoreError::Description(_)
            | StoreError::Differs(_)
            | StoreError::TooOld { .. }
            | StoreError::Malformed(_)
            | StoreError::OtherBytes(_) => Self::Never(why),
        }
    }
}

impl Sink {
    /// A sink for the ingest listener at `http://HOST:PORT`.
    ///
    /// # Errors
    /// The URL has another form, or a header cannot carry the token.
    pub fn http(url: &str, token: &Token) -> Result<Self, SinkError> {
        let refused = || SinkError::Url(redacted::url(url));
        let parts = url.parse().map(Uri::into_parts).map_err(|_| refused())?;
        let bare = parts.path_and_query.is_none_or(|path| path == "/");
        let authority = parts
            .authority
            .filter(|authority| !authority.as_str().contains('@'));
        let (Some(authority), true, true) = (authority, parts.scheme == Some(Scheme::HTTP), bare)
        else {
            return Err(refused());
        };
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(2)));
        connector.set_nodelay(true);
        // Close idle connections before the listener's own limit of 10 s.
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(5))
            .build(connector);
        Ok(Self::Http(Box::new(HttpSink {
            authority,
            authorization: token.authorization().ok_or(SinkError::Token)?,
            client,
        })))
    }

    /// Describes a channel; returns the description in force.
    pub(super) async fn describe(&self, channel: &Channel) -> Result<Channel, Rejected> {
        match self {
            Self::InProcess(store) => {
                let (store, channel) = (store.clone(), channel.clone());
                let described =
                    tokio::task::spawn_blocking(move || store.adopt_or_describe(channel)).await;
                Ok(described.map_err(|_| StoreError::Stopping)??)
            }
            Self::Http(origin) => origin.describe(channel).await,
        }
    }

    /// Publishes a segment.
    pub(super) async fn publish(
        &self,
        channel: &str,
        rendition: &str,
        number: u64,
        body: Bytes,
    ) -> Result<(), Rejected> {
        match self {
            Self::InProcess(store) => Ok(store.publish(channel, rendition, number, body).await?),
            Self::Http(origin) => {
                let path = LivePath::Segment {
                    channel,
                    rendition,
                    number,
                };
                let content_type = Container::default().content_type();
                origin.put(path, content_type, body).await.map(drop)
            }
        }
    }

    /// Whether every rendition of a segment is already in the store. Always `false` for an origin elsewhere, because no
    /// request is sent.
    pub(super) fn has(&self, channel: &Channel, number: u64) -> bool {
        let Self::InProcess(store) = self else {
            return false;
        };
        channel.layout.ladder.iter().all(|rendition| {
            let path = LivePath::Segment {
                channel: &channel.name,
                rendition: &rendition.name,
                number,
            };
            store.get(path).is_some()
        })
    }
}

impl HttpSink {
    async fn describe(&self, channel: &Channel) -> Result<Channel, Rejected> {
        let path = LivePath::Description {
            channel: &channel.name,
        };
        let text = serde_json::to_vec(channel).expect("a channel is plain data");
        let answer = self.put(path, "application/json", text.into()).await?;
        let in_force: Channel = serde_json::from_slice(&answer).map_err(|error| {
            Rejected::Never(format!(
                "{} answered with no description of a channel ({error}): is it the ingest listener of an origin?",
                self.authority
            ))
        })?;
        if in_force.name == channel.name && in_force.layout == channel.layout {
            Ok(in_force)
        } else {
            Err(Rejected::Never(format!(
                "{} answered with another channel",
                self.authority
            )))
        }
    }

    /// Sends one request. Returns the body of an answer that is no refusal.
    async fn put(
        &self,
        path: LivePath<'_>,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Bytes, Rejected> {
        let (status, answer) =
            tokio::time::timeout(ATTEMPT_MAX, self.exchange(path, content_type, body))
                .await
                .unwrap_or_else(|_| Err(format!("no answer within {ATTEMPT_MAX:?}")))
                .map_err(|why| Rejected::Later(format!("{}: {why}", self.authority)))?;
        if status.is_success() {
            return Ok(answer);
        }
        let said = String::from_utf8_lossy(&answer);
        let why = format!("{} answered {status}: {}", self.authority, said.trim());
        Err(match status {
            StatusCode::NOT_FOUND => Rejected::Forgotten(why),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Rejected::Later(why),
            status if status.is_client_error() => Rejected::Never(why),
            _ => Rejected::Later(why),
        })
    }

    async fn exchange(
        &self,
        path: LivePath<'_>,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), String> {
        let path = PathAndQuery::try_from(path.to_string()).expect("names are plain ASCII");
        let uri = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .expect("scheme, authority and path are there");
        let request = Request::builder()
            .method(Method::PUT)
            .uri(uri)
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, content_type)
            .body(Full::new(body))
            .expect("the head is made of valid parts");
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| chain(&error))?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| error.to_string())?;
        Ok((status, answer.to_bytes()))
    }
}

/// An error with its causes; hyper's own message names only the failed step.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::origin::testing::{Fixture, TOKEN};

    #[test]
    fn a_sink_is_a_host_and_a_port() {
        let token = Token::new(TOKEN);
        for url in [
            "http://origin:8001",
            "http://127.0.0.1:8001/",
            "http://[::1]:8001",
        ] {
            assert!(Sink::http(url, &token).is_ok(), "{url}");
        }
        for url in [
            "origin:8001",
            "https://origin",
            "http://origin/live",
            "http://",
            "",
            "/x",
        ] {
            let error = Sink::http(url, &token).unwrap_err().to_string();
            assert!(error.contains("http://HOST:PORT"), "{url}: {error}");
        }
        assert!(matches!(
            Sink::http("http://origin", &Token::new("two\nlines")),
            Err(SinkError::Token)
        ));
    }

    #[tokio::test]
    async fn an_origin_says_whether_to_come_back() {
        let origin = Fixture::listening(|_| {}).await;
        let url = format!("http://{}", origin.broadcasters);
        let sink = Sink::http(&url, &Token::new(TOKEN)).unwrap();
        let body = origin.body("180p", origin.newest);
        let forgotten = sink
            .publish("nobody", "180p", origin.newest, body.clone())
            .await;
        assert!(
            matches!(forgotten, Err(Rejected::Forgotten(why)) if why.contains("is not known here"))
        );
        let never = sink.publish("demo", "180p", 7, body.clone()).await;
        assert!(matches!(never, Err(Rejected::Never(why)) if why.contains("is too old")));
        let published = sink
            .publish("demo", "180p", origin.newest, body.clone())
            .await;
        assert_eq!(published, Ok(()));
        assert_eq!(
            sink.describe(&origin.channel).await,
            Ok(origin.channel.clone())
        );

        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", nobody.local_addr().unwrap());
        drop(nobody);
        let sink = Sink::http(&url, &Token::new(TOKEN)).unwrap();
        let later = sink.publish("demo", "180p", origin.newest, body).await;
        assert!(matches!(later, Err(Rejected::Later(why)) if why.contains("refused")));
    }
}

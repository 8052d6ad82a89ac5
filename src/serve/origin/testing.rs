//! An origin on loopback, and a client that reads every byte of its answers.

use std::net::SocketAddr;
use std::ops::Deref;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::routes::Figures;
use super::{Origin, OriginConfig, ingest};
use crate::hls::timeline::{Channel, Layout};
use crate::serve::clock::Clock;
use crate::serve::http::listener::{self, ListenerLimits};
use crate::serve::metrics::Registry;
use crate::serve::token::Token;

pub(crate) const TOKEN: &str = "open-sesame";

/// An origin with channel `demo`. The channel has two renditions, began a hundred segments ago, and has no published
/// segment.
pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Clock,
    pub(crate) origin: Origin,
    pub(crate) channel: Channel,
    /// The newest whole segment when the fixture was made.
    pub(crate) newest: u64,
}

/// A fixture with running listeners. They stop when it is dropped.
pub(crate) struct Listening {
    fixture: Fixture,
    viewers: SocketAddr,
    pub(crate) broadcasters: SocketAddr,
    admins: SocketAddr,
    _stop: DropGuard,
}

/// An answer as received.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Bytes,
}

impl Fixture {
    pub(crate) fn without_sockets(set: impl FnOnce(&mut OriginConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let mut config = OriginConfig {
            segments_dir: dir.path().to_owned(),
            ingest_token: Some(Token::new(TOKEN)),
            ..OriginConfig::default()
        };
        set(&mut config);
        let origin = Origin::open(config, clock, &Registry::new(&[])).unwrap();
        let mut layout = Layout::default();
        layout.ladder.truncate(2);
        let channel = Channel {
            name: "demo".to_owned(),
            seed: 1,
            started_at: clock.unix() - layout.segment_duration() * 100,
            layout,
        };
        let channel = origin.store().adopt_or_describe(channel).unwrap();
        Self {
            newest: channel.newest(clock.unix()).unwrap(),
            dir,
            clock,
            origin,
            channel,
        }
    }

    pub(crate) async fn listening(set: impl FnOnce(&mut OriginConfig)) -> Listening {
        let fixture = Self::without_sockets(set);
        let stop = CancellationToken::new();
        let listen = || {
            let listener = listener::bind("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
            let addr = listener.local_addr().unwrap();
            (listener, addr)
        };
        let ((viewers, viewers_at), (broadcasters, broadcasters_at), (admins, admins_at)) =
            (listen(), listen(), listen());
        let put = ListenerLimits {
            methods: ingest::METHODS,
            ..ListenerLimits::default()
        };
        let (origin, read) = (&fixture.origin, ListenerLimits::default());
        // Each listener ends with `stop`, when the fixture is dropped.
        tokio::spawn(listener::serve(
            viewers,
            origin.routes(),
            listener::nothing_at_once,
            read.clone(),
            None,
            stop.clone(),
        ));
        tokio::spawn(listener::serve(
            broadcasters,
            origin.ingest_routes(),
            listener::nothing_at_once,
            put,
            None,
            stop.clone(),
        ));
        tokio::spawn(listener::serve(
            admins,
            origin.admin_routes(),
            listener::nothing_at_once,
            read,
            None,
            stop.clone(),
        ));
        Listening {
            fixture,
            viewers: viewers_at,
            broadcasters: broadcasters_at,
            admins: admins_at,
            _stop: stop.drop_guard(),
        }
    }

    pub(crate) fn body(&self, rendition: &str, number: u64) -> Bytes {
        let rendition = self.channel.rendition(rendition).unwrap();
        crate::media::segment(&self.channel, rendition, number)
    }

    pub(crate) async fn publish_all(&self, number: u64) {
        for rendition in &self.channel.layout.ladder {
            let body = self.body(&rendition.name, number);
            let published = self
                .origin
                .store()
                .publish("demo", &rendition.name, number, body)
                .await;
            published.unwrap();
        }
    }
}

impl Origin {
    pub(in crate::serve::origin) fn figures(&self) -> &Figures {
        &self.counter.figures
    }
}

impl Deref for Listening {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        &self.fixture
    }
}

impl Listening {
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        head: &str,
        body: &[u8],
    ) -> TcpStream {
        send(self.viewers, method, path, head, body).await
    }

    pub(crate) async fn send_ingest(&self, path: &str, head: &str, body: &[u8]) -> TcpStream {
        send(self.broadcasters, "PUT", path, head, body).await
    }

    pub(crate) async fn request(&self, method: &str, path: &str, head: &str) -> Answer {
        Answer::read(self.send(method, path, head, b"").await)
            .await
            .unwrap()
    }

    pub(crate) async fn get(&self, path: &str, head: &str) -> Answer {
        self.request("GET", path, head).await
    }

    /// `None` if the connection closed without an answer.
    pub(crate) async fn try_get(&self, path: &str) -> Option<Answer> {
        Answer::read(self.send("GET", path, "", b"").await).await
    }

    pub(crate) async fn ingest(&self, path: &str, head: &str, body: &[u8]) -> Answer {
        Answer::read(self.send_ingest(path, head, body).await)
            .await
            .unwrap()
    }

    pub(crate) async fn admin(&self, path: &str) -> Answer {
        Answer::read(send(self.admins, "GET", path, "", b"").await)
            .await
            .unwrap()
    }
}

impl Answer {
    pub(crate) async fn read(mut stream: TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        // After a broken connection, the bytes before the break are still in the buffer.
        let _ = stream.read_to_end(&mut bytes).await;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let body = Bytes::from(bytes.split_off(end));
        let head = String::from_utf8(bytes).unwrap();
        let status = head.split(' ').nth(1)?.parse().unwrap();
        Some(Self { status, head, body })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

async fn send(to: SocketAddr, method: &str, path: &str, head: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: origin\r\nconnection: close\r\n{head}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream
}

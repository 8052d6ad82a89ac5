//! An origin that fails on purpose, and keeps its own log: the reference for an edge's metrics.
//!
//! It writes HTTP/1.1 by hand, so that it can also write it wrongly.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// A whole answer.
    Answer {
        status: u16,
        headers: String,
        body: Vec<u8>,
    },
    /// Waits until the gate opens, then does the next behaviour.
    Gated(Gate, Box<Self>),
    /// The head and a first part of the body, then the gate, then the rest.
    GatedBody {
        gate: Gate,
        first: usize,
        body: Vec<u8>,
    },
    /// Waits, then does the next behaviour.
    Late(Duration, Box<Self>),
    /// Announces a whole body, sends a part, and closes.
    Truncated {
        headers: String,
        body: Vec<u8>,
        sent: usize,
    },
    /// Closes by reset before any byte.
    Reset,
    /// Sends bytes that are not HTTP.
    Garbage(Vec<u8>),
    /// The head, then silence.
    Stall,
    /// The head, then one byte per interval.
    Trickle { body: Vec<u8>, interval: Duration },
}

impl Behaviour {
    /// 200 with this body.
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Answer {
            status: 200,
            headers: String::new(),
            body: body.into(),
        }
    }

    /// 200 with this body and these header lines.
    pub(crate) fn ok_with(headers: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer {
            status: 200,
            headers: headers.to_owned(),
            body: body.into(),
        }
    }

    /// A bare status.
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer {
            status,
            headers: String::new(),
            body: Vec::new(),
        }
    }
}

/// Holds answers back until a test opens it.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(watch::channel(false).0))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    async fn pass(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

type Script = Arc<dyn Fn(&Arrived, usize) -> Behaviour + Send + Sync>;

/// A running fault origin; it stops when the test's runtime ends.
#[derive(Clone)]
pub(crate) struct FaultOrigin {
    pub(crate) addr: SocketAddr,
    log: Arc<Mutex<Vec<Arrived>>>,
}

impl FaultOrigin {
    /// Answers each request as `script` decides from the request and its number, counted from 0.
    pub(crate) async fn start(
        script: impl Fn(&Arrived, usize) -> Behaviour + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Self {
            addr: listener.local_addr().unwrap(),
            log: Arc::default(),
        };
        let (log, script) = (origin.log.clone(), Arc::new(script) as Script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, log.clone(), script.clone()));
            }
        });
        origin
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Every request so far.
    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.log.lock().unwrap().clone()
    }

    /// Number of requests for `target`.
    pub(crate) fn hits(&self, target: &str) -> usize {
        self.log
            .lock()
            .unwrap()
            .iter()
            .filter(|arrived| arrived.target == target)
            .count()
    }
}

async fn serve(mut stream: TcpStream, log: Arc<Mutex<Vec<Arrived>>>, script: Script) {
    while let Some(arrived) = read_request(&mut stream).await {
        let number = {
            let mut log = log.lock().unwrap();
            log.push(arrived.clone());
            log.len() - 1
        };
        let mut behaviour = script(&arrived, number);
        loop {
            behaviour = match behaviour {
                Behaviour::Gated(gate, then) => {
                    gate.pass().await;
                    *then
                }
                Behaviour::Late(span, then) => {
                    tokio::time::sleep(span).await;
                    *then
                }
                other => break behaviour = other,
            };
        }
        if !act(&mut stream, behaviour, arrived.method == "HEAD").await {
            return;
        }
    }
}

/// Performs one behaviour. Returns whether the connection may be kept.
async fn act(stream: &mut TcpStream, behaviour: Behaviour, bare: bool) -> bool {
    let head = |status: u16, headers: &str, length: usize| {
        format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n").into_bytes()
    };
    match behaviour {
        Behaviour::Answer {
            status,
            headers,
            body,
        } => {
            let mut bytes = head(status, &headers, body.len());
            if !bare {
                bytes.extend(body);
            }
            stream.write_all(&bytes).await.is_ok()
        }
        Behaviour::GatedBody { gate, first, body } => {
            let mut bytes = head(200, "", body.len());
            bytes.extend(&body[..first]);
            if stream.write_all(&bytes).await.is_err() {
                return false;
            }
            gate.pass().await;
            stream.write_all(&body[first..]).await.is_ok()
        }
        Behaviour::Truncated {
            headers,
            body,
            sent,
        } => {
            let mut bytes = head(200, &headers, body.len());
            bytes.extend(&body[..sent]);
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            false
        }
        Behaviour::Reset => {
            let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
            false
        }
        Behaviour::Garbage(bytes) => {
            let _ = stream.write_all(&bytes).await;
            false
        }
        Behaviour::Stall => {
            let _ = stream.write_all(&head(200, "", 100)).await;
            std::future::pending().await
        }
        Behaviour::Trickle { body, interval } => {
            if stream.write_all(&head(200, "", body.len())).await.is_err() {
                return false;
            }
            for byte in body {
                if stream.write_all(&[byte]).await.is_err() {
                    return false;
                }
                tokio::time::sleep(interval).await;
            }
            true
        }
        Behaviour::Gated(..) | Behaviour::Late(..) => unreachable!("resolved before"),
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Arrived> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut words = head.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length:")?
            .trim()
            .parse::<usize>()
            .ok()
    });
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let mut body = bytes[end..].to_vec();
    loop {
        let whole = if chunked {
            body.ends_with(b"0\r\n\r\n")
        } else {
            body.len() >= length.unwrap_or(0)
        };
        if whole {
            return Some(Arrived {
                method,
                target,
                head,
                body,
            });
        }
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
}

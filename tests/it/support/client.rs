//! A client that sees every byte: how an answer ends matters as much as its content.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body was as long as announced, or its last chunk came.
    pub(crate) whole: bool,
}

impl Reply {
    /// The value of a header; several are joined by commas.
    pub(crate) fn header(&self, name: &str) -> String {
        let values: Vec<_> = self
            .headers
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .collect();
        values.join(", ")
    }
}

/// Asks for `target` on a new connection.
pub(crate) async fn get(addr: SocketAddr, target: &str) -> Reply {
    request(addr, "GET", target, "", b"").await
}

/// Sends one request on a new connection. `headers` are whole lines.
pub(crate) async fn request(
    addr: SocketAddr,
    method: &str,
    target: &str,
    headers: &str,
    body: &[u8],
) -> Reply {
    let mut stream = send(addr, method, target, headers, body).await;
    read_reply(&mut stream, method == "HEAD").await
}

/// Sends one request and leaves its answer unread.
pub(crate) async fn send(
    addr: SocketAddr,
    method: &str,
    target: &str,
    headers: &str,
    body: &[u8],
) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!("{method} {target} HTTP/1.1\r\nhost: {addr}\r\n{headers}\r\n");
    stream
        .write_all(&[head.as_bytes(), body].concat())
        .await
        .unwrap();
    stream
}

/// Sends bytes unchanged, and reads until the end.
pub(crate) async fn raw(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(5), reading).await;
    answer
}

/// Closes by reset, like a killed program.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

/// Reads one answer. An answer that breaks off does not panic but gives `whole: false`; a missing answer has status 0.
pub(crate) async fn read_reply(stream: &mut TcpStream, bare: bool) -> Reply {
    let mut bytes = Vec::new();
    let nothing = Reply {
        status: 0,
        headers: Vec::new(),
        body: Vec::new(),
        whole: false,
    };
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return nothing,
            Ok(_) => {}
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .unwrap();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut reply = Reply {
        status,
        headers,
        body: bytes[end..].to_vec(),
        whole: false,
    };
    let length = reply.header("content-length").parse::<usize>().ok();
    let bodiless = bare || status == 304 || status == 204;
    loop {
        reply.whole = match length {
            _ if bodiless => true,
            Some(length) => reply.body.len() >= length,
            None => reply.body.ends_with(b"0\r\n\r\n"),
        };
        if reply.whole || !matches!(stream.read_buf(&mut reply.body).await, Ok(count) if count > 0)
        {
            return reply;
        }
    }
}

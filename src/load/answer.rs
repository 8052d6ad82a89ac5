//! An HTTP/1.1 answer, read as its bytes arrive, in pieces of any size (RFC 9112). Reading copies nothing and allocates
//! nothing, unless a head or the size of a chunk arrives in two pieces.

use std::time::Duration;

use httparse::{EMPTY_HEADER, Status};

use crate::report::cache_status;
use crate::report::record::ResultWord;

/// Maximum number of header fields in an answer, and maximum bytes in its head.
const FIELDS_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The bytes received are no HTTP/1.1 answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not HTTP/1.1")]
pub(super) struct Malformed;

/// What a viewer needs to know of an answer before its body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// How the nearest cache handled the request.
    pub(super) word: ResultWord,
    pub(super) retry_after: Option<Duration>,
    /// Bytes in the whole object, where the answer is a part of it.
    pub(super) whole_bytes: Option<u64>,
    /// Bytes in the body, where the head says so.
    pub(super) length: Option<u64>,
    /// Whether the connection may be used again once the body has ended.
    pub(super) keeps: bool,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step<'a> {
    /// Nothing yet: more bytes are needed.
    More,
    /// The end of the head.
    Head(Head),
    /// Some of the body.
    Body(&'a [u8]),
    /// The end of the body; bytes after it belong to no answer.
    End,
}

/// The answer to one request, as far as it was received.
#[derive(Debug, Default)]
pub(super) struct Answer {
    state: State,
    /// The first bytes of an element that is not complete yet.
    pending: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Head,
    /// Number of bytes of the body still to come.
    Length(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
}

impl Answer {
    /// Reads on: returns what the next bytes are, and how many of `bytes` they take.
    pub(super) fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<(Step<'a>, usize), Malformed> {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            match self.state {
                State::Length(0) => return Ok((Step::End, taken)),
                _ if rest.is_empty() => return Ok((Step::More, taken)),
                State::Head => {
                    let Some((head, length)) = self.whole(rest, head)? else {
                        return Ok((Step::More, bytes.len()));
                    };
                    taken += length;
                    // Interim answers (RFC 9110, section 15.2) are ignored.
                    if let Some((head, state)) = head {
                        self.state = state;
                        return Ok((Step::Head(head), taken));
                    }
                }
                State::Length(left) => {
                    let body = first(rest, left);
                    self.state = State::Length(left - body.len() as u64);
                    return Ok((Step::Body(body), taken + body.len()));
                }
                State::ChunkSize => {
                    let Some((size, length)) = self.whole(rest, chunk_size)? else {
                        return Ok((Step::More, bytes.len()));
                    };
                    taken += length;
                    self.state = match size {
                        0 => State::Trailers,
                        size => State::Chunk(size),
                    };
                }
                State::Chunk(left) => {
                    let body = first(rest, left);
                    self.state = match left - body.len() as u64 {
                        0 => State::ChunkEnd,
                        left => State::Chunk(left),
                    };
                    return Ok((Step::Body(body), taken + body.len()));
                }
                State::ChunkEnd => {
                    let Some(((), length)) = self.whole(rest, line_end)? else {
                        return Ok((Step::More, bytes.len()));
                    };
                    taken += length;
                    self.state = State::ChunkSize;
                }
                State::Trailers => {
                    let Some(((), length)) = self.whole(rest, trailers)? else {
                        return Ok((Step::More, bytes.len()));
                    };
                    self.state = State::Length(0);
                    taken += length;
                }
                State::UntilClose => return Ok((Step::Body(rest), bytes.len())),
            }
        }
    }

    /// Whether the answer is whole if its connection is closed now.
    pub(super) fn ends_with_its_connection(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// Reads one element from the pending bytes and `bytes`, and returns how many of `bytes` it took. If they are too few, all
    /// of them are kept.
    fn whole<T>(
        &mut self,
        bytes: &[u8],
        read: impl Fn(&[u8]) -> Result<Option<(T, usize)>, Malformed>,
    ) -> Result<Option<(T, usize)>, Malformed> {
        if self.pending.is_empty()
            && let Some(read) = read(bytes)?
        {
            return Ok(Some(read));
        }
        let before = self.pending.len();
        // The element is short, but many bytes may follow it.
        let room = HEAD_BYTES_MAX - before;
        self.pending
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        match read(&self.pending)? {
            Some((what, length)) => {
                self.pending = Vec::new();
                Ok(Some((what, length - before)))
            }
            None if bytes.len() >= room => Err(Malformed),
            None => Ok(None),
        }
    }
}

/// The first `count` bytes at most.
fn first(bytes: &[u8], count: u64) -> &[u8] {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    &bytes[..count.min(bytes.len())]
}

/// A head and the framing of its body (RFC 9112, section 6.3); `None` for an interim answer.
type Opening = Option<(Head, State)>;

fn head(bytes: &[u8]) -> Result<Option<(Opening, usize)>, Malformed> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut answer = httparse::Response::new(&mut fields);
    let Status::Complete(length) = answer.parse(bytes).map_err(|_| Malformed)? else {
        return Ok(None);
    };
    let status = answer.code.ok_or(Malformed)?;
    if status == 101 {
        return Err(Malformed);
    }
    if status < 200 {
        return Ok(Some((None, length)));
    }
    let mut head = Head {
        status,
        word: ResultWord::Unmarked,
        retry_after: None,
        whole_bytes: None,
        length: None,
        keeps: answer.version == Some(1),
    };
    let mut chunked = None;
    for field in answer.headers.iter() {
        // A comparison is cheap: most names differ in length.
        let named = |name: &str| field.name.eq_ignore_ascii_case(name);
        let text = || std::str::from_utf8(field.value).ok().map(str::trim);
        if named("content-length") {
            let length = text().and_then(number).ok_or(Malformed)?;
            if head.length.is_some_and(|known| known != length) {
                return Err(Malformed);
            }
            head.length = Some(length);
        } else if named("transfer-encoding") {
            chunked = Some(text().is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")));
        } else if named("connection") {
            let close = |option: &str| option.trim().eq_ignore_ascii_case("close");
            head.keeps &= !text().unwrap_or_default().split(',').any(close);
        } else if named("cache-status") {
            // A list may be spread over several lines (RFC 9110, section 5.3); the last line holds the nearest cache.
            head.word = text().map_or(ResultWord::Unmarked, cache_status::word);
        } else if named("content-range") {
            // The last number of `bytes 0-99/1000`.
            let whole = text().and_then(|range| number(range.rsplit_once('/')?.1));
            head.whole_bytes = whole.filter(|_| status == 206);
        } else if named("retry-after") {
            head.retry_after = text().and_then(number).map(Duration::from_secs);
        }
    }
    let state = match (status, chunked, head.length) {
        (204 | 304, _, _) => State::Length(0),
        (_, Some(true), _) => State::ChunkSize,
        (_, Some(false), _) | (_, None, None) => State::UntilClose,
        (_, None, Some(length)) => State::Length(length),
    };
    if chunked.is_some() {
        head.length = None;
    }
    head.keeps &= !matches!(state, State::UntilClose);
    Ok(Some((Some((head, state)), length)))
}

/// The number, if the text has digits only.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn chunk_size(bytes: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
    match httparse::parse_chunk_size(bytes).map_err(|_| Malformed)? {
        Status::Complete((length, size)) => Ok(Some((size, length))),
        Status::Partial => Ok(None),
    }
}

fn line_end(bytes: &[u8]) -> Result<Option<((), usize)>, Malformed> {
    match bytes {
        [b'\r', b'\n', ..] => Ok(Some(((), 2))),
        [b'\r'] => Ok(None),
        _ => Err(Malformed),
    }
}

fn trailers(bytes: &[u8]) -> Result<Option<((), usize)>, Malformed> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    match httparse::parse_headers(bytes, &mut fields).map_err(|_| Malformed)? {
        Status::Complete((length, _)) => Ok(Some(((), length))),
        Status::Partial => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Read = (Option<Head>, Vec<u8>, Option<usize>);

    /// Reads `text` in pieces that end at `cuts`. Returns the head, the body, and the bytes after the end if the body ended.
    fn read(text: &[u8], cuts: &[usize]) -> Result<Read, Malformed> {
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
        ends.push(text.len());
        ends.sort_unstable();
        let (mut answer, mut at) = (Answer::default(), 0);
        let (mut head, mut body) = (None, Vec::new());
        for end in ends {
            loop {
                let (step, taken) = answer.next(&text[at..end])?;
                at += taken;
                match step {
                    Step::More => break,
                    Step::Head(known) => head = Some(known),
                    Step::Body(part) => body.extend_from_slice(part),
                    Step::End => return Ok((head, body, Some(text.len() - at))),
                }
            }
            assert_eq!(at, end, "what was given is taken");
        }
        let whole = answer.ends_with_its_connection().then_some(0);
        Ok((head, body, whole))
    }

    const PLAIN: &[u8] =
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\ncontent-range: bytes 0-4/1000\r\n\
        Cache-Status: edge-1; hit; ttl=3\r\n\r\nhello";
    const CHUNKED: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\
        Transfer-Encoding: chunked\r\n\r\n3;name=value\r\nhel\r\n2\r\nlo\r\n0\r\nsum: 7\r\n\r\n";

    #[test]
    fn a_head_says_what_a_viewer_wants_to_know() {
        let (head, body, left) = read(PLAIN, &[]).unwrap();
        let expected = Head {
            status: 206,
            word: ResultWord::Hit,
            retry_after: None,
            whole_bytes: Some(1_000),
            length: Some(5),
            keeps: true,
        };
        assert_eq!(head, Some(expected));
        assert_eq!((&body[..], left), (&b"hello"[..], Some(0)));
    }

    #[test]
    fn what_follows_an_answer_is_left_alone() {
        let twice = [PLAIN, PLAIN].concat();
        assert_eq!(read(&twice, &[]).unwrap().2, Some(PLAIN.len()));
    }

    #[test]
    fn the_framing_is_what_rfc_9112_says() {
        for (text, body, ends, keeps) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
                "ab",
                true,
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
                "ab",
                false,
                true,
            ),
            ("HTTP/1.1 200 OK\r\n\r\nab", "ab", true, false),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab",
                "ab",
                true,
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x, Close\r\n\r\nab",
                "ab",
                true,
                false,
            ),
            (
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
                "",
                true,
                true,
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", "", true, true),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "",
                true,
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
                "ab",
                false,
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
                "ab",
                true,
                false,
            ),
        ] {
            let (head, got, left) = read(text.as_bytes(), &[]).unwrap();
            assert_eq!(String::from_utf8(got).unwrap(), body, "{text}");
            assert_eq!(
                (left.is_some(), head.unwrap().keeps),
                (ends, keeps),
                "{text}"
            );
        }
    }

    #[test]
    fn much_may_follow_what_came_in_two_pieces() {
        let body = "x".repeat(2 * HEAD_BYTES_MAX);
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let text = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        for cut in 1..head.len() + 8 {
            let (_, read, left) = read(text.as_bytes(), &[cut]).unwrap();
            assert_eq!((read.len(), left), (body.len(), Some(0)), "{cut}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_BYTES_MAX));
        for text in [
            "hello",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab",
            &long,
        ] {
            assert_eq!(read(text.as_bytes(), &[]), Err(Malformed), "{text:.80}");
        }
    }

    proptest! {
        #[test]
        fn an_answer_is_the_same_however_it_was_cut(cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
            for text in [PLAIN, CHUNKED] {
                let (head, body, left) = read(text, &cuts).unwrap();
                prop_assert_eq!(&body[..], b"hello");
                prop_assert_eq!(left, Some(0));
                prop_assert_eq!(head, read(text, &[]).unwrap().0);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = [b"HTTP/1.1 200 OK\r\n", &bytes[..]].concat();
            let _ = read(&text, &[bytes.len() / 2]);
        }
    }
}

//! Answers about likes: each has a status, a word and a sentence, as JSON.

use std::fmt::Write;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue,
    RETRY_AFTER,
};
use http::{Method, Response, StatusCode};
use serde::Serialize;

use crate::likes::Token;
use crate::likes::forward::Said;
use crate::likes::limits::Shed;

/// The result of a durable operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Durable {
    pub(super) token: Token,
    pub(super) duplicate: bool,
    /// Whether the operation is on a disk. A log for benchmarks may keep it in memory only.
    pub(super) on_disk: bool,
}

/// The counts in a reader's answer.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Read<'a> {
    pub(super) channel: &'a str,
    pub(super) likes: u64,
    pub(super) hearts: u64,
    /// The last operation that the counts include.
    pub(super) seq: u64,
    /// UNIX time in milliseconds at which the counts were true.
    pub(super) as_of: u64,
    /// The value to send as `Like-Token` to see at least these counts on any node.
    pub(super) token: String,
    pub(super) consistency: &'static str,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) enum LikeRefusal {
    /// The request is malformed.
    Bad(&'static str),
    /// The body is too long.
    TooLarge,
    /// The channel is not described at the origin.
    UnknownChannel,
    /// The path does not allow this method; it allows these.
    Method(&'static str),
    /// Another operation has the same identity.
    Conflict,
    /// The number is too old: it is unknown whether the operation was counted.
    TooOld,
    /// The channel no longer takes updates.
    Closed,
    /// The sender exceeds its rate limit.
    Limited,
    /// The request was shed.
    Overloaded(Shed),
    /// It is unknown whether the operation counts.
    Unknown,
    /// This node has not yet counted up to the token.
    NotCaughtUp,
    /// The caller is no operator.
    Token,
    /// The caller is no edge.
    NoEdge,
}

impl Durable {
    /// The origin's answer about this operation to an edge.
    pub(super) fn said(self) -> Said {
        Said::Durable {
            token: self.token,
            duplicate: self.duplicate,
            on_disk: self.on_disk,
        }
    }

    /// 202, with the position of the operation.
    pub(super) fn answer(self) -> Response<Bytes> {
        let mut text = format!(
            "{{\"seq\":{},\"token\":\"{}\",\"duplicate\":{}",
            self.token.sequence, self.token, self.duplicate
        );
        if !self.on_disk {
            text += ",\"ack\":\"memory\"";
        }
        text += "}\n";
        json(StatusCode::ACCEPTED, text, NO_STORE)
    }
}

impl Read<'_> {
    /// 200, with the counts. Only eventual counts may be shared by caches.
    pub(super) fn answer(&self, method: &Method) -> Response<Bytes> {
        let sharing = match self.consistency {
            "eventual" => A_SECOND,
            _ => NO_STORE,
        };
        bare_for_head(method, json(StatusCode::OK, self.text() + "\n", sharing))
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("counts are plain data")
    }
}

/// The viewer's answer for what an origin said to an edge. It is the answer that the origin would have sent to the
/// viewer.
pub(in crate::serve) fn heard(said: Said, method: &Method) -> Response<Bytes> {
    let refusal = match said {
        Said::Durable {
            token,
            duplicate,
            on_disk,
        } => {
            let durable = Durable {
                token,
                duplicate,
                on_disk,
            };
            return durable.answer();
        }
        Said::UnknownChannel => LikeRefusal::UnknownChannel,
        Said::Conflict => LikeRefusal::Conflict,
        Said::TooOld => LikeRefusal::TooOld,
        Said::Closed => LikeRefusal::Closed,
        Said::Limited => LikeRefusal::Limited,
        Said::Unknown => LikeRefusal::Unknown,
        Said::Overloaded(why) => LikeRefusal::Overloaded(why),
    };
    refusal.answer(method)
}

impl LikeRefusal {
    /// The origin's answer about this refusal to an edge.
    pub(super) fn said(self) -> Said {
        match self {
            Self::UnknownChannel => Said::UnknownChannel,
            Self::Conflict => Said::Conflict,
            Self::TooOld => Said::TooOld,
            Self::Closed => Said::Closed,
            Self::Limited => Said::Limited,
            Self::Overloaded(why) => Said::Overloaded(why),
            // The other refusals never concern a decoded operation.
            _ => Said::Unknown,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownChannel => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict | Self::TooOld => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Closed => StatusCode::GONE,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded(_) | Self::Unknown | Self::NotCaughtUp => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::NoEdge => StatusCode::FORBIDDEN,
        }
    }

    pub(in crate::serve) fn word(self) -> &'static str {
        match self {
            Self::Bad(_) | Self::Method(_) => "bad-request",
            Self::TooLarge => "too-large",
            Self::UnknownChannel => "unknown-channel",
            Self::Conflict => "conflict",
            Self::TooOld => "too-old",
            Self::Closed => "closed",
            Self::Limited => "limited",
            Self::Overloaded(_) => "overloaded",
            Self::Unknown => "outcome-unknown",
            Self::NotCaughtUp => "not-caught-up",
            Self::Token => "token",
            Self::NoEdge => "no-edge",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Bad(why) => why,
            Self::Method(_) => "this path has other methods",
            Self::TooLarge => "the body is longer than it may be",
            Self::UnknownChannel => "there is no such channel here",
            Self::Conflict => "another operation was sent under this number or key",
            Self::TooOld => {
                "the number lies more than 63 behind your newest, so it is unknown whether this one was counted"
            }
            Self::Closed => "this channel takes no more likes",
            Self::Limited => "too many in too short a time: this one does not count",
            Self::Overloaded(_) => "this one does not count: come back later",
            Self::Unknown => {
                "it is unknown whether this one counts: if it has a number or a key, send it again with the same, which is safe"
            }
            Self::NotCaughtUp => "this server has not counted that far yet",
            Self::NoEdge => {
                "only edges send batches: programs on this machine, and the addresses that `likes.edges` lists"
            }
            Self::Token => "the token is missing or wrong: send `Authorization: Bearer TOKEN`",
        }
    }

    /// The answer. If the request may be tried again, it names a random time of 1 to 3 s. So clients do not all come back
    /// at once.
    pub(in crate::serve) fn answer(self, method: &Method) -> Response<Bytes> {
        let mut text = format!("{{\"error\":\"{}\"", self.word());
        if let Self::Overloaded(why) = self {
            let _ = write!(text, ",\"reason\":\"{}\"", why.word());
        }
        let sentence = serde_json::to_string(self.sentence()).expect("a text is plain data");
        let _ = writeln!(text, ",\"why\":{sentence}}}");
        let mut response = json(self.status(), text, NO_STORE);
        let head = response.headers_mut();
        match self {
            Self::Limited | Self::Overloaded(_) | Self::Unknown | Self::NotCaughtUp => {
                head.insert(RETRY_AFTER, seconds().into());
            }
            Self::Method(allowed) => {
                head.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            _ => {}
        }
        bare_for_head(method, response)
    }
}

/// Seconds until a retry: random, so that not all clients come back at once.
fn seconds() -> u64 {
    1 + crate::serve::chance::draw() % 3
}

/// The same answer for another viewer, with a new random retry time.
pub(in crate::serve) fn drawn_anew(mut response: Response<Bytes>) -> Response<Bytes> {
    if let Some(when) = response.headers_mut().get_mut(RETRY_AFTER) {
        *when = seconds().into();
    }
    response
}

/// The same answer without its body for HEAD. The head still has the length of the body.
fn bare_for_head(method: &Method, mut response: Response<Bytes>) -> Response<Bytes> {
    if method == Method::HEAD {
        let length = response.body().len();
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        *response.body_mut() = Bytes::new();
    }
    response
}

/// Answers OPTIONS: pages of any site may send likes.
pub(in crate::serve) fn preflight(allowed: &'static str) -> Response<Bytes> {
    Response::builder()
        .status(StatusCode::NO_CONTENT)
        .header(ALLOW, allowed)
        .header(ACCESS_CONTROL_ALLOW_ORIGIN, "*")
        .header("access-control-allow-methods", allowed)
        .header(
            "access-control-allow-headers",
            "like-seq, idempotency-key, like-token, content-type, last-event-id",
        )
        .header("access-control-max-age", "86400")
        .body(Bytes::new())
        .expect("the head is made of constants")
}

/// 204: no newer counts.
pub(in crate::serve) fn nothing_newer() -> Response<Bytes> {
    let mut response = json(StatusCode::NO_CONTENT, String::new(), NO_STORE);
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const A_SECOND: HeaderValue = HeaderValue::from_static("public, max-age=1");

fn json(status: StatusCode, text: String, sharing: HeaderValue) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    let head = response.headers_mut();
    head.insert(CACHE_CONTROL, sharing);
    head.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    head.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_tried_again_says_when_and_not_always_the_same() {
        let seconds = |refusal: LikeRefusal| {
            let response = refusal.answer(&Method::PUT);
            let value = response.headers().get(RETRY_AFTER)?;
            value.to_str().ok()?.parse::<u64>().ok()
        };
        for refusal in [
            LikeRefusal::Limited,
            LikeRefusal::Unknown,
            LikeRefusal::Overloaded(Shed::Lag),
        ] {
            let drawn: std::collections::BTreeSet<_> =
                (0..200).filter_map(|_| seconds(refusal)).collect();
            assert_eq!(drawn, [1, 2, 3].into(), "{refusal:?}");
        }
        assert_eq!(seconds(LikeRefusal::Closed), None);
    }
}

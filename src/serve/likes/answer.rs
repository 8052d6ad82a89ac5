//! Answers about likes: each a status, a word and a sentence, as JSON.

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

/// An operation is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Durable {
    pub(super) token: Token,
    pub(super) duplicate: bool,
    /// Whether it is on a disk, which a log for benchmarks may not be.
    pub(super) on_disk: bool,
}

/// Counts as a reader gets them.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Read<'a> {
    pub(super) channel: &'a str,
    pub(super) likes: u64,
    pub(super) hearts: u64,
    /// The last operation that they include.
    pub(super) seq: u64,
    /// UNIX time in milliseconds at which they were true.
    pub(super) as_of: u64,
    /// Give it back as `Like-Token` to see at least these counts anywhere.
    pub(super) token: String,
    pub(super) consistency: &'static str,
}

/// Why nothing came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Refusal {
    /// What was sent makes no sense.
    Bad(&'static str),
    /// The body is too long.
    TooLarge,
    /// Nobody has described this channel.
    UnknownChannel,
    /// This path has other methods.
    Method(&'static str),
    /// The same identity, another operation.
    Conflict,
    /// The number lies so far behind that nobody knows.
    TooOld,
    /// The channel takes no more.
    Closed,
    /// Too often.
    Limited,
    /// It was shed.
    Overloaded(Shed),
    /// Nobody knows whether it counts.
    Unknown,
    /// This node has not counted up to the token.
    NotCaughtUp,
    /// Who asks is no operator.
    Token,
    /// Who asks is no edge.
    NoEdge,
}

impl Durable {
    /// What an origin says of it to an edge.
    pub(super) fn said(self) -> Said {
        Said::Durable {
            token: self.token,
            duplicate: self.duplicate,
            on_disk: self.on_disk,
        }
    }

    /// 202.
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
    /// 200. Only what is eventual may be shared.
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

/// What an origin has said to an edge, as a viewer would have heard it from the origin.
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
        Said::UnknownChannel => Refusal::UnknownChannel,
        Said::Conflict => Refusal::Conflict,
        Said::TooOld => Refusal::TooOld,
        Said::Closed => Refusal::Closed,
        Said::Limited => Refusal::Limited,
        Said::Unknown => Refusal::Unknown,
        Said::Overloaded(why) => Refusal::Overloaded(why),
    };
    refusal.answer(method)
}

impl Refusal {
    /// What an origin says of it to an edge.
    pub(super) fn said(self) -> Said {
        match self {
            Self::UnknownChannel => Said::UnknownChannel,
            Self::Conflict => Said::Conflict,
            Self::TooOld => Said::TooOld,
            Self::Closed => Said::Closed,
            Self::Limited => Said::Limited,
            Self::Overloaded(why) => Said::Overloaded(why),
            // The others come of no operation that has been read.
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
                "the number lies more than 63 behind your newest, so nobody knows whether it has been counted"
            }
            Self::Closed => "this channel takes no more likes",
            Self::Limited => "too many in too short a time: this one does not count",
            Self::Overloaded(_) => "this one does not count: come back later",
            Self::Unknown => {
                "nobody knows whether this one counts: if it has a number or a key, send it again with the same, which is safe"
            }
            Self::NotCaughtUp => "this server has not counted that far yet",
            Self::NoEdge => {
                "only edges send batches: programs on this machine, and the addresses that `likes.edges` lists"
            }
            Self::Token => "the token is missing or wrong: send `Authorization: Bearer TOKEN`",
        }
    }

    /// The answer; those that may be tried again say when, 1 to 3 s, drawn, so that not all come back at once.
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

/// When to come back: drawn, so that not all do at once.
fn seconds() -> u64 {
    1 + crate::serve::chance::draw() % 3
}

/// The same answer for another viewer, who comes back at another time.
pub(in crate::serve) fn drawn_anew(mut response: Response<Bytes>) -> Response<Bytes> {
    if let Some(when) = response.headers_mut().get_mut(RETRY_AFTER) {
        *when = seconds().into();
    }
    response
}

/// The same without its body if only the head was asked for; the head still says how long it would be.
fn bare_for_head(method: &Method, mut response: Response<Bytes>) -> Response<Bytes> {
    if method == Method::HEAD {
        let length = response.body().len();
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        *response.body_mut() = Bytes::new();
    }
    response
}

/// Answers OPTIONS: any page may like.
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

/// 204: nothing is newer.
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
        let seconds = |refusal: Refusal| {
            let response = refusal.answer(&Method::PUT);
            let value = response.headers().get(RETRY_AFTER)?;
            value.to_str().ok()?.parse::<u64>().ok()
        };
        for refusal in [
            Refusal::Limited,
            Refusal::Unknown,
            Refusal::Overloaded(Shed::Lag),
        ] {
            let drawn: std::collections::BTreeSet<_> =
                (0..200).filter_map(|_| seconds(refusal)).collect();
            assert_eq!(drawn, [1, 2, 3].into(), "{refusal:?}");
        }
        assert_eq!(seconds(Refusal::Closed), None);
    }
}

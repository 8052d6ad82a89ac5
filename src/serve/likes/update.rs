//! Reads a viewer's update from a request. An origin and an edge use the same code, so both refuse the same requests in
//! the same words.

use http::{HeaderMap, Method};
use serde::Deserialize;

use super::answer::LikeRefusal;
use super::request::header;
use crate::likes::gather::Sent;
use crate::likes::names::{LikePath, What};
use crate::likes::operation::{HEARTS_MAX, is_key, is_viewer};
use crate::likes::{Action, Identity, Operation};

/// The body of a request for hearts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reaction {
    viewer: Option<String>,
    hearts: u32,
}

/// Reads a request that changes counts.
///
/// # Errors
/// The request is malformed.
pub(in crate::serve) fn read(
    path: LikePath<'_>,
    method: &Method,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Sent, LikeRefusal> {
    let channel = path.channel;
    let What::Like { viewer } = path.what else {
        return hearts(channel, headers, body);
    };
    let action = match *method {
        Method::PUT => Action::Like,
        _ => Action::Unlike,
    };
    let identity = identity(headers)?;
    Ok(Sent::Named(Operation::update(
        channel, viewer, identity, action,
    )))
}

fn hearts(channel: &str, headers: &HeaderMap, body: &[u8]) -> Result<Sent, LikeRefusal> {
    let Reaction { viewer, hearts } = serde_json::from_slice(body).map_err(|_| {
        LikeRefusal::Bad(
            "send {\"viewer\":NAME,\"hearts\":COUNT} or {\"hearts\":COUNT} and nothing else",
        )
    })?;
    if !viewer.as_deref().is_none_or(is_viewer) {
        return Err(LikeRefusal::Bad(
            "a viewer is 1 to 64 of letters, digits, `-`, `.`, `_` and `~`",
        ));
    }
    if !(1..=HEARTS_MAX).contains(&hearts) {
        return Err(LikeRefusal::Bad("send 1 to 100 hearts at once"));
    }
    let Some(viewer) = viewer else {
        if headers.contains_key("like-seq") || headers.contains_key("idempotency-key") {
            return Err(LikeRefusal::Bad(
                "hearts with a Like-Seq or an Idempotency-Key say whose they are: send {\"viewer\":NAME,\"hearts\":COUNT}",
            ));
        }
        let channel = channel.into();
        return Ok(Sent::Nameless { channel, hearts });
    };
    let (identity, action) = (identity(headers)?, Action::Hearts(hearts));
    Ok(Sent::Named(Operation::update(
        channel, &viewer, identity, action,
    )))
}

/// The identity by which a copy of the operation is recognised.
fn identity(headers: &HeaderMap) -> Result<Identity, LikeRefusal> {
    let sequence = header(headers, "like-seq")?;
    let key = header(headers, "idempotency-key")?;
    match (sequence, key) {
        (Some(sequence), None) => sequence
            .parse()
            .ok()
            .filter(|&sequence| sequence > 0)
            .map(Identity::Sequence)
            .ok_or(LikeRefusal::Bad("Like-Seq is a number from 1")),
        (None, Some(key)) if is_key(key) => Ok(Identity::Key(key.into())),
        (None, Some(_)) => Err(LikeRefusal::Bad(
            "Idempotency-Key is 1 to 64 visible characters of ASCII",
        )),
        _ => Err(LikeRefusal::Bad(
            "send Like-Seq, your own count of your likes here, or an Idempotency-Key: so that what you send twice counts once",
        )),
    }
}

//! Why an upload was refused: a sentence for the sender, a status code, and a word for the metric.

use std::time::Duration;

use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use warp::Reply;

use super::store_error::StoreError;

/// Maximum number of uploads at once, which bounds the memory of their bodies. One more is answered 503.
pub(super) const UPLOADS_MAX: usize = 16;

/// Why an upload was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum IngestRefusal {
    #[error("ingest is off: start the origin with a token to let a broadcaster in")]
    Off,
    #[error(
        "the token is missing or wrong: send `Authorization: Bearer TOKEN`, with the token of the origin"
    )]
    Token,
    #[error("only PUT and POST are served here")]
    Method,
    #[error(
        "nothing can be published at this path: use /live/CHANNEL/channel.json or /live/CHANNEL/RENDITION/NUMBER.ts"
    )]
    Path,
    #[error("{UPLOADS_MAX} uploads are under way already: try again in a second")]
    Busy,
    #[error("the body is larger than {0} bytes: lower the bitrate, or cut shorter segments")]
    TooLarge(usize),
    #[error("the upload was cut short after {0} bytes, and nothing of it is kept: send it again")]
    CutShort(usize),
    #[error("no byte came for {0:?}, and nothing of the upload is kept: send it again")]
    Stalled(Duration),
    #[error("the channel's description cannot be read: {0}")]
    Unreadable(serde_json::Error),
    #[error("the description is of channel {described:?}, but the path names {named:?}")]
    OtherChannel { described: String, named: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reasons in the metric; each counter exists at 0 from the start.
pub(super) const REASONS: [&str; 8] = [
    "token",
    "busy",
    "too_large",
    "cut_short",
    "malformed",
    "unknown",
    "conflict",
    "failed",
];

impl IngestRefusal {
    /// The reason in the metric.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Off | Self::Token => "token",
            Self::Busy => "busy",
            Self::TooLarge(_) => "too_large",
            Self::CutShort(_) | Self::Stalled(_) => "cut_short",
            Self::Method | Self::Unreadable(_) | Self::OtherChannel { .. } => "malformed",
            Self::Path => "unknown",
            Self::Store(error) => match error {
                StoreError::UnknownChannel(_) | StoreError::UnknownRendition { .. } => "unknown",
                StoreError::Description(_)
                | StoreError::Malformed(_)
                | StoreError::TooEarly { .. }
                | StoreError::TooOld { .. } => "malformed",
                StoreError::Differs(_) | StoreError::OtherBytes(_) => "conflict",
                StoreError::Full | StoreError::Disk(_) | StoreError::Stopping => "failed",
            },
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Off => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Path => StatusCode::NOT_FOUND,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Stalled(_) => StatusCode::REQUEST_TIMEOUT,
            Self::CutShort(_) | Self::Unreadable(_) | Self::OtherChannel { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::Store(error) => match error {
                StoreError::UnknownChannel(_) | StoreError::UnknownRendition { .. } => {
                    StatusCode::NOT_FOUND
                }
                StoreError::Description(_)
                | StoreError::Malformed(_)
                | StoreError::TooEarly { .. }
                | StoreError::TooOld { .. } => StatusCode::UNPROCESSABLE_ENTITY,
                StoreError::Differs(_) | StoreError::OtherBytes(_) => StatusCode::CONFLICT,
                StoreError::Full => StatusCode::INSUFFICIENT_STORAGE,
                StoreError::Disk(_) => StatusCode::INTERNAL_SERVER_ERROR,
                StoreError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            },
        }
    }

    /// The answer, which also closes the connection.
    pub(super) fn answer(&self) -> warp::reply::Response {
        let mut response = Response::new(format!("{self}\n"));
        *response.status_mut() = self.status();
        let head = response.headers_mut();
        head.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        // The rest of the body is unread, so no other request can follow on this connection.
        head.insert(CONNECTION, HeaderValue::from_static("close"));
        match self {
            Self::Token => {
                head.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Method => {
                head.insert(ALLOW, HeaderValue::from_static("PUT, POST"));
            }
            Self::Busy | Self::Store(StoreError::Stopping) => {
                head.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response.into_response()
    }
}

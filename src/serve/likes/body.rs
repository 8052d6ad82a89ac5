//! The body of a likes request: small, whole, and in time.

use std::time::Duration;

use bytes::Buf;
use futures_util::{Stream, StreamExt};

use super::answer::LikeRefusal;

/// The longest time that a body may take.
const WAIT: Duration = Duration::from_secs(10);

/// Reads a body to its end, at most `bytes_max` bytes.
///
/// # Errors
/// The body is too long, was cut short, or did not arrive in time.
pub(in crate::serve) async fn whole<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>>,
    bytes_max: usize,
) -> Result<Vec<u8>, LikeRefusal> {
    let reading = async {
        let mut body = std::pin::pin!(body);
        let mut whole = Vec::new();
        while let Some(piece) = body.next().await {
            let mut piece = piece.map_err(|_| LikeRefusal::Bad("the body was cut short"))?;
            if whole.len() + piece.remaining() > bytes_max {
                return Err(LikeRefusal::TooLarge);
            }
            whole.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
        }
        Ok(whole)
    };
    tokio::time::timeout(WAIT, reading)
        .await
        .unwrap_or(Err(LikeRefusal::Bad("the body did not come in time")))
}

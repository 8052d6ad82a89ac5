//! What a player does after a failed request: it tries again, takes another rendition, or gives up. As hls.js 1.7.4 does, by
//! object and by kind of failure; the option of hls.js stands beside each number.
//!
//! Ours differs in two points. Before it asks for the same rendition again, it waits at least as long as `Retry-After` says, which
//! hls.js does not read. And a player that has no other rendition left tries a segment or a media playlist again, up to six
//! failures in a row, where hls.js gives up at once.

use std::time::Duration;

use super::object::Object;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No whole answer came in time.
    Timeout,
    /// The viewer's own network is down (`navigator.onLine`).
    Offline,
    /// The connection could not be made or broke, or the answer cannot be used.
    Closed,
    /// An answer with this status.
    Status(u16),
}

/// What the player does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// It asks for the same object again after this time.
    Again(Duration),
    /// It asks for another rendition at once; without one it gives up.
    Elsewhere,
}

/// Attempts at once after a time-out, and attempts after an error.
struct Retries {
    timeout: usize,
    error: usize,
}

/// `manifestLoadPolicy`: `timeoutRetry.maxNumRetry` and `errorRetry.maxNumRetry`.
const MULTIVARIANT: Retries = Retries {
    timeout: 2,
    error: 1,
};
/// `playlistLoadPolicy`.
const MEDIA_PLAYLIST: Retries = Retries {
    timeout: 2,
    error: 2,
};
/// `fragLoadPolicy`.
const SEGMENT: Retries = Retries {
    timeout: 4,
    error: 6,
};
/// `errorRetry.retryDelayMs`; the wait doubles with each failure (`backoff`).
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// `errorRetry.maxRetryDelayMs`.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// Failures in a row after which a player tries neither the same rendition nor another edge.
pub(super) const IN_A_ROW_MAX: usize = SEGMENT.error;

/// What a player does after this failure, which follows `earlier` failures in a row.
pub(super) fn react(object: Object, failure: Failure, earlier: usize) -> Reaction {
    let retries = match object {
        Object::Multivariant | Object::Steering => MULTIVARIANT,
        Object::MediaPlaylist { .. } => MEDIA_PLAYLIST,
        Object::Segment { .. } => SEGMENT,
    };
    match failure {
        Failure::Timeout if earlier < retries.timeout => Reaction::Again(Duration::ZERO),
        Failure::Timeout | Failure::Closed | Failure::Status(400..=499) => Reaction::Elsewhere,
        Failure::Offline | Failure::Status(_) if earlier < retries.error => {
            Reaction::Again(wait_after(earlier))
        }
        Failure::Offline | Failure::Status(_) => Reaction::Elsewhere,
    }
}

/// What a player does that has no other rendition; `None`: it gives up.
pub(super) fn react_at_last(object: Object, earlier: usize) -> Option<Duration> {
    let tries = matches!(
        object,
        Object::Segment { .. } | Object::MediaPlaylist { .. }
    );
    (tries && earlier < IN_A_ROW_MAX).then(|| wait_after(earlier))
}

fn wait_after(earlier: usize) -> Duration {
    let doubled = 1_u32 << earlier.min(10);
    (FIRST_WAIT * doubled).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_the_reaction_of_hls_js() {
        let segment = Object::Segment {
            rendition: 0,
            number: 7,
        };
        let playlist = Object::MediaPlaylist { rendition: 0 };
        let waits = |object, failure| {
            let waits = (0..).map_while(|earlier| match react(object, failure, earlier) {
                Reaction::Again(wait) => Some(wait.as_secs()),
                Reaction::Elsewhere => None,
            });
            waits.collect::<Vec<_>>()
        };
        for (object, failure, expected) in [
            (segment, Failure::Status(503), &[1, 2, 4, 8, 8, 8][..]),
            (segment, Failure::Timeout, &[0, 0, 0, 0]),
            (segment, Failure::Status(404), &[]),
            (segment, Failure::Closed, &[]),
            (segment, Failure::Offline, &[1, 2, 4, 8, 8, 8]),
            (playlist, Failure::Status(503), &[1, 2]),
            (playlist, Failure::Timeout, &[0, 0]),
            (playlist, Failure::Status(404), &[]),
            (Object::Multivariant, Failure::Status(500), &[1]),
            (Object::Multivariant, Failure::Timeout, &[0, 0]),
            (Object::Multivariant, Failure::Closed, &[]),
        ] {
            assert_eq!(waits(object, failure), expected, "{object:?}, {failure:?}");
        }
        assert_eq!(react_at_last(segment, 5), Some(Duration::from_secs(8)));
        assert_eq!(react_at_last(segment, 6), None);
        assert_eq!(react_at_last(Object::Multivariant, 0), None);
    }
}

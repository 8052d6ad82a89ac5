//! What the parts of a like route share: a header that may stand there once, a place among the readers who wait.

use http::HeaderMap;
use tokio::sync::OwnedSemaphorePermit;

use super::answer::Refusal;

/// A place among the readers who wait; dropping it gives it back.
pub(super) struct Place {
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) gauge: prometheus::IntGauge,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// The value of a header that may stand there once.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value
            .to_str()
            .map(Some)
            .map_err(|_| Refusal::Bad("a header holds more than visible characters of ASCII")),
        _ => Err(Refusal::Bad("a header stands there twice")),
    }
}

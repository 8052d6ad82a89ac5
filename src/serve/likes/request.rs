//! Parts that the like routes share: reading a header that may occur once, and the permit of a waiting reader.

use http::HeaderMap;
use tokio::sync::OwnedSemaphorePermit;

use super::answer::LikeRefusal;

/// The permit of a waiting reader; dropping it gives the permit back.
pub(super) struct ReaderPermit {
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) gauge: prometheus::IntGauge,
}

impl Drop for ReaderPermit {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// The value of a header that may occur only once.
pub(super) fn header<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> Result<Option<&'a str>, LikeRefusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value
            .to_str()
            .map(Some)
            .map_err(|_| LikeRefusal::Bad("a header holds more than visible characters of ASCII")),
        _ => Err(LikeRefusal::Bad("a header stands there twice")),
    }
}

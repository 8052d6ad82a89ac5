//! A shared secret that a request must bring as `Authorization: Bearer`.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use subtle::ConstantTimeEq;

/// A shared secret. It is compared in constant time, and never printed.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// The secret as it stands behind `Bearer`.
    pub fn new(secret: &str) -> Self {
        Self(secret.into())
    }

    /// The value of the Authorization header; `None` if the secret holds a byte that no header may.
    pub fn authorization(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Whether a request brings the token.
    pub fn admits(&self, request: &HeaderMap) -> bool {
        let sent = request
            .get(AUTHORIZATION)
            .map_or(&[][..], HeaderValue::as_bytes);
        // The scheme is no secret, and its case does not matter (RFC 9110, section 11.1).
        let Some((scheme, secret)) = sent.split_at_checked("Bearer ".len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(secret.ct_eq(self.0.as_bytes()))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

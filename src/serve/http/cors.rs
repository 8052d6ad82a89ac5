//! What pages of other sites may send when they read a stream.

/// Request headers that a player may send, for `Access-Control-Allow-Headers`: ranges and validators, what hls.js sends with its
/// option `useHeaders` (CMCD, CTA-5004), what players add so that caches are passed, and anything else that a developer tries.
pub const ALLOWED_HEADERS: &str = "range, if-none-match, if-range, if-modified-since, cache-control, pragma, cmcd-object, cmcd-request, \
                                   cmcd-session, cmcd-status, *";

//! Numbers that no viewer can guess, and that differ from process to process.

/// A number that cannot be foreseen: drawn from the keys with which the standard library protects its maps.
pub(crate) fn draw() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8)
}

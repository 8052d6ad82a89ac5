//! What a line holds, for a message: short, and without control characters, which could steer a terminal.

/// The longest excerpt in bytes.
const BYTES_MAX: usize = 40;

/// The text in quotes, cut short if it is long.
pub(super) fn excerpt(text: &[u8]) -> String {
    let cut = &text[..text.len().min(BYTES_MAX)];
    let more = if cut.len() < text.len() { "..." } else { "" };
    format!("{:?}{more}", String::from_utf8_lossy(cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_harmless() {
        assert_eq!(excerpt(b"a\x1b[2Jb"), "\"a\\u{1b}[2Jb\"");
        assert_eq!(
            excerpt(&[b'x'; 41]),
            format!("\"{}\"...", "x".repeat(BYTES_MAX))
        );
        assert_eq!(excerpt(b"\xff"), "\"\u{fffd}\"");
    }
}

//! The part of a URL that may be shown: all but the name and the password before its host.

/// The URL with `***` for everything between its scheme and its host. In a text that is no URL, everything before the
/// last `@` may be a secret, and is treated in the same way.
pub fn url(url: &str) -> String {
    let Some((before, host)) = url.rsplit_once('@') else {
        return url.to_owned();
    };
    let scheme = before.find("://").map_or(0, |at| at + "://".len());
    format!("{}***@{host}", &before[..scheme])
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_and_a_password_are_not_shown_wherever_they_stand() {
        for (secret, shown) in [
            ("http://origin:8000/path", "http://origin:8000/path"),
            ("http://me:hunter2@origin:8000", "http://***@origin:8000"),
            ("http://me:hunt@er2@origin", "http://***@origin"),
            ("me:hunter2@origin:8000", "***@origin:8000"),
            ("me:hunter2@http://origin", "***@http://origin"),
            ("nats://a://b@c", "nats://***@c"),
            ("@", "***@"),
            ("", ""),
        ] {
            assert_eq!(super::url(secret), shown, "{secret}");
        }
    }
}

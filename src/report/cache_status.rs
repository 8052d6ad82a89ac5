//! `Cache-Status` (RFC 9211), parsed back into the edge's result word.

use sfv::{ListEntry, Parser};

use super::record::ResultWord;

/// The result word of the cache nearest to the viewer: each tier appends its member, so the nearest is the last.
pub fn word(field: &str) -> ResultWord {
    if is_plain_hit(field) {
        return ResultWord::Hit;
    }
    let Ok(members) = Parser::new(field).parse::<sfv::List>() else {
        return ResultWord::Unmarked;
    };
    let Some(ListEntry::Item(member)) = members.last() else {
        return ResultWord::Unmarked;
    };
    let parameter = |name: &str| member.params.get(name);
    let is_set = |name: &str| parameter(name).is_some_and(|value| value.as_boolean() == Some(true));
    let token = |name: &str| {
        parameter(name).and_then(|value| {
            let token = value.as_token().map(|token| token.as_str());
            token.or_else(|| value.as_string().map(|text| text.as_str()))
        })
    };
    let integer = |name: &str| {
        parameter(name)
            .and_then(|value| value.as_integer())
            .map(i64::from)
    };
    let detail = token("detail");
    if is_set("hit") {
        return match detail {
            Some("negative") => ResultWord::Negative,
            _ if integer("ttl").is_some_and(|ttl| ttl < 0) => ResultWord::Stale,
            _ => ResultWord::Hit,
        };
    }
    if is_set("collapsed") {
        return ResultWord::Collapsed;
    }
    match (token("fwd"), integer("fwd-status")) {
        (None, _) => ResultWord::Unmarked,
        (Some("bypass" | "method" | "request"), _) => ResultWord::Pass,
        (Some("stale"), _) if detail == Some("stale-if-error") => ResultWord::Stale,
        // A forward that was never made; the detail says why.
        (Some(_), None) if detail.is_some() => ResultWord::Shed,
        (Some(_), _) => ResultWord::Miss,
    }
}

/// The result word of any server's answer: by `Cache-Status`, else by what caches said before that existed. `field` returns the
/// last line of a header.
pub fn word_of<'a>(field: impl Fn(&str) -> Option<&'a str>) -> ResultWord {
    if let Some(standard) = field("cache-status") {
        return word(standard);
    }
    let older = ["cf-cache-status", "x-cache-status", "x-cache"];
    if let Some(told) = older.into_iter().find_map(&field) {
        // A list of several caches ends with the nearest, as `MISS, HIT` of Fastly; Varnish and CloudFront write sentences.
        let nearest = told.rsplit(',').next().unwrap_or(told);
        let nearest = nearest.split_whitespace().next().unwrap_or_default();
        let nearest = nearest.to_ascii_lowercase();
        let words = [
            ("stale", ResultWord::Stale),
            ("updating", ResultWord::Stale),
            ("dynamic", ResultWord::Pass),
            ("bypass", ResultWord::Pass),
            ("pass", ResultWord::Pass),
            ("miss", ResultWord::Miss),
            ("expired", ResultWord::Miss),
            ("hit", ResultWord::Hit),
            ("revalidated", ResultWord::Hit),
        ];
        let known = words.into_iter().find(|(name, _)| nearest.contains(name));
        return known.map_or(ResultWord::Unmarked, |(_, word)| word);
    }
    match field("age").and_then(|seconds| seconds.parse::<u64>().ok()) {
        // Only a cache that did not have to ask writes an age above zero.
        Some(1..) => ResultWord::Hit,
        _ => ResultWord::Unmarked,
    }
}

/// Whether the field is `NAME; hit; ttl=SECONDS`, like nearly all fields. This check does not parse the field.
fn is_plain_hit(field: &str) -> bool {
    let Some((name, ttl)) = field.split_once("; hit; ttl=") else {
        return false;
    };
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let begins_well = name.starts_with(|first: char| first.is_ascii_alphabetic());
    let is_number = (1..=15).contains(&ttl.len()) && ttl.bytes().all(|byte| byte.is_ascii_digit());
    begins_well && name.bytes().all(in_name) && is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_caches_say_is_understood() {
        for (name, value, expected) in [
            ("cache-status", "nginx; hit", ResultWord::Hit),
            ("x-cache", "HIT", ResultWord::Hit),
            ("x-cache", "MISS, HIT", ResultWord::Hit),
            ("x-cache", "HIT, MISS", ResultWord::Miss),
            ("x-cache", "Hit from cloudfront", ResultWord::Hit),
            ("x-cache", "RefreshHit from cloudfront", ResultWord::Hit),
            ("x-cache", "Miss from cloudfront", ResultWord::Miss),
            ("x-cache", "TCP_MISS from a23-1-2-3", ResultWord::Miss),
            ("x-cache", "yes", ResultWord::Unmarked),
            (
                "x-cache",
                "HIT from proxy.mississippi.example",
                ResultWord::Hit,
            ),
            ("x-cache-status", "EXPIRED", ResultWord::Miss),
            ("x-cache-status", "UPDATING", ResultWord::Stale),
            ("cf-cache-status", "DYNAMIC", ResultWord::Pass),
            ("cf-cache-status", "REVALIDATED", ResultWord::Hit),
            ("age", "7", ResultWord::Hit),
            ("age", "0", ResultWord::Unmarked),
            ("server", "hit", ResultWord::Unmarked),
        ] {
            let told = word_of(|asked| (asked == name).then_some(value));
            assert_eq!(told, expected, "{name}: {value}");
        }
    }

    #[test]
    fn every_member_that_an_edge_writes_is_understood() {
        for (field, expected) in [
            ("edge-a; hit; ttl=1", ResultWord::Hit),
            ("edge-a; hit", ResultWord::Hit),
            ("shield-1; hit; ttl=9, edge-a; hit; ttl=1", ResultWord::Hit),
            ("edge-a; hit; ttl=1; detail=negative", ResultWord::Negative),
            ("edge-a; hit; ttl=12345678901234567", ResultWord::Unmarked),
            ("edge-a; hit; ttl=-1", ResultWord::Stale),
            ("edge-a; hit; detail=negative", ResultWord::Negative),
            (
                "edge-a; fwd=uri-miss; fwd-status=200; stored; ttl=2",
                ResultWord::Miss,
            ),
            (
                "edge-a; fwd=uri-miss; collapsed; ttl=2",
                ResultWord::Collapsed,
            ),
            (
                "edge-a; fwd=stale; fwd-status=200; stored",
                ResultWord::Miss,
            ),
            (
                "edge-a; fwd=stale; fwd-status=503; detail=stale-if-error",
                ResultWord::Stale,
            ),
            ("edge-a; fwd=uri-miss; detail=queue-full", ResultWord::Shed),
            ("edge-a; fwd=uri-miss; fwd-status=404", ResultWord::Miss),
            ("edge-a; fwd=bypass", ResultWord::Pass),
            (
                "shield-1; fwd=uri-miss; fwd-status=200; stored, edge-a; hit; ttl=1",
                ResultWord::Hit,
            ),
            ("edge-a", ResultWord::Unmarked),
            ("", ResultWord::Unmarked),
            ("edge a; hit;", ResultWord::Unmarked),
        ] {
            assert_eq!(word(field), expected, "{field}");
        }
    }
}

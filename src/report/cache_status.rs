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

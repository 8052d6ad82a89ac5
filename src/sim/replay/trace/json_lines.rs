//! JSON lines: an object on each line. By default they are the access log of an edge; other names can be given.
//!
//! If an object has a `method` or a `status`, the rules of server logs hold: only GET counts, and only the statuses 200, 206
//! and 304.

use std::borrow::Cow;
use std::fmt;

use chrono::DateTime;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::decimal::{self, Unit};
use super::excerpt::excerpt;
use super::line::{Parsed, Request};
use crate::time::Timestamp;

/// The names of fields in JSON lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// When a request came.
    pub time: String,
    /// What it asked for.
    pub key: String,
    /// The bytes of its answer.
    pub size: String,
}

impl Default for Fields {
    /// The names in the access log of an edge.
    fn default() -> Self {
        Self {
            time: "at_unix_ms".to_owned(),
            key: "path".to_owned(),
            size: "bytes".to_owned(),
        }
    }
}

/// Reads JSON lines.
#[derive(Debug)]
pub(super) struct JsonLines {
    fields: Fields,
    unit: Unit,
    /// The key of the newest line.
    key: Vec<u8>,
}

impl JsonLines {
    pub(super) const fn new(fields: Fields, unit: Unit) -> Self {
        Self {
            fields,
            unit,
            key: Vec::new(),
        }
    }

    pub(super) fn parse<'a>(&'a mut self, line: &[u8]) -> Result<Parsed<'a>, String> {
        let mut json = serde_json::Deserializer::from_slice(line);
        let found = Wanted(&self.fields).deserialize(&mut json);
        let found = found.and_then(|found| json.end().map(|()| found));
        let found = found.map_err(|error| no_object(line, &error))?;
        let is_get = |method: &Scalar<'_>| matches!(method, Scalar::Text(text) if text == "GET");
        if found.method.is_some_and(|method| !is_get(&method)) {
            return Ok(Parsed::NotGet);
        }
        if let Some(status) = found.status
            && !["200", "206", "304"].contains(&&*status.text())
        {
            return Ok(Parsed::OtherStatus);
        }
        let time = found
            .time
            .ok_or_else(|| lacks(&self.fields.time, "--time-field"))?;
        let time = timestamp(&time, self.unit)?;
        let key = found
            .key
            .ok_or_else(|| lacks(&self.fields.key, "--key-field"))?;
        let size = found
            .size
            .ok_or_else(|| lacks(&self.fields.size, "--size-field"))?;
        let size = decimal::size(size.text().as_bytes())?;
        let key = key.text();
        if key.is_empty() {
            return Err("the key is empty".to_owned());
        }
        self.key.clear();
        self.key.extend_from_slice(key.as_bytes());
        Ok(Parsed::Request(Request {
            time,
            key: &self.key,
            size,
        }))
    }
}

fn lacks(name: &str, flag: &str) -> String {
    let name = excerpt(name.as_bytes());
    format!("it has no field {name} with a text or a number; {flag} names another")
}

fn no_object(line: &[u8], error: &serde_json::Error) -> String {
    format!(
        "{} is no JSON object (column {})",
        excerpt(line),
        error.column()
    )
}

/// A number, or a date of RFC 3339.
fn timestamp(time: &Scalar<'_>, unit: Unit) -> Result<Timestamp, String> {
    let text = time.text();
    decimal::time(text.as_bytes(), unit).or_else(|why| {
        let date = DateTime::parse_from_rfc3339(text.trim()).ok();
        let nanos = date.and_then(|date| u64::try_from(date.timestamp_nanos_opt()?).ok());
        nanos.map(Timestamp::from_nanos).ok_or(why)
    })
}

/// A value that is no object, no list, no truth value and not null.
#[derive(Debug)]
enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(String),
}

impl Scalar<'_> {
    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Number(number) => Cow::Borrowed(number),
        }
    }
}

/// The fields of a line that are wanted; of fields with one name the last.
#[derive(Debug, Default)]
struct Found<'a> {
    time: Option<Scalar<'a>>,
    key: Option<Scalar<'a>>,
    size: Option<Scalar<'a>>,
    method: Option<Scalar<'a>>,
    status: Option<Scalar<'a>>,
}

/// Reads the wanted fields of an object, and passes over all others.
struct Wanted<'a>(&'a Fields);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut found = Found::default();
        while let Some(name) = map.next_key_seed(Value)? {
            let name = match &name {
                Some(Scalar::Text(name)) => &**name,
                _ => return Err(M::Error::custom("a name is a text")),
            };
            let place = if name == self.0.time {
                &mut found.time
            } else if name == self.0.key {
                &mut found.key
            } else if name == self.0.size {
                &mut found.size
            } else if name == "method" {
                &mut found.method
            } else if name == "status" {
                &mut found.status
            } else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            *place = map.next_value_seed(Value)?;
        }
        Ok(found)
    }
}

/// Reads any value, and keeps it if it is a text or a number.
struct Value;

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Option<Scalar<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Option<Scalar<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Number(number.to_string())))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Number(number.to_string())))
    }

    /// The shortest number that reads back as the same value has the digits of the line, up to 15 of them.
    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Number(number.to_string())))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<S: serde::de::SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> JsonLines {
        JsonLines::new(Fields::default(), Unit::Milliseconds)
    }

    #[test]
    fn a_line_of_an_edge_is_a_request() {
        let line = br#"{"at_unix_ms":1700000000123,"edge":"edge-1","method":"GET","path":"/live/demo/720p/7.ts","status":200,"result":"hit","bytes":17,"head_ms":0.25}"#;
        let request = Request {
            time: Timestamp::from_nanos(1_700_000_000_123_000_000),
            key: b"/live/demo/720p/7.ts",
            size: 17,
        };
        assert_eq!(ours().parse(line), Ok(Parsed::Request(request)));
    }

    #[test]
    fn other_names_other_units_and_dates() {
        let fields = Fields {
            time: "ts".to_owned(),
            key: "uri".to_owned(),
            size: "n".to_owned(),
        };
        let nanos = 1_700_000_000_123_000_000;
        for (line, nanos, key) in [
            (r#"{"n":1,"uri":"/a","ts":1700000000.123}"#, nanos, "/a"),
            (r#"{"n":"1","uri":"/a","ts":"1700000000.123"}"#, nanos, "/a"),
            (
                r#"{"n":1,"uri":"/a","ts":"2023-11-14T22:13:20.123Z"}"#,
                nanos,
                "/a",
            ),
            (
                r#"{"n":1,"uri":"/a","ts":"2023-11-14T23:13:20.123+01:00"}"#,
                nanos,
                "/a",
            ),
            (r#"{"n":1,"uri":"/\u00e4\"","ts":0.3}"#, 300_000_000, "/ä\""),
            (
                r#"{"n":1,"uri":17,"ts":1,"x":[{"ts":9}],"y":null}"#,
                1_000_000_000,
                "17",
            ),
            (r#"{"ts":1,"n":1,"uri":"/a","ts":2}"#, 2_000_000_000, "/a"),
        ] {
            let mut json = JsonLines::new(fields.clone(), Unit::Seconds);
            let request = Request {
                time: Timestamp::from_nanos(nanos),
                key: key.as_bytes(),
                size: 1,
            };
            assert_eq!(
                json.parse(line.as_bytes()),
                Ok(Parsed::Request(request)),
                "{line}"
            );
        }
    }

    #[test]
    fn the_rules_of_server_logs_hold_where_method_and_status_are_told() {
        for (more, parsed) in [
            (r#""method":"HEAD""#, Parsed::NotGet),
            (r#""method":"GET","status":404"#, Parsed::OtherStatus),
            (r#""status":"503""#, Parsed::OtherStatus),
        ] {
            let line = format!("{{\"at_unix_ms\":1,\"path\":\"/a\",\"bytes\":1,{more}}}");
            assert_eq!(ours().parse(line.as_bytes()), Ok(parsed), "{line}");
        }
    }

    #[test]
    fn bad_json_lines() {
        for (line, why) in [
            ("{", "is no JSON object"),
            ("[1]", "is no JSON object"),
            ("17", "is no JSON object"),
            ("{} x", "is no JSON object"),
            ("{1:2}", "is no JSON object"),
            ("{}", "no field \"at_unix_ms\""),
            (r#"{"at_unix_ms":null}"#, "no field \"at_unix_ms\""),
            (r#"{"at_unix_ms":1,"bytes":1}"#, "--key-field"),
            (r#"{"at_unix_ms":1,"path":[],"bytes":1}"#, "--key-field"),
            (r#"{"at_unix_ms":1,"path":"/a"}"#, "--size-field"),
            (
                r#"{"at_unix_ms":1,"path":"","bytes":1}"#,
                "the key is empty",
            ),
            (
                r#"{"at_unix_ms":1,"path":"/a","bytes":-1}"#,
                "the size \"-1\"",
            ),
            (r#"{"at_unix_ms":-1,"path":"/a","bytes":1}"#, "is below 0"),
            (
                r#"{"at_unix_ms":"now","path":"/a","bytes":1}"#,
                "is no number",
            ),
            (
                r#"{"at_unix_ms":1e300,"path":"/a","bytes":1}"#,
                "is later than",
            ),
        ] {
            let said = ours().parse(line.as_bytes()).unwrap_err();
            assert!(said.contains(why), "{line}: {said}");
        }
    }

    #[test]
    fn deep_nesting_is_a_bad_line() {
        let line = "{\"a\":".repeat(100_000);
        assert!(ours().parse(line.as_bytes()).is_err());
    }
}

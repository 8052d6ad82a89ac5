//! Variables of playlists (EXT-X-DEFINE): values that stand in place of `{$name}` in the lines that follow.

use std::borrow::Cow;
use std::collections::HashMap;

/// The longest line once values stand in it, in bytes.
const FILLED_BYTES_MAX: usize = 16 << 20;

/// The variables that are known so far in a playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    values: HashMap<String, String>,
}

impl Variables {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Reads the attributes of one EXT-X-DEFINE: `NAME` and `VALUE`, or `IMPORT` from `imported`, or `QUERYPARAM` from the
    /// playlist's own address. `None` if it names something that does not exist.
    pub(super) fn define(
        &mut self,
        attributes: &str,
        imported: &Self,
        query: &[(String, String)],
    ) -> Option<()> {
        let attributes = attributes_of(attributes);
        let attribute = |name: &str| attributes.get(name).copied();
        let (name, value) = if let Some(name) = attribute("NAME") {
            (name, attribute("VALUE")?)
        } else if let Some(name) = attribute("IMPORT") {
            (name, imported.values.get(name)?.as_str())
        } else {
            let name = attribute("QUERYPARAM")?;
            let (_, value) = query.iter().find(|(known, _)| known == name)?;
            (name, value.as_str())
        };
        self.values.insert(name.to_owned(), value.to_owned());
        Some(())
    }

    /// The line with values in place of variables. `None` if one is not defined, or if the line becomes absurdly long.
    pub(super) fn put_into<'a>(&self, line: &'a str) -> Option<Cow<'a, str>> {
        if !line.contains("{$") {
            return Some(line.into());
        }
        let mut filled = String::with_capacity(line.len());
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("{$") {
            filled.push_str(before);
            let (name, after) = after.split_once('}')?;
            filled.push_str(self.values.get(name)?);
            if filled.len() > FILLED_BYTES_MAX {
                return None;
            }
            rest = after;
        }
        filled.push_str(rest);
        Some(filled.into())
    }
}

/// The value of one attribute in a list of them.
pub(super) fn attribute(attributes: &str, name: &str) -> Option<String> {
    let attributes = attributes_of(attributes);
    attributes.get(name).map(|value| (*value).to_owned())
}

/// An attribute list (RFC 8216bis, section 4.2): values without their quotes. A comma inside quotes is part of the value.
fn attributes_of(text: &str) -> HashMap<&str, &str> {
    let mut attributes = HashMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => match after.find(',') {
                Some(comma) => after.split_at(comma),
                None => (after, ""),
            },
        };
        attributes.insert(name.trim(), value);
        rest = after.trim_start_matches([',', ' ']);
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gets_its_values_and_an_unknown_name_is_noticed() {
        let mut variables = Variables::default();
        let query = [("token".to_owned(), "7/8".to_owned())];
        let none = Variables::default();
        for attributes in [
            "NAME=\"a\",VALUE=\"x,y=z\"",
            "NAME=\"empty\",VALUE=\"\"",
            "QUERYPARAM=\"token\"",
        ] {
            assert_eq!(variables.define(attributes, &none, &query), Some(()));
        }
        let filled = |line| variables.put_into(line).map(Cow::into_owned);
        assert_eq!(filled("no variable"), Some("no variable".to_owned()));
        assert_eq!(
            filled("/{$a}/{$token}{$empty}?{a}"),
            Some("/x,y=z/7/8?{a}".to_owned())
        );
        assert_eq!(filled("{$b}"), None);
        assert_eq!(filled("{$a"), None);
        for attributes in ["IMPORT=\"a\"", "QUERYPARAM=\"b\"", "NAME=\"b\"", ""] {
            assert_eq!(
                variables.clone().define(attributes, &none, &query),
                None,
                "{attributes}"
            );
        }
        let mut child = Variables::default();
        assert_eq!(child.define("IMPORT=\"a\"", &variables, &[]), Some(()));
        assert_eq!(child.put_into("{$a}").as_deref(), Some("x,y=z"));
    }
}

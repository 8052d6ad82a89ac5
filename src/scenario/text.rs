//! A scenario as TOML that explains itself: every key with its sentence and its range, and keys that are left out as comments.

use std::collections::BTreeSet;
use std::fmt::Write;

use toml::Value;

use super::keys::{self, Key, Range, TABLES, Table};
use super::model::Scenario;

/// Width of a line of comment.
const WIDTH: usize = 100;

/// The text of the scenario.
pub fn explained(scenario: &Scenario) -> String {
    // Only a seed beyond the numbers of TOML cannot be written; no checked scenario has one.
    let value = Value::try_from(scenario).unwrap_or(Value::Boolean(false));
    let mut text = String::new();
    let mut explained = BTreeSet::new();
    for table in TABLES {
        let places = keys::at(&value, table.path);
        if places.is_empty() {
            write_table(&mut text, table, None, &mut explained);
        }
        for place in places {
            write_table(&mut text, table, Some(place), &mut explained);
        }
    }
    text
}

/// Writes a table with its values, or as a comment if the scenario leaves it out.
fn write_table(
    text: &mut String,
    table: &Table,
    place: Option<&Value>,
    explained: &mut BTreeSet<&'static str>,
) {
    let off = if place.is_some() { "" } else { "# " };
    if !table.path.is_empty() {
        text.push('\n');
        let optional = if table.optional {
            " May be left out."
        } else {
            ""
        };
        comment(text, &format!("{}{optional}", table.says));
        let _ = match table.several {
            true => writeln!(text, "{off}[[{}]]", table.path),
            false => writeln!(text, "{off}[{}]", table.path),
        };
    }
    for key in table.keys {
        let value = place.and_then(|place| place.get(key.name));
        if table.repeats() {
            if let Some(value) = value.filter(|value| !is_default(key, value)) {
                let _ = writeln!(text, "{} = {value}", key.name);
            }
            continue;
        }
        // Once is enough: there may be several faults.
        let is_new = explained.insert(key.says);
        if is_new || key.forms.is_empty() {
            explain(text, key);
        }
        match value {
            Some(value) => drop(writeln!(text, "{} = {value}", key.name)),
            None => drop(writeln!(text, "# {} = {}", key.name, key.example)),
        }
    }
}

/// Whether the value says what holds anyway.
fn is_default(key: &Key, value: &Value) -> bool {
    let written = match value {
        Value::Float(number) => number.to_string(),
        value => value.to_string(),
    };
    key.left_out == Some(written.as_str())
}

/// What a key means, in comments above it.
fn explain(text: &mut String, key: &Key) {
    let mut said = key.says.to_owned();
    if key.range != Range::Any {
        let _ = write!(said, " {}.", capital(&key.range.to_string()));
    }
    if let Some(left_out) = key.left_out {
        let _ = write!(said, " If left out: {left_out}.");
    }
    if !key.forms.is_empty() {
        said.push_str(" One of:");
    }
    comment(text, &said);
    for (form, says) in key.forms {
        let _ = writeln!(text, "#   {form}");
        let _ = writeln!(text, "#       {says}");
    }
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// Writes a comment, with as many words in a line as fit.
fn comment(text: &mut String, said: &str) {
    let mut line = String::from("#");
    for word in said.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    #[test]
    fn an_explained_scenario_reads_back_as_it_was() {
        for scenario in scenario::built_in() {
            let text = explained(&scenario);
            let read = scenario::parse("explained.toml", &text);
            assert_eq!(
                read.unwrap_or_else(|error| panic!("{error}\n{text}")),
                scenario
            );
            for line in text.lines() {
                assert!(line.chars().count() <= 130, "{line}");
            }
        }
    }

    #[test]
    fn every_example_and_every_form_is_valid() {
        let mut usual = scenario::find("celebrity-live").unwrap();
        // The table of bursts needs the table around it.
        usual.sim.as_mut().unwrap().likes = usual.real.likes.clone();
        let usual = toml::Table::try_from(usual).unwrap();
        for table in TABLES {
            for key in table.keys {
                let forms = key.forms.iter().map(|(form, _)| *form);
                for example in forms.chain([key.example]) {
                    let mut text = String::new();
                    for other in table.keys.iter().filter(|other| other.name != key.name) {
                        if other.left_out.is_none() {
                            text += &format!("{} = {}\n", other.name, other.example);
                        }
                    }
                    text += &format!("{} = {example}\n", key.name);
                    let inner: toml::Table = toml::from_str(&text).unwrap();
                    let mut whole = usual.clone();
                    put(&mut whole, table, inner);
                    let text = toml::to_string(&whole).unwrap();
                    let read: Result<Scenario, _> = toml::from_str(&text);
                    assert!(read.is_ok(), "{} = {example}: {read:?}", key.path(table));
                }
            }
        }
    }

    /// Lays the keys over the table at its path.
    fn put(whole: &mut toml::Table, table: &Table, inner: toml::Table) {
        let names: Vec<_> = table
            .path
            .split('.')
            .filter(|name| !name.is_empty())
            .collect();
        let mut place = whole;
        for (nth, name) in names.iter().enumerate() {
            let is_last = nth + 1 == names.len();
            if is_last && table.several {
                place.insert((*name).to_owned(), Value::Array(vec![inner.into()]));
                return;
            }
            let next = place.entry(*name).or_insert(toml::Table::new().into());
            place = next.as_table_mut().unwrap();
        }
        place.extend(inner);
    }

    #[test]
    fn every_key_that_is_read_is_in_the_table() {
        let usual = toml::Table::try_from(scenario::find("celebrity-live").unwrap()).unwrap();
        for table in TABLES {
            let mut inner = toml::Table::new();
            for key in table.keys.iter().filter(|key| key.left_out.is_none()) {
                let line: toml::Table = toml::from_str(&format!("x = {}", key.example)).unwrap();
                inner.insert(key.name.to_owned(), line["x"].clone());
            }
            inner.insert("zzz".to_owned(), 1.into());
            let mut whole = usual.clone();
            put(&mut whole, table, inner);
            let text = toml::to_string(&whole).unwrap();
            let error = toml::from_str::<Scenario>(&text).unwrap_err().to_string();
            let (_, expected) = error
                .split_once("expected one of ")
                .or_else(|| error.split_once("expected "))
                .unwrap_or_else(|| panic!("{}: {error}", table.path));
            let expected = expected.lines().next().unwrap();
            let expected: BTreeSet<_> = expected
                .split(['`', ',', ' '])
                .filter(|name| !name.is_empty() && *name != "or")
                .collect();
            let keys = table.keys.iter().map(|key| key.name);
            let below = TABLES.iter().filter_map(|other| {
                let rest = match table.path {
                    "" => other.path,
                    path => other.path.strip_prefix(path)?.strip_prefix('.')?,
                };
                (!rest.is_empty() && !rest.contains('.')).then_some(rest)
            });
            let known: BTreeSet<_> = keys.chain(below).collect();
            let missing: Vec<_> = expected.difference(&known).collect();
            // Thresholds may hold these two at the top alone; the reader of tables does not say so.
            let inner_tables =
                table.path.starts_with("real.thresholds.") || table.path == "sim.thresholds";
            assert!(
                missing.is_empty() || inner_tables && missing == [&"flights", &"off"],
                "[{}] lacks {missing:?}",
                table.path
            );
        }
    }

    #[test]
    fn the_reference_has_every_key() {
        let manual = include_str!("../../docs/scenarios.md");
        let mut missing = Vec::new();
        for table in TABLES.iter().filter(|table| !table.repeats()) {
            for key in table.keys {
                let row = row(table, key);
                if !manual.contains(&row) {
                    missing.push(row);
                }
            }
        }
        assert!(
            missing.is_empty(),
            "docs/scenarios.md lacks:\n{}",
            missing.join("\n")
        );
    }

    /// The line of the reference.
    fn row(table: &Table, key: &Key) -> String {
        let mut range = key.range.to_string().replace('"', "`");
        if !key.forms.is_empty() {
            let forms = key.forms.iter().map(|(form, _)| format!("`{form}`"));
            range = forms.collect::<Vec<_>>().join(" or ");
        }
        if key.range == Range::Any && key.forms.is_empty() {
            range = "true or false".to_owned();
        }
        let left_out = key.left_out.unwrap_or("must be there");
        format!(
            "| `{}` | {} | {range} | {left_out} |",
            key.path(table),
            key.says
        )
    }
}

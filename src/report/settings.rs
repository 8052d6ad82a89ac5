//! What was set for a run, as names and values for a reader.

use serde::{Deserialize, Serialize};

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name, in a word or two.
    pub name: String,
    /// Its value, with the unit.
    pub value: String,
}

impl Setting {
    /// A setting with this name.
    pub fn new(name: &str, value: impl ToString) -> Self {
        Self {
            name: name.to_owned(),
            value: value.to_string(),
        }
    }
}

/// All settings in one line.
pub(super) fn line(settings: &[Setting]) -> String {
    let named = settings
        .iter()
        .map(|setting| format!("{} {}", setting.name, setting.value));
    named.collect::<Vec<_>>().join(" · ")
}

/// The settings that all runs share.
pub(super) fn shared(runs: &[&[Setting]]) -> Vec<Setting> {
    let [first, others @ ..] = runs else {
        return Vec::new();
    };
    let in_all = |setting: &&Setting| others.iter().all(|run| run.contains(setting));
    first.iter().filter(in_all).cloned().collect()
}

/// The settings that differ, each with its name and both values. A setting that only one side has is left out.
pub(super) fn differences(a: &[Setting], b: &[Setting]) -> Vec<String> {
    let value_in_b = |name: &str| b.iter().find(|other| other.name == name);
    let differing = a.iter().filter_map(|setting| {
        let other = value_in_b(&setting.name)?;
        (other.value != setting.value).then(|| {
            format!(
                "{}: {} in A, {} in B",
                setting.name, setting.value, other.value
            )
        })
    });
    differing.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_one_line_and_differences_are_named() {
        let a = [Setting::new("edges", 3), Setting::new("origin slots", 8)];
        let b = [
            Setting::new("edges", 3),
            Setting::new("origin slots", "none"),
        ];
        assert_eq!(line(&a), "edges 3 · origin slots 8");
        assert_eq!(differences(&a, &b), ["origin slots: 8 in A, none in B"]);
        assert!(differences(&a, &[]).is_empty());
    }
}

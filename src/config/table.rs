//! Tables of keys: each key is declared once, with its type, its default, its rule and one sentence.
//!
//! From a table come the struct that a file is read into, the defaults, the check of every value, and the rows of the
//! reference. [`keys`](super::keys) holds the tables.

use std::fmt::Display;
use std::ops::{RangeFrom, RangeInclusive};

use serde::Serialize;

use super::redacted;
use crate::policy::limits::OutOfRange;
pub(super) use crate::policy::limits::Row;

/// The values that a key may have.
pub(super) trait Rule<T: Serialize> {
    /// Whether this is one of them.
    fn holds(&self, value: &T) -> bool;

    /// All of them, in words that follow "must be".
    fn words(&self) -> String;

    /// A refused value, as the message shows it.
    fn shown(&self, value: &T) -> String {
        written(value).unwrap_or_default()
    }
}

impl<T: PartialOrd + Display + Serialize> Rule<T> for RangeInclusive<T> {
    fn holds(&self, value: &T) -> bool {
        self.contains(value)
    }

    fn words(&self) -> String {
        format!("{} to {}", self.start(), self.end())
    }
}

impl<T: PartialOrd + Display + Serialize> Rule<T> for RangeFrom<T> {
    fn holds(&self, value: &T) -> bool {
        self.contains(value)
    }

    fn words(&self) -> String {
        format!("at least {}", self.start)
    }
}

/// A predicate, and its words.
pub(super) struct Such<T>(pub(super) fn(&T) -> bool, pub(super) &'static str);

impl<T: Serialize> Rule<T> for Such<T> {
    fn holds(&self, value: &T) -> bool {
        self.0(value)
    }

    fn words(&self) -> String {
        self.1.to_owned()
    }
}

/// A rule, with the unit of its numbers.
pub(super) struct Of<R>(pub(super) R, pub(super) &'static str);

impl<T: Serialize, R: Rule<T>> Rule<T> for Of<R> {
    fn holds(&self, value: &T) -> bool {
        self.0.holds(value)
    }

    fn words(&self) -> String {
        format!("{} {}", self.0.words(), self.1)
    }
}

/// URLs that may hold a password: a refused value is shown without it.
pub(super) struct Urls(pub(super) Such<Vec<String>>);

impl Rule<Vec<String>> for Urls {
    fn holds(&self, urls: &Vec<String>) -> bool {
        self.0.holds(urls)
    }

    fn words(&self) -> String {
        self.0.words()
    }

    fn shown(&self, urls: &Vec<String>) -> String {
        let shown: Vec<_> = urls.iter().map(|url| redacted::url(url)).collect();
        written(&shown).unwrap_or_default()
    }
}

/// A rule for a key that may be unset.
pub(super) struct IfSet<R>(pub(super) R);

impl<T: Serialize, R: Rule<T>> Rule<Option<T>> for IfSet<R> {
    fn holds(&self, value: &Option<T>) -> bool {
        value.as_ref().is_none_or(|value| self.0.holds(value))
    }

    fn words(&self) -> String {
        self.0.words()
    }
}

/// Refuses a value that breaks its rule.
pub(super) fn check<T: Serialize>(
    key: &'static str,
    value: &T,
    rule: &impl Rule<T>,
) -> Result<(), OutOfRange> {
    if rule.holds(value) {
        return Ok(());
    }
    Err(OutOfRange {
        key,
        found: rule.shown(value),
        range: rule.words(),
    })
}

/// A value as TOML; `None` for an unset one.
pub(super) fn written(value: &impl Serialize) -> Option<String> {
    let mut text = String::new();
    value
        .serialize(toml::ser::ValueSerializer::new(&mut text))
        .ok()?;
    Some(text)
}

/// Declares a table: `key: Type = default, rule;`. The rule may be left out. Tables inside stand behind `with`.
macro_rules! table {
    (
        $(#[doc = $about:literal])+
        $name:ident as $table:literal {
            $($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr $(, $rule:expr)?;)*
        }
        $(with { $($(#[doc = $inner_doc:literal])+ $inner:ident: $inner_type:ty;)* })?
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $key: $type,)*
            $($($(#[doc = $inner_doc])+ pub $inner: $inner_type,)*)?
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($key: $default,)*
                    $($($inner: <$inner_type>::default(),)*)?
                }
            }
        }

        impl $name {
            /// Checks each value of this table against its rule.
            ///
            /// # Errors
            /// The first key whose value breaks its rule.
            pub fn check(&self) -> Result<(), OutOfRange> {
                $($(table::check(concat!($table, ".", stringify!($key)), &self.$key, &$rule)?;)?)*
                Ok(())
            }

            /// Each key with its value as TOML; `None` for one that is unset.
            pub fn values(&self) -> Vec<(&'static str, Option<String>)> {
                vec![$((concat!($table, ".", stringify!($key)), table::written(&self.$key)),)*]
            }

            /// One row per key of this table.
            pub fn rows() -> Vec<table::Row> {
                let defaults = Self::default();
                vec![$(table::Row {
                    key: concat!($table, ".", stringify!($key)),
                    sentence: concat!($($doc),+).trim_ascii(),
                    default: table::written(&defaults.$key),
                    range: {
                        let words: [String; _] = [$(table::Rule::<$type>::words(&$rule))?];
                        words.concat()
                    },
                    live: false,
                },)*]
            }
        }
    };
}

pub(super) use table;

//! Number of shields in front of an origin, and number of groups.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Number of shields, written `GROUPSxN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shields {
    /// Number of groups (regions); each asks the origin for itself.
    pub groups: u32,
    /// Shields per group.
    pub per_group: u32,
}

impl FromStr for Shields {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (groups, per_group) = text.split_once('x')?;
            let (groups, per_group) = (groups.parse().ok()?, per_group.parse().ok()?);
            // The origin counts the hits of at most this many clients separately.
            let fits = groups > 0 && per_group > 0 && u32::saturating_mul(groups, per_group) <= 32;
            fits.then_some(Self { groups, per_group })
        };
        parse().ok_or_else(|| {
            format!("{text:?} is not GROUPSxN, such as 2x2: groups of shields and shields per group, at most 32 shields")
        })
    }
}

impl TryFrom<String> for Shields {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Shields> for String {
    fn from(shields: Shields) -> Self {
        shields.to_string()
    }
}

impl fmt::Display for Shields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.groups, self.per_group)
    }
}

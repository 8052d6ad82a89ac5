//! A component with the address of its admin listener: what Prometheus and `seawall top` watch.

use std::str::FromStr;

use http::uri::Authority;
use serde::{Deserialize, Serialize};

use crate::hls::names;

/// What a component is there for; the value of the label `component`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Viewers ask it.
    #[default]
    Edge,
    /// Edges ask it.
    Shield,
    /// It keeps the stream.
    Origin,
    /// It simulates viewers.
    Audience,
}

impl Role {
    /// Every word.
    pub const ALL: [Self; 4] = [Self::Edge, Self::Shield, Self::Origin, Self::Audience];

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Shield => "shield",
            Self::Origin => "origin",
            Self::Audience => "audience",
        }
    }
}

/// A component with the address of its admin listener; written `COMPONENT/NAME=HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    /// Its role.
    pub role: Role,
    /// Its name; the value of the label `name`.
    pub name: String,
    /// `HOST:PORT`.
    pub address: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (component, address) = text.split_once('=')?;
            let (role, name) = component.split_once('/')?;
            let role = Role::ALL.into_iter().find(|known| known.word() == role)?;
            let authority: Authority = address.parse().ok()?;
            let fits = names::is_name(name) && authority.port().is_some() && !address.contains('@');
            fits.then(|| Self {
                role,
                name: name.to_owned(),
                address: address.to_owned(),
            })
        };
        parse().ok_or_else(|| {
            format!(
                "{text:?} is not COMPONENT/NAME=HOST:PORT, such as edge/edge-1=127.0.0.1:9081; a component is one of {}",
                Role::ALL.map(Role::word).join(", ")
            )
        })
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        format!("{}/{}={}", target.role.word(), target.name, target.address)
    }
}

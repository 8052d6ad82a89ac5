//! The components to watch, as Prometheus takes them from `http_sd_configs`: a JSON array of addresses and labels.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use http::HeaderMap;
use http::header::HOST;
use http::uri::Authority;
use serde::{Deserialize, Serialize};

use crate::config::target::{Role, Target};

/// One element of the array that Prometheus reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// One address.
    pub targets: Vec<String>,
    /// Labels that no metric of Seawall has by itself.
    pub labels: Labels,
}

/// The labels that Prometheus adds to those of each metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// The component's role.
    #[serde(alias = "room")]
    pub component: Role,
    /// The component's name.
    pub name: String,
}

/// The components that are known; copies share them.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<RwLock<Vec<Target>>>);

impl Directory {
    /// A directory of components that other processes run.
    pub fn of(further: Vec<Target>) -> Self {
        Self(Arc::new(RwLock::new(further)))
    }

    /// Adds a component for good. It replaces a component of the same role and name.
    pub fn learn(&self, target: Target) {
        let mut known = self.write();
        known.retain(|other| (other.role, &other.name) != (target.role, &target.name));
        known.push(target);
        known.sort_unstable();
    }

    /// Adds a component for as long as the return value lives.
    pub fn list(&self, role: Role, name: &str, address: SocketAddr) -> DirectoryEntry {
        let target = Target {
            role,
            name: name.to_owned(),
            address: address.to_string(),
        };
        self.learn(target.clone());
        DirectoryEntry {
            directory: self.clone(),
            target,
        }
    }

    /// All components, for a reader who has sent these headers. If a component listens on every address of its machine,
    /// the reader gets the host by which it reached this listener.
    pub fn groups(&self, request: &HeaderMap) -> Vec<Group> {
        let asked = request
            .get(HOST)
            .and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
        let reachable = |address: &str| match (address.parse::<SocketAddr>(), &asked) {
            (Ok(bound), Some(asked)) if bound.ip().is_unspecified() => {
                format!("{}:{}", asked.host(), bound.port())
            }
            _ => address.to_owned(),
        };
        let group = |target: &Target| Group {
            targets: vec![reachable(&target.address)],
            labels: Labels {
                component: target.role,
                name: target.name.clone(),
            },
        };
        self.read().iter().map(group).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Target>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Target>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A component in a directory; dropping this takes the component out.
#[derive(Debug)]
pub struct DirectoryEntry {
    directory: Directory,
    target: Target,
}

impl Drop for DirectoryEntry {
    fn drop(&mut self) {
        self.directory.write().retain(|other| *other != self.target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(directory: &Directory, host: &'static str) -> String {
        let request = HeaderMap::from_iter([(HOST, http::HeaderValue::from_static(host))]);
        serde_json::to_string(&directory.groups(&request)).unwrap()
    }

    #[test]
    fn targets_are_written_room_name_and_address() {
        let text = "edge/edge-1=127.0.0.1:9081";
        let target: Target = text.parse().unwrap();
        assert_eq!((target.role, target.name.as_str()), (Role::Edge, "edge-1"));
        assert_eq!(String::from(target), text);
        for wrong in [
            "",
            "127.0.0.1:9081",
            "edge-1=127.0.0.1:9081",
            "moon/edge-1=127.0.0.1:9081",
            "edge/=127.0.0.1:9081",
            "edge/e=127.0.0.1",
            "edge/e=http://127.0.0.1:9081",
            "edge/e=user@host:1",
        ] {
            let refused = wrong.parse::<Target>().unwrap_err();
            assert!(refused.contains("edge/edge-1=127.0.0.1:9081"), "{refused}");
        }
    }

    #[test]
    fn a_room_is_found_while_it_is_there() {
        let directory = Directory::of(vec!["shield/s=10.0.0.2:9281".parse().unwrap()]);
        let listed = directory.list(Role::Edge, "edge-1", "127.0.0.1:9081".parse().unwrap());
        assert_eq!(
            groups(&directory, "127.0.0.1:9000"),
            r#"[{"targets":["127.0.0.1:9081"],"labels":{"component":"edge","name":"edge-1"}},{"targets":["10.0.0.2:9281"],"labels":{"component":"shield","name":"s"}}]"#
        );
        drop(listed);
        assert_eq!(directory.groups(&HeaderMap::new()).len(), 1);
    }

    #[test]
    fn a_room_that_comes_back_elsewhere_is_listed_once() {
        let directory = Directory::default();
        let before = directory.list(Role::Edge, "e", "127.0.0.1:1".parse().unwrap());
        let _now = directory.list(Role::Edge, "e", "127.0.0.1:2".parse().unwrap());
        drop(before);
        let found = directory.groups(&HeaderMap::new());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].targets, ["127.0.0.1:2"]);
    }

    #[test]
    fn who_listens_everywhere_is_found_where_it_was_asked() {
        let directory = Directory::default();
        let _entry = directory.list(Role::Origin, "origin", "0.0.0.0:9000".parse().unwrap());
        assert!(groups(&directory, "media.example:9000").contains("[\"media.example:9000\"]"));
        assert!(groups(&directory, "10.1.2.3").contains("[\"10.1.2.3:9000\"]"));
    }
}

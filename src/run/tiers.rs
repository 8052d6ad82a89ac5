//! Edges in front of an origin, with shields between them if there are any. They are opened and stopped together.
//!
//! Shields form groups. An edge has one home group and asks its shields; each key belongs to one shield of the group. So the
//! origin gets one request per object and group, for any number of edges.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::config::shields::Shields;
use crate::config::target::Role;
use crate::policy::status::MissQueue;
use crate::report::counts::Askers;
use crate::run::compose;
use crate::serve::admin::Admin;
use crate::serve::clock::Clock;
use crate::serve::components::{self, Doors, EdgeComponent};
use crate::serve::discovery::Directory;
use crate::serve::edge;
use crate::serve::workers::Workers;

/// Edges, and the shields that they ask.
#[derive(Debug)]
pub struct Tiers {
    /// The edges, which viewers ask.
    pub edges: Vec<EdgeComponent>,
    /// The shields, which edges ask, group by group; empty where edges ask the origin.
    pub shields: Vec<EdgeComponent>,
    layout: Option<Shields>,
}

/// The settings of tiers.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The configuration of all edges and shields.
    pub config: &'a Config,
    /// The origin's URL.
    pub origin: String,
    /// Prefix of the edges' names.
    pub name: &'a str,
    /// Number of edges.
    pub edges: u32,
    /// The shields before the origin, if any.
    pub shields: Option<Shields>,
    /// How misses are handled, in every tier.
    pub miss_queue: MissQueue,
    /// Where edges and shields are listed for discovery.
    pub directory: Directory,
    /// Where the first edge listens.
    pub edge_doors: Doors,
    /// Where the first shield listens.
    pub shield_doors: Doors,
}

impl Tiers {
    /// Opens the tiers with cold caches.
    ///
    /// # Errors
    /// A port is taken.
    pub fn open(plan: &Plan<'_>, clock: Clock) -> anyhow::Result<Self> {
        let shield_count = plan
            .shields
            .map_or(0, |shields| shields.groups * shields.per_group);
        let components = (plan.edges + shield_count) as usize;
        let connections = components::connections_max(plan.config.edge.connections_max, components);
        let admin = compose::admin(plan.config, plan.directory.clone());
        let open = |name: String, role, upstreams, prefetch, doors: Doors| {
            let setup = edge::EdgeConfig {
                miss_queue: plan.miss_queue,
                prefetch,
                ..compose::edge_config(plan.config, name, upstreams)
            };
            EdgeComponent::open(
                setup,
                doors,
                Admin {
                    role,
                    ..admin.clone()
                },
                connections,
                Workers::Here,
                clock,
            )
        };
        let mut shields = Vec::new();
        for index in 0..shield_count {
            let per_group = plan.shields.map_or(1, |shields| shields.per_group);
            let (group, member) = (index / per_group + 1, index % per_group + 1);
            // A shield does not prefetch. It sees a playlist or its segments, not both, so it would prefetch segments that
            // viewers ask of its neighbour.
            let name = match plan.name {
                "edge" => format!("shield-{group}-{member}"),
                other => format!("{other}-shield-{group}-{member}"),
            };
            let doors = plan.shield_doors.nth(index as u16);
            let upstreams = vec![plan.origin.clone()];
            shields.push(open(name, Role::Shield, upstreams, false, doors)?);
        }
        let mut edges = Vec::new();
        for index in 0..plan.edges {
            let upstreams = match plan.shields {
                None => vec![plan.origin.clone()],
                Some(layout) => {
                    let home = (index % layout.groups * layout.per_group) as usize;
                    let group = &shields[home..home + layout.per_group as usize];
                    group.iter().map(EdgeComponent::url).collect()
                }
            };
            let name = format!("{}-{}", plan.name, index + 1);
            let doors = plan.edge_doors.nth(index as u16);
            let prefetch = plan.config.edge.prefetch;
            edges.push(open(name, Role::Edge, upstreams, prefetch, doors)?);
        }
        Ok(Self {
            edges,
            shields,
            layout: plan.shields,
        })
    }

    /// The servers that ask the origin.
    pub fn last(&self) -> &[EdgeComponent] {
        if self.shields.is_empty() {
            &self.edges
        } else {
            &self.shields
        }
    }

    /// Which client asks the origin for which edge.
    pub fn askers(&self) -> Askers {
        let name = |component: &EdgeComponent| component.edge.name().to_owned();
        let Some(layout) = self.layout else {
            return Askers::edges(self.edges.iter().map(name));
        };
        let groups = (0..).map(|index: u32| index / layout.per_group);
        Askers {
            group_of_edge: (0..self.edges.len() as u32)
                .map(|index| index % layout.groups)
                .collect(),
            shielded: true,
            group_of_client: self
                .shields
                .iter()
                .map(name)
                .zip(groups)
                .collect::<BTreeMap<_, _>>(),
        }
    }

    /// Stops the servers, first those that viewers ask.
    pub async fn stop(&self) {
        for tier in [&self.edges, &self.shields] {
            futures_util::future::join_all(tier.iter().map(|component| component.listeners.stop()))
                .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shields_are_written_groups_by_number() {
        let two = Shields {
            groups: 2,
            per_group: 3,
        };
        assert_eq!("2x3".parse(), Ok(two));
        assert_eq!(two.to_string(), "2x3");
        for text in ["", "2", "x2", "0x1", "2x0", "17x2", "2x2x2", "-1x2"] {
            assert!(text.parse::<Shields>().is_err(), "{text:?}");
        }
    }
}

//! What breaks in a scenario: a plan written down, or what to draw one from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unplug_sim::fault::Plan;

use crate::topology::Role;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// What breaks: the same for every seed, or drawn from the seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Faults {
    /// Exactly this.
    Plan(Plan),
    /// A plan drawn from the seed, within what the engine promises to survive.
    Generate(Box<Generate>),
}

/// Out of what a plan is drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Generate {
    /// No fault waits or happens before this time…
    pub from_ns: u64,
    /// …and none begins to wait at or after this one.
    pub until_ns: u64,
    /// How often something breaks, both ends included; a kill with its power loss is once.
    pub count: (u32, u32),
    /// The weights of the classes.
    pub classes: Classes,
    /// Whether each seed leaves out about half of the classes: faults that mask each other, or
    /// that need many of their own kind, then come up too.
    pub swarm: bool,
    /// Whose nodes the faults of single nodes strike.
    pub roles: Vec<Role>,
    /// How many of the stores may lose a disk or have one damaged, at least one: a minority, the
    /// same ones in a whole plan.
    pub stores_harmed: u32,
    /// How long power or process stays away.
    pub down_ns: (u64, u64),
    /// How often a fault follows as soon as the nodes of the one before are back.
    pub during_recovery: (u32, u32),
    /// How long a process stands still.
    pub pause_ns: (u64, u64),
    /// How many times slower a CPU gets: the low end, or twice it, or four times it, and so on.
    pub throttle_factor: (u32, u32),
    /// For how long.
    pub throttle_ns: (u64, u64),
    /// How long a cut in the network lasts.
    pub partition_ns: (u64, u64),
    /// How long a disk is full, slow, or stands still.
    pub disk_trouble_ns: (u64, u64),
    /// How many times slower a disk gets, as `throttle_factor`.
    pub slow_disk_factor: (u32, u32),
    /// By how much wall clocks are set, forward or back; each order of magnitude is as likely.
    pub clock_step_ns: (u64, u64),
}

/// The weights of the fault classes: how often each, relative to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Classes {
    /// The whole data centre loses power.
    pub data_centre_power_loss: u32,
    /// One node loses power.
    pub node_power_loss: u32,
    /// The process of one node is killed.
    pub node_kill: u32,
    /// A process is killed, and soon after its node loses power: what a boot finds in the page
    /// cache must be made durable before it is trusted.
    pub kill_then_power_loss: u32,
    /// A process stands still and goes on later: mostly a driver, which comes back a zombie.
    pub pause: u32,
    /// A CPU gets slower: mostly an executor's, which becomes a straggler.
    pub throttle: u32,
    /// Datagrams between two groups of nodes vanish.
    pub partition: u32,
    /// They vanish in one direction.
    pub one_way_partition: u32,
    /// Wall clocks are set.
    pub clock_step: u32,
    /// The disk of one store is lost for good.
    pub store_disk_loss: u32,
    /// What that same store keeps is damaged: a bit turns over, a sector cannot be read, or a read
    /// or a write goes to a wrong place or nowhere.
    pub store_media: u32,
    /// What the broker or a sink keeps is damaged in such a way, and soon after it loses power.
    /// There is no other copy: only where something must be caught.
    pub sole_copy_media: u32,
    /// A sync or a write fails, in one of the ways in which they do.
    pub disk_error: u32,
    /// A disk is full for a time.
    pub disk_full: u32,
    /// A disk is slow, or stands still, for a time.
    pub slow_disk: u32,
}

impl Default for Faults {
    fn default() -> Self {
        Self::Generate(Box::default())
    }
}

impl Default for Generate {
    fn default() -> Self {
        Self {
            from_ns: SECOND,
            until_ns: 20 * SECOND,
            count: (6, 12),
            classes: Classes {
                data_centre_power_loss: 1,
                node_power_loss: 1,
                node_kill: 1,
                ..Classes::default()
            },
            swarm: false,
            roles: Role::ALL.to_vec(),
            stores_harmed: 1,
            down_ns: (50 * MS, 2 * SECOND),
            during_recovery: (1, 3),
            pause_ns: (300 * MS, 6 * SECOND),
            throttle_factor: (2, 1_000),
            throttle_ns: (SECOND, 6 * SECOND),
            partition_ns: (200 * MS, 4 * SECOND),
            disk_trouble_ns: (100 * MS, 4 * SECOND),
            slow_disk_factor: (2, 128),
            clock_step_ns: (MS, 3_600 * SECOND),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_are_not_named_have_no_weight() {
        let text = r#"{"name": "k", "faults": {"generate": {"classes": {"node_kill": 2}}}}"#;
        let scenario = crate::scenario::Scenario::parse("x", text).expect("parses");
        let Faults::Generate(generate) = scenario.faults else { panic!("not a plan") };
        let only = Classes { node_kill: 2, ..Classes::default() };
        assert_eq!(generate.classes, only);
    }
}

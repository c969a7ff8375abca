//! The disks of a scenario's nodes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unplug_sim::{
    Ratio,
    disk::{Profile, SyncCovers},
    random::PlanStream,
};

use crate::{
    input::{Invalid, unknown},
    topology::Role,
};

/// What the profile is called that each seed draws.
pub const DRAWN: &str = "drawn";

/// The disks of the nodes in the data centre.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Disks {
    /// The name of a disk profile, or `drawn`: by each seed. A drive that lies is only under nodes
    /// that keep nothing they have to keep; under all others, disks are then `strict`.
    pub profile: String,
    /// How often an operation on an open file is short or interrupted.
    pub glitches: Ratio,
}

impl Default for Disks {
    fn default() -> Self {
        Self { profile: DRAWN.to_owned(), glitches: (1, 1000) }
    }
}

impl Disks {
    /// Checks the profile's name.
    ///
    /// # Errors
    /// There is none of that name: which there are.
    pub fn check(&self) -> Result<(), Invalid> {
        let known = Profile::ALL.iter().map(|profile| profile.name).chain([DRAWN]);
        if self.profile == DRAWN || Profile::named(&self.profile).is_some() {
            return Ok(());
        }
        Err(Invalid::at("disk.profile", unknown("disk profile", &self.profile, known)))
    }

    /// The profile of the disks of a run.
    #[must_use]
    pub fn profile(&self, seed: u64) -> Profile {
        Profile::named(&self.profile).unwrap_or_else(|| {
            let mut stream = PlanStream::of_plan(seed, "disk-profile");
            Profile::ALL[stream.index(Profile::ALL.len())]
        })
    }

    /// The profile of one node's disk.
    #[must_use]
    pub fn of(&self, role: Role, seed: u64) -> Profile {
        let profile = self.profile(seed);
        let keeps = match role {
            Role::Broker | Role::Store | Role::Sink => true,
            Role::Driver | Role::Executor | Role::Producer => false,
        };
        if keeps && profile.sync == SyncCovers::Nothing { Profile::strict() } else { profile }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_draw_every_profile_and_no_promise_stands_on_a_lying_drive() {
        let disks = Disks::default();
        for profile in Profile::ALL {
            let seed = (0..200).find(|seed| disks.profile(*seed) == profile);
            let seed = seed.expect("each is drawn soon");
            for role in [Role::Broker, Role::Store, Role::Sink] {
                assert_ne!(disks.of(role, seed), Profile::lying_drive());
            }
            assert_eq!(disks.of(Role::Executor, seed), profile);
        }
    }

    #[test]
    fn an_unknown_profile_is_told_what_there_is() {
        let disks = Disks { profile: "ext4-orderd".to_owned(), ..Disks::default() };
        let error = disks.check().expect_err("no such profile").to_string();
        assert!(error.contains("did you mean \"ext4-ordered\"?"), "{error}");
    }
}

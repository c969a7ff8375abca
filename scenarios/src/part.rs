//! A campaign as far as it was run: what `--resume` keeps, what a shard leaves, and what `merge`
//! joins.

use std::{fmt, ops::Range, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    failure::VERSION,
    input::Invalid,
    report::{FailureReport, Tally},
    scenario::Scenario,
    suite,
};

/// The version of the form.
pub const FORMAT: u32 = 1;

/// What a campaign is to run. Two parts of one campaign have the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The scenarios, whole, in their order.
    pub scenarios: Vec<Scenario>,
    /// The suite, if these are all of its scenarios, without defects: then it is asked what it
    /// reached.
    pub suite: Option<String>,
    /// The seeds of each scenario in one pass: from, up to.
    pub seeds: (u64, u64),
    /// One seed in so many is run twice.
    pub recheck_every: u64,
}

/// One of several machines' share of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// From 1.
    pub number: u64,
    /// How many there are.
    pub of: u64,
}

/// A campaign as far as it was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of the program that ran it.
    pub version: String,
    /// What is to be run.
    pub terms: Terms,
    /// Which share of it; all if none.
    pub shard: Option<Shard>,
    /// What was run, a tally for each scenario, from the first seed on without a gap.
    pub tallies: Vec<Tally>,
    /// The runs that failed.
    pub failures: Vec<FailureReport>,
}

impl Shard {
    /// Its seeds among these.
    ///
    /// # Panics
    /// If it is the 0th.
    #[must_use]
    pub fn seeds(self, (start, end): (u64, u64)) -> Range<u64> {
        let count = u128::from(end.saturating_sub(start));
        let cut = |shards: u64| {
            let share = count * u128::from(shards) / u128::from(self.of);
            start + u64::try_from(share).expect("at most the count")
        };
        cut(self.number - 1)..cut(self.number)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.parse::<u64>().ok();
        let shard = text
            .split_once('/')
            .and_then(|(number_, of)| Some(Self { number: number(number_)?, of: number(of)? }));
        match shard {
            None => Err("it must be I/N with two numbers, such as 1/4".to_owned()),
            Some(Self { number, of }) if !(1..=of).contains(&number) => {
                Err(format!("I must be 1 to N, as in 1/{}", of.max(1)))
            }
            Some(shard) => Ok(shard),
        }
    }
}

impl Part {
    /// Nothing yet.
    #[must_use]
    pub fn new(terms: Terms, shard: Option<Shard>) -> Self {
        let tallies = terms.scenarios.iter().map(Tally::new).collect();
        let version = VERSION.to_owned();
        Self { format: FORMAT, version, terms, shard, tallies, failures: Vec::new() }
    }

    /// The seeds of each scenario in the first pass.
    #[must_use]
    pub fn seeds(&self) -> Range<u64> {
        let all = self.terms.seeds;
        self.shard.map_or(all.0..all.1, |shard| shard.seeds(all))
    }

    /// Whether each scenario was run with all of these seeds.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let Range { start, end } = self.seeds();
        self.tallies.iter().all(|tally| tally.seeds() >= end - start)
    }

    /// Checks that it can be used here.
    ///
    /// # Errors
    /// If it is of another version, or does not hang together.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.format != FORMAT || self.version != VERSION {
            let (format, version) = (self.format, &self.version);
            return Err(Invalid::new(format!(
                "it is of unplug {version}, format {format}; this is unplug {VERSION}, format {FORMAT}"
            )));
        }
        for scenario in &self.terms.scenarios {
            scenario.check().map_err(|error| error.within("terms.scenarios"))?;
        }
        if let Some(name) = &self.terms.suite {
            suite::named(name).map_err(|error| error.within("terms.suite"))?;
        }
        let shard = self.shard.is_none_or(|shard| (1..=shard.of).contains(&shard.number));
        let names = self.tallies.iter().map(Tally::name);
        if !names.eq(self.terms.scenarios.iter().map(|one| one.name.as_str()))
            || self.terms.seeds.0 >= self.terms.seeds.1
            || self.terms.recheck_every == 0
            || !shard
        {
            return Err(Invalid::new("it does not hang together: was it edited?"));
        }
        Ok(())
    }

    /// Checks that it is of the campaign that is to be run.
    ///
    /// # Errors
    /// What differs.
    pub fn check_same(&self, terms: &Terms, shard: Option<Shard>) -> Result<(), Invalid> {
        let what = if self.terms.scenarios != terms.scenarios || self.terms.suite != terms.suite {
            "other scenarios".to_owned()
        } else if self.terms.seeds != terms.seeds {
            format!("the seeds {}..{}", self.terms.seeds.0, self.terms.seeds.1)
        } else if self.terms.recheck_every != terms.recheck_every {
            "another share of seeds that run twice".to_owned()
        } else if self.shard != shard {
            self.shard.map_or("no shard".to_owned(), |shard| format!("shard {shard}"))
        } else {
            return Ok(());
        };
        Err(Invalid::new(format!("it is of another campaign: it has {what}")))
    }
}

/// Joins the shards of one campaign, given with what to call each.
///
/// # Errors
/// If they are not all of one campaign, if one is missing or there twice, or if one is not complete.
pub fn merge(parts: Vec<(String, Part)>) -> Result<Part, Invalid> {
    let mut parts = parts;
    let place = |part: &Part| part.shard.map_or(0, |shard| shard.number);
    for (name, part) in &parts {
        part.check().map_err(|error| error.within(name))?;
    }
    let Some((_, first)) = parts.first() else { return Err(Invalid::new("no shard to merge")) };
    let (terms, of) = (first.terms.clone(), first.shard.map_or(0, |shard| shard.of));
    for (name, part) in &parts {
        let Some(shard) = part.shard else {
            return Err(Invalid::at(name, "it is not of a shard, but of a whole campaign"));
        };
        part.check_same(&terms, Some(Shard { of, ..shard })).map_err(|error| error.within(name))?;
        if !part.is_complete() {
            let what = format!("shard {shard} was not run to its end; go on with --resume");
            return Err(Invalid::at(name, what));
        }
    }
    parts.sort_by_key(|(_, part)| place(part));
    for pair in parts.windows(2) {
        if place(&pair[0].1) == place(&pair[1].1) {
            let what = format!("shard {}/{of} is in {}, too", place(&pair[1].1), pair[0].0);
            return Err(Invalid::at(&pair[1].0, what));
        }
    }
    let missing = (1..=of).find(|number| parts.iter().all(|(_, part)| place(part) != *number));
    if let Some(number) = missing {
        return Err(Invalid::new(format!("shard {number}/{of} is missing")));
    }
    let mut whole = Part::new(terms, None);
    for (_, part) in parts {
        for (tally, more) in whole.tallies.iter_mut().zip(part.tallies) {
            tally.join(more);
        }
        whole.failures.extend(part.failures);
    }
    let order = |name: &str| whole.terms.scenarios.iter().position(|one| one.name == name);
    whole.failures.sort_by_key(|failure| (order(&failure.scenario), failure.seed));
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(seeds: (u64, u64)) -> Terms {
        let scenarios = vec![suite::scenario("stateless").expect("there")];
        Terms { scenarios, suite: None, seeds, recheck_every: 16 }
    }

    /// A shard without seeds, which is complete with none.
    fn shard(number: u64, of: u64) -> (String, Part) {
        let part = Part::new(terms((5, 6)), Some(Shard { number, of }));
        (format!("{number}.json"), part)
    }

    #[test]
    fn shards_have_each_seed_once() {
        for (seeds, of) in [((0, 10), 4), ((3, 5), 4), ((u64::MAX - 7, u64::MAX), 3)] {
            let of_shards: Vec<_> =
                (1..=of).flat_map(|number| Shard { number, of }.seeds(seeds)).collect();
            assert_eq!(of_shards, (seeds.0..seeds.1).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_shard_is_one_of_so_many() {
        assert_eq!("2/4".parse(), Ok(Shard { number: 2, of: 4 }));
        let error = |text: &str| text.parse::<Shard>().expect_err(text);
        for text in ["", "2", "/", "a/b", "1/2/3", "-1/2"] {
            assert_eq!(error(text), "it must be I/N with two numbers, such as 1/4");
        }
        assert_eq!(
            (error("0/4"), error("5/4")),
            (error("9/4"), "I must be 1 to N, as in 1/4".into())
        );
        assert_eq!(error("1/0"), "I must be 1 to N, as in 1/1");
    }

    #[test]
    fn what_is_not_the_shards_of_one_campaign_is_refused_in_one_line() {
        let refused = |parts: Vec<(String, Part)>| merge(parts).expect_err("refused").to_string();
        assert_eq!(refused(Vec::new()), "no shard to merge");
        // Of one seed in three shards, only the last has any.
        assert_eq!(refused(vec![shard(1, 3), shard(2, 3)]), "shard 3/3 is missing");
        assert_eq!(
            refused(vec![shard(1, 3), shard(2, 3), shard(2, 3)]),
            "2.json: shard 2/3 is in 2.json, too"
        );
        assert_eq!(
            refused(vec![shard(1, 3), shard(3, 3)]),
            "3.json: shard 3/3 was not run to its end; go on with --resume"
        );
        assert_eq!(
            refused(vec![shard(1, 3), shard(1, 4)]),
            "1.json: it is of another campaign: it has shard 1/4"
        );
        let change = |change: fn(&mut Part)| {
            let mut changed = shard(2, 3);
            change(&mut changed.1);
            refused(vec![shard(1, 3), changed])
        };
        assert_eq!(
            change(|part| part.terms.seeds = (5, 7)),
            "2.json: it is of another campaign: it has the seeds 5..7"
        );
        assert_eq!(
            change(|part| part.terms.scenarios[0].epoch_interval_ns += 1),
            "2.json: it is of another campaign: it has other scenarios"
        );
        assert_eq!(
            change(|part| part.shard = None),
            "2.json: it is not of a shard, but of a whole campaign"
        );
        assert_eq!(
            change(|part| part.version = "9.9.9".to_owned()),
            format!("2.json: it is of unplug 9.9.9, format 1; this is unplug {VERSION}, format 1")
        );
        assert_eq!(
            change(|part| part.tallies.clear()),
            "2.json: it does not hang together: was it edited?"
        );
    }
}

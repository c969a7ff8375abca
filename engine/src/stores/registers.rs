//! Deciding and reading registers over the stores.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use unplug_sim::env::{Env, NodeId};

use super::{PAUSE, Scan, Shared, StoresError, unexpected};
use crate::{
    epoch::FloorRecord,
    register::{
        Accepted, Ask, Ballot, Next, Proposer, Reading, Slot, Stamp, Vote, Votes, acceptor::Page,
        combine,
    },
    store::{Body, Request},
    tuple::Generation,
};

/// The longest wait after the first lost ballot; it doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(2);

/// How often that doubles at the most.
const BACKOFF_DOUBLINGS: u32 = 6;

/// All that one store shows of a family.
type Family = (BTreeMap<String, Slot>, Option<FloorRecord>);

impl<E: Env> Shared<E> {
    /// Has a register decided, beginning with this attempt, if one is given.
    pub(super) async fn decide(
        &self,
        generation: Generation,
        name: &str,
        value: Bytes,
        first: Option<Proposer>,
    ) -> Result<Bytes, StoresError> {
        match self.attempts(generation, name, Some(value), first).await? {
            Some(decided) => Ok(decided),
            None => unreachable!("an attempt with a value ends with a value"),
        }
    }

    /// Has what is half decided of a register completed.
    pub(super) async fn complete(
        &self,
        generation: Generation,
        name: &str,
    ) -> Result<Option<Bytes>, StoresError> {
        self.attempts(generation, name, None, None).await
    }

    /// One attempt after another, until one ends well.
    async fn attempts(
        &self,
        generation: Generation,
        name: &str,
        value: Option<Bytes>,
        mut first: Option<Proposer>,
    ) -> Result<Option<Bytes>, StoresError> {
        let mut round = 1;
        for lost in 0.. {
            let proposer = first.take().unwrap_or_else(|| {
                let ballot = Ballot { round, proposer: self.env.random() };
                Proposer::new(self.count(), ballot, value.clone())
            });
            match self.attempt(generation, name, proposer).await? {
                Next::Decided(value) => return Ok(Some(value)),
                Next::Undecided => return Ok(None),
                Next::Lost { highest, outbid } => {
                    if outbid {
                        self.env.mark("register.contended");
                    }
                    round = round.max(highest.round) + 1;
                    let longest = BACKOFF_FIRST * (1 << BACKOFF_DOUBLINGS.min(lost));
                    let longest_us = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
                    let wait = Duration::from_micros(self.env.random() % longest_us);
                    self.env.sleep(wait).await;
                }
                Next::Wait | Next::Ask(_) => unreachable!("an attempt ends"),
            }
        }
        unreachable!("rounds never run out")
    }

    /// One attempt, to its end.
    async fn attempt(
        &self,
        generation: Generation,
        name: &str,
        mut proposer: Proposer,
    ) -> Result<Next, StoresError> {
        loop {
            let request = Request::Vote { generation, name: name.to_owned(), ask: proposer.ask() };
            let mut asked = self.all(|store| self.ask(store, &request));
            loop {
                let (stamp, body) =
                    asked.next().await.expect("all answers decide, or lose, the attempt")?;
                let Body::Vote(vote) = body else { return Err(unexpected(&body)) };
                let news = !matches!(vote, Vote::Decided(_));
                match proposer.answer(stamp, vote, self.config.defects) {
                    Next::Wait => {}
                    Next::Ask(_) => break,
                    Next::Decided(value) => {
                        if news {
                            self.tell_decision(name, &value);
                        }
                        return Ok(Next::Decided(value));
                    }
                    end @ (Next::Undecided | Next::Lost { .. }) => return Ok(end),
                }
            }
        }
    }

    /// Lets all stores know, so that the next reader needs one round only.
    fn tell_decision(&self, name: &str, value: &Bytes) {
        let request = Request::Learn { name: name.to_owned(), value: value.clone() };
        self.rpc.tell(&self.config.cluster.stores, &request);
    }

    pub(super) async fn read(
        &self,
        generation: Generation,
        name: &str,
    ) -> Result<Option<Bytes>, StoresError> {
        match self.look(generation, name).await? {
            Reading::Decided(value) => Ok(Some(value)),
            Reading::Undecided => Ok(None),
            Reading::Half => self.complete(generation, name).await,
        }
    }

    async fn look(&self, generation: Generation, name: &str) -> Result<Reading, StoresError> {
        let defects = self.config.defects;
        let request = Request::Vote { generation, name: name.to_owned(), ask: Ask::Look };
        loop {
            let mut seen: Votes<Option<Accepted>> = Votes::new(self.count());
            let mut asked = self.all(|store| self.ask(store, &request));
            while let Some(answer) = asked.next().await {
                match answer? {
                    (_, Body::Vote(Vote::Decided(value))) => return Ok(Reading::Decided(value)),
                    (stamp, Body::Vote(Vote::Seen(accepted))) => seen.add(stamp, accepted),
                    (_, body) => return Err(unexpected(&body)),
                }
                if seen.has_majority(defects) {
                    return Ok(combine(self.count(), seen.valid(defects).map(Option::as_ref)));
                }
                if seen.has_void(defects) {
                    break;
                }
            }
            self.env.sleep(PAUSE).await;
        }
    }

    pub(super) async fn scan(
        &self,
        generation: Generation,
        prefix: &str,
    ) -> Result<Scan, StoresError> {
        let families = self.families(generation, prefix).await?;
        let floors = families.iter().filter_map(|(_, floor)| *floor);
        let mut scan =
            Scan { floor: floors.max_by_key(|floor| floor.number), registers: Vec::new() };
        let mut names: Vec<_> = families.iter().flat_map(|(slots, _)| slots.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            if scan.floor.is_some_and(|floor| floor.covers_register(name)) {
                continue;
            }
            let slots = families.iter().map(|(slots, _)| slots.get(name));
            let known = slots.clone().flatten().find_map(|slot| slot.decided.clone());
            let accepted = slots.map(|slot| slot.and_then(|slot| slot.accepted.as_ref()));
            let reading = known.map_or_else(|| combine(self.count(), accepted), Reading::Decided);
            let value = match reading {
                Reading::Decided(value) => Some(value),
                Reading::Undecided => None,
                Reading::Half => match self.complete(generation, name).await {
                    Err(StoresError::BelowFloor(floor)) => {
                        // It rose in the meantime: the register is gone.
                        scan.floor = Some(floor);
                        None
                    }
                    completed => completed?,
                },
            };
            scan.registers.extend(value.map(|value| (name.clone(), value)));
        }
        if let Some(floor) = scan.floor {
            scan.registers.retain(|(name, _)| !floor.covers_register(name));
        }
        Ok(scan)
    }

    /// What the stores of a majority show of a family.
    async fn families(
        &self,
        generation: Generation,
        prefix: &str,
    ) -> Result<Vec<Family>, StoresError> {
        let defects = self.config.defects;
        loop {
            let mut votes = Votes::new(self.count());
            let mut asked = self.all(|store| self.family(store, generation, prefix));
            while let Some(answer) = asked.next().await {
                let (stamp, family) = answer?;
                votes.add(stamp, family);
                if votes.has_majority(defects) {
                    return Ok(votes.valid(defects).cloned().collect());
                }
                if votes.has_void(defects) {
                    break;
                }
            }
            self.env.sleep(PAUSE).await;
        }
    }

    /// What one store shows of a family, all pages of it.
    async fn family(
        &self,
        store: NodeId,
        generation: Generation,
        prefix: &str,
    ) -> Result<(Stamp, Family), StoresError> {
        let mut slots = BTreeMap::new();
        let mut first: Option<Stamp> = None;
        loop {
            let after = slots.keys().next_back().cloned().unwrap_or_default();
            let request = Request::Scan { generation, prefix: prefix.to_owned(), after };
            let (stamp, body) = self.ask(store, &request).await?;
            let Body::Page(Page { slots: some, more, floor }) = body else {
                return Err(unexpected(&body));
            };
            let known = first.get_or_insert_with(|| stamp.clone());
            if known.incarnation() != stamp.incarnation() {
                // It forgot in between: what it showed before no longer counts.
                (slots, first) = (BTreeMap::new(), None);
                continue;
            }
            known.merge(&stamp.known);
            slots.extend(some);
            if !more {
                return Ok((known.clone(), (slots, floor)));
            }
        }
    }
}

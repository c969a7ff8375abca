//! Rarer forms of a fault: it strikes inside of a step of an epoch, follows on another node's crash
//! or boot, or ends at an event rather than after its time. They are drawn from a stream of their
//! own, so that all else in a plan is what it would be without them.

use unplug_sim::fault::{Edge, EffectFilter, Fault, Point, Target};

use super::{Generator, Victim, points};
use crate::topology::Role;

/// How often a fault has another form.
const VARIED: (u64, u64) = (1, 4);
/// An effect inside of a step is among so many first ones.
const INSIDE_NTH_MAX: u64 = 12;
/// The effect that ends a fault is among so many first ones after it.
const END_NTH_MAX: u64 = 20;
/// What of drivers ends a fault: another one leads, or the epochs go on.
const END_MARKS: [&str; 4] =
    ["leader.elected", "generation.end", "commit.decided", "epoch.published"];

#[derive(Clone, Copy)]
enum Form {
    Inside,
    Follows,
    Until,
}

impl Generator<'_> {
    /// Gives the last fault another form, now and then; `victim` is whom it strikes.
    pub(super) fn vary(&mut self, victim: Option<Victim>, faults: &mut [Fault]) {
        std::mem::swap(&mut self.random, &mut self.forms);
        let (cases, of) = VARIED;
        if self.random.chance(cases, of) {
            match self.pick(&[Form::Inside, Form::Follows, Form::Until]) {
                Form::Inside => self.strike_inside(victim, faults),
                Form::Follows => self.follow(faults),
                Form::Until => self.end_at_event(victim, faults),
            }
        }
        std::mem::swap(&mut self.random, &mut self.forms);
    }

    /// At an effect of a node that works on a step which needs the victim.
    fn strike_inside(&mut self, victim: Option<Victim>, faults: &mut [Fault]) {
        let victim = victim.unwrap_or(Victim::DataCentre);
        let Some((step, at)) = self.step_of(victim) else { return };
        let effects = [EffectFilter::Any, EffectFilter::Send, EffectFilter::Receive];
        let effect = effects[self.random.index(effects.len())].clone();
        let point = self.beside(at, effect, INSIDE_NTH_MAX);
        let point = Point { inside: Some(step.name().to_owned()), ..point };
        if let Some(fault) = faults.last_mut() {
            fault.when.on = Some(point);
        }
    }

    /// As a node crashes that the fault before strikes alone, or as it boots again.
    fn follow(&mut self, faults: &mut [Fault]) {
        let [.., before, fault] = faults else { return };
        let nodes = before.what.nodes();
        if let (true, [node]) = (before.what.ends_processes(), &nodes[..]) {
            let node = (*node).to_owned();
            let effect =
                if self.random.chance(1, 2) { EffectFilter::Crash } else { EffectFilter::Boot };
            let on = Point { node, effect, inside: None, nth: 1, edge: Edge::After };
            fault.when.on = Some(on);
            fault.when.from_ns = before.when.from_ns;
        }
    }

    /// Ends it as another node goes on: a driver, a store that boots, or a client.
    fn end_at_event(&mut self, victim: Option<Victim>, faults: &mut [Fault]) {
        let Some(fault) = faults.last_mut() else { return };
        let mark = self.pick(&END_MARKS);
        let (role, effect, nth_max) = self.weighted(&[
            (4, (Role::Driver, EffectFilter::Mark(mark.to_owned()), points::passes(mark))),
            (2, (Role::Store, EffectFilter::Write, END_NTH_MAX)),
            (1, (Role::Store, EffectFilter::Boot, 1)),
            (1, (Role::Producer, EffectFilter::Send, END_NTH_MAX)),
        ]);
        let node = self.node(role);
        let mut end = self.beside(node, effect, nth_max);
        if end.effect.befalls() {
            end.edge = Edge::After;
        }
        let stopped = match victim {
            Some(Victim::DataCentre) => role != Role::Producer,
            Some(node @ Victim::Node(..)) => node.target() == Target::Node(end.node.clone()),
            None => false,
        };
        if fault.what.may_wait() && !stopped {
            fault.until = Some(end);
        }
    }
}

//! The classes of faults: which a seed draws from, and what each does to whom.

use unplug_sim::fault::{Action, DiskFault, EffectFilter, Keep, Point, SyncFault, Target};

use super::{Generator, RECOVERY_NS_MAX, Victim, atlas};
use crate::{
    scenario::{Classes, Generate},
    topology::Role,
};

/// A process that is killed and soon loses power has so much less time to come back.
const KILLED_NS_MAX: u64 = 300_000_000;
/// The power loss follows on the kill so many disk operations, writes or nanoseconds later.
const DISK_BETWEEN_MAX: u64 = 40;
const WRITES_BETWEEN_MAX: u64 = 3;
const TIME_BETWEEN_NS_MAX: u64 = 400_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    DataCentrePowerLoss,
    NodePowerLoss,
    NodeKill,
    KillThenPowerLoss,
    Pause,
    Throttle,
    Partition,
    OneWayPartition,
    ClockStep,
    StoreDiskLoss,
    StoreMedia,
    SoleCopyMedia,
    DiskError,
    DiskFull,
    SlowDisk,
}

/// After damage to an only copy the node loses power so much later: the broker has written another
/// round by then, so that there is evidence, and has not trimmed what was damaged.
const SOLE_COPY_NS: (u64, u64) = (600_000_000, 900_000_000);

/// What may go wrong with what is kept.
const MEDIA: [DiskFault; 5] = [
    DiskFault::BitRot,
    DiskFault::LatentError,
    DiskFault::MisdirectedRead,
    DiskFault::MisdirectedWrite,
    DiskFault::PhantomWrite,
];

/// What may go wrong with a call, so that the program that made it starts again.
const ERRORS: [DiskFault; 7] = [
    DiskFault::WriteError,
    DiskFault::Sync(SyncFault::DropAfterEvict),
    DiskFault::Sync(SyncFault::RevertNow),
    DiskFault::Sync(SyncFault::KeepDirty),
    DiskFault::Sync(SyncFault::LateReport),
    DiskFault::Sync(SyncFault::AlreadyConsumed),
    DiskFault::Sync(SyncFault::GoesReadOnly),
];

/// Each class with its weight.
pub(super) fn weights(classes: &Classes) -> [(u32, Class); 15] {
    [
        (classes.data_centre_power_loss, Class::DataCentrePowerLoss),
        (classes.node_power_loss, Class::NodePowerLoss),
        (classes.node_kill, Class::NodeKill),
        (classes.kill_then_power_loss, Class::KillThenPowerLoss),
        (classes.pause, Class::Pause),
        (classes.throttle, Class::Throttle),
        (classes.partition, Class::Partition),
        (classes.one_way_partition, Class::OneWayPartition),
        (classes.clock_step, Class::ClockStep),
        (classes.store_disk_loss, Class::StoreDiskLoss),
        (classes.store_media, Class::StoreMedia),
        (classes.sole_copy_media, Class::SoleCopyMedia),
        (classes.disk_error, Class::DiskError),
        (classes.disk_full, Class::DiskFull),
        (classes.slow_disk, Class::SlowDisk),
    ]
}

impl Class {
    /// Whether it strikes single nodes of the roles that are named.
    pub(super) fn is_of_roles(self) -> bool {
        match self {
            Self::NodePowerLoss
            | Self::NodeKill
            | Self::KillThenPowerLoss
            | Self::Pause
            | Self::Throttle
            | Self::ClockStep
            | Self::DiskError
            | Self::DiskFull
            | Self::SlowDisk => true,
            Self::DataCentrePowerLoss
            | Self::Partition
            | Self::OneWayPartition
            | Self::StoreDiskLoss
            | Self::StoreMedia
            | Self::SoleCopyMedia => false,
        }
    }
}

impl Class {
    /// Whether its faults may have another form: those whose moment matters most.
    pub(super) fn may_vary(self) -> bool {
        match self {
            Self::DataCentrePowerLoss
            | Self::NodePowerLoss
            | Self::NodeKill
            | Self::Pause
            | Self::Partition
            | Self::OneWayPartition
            | Self::StoreDiskLoss => true,
            Self::KillThenPowerLoss
            | Self::Throttle
            | Self::ClockStep
            | Self::StoreMedia
            | Self::SoleCopyMedia
            | Self::DiskError
            | Self::DiskFull
            | Self::SlowDisk => false,
        }
    }
}

/// A fault without the time from which it waits.
pub(super) struct Blow {
    pub(super) what: Action,
    pub(super) on: Option<Point>,
    /// Whom it strikes, if a node or all.
    pub(super) victim: Option<Victim>,
    /// How long it lasts, if it strikes at once.
    pub(super) lasts_ns: u64,
}

impl Generator<'_> {
    /// The classes that this seed draws from: all that have a weight, or a random part of them.
    pub(super) fn swarm(&mut self, faults: &Generate) -> Vec<(u32, Class)> {
        let all = || weights(&faults.classes).into_iter().filter(|(weight, _)| *weight > 0);
        loop {
            let kept: Vec<_> =
                all().filter(|_| !faults.swarm || self.random.chance(1, 2)).collect();
            if !kept.is_empty() {
                return kept;
            }
        }
    }

    /// Whom a power loss or a kill strikes.
    pub(super) fn victim(&mut self, class: Class) -> Victim {
        // To a node that keeps nothing on its disk a power loss is no more than a kill.
        if class == Class::DataCentrePowerLoss {
            Victim::DataCentre
        } else if class == Class::NodePowerLoss {
            self.mostly(&Role::DURABLE, (5, 6))
        } else {
            self.mostly(&[], (0, 1))
        }
    }

    /// A power loss or a kill.
    pub(super) fn crash(&mut self, class: Class, victim: Victim, on: Option<Point>) -> Blow {
        let (target, down_ns) = (victim.target(), self.down_ns());
        let what = if class == Class::NodeKill {
            Action::Kill { target, down_ns }
        } else {
            Action::PowerLoss { target, down_ns, keep: Keep::Drawn }
        };
        Blow { what, on, victim: Some(victim), lasts_ns: down_ns }
    }

    /// A kill and a power loss of the same node, and how much later the latter begins to wait. Two
    /// that wait for effects count the same ones, so that the kill always comes first.
    pub(super) fn kill_then_power_loss(&mut self) -> (Blow, Blow, u64) {
        let victim = self.mostly(&Role::DURABLE, (1, 1));
        let (low, high) = self.faults.down_ns;
        let killed_ns = self.random.between(low, high.min(low.max(KILLED_NS_MAX)) + 1);
        let (effect, between_max) = self.weighted(&[
            (2, (Some(EffectFilter::Disk), DISK_BETWEEN_MAX)),
            (2, (Some(EffectFilter::Write), WRITES_BETWEEN_MAX)),
            (1, (None, 0)),
        ]);
        let (kill_on, loss_on, later_ns) = match effect {
            None => (None, None, killed_ns + self.random.below(TIME_BETWEEN_NS_MAX)),
            Some(effect) => {
                let kill_on = self.disk(victim, effect);
                let loss_on = self.later(&kill_on, between_max);
                (Some(kill_on), Some(loss_on), 0)
            }
        };
        let kill = Blow {
            what: Action::Kill { target: victim.target(), down_ns: killed_ns },
            on: kill_on,
            victim: Some(victim),
            lasts_ns: killed_ns,
        };
        (kill, self.crash(Class::NodePowerLoss, victim, loss_on), later_ns)
    }

    pub(super) fn pause(&mut self) -> Blow {
        let victim = self.mostly(&[Role::Driver], (4, 5));
        let for_ns = self.duration_ns(self.faults.pause_ns);
        Blow {
            what: Action::Pause { target: victim.target(), for_ns },
            on: self.pause_point(victim),
            victim: Some(victim),
            lasts_ns: for_ns,
        }
    }

    pub(super) fn throttle(&mut self) -> Blow {
        let victim = self.mostly(&[Role::Executor], (3, 4));
        let (low, high) = self.faults.throttle_factor;
        let factor = u32::try_from(self.doubled(low.into(), high.into())).expect("at most a u32");
        let for_ns = self.duration_ns(self.faults.throttle_ns);
        Blow {
            what: Action::Throttle { target: victim.target(), factor, for_ns },
            on: self.loose_point(victim),
            victim: Some(victim),
            lasts_ns: for_ns,
        }
    }

    pub(super) fn partition(&mut self, class: Class) -> Blow {
        let one_way = class == Class::OneWayPartition;
        let (from, to) = self.sides();
        let for_ns = self.duration_ns(self.faults.partition_ns);
        Blow {
            what: Action::Partition { from, to, one_way, for_ns },
            on: self.loose_point(Victim::DataCentre),
            victim: None,
            lasts_ns: for_ns,
        }
    }

    pub(super) fn clock_step(&mut self) -> Blow {
        // By the clocks of producers tuples fall due.
        let victim = match self.mostly(&[Role::Driver], (1, 2)) {
            Victim::DataCentre | Victim::Node(Role::Producer, _) => Victim::DataCentre,
            Victim::Node(..) if self.random.chance(1, 8) => Victim::DataCentre,
            node @ Victim::Node(..) => node,
        };
        let (low, high) = self.faults.clock_step_ns;
        // Evenly within a doubling, so that each order of magnitude is as likely.
        let least = self.doubled(low, high);
        let step = self.random.between(least, high.min(least.saturating_mul(2)) + 1);
        let step = i64::try_from(step).expect("checked: at most an hour");
        let by_ns = if self.random.chance(1, 2) { step } else { -step };
        Blow {
            what: Action::ClockStep { target: victim.target(), by_ns },
            on: self.loose_point(victim),
            victim: Some(victim),
            lasts_ns: 0,
        }
    }

    pub(super) fn store_disk_loss(&mut self) -> Blow {
        let harmed = self.one_harmed();
        self.disk_loss_of(harmed)
    }

    /// One of the stores that may be harmed for good.
    fn one_harmed(&mut self) -> u32 {
        match self.harmed[..] {
            [one] => one,
            _ => self.harmed[self.random.index(self.harmed.len())],
        }
    }

    fn disk_loss_of(&mut self, harmed: u32) -> Blow {
        let (victim, down_ns) = (Victim::Node(Role::Store, harmed), self.down_ns());
        Blow {
            what: Action::DiskLoss { node: Role::Store.node(harmed), down_ns },
            on: self.point(victim),
            victim: Some(victim),
            lasts_ns: down_ns,
        }
    }

    /// Another store that loses power with this one, now and then: then no majority is left.
    pub(super) fn beside_store(&mut self, class: Class, victim: Victim) -> Option<Victim> {
        let Victim::Node(Role::Store, index) = victim else { return None };
        let stores = self.cluster.stores;
        let wanted = class == Class::NodePowerLoss && stores > 1 && self.random.chance(1, 3);
        wanted.then(|| Victim::Node(Role::Store, (index + 1 + self.index(stores - 1)) % stores))
    }

    /// Whether the stores are struck in turn where one loses its disk.
    pub(super) fn in_turn(&mut self) -> bool {
        self.cluster.stores >= 3 && self.random.chance(1, 2)
    }

    /// One store misses what is decided; another one loses its disk with it; then the third, which
    /// knows, is away, and drivers have to find out what was decided. Each with the time from the
    /// first to it.
    pub(super) fn stores_in_turn(&mut self) -> Vec<(u64, Blow)> {
        let (stores, harmed) = (self.cluster.stores, self.one_harmed());
        let other = 1 + self.index(stores - 1);
        let more = 1 + (other - 1 + 1) % (stores - 1);
        let node = |step: u32| Victim::Node(Role::Store, (harmed + step) % stores);
        let (misses, knows) = (node(other), node(more));
        let kill = |victim: Victim, down_ns| Blow {
            what: Action::Kill { target: victim.target(), down_ns },
            on: None,
            victim: Some(victim),
            lasts_ns: down_ns,
        };
        let (low, high) = self.faults.down_ns;
        let long = (low.max(high / 2), high + 1);
        let missing_ns = self.random.between(long.0, long.1);
        let lost_ns = self.random.between(missing_ns / 2, missing_ns);
        let back_ns = missing_ns + self.random.below(RECOVERY_NS_MAX);
        let away_ns = self.random.between(long.0, long.1);
        let mut lost = self.disk_loss_of(harmed);
        lost.on = None;
        let mut blows = vec![(0, kill(misses, missing_ns)), (lost_ns, lost)];
        blows.push((back_ns, kill(knows, away_ns)));
        for driver in 0..self.cluster.drivers {
            let victim = Victim::Node(Role::Driver, driver);
            blows.push((
                back_ns,
                kill(victim, self.random.between(low, low + (high - low) / 8 + 1)),
            ));
        }
        blows
    }

    pub(super) fn store_media(&mut self) -> Blow {
        let harmed = self.one_harmed();
        let victim = Victim::Node(Role::Store, harmed);
        let directory = self.pick(&atlas::HARMED).to_owned();
        let what = self.pick(&MEDIA);
        Blow {
            what: Action::DiskFault { node: Role::Store.node(harmed), directory, what },
            on: self.loose_point(victim),
            victim: Some(victim),
            lasts_ns: 0,
        }
    }

    /// Damage to what the broker or a sink keeps, the power loss that lets it be read, and how much
    /// later that is.
    pub(super) fn sole_copy_media(&mut self) -> (Blow, Blow, u64) {
        let role = self.pick(&[Role::Broker, Role::Sink]);
        let victim = self.node(role);
        let Victim::Node(role, index) = victim else { unreachable!("a node of a role") };
        let directory = if role == Role::Broker {
            format!("{}/{:05}", atlas::LOG, self.index(self.cluster.partitions))
        } else {
            atlas::TABLE.to_owned()
        };
        let what = self.pick(&MEDIA);
        let damage = Blow {
            what: Action::DiskFault { node: role.node(index), directory, what },
            on: None,
            victim: Some(victim),
            lasts_ns: 0,
        };
        let later_ns = self.duration_ns(SOLE_COPY_NS);
        (damage, self.crash(Class::NodePowerLoss, victim, None), later_ns)
    }

    /// An error of a disk on which something is kept: alone; or with a power loss soon after, which
    /// shows what was made of it; now and then with a kill before, so that a boot meets it.
    pub(super) fn disk_error(&mut self) -> Vec<Blow> {
        let victim = self.mostly(&Role::DURABLE, (1, 1));
        let Victim::Node(role, index) = victim else { unreachable!("a node of a role") };
        let what = self.pick(&ERRORS);
        let error = |on| Blow {
            what: Action::DiskFault { node: role.node(index), directory: "/".to_owned(), what },
            on,
            victim: Some(victim),
            lasts_ns: 0,
        };
        if self.random.chance(1, 2) {
            return vec![error(self.point(victim))];
        }
        // All wait for the same effects, so that they come in this order.
        let (effect, between_max) = self.weighted(&[
            (2, (EffectFilter::Disk, DISK_BETWEEN_MAX)),
            (2, (EffectFilter::Write, WRITES_BETWEEN_MAX)),
        ]);
        let mut point = self.disk(victim, effect);
        let mut blows = Vec::new();
        if self.random.chance(1, 3) {
            blows.push(self.crash(Class::NodeKill, victim, Some(point.clone())));
            point = self.later(&point, between_max);
        }
        blows.push(error(Some(point.clone())));
        let point = self.later(&point, between_max);
        blows.push(self.crash(Class::NodePowerLoss, victim, Some(point)));
        blows
    }

    /// Beside an effect of the same sort, at the most so many later.
    fn later(&mut self, point: &Point, between_max: u64) -> Point {
        let nth = point.nth + 1 + self.random.below(between_max);
        Point { nth, edge: self.edge(), ..point.clone() }
    }

    pub(super) fn disk_full(&mut self) -> Blow {
        let victim = self.mostly(&Role::DURABLE, (1, 1));
        let for_ns = self.duration_ns(self.faults.disk_trouble_ns);
        Blow {
            what: Action::DiskFull { target: victim.target(), for_ns },
            on: self.loose_point(victim),
            victim: Some(victim),
            lasts_ns: for_ns,
        }
    }

    /// A disk that is slow, or stands still.
    pub(super) fn slow_disk(&mut self) -> Blow {
        let victim = self.mostly(&Role::DURABLE, (1, 1));
        let for_ns = self.duration_ns(self.faults.disk_trouble_ns);
        let (low, high) = self.faults.slow_disk_factor;
        let factor = u32::try_from(self.doubled(low.into(), high.into())).expect("at most a u32");
        let target = victim.target();
        let what = if self.random.chance(1, 2) {
            Action::SlowDisk { target, factor, for_ns }
        } else {
            Action::DiskStall { target, for_ns }
        };
        Blow { what, on: self.loose_point(victim), victim: Some(victim), lasts_ns: for_ns }
    }

    /// A node of the roles that are struck: with this probability of one of `wanted`, if they
    /// have any.
    fn mostly(&mut self, wanted: &[Role], (cases, of): (u64, u64)) -> Victim {
        let roles = &self.faults.roles;
        let meant: Vec<Role> = roles.iter().copied().filter(|role| wanted.contains(role)).collect();
        let role = if !meant.is_empty() && self.random.chance(cases, of) {
            self.pick(&meant)
        } else {
            self.pick(&roles.clone())
        };
        self.node(role)
    }

    /// Skewed to the short end: outages shorter than a time-out are the trickier ones.
    pub(super) fn down_ns(&mut self) -> u64 {
        let (low, high) = self.faults.down_ns;
        let high = self.random.between(low, high + 1);
        self.random.between(low, high + 1)
    }

    fn duration_ns(&mut self, (low, high): (u64, u64)) -> u64 {
        self.random.between(low, high + 1)
    }

    /// `low`, or twice it, or four times it, and so on up to `high`; each as likely.
    fn doubled(&mut self, low: u64, high: u64) -> u64 {
        let doublings = (high / low.max(1)).checked_ilog2().unwrap_or(0);
        low << self.random.below(u64::from(doublings) + 1)
    }
}

impl Victim {
    pub(super) fn target(self) -> Target {
        match self {
            Self::DataCentre => Target::DataCentre,
            Self::Node(role, index) => Target::Node(role.node(index)),
        }
    }

    /// Whether a driver has to take up leadership after it.
    pub(super) fn leads(self) -> bool {
        matches!(self, Self::DataCentre | Self::Node(Role::Driver, _))
    }
}

//! A cluster of three stores around the pure core, small enough that all that can happen to it
//! can be tried.
//!
//! Messages: whatever was sent may arrive in any order, any number of times, or never. Answers to
//! what their proposer no longer waits for are left out, since it drops them. A store handles a
//! request in two steps, the durable put and then the answer; a crash in between loses both, and
//! with a planted bug only the put. A lost disk takes all that the store knew; it is then rebuilt
//! step by step, while old messages are still under way.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    rc::Rc,
};

use bytes::Bytes;
use serde::Serialize;
use unplug_engine::{
    defect::Defects,
    register::{
        Accepted, Acceptor, Ask, Ballot, Next, Proposer, Reading, Rebuild, Slot, Stamp, Vote,
        Votes, combine,
        rebuild::{Handed, next_incarnation},
    },
    tuple::Generation,
};

const STORES: u16 = 3;
const NAME: &str = "commits/000000000001";

/// How much may happen.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Limits {
    /// Proposers, each with a value of its own.
    pub(crate) proposers: u64,
    /// Attempts of each proposer.
    pub(crate) attempts: u64,
    /// Readers, each of which reads once.
    pub(crate) readers: u64,
    /// Whether stores are told of decisions.
    pub(crate) told: bool,
    /// Crashes of stores.
    pub(crate) crashes: u32,
    /// Disks lost, of one store after another.
    pub(crate) losses: u32,
}

/// What was explored.
#[derive(Debug, Default)]
pub(crate) struct Explored {
    pub(crate) states: u64,
    pub(crate) steps: u64,
    /// States in which a decision was learned.
    pub(crate) decided: u64,
    /// Steps with which a rebuilt store began to serve.
    pub(crate) rebuilt: u64,
    /// Steps with which a reader learned that nothing was decided.
    pub(crate) undecided: u64,
}

/// How the promise was broken: what happened, step by step.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) what: String,
    pub(crate) steps: Vec<String>,
}

#[derive(Clone, Serialize)]
struct Store {
    acceptor: Acceptor,
    /// The register as it is on the disk.
    durable: Option<Slot>,
    /// A durable put under way, and who is to be answered what after it.
    pending: Option<(Slot, Option<(u64, Vote)>)>,
    rebuild: Option<Rebuild>,
}

#[derive(Clone, Serialize)]
enum Work {
    Idle,
    Looking(Votes<Option<Accepted>>),
    Attempting(Proposer),
    Over,
}

/// A proposer, or a reader: that is one without a value.
#[derive(Clone, Serialize)]
struct Client {
    value: Option<Bytes>,
    work: Work,
    round: u64,
    attempts: u64,
    /// Whether a decision had been learned, by whomsoever, when it began.
    learned_before: bool,
}

#[derive(Clone, Serialize)]
struct World {
    stores: Vec<Store>,
    clients: Vec<Client>,
    /// Who asks what: all that was ever sent.
    asks: BTreeSet<(u64, Ask)>,
    /// Who is answered what by whom.
    answers: BTreeSet<(u64, Stamp, Vote)>,
    learned: Option<Bytes>,
    told: bool,
    crashes: u32,
    losses: u32,
}

#[derive(Clone, Debug)]
enum Action {
    Begin(usize),
    Deliver(u64, Ask, usize),
    Persist(usize),
    /// As many answers at once as make a majority, or one that ends an attempt by itself: to take
    /// in less changes nothing that others could see.
    Answer(u64, Vec<(Stamp, Vote)>),
    Learn(usize),
    Crash(usize),
    LoseDisk(usize),
    BeginRebuild(usize),
    HandOver {
        to: usize,
        from: usize,
    },
    Serve(usize),
}

impl World {
    fn new(limits: Limits) -> Self {
        let store = |store| Store {
            acceptor: Acceptor::new(
                Stamp { store, known: vec![1; STORES.into()] },
                None,
                BTreeMap::new(),
            ),
            durable: None,
            pending: None,
            rebuild: None,
        };
        let client = |number: u64| Client {
            value: (number < limits.proposers).then(|| Bytes::from(format!("value {number}"))),
            work: Work::Idle,
            round: 0,
            attempts: limits.attempts,
            learned_before: false,
        };
        let mut world = Self {
            stores: (0..STORES).map(store).collect(),
            clients: (0..limits.proposers + limits.readers).map(client).collect(),
            asks: BTreeSet::new(),
            answers: BTreeSet::new(),
            learned: None,
            told: limits.told,
            crashes: limits.crashes,
            losses: limits.losses,
        };
        // To begin later is to be heard of later.
        for place in 0..world.clients.len() {
            if world.clients[place].value.is_some() {
                world.begin(place);
            }
        }
        world
    }

    /// The state, up to the order of the stores: they are all alike.
    fn hash(&self) -> u128 {
        let encode = |value: &dyn Fn() -> Result<Vec<u8>, postcard::Error>| {
            value().expect("plain data serialises")
        };
        let parts: Vec<_> = (0..STORES)
            .zip(&self.stores)
            .map(|(number, store)| {
                let slots = store.acceptor.page("", "", usize::MAX).slots;
                let answers = self.answers.iter().filter(|(_, stamp, _)| stamp.store == number);
                let answers: Vec<_> = answers
                    .map(|(client, stamp, vote)| (client, stamp.incarnation(), vote))
                    .collect();
                let serving = store.acceptor.is_serving();
                encode(&|| {
                    postcard::to_allocvec(&(
                        &slots,
                        &store.durable,
                        &store.pending,
                        serving,
                        &answers,
                    ))
                })
            })
            .collect();
        let mut order: Vec<_> = (0..self.stores.len()).collect();
        if self.stores.iter().all(|store| store.rebuild.is_none()) {
            order.sort_by(|left, right| parts[*left].cmp(&parts[*right]));
        }
        let permuted =
            |stamp: &Stamp| order.iter().map(|place| stamp.known[*place]).collect::<Vec<_>>();
        let stores: Vec<_> = order
            .iter()
            .map(|place| {
                let number = u16::try_from(*place).expect("few");
                let answers = self.answers.iter().filter(|(_, stamp, _)| stamp.store == number);
                let known: Vec<_> = answers.map(|(_, stamp, _)| permuted(stamp)).collect();
                let store = &self.stores[*place];
                (&parts[*place], permuted(store.acceptor.stamp()), known, &store.rebuild)
            })
            .collect();
        let rest = (&self.clients, &self.asks, &self.learned, self.crashes, self.losses);
        xxhash_rust::xxh3::xxh3_128(&encode(&|| postcard::to_allocvec(&(&stores, rest))))
    }

    /// Whether nothing can be learned any more.
    fn is_over(&self) -> bool {
        self.clients.iter().all(|client| match client.work {
            Work::Over => true,
            Work::Idle => self.learned.is_none(),
            Work::Looking(_) | Work::Attempting(_) => false,
        }) && self.clients.iter().any(|client| matches!(client.work, Work::Over))
    }

    fn actions(&self, defects: Defects) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.is_over() {
            return actions;
        }
        for (place, client) in self.clients.iter().enumerate() {
            // A reader that begins earlier is a proposer without a value.
            if matches!(client.work, Work::Idle) && self.learned.is_some() {
                actions.push(Action::Begin(place));
            }
        }
        for (client, stamp, vote) in &self.answers {
            let one = (stamp.clone(), vote.clone());
            let behind =
                (Bound::Excluded((*client, stamp.clone(), vote.clone())), Bound::Unbounded);
            match vote {
                Vote::Outbid(_) | Vote::Decided(_) => {
                    actions.push(Action::Answer(*client, vec![one]));
                }
                Vote::Promised(..) | Vote::Accepted(_) | Vote::Seen(_) => {
                    let others = self
                        .answers
                        .range(behind)
                        .filter(|(other, with, _)| other == client && with.store != stamp.store);
                    actions.extend(others.map(|(_, stamp, vote)| {
                        Action::Answer(*client, vec![one.clone(), (stamp.clone(), vote.clone())])
                    }));
                }
            }
        }
        let all_serve = self.stores.iter().all(|store| store.acceptor.is_serving());
        for (place, store) in self.stores.iter().enumerate() {
            if store.pending.is_some() {
                actions.push(Action::Persist(place));
            } else if store.acceptor.is_serving() {
                let asks = self
                    .asks
                    .iter()
                    .filter(|(client, ask)| self.changes_something(*client, ask, store))
                    .cloned();
                actions.extend(asks.map(|(client, ask)| Action::Deliver(client, ask, place)));
                if self.told && self.learned.is_some() {
                    actions.push(Action::Learn(place));
                }
            }
            if self.crashes > 0 && (store.pending.is_some() || store.rebuild.is_some()) {
                actions.push(Action::Crash(place));
            }
            if self.losses > 0 && all_serve {
                actions.push(Action::LoseDisk(place));
            }
            if store.acceptor.is_serving() {
                continue;
            }
            let others = (0..self.stores.len()).filter(|other| *other != place);
            match &store.rebuild {
                None => actions.push(Action::BeginRebuild(place)),
                Some(rebuild) => {
                    actions.extend(others.map(|from| Action::HandOver { to: place, from }));
                    if rebuild.is_enough(defects) {
                        actions.push(Action::Serve(place));
                    }
                }
            }
        }
        actions
    }

    fn act(
        &mut self,
        action: &Action,
        defects: Defects,
        seen: &mut Explored,
    ) -> Result<(), String> {
        match action {
            Action::Begin(place) => self.begin(*place),
            Action::Deliver(client, ask, place) => self.deliver(*client, ask, *place, defects),
            Action::Persist(place) => self.persist(*place),
            Action::Answer(client, answers) => {
                for answer in answers {
                    self.answer(*client, answer.clone(), defects, seen)?;
                }
            }
            Action::Learn(place) => {
                let value = self.learned.clone().expect("learned");
                self.stores[*place].acceptor.learn(NAME, value);
            }
            Action::Crash(place) => {
                self.crashes -= 1;
                let store = &mut self.stores[*place];
                (store.pending, store.rebuild) = (None, None);
                let slots = store.durable.iter().map(|slot| (NAME.to_owned(), slot.clone()));
                let stamp = store.acceptor.stamp().clone();
                let serving = store.acceptor.is_serving();
                store.acceptor = Acceptor::new(stamp, None, slots.collect());
                if !serving {
                    store.acceptor.begin_again(&[]);
                }
            }
            Action::LoseDisk(place) => {
                self.losses -= 1;
                let store = u16::try_from(*place).expect("few");
                let stamp = Stamp { store, known: vec![0; STORES.into()] };
                let mut acceptor = Acceptor::new(stamp, None, BTreeMap::new());
                acceptor.begin_again(&[]);
                self.stores[*place] =
                    Store { acceptor, durable: None, pending: None, rebuild: None };
            }
            Action::BeginRebuild(place) => {
                let others = self.stores.iter().map(|store| &store.acceptor);
                let others = others.filter(|acceptor| acceptor.is_serving()).map(Acceptor::stamp);
                let mut own = self.stores[*place].acceptor.stamp().clone();
                own.known[*place] = next_incarnation(&own, others);
                let store = &mut self.stores[*place];
                store.acceptor.begin_again(&own.known);
                store.rebuild = Some(Rebuild::new(STORES.into()));
            }
            Action::HandOver { to, from } => self.hand_over(*to, *from),
            Action::Serve(place) => {
                seen.rebuilt += 1;
                let store = &mut self.stores[*place];
                let rebuild = store.rebuild.take().expect("a rebuild under way");
                let (stamp, adopted) = store.acceptor.adopted(&rebuild, defects);
                store.durable = adopted.slots.get(NAME).cloned();
                store.acceptor.serve_again(stamp, adopted);
            }
        }
        Ok(())
    }

    fn begin(&mut self, place: usize) {
        let learned_before = self.learned.is_some();
        let client = &mut self.clients[place];
        client.learned_before = learned_before;
        if client.value.is_some() {
            self.attempt(place, 0);
        } else {
            client.work = Work::Looking(Votes::new(STORES.into()));
            self.asks.insert((place as u64, Ask::Look));
        }
    }

    /// Begins another attempt, if there are any left.
    fn attempt(&mut self, place: usize, above: u64) {
        let client = &mut self.clients[place];
        self.answers.retain(|(waiting, ..)| *waiting != place as u64);
        if client.attempts == 0 {
            client.work = Work::Over;
            return;
        }
        client.attempts -= 1;
        client.round = client.round.max(above) + 1;
        let ballot = Ballot { round: client.round, proposer: place as u64 };
        let proposer = Proposer::new(STORES.into(), ballot, client.value.clone());
        self.asks.insert((place as u64, proposer.ask()));
        client.work = Work::Attempting(proposer);
    }

    /// Whether a request, delivered now, makes another state.
    fn changes_something(&self, client: u64, ask: &Ask, store: &Store) -> bool {
        let slot = store.acceptor.slot(NAME).cloned().unwrap_or_default();
        let (slot, vote) = slot.handle(ask);
        let answer = || (client, store.acceptor.stamp().clone(), vote);
        slot.is_some() || self.waits_for(client, ask) && !self.answers.contains(&answer())
    }

    /// Whether a client still waits for answers to this.
    fn waits_for(&self, client: u64, ask: &Ask) -> bool {
        match &self.clients[usize::try_from(client).expect("few")].work {
            Work::Looking(_) => *ask == Ask::Look,
            Work::Attempting(proposer) => proposer.ask() == *ask,
            Work::Idle | Work::Over => false,
        }
    }

    fn deliver(&mut self, client: u64, ask: &Ask, place: usize, defects: Defects) {
        let acceptor = &mut self.stores[place].acceptor;
        let Ok(handled) = acceptor.handle(Generation(0), NAME, ask) else { return };
        // The answer to an earlier phase or attempt is of no interest; the vote itself is.
        let waits = self.waits_for(client, ask);
        let answer = waits.then_some((client, handled.vote));
        match handled.slot {
            None => self.send(place, answer),
            Some(slot) if defects.has(unplug_engine::defect::Defect::VoteBeforeSync) => {
                self.stores[place].acceptor.install(NAME, slot.clone());
                self.stores[place].pending = Some((slot, None));
                self.send(place, answer);
            }
            Some(slot) => {
                self.stores[place].pending = Some((slot, answer));
                // Nothing can come between that makes a difference.
                if self.crashes == 0 && self.stores.iter().all(|store| store.acceptor.is_serving())
                {
                    self.persist(place);
                }
            }
        }
    }

    fn persist(&mut self, place: usize) {
        let store = &mut self.stores[place];
        let (slot, answer) = store.pending.take().expect("a put under way");
        store.durable = Some(slot.clone());
        store.acceptor.install(NAME, slot);
        self.send(place, answer);
    }

    fn send(&mut self, place: usize, answer: Option<(u64, Vote)>) {
        let stamp = self.stores[place].acceptor.stamp().clone();
        self.answers.extend(answer.map(|(client, vote)| (client, stamp, vote)));
    }

    fn hand_over(&mut self, to: usize, from: usize) {
        if !self.stores[from].acceptor.is_serving() {
            return;
        }
        let incarnation = self.stores[to].acceptor.stamp().incarnation();
        let giver = &mut self.stores[from].acceptor;
        giver.announced(u16::try_from(to).expect("few"), incarnation);
        let page = giver.page("", "", usize::MAX);
        let handed = Handed { slots: page.slots.into_iter().collect(), floor: page.floor };
        let stamp = giver.stamp().clone();
        let rebuild = self.stores[to].rebuild.as_mut().expect("a rebuild under way");
        rebuild.take(stamp, handed);
    }

    fn answer(
        &mut self,
        client: u64,
        (stamp, vote): (Stamp, Vote),
        defects: Defects,
        seen: &mut Explored,
    ) -> Result<(), String> {
        let place = usize::try_from(client).expect("few");
        let next = match &mut self.clients[place].work {
            Work::Idle | Work::Over => return Ok(()),
            Work::Attempting(proposer) => proposer.answer(stamp, vote, defects),
            Work::Looking(votes) => match look(votes, (stamp, vote), defects) {
                Some(Reading::Half) => {
                    self.attempt(place, 0);
                    return Ok(());
                }
                Some(Reading::Decided(value)) => Next::Decided(value),
                Some(Reading::Undecided) => Next::Undecided,
                None => Next::Wait,
            },
        };
        match next {
            Next::Wait => {}
            Next::Ask(ask) => {
                self.answers.retain(|(waiting, ..)| *waiting != client);
                self.asks.insert((client, ask));
            }
            Next::Lost { highest, .. } => self.attempt(place, highest.round),
            Next::Undecided => {
                seen.undecided += 1;
                if self.clients[place].learned_before {
                    return Err("a reader learned of nothing after a decision".to_owned());
                }
                self.over(place);
            }
            Next::Decided(value) => {
                if self.learned.as_ref().is_some_and(|learned| *learned != value) {
                    return Err(format!("{:?} and {value:?} were decided", self.learned));
                }
                self.learned = Some(value);
                self.over(place);
            }
        }
        Ok(())
    }

    fn over(&mut self, place: usize) {
        self.clients[place].work = Work::Over;
        self.answers.retain(|(waiting, ..)| *waiting != place as u64);
    }
}

fn look(
    votes: &mut Votes<Option<Accepted>>,
    (stamp, vote): (Stamp, Vote),
    defects: Defects,
) -> Option<Reading> {
    match vote {
        Vote::Decided(value) => return Some(Reading::Decided(value)),
        Vote::Seen(accepted) => votes.add(stamp, accepted),
        Vote::Promised(..) | Vote::Accepted(_) | Vote::Outbid(_) => return None,
    }
    let seen = votes.valid(defects).map(Option::as_ref);
    votes.has_majority(defects).then(|| combine(STORES.into(), seen))
}

/// How a state was come to.
struct Path {
    action: Action,
    before: Option<Rc<Path>>,
}

fn steps(mut path: Option<&Rc<Path>>) -> Vec<String> {
    let mut steps = Vec::new();
    while let Some(step) = path {
        steps.push(format!("{:?}", step.action));
        path = step.before.as_ref();
    }
    steps.reverse();
    steps
}

/// Tries everything within the limits.
///
/// # Errors
/// The first way found in which the promise is broken.
pub(crate) fn explore(limits: Limits, defects: Defects) -> Result<Explored, Broken> {
    let mut explored = Explored::default();
    let first = World::new(limits);
    let mut known = BTreeSet::from([first.hash()]);
    let mut open = vec![(first, None::<Rc<Path>>)];
    while let Some((world, path)) = open.pop() {
        explored.states += 1;
        explored.decided += u64::from(world.learned.is_some());
        for action in world.actions(defects) {
            explored.steps += 1;
            let mut next = world.clone();
            let acted = next.act(&action, defects, &mut explored);
            let path = Some(Rc::new(Path { action, before: path.clone() }));
            if let Err(what) = acted {
                return Err(Broken { what, steps: steps(path.as_ref()) });
            }
            if known.insert(next.hash()) {
                open.push((next, path));
            }
        }
    }
    Ok(explored)
}

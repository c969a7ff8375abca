//! A lease on leadership: one node grants it, and one of the others at a time leads by it.
//!
//! A candidate asks again and again. The grantor grants unless another one's lease still runs,
//! and the candidate leads while its own runs. Each counts by a clock of its own:
//!
//! - By its monotonic clock, the candidate counts from before it asked, and the grantor from when
//!   it grants. The candidate's lease is shorter, by as much as both clocks together may drift.
//! - By its wall clock, which is the bug: the grantor sends the time at which the lease ends, and
//!   both wait for that. Nothing of it holds once a clock is set.

use std::{cell::RefCell, rc::Rc, time::Duration};

use bytes::Bytes;
use unplug_sim::env::{
    Address, Env, Instant, Net, NetError, NodeId, Port, Socket, WallTime, nanos,
};

/// What is wrong with the lease, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Bug {
    /// Leases end at a time of the wall clock.
    WallClock,
    /// Leases end by the monotonic clock, and nothing is left for its drift.
    NoMargin,
}

/// How wrong the rate of a monotonic clock may be, in millionths.
pub(crate) const DRIFT_PPM: u32 = 10_000;

const PORT: Port = Port(1);
const LEASE: Duration = Duration::from_millis(300);
const ASK_EVERY: Duration = Duration::from_millis(5);

/// When a lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Monotonic(Instant),
    Wall(WallTime),
}

impl End {
    fn is_past(self, env: &impl Env) -> bool {
        match self {
            Self::Monotonic(end) => env.now() >= end,
            Self::Wall(end) => env.wall() >= end,
        }
    }
}

/// What a candidate knows of its lease.
struct State {
    /// The last question's number, and when it was asked.
    asked: (u64, Instant),
    /// When the lease ends that it had last.
    end: Option<End>,
    /// A number of the time that it leads without a break.
    reign: u64,
}

/// A candidate's side of the lease.
pub(crate) struct Lease<E: Env> {
    env: E,
    state: Rc<RefCell<State>>,
}

impl<E: Env> Lease<E> {
    /// Begins to ask `grantor` for the lease.
    pub(crate) fn ask(env: &E, grantor: NodeId, bug: Option<Bug>) -> Result<Self, NetError> {
        let socket = Rc::new(env.net().bind(PORT)?);
        let state = State { asked: (0, env.now()), end: None, reign: 0 };
        let state = Rc::new(RefCell::new(state));
        env.spawn("ask", ask(env.clone(), Rc::clone(&socket), grantor, Rc::clone(&state)));
        env.spawn("listen", listen(env.clone(), socket, Rc::clone(&state), bug));
        Ok(Self { env: env.clone(), state })
    }

    /// The number of this reign, if the node leads now.
    pub(crate) fn leads(&self) -> Option<u64> {
        let state = self.state.borrow();
        state.leads(&self.env).then_some(state.reign)
    }
}

impl State {
    fn leads(&self, env: &impl Env) -> bool {
        self.end.is_some_and(|end| !end.is_past(env))
    }
}

async fn ask<E: Env, S: Socket>(env: E, socket: Rc<S>, grantor: NodeId, state: Rc<RefCell<State>>) {
    for number in 1u64.. {
        state.borrow_mut().asked = (number, env.now());
        let question = Bytes::copy_from_slice(&number.to_le_bytes());
        socket.send(Address { node: grantor, port: PORT }, question).expect("it is small");
        env.sleep(ASK_EVERY).await;
    }
}

async fn listen<E: Env, S: Socket>(
    env: E,
    socket: Rc<S>,
    state: Rc<RefCell<State>>,
    bug: Option<Bug>,
) {
    // The margin covers a slow clock here and a fast one at the grantor.
    let lease = LEASE - LEASE * (2 * DRIFT_PPM) / 1_000_000;
    loop {
        let answer = socket.recv().await.payload;
        let Some([number, wall]) = words(&answer) else { continue };
        let mut state = state.borrow_mut();
        let (asked, at) = state.asked;
        // An answer to an earlier question may be old by any time.
        if number != asked {
            continue;
        }
        if !state.leads(&env) {
            state.reign = env.random();
        }
        state.end = Some(match bug {
            None => End::Monotonic(at + lease),
            Some(Bug::NoMargin) => End::Monotonic(at + LEASE),
            Some(Bug::WallClock) => End::Wall(WallTime(wall)),
        });
    }
}

/// The program of the node that grants.
pub(crate) async fn grantor<E: Env>(env: E, bug: Option<Bug>) -> Result<(), NetError> {
    let socket = env.net().bind(PORT)?;
    // One that was granted before this boot may still run.
    env.sleep(LEASE).await;
    let mut granted: Option<(NodeId, End)> = None;
    loop {
        let question = socket.recv().await;
        let Some([number]) = words(&question.payload) else { continue };
        let candidate = question.from.node;
        if granted.is_some_and(|(holder, end)| holder != candidate && !end.is_past(&env)) {
            continue;
        }
        let wall = env.wall().0.saturating_add(nanos(LEASE));
        let end = match bug {
            None | Some(Bug::NoMargin) => End::Monotonic(env.now() + LEASE),
            Some(Bug::WallClock) => End::Wall(WallTime(wall)),
        };
        granted = Some((candidate, end));
        let answer = [number, wall].map(u64::to_le_bytes).concat();
        socket.send(question.from, answer.into())?;
    }
}

/// A datagram of so many numbers, or none.
fn words<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let words = bytes.chunks(8).map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)));
    words.collect::<Option<Vec<_>>>()?.try_into().ok()
}

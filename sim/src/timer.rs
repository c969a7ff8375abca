//! Waiting for a moment: timers of a node's own clock, and work charged to its CPU.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    env::Instant,
    event::Doing,
    inspect::Wait,
    machine::SimEnv,
    power::Power,
    schedule::Wakeup,
    state::{Admission, State},
    trace::EffectKind,
};

/// Sees to it that a future is polled again at a certain time.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Wakeup>);

impl Alarm {
    /// Wakes the future being polled with `context` at `at_ns`, which is the same at each call.
    #[inline]
    pub(crate) fn set(&mut self, state: &mut State, context: &Context<'_>, at_ns: u64) {
        if self.0.as_ref().is_some_and(|wakeup| state.scheduler.wakes(wakeup, context)) {
            return;
        }
        let wakeup = state.scheduler.wakeup(context);
        state.wake_at(at_ns, &wakeup);
        self.0 = Some(wakeup);
    }
}

/// Waits for a moment of the node's clock.
pub(crate) struct Sleep {
    env: SimEnv,
    deadline: Instant,
    alarm: Alarm,
}

impl Sleep {
    pub(crate) fn new(env: SimEnv, deadline: Instant) -> Self {
        Self { env, deadline, alarm: Alarm::default() }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let (deadline, alarm) = (this.deadline.0, &mut this.alarm);
        let done = this.env.with(|state| {
            let clock = &state.nodes[usize::from(this.env.id().0.0)].clock;
            if clock.local(state.now_ns) >= deadline {
                return state.end_timer(&this.env, context);
            }
            let at_ns = clock.world(deadline);
            alarm.set(state, context, at_ns);
            state.waits(context, || Wait::Timer { until_ns: at_ns });
            false
        });
        if done == Some(true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Charges work to a node's CPU at its first poll, and waits for its end.
pub(crate) struct Busy {
    env: SimEnv,
    work_ns: u64,
    /// When the work is done, once it is charged.
    done_ns: Option<u64>,
    alarm: Alarm,
}

impl Busy {
    pub(crate) fn new(env: SimEnv, work_ns: u64) -> Self {
        Self { env, work_ns, done_ns: None, alarm: Alarm::default() }
    }
}

impl Future for Busy {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let done = this.env.with(|state| {
            let done_ns = match this.done_ns {
                Some(done_ns) => done_ns,
                None => state.charge(&this.env, this.work_ns, context)?,
            };
            this.done_ns = Some(done_ns);
            if state.now_ns >= done_ns {
                return Some(state.end_timer(&this.env, context));
            }
            this.alarm.set(state, context, done_ns);
            state.waits(context, || Wait::Cpu { until_ns: done_ns });
            None
        });
        if done.flatten() == Some(true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl State {
    /// Charges work to a node's CPU; tells when it will be done. `None` if that must wait.
    #[inline]
    fn charge(&mut self, env: &SimEnv, work_ns: u64, context: &Context<'_>) -> Option<u64> {
        let (id, boot) = env.id();
        let power = self.live(id, boot)?.power;
        if power == Power::Paused {
            self.hold(id, context);
            return None;
        }
        let (now_ns, work_ns) = (self.now_ns, self.throttled_ns(id, work_ns));
        let node = self.node(id);
        node.cpu_free_ns = node.cpu_free_ns.max(now_ns).saturating_add(work_ns);
        Some(node.cpu_free_ns)
    }

    /// The time of a timer has come. False if it does not end, or not now.
    #[inline]
    fn end_timer(&mut self, env: &SimEnv, context: &Context<'_>) -> bool {
        match self.effect(env.id(), EffectKind::Timer, 0, || Doing::Timer) {
            Admission::Happens => true,
            Admission::Held => {
                self.hold(env.id().0, context);
                false
            }
            Admission::Never => false,
        }
    }
}

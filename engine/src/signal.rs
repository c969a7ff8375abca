//! What one task of a node leaves for another, once.

use std::{
    cell::RefCell,
    task::{Context, Poll, Waker},
};

/// A place for a value that a task waits for.
#[derive(Debug)]
pub(crate) struct Signal<T> {
    value: RefCell<Option<T>>,
    waiting: RefCell<Option<Waker>>,
}

impl<T> Signal<T> {
    /// Nothing is there yet.
    pub(crate) fn new() -> Self {
        Self { value: RefCell::new(None), waiting: RefCell::new(None) }
    }

    /// Leaves the value; only the first counts.
    pub(crate) fn leave(&self, value: T) {
        self.value.borrow_mut().get_or_insert(value);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    /// Takes the value, if it is there.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<T> {
        if let Some(value) = self.value.take() {
            return Poll::Ready(value);
        }
        let mut waiting = self.waiting.borrow_mut();
        if waiting.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            *waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

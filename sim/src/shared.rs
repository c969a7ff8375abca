//! What a world and its handles share: the state, for as long as the world lives.
//!
//! A handle holds a place and not the state, which is gone with its world. So it need not be asked
//! at each call whether it may still be held.

use std::{
    cell::{Ref, RefCell, RefMut},
    fmt,
    rc::Rc,
};

use crate::state::State;

type Place = Rc<RefCell<Option<State>>>;

/// A world's own hold of its state.
pub(crate) struct Home(Place);

/// A handle's hold of it.
#[derive(Clone)]
pub(crate) struct Shared(Place);

impl Home {
    pub(crate) fn new(state: State) -> Self {
        Self(Rc::new(RefCell::new(Some(state))))
    }

    pub(crate) fn share(&self) -> Shared {
        Shared(Rc::clone(&self.0))
    }

    #[inline]
    pub(crate) fn borrow(&self) -> Ref<'_, State> {
        Ref::map(self.0.borrow(), |state| state.as_ref().expect("its world lives"))
    }

    #[inline]
    pub(crate) fn borrow_mut(&self) -> RefMut<'_, State> {
        RefMut::map(self.0.borrow_mut(), |state| state.as_mut().expect("its world lives"))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let state = self.0.borrow_mut().take();
        // What it holds may have handles of its own, and call the machine as it is dropped.
        drop(state);
    }
}

impl Shared {
    /// The state, or nothing when the world is gone.
    #[inline]
    pub(crate) fn borrow_mut(&self) -> RefMut<'_, Option<State>> {
        self.0.borrow_mut()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

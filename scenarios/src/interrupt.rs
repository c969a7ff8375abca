//! Ctrl-C, and the signal by which a scheduler ends a job: the first one lets the runs that are
//! going on finish, the second one ends the program at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::input::Invalid;

/// Whether somebody wants it to end.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub fn listen() -> Result<Self, Invalid> {
        let interrupt = Self::default();
        interrupt
            .register()
            .map_err(|error| Invalid::new(format!("cannot listen to signals: {error}")))?;
        Ok(interrupt)
    }

    #[cfg(unix)]
    fn register(&self) -> std::io::Result<()> {
        use signal_hook::{
            consts::{SIGINT, SIGTERM},
            flag,
        };
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag still down.
            let status = crate::cli::Status::Interrupted as i32;
            flag::register_conditional_shutdown(signal, status, Arc::clone(&self.0))?;
            flag::register(signal, Arc::clone(&self.0))?;
        }
        Ok(())
    }

    /// Elsewhere the first Ctrl-C ends the program.
    #[cfg(not(unix))]
    fn register(&self) -> std::io::Result<()> {
        Ok(())
    }

    /// Whether it came.
    #[must_use]
    pub fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

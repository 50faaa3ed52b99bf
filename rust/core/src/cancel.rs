//! A token with which the caller asks a running kernel to stop.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Result};

/// Shared between the thread that waits (and sees Ctrl-C) and the threads that work.
///
/// Kernels call [`CancelToken::check`] once per block of work, at most some 20 ms apart.
#[derive(Debug, Default)]
pub struct CancelToken(AtomicBool);

impl CancelToken {
    /// A token that has not been cancelled.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Asks every kernel that holds this token to return [`Error::Interrupted`] soon.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Fails once the token has been cancelled.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`].
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }
}

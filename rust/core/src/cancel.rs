//! A token with which the caller asks a running kernel to stop.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// Shared between whoever may stop a kernel and the threads that work.
///
/// Kernels call [`CancelToken::check`] once per block of work, at most some 20 ms apart.
#[derive(Debug, Default)]
pub struct CancelToken {
    is_cancelled: AtomicBool,
    question: Option<Question>,
}

/// What a kernel asks now and then, where no other thread looks on.
struct Question {
    began: Instant,
    every: Duration,
    /// When it is asked next, in milliseconds since `began`.
    due: AtomicU64,
    is_to_stop: Box<dyn Fn() -> bool + Send + Sync>,
}

impl CancelToken {
    /// A token that has not been cancelled.
    #[must_use]
    pub const fn new() -> Self {
        Self { is_cancelled: AtomicBool::new(false), question: None }
    }

    /// A token that asks by itself whether to stop, in checks that are no nearer than `every`: for a
    /// kernel on its caller's own thread.
    #[must_use]
    pub fn asking(every: Duration, is_to_stop: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let due = AtomicU64::new(every.as_millis() as u64);
        let is_to_stop = Box::new(is_to_stop);
        let question = Question { began: Instant::now(), every, due, is_to_stop };
        Self { is_cancelled: AtomicBool::new(false), question: Some(question) }
    }

    /// Asks every kernel that holds this token to return [`Error::Interrupted`] soon.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// Fails once the token has been cancelled.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`].
    pub fn check(&self) -> Result<()> {
        if self.question.as_ref().is_some_and(Question::says_stop) {
            self.cancel();
        }
        if self.is_cancelled.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }
}

impl Question {
    fn says_stop(&self) -> bool {
        let now = self.began.elapsed();
        if (now.as_millis() as u64) < self.due.load(Ordering::Relaxed) {
            return false;
        }
        self.due.store((now + self.every).as_millis() as u64, Ordering::Relaxed);
        (self.is_to_stop)()
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Question").field("every", &self.every).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn a_token_asks_no_more_often_than_it_should_and_stays_cancelled() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let every = Duration::from_millis(30);
        let token =
            CancelToken::asking(every, move || counted.fetch_add(1, Ordering::Relaxed) == 1);
        for _ in 0..1000 {
            assert_eq!(token.check(), Ok(()));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        std::thread::sleep(every);
        assert_eq!(token.check(), Ok(()));
        std::thread::sleep(every);
        assert_eq!(
            [token.check(), token.check()],
            [Err(Error::Interrupted), Err(Error::Interrupted)]
        );
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}

//! Blocks of independent work, in parallel inside a thread pool and in order outside one.
//!
//! Small calls run on the caller's own thread, outside any pool: waking threads would cost more
//! than the work, and rayon's global pool would not survive a `fork`.

use rayon::prelude::*;

use crate::{CancelToken, Result};

/// Calls `work` with each chunk of `out` and its index; checks `cancel` before each.
///
/// # Errors
///
/// The error of the lowest chunk that fails, whatever the number of threads, or
/// [`crate::Error::Interrupted`].
pub fn try_for_each_chunk<T: Send>(
    out: &mut [T],
    chunk_len: usize,
    cancel: &CancelToken,
    work: impl Fn(usize, &mut [T]) -> Result<()> + Sync,
) -> Result<()> {
    let step = |(index, chunk): (usize, &mut [T])| cancel.check().and_then(|()| work(index, chunk));
    if rayon::current_thread_index().is_none() {
        return out.chunks_mut(chunk_len).enumerate().try_for_each(step);
    }
    out.par_chunks_mut(chunk_len).enumerate().map(step).find_first(Result::is_err).unwrap_or(Ok(()))
}

/// Does both: at the same time inside a thread pool, one after the other outside.
pub fn join<A: Send, B: Send>(
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    if rayon::current_thread_index().is_none() {
        return (first(), second());
    }
    rayon::join(first, second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn fail_from(limit: usize) -> impl Fn(usize, &mut [u32]) -> Result<()> {
        move |index, _| {
            if index < limit {
                return Ok(());
            }
            Err(Error::Shape { name: "chunk", got: index, expected: 0 })
        }
    }

    #[test]
    fn the_lowest_error_wins_on_any_number_of_threads() {
        let lowest = Err(Error::Shape { name: "chunk", got: 37, expected: 0 });
        let mut out = vec![0; 1000];
        assert_eq!(try_for_each_chunk(&mut out, 3, &CancelToken::new(), fail_from(37)), lowest);
        for n_threads in [1, 2, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let got = pool
                .install(|| try_for_each_chunk(&mut out, 3, &CancelToken::new(), fail_from(37)));
            assert_eq!(got, lowest);
        }
    }

    #[test]
    fn a_cancelled_token_ends_the_work() {
        let cancel = CancelToken::new();
        cancel.cancel();
        let got = try_for_each_chunk(&mut [0; 4], 1, &cancel, |_, _| Ok(()));
        assert_eq!(got, Err(Error::Interrupted));
    }
}

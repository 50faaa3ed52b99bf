//! How fused scoring is split into tasks, and which error is reported if several tasks fail.

use std::ops::Range;

use rayon::prelude::*;

use super::simd::USERS;
use crate::{Error, Result};

/// The fewest items of a range, where a block's items are split into ranges too.
pub const RANGE_ITEMS: usize = 16_384;

/// The grid of tasks: blocks of users, each against ranges of items.
#[derive(Debug, Clone, Copy)]
pub struct TaskGrid {
    n_users: usize,
    n_items: usize,
    block_users: usize,
    range_items: usize,
    n_blocks: usize,
    /// Ranges of items per block; tasks go range by range, then block by block.
    pub n_ranges: usize,
}

impl TaskGrid {
    /// Enough tasks for the threads of this pool, of blocks as large as they may be.
    pub fn new(n_users: usize, n_items: usize, most_users: usize) -> Self {
        let in_pool = rayon::current_thread_index().is_some();
        let n_tasks = if in_pool { 4 * rayon::current_num_threads() } else { 1 };
        Self::of(n_users, n_items, most_users, n_tasks)
    }

    fn of(n_users: usize, n_items: usize, most_users: usize, n_tasks: usize) -> Self {
        let n_blocks = n_users.div_ceil(most_users).max(1);
        let n_ranges = n_tasks.div_ceil(n_blocks).clamp(1, (n_items / RANGE_ITEMS).max(1));
        let n_blocks = n_blocks.max((n_tasks / n_ranges).min(n_users / (8 * USERS)));
        let block_users = n_users.div_ceil(n_blocks).next_multiple_of(USERS).max(USERS);
        let range_items = n_items.div_ceil(n_ranges).max(1);
        let n_blocks = n_users.div_ceil(block_users);
        let n_ranges = n_items.div_ceil(range_items).max(1);
        Self { n_users, n_items, block_users, range_items, n_blocks, n_ranges }
    }

    pub fn users(&self, task: usize) -> Range<usize> {
        let begin = task / self.n_ranges * self.block_users;
        begin..(begin + self.block_users).min(self.n_users)
    }

    fn items(&self, task: usize) -> Range<usize> {
        let begin = task % self.n_ranges * self.range_items;
        begin..(begin + self.range_items).min(self.n_items)
    }

    /// What each range found for one user, taken out of the results of all tasks.
    pub fn parts_of<R: Default>(&self, user: usize, results: &mut [Vec<R>]) -> Vec<R> {
        let (block, row) = (user / self.block_users, user % self.block_users);
        let tasks = &mut results[block * self.n_ranges..][..self.n_ranges];
        tasks.iter_mut().map(|task| std::mem::take(&mut task[row])).collect()
    }

    /// The result of each task, in order, on the threads of this pool or on this thread.
    pub fn map_tasks<R: Send>(
        &self,
        work: impl Fn(Range<usize>, Range<usize>) -> Result<R> + Sync,
    ) -> Vec<Result<R>> {
        let tasks = 0..self.n_blocks * self.n_ranges;
        let work = |task| work(self.users(task), self.items(task));
        if rayon::current_thread_index().is_none() {
            return tasks.map(work).collect();
        }
        tasks.into_par_iter().with_max_len(1).map(work).collect()
    }
}

/// All results, or the error of the lowest row and column, whatever the grid.
pub fn lowest_error<R>(results: Vec<Result<R>>) -> Result<Vec<R>> {
    let place = |error: &Error| match *error {
        Error::NonFinite { name: "items", row, column, .. } => (1, row, column),
        Error::NonFinite { row, column, .. } => (2, row, column),
        _ => (0, 0, 0),
    };
    let lowest =
        results.iter().filter_map(|result| result.as_ref().err()).min_by_key(|error| place(error));
    match lowest {
        Some(error) => Err(error.clone()),
        None => results.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_cover_every_pair_once() {
        for (n_users, n_items, n_tasks) in
            [(0, 5, 4), (1, 100_000, 8), (7, 3, 8), (5000, 40_000, 32)]
        {
            let grid = TaskGrid::of(n_users, n_items, 768, n_tasks);
            let tasks = 0..grid.n_blocks * grid.n_ranges;
            let pairs: usize =
                tasks.map(|task| grid.users(task).len() * grid.items(task).len()).sum();
            assert_eq!(pairs, n_users * n_items);
        }
    }
}

//! Ranks and lists straight from user and item vectors, without the users x items matrix.
//!
//! A task is a block of users against a range of items. It packs its users once, then goes through
//! the items tile by tile: pack, multiply into a strip of a few users that stays in the L1 cache,
//! shift the scores of listed items, count or select. Tasks are independent and their results merge
//! exactly (sums of integers, or a total order), so nothing depends on how the work was cut.
//!
//! Performance diary (2 cores of an EPYC 9004, GFLOP/s; see [`super::simd`] for the product alone):
//! * the float32 product of MKL in tiles, which counts and selects nothing: 135 (d = 64), 158 (256);
//!   prototypes on the crates gemm and matrixmultiply reached 130 and 170 before anything was
//!   selected, and 93-125 with a million items: with the selection on top they would miss it;
//! * this file's counts: 204 (d = 64) and 208 (256), from 17,408 to a million items;
//! * checking that a tile is finite while it is packed costs less than a separate pass, and a bound
//!   on the sums of products saves checking the scores themselves.

use super::best::{Best, write_row};
use super::checks::{check_n, check_targets};
use super::counts::{Counts, tally};
use super::problem::ScoringProblem;
use super::simd::{Lanes, Level};
use super::task_grid::{TaskGrid, lowest_error};
use super::tile_pass::{ScoreConsumer, TilePass};
use super::top_n::TopN;
use crate::memory::filled;
use crate::{CancelToken, Error, Result};

/// Counts, for each user, the items above its target and the items equal to it.
///
/// # Errors
///
/// [`Error::Shape`], [`Error::ItemOutOfRange`] or [`Error::Value`] where the arrays do not fit
/// together; [`Error::NonFinite`] for a NaN or infinity in users, items or bias, or a score that
/// overflows; [`Error::MaskedTarget`]; [`Error::Interrupted`].
pub fn fused_rank_counts(
    problem: &ScoringProblem,
    targets: &[u32],
    cancel: &CancelToken,
) -> Result<Counts> {
    counts_at(Level::best(), problem, targets, cancel)
}

/// Lists the `n` best items of each user: score descending, then index ascending.
///
/// # Errors
///
/// [`Error::Parameter`] unless `1 <= n <= n_items`; [`Error::Memory`]; otherwise as
/// [`fused_rank_counts`].
pub fn fused_top_n(problem: &ScoringProblem, n: usize, cancel: &CancelToken) -> Result<TopN> {
    lists_at(Level::best(), problem, n, cancel)
}

fn counts_at(
    level: Level,
    problem: &ScoringProblem,
    targets: &[u32],
    cancel: &CancelToken,
) -> Result<Counts> {
    let pass = TilePass::new(level, problem)?;
    let (n_users, n_items) = problem.sizes();
    if targets.len() != n_users {
        return Err(Error::Shape { name: "targets", got: targets.len(), expected: n_users });
    }
    check_targets(targets, n_items)?;
    let scores = pass.target_scores(targets, cancel)?;
    let grid = TaskGrid::new(n_users, n_items, pass.block_users(0));
    let results = grid.map_tasks(|users, items| {
        let targets = &scores[users.clone()];
        let mut counting = Counting { targets, counts: vec![[0; 2]; users.len()] };
        pass.score(users, items, cancel, &mut counting)?;
        Ok(counting.counts)
    });
    let mut pairs = filled([0; 2], n_users)?;
    for (task, counts) in lowest_error(results)?.iter().enumerate() {
        for (sum, part) in pairs[grid.users(task)].iter_mut().zip(counts) {
            *sum = [sum[0] + part[0], sum[1] + part[1]];
        }
    }
    for [_, equal] in &mut pairs {
        *equal -= 1; // the target itself
    }
    Ok(Counts::from_pairs(&pairs))
}

fn lists_at(
    level: Level,
    problem: &ScoringProblem,
    n: usize,
    cancel: &CancelToken,
) -> Result<TopN> {
    let pass = TilePass::new(level, problem)?;
    let (n_users, n_items) = problem.sizes();
    check_n(n, n_items)?;
    let mut top = TopN::missing(n_users, n, n_items)?;
    let grid = TaskGrid::new(n_users, n_items, pass.block_users(n));
    let results = grid.map_tasks(|users, items| {
        let mut listing = Listing { best: users.clone().map(|_| Best::new(n)).collect() };
        pass.score(users, items, cancel, &mut listing)?;
        Ok(listing.best.iter_mut().map(|best| best.take().to_vec()).collect::<Vec<_>>())
    });
    let mut lists = lowest_error(results)?;
    let mut places = top.items.chunks_mut(n).zip(top.scores.chunks_mut(n));
    for parts in lists.chunks_mut(grid.n_ranges) {
        for row in 0..parts[0].len() {
            let mut keys: Vec<u64> =
                parts.iter_mut().flat_map(|part| std::mem::take(&mut part[row])).collect();
            keys.sort_unstable_by(|a, b| b.cmp(a));
            if let Some((items, scores)) = places.next() {
                write_row::<f32>(&keys, n_items, items, scores);
            }
        }
    }
    Ok(top)
}

struct Counting<'a> {
    targets: &'a [f32],
    counts: Vec<[u32; 2]>,
}

impl ScoreConsumer for Counting<'_> {
    #[inline(always)]
    fn consume(&mut self, _: impl Lanes, row: usize, _: usize, scores: &[f32]) {
        let tally = tally(scores, self.targets[row]);
        let [greater, equal] = &mut self.counts[row];
        *greater += tally.greater;
        *equal += tally.equal;
    }
}

struct Listing {
    best: Vec<Best<f32>>,
}

impl ScoreConsumer for Listing {
    #[inline(always)]
    fn consume(&mut self, lanes: impl Lanes, row: usize, first_item: usize, scores: &[f32]) {
        self.best[row].offer(lanes, first_item, scores);
    }
}

#[cfg(test)]
mod tests;

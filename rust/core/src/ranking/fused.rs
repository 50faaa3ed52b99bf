//! Ranks and lists straight from user and item vectors, without the users x items matrix.
//!
//! A task is a block of users against a range of items. It packs its users once, then goes through
//! the items tile by tile: pack, multiply into a strip of a few users that stays in the first cache,
//! move the scores of listed items, count or select. Tasks are independent and their results merge
//! exactly (sums of integers, or a total order), so nothing depends on how the work was cut.
//!
//! Performance diary: see [`super::simd`] for the product.

use std::cmp::Ordering;
use std::ops::Range;

use rayon::prelude::*;

use super::best::{Best, write_row};
use super::counts::{Counts, is_allowed, tally};
use super::panels::{Tile, Users, magnitude, pair_score, product, tile_items};
use super::simd::{Lanes, Level, Task, USERS};
use super::top_n::TopN;
use super::window::{Listed, Window};
use super::{check_n, check_targets, filled};
use crate::{Error, Result, Stop};

/// Users of a block at most: enough to make packing the items cheap, few enough to share out.
const BLOCK_USERS: usize = 128 * USERS;

/// Items of a range at least, where a block's items are shared out too.
const RANGE_ITEMS: usize = 16_384;

/// Bytes that the lists of one block may take before the block is made smaller.
const LIST_BYTES: usize = 8 << 20;

/// What is to be scored: the score of user `b` and item `i` is `users[b] . items[i] + bias[i]`, moved
/// by the window's shift if row `b` lists item `i`.
#[derive(Debug, Clone, Copy)]
pub struct Scoring<'a> {
    /// `(n_users, width)`, row-major, finite.
    pub users: &'a [f32],
    /// `(n_items, width)`, row-major, finite.
    pub items: &'a [f32],
    /// Numbers in a vector, at least 1.
    pub width: usize,
    /// `(n_items,)`, finite, or -inf to mask an item for all users.
    pub bias: Option<&'a [f32]>,
    /// Items listed per user.
    pub window: Option<Window<'a>>,
}

/// Counts, for each user, what scores above its target and what scores the same.
///
/// # Errors
///
/// [`Error::Shape`], [`Error::ItemOutOfRange`] or [`Error::Value`] where the arrays do not fit
/// together; [`Error::NonFinite`] for a NaN or infinity in users, items or bias, or a score that
/// overflows; [`Error::MaskedTarget`]; [`Error::Interrupted`].
pub fn fused_rank_counts(scoring: &Scoring, targets: &[u32], stop: &Stop) -> Result<Counts> {
    counts_at(Level::best(), scoring, targets, stop)
}

/// Lists the `n` best items of each user: score descending, then index ascending.
///
/// # Errors
///
/// [`Error::Parameter`] unless `1 <= n <= n_items`; [`Error::Memory`]; otherwise as
/// [`fused_rank_counts`].
pub fn fused_top_n(scoring: &Scoring, n: usize, stop: &Stop) -> Result<TopN> {
    lists_at(Level::best(), scoring, n, stop)
}

fn counts_at(level: Level, scoring: &Scoring, targets: &[u32], stop: &Stop) -> Result<Counts> {
    let walk = Walk::new(level, scoring)?;
    let (n_users, n_items) = scoring.sizes();
    if targets.len() != n_users {
        return Err(Error::Shape { name: "targets", got: targets.len(), expected: n_users });
    }
    check_targets(targets, n_items)?;
    let scores = walk.target_scores(targets, stop)?;
    let cuts = Cuts::new(n_users, n_items, walk.block_users(0));
    let results = cuts.share_out(|users, items| {
        let targets = &scores[users.clone()];
        let mut counting = Counting { targets, counts: vec![[0; 2]; users.len()] };
        walk.score(users, items, stop, &mut counting)?;
        Ok(counting.counts)
    });
    let mut pairs = filled([0; 2], Some(n_users))?;
    for (task, counts) in lowest_error(results)?.iter().enumerate() {
        for (sum, part) in pairs[cuts.users(task)].iter_mut().zip(counts) {
            *sum = [sum[0] + part[0], sum[1] + part[1]];
        }
    }
    for [_, equal] in &mut pairs {
        *equal -= 1; // the target itself
    }
    Ok(Counts::from_pairs(&pairs))
}

fn lists_at(level: Level, scoring: &Scoring, n: usize, stop: &Stop) -> Result<TopN> {
    let walk = Walk::new(level, scoring)?;
    let (n_users, n_items) = scoring.sizes();
    check_n(n, n_items)?;
    let mut top = TopN::missing(n_users, n, n_items)?;
    let cuts = Cuts::new(n_users, n_items, walk.block_users(n));
    let results = cuts.share_out(|users, items| {
        let mut listing = Listing { best: users.clone().map(|_| Best::new(n)).collect() };
        walk.score(users, items, stop, &mut listing)?;
        Ok(listing.best.iter_mut().map(|best| best.take().to_vec()).collect::<Vec<_>>())
    });
    let mut lists = lowest_error(results)?;
    let mut places = top.items.chunks_mut(n).zip(top.scores.chunks_mut(n));
    for parts in lists.chunks_mut(cuts.n_ranges) {
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

impl Scoring<'_> {
    /// Users and items.
    fn sizes(&self) -> (usize, usize) {
        (self.users.len() / self.width, self.items.len() / self.width)
    }

    fn check(&self) -> Result<()> {
        if self.width == 0 {
            return Err(Error::Parameter { name: "width", value: 0.0, rule: "at least 1" });
        }
        let (n_users, n_items) = self.sizes();
        for (name, values, n_rows) in
            [("users", self.users, n_users), ("items", self.items, n_items)]
        {
            let (got, expected) = (values.len(), n_rows * self.width);
            if got != expected {
                return Err(Error::Shape { name, got, expected });
            }
        }
        if let Some(bias) = self.bias {
            if bias.len() != n_items {
                return Err(Error::Shape { name: "bias", got: bias.len(), expected: n_items });
            }
            if let Some(row) = bias.iter().position(|&bias| !is_allowed(bias)) {
                let value = bias[row].into();
                return Err(Error::NonFinite { name: "bias", row, column: 0, value });
            }
        }
        self.window.map_or(Ok(()), |window| window.check(n_users, n_items))
    }
}

/// How the work is cut: blocks of users, each against ranges of items.
#[derive(Debug, Clone, Copy)]
struct Cuts {
    n_users: usize,
    n_items: usize,
    block_users: usize,
    range_items: usize,
    n_blocks: usize,
    n_ranges: usize,
}

impl Cuts {
    /// Enough tasks for the threads of this pool, of blocks as large as they may be.
    fn new(n_users: usize, n_items: usize, most_users: usize) -> Self {
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

    fn users(&self, task: usize) -> Range<usize> {
        let begin = task / self.n_ranges * self.block_users;
        begin..(begin + self.block_users).min(self.n_users)
    }

    fn items(&self, task: usize) -> Range<usize> {
        let begin = task % self.n_ranges * self.range_items;
        begin..(begin + self.range_items).min(self.n_items)
    }

    /// The result of each task, in order, on the threads of this pool or on this thread.
    fn share_out<R: Send>(
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

/// All results, or the error that comes first whatever the cut: of the lowest row and column.
fn lowest_error<R>(results: Vec<Result<R>>) -> Result<Vec<R>> {
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

/// A checked problem and the instructions to work on it with.
struct Walk<'a> {
    level: Level,
    scoring: &'a Scoring<'a>,
    /// The greatest magnitude a score can have is this times that of the items, plus `highest_shift`.
    highest_factor: f64,
    highest_shift: f64,
}

impl<'a> Walk<'a> {
    fn new(level: Level, scoring: &'a Scoring<'a>) -> Result<Self> {
        scoring.check()?;
        let users = magnitude("users", scoring.users, scoring.width, 0)?;
        let finite = |value: f32| if value.is_finite() { f64::from(value.abs()) } else { 0.0 };
        let bias =
            scoring.bias.map_or(0.0, |bias| bias.iter().copied().map(finite).fold(0.0, f64::max));
        let shift = scoring.window.map_or(0.0, |window| finite(window.shift));
        let highest_factor = f64::from(users) * scoring.width as f64;
        Ok(Self { level, scoring, highest_factor, highest_shift: bias + shift })
    }

    /// Users of a block at most, where each has a list of `n`.
    fn block_users(&self, n: usize) -> usize {
        let by_lists = LIST_BYTES / (8 * Best::<f32>::capacity(n));
        let by_width = (BLOCK_USERS * 1024) / self.scoring.width;
        (by_lists.min(by_width).clamp(USERS, BLOCK_USERS) / USERS) * USERS
    }

    fn user_rows(&self, users: Range<usize>) -> &'a [f32] {
        &self.scoring.users[users.start * self.scoring.width..users.end * self.scoring.width]
    }

    /// Whether a sum of products could leave the range of float32 (half of it, for rounding).
    fn may_overflow(&self, highest_item: f32) -> bool {
        let highest = self.highest_factor * f64::from(highest_item) + self.highest_shift;
        highest > f64::from(f32::MAX) / 2.0
    }

    /// Shows `consumer` the scores of `users` and `items`, item tiles in ascending order.
    fn score<C: Consumer>(
        &self,
        users: Range<usize>,
        items: Range<usize>,
        stop: &Stop,
        consumer: &mut C,
    ) -> Result<()> {
        let width = self.scoring.width;
        let block = Users::new(self.user_rows(users.clone()), width);
        let mut listed = Listed::new(self.scoring.window, users.clone(), &items);
        let micro = self.level.items();
        let step = tile_items(width, micro);
        let (mut tile, mut strip) = (Tile::default(), vec![0.0; USERS * step]);
        let mut refused: Option<Refused> = None;
        for begin in items.clone().step_by(step) {
            stop.check()?;
            let range = begin..(begin + step).min(items.end);
            let highest = tile.load(self.scoring.items, self.scoring.bias, width, range, micro)?;
            let checked = self.may_overflow(highest);
            let (block, tile, strip) = (&block, &tile, &mut strip[..USERS * tile.bias.len()]);
            let (listed, consumer) = (&mut listed, &mut *consumer);
            let found =
                self.level.run(Pass { block, tile, width, strip, listed, checked, consumer });
            refused = [refused, found].into_iter().flatten().min_by(Refused::place);
        }
        match refused {
            None => Ok(()),
            Some(Refused { row, item: column, score }) => {
                let (row, value) = (users.start + row, score.into());
                Err(Error::NonFinite { name: "scores", row, column, value })
            }
        }
    }

    /// The score of each row's target, as its tile will give it.
    fn target_scores(&self, targets: &[u32], stop: &Stop) -> Result<Vec<f32>> {
        let rows = self.scoring.users.chunks_exact(self.scoring.width).zip(targets).enumerate();
        rows.map(|(row, (user, &item))| {
            stop.check()?;
            self.target_score(row, user, item)
        })
        .collect()
    }

    fn target_score(&self, row: usize, user: &[f32], item: u32) -> Result<f32> {
        let Scoring { items, width, bias, window, .. } = *self.scoring;
        let column = item as usize;
        let vector = &items[column * width..][..width];
        let bias = bias.map_or(0.0, |bias| bias[column]);
        if bias == f32::NEG_INFINITY {
            return Err(Error::MaskedTarget { row, item });
        }
        magnitude("items", vector, width, column)?;
        let score = self.level.run(Pair { user, item: vector, bias });
        let listed = window.filter(|window| window.row(row).contains(&item));
        let moved = score + listed.map_or(0.0, |window| window.shift);
        if !score.is_finite() || !is_allowed(moved) {
            let value = if score.is_finite() { moved } else { score }.into();
            return Err(Error::NonFinite { name: "scores", row, column, value });
        }
        if moved == f32::NEG_INFINITY {
            return Err(Error::MaskedTarget { row, item });
        }
        Ok(moved)
    }
}

/// What is done with scores: `scores` are those of items `first_item..` for row `row` of the block.
trait Consumer {
    fn see(&mut self, lanes: impl Lanes, row: usize, first_item: usize, scores: &[f32]);
}

struct Counting<'a> {
    targets: &'a [f32],
    counts: Vec<[u32; 2]>,
}

impl Consumer for Counting<'_> {
    #[inline(always)]
    fn see(&mut self, _: impl Lanes, row: usize, _: usize, scores: &[f32]) {
        let tally = tally(scores, self.targets[row]);
        let [greater, equal] = &mut self.counts[row];
        *greater += tally.greater;
        *equal += tally.equal;
    }
}

struct Listing {
    best: Vec<Best<f32>>,
}

impl Consumer for Listing {
    #[inline(always)]
    fn see(&mut self, lanes: impl Lanes, row: usize, first_item: usize, scores: &[f32]) {
        self.best[row].see(lanes, first_item, scores);
    }
}

/// A score that overflowed; `row` counts within the block.
#[derive(Debug, Clone, Copy)]
struct Refused {
    row: usize,
    item: usize,
    score: f32,
}

impl Refused {
    fn place(&self, other: &Self) -> Ordering {
        (self.row, self.item).cmp(&(other.row, other.item))
    }
}

/// A block of users against one tile; gives the first score that is refused, if `checked`.
struct Pass<'a, C> {
    block: &'a Users,
    tile: &'a Tile,
    width: usize,
    strip: &'a mut [f32],
    listed: &'a mut Listed,
    checked: bool,
    consumer: &'a mut C,
}

impl<C: Consumer> Task for Pass<'_, C> {
    type Output = Option<Refused>;

    #[inline(always)]
    fn run<const ITEMS: usize, const FMA: bool>(self, lanes: impl Lanes) -> Option<Refused> {
        let Self { block, tile, width, strip, listed, checked, consumer } = self;
        let first_item = tile.items.start;
        let mut refused = None;
        for (panel, first_row) in block.panels(width).zip((0..).step_by(USERS)) {
            product::<ITEMS, FMA>(panel, tile, width, strip);
            let rows = first_row..block.len.min(first_row + USERS);
            for (row, scores) in rows.zip(strip.chunks_exact_mut(tile.bias.len())) {
                let scores = &mut scores[..tile.items.len()];
                if checked {
                    refused = refused.or_else(|| overflow(row, tile, scores));
                }
                listed.patch(row, first_item, scores);
                if checked {
                    refused = refused.or_else(|| infinite(row, first_item, scores));
                }
                consumer.see(lanes, row, first_item, scores);
            }
        }
        refused
    }
}

/// The first score that is not finite though its item is not masked.
#[inline(never)]
fn overflow(row: usize, tile: &Tile, scores: &[f32]) -> Option<Refused> {
    let masked = |bias: f32| bias == f32::NEG_INFINITY;
    let bad = scores.iter().zip(&tile.bias).position(|(s, &bias)| !s.is_finite() && !masked(bias));
    bad.map(|column| Refused { row, item: tile.items.start + column, score: scores[column] })
}

/// The first score that is NaN or +inf.
#[inline(never)]
fn infinite(row: usize, first_item: usize, scores: &[f32]) -> Option<Refused> {
    let bad = scores.iter().position(|&score| !is_allowed(score));
    bad.map(|column| Refused { row, item: first_item + column, score: scores[column] })
}

/// One pair of a user and an item.
struct Pair<'a> {
    user: &'a [f32],
    item: &'a [f32],
    bias: f32,
}

impl Task for Pair<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<const ITEMS: usize, const FMA: bool>(self, _: impl Lanes) -> f32 {
        pair_score::<FMA>(self.user, self.item, self.bias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranking::{rank_counts, top_n};

    const MASK: f32 = f32::NEG_INFINITY;

    /// Numbers in -1..1 that use all bits of a float.
    fn random(len: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..len).map(|_| next()).collect()
    }

    struct Problem {
        users: Vec<f32>,
        items: Vec<f32>,
        width: usize,
        bias: Vec<f32>,
        offsets: Vec<i64>,
        listed: Vec<u32>,
        targets: Vec<u32>,
    }

    impl Problem {
        fn new(n_users: usize, n_items: usize, width: usize, seed: u64) -> Self {
            let pick = |index: usize| (index * 7919 % n_items) as u32;
            let mut items = random(n_items * width, seed + 1);
            // Copies of items, so that ties are real.
            for copy in (3..n_items).step_by(3) {
                items.copy_within((copy - 3) * width..(copy - 2) * width, copy * width);
            }
            Self {
                users: random(n_users * width, seed),
                items,
                width,
                bias: (0..n_items).map(|item| if item % 7 == 1 { 0.25 } else { 0.0 }).collect(),
                offsets: (0..=n_users as i64).map(|row| row * 5).collect(),
                listed: (0..n_users * 5).map(|i| pick(i / 2 + i % 3)).collect(),
                targets: (0..n_users).map(pick).collect(),
            }
        }

        fn scoring(&self, shift: f32) -> Scoring<'_> {
            let window = Some(Window { offsets: &self.offsets, items: &self.listed, shift });
            let (users, items, bias) = (&self.users, &self.items, Some(self.bias.as_slice()));
            Scoring { users, items, width: self.width, bias, window }
        }

        /// The whole matrix of scores, pair by pair.
        fn matrix(&self, level: Level, shift: f32) -> Vec<f32> {
            let mut scores = Vec::new();
            for (row, user) in self.users.chunks(self.width).enumerate() {
                let first = scores.len();
                let pairs = self.items.chunks(self.width).zip(&self.bias);
                scores.extend(pairs.map(|(item, &bias)| level.run(Pair { user, item, bias })));
                let mut listed = self.scoring(shift).window.unwrap().row(row).to_vec();
                listed.sort_unstable();
                listed.dedup();
                for item in listed {
                    scores[first + item as usize] += shift;
                }
            }
            scores
        }
    }

    #[test]
    fn every_level_gives_the_counts_and_lists_of_its_own_matrix() {
        for (n_users, n_items, width) in [(1, 1, 1), (7, 64, 3), (13, 65, 64), (50, 1300, 17)] {
            let problem = Problem::new(n_users, n_items, width, 5);
            for level in Level::all() {
                let matrix = problem.matrix(level, 0.5);
                let scoring = problem.scoring(0.5);
                let counts = counts_at(level, &scoring, &problem.targets, &Stop::new());
                assert_eq!(counts, rank_counts(&matrix, n_items, &problem.targets, &Stop::new()));
                let n = n_items.min(9);
                let lists = lists_at(level, &scoring, n, &Stop::new());
                assert_eq!(lists, top_n(&matrix, n_users, n_items, n, &Stop::new()));
            }
        }
    }

    #[test]
    fn the_cut_changes_nothing() {
        let (n_users, n_items) = (100, 3 * RANGE_ITEMS + 5);
        let problem = Problem::new(n_users, n_items, 4, 11);
        let scoring = problem.scoring(MASK);
        let targets: Vec<u32> = (0..100).map(|row| row * 401 + 90).collect();
        let counts = fused_rank_counts(&scoring, &targets, &Stop::new());
        assert!(counts.is_ok());
        let lists = fused_top_n(&scoring, 20, &Stop::new());
        for n_threads in [1, 2, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| {
                assert_eq!(fused_rank_counts(&scoring, &targets, &Stop::new()), counts);
                assert_eq!(fused_top_n(&scoring, 20, &Stop::new()), lists);
            });
        }
    }

    #[test]
    fn tasks_cover_every_pair_once() {
        for (n_users, n_items, n_tasks) in
            [(0, 5, 4), (1, 100_000, 8), (7, 3, 8), (5000, 40_000, 32)]
        {
            let cuts = Cuts::of(n_users, n_items, BLOCK_USERS, n_tasks);
            let tasks = 0..cuts.n_blocks * cuts.n_ranges;
            let pairs: usize =
                tasks.map(|task| cuts.users(task).len() * cuts.items(task).len()).sum();
            assert_eq!(pairs, n_users * n_items);
        }
    }

    #[test]
    fn scores_that_overflow_are_refused_with_their_place() {
        let users = [1.0, 1e30];
        let items = [1.0, 2.0, 1e30, 3.0];
        let scoring = Scoring { users: &users, items: &items, width: 1, bias: None, window: None };
        let place = Error::NonFinite { name: "scores", row: 1, column: 2, value: f64::INFINITY };
        assert_eq!(fused_rank_counts(&scoring, &[0, 1], &Stop::new()), Err(place.clone()));
        assert_eq!(fused_top_n(&scoring, 2, &Stop::new()), Err(place));
        let scoring = Scoring { users: &users, items: &items[..2], ..scoring };
        assert!(fused_top_n(&scoring, 2, &Stop::new()).is_ok());
    }

    #[test]
    fn vectors_that_are_not_finite_are_refused_with_their_place() {
        let problem = Problem::new(5, 200, 3, 1);
        let mut items = problem.items.clone();
        items[150 * 3 + 1] = MASK;
        let scoring = Scoring { items: &items, ..problem.scoring(0.0) };
        let place = |name, row| Error::NonFinite { name, row, column: 1, value: MASK.into() };
        let got = fused_rank_counts(&scoring, &[0; 5], &Stop::new());
        assert_eq!(got, Err(place("items", 150)));
        let mut users = problem.users.clone();
        users[4 * 3 + 1] = MASK;
        let got = fused_top_n(&Scoring { users: &users, ..scoring }, 1, &Stop::new());
        assert_eq!(got, Err(place("users", 4)));
    }

    #[test]
    fn masked_targets_are_refused() {
        let (users, items, bias) = ([1.0, 1.0], [1.0, 2.0, 3.0], [0.0, MASK, 0.0]);
        let window = Window { offsets: &[0, 0, 1], items: &[2], shift: MASK };
        let (bias, window) = (Some(&bias[..]), Some(window));
        let scoring = Scoring { users: &users, items: &items, width: 1, bias, window };
        let counts = |targets| fused_rank_counts(&scoring, targets, &Stop::new());
        assert_eq!(counts(&[0, 0]).unwrap().greater, [1, 0]);
        assert_eq!(counts(&[1, 0]), Err(Error::MaskedTarget { row: 0, item: 1 }));
        assert_eq!(counts(&[0, 2]), Err(Error::MaskedTarget { row: 1, item: 2 }));
        assert_eq!(fused_top_n(&scoring, 3, &Stop::new()).unwrap().items, [2, 0, 3, 0, 3, 3]);
    }

    #[test]
    fn a_pulled_stop_ends_the_work() {
        let problem = Problem::new(5, 200, 3, 1);
        let stop = Stop::new();
        stop.pull();
        assert_eq!(fused_top_n(&problem.scoring(0.0), 1, &stop), Err(Error::Interrupted));
    }
}

//! A checked problem, and the pass of one block of users over a range of items.

use std::cmp::Ordering;
use std::ops::Range;

use super::best::Best;
use super::listed_items::MovedInBlock;
use super::panels::{Tile, Users, magnitude, pair_score, product, tile_items};
use super::problem::ScoringProblem;
use super::score::is_allowed;
use super::simd::{Lanes, Level, Task, USERS};
use crate::{CancelToken, Error, Result};

/// The most users of a block: enough to make packing the items cheap, few enough to give every
/// thread some.
const BLOCK_USERS: usize = 128 * USERS;

/// Bytes that the lists of one block may take before the block is made smaller.
const LIST_BYTES: usize = 8 << 20;

/// A checked problem and the instructions to work on it with.
pub struct TilePass<'a> {
    level: Level,
    problem: &'a ScoringProblem<'a>,
    /// The greatest magnitude a score can have is this times that of the items, plus `highest_shift`.
    highest_factor: f64,
    highest_shift: f64,
    highest_bias: f64,
}

impl<'a> TilePass<'a> {
    /// Checks the problem.
    pub fn new(level: Level, problem: &'a ScoringProblem<'a>) -> Result<Self> {
        problem.check()?;
        let users = magnitude("users", problem.users, problem.width, 0)?;
        let finite = |value: f32| if value.is_finite() { f64::from(value.abs()) } else { 0.0 };
        let bias =
            problem.bias.map_or(0.0, |bias| bias.iter().copied().map(finite).fold(0.0, f64::max));
        let shift = problem.moved.most();
        let highest_factor = f64::from(users) * problem.width as f64;
        Ok(Self { level, problem, highest_factor, highest_shift: bias + shift, highest_bias: bias })
    }

    /// The most users of a block where each has a list of `n`.
    pub fn block_users(&self, n: usize) -> usize {
        let by_lists = LIST_BYTES / (8 * Best::<f32>::capacity(n));
        let by_width = (BLOCK_USERS * 1024) / self.problem.width;
        (by_lists.min(by_width).clamp(USERS, BLOCK_USERS) / USERS) * USERS
    }

    fn user_rows(&self, users: Range<usize>) -> &'a [f32] {
        &self.problem.users[users.start * self.problem.width..users.end * self.problem.width]
    }

    /// Whether a sum of products could leave the range of float32 (half of it, for rounding).
    pub fn may_overflow(&self, highest_item: f32) -> bool {
        let highest = self.highest_factor * f64::from(highest_item) + self.highest_shift;
        highest > f64::from(f32::MAX) / 2.0
    }

    /// The greatest magnitude of a bias, masks aside.
    pub fn highest_bias(&self) -> f64 {
        self.highest_bias
    }

    /// Passes `consumer` the scores of `users` and `items`, item tiles in ascending order.
    pub fn score<C: ScoreConsumer>(
        &self,
        users: Range<usize>,
        items: Range<usize>,
        cancel: &CancelToken,
        consumer: &mut C,
    ) -> Result<()> {
        let width = self.problem.width;
        let block = Users::new(self.user_rows(users.clone()), width);
        let mut moved = MovedInBlock::new(self.problem.moved, users.clone(), &items);
        let micro = self.level.items();
        let step = tile_items(width, micro);
        let (mut tile, mut strip) = (Tile::default(), vec![0.0; USERS * step]);
        let mut refused: Option<Refused> = None;
        for begin in items.clone().step_by(step) {
            cancel.check()?;
            let range = begin..(begin + step).min(items.end);
            let highest = tile.load(self.problem.items, self.problem.bias, width, range, micro)?;
            let checked = self.may_overflow(highest);
            let (block, tile, strip) = (&block, &tile, &mut strip[..USERS * tile.bias.len()]);
            let (moved, consumer) = (&mut moved, &mut *consumer);
            let found =
                self.level.run(TileTask { block, tile, width, strip, moved, checked, consumer });
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
    pub fn target_scores(&self, targets: &[u32], cancel: &CancelToken) -> Result<Vec<f32>> {
        let rows = self.problem.users.chunks_exact(self.problem.width).zip(targets).enumerate();
        rows.map(|(row, (user, &item))| {
            cancel.check()?;
            self.target_score(row, user, item)
        })
        .collect()
    }

    fn target_score(&self, row: usize, user: &[f32], item: u32) -> Result<f32> {
        let ScoringProblem { items, width, bias, moved, .. } = *self.problem;
        let column = item as usize;
        let vector = &items[column * width..][..width];
        let bias = bias.map_or(0.0, |bias| bias[column]);
        if bias == f32::NEG_INFINITY {
            return Err(Error::MaskedTarget { row, item });
        }
        magnitude("items", vector, width, column)?;
        let score = self.level.run(Pair { user, item: vector, bias });
        let moved = score + moved.of(row, item);
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

/// What uses the scores: `scores` are those of items `first_item..` for row `row` of the block.
pub trait ScoreConsumer {
    fn consume(&mut self, lanes: impl Lanes, row: usize, first_item: usize, scores: &[f32]);
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
struct TileTask<'a, C> {
    block: &'a Users,
    tile: &'a Tile,
    width: usize,
    strip: &'a mut [f32],
    moved: &'a mut MovedInBlock,
    checked: bool,
    consumer: &'a mut C,
}

impl<C: ScoreConsumer> Task for TileTask<'_, C> {
    type Output = Option<Refused>;

    #[inline(always)]
    fn run<const ITEMS: usize, const FMA: bool>(self, lanes: impl Lanes) -> Option<Refused> {
        let Self { block, tile, width, strip, moved, checked, consumer } = self;
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
                moved.apply(row, first_item, scores);
                if checked {
                    refused = refused.or_else(|| infinite(row, first_item, scores));
                }
                consumer.consume(lanes, row, first_item, scores);
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
pub struct Pair<'a> {
    pub user: &'a [f32],
    pub item: &'a [f32],
    pub bias: f32,
}

impl Task for Pair<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<const ITEMS: usize, const FMA: bool>(self, _: impl Lanes) -> f32 {
        pair_score::<FMA>(self.user, self.item, self.bias)
    }
}

//! Lists of a few users among many items: a look at the codes of all items, and at the vectors of the
//! few that may be in the list.
//!
//! The codes say of each item a lower and an upper bound of its score. As many lower bounds as the list
//! has places, and one more for each item that is moved down, make a threshold: an item whose upper
//! bound is below it is in no list. All others are scored as [`super::fused_top_n`] scores them, to the
//! last bit, and so are all moved items, whatever their bounds.
//!
//! Performance diary (one user, 100,000 items, d = 64, one thread of two busy cores, CPU time):
//! * the exact pass: 7.2 ms, nearly all of it packing;
//! * codes row by row, plain Rust: 4.6 ms, the compiler makes no products of 16 bits of it;
//! * rows by AVX-512, a sum across lanes each: 0.63 ms;
//! * panels of 16 items, two numbers at a time, which need no sum across lanes: 0.49 ms; with loops
//!   over the bounds that vectorise, 0.40 ms, and 0.26 ms for each further user;
//! * on a Zen 3 with AVX2 (0.45 ms, 0.29 for each further user), codes widened once for four users and
//!   lower bounds made only where an item passes: 0.21 ms for each further user.

use std::ops::Range;

use super::best::{Best, write_row};
use super::checks::check_n;
use super::codes::{CodedItems, UserCodes, bias_slack, n_panels, stride};
use super::fused::fused_top_n;
use super::listed_items::MovedInBlock;
use super::panels::magnitude;
use super::problem::ScoringProblem;
use super::score::Wide;
use super::simd::{GROUP, Lanes, Level, PANEL, Task};
use super::task_grid::{TaskGrid, lowest_error};
use super::tile_pass::{Pair, TilePass};
use super::top_n::TopN;
use crate::{CancelToken, Error, Result};

/// Users that go over a tile of items one after the other.
const BLOCK_USERS: usize = 32;

/// Items whose codes stay in the cache meanwhile.
const TILE_ITEMS: usize = 4 * GROUP;

/// Tiles between two checks of the cancel token.
const CHECK_TILES: usize = 64;

/// Lists the `n` best items of each user, as [`fused_top_n`] does: the same items and the same bits.
///
/// # Errors
///
/// As [`fused_top_n`]; [`Error::Shape`] where the codes are not those of as many items.
pub fn coded_top_n(
    problem: &ScoringProblem,
    coded: CodedItems,
    n: usize,
    cancel: &CancelToken,
) -> Result<TopN> {
    let level = Level::best();
    let pass = TilePass::new(level, problem)?;
    let (n_users, n_items) = problem.sizes();
    check_n(n, n_items)?;
    let (stride, width) = (stride(problem.width), problem.width);
    for (name, got, expected) in [
        ("codes", coded.codes.len(), n_panels(n_items) * stride),
        ("scales", coded.scales.len(), n_items),
        ("slacks", coded.slacks.len(), n_items),
    ] {
        if got != expected {
            return Err(Error::Shape { name, got, expected });
        }
    }
    let highest_scale = magnitude("scales", coded.scales, 1, 0)?;
    let users: Option<Vec<UserCodes>> =
        problem.users.chunks_exact(width).map(UserCodes::new).collect::<Result<_>>()?;
    let Some(users) = users.filter(|_| !pass.may_overflow(128.0 * highest_scale)) else {
        return fused_top_n(problem, n, cancel);
    };
    let moved: Vec<Vec<(u32, f32)>> = (0..n_users)
        .map(|user| MovedInBlock::new(problem.moved, user..user + 1, &(0..n_items)).into_moves())
        .collect();
    let slack = bias_slack(width, pass.highest_bias());
    let grid = TaskGrid::new(n_users, n_items, BLOCK_USERS);
    let results = grid.map_tasks(|block, items| {
        // Groups stay whole: both ends of a range are moved to where a group begins.
        let [begin, end] = [items.start, items.end].map(|end| end.next_multiple_of(GROUP));
        let items = begin.min(n_items)..end.min(n_items);
        let mut searches: Vec<Search> =
            block.map(|user| Search::new(&users[user], n + n_lowered(&moved[user]))).collect();
        for (number, begin) in items.clone().step_by(TILE_ITEMS).enumerate() {
            if number % CHECK_TILES == 0 {
                cancel.check()?;
            }
            let items = begin..(begin + TILE_ITEMS).min(items.end);
            let searches = searches.as_mut_slice();
            level.run(SearchTile { coded, stride, bias: problem.bias, slack, items, searches });
        }
        Ok(searches.into_iter().map(Search::done).collect::<Vec<_>>())
    });
    let mut found = lowest_error(results)?;
    let mut top = TopN::missing(n_users, n, n_items)?;
    let places = top.items.chunks_mut(n).zip(top.scores.chunks_mut(n));
    for (user, (items, scores)) in places.enumerate() {
        let parts = grid.parts_of(user, &mut found);
        let places = n + n_lowered(&moved[user]);
        let keys = exact_keys(level, problem, user, &moved[user], may_be_listed(parts, places));
        write_row::<f32>(&keys[..keys.len().min(n)], n_items, items, scores);
    }
    Ok(top)
}

/// Items that are moved down: their lower bounds say nothing of their scores.
fn n_lowered(moved: &[(u32, f32)]) -> usize {
    moved.iter().filter(|(_, by)| *by < 0.0).count()
}

/// What a user has found in a range of items.
#[derive(Debug, Default)]
struct Found {
    /// Keys of the highest lower bounds.
    lowest: Vec<u64>,
    /// Items and upper bounds that were above the threshold when they went by.
    candidates: Vec<(u32, f32)>,
}

/// The candidates of all ranges that are above the threshold of all ranges.
fn may_be_listed(parts: Vec<Found>, places: usize) -> Vec<u32> {
    let mut keys: Vec<u64> = parts.iter().flat_map(|part| part.lowest.iter().copied()).collect();
    let mut threshold = f32::NEG_INFINITY;
    if keys.len() >= places {
        let (_, last, _) = keys.select_nth_unstable_by(places - 1, |a, b| b.cmp(a));
        threshold = f32::of_key(*last);
    }
    let candidates = parts.into_iter().flat_map(|part| part.candidates);
    candidates.filter(|&(_, upper)| upper >= threshold).map(|(item, _)| item).collect()
}

/// The keys of the exact scores of some items and of all that are moved, best first.
fn exact_keys(
    level: Level,
    problem: &ScoringProblem,
    row: usize,
    moved: &[(u32, f32)],
    candidates: Vec<u32>,
) -> Vec<u64> {
    let width = problem.width;
    let user = &problem.users[row * width..][..width];
    let is_moved = |item: &u32| moved.binary_search_by_key(item, |&(item, _)| item).is_ok();
    let others = candidates.into_iter().filter(|item| !is_moved(item)).map(|item| (item, 0.0));
    let mut keys: Vec<u64> = others
        .chain(moved.iter().copied())
        .filter_map(|(item, by)| {
            let place = item as usize;
            let vector = &problem.items[place * width..][..width];
            let bias = problem.bias.map_or(0.0, |bias| bias[place]);
            let score = level.run(Pair { user, item: vector, bias }) + by;
            (score > f32::NEG_INFINITY).then(|| score.key(item))
        })
        .collect();
    keys.sort_unstable_by(|a, b| b.cmp(a));
    keys
}

/// One user on its way through the items.
struct Search<'a> {
    user: &'a UserCodes,
    lowest: Best<f32>,
    candidates: Vec<(u32, f32)>,
}

impl<'a> Search<'a> {
    fn new(user: &'a UserCodes, places: usize) -> Self {
        Self { user, lowest: Best::new(places), candidates: Vec::new() }
    }

    fn done(mut self) -> Found {
        let lowest = self.lowest.take().to_vec();
        Found { lowest, candidates: self.candidates }
    }

    /// Looks at a group of items, the first of them `first`.
    #[inline(always)]
    fn look(&mut self, lanes: impl Lanes, first: usize, group: &Group, sums: &[i32]) {
        let threshold = self.lowest.threshold();
        let upper = group.bounds(self.user, sums, 1.0);
        let mut passing = lanes.above(&upper, threshold.next_down());
        if passing == 0 {
            return;
        }
        while passing != 0 {
            let place = passing.trailing_zeros() as usize;
            passing &= passing - 1;
            self.candidates.push(((first + place) as u32, upper[place]));
        }
        let lower = group.bounds(self.user, sums, -1.0);
        self.lowest.offer(lanes, first, &lower[..group.scales.len()]);
    }
}

/// What of a group of items, [`GROUP`] at most, its scores are made of.
struct Group<'a> {
    scales: &'a [f32],
    slacks: &'a [f32],
    bias: Option<&'a [f32]>,
    slack: f32,
}

impl Group<'_> {
    /// Bounds of the scores: upper ones for a `side` of 1, lower ones for -1; -inf behind the last item.
    #[inline(always)]
    fn bounds(&self, user: &UserCodes, sums: &[i32], side: f32) -> [f32; GROUP] {
        let mut bounds = [f32::NEG_INFINITY; GROUP];
        let items = self.scales.iter().zip(self.slacks).zip(sums);
        for (bound, ((&scale, &item_slack), &sum)) in bounds.iter_mut().zip(items) {
            let near = user.scale * scale * sum as f32;
            let off = user.length * item_slack + self.slack;
            *bound = near + side * off;
        }
        if let Some(bias) = self.bias {
            for (bound, bias) in bounds.iter_mut().zip(bias) {
                *bound += bias;
            }
        }
        bounds
    }
}

/// Some users against a tile of items.
struct SearchTile<'a, 'b> {
    coded: CodedItems<'a>,
    stride: usize,
    bias: Option<&'a [f32]>,
    slack: f32,
    items: Range<usize>,
    searches: &'b mut [Search<'a>],
}

impl Task for SearchTile<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<const ITEMS: usize, const FMA: bool>(mut self, lanes: impl Lanes) {
        let mut searches = std::mem::take(&mut self.searches).iter_mut();
        loop {
            let mut next = || searches.next();
            match [next(), next(), next(), next()] {
                [Some(a), Some(b), Some(c), Some(d)] => self.pass(lanes, [a, b, c, d]),
                [Some(a), Some(b), Some(c), None] => return self.pass(lanes, [a, b, c]),
                [Some(a), Some(b), None, _] => return self.pass(lanes, [a, b]),
                [Some(a), None, ..] => return self.pass(lanes, [a]),
                [None, ..] => return,
            }
        }
    }
}

impl SearchTile<'_, '_> {
    /// Takes some users through the tile: codes are widened once for all of them.
    #[inline(always)]
    fn pass<const U: usize>(&self, lanes: impl Lanes, mut searches: [&mut Search; U]) {
        for first in self.items.clone().step_by(GROUP) {
            let range = first..(first + GROUP).min(self.items.end);
            let panels = &self.coded.codes[first / PANEL * self.stride..];
            let mut sums = [[[0_i32; PANEL]; GROUP / PANEL]; U];
            let users = searches.each_ref().map(|search| search.user.pairs.as_slice());
            for (number, panel) in panels.chunks_exact(self.stride).take(GROUP / PANEL).enumerate()
            {
                let of_panel = lanes.dots(users, panel.as_chunks().0);
                for (sums, of_panel) in sums.iter_mut().zip(of_panel) {
                    sums[number] = of_panel;
                }
            }
            let group = Group {
                scales: &self.coded.scales[range.clone()],
                slacks: &self.coded.slacks[range.clone()],
                bias: self.bias.map(|bias| &bias[range]),
                slack: self.slack,
            };
            for (search, sums) in searches.iter_mut().zip(&sums) {
                search.look(lanes, first, &group, sums.as_flattened());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::codes::code_items;
    use super::super::listed_items::{ItemBonuses, ListedItems, MovedItems};
    use super::*;

    /// Numbers in -1..1.
    fn random(len: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn lists_are_those_of_the_exact_pass() {
        for (n_users, n_items, width) in
            [(1, 1, 1), (3, 63, 5), (2, 64, 32), (40, 1300, 17), (1, 40_001, 64), (5, 33_000, 8)]
        {
            let users = random(n_users * width, 3);
            let mut items = random(n_items * width, 4);
            for copy in (3..n_items).step_by(3) {
                items.copy_within((copy - 3) * width..(copy - 2) * width, copy * width);
            }
            let mut bias = random(n_items, 5);
            for masked in (0..n_items).step_by(11).skip(1) {
                bias[masked] = f32::NEG_INFINITY;
            }
            let listed: Vec<u32> =
                (0..n_users * 9).map(|i| (i * 7919 / 3 % n_items) as u32).collect();
            let offsets: Vec<i64> = (0..=n_users as i64).map(|row| row * 9).collect();
            let n_bonuses = n_items.min(30);
            let bonus_items: Vec<u32> = (0..n_users)
                .flat_map(|_| (0..n_bonuses).map(|i| (i * n_items / n_bonuses) as u32))
                .collect();
            let bonus_offsets: Vec<i64> =
                (0..=n_users).map(|row| (row * n_bonuses) as i64).collect();
            let values = random(n_users * n_bonuses, 6);
            let coded = code_items(&items, width, &CancelToken::new()).unwrap();
            let codes =
                CodedItems { codes: &coded.codes, scales: &coded.scales, slacks: &coded.slacks };
            for shift in [f32::NEG_INFINITY, -0.5, 0.5] {
                for (bias, is_moved) in [(None, false), (None, true), (Some(bias.as_slice()), true)]
                {
                    let moved = MovedItems {
                        listed: is_moved.then_some(ListedItems {
                            offsets: &offsets,
                            items: &listed,
                            shift,
                        }),
                        bonuses: is_moved.then_some(ItemBonuses {
                            offsets: &bonus_offsets,
                            items: &bonus_items,
                            values: &values,
                        }),
                    };
                    let problem =
                        ScoringProblem { users: &users, items: &items, width, bias, moved };
                    for n in [1, 20, 1300].map(|n| n.min(n_items)) {
                        let cancel = CancelToken::new();
                        let exact = fused_top_n(&problem, n, &cancel).unwrap();
                        let mine = coded_top_n(&problem, codes, n, &cancel).unwrap();
                        assert_eq!(mine, exact, "{n_users} {n_items} {width} {shift} {n}");
                        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
                        let shared =
                            pool.install(|| coded_top_n(&problem, codes, n, &cancel)).unwrap();
                        assert_eq!(shared, exact);
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_beyond_the_bounds_are_listed_by_the_exact_pass() {
        for (user, item) in [(1e-45, 1.0), (1e30, 1e8), (0.0, 1.0), (1.0, 0.0)] {
            let (users, items) = ([user, -user], [item, 0.0, 0.0, item, item, item]);
            let problem = ScoringProblem {
                users: &users,
                items: &items,
                width: 2,
                bias: None,
                moved: MovedItems::default(),
            };
            let coded = code_items(&items, 2, &CancelToken::new()).unwrap();
            let codes =
                CodedItems { codes: &coded.codes, scales: &coded.scales, slacks: &coded.slacks };
            let cancel = CancelToken::new();
            let got = coded_top_n(&problem, codes, 3, &cancel);
            assert_eq!(got, fused_top_n(&problem, 3, &cancel));
        }
    }

    #[test]
    fn codes_of_other_items_are_refused() {
        let items = [1.0; 4];
        let problem = ScoringProblem {
            users: &[1.0, 1.0],
            items: &items,
            width: 2,
            bias: None,
            moved: MovedItems::default(),
        };
        let coded = code_items(&items[..2], 2, &CancelToken::new()).unwrap();
        let codes =
            CodedItems { codes: &coded.codes, scales: &coded.scales, slacks: &coded.slacks };
        let got = coded_top_n(&problem, codes, 1, &CancelToken::new());
        assert!(matches!(got, Err(Error::Shape { name: "scales", .. })));
    }
}

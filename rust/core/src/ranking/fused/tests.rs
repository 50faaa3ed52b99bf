//! Fused counts and lists against those of the whole matrix.

use super::*;
use crate::ranking::listed_items::{ListedItems, MovedItems};
use crate::ranking::task_grid::RANGE_ITEMS;
use crate::ranking::tile_pass::Pair;
use crate::ranking::{rank_counts, top_n};

const MASK: f32 = f32::NEG_INFINITY;

/// Numbers in -1..1 that use all bits of a float.
fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

struct Example {
    users: Vec<f32>,
    items: Vec<f32>,
    width: usize,
    bias: Vec<f32>,
    offsets: Vec<i64>,
    listed: Vec<u32>,
    targets: Vec<u32>,
}

impl Example {
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

    fn problem(&self, shift: f32) -> ScoringProblem<'_> {
        let listed = Some(ListedItems { offsets: &self.offsets, items: &self.listed, shift });
        let (users, items, bias) = (&self.users, &self.items, Some(self.bias.as_slice()));
        let moved = MovedItems { listed, bonuses: None };
        ScoringProblem { users, items, width: self.width, bias, moved }
    }

    /// The whole matrix of scores, pair by pair.
    fn matrix(&self, level: Level, shift: f32) -> Vec<f32> {
        let mut scores = Vec::new();
        for (row, user) in self.users.chunks(self.width).enumerate() {
            let first = scores.len();
            let pairs = self.items.chunks(self.width).zip(&self.bias);
            scores.extend(pairs.map(|(item, &bias)| level.run(Pair { user, item, bias })));
            let mut listed = self.problem(shift).moved.listed.unwrap().row(row).to_vec();
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
        let example = Example::new(n_users, n_items, width, 5);
        for level in Level::all() {
            let matrix = example.matrix(level, 0.5);
            let problem = example.problem(0.5);
            let counts = counts_at(level, &problem, &example.targets, &CancelToken::new());
            assert_eq!(
                counts,
                rank_counts(&matrix, n_items, &example.targets, &CancelToken::new())
            );
            let n = n_items.min(9);
            let lists = lists_at(level, &problem, n, &CancelToken::new());
            assert_eq!(lists, top_n(&matrix, n_users, n_items, n, &CancelToken::new()));
        }
    }
}

#[test]
fn the_cut_changes_nothing() {
    let (n_users, n_items) = (100, 3 * RANGE_ITEMS + 5);
    let example = Example::new(n_users, n_items, 4, 11);
    let problem = example.problem(MASK);
    let targets: Vec<u32> = (0..100).map(|row| row * 401 + 90).collect();
    let counts = fused_rank_counts(&problem, &targets, &CancelToken::new());
    assert!(counts.is_ok());
    let lists = fused_top_n(&problem, 20, &CancelToken::new());
    for n_threads in [1, 2, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            assert_eq!(fused_rank_counts(&problem, &targets, &CancelToken::new()), counts);
            assert_eq!(fused_top_n(&problem, 20, &CancelToken::new()), lists);
        });
    }
}

#[test]
fn scores_that_overflow_are_refused_with_their_place() {
    let users = [1.0, 1e30];
    let items = [1.0, 2.0, 1e30, 3.0];
    let problem = ScoringProblem {
        users: &users,
        items: &items,
        width: 1,
        bias: None,
        moved: MovedItems::default(),
    };
    let place = Error::NonFinite { name: "scores", row: 1, column: 2, value: f64::INFINITY };
    assert_eq!(fused_rank_counts(&problem, &[0, 1], &CancelToken::new()), Err(place.clone()));
    assert_eq!(fused_top_n(&problem, 2, &CancelToken::new()), Err(place));
    let problem = ScoringProblem { users: &users, items: &items[..2], ..problem };
    assert!(fused_top_n(&problem, 2, &CancelToken::new()).is_ok());
}

#[test]
fn vectors_that_are_not_finite_are_refused_with_their_place() {
    let example = Example::new(5, 200, 3, 1);
    let mut items = example.items.clone();
    items[150 * 3 + 1] = MASK;
    let problem = ScoringProblem { items: &items, ..example.problem(0.0) };
    let place = |name, row| Error::NonFinite { name, row, column: 1, value: MASK.into() };
    let got = fused_rank_counts(&problem, &[0; 5], &CancelToken::new());
    assert_eq!(got, Err(place("items", 150)));
    let mut users = example.users.clone();
    users[4 * 3 + 1] = MASK;
    let got = fused_top_n(&ScoringProblem { users: &users, ..problem }, 1, &CancelToken::new());
    assert_eq!(got, Err(place("users", 4)));
}

#[test]
fn masked_targets_are_refused() {
    let (users, items, bias) = ([1.0, 1.0], [1.0, 2.0, 3.0], [0.0, MASK, 0.0]);
    let listed = ListedItems { offsets: &[0, 0, 1], items: &[2], shift: MASK };
    let (bias, listed) = (Some(&bias[..]), Some(listed));
    let problem = ScoringProblem {
        users: &users,
        items: &items,
        width: 1,
        bias,
        moved: MovedItems { listed, bonuses: None },
    };
    let counts = |targets| fused_rank_counts(&problem, targets, &CancelToken::new());
    assert_eq!(counts(&[0, 0]).unwrap().greater, [1, 0]);
    assert_eq!(counts(&[1, 0]), Err(Error::MaskedTarget { row: 0, item: 1 }));
    assert_eq!(counts(&[0, 2]), Err(Error::MaskedTarget { row: 1, item: 2 }));
    assert_eq!(fused_top_n(&problem, 3, &CancelToken::new()).unwrap().items, [2, 0, 3, 0, 3, 3]);
}

#[test]
fn a_cancelled_token_ends_the_work() {
    let example = Example::new(5, 200, 3, 1);
    let cancel = CancelToken::new();
    cancel.cancel();
    assert_eq!(fused_top_n(&example.problem(0.0), 1, &cancel), Err(Error::Interrupted));
}

//! Which items of one list are in another, row by row.
//!
//! # Performance diary
//!
//! Nanoseconds per item on one thread, a third of the items shared, for lists of 10, 20 and 100.
//!
//! - Each item with each, in vectors over the student's list: 3.3, 2.7, 11.
//! - A table of stamps by item, as in the numba peer: needs the size of the catalogue, and leaves the
//!   caches when that is large.
//! - A hash table in the L1 cache, stamped by row so that it is never cleared; an item whose slot is
//!   taken goes to a short list that is compared in vectors. 512 slots: 2.0, 4.7, 1.9; 2048
//!   slots: 2.0, 1.9, 2.0. It serves all lengths.
//! - The usual short lists, of a length known to the compiler, held in registers and compared with 8
//!   items at a time: 1.7 with a scalar rest of 2, 0.69 with the vectors reaching into the next row.

use super::checks::check_parameter;
use crate::memory::zeros;
use crate::shape::check_shape;
use crate::{CancelToken, Result, multiversion, parallel};

/// Elements of the result per unit of work.
const CHUNK: usize = 1 << 12;

/// Items marked at a time for short lists: a vector register of AVX2.
const LANES: usize = 8;

/// Slots of the table for lists of up to 128 items: 16 KiB, half of an L1 cache.
const MIN_SLOTS: usize = 2048;

/// Rows of items, row-major.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// The items of all rows.
    pub items: &'a [u32],
    /// Items per row.
    pub columns: usize,
}

impl<'a> Matrix<'a> {
    pub(super) fn check(self, name: &'static str, n_rows: usize) -> Result<()> {
        check_shape(name, self.items.len(), n_rows.saturating_mul(self.columns))
    }

    pub(super) fn row(self, row: usize) -> &'a [u32] {
        &self.items[row * self.columns..][..self.columns]
    }
}

/// Writes 1 where the student's list of the row holds the teacher's item, else 0.
///
/// `ranking` and `out` are `(rows, k)`; `student_top` has lists of any one length, in any order.
///
/// # Errors
///
/// [`crate::Error::Parameter`] for rows without columns; [`crate::Error::Shape`];
/// [`crate::Error::Memory`].
pub fn consistency_weight(
    ranking: Matrix,
    student_top: Matrix,
    out: &mut [f32],
    cancel: &CancelToken,
) -> Result<()> {
    let k = ranking.columns;
    check_parameter("k", k as f64, k >= 1, "at least 1")?;
    let n_rows = out.len() / k;
    ranking.check("ranking", n_rows)?;
    student_top.check("student_top", n_rows)?;
    check_shape("out", out.len(), ranking.items.len())?;
    let rows_per_chunk = rows_per_chunk(k);
    parallel::try_for_each_chunk(out, rows_per_chunk * k, cancel, |index, out| {
        let mut overlap = Overlap::new(student_top.columns)?;
        let first = index * rows_per_chunk;
        multiversion::run(Marks { overlap: &mut overlap, ranking, student_top, first, k, out });
        Ok(())
    })
}

/// The marks of the rows from `first` on, for the first `k` items of each.
pub(super) struct Marks<'a> {
    pub(super) overlap: &'a mut Overlap,
    pub(super) ranking: Matrix<'a>,
    pub(super) student_top: Matrix<'a>,
    pub(super) first: usize,
    pub(super) k: usize,
    pub(super) out: &'a mut [f32],
}

impl multiversion::Work for Marks<'_> {
    type Output = ();

    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn run(self) {
        match self.student_top.columns {
            5 => self.mark_short::<5>(),
            10 => self.mark_short::<10>(),
            _ => self.mark_any(),
        }
    }
}

impl Marks<'_> {
    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn mark_any(self) {
        for (row, hits) in (self.first..).zip(self.out.chunks_exact_mut(self.k)) {
            let items = &self.ranking.row(row)[..self.k];
            self.overlap.mark(items, self.student_top.row(row), hits);
        }
    }

    /// For lists of `N` items, which fit the vector registers: each item with the whole list.
    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn mark_short<const N: usize>(self) {
        let Self { ranking, student_top, first, k, out, .. } = self;
        let whole_vectors = k.next_multiple_of(LANES);
        let (lists, _) = student_top.items[first * N..].as_chunks::<N>();
        for (i, list) in (0..out.len() / k).zip(lists) {
            let (from, to) = ((first + i) * ranking.columns, i * k);
            // Whole vectors where there is room: the next row overwrites what is not this row's.
            let has_room =
                from + whole_vectors <= ranking.items.len() && to + whole_vectors <= out.len();
            let width = if has_room { whole_vectors } else { k };
            let (items, hits) = (&ranking.items[from..][..width], &mut out[to..][..width]);
            for (hit, &item) in hits.iter_mut().zip(items) {
                let found = list.iter().fold(0, |found, &other| found | all_ones(other == item));
                // All ones mask the bits of 1.0, zeros those of 0.0.
                *hit = f32::from_bits(found & 1.0_f32.to_bits());
            }
        }
    }
}

/// What vector comparisons give.
#[expect(clippy::inline_always, reason = "for multiversion::run")]
#[inline(always)]
fn all_ones(condition: bool) -> u32 {
    if condition { u32::MAX } else { 0 }
}

/// The rough number of elementary steps of [`consistency_weight`] and of all weights in one pass.
#[must_use]
pub fn overlap_steps(ranking: Matrix, student_top: Matrix) -> usize {
    ranking.items.len().saturating_add(student_top.items.len()).saturating_mul(2)
}

/// Rows per unit of work, so that a short list does not make many tiny ones.
pub(super) fn rows_per_chunk(k: usize) -> usize {
    (CHUNK / k).max(1)
}

/// A hash table of one list at a time, forgotten by counting up a stamp instead of clearing it.
pub(super) struct Overlap {
    /// The stamp of the list in the high half, the item in the low half.
    slots: Vec<u64>,
    shift: u32,
    stamp: u32,
    /// Items whose slot was taken by another item of the list.
    homeless: Vec<u32>,
}

impl Overlap {
    /// For lists of `len` items.
    pub(super) fn new(len: usize) -> Result<Self> {
        let spread = if len <= 1 << 12 { 16 } else { 2 };
        let n_slots =
            len.saturating_mul(spread).max(MIN_SLOTS).checked_next_power_of_two().unwrap_or(len);
        let slots = zeros(n_slots)?;
        Ok(Self { slots, shift: 32 - n_slots.ilog2().min(32), stamp: 0, homeless: Vec::new() })
    }

    /// Writes 1 where `list` holds the item, else 0.
    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    pub(super) fn mark(&mut self, items: &[u32], list: &[u32], hits: &mut [f32]) {
        self.fill(list);
        let high = u64::from(self.stamp) << 32;
        for (hit, &item) in hits.iter_mut().zip(items) {
            let found = self.slots[self.slot(item)] == high | u64::from(item);
            *hit = f32::from(u8::from(found));
        }
        for &homeless in &self.homeless {
            for (hit, &item) in hits.iter_mut().zip(items) {
                *hit = if item == homeless { 1.0 } else { *hit };
            }
        }
    }

    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn fill(&mut self, list: &[u32]) {
        self.homeless.clear();
        self.stamp += 1;
        for &item in list {
            let slot = self.slot(item);
            if self.slots[slot] >> 32 == u64::from(self.stamp) {
                self.homeless.push(item);
            } else {
                self.slots[slot] = u64::from(self.stamp) << 32 | u64::from(item);
            }
        }
    }

    #[expect(clippy::inline_always, reason = "for multiversion::run")]
    #[inline(always)]
    fn slot(&self, item: u32) -> usize {
        (item.wrapping_mul(0x9E37_79B1) >> self.shift) as usize % self.slots.len()
    }
}

//! Which items of one list are in another, row by row.

use super::{check_parameter, check_shape, zeros};
use crate::{Result, Stop, parallel};

/// Elements of the result per unit of work.
const CHUNK: usize = 1 << 14;

/// Items compared at a time: a vector register of the oldest x86-64.
const LANES: usize = 4;

/// The longest list that is compared pair by pair.
const SHORT: usize = 32;

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
    stop: &Stop,
) -> Result<()> {
    let k = ranking.columns;
    check_parameter("k", k as f64, k >= 1, "at least 1")?;
    let n_rows = out.len() / k;
    ranking.check("ranking", n_rows)?;
    student_top.check("student_top", n_rows)?;
    check_shape("out", out.len(), ranking.items.len())?;
    let rows_per_chunk = rows_per_chunk(k);
    parallel::try_for_each_chunk(out, rows_per_chunk * k, stop, |index, out| {
        let mut overlap = Overlap::new(student_top.columns)?;
        let first = index * rows_per_chunk;
        for (row, hits) in (first..).zip(out.chunks_exact_mut(k)) {
            overlap.mark(ranking.row(row), student_top.row(row), hits);
        }
        Ok(())
    })
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

/// Finds the overlap of one pair of lists after the other, reusing its memory.
pub(super) enum Overlap {
    /// Each item with each: lists are short.
    Pairs,
    Table(Table),
}

impl Overlap {
    /// For lists of `len` items.
    pub(super) fn new(len: usize) -> Result<Self> {
        if len <= SHORT { Ok(Self::Pairs) } else { Table::new(len).map(Self::Table) }
    }

    /// Writes 1 where `list` holds the item, else 0.
    #[inline]
    pub(super) fn mark(&mut self, items: &[u32], list: &[u32], hits: &mut [f32]) {
        match self {
            Self::Pairs => mark_pairs(items, list, hits),
            Self::Table(table) => table.mark(items, list, hits),
        }
    }
}

#[inline]
fn mark_pairs(items: &[u32], list: &[u32], hits: &mut [f32]) {
    let (vectors, rest) = items.as_chunks::<LANES>();
    let (hit_vectors, hit_rest) = hits.as_chunks_mut::<LANES>();
    for (items, hits) in vectors.iter().zip(hit_vectors) {
        *hits = mark_vector(*items, list);
    }
    let mut padded = [0; LANES];
    padded[..rest.len()].copy_from_slice(rest);
    if !rest.is_empty() {
        hit_rest.copy_from_slice(&mark_vector(padded, list)[..rest.len()]);
    }
}

#[inline]
fn mark_vector(items: [u32; LANES], list: &[u32]) -> [f32; LANES] {
    let mut found = [0; LANES];
    for &other in list {
        for lane in 0..LANES {
            found[lane] |= if items[lane] == other { u32::MAX } else { 0 };
        }
    }
    // All ones mask the bits of 1.0, zeros those of 0.0.
    found.map(|found| f32::from_bits(found & 1.0_f32.to_bits()))
}

/// A hash table of one list at a time, forgotten by counting up a stamp instead of clearing it.
pub(super) struct Table {
    /// The stamp of the list in the high half, the item in the low half.
    slots: Vec<u64>,
    shift: u32,
    stamp: u32,
    /// Items whose slot was taken by another item of the list.
    homeless: Vec<u32>,
}

impl Table {
    fn new(len: usize) -> Result<Self> {
        let spread = if len <= 1 << 12 { 16 } else { 2 };
        let n_slots = len.saturating_mul(spread).checked_next_power_of_two().unwrap_or(len);
        let slots = zeros(n_slots)?;
        Ok(Self { slots, shift: 32 - n_slots.ilog2().min(32), stamp: 0, homeless: Vec::new() })
    }

    fn mark(&mut self, items: &[u32], list: &[u32], hits: &mut [f32]) {
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

    #[inline]
    fn slot(&self, item: u32) -> usize {
        (item.wrapping_mul(0x9E37_79B1) >> self.shift) as usize % self.slots.len()
    }
}

//! User and item vectors in the order the product reads them, and the product itself.
//!
//! The score of a pair is one chain, `bias + u[0] * v[0] + u[1] * v[1] + ...` from left to right, each
//! step rounded once (with fused multiply-add) or twice (without). No step depends on where the pair
//! stands in a tile, so its bits are the same for any tiling, any batch of users, any number of
//! threads, and for [`pair_score`], which scores one pair alone.
//!
//! Performance diary (packing, GB/s per core, 512 vectors of 64 / 256 numbers in panels of 64):
//! * row by row into strided lines 13.8 / 6.5; line by line from strided rows 11 / 4.8;
//! * squares of 4 x 4 14.6 / 14.2, of 8 x 8 10.5 / 10.4, of 16 x 16 7.1 / 6.9.

use std::array;
use std::ops::Range;

use super::simd::{Lanes, Level, Task, USERS};
use crate::{Error, Result};

/// Floats of a packed tile of items: a quarter of an L2 cache of 1 MiB.
const TILE_FLOATS: usize = 1 << 16;

/// Items of a tile at most: a strip of their scores for [`USERS`] users stays in the L1 cache.
const TILE_ITEMS: usize = 512;

/// Items of a tile for vectors of `width` numbers: a multiple of `micro`, the items of a micro-tile.
pub fn tile_items(width: usize, micro: usize) -> usize {
    (TILE_FLOATS / width).clamp(1, TILE_ITEMS).next_multiple_of(micro)
}

/// Rows and columns of the squares that are transposed at once.
const SQUARE: usize = 4;

/// Packs rows of `width` numbers in panels of `rows_each`: `[panel][k][row]`, zeros for missing rows.
fn pack(rows: &[f32], width: usize, rows_each: usize, packed: &mut Vec<f32>) {
    let panels = rows.len().div_ceil(width * rows_each);
    packed.clear();
    packed.resize(panels * width * rows_each, 0.0);
    let sources = rows.chunks(width * rows_each);
    for (source, panel) in sources.zip(packed.chunks_exact_mut(width * rows_each)) {
        for (group, column) in source.chunks(width * SQUARE).zip((0..).step_by(SQUARE)) {
            pack_group(group, width, column, rows_each, panel);
        }
    }
}

/// Writes up to [`SQUARE`] rows to the columns from `column` of a panel with lines of `rows_each`.
fn pack_group(group: &[f32], width: usize, column: usize, rows_each: usize, panel: &mut [f32]) {
    let squares = if group.len() == width * SQUARE { width / SQUARE * SQUARE } else { 0 };
    for first in (0..squares).step_by(SQUARE) {
        let rows: [[f32; SQUARE]; SQUARE] =
            array::from_fn(|row| array::from_fn(|k| group[row * width + first + k]));
        let lines = panel[first * rows_each..].chunks_mut(rows_each);
        for (k, line) in lines.take(SQUARE).enumerate() {
            let turned: [f32; SQUARE] = array::from_fn(|row| rows[row][k]);
            line[column..column + SQUARE].copy_from_slice(&turned);
        }
    }
    for (row, numbers) in group.chunks_exact(width).enumerate() {
        for (line, &value) in panel.chunks_exact_mut(rows_each).zip(numbers).skip(squares) {
            line[column + row] = value;
        }
    }
}

/// A block of users, packed.
#[derive(Debug)]
pub struct Users {
    /// How many there are.
    pub len: usize,
    packed: Vec<f32>,
}

impl Users {
    pub fn new(rows: &[f32], width: usize) -> Self {
        let mut packed = Vec::new();
        pack(rows, width, USERS, &mut packed);
        Self { len: rows.len() / width, packed }
    }

    /// The users in panels of [`USERS`].
    #[inline(always)]
    pub fn panels(&self, width: usize) -> impl Iterator<Item = &[f32]> {
        self.packed.chunks_exact(width * USERS)
    }
}

/// A tile of items, packed, with their biases.
#[derive(Debug, Default)]
pub struct Tile {
    /// The items it holds.
    pub items: Range<usize>,
    /// Their biases, zeros where there are none, and zeros for the padding.
    pub bias: Vec<f32>,
    packed: Vec<f32>,
}

impl Tile {
    /// Packs `items` in panels of `micro`; gives their greatest magnitude.
    ///
    /// # Errors
    ///
    /// [`Error::NonFinite`] naming the first item with a NaN or an infinity.
    pub fn load(
        &mut self,
        all: &[f32],
        bias: Option<&[f32]>,
        width: usize,
        items: Range<usize>,
        micro: usize,
    ) -> Result<f32> {
        let rows = &all[items.start * width..items.end * width];
        let highest = magnitude("items", rows, width, items.start)?;
        pack(rows, width, micro, &mut self.packed);
        self.bias.clear();
        self.bias.extend(bias.map_or(&[][..], |bias| &bias[items.clone()]));
        self.bias.resize(items.len().next_multiple_of(micro), 0.0);
        self.items = items;
        Ok(highest)
    }
}

/// The greatest magnitude in `rows`, or the error for the first number that is not finite.
pub fn magnitude(name: &'static str, rows: &[f32], width: usize, first_row: usize) -> Result<f32> {
    let highest = f32::from_bits(Level::best().run(HighestBits(rows)));
    if highest.is_finite() {
        return Ok(highest);
    }
    let place = rows.iter().position(|value| !value.is_finite()).unwrap_or(0);
    let (row, column, value) = (first_row + place / width, place % width, rows[place].into());
    Err(Error::NonFinite { name, row, column, value })
}

/// The bits of the greatest magnitude: ordered as integers, NaN is above all else.
struct HighestBits<'a>(&'a [f32]);

impl Task for HighestBits<'_> {
    type Output = u32;

    #[inline(always)]
    fn run<const ITEMS: usize, const FMA: bool>(self, _: impl Lanes) -> u32 {
        self.0.iter().fold(0, |highest, value| highest.max(value.to_bits() & !(1 << 31)))
    }
}

/// Scores [`USERS`] packed users against a tile: `strip` is `(USERS, tile.bias.len())`.
#[inline(always)]
pub fn product<const ITEMS: usize, const FMA: bool>(
    users: &[f32],
    tile: &Tile,
    width: usize,
    strip: &mut [f32],
) {
    let stride = tile.bias.len();
    let panels = tile.packed.chunks_exact(width * ITEMS);
    for ((panel, bias), first) in panels.zip(tile.bias.as_chunks().0).zip((0..).step_by(ITEMS)) {
        let sums = micro_tile::<ITEMS, FMA>(users, panel, bias);
        for (row, sums) in strip.chunks_exact_mut(stride).zip(&sums) {
            row[first..first + ITEMS].copy_from_slice(sums);
        }
    }
}

#[inline(always)]
fn micro_tile<const ITEMS: usize, const FMA: bool>(
    users: &[f32],
    items: &[f32],
    bias: &[f32; ITEMS],
) -> [[f32; ITEMS]; USERS] {
    let mut sums = [*bias; USERS];
    for (users, items) in users.as_chunks::<USERS>().0.iter().zip(items.as_chunks::<ITEMS>().0) {
        // Indices, not iterators: this is the form that the compiler keeps in registers.
        for user in 0..USERS {
            for item in 0..ITEMS {
                sums[user][item] = step::<FMA>(sums[user][item], users[user], items[item]);
            }
        }
    }
    sums
}

#[inline(always)]
fn step<const FMA: bool>(sum: f32, user: f32, item: f32) -> f32 {
    if FMA { user.mul_add(item, sum) } else { sum + user * item }
}

/// The score of one pair, with the bits it has in a tile.
#[inline(always)]
pub fn pair_score<const FMA: bool>(user: &[f32], item: &[f32], bias: f32) -> f32 {
    user.iter().zip(item).fold(bias, |sum, (&user, &item)| step::<FMA>(sum, user, item))
}

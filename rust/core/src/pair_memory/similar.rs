//! The rows of a sparse matrix that are most similar to each row, by their dot products.
//!
//! A row's products run over its columns in their order, and over the rows of each column in
//! theirs: every sum has one order, whatever the number of threads.

use std::ops::Range;

use rayon::prelude::*;

use super::accumulator::Accumulator;
use super::counts::keep_highest;
use super::{Bonuses, finite, joined};
use crate::memory::{reserve, with_capacity, zeros};
use crate::shape::check_shape;
use crate::{CancelToken, Error, Result};

/// Rows of a task.
const TASK_ROWS: usize = 512;

/// Values between two checks of the cancel token.
const CHECK_PLACES: usize = 1 << 16;

/// A matrix whose row `r` has `values[offsets[r]..offsets[r + 1]]` in the columns of that range.
#[derive(Debug, Clone, Copy)]
pub struct SparseRows<'a> {
    /// `(rows + 1,)`, from 0 to `columns.len()`, never falling.
    pub offsets: &'a [i64],
    /// The columns that hold something.
    pub columns: &'a [u32],
    /// What they hold, finite.
    pub values: &'a [f32],
    /// Columns of the matrix.
    pub n_columns: usize,
}

impl SparseRows<'_> {
    fn check(&self) -> Result<()> {
        check_shape("values", self.values.len(), self.columns.len())?;
        let rises = self.offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        let end = self.columns.len() as i64;
        if self.offsets.first() != Some(&0) || self.offsets.last() != Some(&end) || !rises {
            let rule = "offsets that rise from 0 to the number of values";
            return Err(Error::Value { name: "offsets", row: 0, column: 0, value: 0.0, rule });
        }
        let n_items = self.n_columns;
        if let Some(row) = self.columns.iter().position(|&column| column as usize >= n_items) {
            let item = self.columns[row].into();
            return Err(Error::ItemOutOfRange { name: "columns", row, column: 0, item, n_items });
        }
        finite("values", self.values)
    }

    fn n_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    fn row(&self, row: usize) -> Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }
}

/// The same values by column.
struct Columns {
    begins: Vec<usize>,
    rows: Vec<u32>,
    values: Vec<f32>,
}

/// Returns of each row the `most` rows with the highest products above 0, itself left out.
///
/// Of equal products those of the lowest rows are kept; rows ascend within a row.
///
/// # Errors
///
/// Arrays that do not fit together, a value that is not finite, [`Error::Memory`], or
/// [`Error::Interrupted`].
pub fn similar_rows(matrix: SparseRows, most: usize, cancel: &CancelToken) -> Result<Bonuses> {
    matrix.check()?;
    let n_rows = matrix.n_rows();
    let columns = by_column(matrix, cancel)?;
    let work = |begin: usize| {
        most_similar(matrix, &columns, begin..(begin + TASK_ROWS).min(n_rows), most, cancel)
    };
    let begins: Vec<usize> = (0..n_rows).step_by(TASK_ROWS).collect();
    let parts: Vec<Result<Bonuses>> = if rayon::current_thread_index().is_some() {
        begins.into_par_iter().with_max_len(1).map(work).collect()
    } else {
        begins.into_iter().map(work).collect()
    };
    joined(parts.into_iter().collect::<Result<Vec<_>>>()?, n_rows, cancel)
}

fn by_column(matrix: SparseRows, cancel: &CancelToken) -> Result<Columns> {
    let mut begins: Vec<usize> = zeros(matrix.n_columns.saturating_add(1))?;
    for some in matrix.columns.chunks(CHECK_PLACES) {
        cancel.check()?;
        for &column in some {
            begins[column as usize + 1] += 1;
        }
    }
    for column in 0..matrix.n_columns {
        begins[column + 1] += begins[column];
    }
    let mut next = with_capacity(begins.len())?;
    next.extend_from_slice(&begins);
    let mut rows = zeros(matrix.columns.len())?;
    let mut values = zeros(matrix.columns.len())?;
    for row in 0..matrix.n_rows() {
        cancel.check()?;
        for place in matrix.row(row) {
            let next = &mut next[matrix.columns[place] as usize];
            (rows[*next], values[*next]) = (row as u32, matrix.values[place]);
            *next += 1;
        }
    }
    Ok(Columns { begins, rows, values })
}

fn most_similar(
    matrix: SparseRows,
    columns: &Columns,
    rows: Range<usize>,
    most: usize,
    cancel: &CancelToken,
) -> Result<Bonuses> {
    let mut sums = Accumulator::new(matrix.n_rows())?;
    let mut found = Bonuses { offsets: with_capacity(rows.len())?, ..Bonuses::default() };
    let mut others: Vec<(u32, f64)> = Vec::new();
    for row in rows {
        for place in matrix.row(row) {
            cancel.check()?;
            let column = matrix.columns[place] as usize;
            let value = f64::from(matrix.values[place]);
            let range = columns.begins[column]..columns.begins[column + 1];
            let with_column = columns.rows[range.clone()].iter().zip(&columns.values[range]);
            for (&other, &theirs) in with_column {
                sums.add(other, value * f64::from(theirs));
            }
        }
        others.clear();
        reserve(&mut others, sums.len())?;
        sums.drain(|other, sum| {
            if other as usize != row && sum > 0.0 {
                others.push((other, sum));
            }
        });
        keep_highest(&mut others, most);
        reserve(&mut found.items, others.len())?;
        reserve(&mut found.values, others.len())?;
        found.items.extend(others.iter().map(|&(other, _)| other));
        found.values.extend(others.iter().map(|&(_, sum)| sum as f32));
        found.offsets.push(found.items.len() as i64);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MATRIX: SparseRows<'_> = SparseRows {
        offsets: &[0, 2, 3, 3, 5, 6],
        columns: &[0, 1, 1, 0, 1, 0],
        values: &[1.0, 2.0, 3.0, 1.0, 1.0, -1.0],
        n_columns: 2,
    };

    #[test]
    fn the_highest_products_are_kept_of_equal_ones_the_lowest_rows() {
        let got = similar_rows(MATRIX, 9, &CancelToken::new()).unwrap();
        assert_eq!(got.offsets, [0, 2, 4, 4, 6, 6]);
        assert_eq!(got.items, [1, 3, 0, 3, 0, 1]);
        assert_eq!(got.values, [6.0, 3.0, 6.0, 3.0, 3.0, 3.0]);
        let got = similar_rows(MATRIX, 1, &CancelToken::new()).unwrap();
        assert_eq!((got.items, got.values), (vec![1, 0, 0], vec![6.0, 6.0, 3.0]));
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let n = 3000;
        let offsets: Vec<i64> = (0..=n).map(|row| 3 * row).collect();
        let columns: Vec<u32> = (0..3 * n).map(|i| (i * 7 % 101) as u32).collect();
        let values: Vec<f32> = (0..3 * n).map(|i| (i % 13) as f32 * 0.37).collect();
        let matrix =
            SparseRows { offsets: &offsets, columns: &columns, values: &values, n_columns: 101 };
        let alone = similar_rows(matrix, 20, &CancelToken::new()).unwrap();
        for n_threads in [1, 2, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let got = pool.install(|| similar_rows(matrix, 20, &CancelToken::new())).unwrap();
            assert_eq!(got, alone);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let cancel = CancelToken::new();
        for matrix in [
            SparseRows { offsets: &[], ..MATRIX },
            SparseRows { offsets: &[0, 2, 1, 3, 5, 6], ..MATRIX },
            SparseRows { n_columns: 1, ..MATRIX },
            SparseRows { values: &[1.0], ..MATRIX },
            SparseRows { values: &[1.0, 2.0, f32::NAN, 1.0, 1.0, 1.0], ..MATRIX },
        ] {
            assert!(similar_rows(matrix, 9, &cancel).is_err());
        }
        cancel.cancel();
        assert_eq!(similar_rows(MATRIX, 9, &cancel), Err(Error::Interrupted));
    }
}

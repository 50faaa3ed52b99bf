//! Bonuses of remembered pairs.

use dllm2rec_core::pair_memory::{self as kernels, MemoryWindows, PairTable, SparseRows};
use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::dense::c_order;
use crate::run::run;

type Bonuses<'py> =
    (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>);

#[pyfunction]
fn pair_bonuses<'py>(
    py: Python<'py>,
    sequences: PyReadonlyArray2<'py, u32>,
    lengths: PyReadonlyArray1<'py, u32>,
    age_weights: PyReadonlyArray1<'py, f32>,
    table: (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, u32>, PyReadonlyArray1<'py, f32>),
) -> PyResult<Bonuses<'py>> {
    let windows = MemoryWindows {
        sequences: c_order(&sequences, "sequences")?,
        lengths: c_order(&lengths, "lengths")?,
        age_weights: c_order(&age_weights, "age_weights")?,
    };
    let table = PairTable {
        offsets: c_order(&table.0, "offsets")?,
        items: c_order(&table.1, "items")?,
        values: c_order(&table.2, "values")?,
    };
    let mean = table.items.len() / table.offsets.len().max(1) + 1;
    let steps = windows.sequences.len().saturating_mul(mean);
    let found = run(py, steps, |cancel| kernels::pair_bonuses(windows, table, cancel))?;
    let items = PyArray1::from_vec(py, found.items);
    Ok((PyArray1::from_vec(py, found.offsets), items, PyArray1::from_vec(py, found.values)))
}

type Counts<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
);

#[pyfunction]
fn count_pairs<'py>(
    py: Python<'py>,
    sequences: PyReadonlyArray2<'py, u32>,
    lengths: PyReadonlyArray1<'py, u32>,
    targets: PyReadonlyArray1<'py, u32>,
    age_weights: PyReadonlyArray1<'py, f32>,
    n_items: usize,
    most: usize,
) -> PyResult<Counts<'py>> {
    let windows = MemoryWindows {
        sequences: c_order(&sequences, "sequences")?,
        lengths: c_order(&lengths, "lengths")?,
        age_weights: c_order(&age_weights, "age_weights")?,
    };
    let targets = c_order(&targets, "targets")?;
    let steps = windows.sequences.len().saturating_mul(16);
    let found =
        run(py, steps, |cancel| kernels::count_pairs(windows, targets, n_items, most, cancel))?;
    Ok((
        PyArray1::from_vec(py, found.offsets),
        PyArray1::from_vec(py, found.items),
        PyArray1::from_vec(py, found.counts),
        PyArray1::from_vec(py, found.row_sums),
    ))
}

#[pyfunction]
fn similar_rows<'py>(
    py: Python<'py>,
    matrix: (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, u32>, PyReadonlyArray1<'py, f32>),
    n_columns: usize,
    most: usize,
) -> PyResult<Bonuses<'py>> {
    let matrix = SparseRows {
        offsets: c_order(&matrix.0, "offsets")?,
        columns: c_order(&matrix.1, "columns")?,
        values: c_order(&matrix.2, "values")?,
        n_columns,
    };
    let mean = matrix.columns.len() / n_columns.max(1) + 1;
    let steps = matrix.columns.len().saturating_mul(mean);
    let found = run(py, steps, |cancel| kernels::similar_rows(matrix, most, cancel))?;
    let items = PyArray1::from_vec(py, found.items);
    Ok((PyArray1::from_vec(py, found.offsets), items, PyArray1::from_vec(py, found.values)))
}

/// Adds this room's functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(count_pairs, module)?)?;
    module.add_function(wrap_pyfunction!(pair_bonuses, module)?)?;
    module.add_function(wrap_pyfunction!(similar_rows, module)?)
}

//! Negatives.

use dllm2rec_core::negatives::{self, Draws, Rows};
use numpy::{PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::dense::{c_order, empty};
use crate::run::run;

#[pyfunction]
#[pyo3(signature = (events, begin, end, keys, *, n_items, n_negatives, seed, epoch))]
#[expect(clippy::too_many_arguments)]
fn sample_negatives<'py>(
    py: Python<'py>,
    events: PyReadonlyArray1<'py, u32>,
    begin: PyReadonlyArray1<'py, i64>,
    end: PyReadonlyArray1<'py, i64>,
    keys: PyReadonlyArray1<'py, u64>,
    n_items: usize,
    n_negatives: usize,
    seed: u64,
    epoch: u64,
) -> PyResult<Bound<'py, PyArray2<u32>>> {
    let rows = Rows {
        events: c_order(&events, "events")?,
        begin: c_order(&begin, "begin")?,
        end: c_order(&end, "end")?,
        keys: c_order(&keys, "keys")?,
    };
    let draws = Draws { n_items, n_negatives, seed, epoch };
    let out = empty(py, [rows.keys.len(), n_negatives])?;
    let mut values = out.readwrite();
    let slice = values.as_slice_mut()?;
    let steps = negatives::steps(rows, draws);
    run(py, steps, |cancel| negatives::sample_negatives(rows, draws, slice, cancel))?;
    drop(values);
    Ok(out)
}

/// Adds this room's functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(sample_negatives, module)?)
}

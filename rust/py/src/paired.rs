//! Paired statistics.

use dllm2rec_core::paired::{self, Values};
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::dense::{c_order, empty};
use crate::run::run;

#[pyfunction]
#[pyo3(signature = (values, counts, *, n_draws, seed))]
fn bootstrap_sums<'py>(
    py: Python<'py>,
    values: PyReadonlyArray1<'py, f64>,
    counts: PyReadonlyArray1<'py, u64>,
    n_draws: usize,
    seed: u64,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let given = Values { values: c_order(&values, "values")?, counts: c_order(&counts, "counts")? };
    let out = empty(py, [n_draws])?;
    let mut sums = out.readwrite();
    let slice = sums.as_slice_mut()?;
    let steps = paired::bootstrap_steps(given, n_draws);
    run(py, steps, |cancel| paired::bootstrap_sums(given, seed, slice, cancel))?;
    drop(sums);
    Ok(out)
}

#[pyfunction]
#[pyo3(signature = (values, counts, *, n_draws, seed))]
fn sign_sums<'py>(
    py: Python<'py>,
    values: PyReadonlyArray1<'py, f64>,
    counts: PyReadonlyArray1<'py, u64>,
    n_draws: usize,
    seed: u64,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let given = Values { values: c_order(&values, "values")?, counts: c_order(&counts, "counts")? };
    let out = empty(py, [n_draws])?;
    let mut sums = out.readwrite();
    let slice = sums.as_slice_mut()?;
    let steps = paired::sign_steps(given, n_draws);
    run(py, steps, |cancel| paired::sign_sums(given, seed, slice, cancel))?;
    drop(sums);
    Ok(out)
}

/// Adds this room's functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(bootstrap_sums, module)?)?;
    module.add_function(wrap_pyfunction!(sign_sums, module)?)
}

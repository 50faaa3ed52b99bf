//! Sums over the catalogue, and their gradient.

use dllm2rec_core::catalogue::{self, Problem};
use numpy::{PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::dense::{c_order, empty};
use crate::errors::InputError;
use crate::run::run;

/// The exponentials and products of a score, as elementary steps.
const STEPS: usize = 8;

#[pyfunction]
#[pyo3(signature = (scores, targets, slope, in_softmax, softmax))]
fn log_sums<'py>(
    py: Python<'py>,
    scores: PyReadonlyArray2<'py, f32>,
    targets: PyReadonlyArray1<'py, i64>,
    slope: Option<PyReadonlyArray1<'py, f32>>,
    in_softmax: Option<PyReadonlyArray1<'py, bool>>,
    softmax: bool,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let width = scores.shape()[1];
    let problem = problem(width, &targets, slope.as_ref(), in_softmax.as_ref(), softmax)?;
    let values = c_order(&scores, "scores")?;
    let out = empty(py, [problem.targets.len(), 2])?;
    let mut sums = out.readwrite();
    let slice = sums.as_slice_mut()?;
    let steps = values.len().saturating_mul(STEPS);
    run(py, steps, |cancel| catalogue::log_sums(values, problem, slice, cancel))?;
    drop(sums);
    Ok(out)
}

#[pyfunction]
#[pyo3(signature = (scores, targets, slope, in_softmax, stats, softmax))]
fn score_gradient_<'py>(
    py: Python<'py>,
    scores: Bound<'py, PyArray2<f32>>,
    targets: PyReadonlyArray1<'py, i64>,
    slope: Option<PyReadonlyArray1<'py, f32>>,
    in_softmax: Option<PyReadonlyArray1<'py, bool>>,
    stats: PyReadonlyArray2<'py, f64>,
    softmax: bool,
) -> PyResult<()> {
    let width = scores.shape()[1];
    let problem = problem(width, &targets, slope.as_ref(), in_softmax.as_ref(), softmax)?;
    let stats = c_order(&stats, "stats")?;
    // As an argument of its own kind, an array that may not be written to would be a panic.
    let mut scores = scores.try_readwrite().map_err(|err| {
        InputError::new_err(format!("scores: {err}, expected an array that may be written to"))
    })?;
    if !scores.is_c_contiguous() {
        return Err(InputError::new_err("scores: strided values, expected an array in C order"));
    }
    let values = scores.as_slice_mut()?;
    let steps = values.len().saturating_mul(STEPS);
    run(py, steps, |cancel| catalogue::gradient(values, problem, stats, cancel))
}

fn problem<'a>(
    width: usize,
    targets: &'a PyReadonlyArray1<'_, i64>,
    slope: Option<&'a PyReadonlyArray1<'_, f32>>,
    in_softmax: Option<&'a PyReadonlyArray1<'_, bool>>,
    softmax: bool,
) -> PyResult<Problem<'a>> {
    Ok(Problem {
        width,
        targets: c_order(targets, "targets")?,
        softmax,
        counted: in_softmax.map(|array| c_order(array, "in_softmax")).transpose()?,
        slope: slope.map(|array| c_order(array, "slope")).transpose()?,
    })
}

/// Adds this room's functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(log_sums, module)?)?;
    module.add_function(wrap_pyfunction!(score_gradient_, module)?)
}

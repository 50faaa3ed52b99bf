//! Weights.

use dllm2rec_core::weights::{self, Blend, Confidence, Matrix};
use numpy::{
    PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArrayDyn,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;

use crate::dense::{c_order, empty};
use crate::errors::InputError;
use crate::run::run;

fn matrix<'a>(items: &'a PyReadonlyArray2<'_, u32>, name: &str) -> PyResult<Matrix<'a>> {
    Ok(Matrix { items: c_order(items, name)?, columns: items.shape()[1] })
}

fn confidence_of<'a>(array: &'a PyReadonlyArrayDyn<'_, f32>) -> PyResult<Confidence<'a>> {
    let values = c_order(array, "confidence")?;
    match array.ndim() {
        1 => Ok(Confidence::PerRow(values)),
        2 => Ok(Confidence::PerItem(values)),
        n => Err(InputError::new_err(format!("confidence: {n} axes, expected (R,) or (R, K)"))),
    }
}

#[pyfunction]
fn position_weight(
    py: Python<'_>,
    k: usize,
    temperature: f64,
) -> PyResult<Bound<'_, PyArray1<f32>>> {
    let out = empty(py, [k])?;
    let mut values = out.readwrite();
    let slice = values.as_slice_mut()?;
    run(py, k, |_| weights::position_weight(temperature, slice))?;
    drop(values);
    Ok(out)
}

#[pyfunction]
fn sequence_confidence<'py>(
    py: Python<'py>,
    target_distance: PyReadonlyArray1<'py, f32>,
    temperature: f64,
    k: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let distance = c_order(&target_distance, "target_distance")?;
    let out = empty(py, [distance.len()])?;
    let mut values = out.readwrite();
    let slice = values.as_slice_mut()?;
    let steps = distance.len().saturating_mul(4);
    run(py, steps, |cancel| weights::sequence_confidence(distance, temperature, k, slice, cancel))?;
    drop(values);
    Ok(out)
}

#[pyfunction]
fn candidate_confidence<'py>(
    py: Python<'py>,
    distance: PyReadonlyArray2<'py, f32>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let k = distance.shape()[1];
    let out = empty(py, distance.dims())?;
    let distance = c_order(&distance, "distance")?;
    let mut values = out.readwrite();
    let slice = values.as_slice_mut()?;
    let steps = distance.len().saturating_mul(2);
    run(py, steps, |cancel| weights::candidate_confidence(distance, k, slice, cancel))?;
    drop(values);
    Ok(out)
}

#[pyfunction]
fn consistency_from_scores<'py>(
    py: Python<'py>,
    scores: PyReadonlyArray2<'py, f32>,
    ranking: PyReadonlyArray2<'py, u32>,
    k: usize,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let n_items = scores.shape()[1];
    let out = empty(py, ranking.dims())?;
    let (scores, ranking) = (c_order(&scores, "scores")?, matrix(&ranking, "ranking")?);
    let mut values = out.readwrite();
    let slice = values.as_slice_mut()?;
    run(py, scores.len(), |cancel| {
        weights::consistency_from_scores(scores, n_items, ranking, k, slice, cancel)
    })?;
    drop(values);
    Ok(out)
}

#[pyfunction]
fn blend_weights<'py>(
    py: Python<'py>,
    position: PyReadonlyArray1<'py, f32>,
    confidence: PyReadonlyArrayDyn<'py, f32>,
    consistency: Option<PyReadonlyArray2<'py, f32>>,
    gammas: [f64; 3],
    normalise: bool,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let k = position.len();
    let n_rows = confidence.shape().first().copied().unwrap_or_default();
    let out = empty(py, [n_rows, k])?;
    let (position, confidence) = (c_order(&position, "position")?, confidence_of(&confidence)?);
    let consistency =
        consistency.as_ref().map(|array| c_order(array, "consistency")).transpose()?;
    let blend = Blend { gammas, normalise };
    let mut values = out.readwrite();
    let slice = values.as_slice_mut()?;
    let steps = slice.len();
    run(py, steps, |cancel| {
        weights::blend_weights(position, confidence, consistency, blend, slice, cancel)
    })?;
    drop(values);
    Ok(out)
}

#[pyfunction]
fn blend_distances<'py>(
    py: Python<'py>,
    position: PyReadonlyArray1<'py, f32>,
    distance: PyReadonlyArray2<'py, f32>,
    gammas: [f64; 3],
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let out = empty(py, [distance.dims()[0], position.len()])?;
    let (position, distance) = (c_order(&position, "position")?, c_order(&distance, "distance")?);
    let blend = Blend { gammas, normalise: false };
    let mut values = out.readwrite();
    let slice = values.as_slice_mut()?;
    let steps = distance.len().saturating_mul(2);
    run(py, steps, |cancel| weights::blend_distances(position, distance, blend, slice, cancel))?;
    drop(values);
    Ok(out)
}

/// Adds this room's functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(position_weight, module)?)?;
    module.add_function(wrap_pyfunction!(sequence_confidence, module)?)?;
    module.add_function(wrap_pyfunction!(candidate_confidence, module)?)?;
    module.add_function(wrap_pyfunction!(consistency_from_scores, module)?)?;
    module.add_function(wrap_pyfunction!(blend_distances, module)?)?;
    module.add_function(wrap_pyfunction!(blend_weights, module)?)
}

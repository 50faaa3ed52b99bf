//! C-order arrays, in and out.

use numpy::ndarray::{Dimension, IntoDimension};
use numpy::{Element, PyArray, PyArrayMethods, PyReadonlyArray, dtype};
use pyo3::exceptions::PyMemoryError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::errors::{InputError, ResourceError};

/// The values in C order. (`PyReadonlyArray::as_slice` would also take Fortran order, transposed.)
pub fn c_order<'a, T: Element, D: Dimension>(
    array: &'a PyReadonlyArray<'_, T, D>,
    name: &str,
) -> PyResult<&'a [T]> {
    if !array.data().is_aligned() {
        return Err(InputError::new_err(format!(
            "{name}: values at odd addresses, expected a copy"
        )));
    }
    array.as_array().to_slice().ok_or_else(|| {
        InputError::new_err(format!("{name}: strided values, expected an array in C order"))
    })
}

/// Up to this many bytes an array of zeros costs less than a call of `numpy.empty`.
const SMALL: usize = 1 << 16;

/// A new array whose values mean nothing yet.
///
/// A large one comes from `numpy.empty`, which asks for huge pages and raises when memory is short.
pub fn empty<T: Element, S: IntoDimension>(
    py: Python<'_>,
    shape: S,
) -> PyResult<Bound<'_, PyArray<T, S::Dim>>> {
    let shape = shape.into_dimension();
    if shape.size_checked().is_some_and(|size| size <= SMALL / size_of::<T>()) {
        return Ok(PyArray::zeros(py, shape, false));
    }
    let array = py
        .import(intern!(py, "numpy"))?
        .call_method1(intern!(py, "empty"), (shape.slice(), dtype::<T>(py)))
        .map_err(|err| out_of_memory(py, err))?;
    Ok(array.cast_into()?)
}

fn out_of_memory(py: Python<'_>, err: PyErr) -> PyErr {
    if err.is_instance_of::<PyMemoryError>(py) {
        return ResourceError::new_err(format!("{}; use fewer rows at a time", err.value(py)));
    }
    err
}

//! C-order arrays, in and out.

use numpy::ndarray::Dimension;
use numpy::{Element, PyArray, PyReadonlyArray, dtype};
use pyo3::exceptions::PyMemoryError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::errors::{InputError, ResourceError};

/// The values in C order. (`PyReadonlyArray::as_slice` would also take Fortran order, transposed.)
pub fn c_order<'a, T: Element, D: Dimension>(
    array: &'a PyReadonlyArray<'_, T, D>,
    name: &str,
) -> PyResult<&'a [T]> {
    array.as_array().to_slice().ok_or_else(|| {
        InputError::new_err(format!("{name}: strided values, expected an array in C order"))
    })
}

/// A new array from `numpy.empty`, which asks for huge pages where they pay and can fail politely.
pub fn empty<'py, T: Element, D: Dimension>(
    py: Python<'py>,
    shape: &[usize],
) -> PyResult<Bound<'py, PyArray<T, D>>> {
    let array = py
        .import(intern!(py, "numpy"))?
        .call_method1(intern!(py, "empty"), (shape, dtype::<T>(py)))
        .map_err(|err| {
            if err.is_instance_of::<PyMemoryError>(py) {
                return ResourceError::new_err(format!(
                    "{}; use fewer rows at a time",
                    err.value(py)
                ));
            }
            err
        })?;
    Ok(array.cast_into()?)
}

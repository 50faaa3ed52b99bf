//! The teacher's text files as arrays.

use std::path::{Path, PathBuf};

use dllm2rec_core::CancelToken;
use dllm2rec_core::teacher::{
    self, DistanceRules, Failure, ItemRules, Limits, Meaning, OnDuplicate, Table, TextError,
};
use numpy::{Element, IntoPyArray, PyArray1, PyArray2, PyArrayMethods, dtype};
use pyo3::exceptions::{PyMemoryError, PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySlice};

use crate::errors::{InputError, python_error};
use crate::run::run_with;

type Parsed<'py, T> = (Bound<'py, PyArray2<T>>, Vec<String>);

/// Reads lists of items; see the stub.
#[pyfunction]
#[pyo3(signature = (path, *, n_items, min_columns=1, expected_rows=None, id_base=0, skip_rows=0,
                    on_duplicate="error", short_lists=false, strict=false))]
#[expect(clippy::too_many_arguments)]
fn parse_items<'py>(
    py: Python<'py>,
    path: PathBuf,
    n_items: u32,
    min_columns: usize,
    expected_rows: Option<usize>,
    id_base: u32,
    skip_rows: usize,
    on_duplicate: &str,
    short_lists: bool,
    strict: bool,
) -> PyResult<Parsed<'py, u32>> {
    let on_duplicate = match on_duplicate {
        "error" => OnDuplicate::Error,
        "keep" => OnDuplicate::Keep,
        "keep-first" => OnDuplicate::KeepFirst,
        other => {
            return Err(choice("on_duplicate", other, "\"error\", \"keep\" or \"keep-first\""));
        }
    };
    let limits = Limits { expected_rows, skip_rows, strict, ..Limits::default() };
    let rules = ItemRules { n_items, min_columns, id_base, on_duplicate, short_lists, limits };
    parsed(py, &path, &rules.limits, |room, cancel| {
        teacher::parse_items(&path, &rules, room, cancel)
    })
}

/// Reads lists of distances; see the stub.
#[pyfunction]
#[pyo3(signature = (path, *, expected_rows=None, expected_columns=None, kind="distance",
                    short_lists=false, strict=false))]
fn parse_distances<'py>(
    py: Python<'py>,
    path: PathBuf,
    expected_rows: Option<usize>,
    expected_columns: Option<usize>,
    kind: &str,
    short_lists: bool,
    strict: bool,
) -> PyResult<Parsed<'py, f32>> {
    let meaning = match kind {
        "distance" => Meaning::Distance,
        "similarity" => Meaning::Similarity,
        other => return Err(choice("kind", other, "\"distance\" or \"similarity\"")),
    };
    let limits = Limits { expected_rows, strict, ..Limits::default() };
    let rules = DistanceRules { expected_columns, meaning, short_lists, limits };
    let parse = |room: &mut _, cancel: &_| teacher::parse_distances(&path, &rules, room, cancel);
    parsed(py, &path, &rules.limits, parse)
}

fn choice(name: &str, got: &str, expected: &str) -> PyErr {
    PyValueError::new_err(format!("{name} = {got:?}, expected {expected}"))
}

/// Parses into memory of `NumPy`, which asks for huge pages: touching it first is then cheap.
fn parsed<'py, T: Element + Copy + Send>(
    py: Python<'py>,
    path: &Path,
    limits: &Limits,
    parse: impl FnOnce(&mut [T], &CancelToken) -> Result<Table<T>, Failure> + Send,
) -> PyResult<Parsed<'py, T>> {
    let array = room::<T>(py, teacher::likely_values(path, limits))?;
    let mut access = array.readwrite();
    let room = access.as_slice_mut()?;
    let kernel = |cancel: &CancelToken| parse(room, cancel);
    let table = run_with(py, teacher::effort(path), kernel, |failure| raised(py, path, failure))?;
    drop(access);
    let shape = [table.rows, table.columns];
    let values = if table.values.is_empty() {
        let used = PySlice::new(py, 0, (table.rows * table.columns).cast_signed(), 1);
        array.get_item(used)?.cast_into::<PyArray1<T>>()?.reshape(shape)?
    } else {
        table.values.into_pyarray(py).reshape(shape)?
    };
    Ok((values, table.warnings))
}

/// Zeros, or an empty array where there is no memory for so many: then the kernel must see to it.
///
/// Any other error is passed on: the first call imports `NumPy`, and Ctrl-C may come meanwhile.
fn room<T: Element>(py: Python<'_>, n_values: usize) -> PyResult<Bound<'_, PyArray1<T>>> {
    let zeros = |n: usize| py.import("numpy")?.call_method1("zeros", (n, dtype::<T>(py)));
    let is_too_large = |err: &PyErr| {
        err.is_instance_of::<PyMemoryError>(py)
            || err.is_instance_of::<PyOverflowError>(py)
            || err.is_instance_of::<PyValueError>(py)
    };
    let array =
        zeros(n_values).or_else(|err| if is_too_large(&err) { zeros(0) } else { Err(err) })?;
    Ok(array.cast_into::<PyArray1<T>>()?)
}

fn raised(py: Python<'_>, path: &Path, failure: Failure) -> PyErr {
    match failure {
        Failure::Kernel(error) => python_error(error),
        Failure::Text(error) => input_error(py, path, *error).unwrap_or_else(|err| err),
    }
}

/// An `InputError` with all its attributes.
fn input_error(py: Python<'_>, path: &Path, error: TextError) -> PyResult<PyErr> {
    let fields = PyDict::new(py);
    fields.set_item("code", error.code)?;
    fields.set_item("path", path.as_os_str())?;
    fields.set_item("line", error.line)?;
    fields.set_item("column", error.column)?;
    fields.set_item("byte_offset", error.byte_offset)?;
    let message = match &error.token {
        Some(token) => format!("{} (token \"{token}\")", error.message),
        None => error.message,
    };
    fields.set_item("token", error.token)?;
    fields.set_item("hint", error.hint)?;
    let raised = py.get_type::<InputError>().call((message,), Some(&fields))?;
    Ok(PyErr::from_value(raised))
}

/// Adds this room's functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(parse_items, module)?)?;
    module.add_function(wrap_pyfunction!(parse_distances, module)?)
}

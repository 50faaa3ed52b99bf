//! The teacher's text files as arrays.

use std::path::{Path, PathBuf};

use dllm2rec_core::teacher::{
    self, DistanceRules, Failure, ItemRules, Limits, Meaning, OnDuplicate, Table, TextError,
};
use numpy::{Element, IntoPyArray, PyArray2, PyArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::{InputError, python_error};
use crate::run::run_with;

type Parsed<'py, T> = (Bound<'py, PyArray2<T>>, Vec<String>);

/// Reads lists of items; see the stub.
#[pyfunction]
#[pyo3(signature = (path, *, n_items, min_columns=1, expected_rows=None, id_base=0, skip_rows=0,
                    on_duplicate="error", strict=false))]
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
    let rules = ItemRules { n_items, min_columns, id_base, on_duplicate, limits };
    let parse = |stop: &_| teacher::parse_items(&path, &rules, stop);
    let table = run_with(py, teacher::effort(&path), parse, |failure| raised(py, &path, failure))?;
    array(py, table)
}

/// Reads lists of distances; see the stub.
#[pyfunction]
#[pyo3(signature = (path, *, expected_rows=None, expected_columns=None, kind="distance", strict=false))]
fn parse_distances<'py>(
    py: Python<'py>,
    path: PathBuf,
    expected_rows: Option<usize>,
    expected_columns: Option<usize>,
    kind: &str,
    strict: bool,
) -> PyResult<Parsed<'py, f32>> {
    let meaning = match kind {
        "distance" => Meaning::Distance,
        "similarity" => Meaning::Similarity,
        other => return Err(choice("kind", other, "\"distance\" or \"similarity\"")),
    };
    let limits = Limits { expected_rows, strict, ..Limits::default() };
    let rules = DistanceRules { expected_columns, meaning, limits };
    let parse = |stop: &_| teacher::parse_distances(&path, &rules, stop);
    let table = run_with(py, teacher::effort(&path), parse, |failure| raised(py, &path, failure))?;
    array(py, table)
}

fn choice(name: &str, got: &str, expected: &str) -> PyErr {
    PyValueError::new_err(format!("{name} = {got:?}, expected {expected}"))
}

fn array<T: Element>(py: Python<'_>, table: Table<T>) -> PyResult<Parsed<'_, T>> {
    let values = table.values.into_pyarray(py).reshape([table.rows, table.columns])?;
    Ok((values, table.warnings))
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

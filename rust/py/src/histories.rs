//! Histories.

use dllm2rec_core::histories::{self, Rows, Windows};
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::dense::{c_order, empty};
use crate::run::run;

type Ordered<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<i64>>);

#[pyfunction]
fn order_by_user<'py>(
    py: Python<'py>,
    users: PyReadonlyArray1<'py, u32>,
    times: Option<PyReadonlyArray1<'py, i64>>,
    n_users: usize,
) -> PyResult<Ordered<'py>> {
    let users = c_order(&users, "users")?;
    let times = times.as_ref().map(|times| c_order(times, "times")).transpose()?;
    let out = empty(py, [users.len()])?;
    let mut values = out.readwrite();
    let slice = values.as_slice_mut()?;
    let steps = users.len().saturating_mul(8);
    let starts =
        run(py, steps, |cancel| histories::order_by_user(users, times, n_users, slice, cancel))?;
    drop(values);
    Ok((out, PyArray1::from_vec(py, starts)))
}

type Cut<'py> = (Bound<'py, PyArray2<u32>>, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u32>>);

#[pyfunction]
fn gather_windows<'py>(
    py: Python<'py>,
    events: PyReadonlyArray1<'py, u32>,
    start: PyReadonlyArray1<'py, i64>,
    end: PyReadonlyArray1<'py, i64>,
    max_length: usize,
    padding: u32,
) -> PyResult<Cut<'py>> {
    let rows = Rows {
        events: c_order(&events, "events")?,
        start: c_order(&start, "start")?,
        end: c_order(&end, "end")?,
    };
    let n_rows = rows.end.len();
    let sequences = empty(py, [n_rows, max_length])?;
    let (lengths, targets) = (empty(py, [n_rows])?, empty(py, [n_rows])?);
    let (mut a, mut b, mut c) = (sequences.readwrite(), lengths.readwrite(), targets.readwrite());
    let out = Windows {
        sequences: a.as_slice_mut()?,
        lengths: b.as_slice_mut()?,
        targets: c.as_slice_mut()?,
    };
    let steps = n_rows.saturating_mul(max_length.saturating_add(8));
    run(py, steps, |cancel| histories::gather_windows(rows, max_length, padding, out, cancel))?;
    drop((a, b, c));
    Ok((sequences, lengths, targets))
}

/// Adds this room's functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(order_by_user, module)?)?;
    module.add_function(wrap_pyfunction!(gather_windows, module)?)
}

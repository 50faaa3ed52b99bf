//! Target ranks and top-N lists.

use dllm2rec_core::ranking::{
    self as kernels, CodedItems, Counts, ItemBonuses, ListedItems, MovedItems, Score,
    ScoringProblem, TopN,
};
use dllm2rec_core::{CancelToken, Error, Result};
use half::f16;
use numpy::ndarray::{ArrayView, Dimension};
use numpy::{
    Element, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::errors::python_error;
use crate::run::run;

/// A score matrix of any float type.
#[derive(FromPyObject)]
enum Matrix<'py> {
    Single(PyReadonlyArray2<'py, f32>),
    Half(PyReadonlyArray2<'py, f16>),
    Double(PyReadonlyArray2<'py, f64>),
}

type Column<'py, T> = Bound<'py, PyArray1<T>>;
type Table<'py, T> = Bound<'py, PyArray2<T>>;
/// Offsets (rows + 1,), the listed items of all rows, and what is added to their scores.
type Listed<'py> = (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, u32>, f32);
/// Offsets (rows + 1,), items of all rows and their bonuses.
type Bonuses<'py> =
    (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, u32>, PyReadonlyArray1<'py, f32>);

/// The values in C order; `as_slice` of the array itself would also accept Fortran order.
fn c_order<'a, T, D: Dimension>(array: &'a ArrayView<'_, T, D>) -> PyResult<&'a [T]> {
    array.as_slice().ok_or_else(|| PyTypeError::new_err("an array that is not in C order"))
}

fn both(py: Python<'_>, counts: Counts) -> (Column<'_, u32>, Column<'_, u32>) {
    (PyArray1::from_vec(py, counts.greater), PyArray1::from_vec(py, counts.equal))
}

fn tables(py: Python<'_>, top: TopN, n: usize) -> PyResult<(Table<'_, u32>, Table<'_, f32>)> {
    let n_rows = top.items.len() / n;
    let items = PyArray1::from_vec(py, top.items).reshape([n_rows, n])?;
    Ok((items, PyArray1::from_vec(py, top.scores).reshape([n_rows, n])?))
}

fn count<'py, S: Score + Element>(
    py: Python<'py>,
    scores: &PyReadonlyArray2<'py, S>,
    targets: &[u32],
) -> PyResult<Counts> {
    let (steps, n_items) = (scores.len(), scores.shape()[1]);
    let scores = scores.as_array();
    let scores = c_order(&scores)?;
    run(py, steps, |cancel| kernels::rank_counts(scores, n_items, targets, cancel))
}

fn list<'py, S: Score + Element>(
    py: Python<'py>,
    scores: &PyReadonlyArray2<'py, S>,
    n: usize,
) -> PyResult<TopN> {
    let (steps, n_rows, n_items) = (scores.len(), scores.shape()[0], scores.shape()[1]);
    let scores = scores.as_array();
    let scores = c_order(&scores)?;
    run(py, steps, |cancel| kernels::top_n(scores, n_rows, n_items, n, cancel))
}

/// Count what scores above each target, and the same; see `dllm2rec.evaluate.ranking`.
#[pyfunction]
fn rank_counts<'py>(
    py: Python<'py>,
    scores: Matrix<'py>,
    targets: PyReadonlyArray1<'py, u32>,
) -> PyResult<(Column<'py, u32>, Column<'py, u32>)> {
    let targets = targets.as_array();
    let targets = c_order(&targets)?;
    let counts = match scores {
        Matrix::Single(scores) => count(py, &scores, targets),
        Matrix::Half(scores) => count(py, &scores, targets),
        Matrix::Double(scores) => count(py, &scores, targets),
    }?;
    Ok(both(py, counts))
}

/// List each row's best items; see `dllm2rec.evaluate.ranking`.
#[pyfunction]
fn top_n<'py>(
    py: Python<'py>,
    scores: Matrix<'py>,
    n: usize,
) -> PyResult<(Table<'py, u32>, Table<'py, f32>)> {
    let top = match scores {
        Matrix::Single(scores) => list(py, &scores, n),
        Matrix::Half(scores) => list(py, &scores, n),
        Matrix::Double(scores) => list(py, &scores, n),
    }?;
    tables(py, top, n)
}

/// The vectors of a fused call, as Python gives them.
struct Vectors<'py> {
    users: PyReadonlyArray2<'py, f32>,
    items: PyReadonlyArray2<'py, f32>,
    bias: Option<PyReadonlyArray1<'py, f32>>,
    window: Option<Listed<'py>>,
    bonuses: Option<Bonuses<'py>>,
}

impl Vectors<'_> {
    /// Runs `kernel` on the checked slices.
    fn run<T: Send>(
        &self,
        py: Python<'_>,
        kernel: impl FnOnce(&ScoringProblem, &CancelToken) -> Result<T> + Send,
    ) -> PyResult<T> {
        let (users, items) = (self.users.as_array(), self.items.as_array());
        let (n_users, width) = users.dim();
        if items.ncols() != width {
            let (name, got) = ("items per vector", items.ncols());
            return Err(python_error(Error::Shape { name, got, expected: width }));
        }
        let steps = n_users.saturating_mul(items.len());
        let bias = self.bias.as_ref().map(PyReadonlyArray1::as_array);
        let bias = bias.as_ref().map(c_order).transpose()?;
        let window = self
            .window
            .as_ref()
            .map(|(offsets, items, shift)| (offsets.as_array(), items.as_array(), *shift));
        let listed = match &window {
            Some((offsets, items, shift)) => {
                let (offsets, items) = (c_order(offsets)?, c_order(items)?);
                Some(ListedItems { offsets, items, shift: *shift })
            }
            None => None,
        };
        let given = self.bonuses.as_ref().map(|(offsets, items, values)| {
            (offsets.as_array(), items.as_array(), values.as_array())
        });
        let bonuses = match &given {
            Some((offsets, items, values)) => {
                let (offsets, items, values) =
                    (c_order(offsets)?, c_order(items)?, c_order(values)?);
                Some(ItemBonuses { offsets, items, values })
            }
            None => None,
        };
        let (users, items) = (c_order(&users)?, c_order(&items)?);
        let moved = MovedItems { listed, bonuses };
        let problem = ScoringProblem { users, items, width, bias, moved };
        run(py, steps, |cancel| kernel(&problem, cancel))
    }
}

/// Count from user and item vectors, without the matrix; see `dllm2rec.evaluate.ranking`.
#[pyfunction]
#[pyo3(signature = (users, items, targets, bias=None, window=None, bonuses=None))]
fn fused_rank_counts<'py>(
    py: Python<'py>,
    users: PyReadonlyArray2<'py, f32>,
    items: PyReadonlyArray2<'py, f32>,
    targets: PyReadonlyArray1<'py, u32>,
    bias: Option<PyReadonlyArray1<'py, f32>>,
    window: Option<Listed<'py>>,
    bonuses: Option<Bonuses<'py>>,
) -> PyResult<(Column<'py, u32>, Column<'py, u32>)> {
    let targets = targets.as_array();
    let targets = c_order(&targets)?;
    let vectors = Vectors { users, items, bias, window, bonuses };
    let counts =
        vectors.run(py, |problem, cancel| kernels::fused_rank_counts(problem, targets, cancel))?;
    Ok(both(py, counts))
}

/// List from user and item vectors, without the matrix; see `dllm2rec.evaluate.ranking`.
#[pyfunction]
#[pyo3(signature = (users, items, n, bias=None, window=None, bonuses=None))]
fn fused_top_n<'py>(
    py: Python<'py>,
    users: PyReadonlyArray2<'py, f32>,
    items: PyReadonlyArray2<'py, f32>,
    n: usize,
    bias: Option<PyReadonlyArray1<'py, f32>>,
    window: Option<Listed<'py>>,
    bonuses: Option<Bonuses<'py>>,
) -> PyResult<(Table<'py, u32>, Table<'py, f32>)> {
    let vectors = Vectors { users, items, bias, window, bonuses };
    let top = vectors.run(py, |problem, cancel| kernels::fused_top_n(problem, n, cancel))?;
    tables(py, top, n)
}

/// Item codes (N, stride), what they are multiplied by (N,), and what scores are off by (N,).
type Codes<'py> =
    (PyReadonlyArray2<'py, i8>, PyReadonlyArray1<'py, f32>, PyReadonlyArray1<'py, f32>);

type NewCodes<'py> = (Table<'py, i8>, Column<'py, f32>, Column<'py, f32>);

/// Put item vectors in eight bits; see `dllm2rec.serve.encoder`.
#[pyfunction]
fn code_items<'py>(py: Python<'py>, items: PyReadonlyArray2<'py, f32>) -> PyResult<NewCodes<'py>> {
    let items = items.as_array();
    let (n_items, width) = items.dim();
    let items = c_order(&items)?;
    let found = run(py, items.len(), |cancel| kernels::code_items(items, width, cancel))?;
    let codes = PyArray1::from_vec(py, found.codes)
        .reshape([kernels::n_panels(n_items), kernels::stride(width)])?;
    Ok((codes, PyArray1::from_vec(py, found.scales), PyArray1::from_vec(py, found.slacks)))
}

/// List for a few users as `fused_top_n` does, by the codes of the items.
#[pyfunction]
#[pyo3(signature = (users, items, codes, n, bias=None, window=None, bonuses=None))]
#[expect(clippy::too_many_arguments)]
fn coded_top_n<'py>(
    py: Python<'py>,
    users: PyReadonlyArray2<'py, f32>,
    items: PyReadonlyArray2<'py, f32>,
    codes: Codes<'py>,
    n: usize,
    bias: Option<PyReadonlyArray1<'py, f32>>,
    window: Option<Listed<'py>>,
    bonuses: Option<Bonuses<'py>>,
) -> PyResult<(Table<'py, u32>, Table<'py, f32>)> {
    let vectors = Vectors { users, items, bias, window, bonuses };
    let (codes, scales, slacks) = &codes;
    let (codes, scales, slacks) = (codes.as_array(), scales.as_array(), slacks.as_array());
    let coded = CodedItems {
        codes: c_order(&codes)?,
        scales: c_order(&scales)?,
        slacks: c_order(&slacks)?,
    };
    let top = vectors.run(py, |problem, cancel| kernels::coded_top_n(problem, coded, n, cancel))?;
    tables(py, top, n)
}

/// Adds this room's functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(rank_counts, module)?)?;
    module.add_function(wrap_pyfunction!(top_n, module)?)?;
    module.add_function(wrap_pyfunction!(fused_rank_counts, module)?)?;
    module.add_function(wrap_pyfunction!(code_items, module)?)?;
    module.add_function(wrap_pyfunction!(coded_top_n, module)?)?;
    module.add_function(wrap_pyfunction!(fused_top_n, module)?)
}

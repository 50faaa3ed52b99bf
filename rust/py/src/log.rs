//! Logs.

use dllm2rec_core::log::{self, Column, ColumnKind, Piece, QuoteRule, Rows};
use dllm2rec_core::{CancelToken, Error, Result};
use numpy::{Element, PyArray1, PyArrayMethods};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::dense::{c_order, empty};
use crate::run::run;
use numpy::PyReadonlyArray1;

type Bytes<'py> = Bound<'py, PyArray1<u8>>;
type Offsets<'py> = Bound<'py, PyArray1<i64>>;

/// The cells of a block; see the stub.
#[pyclass(frozen)]
struct RowBlock {
    text: Py<PyBytes>,
    rows: Rows,
}

impl RowBlock {
    fn parts(&self, column: usize) -> PyResult<impl Iterator<Item = &Column> + Clone> {
        if self.rows.pieces.iter().any(|piece| piece.columns.len() <= column) {
            return Err(PyIndexError::new_err(format!("column {column} was not read")));
        }
        Ok(self.rows.pieces.iter().map(move |piece| &piece.columns[column]))
    }

    fn joined<'py, T: Element + Copy>(
        &self,
        py: Python<'py>,
        column: usize,
        cells: impl Fn(&Column) -> Option<&[T]>,
    ) -> PyResult<Bound<'py, PyArray1<T>>> {
        let out = empty(py, [self.rows.len()])?;
        let mut values = out.readwrite();
        let mut rest = values.as_slice_mut()?;
        for part in self.parts(column)? {
            let part = cells(part).ok_or_else(|| other_kind(column))?;
            let (here, after) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = after;
        }
        drop(values);
        Ok(out)
    }
}

fn other_kind(column: usize) -> PyErr {
    PyValueError::new_err(format!("column {column} was read as another kind"))
}

#[pymethods]
impl RowBlock {
    fn __len__(&self) -> usize {
        self.rows.len()
    }

    fn ints<'py>(&self, py: Python<'py>, column: usize) -> PyResult<Offsets<'py>> {
        self.joined(py, column, |part| match part {
            Column::Ints(ints) => Some(ints),
            _ => None,
        })
    }

    fn floats<'py>(&self, py: Python<'py>, column: usize) -> PyResult<Bound<'py, PyArray1<f32>>> {
        self.joined(py, column, |part| match part {
            Column::Floats(floats) => Some(floats),
            _ => None,
        })
    }

    fn texts<'py>(&self, py: Python<'py>, column: usize) -> PyResult<(Bytes<'py>, Offsets<'py>)> {
        let text = self.text.as_bytes(py);
        let (mut bytes, mut offsets) = (Vec::new(), vec![0_i64]);
        for part in self.parts(column)? {
            let Column::Spans(spans) = part else { return Err(other_kind(column)) };
            for span in spans {
                bytes.extend_from_slice(span.of(text));
                offsets.push(bytes.len() as i64);
            }
        }
        Ok((PyArray1::from_vec(py, bytes), PyArray1::from_vec(py, offsets)))
    }
}

#[pyfunction]
fn split_rows(
    py: Python<'_>,
    text: Bound<'_, PyBytes>,
    delimiter: u8,
    kinds: Vec<String>,
) -> PyResult<Option<RowBlock>> {
    let kinds = kinds.iter().map(|kind| kind_of(kind)).collect::<PyResult<Vec<_>>>()?;
    let bytes = text.as_bytes();
    let rows = run(py, bytes.len(), |cancel| log::split_rows(bytes, delimiter, &kinds, cancel))?;
    Ok(rows.map(|rows| RowBlock { text: text.unbind(), rows }))
}

type Misfit = (usize, usize, usize, usize);

#[pyfunction]
fn first_misfit(
    py: Python<'_>,
    text: &[u8],
    delimiter: &[u8],
    quotes: bool,
    width: usize,
) -> PyResult<Option<Misfit>> {
    let row =
        run(py, text.len(), |cancel| log::first_misfit(text, delimiter, quotes, width, cancel))?;
    Ok(row.map(|row| (row.start, row.end, row.cells, row.extra)))
}

#[pyfunction]
fn row_start(text: &[u8], row: usize, quotes: bool) -> (Option<usize>, usize) {
    match log::row_start(text, row, quotes) {
        Ok(start) => (Some(start), 0),
        Err(n_rows) => (None, n_rows),
    }
}

#[pyfunction]
fn first_bad_quote(text: &[u8], delimiter: u8) -> Option<(&'static str, usize, usize)> {
    log::first_bad_quote(text, delimiter).map(|quote| {
        let rule = match quote.rule {
            QuoteRule::Opening => "opening",
            QuoteRule::Closing => "closing",
            QuoteRule::Unclosed => "unclosed",
        };
        (rule, quote.place, quote.opened)
    })
}

#[pyfunction]
fn first_long_row(text: &[u8], cap: usize, quotes: bool) -> Option<usize> {
    log::first_long_row(text, cap, quotes)
}

#[pyfunction]
fn last_row_end(text: &[u8]) -> usize {
    log::last_row_end(text)
}

fn kind_of(name: &str) -> PyResult<ColumnKind> {
    Ok(match name {
        "skip" => ColumnKind::Skip,
        "id" => ColumnKind::Id,
        "int" => ColumnKind::Int,
        "float" => ColumnKind::Float,
        "text" => ColumnKind::Text,
        other => {
            let rule = "expected skip, id, int, float or text";
            return Err(PyValueError::new_err(format!("kind {other:?}, {rule}")));
        }
    })
}

/// Ids and their numbers; see the stub.
#[pyclass]
struct IdTable {
    table: log::IdTable,
}

#[pymethods]
impl IdTable {
    #[new]
    fn new() -> Self {
        Self { table: log::IdTable::new() }
    }

    fn __len__(&self) -> usize {
        self.table.len()
    }

    fn ids<'py>(&self, py: Python<'py>) -> (Bytes<'py>, Offsets<'py>) {
        let (bytes, offsets) = self.table.ids();
        (PyArray1::from_slice(py, bytes), PyArray1::from_slice(py, offsets))
    }

    fn number<'py>(
        &mut self,
        py: Python<'py>,
        text: PyReadonlyArray1<'py, u8>,
        offsets: PyReadonlyArray1<'py, i64>,
    ) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let (text, offsets) = (c_order(&text, "text")?, c_order(&offsets, "offsets")?);
        let out = empty(py, [offsets.len().saturating_sub(1)])?;
        let mut values = out.readwrite();
        let slice = values.as_slice_mut()?;
        let steps = offsets.len().saturating_mul(8);
        run(py, steps, |cancel| self.table.number_texts(text, offsets, slice, cancel))?;
        drop(values);
        Ok(out)
    }
}

type Numbers<'py> = Bound<'py, PyArray1<u32>>;

/// Numbers two columns of ids, at the same time where there are threads.
#[pyfunction]
fn number_ids<'py>(
    py: Python<'py>,
    block: &RowBlock,
    user: usize,
    mut users: PyRefMut<'py, IdTable>,
    item: usize,
    mut items: PyRefMut<'py, IdTable>,
) -> PyResult<(Numbers<'py>, Numbers<'py>)> {
    let n_rows = block.rows.len();
    let (user_numbers, item_numbers) = (empty(py, [n_rows])?, empty(py, [n_rows])?);
    let (mut a, mut b) = (user_numbers.readwrite(), item_numbers.readwrite());
    let (for_users, for_items) = (a.as_slice_mut()?, b.as_slice_mut()?);
    for column in [user, item] {
        if block.parts(column)?.any(|part| !matches!(part, Column::Spans(_))) {
            return Err(other_kind(column));
        }
    }
    let (text, pieces) = (block.text.as_bytes(py), &block.rows.pieces[..]);
    let (users, items) = (&mut users.table, &mut items.table);
    run(py, n_rows.saturating_mul(16), |cancel| {
        let (first, second) = dllm2rec_core::parallel::join(
            || number_pieces(users, text, pieces, user, for_users, cancel),
            || number_pieces(items, text, pieces, item, for_items, cancel),
        );
        first.and(second)
    })?;
    drop((a, b));
    Ok((user_numbers, item_numbers))
}

fn number_pieces(
    table: &mut log::IdTable,
    text: &[u8],
    pieces: &[Piece],
    column: usize,
    mut out: &mut [u32],
    cancel: &CancelToken,
) -> Result<()> {
    for piece in pieces {
        let (here, after) = out.split_at_mut(piece.n_rows);
        if let Column::Spans(spans) = &piece.columns[column] {
            table.number(text, spans, here, cancel)?;
        }
        out = after;
    }
    Ok::<(), Error>(())
}

/// Adds this room's functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<RowBlock>()?;
    module.add_class::<IdTable>()?;
    module.add_function(wrap_pyfunction!(split_rows, module)?)?;
    module.add_function(wrap_pyfunction!(first_misfit, module)?)?;
    module.add_function(wrap_pyfunction!(row_start, module)?)?;
    module.add_function(wrap_pyfunction!(first_bad_quote, module)?)?;
    module.add_function(wrap_pyfunction!(first_long_row, module)?)?;
    module.add_function(wrap_pyfunction!(last_row_end, module)?)?;
    module.add_function(wrap_pyfunction!(number_ids, module)?)
}

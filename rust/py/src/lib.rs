//! The Python module `dllm2rec._core`: one small function per kernel, no arithmetic.
//!
//! Each function checks dtypes and layout, releases the GIL, runs the kernel ([`run`]) and turns
//! what it refuses into the exceptions of `dllm2rec.errors` ([`errors`]).

// `#[pyfunction]` needs owned arguments, and its documentation is the Python stub's.
#![allow(clippy::needless_pass_by_value)]

mod catalogue;
mod dense;
mod errors;
mod histories;
mod log;
mod negatives;
mod pair_memory;
mod paired;
mod ranking;
mod run;
mod teacher;
mod weights;

use pyo3::prelude::*;

/// The compiled kernels of dllm2rec.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    run::register(module)?;
    log::register(module)?;
    histories::register(module)?;
    teacher::register(module)?;
    weights::register(module)?;
    negatives::register(module)?;
    pair_memory::register(module)?;
    paired::register(module)?;
    ranking::register(module)?;
    catalogue::register(module)?;
    // The stub is the one list of names; pyo3 writes a second one.
    module.delattr("__all__")
}

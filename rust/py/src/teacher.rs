//! To be written.

use pyo3::prelude::*;

/// Adds this room's functions to the module.
#[expect(clippy::unnecessary_wraps)]
pub fn register(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}

//! From what a kernel refuses to the exceptions of `dllm2rec.errors`.

use dllm2rec_core::Error;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::{PyErr, import_exception};

import_exception!(dllm2rec.errors, InputError);
import_exception!(dllm2rec.errors, InternalError);
import_exception!(dllm2rec.errors, NonFiniteError);
import_exception!(dllm2rec.errors, ResourceError);

/// The Python exception for a kernel's refusal.
///
/// A function, not `From`: both types belong to other crates.
pub fn python_error(error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::NonFinite { .. } => NonFiniteError::new_err(message),
        Error::Memory { .. } => ResourceError::new_err(message),
        Error::Interrupted => PyKeyboardInterrupt::new_err(()),
        _ => InputError::new_err(message),
    }
}

//! The check that two sizes agree.

use crate::{Error, Result};

/// Fails unless `got` is `expected`.
pub(crate) fn check_shape(name: &'static str, got: usize, expected: usize) -> Result<()> {
    if got == expected { Ok(()) } else { Err(Error::Shape { name, got, expected }) }
}

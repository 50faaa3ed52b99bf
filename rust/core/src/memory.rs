//! Vectors whose allocation may fail: with an error, not an abort.

use crate::{Error, Result};

/// A vector of `len` copies of `value`.
///
/// # Errors
///
/// [`Error::Memory`].
pub fn filled<T: Clone>(value: T, len: usize) -> Result<Vec<T>> {
    let mut values = with_capacity(len)?;
    values.resize(len, value);
    Ok(values)
}

/// A vector of `len` zeros.
///
/// # Errors
///
/// [`Error::Memory`].
pub fn zeros<T: Clone + Default>(len: usize) -> Result<Vec<T>> {
    filled(T::default(), len)
}

/// An empty vector with room for exactly `len` values.
///
/// # Errors
///
/// [`Error::Memory`].
pub fn with_capacity<T>(len: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    let bytes = len.saturating_mul(size_of::<T>());
    values.try_reserve_exact(len).map_err(|_| Error::Memory { bytes })?;
    Ok(values)
}

/// Makes room for at least `more` values, and for some after them.
///
/// # Errors
///
/// [`Error::Memory`].
pub fn reserve<T>(values: &mut Vec<T>, more: usize) -> Result<()> {
    let bytes = values.len().saturating_add(more).saturating_mul(size_of::<T>());
    values.try_reserve(more).map_err(|_| Error::Memory { bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_is_an_error() {
        assert_eq!(filled(7, 3), Ok(vec![7; 3]));
        assert_eq!(filled(0_u64, 1 << 60), Err(Error::Memory { bytes: 1 << 63 }));
        assert_eq!(with_capacity::<u32>(usize::MAX), Err(Error::Memory { bytes: usize::MAX }));
        assert_eq!(reserve(&mut vec![7_u8], 1 << 63), Err(Error::Memory { bytes: (1 << 63) + 1 }));
    }
}

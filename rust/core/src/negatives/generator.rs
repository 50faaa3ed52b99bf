//! Numbers below a bound made from random words.

/// A number below `n`, or `None` for one of the `2^64 mod n` words that would bias it.
pub(crate) fn bounded(word: u64, n: u32) -> Option<u32> {
    let (number, doubtful) = multiply(word, n);
    let n = u64::from(n);
    let skipped = doubtful && word.wrapping_mul(n) < n.wrapping_neg() % n;
    (!skipped).then_some(number)
}

/// The high and low halves of `word * n`: the number, and whether [`bounded`] must look closer.
#[inline]
pub(super) fn multiply(word: u64, n: u32) -> (u32, bool) {
    let product = u128::from(word) * u128::from(n);
    ((product >> 64) as u32, (product as u64) < u64::from(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_would_make_a_number_uneven_are_skipped() {
        assert_eq!(bounded(0, 3), None);
        assert_eq!(bounded(1, 3), Some(0));
        assert_eq!(bounded(0, 4), Some(0));
        assert_eq!(bounded(u64::MAX, 3), Some(2));
    }
}

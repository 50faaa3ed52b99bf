//! Random words, and the numbers below a bound made from them.

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// A number below `n`, or `None` for one of the `2^64 mod n` words that would bias it.
pub(super) fn bounded(word: u64, n: u32) -> Option<u32> {
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

#[inline]
pub(super) fn split(state: u64, index: u64) -> u64 {
    mix(state.wrapping_add(index.wrapping_add(1).wrapping_mul(GAMMA)))
}

#[inline]
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mix_gives_the_published_splitmix64_sequence() {
        let published = [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F];
        assert_eq!([0, 1, 2].map(|i| split(0, i)), published);
    }

    #[test]
    fn words_that_would_make_a_number_uneven_are_skipped() {
        assert_eq!(bounded(0, 3), None);
        assert_eq!(bounded(1, 3), Some(0));
        assert_eq!(bounded(0, 4), Some(0));
        assert_eq!(bounded(u64::MAX, 3), Some(2));
    }
}

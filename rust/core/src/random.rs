//! `SplitMix64`, by its counter: every random word here is a pure function of a state and an index.

/// What the state of `SplitMix64` grows by for each output.
pub(crate) const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Output `index` of `SplitMix64` at `state`.
#[inline]
pub(crate) fn split(state: u64, index: u64) -> u64 {
    mix(state.wrapping_add(index.wrapping_add(1).wrapping_mul(GAMMA)))
}

#[inline]
pub(crate) fn mix(mut z: u64) -> u64 {
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
}

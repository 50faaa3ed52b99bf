//! Moves between memory and registers, and between registers.

#[allow(clippy::wildcard_imports, reason = "forty names with one beginning")]
use std::arch::x86_64::*;

/// Numbers read at a time.
pub(super) const GROUP: usize = 8;

/// Takes two of each four lanes of 32 bits of the four registers.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn columns<const WHICH: i32>(registers: [__m256i; 4]) -> __m256 {
    let [a, b, c, d] = registers;
    let low = _mm256_castsi256_ps(_mm256_unpacklo_epi64(a, b));
    let high = _mm256_castsi256_ps(_mm256_unpacklo_epi64(c, d));
    _mm256_shuffle_ps::<WHICH>(low, high)
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn both(low: [u8; 16], high: [u8; 16]) -> __m256i {
    let lane = |bytes: [u8; 16]| {
        let all = u128::from_le_bytes(bytes);
        _mm_set_epi64x((all >> 64) as i64, all as i64)
    };
    _mm256_set_m128i(lane(high), lane(low))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn array(register: __m256i) -> [u32; GROUP] {
    [
        _mm256_extract_epi32::<0>(register) as u32,
        _mm256_extract_epi32::<1>(register) as u32,
        _mm256_extract_epi32::<2>(register) as u32,
        _mm256_extract_epi32::<3>(register) as u32,
        _mm256_extract_epi32::<4>(register) as u32,
        _mm256_extract_epi32::<5>(register) as u32,
        _mm256_extract_epi32::<6>(register) as u32,
        _mm256_extract_epi32::<7>(register) as u32,
    ]
}

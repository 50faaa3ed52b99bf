//! Whole numbers as `numpy.savetxt` writes them, in the form of `%.18e`.

#[allow(clippy::wildcard_imports, reason = "forty names with one beginning")]
use std::arch::x86_64::*;

use super::registers::{GROUP, array, both, columns};

/// Bytes of a number in `%.18e` and its separator.
const WIDTH: usize = 25;

/// Powers of ten by which the first seven digits are too large, by exponent.
const SHIFTS: [f32; 8] = [1e6, 1e5, 1e4, 1e3, 1e2, 1e1, 1.0, f32::INFINITY];

/// `d.dddddddddddddddddde+0d`, whole numbers below 10^7: all take the same number of bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn savetxt_row(text: &[u8], separator: u8, slots: &mut [u32]) -> Option<usize> {
    let length = slots.len().checked_mul(WIDTH)?;
    let (tokens, _) = text.get(..length)?.as_chunks::<WIDTH>();
    let inside = both(tail_of(separator), tail_of(separator));
    let at_end = both(tail_of(separator), tail_of(b'\n'));
    let mut all_bad = _mm256_setzero_si256();
    let n_groups = slots.len().div_ceil(GROUP).saturating_sub(1);
    let groups = tokens.as_chunks::<GROUP>().0.iter();
    for (group, out) in groups.zip(slots.as_chunks_mut::<GROUP>().0).take(n_groups) {
        let (items, bad) = savetxt_group(group, inside, inside);
        *out = array(items);
        all_bad = _mm256_or_si256(all_bad, bad);
    }
    // The last eight, some of which the groups before may have read.
    let (group, out) = (tokens.last_chunk::<GROUP>()?, slots.last_chunk_mut::<GROUP>()?);
    let (items, bad) = savetxt_group(group, inside, at_end);
    *out = array(items);
    all_bad = _mm256_or_si256(all_bad, bad);
    (_mm256_testz_si256(all_bad, all_bad) != 0).then_some(length)
}

/// Eight items, and a register that is 0 if all is well.
#[inline]
#[target_feature(enable = "avx2")]
fn savetxt_group(
    tokens: &[[u8; WIDTH]; GROUP],
    tail: __m256i,
    last_tail: __m256i,
) -> (__m256i, __m256i) {
    let [a, b, c, d, e, f, g, h] = tokens;
    let (head_ab, tail_ab, bad_ab) = savetxt_pair(a, b, tail);
    let (head_cd, tail_cd, bad_cd) = savetxt_pair(c, d, tail);
    let (head_ef, tail_ef, bad_ef) = savetxt_pair(e, f, tail);
    let (head_gh, tail_gh, bad_gh) = savetxt_pair(g, h, last_tail);
    let bad = _mm256_or_si256(_mm256_or_si256(bad_ab, bad_cd), _mm256_or_si256(bad_ef, bad_gh));
    // The seven digits are two numbers now, of three and four digits: a, c, e, g, b, d, f, h.
    let (heads, tails) =
        ([head_ab, head_cd, head_ef, head_gh], [tail_ab, tail_cd, tail_ef, tail_gh]);
    let threes = _mm256_castps_si256(columns::<0b10_00_10_00>(heads));
    let fours = _mm256_castps_si256(columns::<0b11_01_11_01>(heads));
    let digits = _mm256_add_epi32(_mm256_mullo_epi32(threes, _mm256_set1_epi32(10_000)), fours);
    let digits = _mm256_cvtepi32_ps(digits); // below 2^24: exact
    let exponents = _mm256_castps_si256(columns::<0b10_00_10_00>(tails));
    let [p0, p1, p2, p3, p4, p5, p6, p7] = SHIFTS;
    let shifts = _mm256_setr_ps(p0, p1, p2, p3, p4, p5, p6, p7);
    let shifts = _mm256_permutevar8x32_ps(shifts, exponents);
    let items = _mm256_cvttps_epi32(_mm256_div_ps(digits, shifts));
    // Digits behind the decimal point, once it has moved, must be zeros.
    let back = _mm256_mul_ps(_mm256_cvtepi32_ps(items), shifts);
    let wrong = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_NEQ_UQ>(back, digits));
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    (_mm256_permutevar8x32_epi32(items, order), _mm256_or_si256(bad, wrong))
}

/// The halves of the digits of two numbers, their exponents, and a register, 0 if all is well.
#[inline]
#[target_feature(enable = "avx2")]
fn savetxt_pair(
    first: &[u8; WIDTH],
    second: &[u8; WIDTH],
    tail_pattern: __m256i,
) -> (__m256i, __m256i, __m256i) {
    // Bytes that match the pattern become 0, variable digits become their values.
    let pattern = both(*b"0.00000000000000", *b"0.00000000000000");
    let head = _mm256_xor_si256(both(head(first), head(second)), pattern);
    let tail = _mm256_xor_si256(both(tail(first), tail(second)), tail_pattern);
    let highest = [9, 0, 9, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0];
    let over_head = _mm256_subs_epu8(head, both(highest, highest));
    let highest = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0];
    let over_tail = _mm256_subs_epu8(tail, both(highest, highest));
    // d . d d d d d d: the point weighs nothing.
    let tens = _mm256_set1_epi64x(i64::from_le_bytes([1, 0, 10, 1, 10, 1, 10, 1]));
    let hundreds = _mm256_set1_epi64x(i64::from_le_bytes([100, 0, 1, 0, 100, 0, 1, 0]));
    let halves = _mm256_madd_epi16(_mm256_maddubs_epi16(head, tens), hundreds);
    (halves, _mm256_srli_si256::<14>(tail), _mm256_or_si256(over_head, over_tail))
}

fn head(token: &[u8; WIDTH]) -> [u8; 16] {
    let [head @ .., _, _, _, _, _, _, _, _, _] = *token;
    head
}

fn tail(token: &[u8; WIDTH]) -> [u8; 16] {
    let [_, _, _, _, _, _, _, _, _, tail @ ..] = *token;
    tail
}

fn tail_of(end: u8) -> [u8; 16] {
    let [front @ .., _] = *b"00000000000e+00 ";
    let mut tail = [end; 16];
    if let Some(place) = tail.first_chunk_mut() {
        *place = front;
    }
    tail
}

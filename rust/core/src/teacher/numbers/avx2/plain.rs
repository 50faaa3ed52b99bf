//! Whole numbers as `%d` writes them.

#[allow(clippy::wildcard_imports, reason = "forty names with one beginning")]
use std::arch::x86_64::*;

use super::registers::{GROUP, array, both};
use crate::teacher::numbers::swar;

/// Whole numbers of one to eight digits.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn plain_row(text: &[u8], separator: u8, slots: &mut [u32]) -> Option<usize> {
    let mut numbers = Numbers::of(text);
    let (last, others) = slots.split_last_mut()?;
    let (groups, rest) = others.as_chunks_mut::<GROUP>();
    for group in groups {
        // Written out, so that the words stay in registers: reading them back from memory as
        // vectors stalls each time.
        let words = [
            numbers.next(separator)?,
            numbers.next(separator)?,
            numbers.next(separator)?,
            numbers.next(separator)?,
            numbers.next(separator)?,
            numbers.next(separator)?,
            numbers.next(separator)?,
            numbers.next(separator)?,
        ];
        *group = array(eight_numbers(words));
    }
    let mut words = [0; GROUP];
    for (place, mark) in words.iter_mut().zip(rest.iter().map(|_| separator).chain([b'\n'])) {
        *place = numbers.next(mark)?;
    }
    let values = array(eight_numbers(words));
    for (slot, value) in rest.iter_mut().chain([last]).zip(values) {
        *slot = value;
    }
    (!numbers.is_bad).then_some(numbers.start)
}

/// The numbers of a text, one after another, as words for [`eight_numbers`].
struct Numbers<'a> {
    text: &'a [u8],
    /// Where the next number starts.
    start: usize,
    /// Something was not as it should be.
    is_bad: bool,
    /// The current chunk, and which of its bytes ahead are not digits.
    chunk: usize,
    ends: u64,
}

impl<'a> Numbers<'a> {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(text: &'a [u8]) -> Self {
        let ends = text.first_chunk().map_or(0, |chunk| !digit_mask(chunk));
        Self { text, start: 0, is_bad: false, chunk: 0, ends }
    }

    /// The number that ends at the next byte that is not a digit, which should be `mark`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn next(&mut self, mark: u8) -> Option<u64> {
        while self.ends == 0 {
            self.chunk = self.chunk.wrapping_add(64);
            self.ends = !digit_mask(self.text.get(self.chunk..)?.first_chunk()?);
        }
        let end = self.chunk.wrapping_add(self.ends.trailing_zeros() as usize);
        self.ends &= self.ends.wrapping_sub(1);
        let n_digits = end.wrapping_sub(self.start);
        self.is_bad |= (n_digits.wrapping_sub(1) >= 8) | (*self.text.get(end)? != mark);
        let word = swar::values(swar::word(self.text.get(self.start..)?)?);
        self.start = end.wrapping_add(1);
        // The last digit in the highest byte, zeros before the first one.
        Some(word.wrapping_shl((n_digits as u32).wrapping_neg() << 3))
    }
}

/// A bit for each byte that is a digit, the first byte's the lowest.
#[inline]
#[target_feature(enable = "avx2")]
fn digit_mask(bytes: &[u8; 64]) -> u64 {
    let nines = _mm256_set1_epi8(9);
    let zeros = _mm256_set1_epi8(b'0' as i8);
    let mut masks = [0_u64; 2];
    for (mask, half) in masks.iter_mut().zip(bytes.as_chunks::<32>().0) {
        let (low, high) = half.as_chunks::<16>().0.split_first().unwrap_or((&[0; 16], &[]));
        let values = both(*low, *high.first().unwrap_or(&[0; 16]));
        let over = _mm256_subs_epu8(_mm256_xor_si256(values, zeros), nines);
        let is_digit = _mm256_cmpeq_epi8(over, _mm256_setzero_si256());
        *mask = u64::from(_mm256_movemask_epi8(is_digit) as u32);
    }
    masks[0] | masks[1] << 32
}

/// The numbers that eight words of eight digit values spell, the lowest byte leading.
#[inline]
#[target_feature(enable = "avx2")]
fn eight_numbers(words: [u64; GROUP]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = words.map(|word| word as i64);
    let fours = |words| {
        let tens = _mm256_set1_epi16(i16::from_le_bytes([10, 1]));
        let hundreds = _mm256_set1_epi32(i32::from_le_bytes([100, 0, 1, 0]));
        _mm256_madd_epi16(_mm256_maddubs_epi16(words, tens), hundreds)
    };
    let low = fours(_mm256_setr_epi64x(a, b, c, d));
    let high = fours(_mm256_setr_epi64x(e, f, g, h));
    // a b e f, c d g h
    let fours = _mm256_packus_epi32(low, high);
    let [low, high] = 10_000_i16.to_le_bytes();
    let weights = _mm256_set1_epi32(i32::from_le_bytes([low, high, 1, 0]));
    let numbers = _mm256_madd_epi16(fours, weights);
    _mm256_permute4x64_epi64::<0b11_01_10_00>(numbers)
}

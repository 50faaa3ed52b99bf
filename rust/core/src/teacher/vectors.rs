//! Rows of items, eight numbers at a time, on processors with AVX2.
//!
//! A row is read only if all of it is written as programs write it: `None` means "look closer", as
//! everywhere in the fast way. Errors are gathered in one register and looked at once a row.

/// Reads the first line of `text` into `slots`: how many bytes it takes.
///
/// Items count from `base`; all must be below `n_items` then.
#[inline]
pub(super) fn items_row(
    text: &[u8],
    separator: u8,
    base: u32,
    n_items: u32,
    slots: &mut [u32],
) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if crate::isa::has_avx2() {
        #[expect(unsafe_code)]
        // SAFETY: the processor has the feature, as the line above found.
        return unsafe { avx2::items_row(text, separator, base, n_items, slots) };
    }
    None
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    #[allow(clippy::wildcard_imports, reason = "forty names with one beginning")]
    use std::arch::x86_64::*;

    use crate::teacher::swar;

    /// Numbers read at a time.
    const GROUP: usize = 8;
    /// Bytes of a number of `%.18e` and of what separates it from the next.
    const WIDTH: usize = 25;
    /// Powers of ten by which the first seven digits are too large, by exponent.
    const SHIFTS: [f32; 8] = [1e6, 1e5, 1e4, 1e3, 1e2, 1e1, 1.0, f32::INFINITY];

    #[target_feature(enable = "avx2")]
    pub(super) fn items_row(
        text: &[u8],
        separator: u8,
        base: u32,
        n_items: u32,
        slots: &mut [u32],
    ) -> Option<usize> {
        if slots.len() < GROUP {
            return None;
        }
        let length = if text.get(1) == Some(&b'.') {
            savetxt_row(text, separator, slots)
        } else {
            plain_row(text, separator, slots)
        }?;
        let mut highest = 0;
        for slot in slots {
            *slot = slot.wrapping_sub(base);
            highest = highest.max(*slot);
        }
        (highest < n_items).then_some(length)
    }

    /// `d.dddddddddddddddddde+0d`, whole numbers below 10^7: every number takes as many bytes.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn savetxt_row(text: &[u8], separator: u8, slots: &mut [u32]) -> Option<usize> {
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
        // The last eight, of which the groups before may have read some.
        let (group, out) = (tokens.last_chunk::<GROUP>()?, slots.last_chunk_mut::<GROUP>()?);
        let (items, bad) = savetxt_group(group, inside, at_end);
        *out = array(items);
        all_bad = _mm256_or_si256(all_bad, bad);
        (_mm256_testz_si256(all_bad, all_bad) != 0).then_some(length)
    }

    /// Eight items and what is not 0 unless all is well.
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
        // Seven digits are two numbers now, of three and of four: a, c, e, g, b, d, f, h.
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

    /// The halves of the digits of two numbers, their exponents, and what is 0 if all is well.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn savetxt_pair(
        first: &[u8; WIDTH],
        second: &[u8; WIDTH],
        tail_pattern: __m256i,
    ) -> (__m256i, __m256i, __m256i) {
        // What is as it should be becomes 0, digits that may differ become their values.
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

    /// Whole numbers of one to eight digits.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn plain_row(text: &[u8], separator: u8, slots: &mut [u32]) -> Option<usize> {
        let mut numbers = Numbers::of(text);
        let (last, others) = slots.split_last_mut()?;
        let (groups, rest) = others.as_chunks_mut::<GROUP>();
        for group in groups {
            // Written out, so that the words stay in registers: read back from memory as vectors
            // they cost a stall each time.
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

    /// The numbers of a text, one after another, as words that [`eight_numbers`] takes.
    struct Numbers<'a> {
        text: &'a [u8],
        /// Where the next number starts.
        start: usize,
        /// Something was not as it should be.
        is_bad: bool,
        /// The chunk that is looked at, and which of its bytes ahead are no digits.
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

        /// The number that ends at the next byte that is no digit, which should be `mark`.
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

    /// Takes two of each four lanes of 32 bits of the four registers.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn columns<const WHICH: i32>(registers: [__m256i; 4]) -> __m256 {
        let [a, b, c, d] = registers;
        let low = _mm256_castsi256_ps(_mm256_unpacklo_epi64(a, b));
        let high = _mm256_castsi256_ps(_mm256_unpacklo_epi64(c, d));
        _mm256_shuffle_ps::<WHICH>(low, high)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn both(low: [u8; 16], high: [u8; 16]) -> __m256i {
        let lane = |bytes: [u8; 16]| {
            let all = u128::from_le_bytes(bytes);
            _mm_set_epi64x((all >> 64) as i64, all as i64)
        };
        _mm256_set_m128i(lane(high), lane(low))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn array(register: __m256i) -> [u32; GROUP] {
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
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::teacher::integer;

    fn rows(columns: usize) -> Vec<String> {
        let numbers =
            |row: usize| (0..columns).map(move |i| (i * 7919 + row * 104_729) % 9_999_999);
        let plain = |row| numbers(row).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        let savetxt = |row| {
            let spelled = numbers(row).map(|n| {
                let digits = n.to_string();
                let (lead, rest) = digits.split_at(1);
                format!("{lead}.{rest:0<18}e+{:02}", rest.len())
            });
            spelled.collect::<Vec<_>>().join(" ")
        };
        (0..3).flat_map(|row| [plain(row), savetxt(row)]).collect()
    }

    fn one_by_one(text: &[u8], base: u32) -> Vec<u32> {
        let line = text.split(|&byte| byte == b'\n').next().unwrap();
        let number = |token| u32::try_from(integer::exact(token).unwrap()).unwrap();
        line.split(|&byte| byte == b' ').map(|token| number(token) - base).collect()
    }

    #[test]
    fn rows_of_any_length_are_read_as_one_by_one() {
        if !crate::isa::has_avx2() {
            return;
        }
        for columns in (8..40).chain([100, 257]) {
            for row in rows(columns) {
                let text = format!("{row}\n{}", "7 ".repeat(64));
                let mut slots = vec![0; columns];
                let end = items_row(text.as_bytes(), b' ', 0, 10_000_000, &mut slots);
                assert_eq!(end, Some(row.len() + 1), "{row}");
                assert_eq!(slots, one_by_one(text.as_bytes(), 0), "{row}");
                for (base, n_items) in [(1, 10_000_000), (0, *slots.iter().max().unwrap())] {
                    let is_inside = slots.iter().all(|&item| item >= base && item - base < n_items);
                    let mut shifted = vec![0; columns];
                    let end = items_row(text.as_bytes(), b' ', base, n_items, &mut shifted);
                    assert_eq!(end.is_some(), is_inside, "{base} {n_items} {row}");
                }
            }
        }
    }

    /// Any byte in any place: either the row means the same, or a closer look is asked for.
    #[test]
    fn every_byte_in_every_place_of_a_row() {
        for row in rows(9) {
            let whole = format!("{row}\n{}", "7 ".repeat(64)).into_bytes();
            for place in 0..=row.len() {
                for byte in 0..=u8::MAX {
                    let mut text = whole.clone();
                    text[place] = byte;
                    let mut slots = vec![0; 9];
                    let Some(end) = items_row(&text, b' ', 0, 10_000_000, &mut slots) else {
                        assert!(text != whole || !crate::isa::has_avx2());
                        continue;
                    };
                    assert_eq!(text[end - 1], b'\n');
                    assert_eq!(
                        slots,
                        one_by_one(&text, 0),
                        "{:?}",
                        text.escape_ascii().to_string()
                    );
                }
            }
        }
    }
}

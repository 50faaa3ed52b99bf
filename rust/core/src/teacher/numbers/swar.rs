//! Eight ASCII digits at a time in one 64-bit word (SIMD within a register).

const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The first eight bytes, the first in the lowest place; `None` if there are fewer.
#[inline]
pub(crate) fn word(text: &[u8]) -> Option<u64> {
    text.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))
}

/// How many of the eight bytes are digits before the first that is not.
#[inline]
pub(crate) fn leading_digits(word: u64) -> u32 {
    let x = word ^ ZEROS; // digits become 0..=9
    let over = x.wrapping_add(0x7676_7676_7676_7676); // 10 and more set the top bit
    // A carry from a byte >= 138 can only reach later bytes, and such a byte is itself no digit.
    ((over | x) & 0x8080_8080_8080_8080).trailing_zeros() >> 3
}

/// Whether all eight bytes are digits.
#[inline]
pub(crate) fn all_digits(word: u64) -> bool {
    are_digits(values(word))
}

/// Whether all eight values (see [`values`]) are those of digits, 0..=9.
#[inline]
pub(crate) fn are_digits(values: u64) -> bool {
    (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080 == 0
}

/// The digits of a word that holds eight of them, each as 0..=9.
#[inline]
pub(crate) fn values(word: u64) -> u64 {
    word ^ ZEROS
}

/// The number that eight digit values spell, the lowest byte being the leading digit.
#[inline]
pub(crate) fn number(values: u64) -> u64 {
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_in_every_place_is_told_from_a_digit() {
        for place in 0..8 {
            for byte in 0..=u8::MAX {
                let mut text = *b"90909090";
                text[place] = byte;
                let expected = if byte.is_ascii_digit() { 8 } else { place as u32 };
                assert_eq!(leading_digits(word(&text).unwrap()), expected, "{text:?}");
            }
        }
    }

    #[test]
    fn eight_digits_spell_their_number() {
        for number_ in [0_u64, 1, 9, 10, 99_999_999, 12_345_678, 10_000_000, 80_706_050] {
            let text = format!("{number_:08}");
            assert_eq!(number(values(word(text.as_bytes()).unwrap())), number_);
        }
    }
}

//! Whole numbers, written `%d` or as `numpy.savetxt` writes them (`1.000000000000000000e+00`).
//!
//! No value passes through a float: 9007199254740993 stays itself.

use super::decimal::{self, digit};
use super::swar;

/// Why a token is not a usable whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotWhole {
    /// Not a decimal number at all.
    NotANumber,
    /// It has a fractional part.
    Fraction,
    /// It does not fit 64 bits.
    Overflow,
}

/// Reads a whole number off the front of `text`: its value and its length.
///
/// The caller must check that the byte behind it ends the token. `None` means "look closer", not
/// "wrong".
#[inline]
pub(crate) fn fast(text: &[u8]) -> Option<(u64, usize)> {
    let word = swar::word(text)?;
    if (word >> 8) & 0xff == u64::from(b'.') {
        return scientific(text);
    }
    let n_digits = swar::leading_digits(word);
    if n_digits == 0 || n_digits == 8 {
        return None;
    }
    let shift = 64_u32.wrapping_sub(n_digits << 3);
    Some((swar::number(swar::values(word) << shift), n_digits as usize))
}

/// `d.dddddddddddddddddde+0x`, the form of `%.18e`, if it is a whole number below 10^7.
#[inline]
fn scientific(text: &[u8]) -> Option<(u64, usize)> {
    let token = text.first_chunk::<24>()?;
    let (head, rest) = token.split_first_chunk::<8>()?;
    let (middle, tail) = rest.split_first_chunk::<8>()?;
    let [zeros @ .., last] = tail.first_chunk::<8>()?;
    let exponent = u32::from(last.wrapping_sub(b'0'));
    if middle != b"00000000" || zeros != b"0000e+0" || exponent > 6 {
        return None;
    }
    // The seven digits around the point, then a zero byte.
    let word = u64::from_le_bytes(*head);
    let digits = swar::values((word >> 8 & !0xff) | (word & 0xff)) & 0x00ff_ffff_ffff_ffff;
    let kept = exponent << 3;
    // Digits behind the decimal point, once it has moved, must be zeros.
    if !swar::are_digits(digits) || digits >> 8 >> kept != 0 {
        return None;
    }
    Some((swar::number(digits << 56_u32.wrapping_sub(kept)), 24))
}

/// The value of any decimal number, exactly.
pub(crate) fn exact(token: &[u8]) -> Result<i64, NotWhole> {
    let number = decimal::split(token).ok_or(NotWhole::NotANumber)?;
    let digits = number.whole.iter().chain(number.fraction);
    let trailing = digits.clone().rev().take_while(|byte| **byte == b'0').count();
    let n_digits = number.whole.len().saturating_add(number.fraction.len());
    if trailing == n_digits {
        return Ok(0);
    }
    let moved = (trailing as i64).saturating_sub(number.fraction.len() as i64);
    let places = number.exponent.saturating_add(moved);
    let places = u32::try_from(places).map_err(|_| match places {
        ..0 => NotWhole::Fraction,
        _ => NotWhole::Overflow,
    })?;
    // Summed up below zero, where there is one more number.
    let value = digits
        .take(n_digits.saturating_sub(trailing))
        .try_fold(0_i64, |sum, &byte| sum.checked_mul(10)?.checked_sub(digit(byte)))
        .and_then(|value| value.checked_mul(10_i64.checked_pow(places)?))
        .ok_or(NotWhole::Overflow)?;
    if number.negative { Ok(value) } else { value.checked_neg().ok_or(NotWhole::Overflow) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_in_every_spelling() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("-0.000000e+00", 0),
            ("+1", 1),
            ("007", 7),
            ("1e0", 1),
            ("1.", 1),
            ("1.7e1", 17),
            ("1700e-2", 17),
            ("0e-99999999999", 0),
            ("0.000000000000000000000000000000001e33", 1),
            ("9007199254740993", 9_007_199_254_740_993),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(exact(text.as_bytes()), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_whole_number_says_why() {
        for (text, why) in [
            ("nan", NotWhole::NotANumber),
            ("1.5", NotWhole::Fraction),
            ("1e-400", NotWhole::Fraction),
            ("4.9e-324", NotWhole::Fraction),
            ("12345678901234567890123e-3", NotWhole::Fraction),
            ("12345678901234567890000e-3", NotWhole::Overflow),
            ("1e400", NotWhole::Overflow),
            ("1e99999999999", NotWhole::Overflow),
            ("9223372036854775808", NotWhole::Overflow),
            ("-9223372036854775809", NotWhole::Overflow),
            ("18446744073709551616", NotWhole::Overflow),
        ] {
            assert_eq!(exact(text.as_bytes()), Err(why), "{text}");
        }
    }

    #[test]
    fn the_fast_path_agrees_with_the_exact_one_or_declines() {
        for number in (0..20_000).chain([99_999, 123_456, 9_999_999, 12_345_678, 200_000_000]) {
            for text in
                [format!("{number}"), savetxt(number), format!("{number}.5"), format!("{number:e}")]
            {
                let padded = format!("{text} 1 2 3 4 5 6 7 8 9");
                if let Some((value, length)) = fast(padded.as_bytes())
                    && length == text.len()
                {
                    assert_eq!(exact(text.as_bytes()), Ok(value as i64), "{text}");
                }
            }
        }
        assert_eq!(fast(b"17407 1 2"), Some((17_407, 5)));
        assert_eq!(fast(b"1.740700000000000000e+04 "), Some((17_407, 24)));
        assert_eq!(fast(b"1.740700000000000000e+03 "), None);
        assert_eq!(fast(b"1.740700000000000001e+04 "), None);
    }

    #[test]
    fn no_other_byte_passes_in_any_place_of_a_token() {
        for token in [*b"1.740700000000000000e+04", *b"1.000000000000000000e+00"] {
            for (place, byte) in
                (0..24).flat_map(|place| (0..=u8::MAX).map(move |byte| (place, byte)))
            {
                let mut text = [b' '; 32];
                text[..24].copy_from_slice(&token);
                text[place] = byte;
                if let Some((value, length)) = fast(&text) {
                    assert_eq!(
                        exact(&text[..length]),
                        Ok(value as i64),
                        "{:?}",
                        text.escape_ascii()
                    );
                }
            }
        }
    }

    /// As `%.18e` prints it.
    fn savetxt(number: u64) -> String {
        let digits = number.to_string();
        let (lead, rest) = digits.split_at(1);
        format!("{lead}.{rest:0<18}e+{:02}", rest.len())
    }
}

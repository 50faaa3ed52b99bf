//! Decimal numbers to `f32`, as `numpy.loadtxt(dtype=float64).astype(float32)` rounds them.
//!
//! That is: the nearest `f64`, then the `f32` nearest to it. The fast paths compute an `f64` that
//! is at most [`MARGIN`] units in the last place away from the nearest one, and give up where so
//! small a difference could change the `f32` (28 bits of slack: one random number in 2^24).

use super::decimal;
use super::swar;

/// Why a token is not a usable `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotFinite {
    /// Not a decimal number at all.
    NotANumber,
    /// Beyond the largest `f32`.
    Overflow,
}

/// The power of ten of the first entry of [`POWERS`].
const LOWEST: i32 = -40;

#[rustfmt::skip]
const POWERS: [f64; 63] = [
    1e-40, 1e-39, 1e-38, 1e-37, 1e-36, 1e-35, 1e-34, 1e-33, 1e-32,
    1e-31, 1e-30, 1e-29, 1e-28, 1e-27, 1e-26, 1e-25, 1e-24, 1e-23,
    1e-22, 1e-21, 1e-20, 1e-19, 1e-18, 1e-17, 1e-16, 1e-15, 1e-14,
    1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5,
    1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3, 1e4,
    1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13,
    1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// In units in the last place of an `f64`. The errors add up: dropping the digits beyond the 17th
/// (1), `u64` to `f64` (1), the power of ten (1), the product (1), and the nearest `f64` itself
/// (1/2).
const MARGIN: u64 = 8;

/// `mantissa * 10^exponent`, rounded twice; `None` if it needs more care.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call costs as much as the work")]
fn rounded(mantissa: u64, exponent: i32) -> Option<f32> {
    let index = usize::try_from(exponent.wrapping_sub(LOWEST)).ok()?;
    let value = mantissa as f64 * POWERS.get(index)?;
    // Where an f32 has its full 24 bits, the 29 bits it drops of an f64 decide the rounding.
    let dropped = value.to_bits() & 0x1fff_ffff;
    let normal = (1e-37..1e38).contains(&value);
    (normal && dropped.abs_diff(0x1000_0000) > MARGIN).then_some(value as f32)
}

/// Reads a number that is not negative off the front of `text`: its value and its length.
///
/// The caller must check that the byte behind it ends the token. `None` means "look closer", not
/// "wrong".
#[inline]
pub(crate) fn fast(text: &[u8]) -> Option<(f32, usize)> {
    scientific(text).or_else(|| plain(text))
}

/// `d.dddddddddddddddddde[+-]dd`, the form of `%.18e`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call costs as much as the work")]
fn scientific(text: &[u8]) -> Option<(f32, usize)> {
    let token = text.first_chunk::<24>()?;
    let [lead, point, fraction @ .., e, sign, tens, ones] = token;
    let (a, rest) = fraction.split_first_chunk::<8>()?;
    let (b, last) = rest.split_first_chunk::<8>()?;
    let (a, b) = (u64::from_le_bytes(*a), u64::from_le_bytes(*b));
    let (lead, tens, ones) = (value(*lead)?, value(*tens)?, value(*ones)?);
    let is_form = *point == b'.'
        && *e == b'e'
        && swar::all_digits(a)
        && swar::all_digits(b)
        && last.iter().all(u8::is_ascii_digit);
    // With a leading zero the two dropped digits would weigh too much.
    if !is_form || lead == 0 {
        return None;
    }
    let mantissa = lead
        .wrapping_mul(10_000_000_000_000_000)
        .wrapping_add(swar::number(swar::values(a)).wrapping_mul(100_000_000))
        .wrapping_add(swar::number(swar::values(b)));
    let size = tens.wrapping_mul(10).wrapping_add(ones) as i32;
    let exponent = match sign {
        b'-' => size.wrapping_neg(),
        b'+' => size,
        _ => return None,
    };
    Some((rounded(mantissa, exponent.wrapping_sub(16))?, 24))
}

#[inline]
fn value(byte: u8) -> Option<u64> {
    let value = byte.wrapping_sub(b'0');
    (value <= 9).then_some(u64::from(value))
}

/// `d*[.d*][e[+-]d+]` with at most 18 digits in all.
#[inline]
fn plain(text: &[u8]) -> Option<(f32, usize)> {
    let (mut mantissa, n_whole) = digits(text, 0);
    let mut length = n_whole;
    let mut n_digits = n_whole;
    let mut exponent = 0_i32;
    if text.get(length) == Some(&b'.') {
        length = length.wrapping_add(1);
        let (sum, n_fraction) = digits(text.get(length..)?, mantissa);
        (mantissa, length) = (sum, length.wrapping_add(n_fraction));
        n_digits = n_digits.wrapping_add(n_fraction);
        exponent = (n_fraction.min(19) as i32).wrapping_neg();
    }
    if n_digits == 0 || n_digits > 18 {
        return None;
    }
    if let Some(b'e' | b'E') = text.get(length) {
        let (shift, n_bytes) = power(text.get(length..)?)?;
        (exponent, length) = (exponent.wrapping_add(shift), length.wrapping_add(n_bytes));
    }
    if mantissa == 0 {
        return Some((0.0, length));
    }
    Some((rounded(mantissa, exponent)?, length))
}

/// Appends the leading digits of `text` to `sum`; returns the sum and how many there were.
#[inline]
fn digits(text: &[u8], mut sum: u64) -> (u64, usize) {
    let mut count = 0_usize;
    for &byte in text {
        let Some(value) = value(byte) else { break };
        sum = sum.wrapping_mul(10).wrapping_add(value);
        count = count.wrapping_add(1);
    }
    (sum, count)
}

/// `e[+-]d`, `e[+-]dd`: its value and its length.
fn power(text: &[u8]) -> Option<(i32, usize)> {
    let (sign, rest) = match text.get(1) {
        Some(b'-') => (-1, text.get(2..)?),
        Some(b'+') => (1, text.get(2..)?),
        _ => (1, text.get(1..)?),
    };
    let (size, count) = digits(rest, 0);
    if !(1..=2).contains(&count) {
        return None;
    }
    let length = text.len().wrapping_sub(rest.len()).wrapping_add(count);
    Some(((size as i32).wrapping_mul(sign), length))
}

/// The value of any decimal number, by the correctly rounding parser of `std`.
pub(crate) fn exact(token: &[u8]) -> Result<f32, NotFinite> {
    decimal::split(token).ok_or(NotFinite::NotANumber)?;
    let text = str::from_utf8(token).map_err(|_| NotFinite::NotANumber)?;
    let value: f64 = text.parse().map_err(|_| NotFinite::NotANumber)?;
    let value = value as f32;
    if value.is_finite() { Ok(value) } else { Err(NotFinite::Overflow) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(text: &str) -> f32 {
        text.parse::<f64>().unwrap() as f32
    }

    /// A fixed stream of numbers that look random.
    fn stream(seed: u64) -> impl Iterator<Item = u64> {
        (0_u64..).map(move |i| {
            let mut z = i.wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        })
    }

    #[test]
    fn the_power_table_starts_where_it_says() {
        for (index, power) in POWERS.iter().enumerate() {
            let text = format!("1e{}", index as i32 + LOWEST);
            assert_eq!(power.to_bits(), text.parse::<f64>().unwrap().to_bits());
        }
    }

    #[test]
    fn fast_paths_agree_with_the_exact_one_or_decline() {
        let mut taken = 0_usize;
        for bits in stream(1).take(100_000) {
            let number = (bits >> 11) as f64 / 2_f64.powi((bits % 70) as i32);
            for text in [
                savetxt(number),
                format!("{number}"),
                format!("{number:.4}"),
                format!("{number:e}"),
            ] {
                let padded = format!("{text} 1.5 1.5 1.5 1.5 1.5 1.5");
                if let Some((value, length)) = fast(padded.as_bytes())
                    && length == text.len()
                {
                    taken += 1;
                    assert_eq!(value.to_bits(), reference(&text).to_bits(), "{text}");
                }
            }
        }
        assert!(taken > 200_000, "{taken}");
    }

    #[test]
    fn leading_zeros_leave_fewer_digits_to_drop() {
        for text in
            ["0.000000000000000199e+00", "0.000000012345678999e-01", "0.000000000000000000e+00"]
        {
            let padded = format!("{text} 1.5");
            let got = fast(padded.as_bytes()).map(|(value, _)| value.to_bits());
            assert!(got.is_none_or(|bits| bits == reference(text).to_bits()), "{text}");
        }
    }

    #[test]
    fn ties_between_two_floats_and_their_neighbours_are_rounded_exactly() {
        for bits in stream(2).take(20_000) {
            let low = f32::from_bits((bits as u32 & 0x007f_ffff) | 0x3f00_0000);
            let middle = f64::midpoint(f64::from(low), f64::from(low.next_up()));
            for number in [middle.next_down(), middle, middle.next_up()] {
                for text in [savetxt(number), format!("{number}")] {
                    let padded = format!("{text} 1.5 1.5 1.5 1.5 1.5 1.5");
                    assert_eq!(exact(text.as_bytes()), Ok(reference(&text)));
                    if let Some((value, length)) = fast(padded.as_bytes())
                        && length == text.len()
                    {
                        assert_eq!(value.to_bits(), reference(&text).to_bits(), "{text}");
                    }
                }
            }
        }
    }

    /// As `%.18e` prints it: Rust's exponent has no sign and no second digit.
    fn savetxt(number: f64) -> String {
        let text = format!("{number:.18e}");
        let (mantissa, exponent) = text.split_once('e').unwrap();
        let exponent: i32 = exponent.parse().unwrap();
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }
}

//! Numbers in cells: only the common forms, which need no library.

#[inline]
pub(super) fn int(cell: &[u8]) -> Option<i64> {
    let (digits, sign) = match cell {
        [b'-', digits @ ..] => (digits, -1),
        digits => (digits, 1),
    };
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut value = 0_u64; // holds any nineteen digits
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    i64::try_from(value).ok().map(|value| sign * value)
}

/// Powers of ten that `f32` holds exactly.
const TENS: [f32; 11] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

#[inline]
pub(super) fn float(cell: &[u8]) -> Option<f32> {
    let (digits, sign) = match cell {
        [b'-', digits @ ..] => (digits, -1.0),
        digits => (digits, 1.0),
    };
    let (mut value, mut point) = (0_u32, None);
    // Seven digits are exact in f32, and so is the power of ten: one rounding, in the division.
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    for (place, &byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value * 10 + u32::from(digit);
        } else if byte == b'.' && point.is_none() {
            point = Some(place);
        } else {
            return None;
        }
    }
    let n_digits = digits.len() - usize::from(point.is_some());
    let decimals = point.map_or(0, |place| digits.len() - place - 1);
    (1..=7).contains(&n_digits).then(|| sign * (value as f32 / TENS[decimals]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_reach_as_far_as_64_bits() {
        assert_eq!(int(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(int(b"-9223372036854775807"), Some(-i64::MAX));
        assert_eq!((int(b"-9223372036854775808"), int(b"9223372036854775808")), (None, None));
    }

    #[test]
    fn floats_are_what_the_library_reads() {
        for text in
            ["0", "-0", "5", "4.5", ".5", "5.", "0.1", "-3.7", "9999999", "0.000001", "123.456"]
        {
            let ours = float(text.as_bytes()).unwrap();
            assert_eq!(ours.to_bits(), text.parse::<f32>().unwrap().to_bits(), "{text}");
        }
    }
}

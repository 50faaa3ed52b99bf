//! The grammar of numbers: `[+-] digits [. digits] [e [+-] digits]`, nothing else.

/// A decimal number in its parts; `exponent` saturates far beyond anything that could matter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal<'a> {
    pub negative: bool,
    pub whole: &'a [u8],
    pub fraction: &'a [u8],
    pub exponent: i64,
}

/// Splits a token into its parts; `None` if it is not a decimal number (`nan`, `0x10`, `1_000`, `1,5`, ...).
pub(crate) fn split(token: &[u8]) -> Option<Decimal<'_>> {
    let (negative, rest) = signed(token);
    let (whole, rest) = digits(rest);
    let (fraction, rest) = match rest.split_first() {
        Some((b'.', tail)) => digits(tail),
        _ => (&[][..], rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let exponent = match rest.split_first() {
        None => 0,
        Some((b'e' | b'E', tail)) => exponent(tail)?,
        Some(_) => return None,
    };
    Some(Decimal { negative, whole, fraction, exponent })
}

fn signed(token: &[u8]) -> (bool, &[u8]) {
    match token.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, token),
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, &[]))
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, rest) = signed(text);
    let (number, rest) = digits(rest);
    if number.is_empty() || !rest.is_empty() {
        return None;
    }
    let add = |sum: i64, &byte: &u8| sum.saturating_mul(10).saturating_add(digit(byte));
    let size = number.iter().fold(0_i64, add).min(1 << 40);
    Some(if negative { size.saturating_neg() } else { size })
}

/// The value of an ASCII digit.
pub(crate) fn digit(byte: u8) -> i64 {
    i64::from(byte.wrapping_sub(b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_nothing_else() {
        for good in ["0", "+1", "-0", "007", "1.", ".5", "1e0", "1.5E+3", "1e-400", "1e99999999999"]
        {
            assert!(split(good.as_bytes()).is_some(), "{good}");
        }
        for bad in
            ["", ".", "+", "e5", "1e", "1e+", "nan", "inf", "0x10", "1_0", "1,5", "1 ", "--1"]
        {
            assert!(split(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_huge_exponent_saturates() {
        let text = format!("1e{}", "9".repeat(400));
        assert_eq!(split(text.as_bytes()).unwrap().exponent, 1 << 40);
    }
}

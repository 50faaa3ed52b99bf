//! The exponential in float32, in a form that the compiler can vectorise.

/// Smaller arguments give the exponential of this one, 1.6e-38.
const LOWEST: f32 = -87.0;

/// Adding and subtracting this rounds to the nearest whole number and leaves it in the low bits.
const ROUNDER: f32 = 12_582_912.0; // 1.5 * 2^23

/// `ln 2` in two parts; the high part times a whole number below 2^8 is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `exp(x)` for `x <= 1`, within `3e-7` of its value; NaN gives NaN.
#[expect(clippy::inline_always, reason = "for multiversion::run")]
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let x = if x < LOWEST { LOWEST } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let (r2, r4) = (r * r, r * r * (r * r));
    let low = (1.0 + r) + (0.5 + r * (1.0 / 6.0)) * r2;
    let high = (1.0 / 24.0 + r * (1.0 / 120.0)) + (1.0 / 720.0 + r * (1.0 / 5_040.0)) * r2;
    // 2^n: the exponent's bits are n + 127, and what the rounder adds is shifted out.
    (low + high * r4) * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_exponential_agrees_with_the_standard_library(x in -80.0..1.0_f32) {
            prop_assert!((f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs() < 3e-7);
        }
    }
}

//! The exponential of numbers that are not positive, in a form the compiler can vectorise.

/// `exp(x)` of a normal float64 is not smaller than `exp` of this.
const LOWEST: f64 = -708.0;

/// Adding and subtracting it rounds to the nearest whole number, which is left in the low bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52

/// `ln 2` in two parts; the high part times a whole number below 2^11 is exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// Taylor coefficients `1/0!` to `1/11!`. On `|r| <= ln(2)/2` the rest is below `1e-14`.
const C: [f64; 12] = [
    1.0,
    1.0,
    0.5,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5_040.0,
    1.0 / 40_320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
];

/// `exp(x)` for `x <= 0`, within `1e-14` of its value; below -708, `exp(-708)`.
#[expect(clippy::inline_always, reason = "for multiversion::run")]
#[inline(always)]
pub fn exp_of_negative(x: f64) -> f64 {
    let x = if x > LOWEST { x } else { LOWEST };
    let shifted = x * std::f64::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    // Estrin's order: four short chains instead of Horner's long one.
    let (r2, r4) = (r * r, r * r * (r * r));
    let quarter = |i: usize| (C[i] + C[i + 1] * r) + (C[i + 2] + C[i + 3] * r) * r2;
    let polynomial = (quarter(0) + quarter(4) * r4) + quarter(8) * (r4 * r4);
    // 2^n: the exponent's bits are n + 1023, and what the rounder adds is shifted out.
    polynomial * f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ends_are_exact() {
        assert_eq!(exp_of_negative(0.0).to_bits(), 1.0_f64.to_bits());
        assert_eq!(exp_of_negative(-1e300).to_bits(), exp_of_negative(LOWEST).to_bits());
        assert!((exp_of_negative(LOWEST) / LOWEST.exp() - 1.0).abs() < 1e-13);
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_standard_library(x in -708.0..0.0_f64) {
            prop_assert!((exp_of_negative(x) / x.exp() - 1.0).abs() < 1e-14);
        }

        #[test]
        fn it_never_rises_as_the_distance_grows(x in -700.0..0.0_f64, step in 1e-9..1.0_f64) {
            prop_assert!(exp_of_negative(x - step) < exp_of_negative(x));
        }
    }
}

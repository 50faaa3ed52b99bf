//! Item vectors in eight bits, with how far a score by them can be from the exact one.
//!
//! Row `i` is `scale[i] * codes[i]` and a rest. A user `u` becomes `t * p` and a rest, `p` of 16 bits.
//! The exact score of [`super::fused_top_n`], rounded as it is, then differs from
//! `bias[i] + t * scale[i] * (p . codes[i])`, computed in float32, by at most
//!
//! * `|u| |v - scale c|`, the item's rest seen by the user;
//! * `|u - t p| |scale c|`, the user's rest seen by the item;
//! * roundings: `(width + 16)` units of 2^-23, twice what both chains of float32 can lose, of
//!   `|u| (|v| + |scale c|)` and of the bias; and a number below all normal ones, for underflow.
//!
//! [`ItemCodes::slacks`] is what stands beside `|u|` in that sum, of each item.

use super::simd::{LINE, PANEL};
use crate::memory::{filled, with_capacity};
use crate::{CancelToken, Error, Result};

/// Rows between two checks of the cancel token.
const CHECK_ROWS: usize = 1 << 14;

/// The highest code of an item.
const ITEM_STEPS: f64 = 127.0;

/// The widest vectors that are coded: above it a user would have few steps left.
const WIDEST: usize = 8192;

/// Items in eight bits.
#[derive(Debug, Default, PartialEq)]
pub struct ItemCodes {
    /// `(panels, stride)`: panels of [`PANEL`] items, the first two codes of each item, then the
    /// next two; zeros for items and numbers that there are not.
    pub codes: Vec<i8>,
    /// What a row of codes is multiplied by, `(n_items,)`.
    pub scales: Vec<f32>,
    /// What a score can be off by, for a user of length 1, `(n_items,)`.
    pub slacks: Vec<f32>,
}

/// [`ItemCodes`] that stand elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct CodedItems<'a> {
    /// As in [`ItemCodes`].
    pub codes: &'a [i8],
    /// As in [`ItemCodes`].
    pub scales: &'a [f32],
    /// As in [`ItemCodes`].
    pub slacks: &'a [f32],
}

/// Codes of a panel of vectors of `width` numbers.
#[must_use]
pub fn stride(width: usize) -> usize {
    width.div_ceil(2) * LINE
}

/// Panels of so many items.
#[must_use]
pub fn n_panels(n_items: usize) -> usize {
    n_items.div_ceil(PANEL)
}

/// The highest code of a user: a sum of products fits in 32 bits.
fn user_steps(width: usize) -> f64 {
    let most = f64::from(i32::MAX) / (ITEM_STEPS * width as f64);
    most.floor().min(f64::from(i16::MAX))
}

/// What a user's rest can be, for a user of length 1.
fn user_rest(width: usize) -> f64 {
    1.01 * (width as f64).sqrt() / (2.0 * user_steps(width))
}

/// The part of a length, or of a bias, that roundings can cost.
fn rounding(width: usize) -> f64 {
    (width as f64 + 16.0) * 2.0_f64.powi(-23)
}

/// Codes rows of `width` numbers.
///
/// # Errors
///
/// [`Error::Parameter`] for a width of 0 or above 8,192; [`Error::Shape`]; [`Error::NonFinite`];
/// [`Error::Memory`]; [`Error::Interrupted`].
pub fn code_items(items: &[f32], width: usize, cancel: &CancelToken) -> Result<ItemCodes> {
    if !(1..=WIDEST).contains(&width) {
        let rule = "1..8192";
        return Err(Error::Parameter { name: "width", value: width as f64, rule });
    }
    let n_items = items.len() / width;
    crate::shape::check_shape("items", items.len(), n_items * width)?;
    let stride = stride(width);
    let mut found = ItemCodes {
        codes: filled(0, n_panels(n_items).saturating_mul(stride))?,
        scales: with_capacity(n_items)?,
        slacks: with_capacity(n_items)?,
    };
    let mut codes = vec![0_i8; width.next_multiple_of(2)];
    for (row, vector) in items.chunks_exact(width).enumerate() {
        if row % CHECK_ROWS == 0 {
            cancel.check()?;
        }
        if let Some(column) = vector.iter().position(|value| !value.is_finite()) {
            let value = vector[column].into();
            return Err(Error::NonFinite { name: "items", row, column, value });
        }
        let (scale, slack) = code_row(vector, &mut codes);
        let panel = &mut found.codes[row / PANEL * stride..][..stride];
        let lines = panel.as_chunks_mut::<LINE>().0.iter_mut();
        for (line, pair) in lines.zip(codes.as_chunks::<2>().0) {
            line[row % PANEL * 2..][..2].copy_from_slice(pair);
        }
        found.scales.push(scale);
        found.slacks.push(slack);
    }
    Ok(found)
}

fn code_row(vector: &[f32], codes: &mut [i8]) -> (f32, f32) {
    let highest = vector.iter().fold(0.0_f32, |highest, value| highest.max(value.abs()));
    let scale = (f64::from(highest) / ITEM_STEPS) as f32;
    let [mut rest, mut coded, mut length] = [0.0_f64; 3];
    for (code, &value) in codes.iter_mut().zip(vector) {
        let value = f64::from(value);
        *code = steps(value, scale, ITEM_STEPS) as i8;
        let near = f64::from(scale) * f64::from(*code);
        rest += (value - near) * (value - near);
        coded += near * near;
        length += value * value;
    }
    let width = vector.len();
    let of_user = user_rest(width) * coded.sqrt();
    let rounded = rounding(width) * (length.sqrt() + coded.sqrt());
    (scale, upward(rest.sqrt() + of_user + rounded))
}

fn steps(value: f64, scale: f32, most: f64) -> f64 {
    if scale > 0.0 { (value / f64::from(scale)).round().clamp(-most, most) } else { 0.0 }
}

/// A float32 that is no less, with room for the roundings of what is made of it.
fn upward(value: f64) -> f32 {
    (value * (1.0 + 1e-5)) as f32
}

/// A user in sixteen bits.
#[derive(Debug)]
pub(super) struct UserCodes {
    /// Two in each number, the first in its lower half.
    pub pairs: Vec<i32>,
    /// What the codes are multiplied by.
    pub scale: f32,
    /// The length of the user, no less than it is.
    pub length: f32,
}

impl UserCodes {
    /// Codes a user of finite numbers; None where the bounds would not hold: numbers of hardly any
    /// magnitude.
    pub fn new(user: &[f32]) -> Result<Option<Self>> {
        let width = user.len();
        let most = user_steps(width);
        let highest = user.iter().fold(0.0_f32, |highest, value| highest.max(value.abs()));
        let scale = (f64::from(highest) / most) as f32;
        let mut codes = filled(0_i16, width.next_multiple_of(2))?;
        let (mut rest, mut length) = (0.0_f64, 0.0_f64);
        for (code, &value) in codes.iter_mut().zip(user) {
            let value = f64::from(value);
            *code = steps(value, scale, most) as i16;
            let off = value - f64::from(scale) * f64::from(*code);
            rest += off * off;
            length += value * value;
        }
        if rest.sqrt() > user_rest(width) * length.sqrt() {
            return Ok(None);
        }
        let pairs = codes.as_chunks::<2>().0.iter();
        let pairs =
            pairs.map(|&[low, high]| i32::from(high) << 16 | i32::from(low as u16)).collect();
        Ok(Some(Self { pairs, scale, length: upward(length.sqrt()) }))
    }
}

/// What roundings can cost beside the biases, and underflow.
pub(super) fn bias_slack(width: usize, highest_bias: f64) -> f32 {
    upward(rounding(width) * highest_bias + 1e-37)
}

#[cfg(test)]
mod tests {
    use super::super::simd::{Lanes, Level, Portable, Task};
    use super::*;

    struct Dots<'a, const U: usize>([&'a [i32]; U], &'a [[i8; LINE]]);

    impl<const U: usize> Task for Dots<'_, U> {
        type Output = [[i32; PANEL]; U];

        #[inline(always)]
        fn run<const ITEMS: usize, const FMA: bool>(self, lanes: impl Lanes) -> Self::Output {
            lanes.dots(self.0, self.1)
        }
    }

    #[test]
    fn every_level_adds_up_the_same() {
        let users: [Vec<i32>; 3] = [61_234_567, 7_654_321, -12_345_678]
            .map(|factor| (0..70_i32).map(|i| i.wrapping_mul(factor)).collect());
        let panel: Vec<[i8; LINE]> =
            (0..70).map(|i| std::array::from_fn(|j| (i * 37 + j * 11) as i8)).collect();
        let halves = |pair: i32| [i32::from(pair as i16), pair >> 16];
        let expected = users.each_ref().map(|user| {
            std::array::from_fn(|item| {
                let pairs = user.iter().zip(&panel);
                let products = pairs.map(|(&pair, line)| {
                    halves(pair)[0] * i32::from(line[2 * item])
                        + halves(pair)[1] * i32::from(line[2 * item + 1])
                });
                products.sum()
            })
        });
        let [first, second, third] = users.each_ref().map(Vec::as_slice);
        for level in Level::all() {
            let together = level.run(Dots([first, second, third], &panel));
            assert_eq!(together, expected, "{level:?}");
            assert_eq!(level.run(Dots([second], &panel)), [expected[1]], "{level:?}");
        }
    }

    #[test]
    fn a_score_by_codes_is_no_further_off_than_it_says() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        for (width, spread) in [(1, 1.0), (7, 1e-3), (32, 1e4), (64, 1.0), (100, 1e-20)] {
            let items: Vec<f32> = (0..500 * width).map(|_| next().powi(5) * spread).collect();
            let coded = code_items(&items, width, &CancelToken::new()).unwrap();
            assert_eq!(coded.codes.len(), n_panels(500) * stride(width));
            for _ in 0..20 {
                let user: Vec<f32> = (0..width).map(|_| next().powi(3) * 3.0).collect();
                let codes = UserCodes::new(&user).unwrap().unwrap();
                for (item, vector) in items.chunks(width).enumerate() {
                    let exact: f64 =
                        user.iter().zip(vector).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    let panel = &coded.codes[item / PANEL * stride(width)..][..stride(width)];
                    let [sums] = Portable.dots([&codes.pairs], panel.as_chunks().0);
                    let sum = sums[item % PANEL];
                    let near = codes.scale * coded.scales[item] * sum as f32;
                    let bound = codes.length * coded.slacks[item] + bias_slack(width, 0.0);
                    assert!((exact - f64::from(near)).abs() <= f64::from(bound), "{width} {item}");
                    assert!(
                        f64::from(bound)
                            <= 0.2
                                * f64::from(codes.length)
                                * f64::from(spread)
                                * (width as f64).sqrt()
                                + 1e-30
                    );
                }
            }
        }
    }

    #[test]
    fn zeros_have_codes_and_bad_numbers_have_none() {
        let coded = code_items(&[0.0, 0.0, 1.0, -0.25], 2, &CancelToken::new()).unwrap();
        assert_eq!((coded.scales[0], coded.slacks[0]), (0.0, 0.0));
        assert_eq!(coded.codes[..4], [0, 0, 127, -32]);
        for bad in [f32::NAN, f32::INFINITY] {
            let got = code_items(&[0.0, 1.0, 1.0, bad], 2, &CancelToken::new());
            assert!(matches!(got, Err(Error::NonFinite { row: 1, column: 1, .. })));
        }
        assert!(code_items(&[], 0, &CancelToken::new()).is_err());
        assert!(code_items(&[0.0; 3], 2, &CancelToken::new()).is_err());
        // A user whose numbers have no room for steps.
        assert!(UserCodes::new(&[1e-45, 1e-45]).unwrap().is_none());
    }
}

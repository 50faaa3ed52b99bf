//! The teacher's distances: finite numbers, small where it is sure.

use super::value_rules::{NO_ITEM, SHORT_LISTS, ValueRules};
use crate::teacher::diagnose;
use crate::teacher::fault::{Fault, TextError};
use crate::teacher::numbers::float::{self, NotFinite};
use crate::teacher::rules::{DistanceRules, Meaning};

/// From here on exp(-distance) is below the 1e-8 that the authors' weights add: all weigh the same.
const FLAT_FROM: f32 = 18.4;

/// Whole numbers above this are more likely items.
const LIKELY_ITEMS: f32 = 1000.0;

/// What is known about the rows so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    falling_rows: u64,
    flat_rows: u64,
    highest_bits: u32,
    has_fraction: bool,
}

impl ValueRules for DistanceRules {
    type Value = f32;
    type Tally = Tally;

    #[inline]
    fn fast(&self, text: &[u8]) -> Option<(f32, usize)> {
        float::fast(text)
    }

    fn exact(&self, token: &[u8]) -> Result<f32, Fault> {
        if self.short_lists && (token.is_empty() || names_no_number(token)) {
            return Ok(f32::NAN);
        }
        let value = float::exact(token).map_err(|why| not_finite(why, token))?;
        if self.meaning == Meaning::Similarity || value >= 0.0 {
            return Ok(value);
        }
        let marks_no_item = value.to_bits() == (-1.0_f32).to_bits();
        if self.short_lists && marks_no_item {
            return Ok(f32::NAN);
        }
        let hint = if marks_no_item { format!("{KIND}; {NO_ITEM}") } else { KIND.to_owned() };
        Err(Fault::new("E-CONF-NEGATIVE", 0, "a negative distance, expected >= 0").hint(hint))
    }

    fn nothing(&self) -> Option<f32> {
        self.short_lists.then_some(f32::NAN)
    }

    fn least_columns(&self) -> usize {
        self.expected_columns.unwrap_or(0)
    }

    fn ragged_hint(&self) -> &'static str {
        if self.expected_columns == Some(1) { "" } else { SHORT_LISTS }
    }

    fn finish_row(&self, row: &mut [f32], tally: &mut Tally) -> Result<(), (usize, Fault)> {
        if self.meaning == Meaning::Distance {
            let n_listed = row.iter().position(|value| value.is_nan()).unwrap_or(row.len());
            tally.add(if self.short_lists { row.get(..n_listed).unwrap_or(row) } else { row });
        }
        Ok(())
    }

    fn check_columns(&self, columns: usize) -> Result<(), Fault> {
        match self.expected_columns {
            Some(expected) if expected != columns => {
                let message = format!("{columns} columns, expected {expected}");
                Err(Fault::new("E-SHAPE", 0, message).hint("the ranking has one column a distance"))
            }
            _ => Ok(()),
        }
    }

    fn explain<'a>(&self, _error: &mut TextError, _tallies: impl Iterator<Item = &'a Tally>) {}

    fn conclude<'a>(
        &self,
        rows: usize,
        columns: usize,
        tallies: impl Iterator<Item = &'a Tally>,
    ) -> Result<Vec<String>, TextError> {
        let total = tallies.fold(Tally::default(), |sum, tally| sum.plus(tally));
        let (rows, highest) = (rows as f64, f32::from_bits(total.highest_bits));
        if self.meaning == Meaning::Similarity {
            return Ok(Vec::new());
        }
        let mut warnings = Vec::new();
        if columns > 1 && highest <= 1.0 && total.falling_rows as f64 > 0.99 * rows {
            return Err(probabilities());
        }
        if columns > 1 && total.flat_rows > 0 {
            let share = 100.0 * total.flat_rows as f64 / rows;
            warnings.push(format!(
                "W-CONF-FLAT {share:.2} % of the rows have equal distances, or none below {FLAT_FROM}: \
                 their candidates weigh the same"
            ));
        }
        if highest > LIKELY_ITEMS && !total.has_fraction {
            warnings.push(format!(
                "W-CONF-INTEGERS whole numbers up to {highest} only: is this the file of items?"
            ));
        }
        Ok(warnings)
    }
}

fn probabilities() -> TextError {
    TextError::whole(
        "E-CONF-KIND",
        "values fall along more than 99 % of the rows and lie within 0..1, as probabilities do, \
         expected distances (the smallest first)",
        "write distances, or pass kind=\"similarity\" (--confidence-kind similarity)",
    )
}

/// What to do about negative distances.
const KIND: &str = "if larger is surer, pass kind=\"similarity\" (--confidence-kind similarity)";

fn names_no_number(token: &[u8]) -> bool {
    let bare = token.strip_prefix(b"-").or(token.strip_prefix(b"+")).unwrap_or(token);
    [&b"nan"[..], b"inf", b"infinity"].iter().any(|name| bare.eq_ignore_ascii_case(name))
}

fn not_finite(why: NotFinite, token: &[u8]) -> Fault {
    match why {
        NotFinite::NotANumber if names_no_number(token) => {
            Fault::new("E-CONF-NONFINITE", 0, "not finite, expected a finite distance")
                .hint(NO_ITEM)
        }
        NotFinite::NotANumber if token.is_empty() => diagnose::not_a_number().hint(NO_ITEM),
        NotFinite::NotANumber => diagnose::not_a_number(),
        NotFinite::Overflow => {
            Fault::new("E-OVERFLOW", 0, "the number exceeds the largest float32")
        }
    }
}

impl Tally {
    fn add(&mut self, row: &[f32]) {
        let (Some(first), Some(last)) = (row.first(), row.last()) else {
            return;
        };
        let falls = first > last && row.is_sorted_by(|a, b| a >= b);
        let is_flat = row.iter().all(|value| value.to_bits() == first.to_bits())
            || row.iter().all(|value| *value > FLAT_FROM);
        self.falling_rows = self.falling_rows.saturating_add(u64::from(falls));
        self.flat_rows = self.flat_rows.saturating_add(u64::from(is_flat));
        // Numbers that are not negative are ordered as their bits are, and bits are faster.
        let bits = row.iter().map(|value| value.to_bits() & 0x7fff_ffff);
        self.highest_bits = bits.fold(self.highest_bits, u32::max);
        self.has_fraction = self.has_fraction || row.iter().any(|value| value.fract() != 0.0);
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            falling_rows: self.falling_rows.saturating_add(other.falling_rows),
            flat_rows: self.flat_rows.saturating_add(other.flat_rows),
            highest_bits: self.highest_bits.max(other.highest_bits),
            has_fraction: self.has_fraction || other.has_fraction,
        }
    }
}

//! Sums by item that are cheap to clear and come out in order.

use crate::Result;
use crate::memory::zeros;

/// One sum an item of a catalogue, most of them unused.
#[derive(Debug)]
pub struct Accumulator {
    sums: Vec<f64>,
    /// A bit for each item in use.
    used: Vec<u64>,
    /// A bit for each word of `used` that is not 0.
    words: Vec<u64>,
    len: usize,
}

impl Accumulator {
    /// No sum in use yet.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Memory`].
    pub fn new(n_items: usize) -> Result<Self> {
        let n_words = n_items.div_ceil(64);
        Ok(Self {
            sums: zeros(n_items)?,
            used: zeros(n_words)?,
            words: zeros(n_words.div_ceil(64))?,
            len: 0,
        })
    }

    /// Sums in use.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds to the sum of an item, which must be one of the catalogue.
    #[inline]
    pub fn add(&mut self, item: u32, value: f64) {
        let item = item as usize;
        self.sums[item] += value;
        let (word, bit) = (item / 64, 1 << (item % 64));
        let before = self.used[word];
        self.len += usize::from(before & bit == 0);
        self.used[word] = before | bit;
        self.words[word / 64] |= 1 << (word % 64);
    }

    /// Calls `take` with each item in use, ascending, and its sum; then none is in use.
    #[inline]
    pub fn drain(&mut self, mut take: impl FnMut(u32, f64)) {
        for group in 0..self.words.len() {
            for word in bits(std::mem::take(&mut self.words[group])).map(|bit| group * 64 + bit) {
                for item in bits(std::mem::take(&mut self.used[word])).map(|bit| word * 64 + bit) {
                    take(item as u32, std::mem::take(&mut self.sums[item]));
                }
            }
        }
        self.len = 0;
    }
}

/// Items of a catalogue for each window item that is asked for, above which sums are sorted.
const SORTED_ABOVE: usize = 512;

/// The sums of one row after the other, in whichever way is cheaper for the catalogue.
#[derive(Debug)]
pub enum Sums {
    /// Many rows: an array as long as the catalogue.
    Array(Accumulator),
    /// A few rows: the terms, in the order they came.
    Terms(Vec<(u32, f64)>),
}

impl Sums {
    /// No sum in use yet.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Memory`].
    pub fn new(n_items: usize, n_asked: usize) -> Result<Self> {
        if n_items > n_asked.saturating_mul(SORTED_ABOVE) {
            return Ok(Self::Terms(Vec::new()));
        }
        Accumulator::new(n_items).map(Self::Array)
    }

    /// Sums in use, or more.
    pub fn len(&self) -> usize {
        match self {
            Self::Array(sums) => sums.len(),
            Self::Terms(terms) => terms.len(),
        }
    }

    /// Adds to the sum of an item, which must be one of the catalogue.
    #[inline]
    pub fn add(&mut self, item: u32, value: f64) {
        match self {
            Self::Array(sums) => sums.add(item, value),
            Self::Terms(terms) => terms.push((item, value)),
        }
    }

    /// Calls `take` with each item in use, ascending, and its sum; then none is in use.
    #[inline]
    pub fn drain(&mut self, mut take: impl FnMut(u32, f64)) {
        match self {
            Self::Array(sums) => sums.drain(take),
            Self::Terms(terms) => {
                terms.sort_by_key(|&(item, _)| item); // stable: sums keep their order, so their bits
                for same in terms.chunk_by(|one, next| one.0 == next.0) {
                    take(same[0].0, same.iter().fold(0.0, |sum, &(_, value)| sum + value));
                }
                terms.clear();
            }
        }
    }
}

/// The numbers of the bits that are set, ascending.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_the_same_bits() {
        let found = [0, usize::MAX].map(|n_asked| {
            let mut sums = Sums::new(5000, n_asked).unwrap();
            let mut rows = Vec::new();
            for row in 0..3 {
                for term in 0..700_u32 {
                    sums.add((term * 37 + row) % 90 * 55, 1.0 / f64::from(term + 1));
                }
                assert!(sums.len() >= 90);
                sums.drain(|item, sum| rows.push((item, sum.to_bits())));
                assert_eq!(sums.len(), 0);
            }
            (matches!(sums, Sums::Terms(_)), rows)
        });
        assert_eq!([found[0].0, found[1].0], [true, false]);
        assert_eq!(found[0].1, found[1].1);
    }

    #[test]
    fn sums_come_out_once_and_in_order() {
        let mut sums = Accumulator::new(10_000).unwrap();
        for _ in 0..2 {
            for (item, value) in [(9_999, 1.0), (0, 2.0), (64, 3.0), (9_999, 0.5), (63, 0.0)] {
                sums.add(item, value);
            }
            assert_eq!(sums.len(), 4);
            let mut found = Vec::new();
            sums.drain(|item, value| found.push((item, value)));
            assert_eq!(found, [(0, 2.0), (63, 0.0), (64, 3.0), (9_999, 1.5)]);
            assert_eq!(sums.len(), 0);
        }
    }
}

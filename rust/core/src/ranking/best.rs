//! The best candidates of a row, gathered as its scores go by.
//!
//! Performance diary (lists of 20 for 3,000 users x 17,408 items at d = 64, one thread, the whole
//! call; counting instead of listing takes 67 ms):
//! * append what passes a threshold, cut back by selection when full; scores checked in groups of
//!   64, then one by one: about 12 microseconds per row, most of it mispredicted branches;
//! * strips of 512, groups of 64, lines of 16, then appending without branches: 93 ms;
//! * a word with a bit for each line of 16, in plain Rust: 115, the compiler finds no masks there;
//! * a bit for each score, by the comparisons of [`super::simd::Lanes`]: 78, kept.

use super::score::Wide;
use super::simd::{GROUP, Lanes};

/// Keeps the `n` best of the candidates it is offered, each once, in no particular order.
#[derive(Debug)]
pub struct Best<W: Wide> {
    n: usize,
    /// The first `len` are candidates.
    keys: Vec<W::Key>,
    len: usize,
    /// A candidate must score above this to matter: `n` kept ones of smaller index score no less.
    threshold: W,
}

impl<W: Wide> Best<W> {
    /// An empty list of at most `n >= 1`.
    pub fn new(n: usize) -> Self {
        let keys = vec![W::Key::default(); Self::capacity(n)];
        Self { n, keys, len: 0, threshold: W::MASKED }
    }

    /// The most keys a list of `n` holds: more keys mean fewer prunings and a staler threshold.
    pub const fn capacity(n: usize) -> usize {
        2 * n + 24
    }

    /// Offers the scores of `first_item..`; items must come in ascending order.
    #[inline(always)]
    pub fn offer(&mut self, lanes: impl Lanes, first_item: usize, scores: &[W]) {
        let (groups, rest) = scores.as_chunks::<GROUP>();
        for (group, first_item) in groups.iter().zip((first_item..).step_by(GROUP)) {
            let passing = W::above(lanes, group, self.threshold);
            if passing != 0 {
                self.append(first_item, group, passing);
            }
        }
        let passing = rest.iter().rev().fold(0, |all, &s| all << 1 | u64::from(s > self.threshold));
        self.append(first_item + scores.len() - rest.len(), rest, passing);
    }

    /// Appends the items of a group whose bit is set in `passing`.
    #[inline(always)]
    fn append(&mut self, first_item: usize, group: &[W], mut passing: u64) {
        while passing != 0 {
            let index = passing.trailing_zeros() as usize;
            passing &= passing - 1;
            if self.len == self.keys.len() {
                self.prune();
            }
            self.keys[self.len] = group[index].key((first_item + index) as u32);
            self.len += 1;
        }
    }

    #[inline(never)]
    fn prune(&mut self) {
        if self.len >= self.n {
            let keys = &mut self.keys[..self.len];
            let (_, last, _) = keys.select_nth_unstable_by(self.n - 1, |a, b| b.cmp(a));
            self.threshold = W::of_key(*last);
            self.len = self.n;
        }
    }

    /// A score that `n` of the candidates so far reach; -inf while there are fewer.
    #[inline(always)]
    pub fn threshold(&self) -> W {
        self.threshold
    }

    /// The best, in order: at most `n` keys.
    pub fn take(&mut self) -> &[W::Key] {
        self.prune();
        let keys = &mut self.keys[..self.len];
        keys.sort_unstable_by(|a, b| b.cmp(a));
        keys
    }

    /// Forgets all candidates but keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
        self.threshold = W::MASKED;
    }
}

/// Writes candidates to a row of the result; `n_items` and -inf fill the empty places.
pub fn write_row<W: Wide>(keys: &[W::Key], n_items: usize, items: &mut [u32], scores: &mut [f32]) {
    let found = keys.iter().map(|&key| W::candidate(key));
    let missing = std::iter::repeat((n_items as u32, f32::NEG_INFINITY));
    for ((item, score), candidate) in items.iter_mut().zip(scores).zip(found.chain(missing)) {
        (*item, *score) = candidate;
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::Portable;
    use super::*;

    fn listed(n: usize, scores: &[f32]) -> Vec<u32> {
        let mut best = Best::<f32>::new(n);
        best.offer(Portable, 0, scores);
        best.take().iter().map(|&key| f32::candidate(key).0).collect()
    }

    #[test]
    fn ties_go_to_the_smaller_index() {
        assert_eq!(listed(3, &[1.0; 1000]), [0, 1, 2]);
        assert_eq!(listed(2, &[0.0, -0.0, 0.0]), [0, 1]);
    }

    #[test]
    fn masked_items_are_not_listed() {
        assert_eq!(listed(3, &[f32::NEG_INFINITY, 2.0, f32::NEG_INFINITY]), [1]);
    }

    #[test]
    fn agrees_with_sorting_in_every_order_of_scores() {
        let rising: Vec<f32> = (0..5000_u16).map(f32::from).collect();
        let shuffled: Vec<f32> =
            (0..5000_u32).map(|i| (i.wrapping_mul(2_654_435_769) % 701) as f32).collect();
        let falling: Vec<f32> = rising.iter().rev().copied().collect();
        for scores in [rising, falling, shuffled] {
            let mut order: Vec<u32> = (0..5000).collect();
            order.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
            for n in [1, 7, 100, 5000] {
                assert_eq!(listed(n, &scores), order[..n]);
            }
        }
    }
}

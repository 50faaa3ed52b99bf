//! Ids as numbers, in the order of their first appearance.

use std::hash::{BuildHasher, RandomState};

use super::columns::Span;
use super::hash::hash_of;
use crate::memory::{reserve, zeros};
use crate::{CancelToken, Error, Result};

/// Ids whose slots are looked up together.
const NEAR: usize = 32;

/// Groups of ids between two checks of the cancel token.
const GROUPS: usize = 1 << 12;

const FIRST_SLOTS: usize = 1 << 10;

/// Distinct ids, numbered as they come.
#[derive(Debug)]
pub struct IdTable {
    /// The number + 1 in the low half and the hash in the high half; 0 where the slot is free. An id
    /// lies where its hash's top bits say, or in the first free slot after that.
    slots: Vec<u64>,
    /// The ids one after the other.
    bytes: Vec<u8>,
    /// Where each id begins, and the end.
    offsets: Vec<i64>,
    /// Drawn anew for each table: nobody can write a file whose ids all collide.
    seed: u64,
}

impl Default for IdTable {
    fn default() -> Self {
        Self::new()
    }
}

impl IdTable {
    /// A table without ids.
    #[must_use]
    pub fn new() -> Self {
        let seed = RandomState::new().hash_one(0_u64);
        Self { slots: vec![0; FIRST_SLOTS], bytes: Vec::new(), offsets: vec![0], seed }
    }

    /// How many distinct ids there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids one after the other, and where each begins and the last one ends.
    #[must_use]
    pub fn ids(&self) -> (&[u8], &[i64]) {
        (&self.bytes, &self.offsets)
    }

    /// Writes the number of each span of `text` to `out`; new ids get the next numbers.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`]; [`Error::Parameter`] beyond `2^31 - 1` ids; [`Error::Memory`];
    /// [`Error::Interrupted`]. The table must not be used after an error.
    pub fn number(
        &mut self,
        text: &[u8],
        spans: &[Span],
        out: &mut [u32],
        cancel: &CancelToken,
    ) -> Result<()> {
        if out.len() != spans.len() {
            return Err(Error::Shape { name: "out", got: out.len(), expected: spans.len() });
        }
        let (mut hashes, mut guesses) = ([0_u32; NEAR], [0_u64; NEAR]);
        for (group, (spans, out)) in spans.chunks(NEAR).zip(out.chunks_mut(NEAR)).enumerate() {
            if group.is_multiple_of(GROUPS) {
                cancel.check()?;
            }
            self.make_room(spans.len())?;
            for ((span, hash), guess) in spans.iter().zip(&mut hashes).zip(&mut guesses) {
                *hash = hash_of(self.seed, span.of(text));
                *guess = self.slots[self.place(*hash)];
            }
            // The bounds of the likely ids, then their bytes: together again.
            let mut begins = [0_i64; NEAR];
            for (begin, guess) in begins.iter_mut().zip(&guesses[..spans.len()]) {
                *begin = self.offsets[(*guess as u32).saturating_sub(1) as usize];
            }
            let mut touched = 0_u8;
            for begin in &begins[..spans.len()] {
                touched |= self.bytes.get(*begin as usize).copied().unwrap_or(0);
            }
            std::hint::black_box(touched);
            for ((span, &hash), number) in spans.iter().zip(&hashes).zip(out) {
                *number = self.number_of(span.of(text), hash)?;
            }
        }
        Ok(())
    }

    /// The same for texts one after the other, as Arrow lays them out: `offsets` holds where each
    /// begins, and the end of the last one.
    ///
    /// # Errors
    ///
    /// As [`IdTable::number`]; [`Error::Value`] for offsets that fall or leave `text`.
    pub fn number_texts(
        &mut self,
        text: &[u8],
        offsets: &[i64],
        out: &mut [u32],
        cancel: &CancelToken,
    ) -> Result<()> {
        let n_texts = offsets.len().saturating_sub(1);
        if out.len() != n_texts {
            return Err(Error::Shape { name: "out", got: out.len(), expected: n_texts });
        }
        let mut spans = [Span { start: 0, len: 0 }; NEAR];
        for (group, out) in out.chunks_mut(NEAR).enumerate() {
            let first = group * NEAR;
            // Spans count from where the group begins: the text may be too long for their 32 bits.
            let base = offsets[first];
            let bounds = &offsets[first..=first + out.len()];
            for (row, (span, pair)) in (first..).zip(spans.iter_mut().zip(bounds.windows(2))) {
                let wrong = |rule| Error::Value {
                    name: "offsets",
                    row,
                    column: 0,
                    value: pair[1] as f64,
                    rule,
                };
                if base < 0 || pair[1] < pair[0] || pair[1] > text.len() as i64 {
                    return Err(wrong("rising places of the text"));
                }
                let (start, len) = (pair[0] - base, pair[1] - pair[0]);
                *span = Span {
                    start: u32::try_from(start).map_err(|_| wrong("short ids"))?,
                    len: u32::try_from(len).map_err(|_| wrong("short ids"))?,
                };
            }
            self.number(&text[base as usize..], &spans[..out.len()], out, cancel)?;
        }
        Ok(())
    }

    fn number_of(&mut self, id: &[u8], hash: u32) -> Result<u32> {
        let mut place = self.place(hash);
        loop {
            let slot = self.slots[place];
            if slot == 0 {
                return self.insert(id, hash, place);
            }
            let number = slot as u32 - 1;
            if (slot >> 32) as u32 == hash && self.id(number) == id {
                return Ok(number);
            }
            place = (place + 1) & (self.slots.len() - 1);
        }
    }

    fn id(&self, number: u32) -> &[u8] {
        let number = number as usize;
        &self.bytes[self.offsets[number] as usize..self.offsets[number + 1] as usize]
    }

    fn insert(&mut self, id: &[u8], hash: u32, place: usize) -> Result<u32> {
        let number = self.len() as u32;
        reserve(&mut self.bytes, id.len())?;
        self.bytes.extend_from_slice(id);
        reserve(&mut self.offsets, 1)?;
        self.offsets.push(self.bytes.len() as i64);
        self.slots[place] = u64::from(hash) << 32 | u64::from(number + 1);
        Ok(number)
    }

    /// The first slot to look at for an id with this hash.
    fn place(&self, hash: u32) -> usize {
        hash as usize >> (32 - self.slots.len().trailing_zeros())
    }

    /// Keeps a third of the slots free, however many of `n` ids are new.
    fn make_room(&mut self, n: usize) -> Result<()> {
        let needed = self.len() + n;
        if needed * 3 <= self.slots.len() * 2 {
            return Ok(());
        }
        if needed > i32::MAX as usize {
            let rule = "at most 2147483647 ids";
            return Err(Error::Parameter { name: "ids", value: needed as f64, rule });
        }
        let n_slots = self.slots.len() * 2;
        let slots = zeros::<u64>(n_slots)?;
        let old = std::mem::replace(&mut self.slots, slots);
        for slot in old.into_iter().filter(|&slot| slot != 0) {
            let mut place = self.place((slot >> 32) as u32);
            while self.slots[place] != 0 {
                place = (place + 1) & (n_slots - 1);
            }
            self.slots[place] = slot;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

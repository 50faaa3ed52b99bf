//! Blocks of whole lines, read one after another into two buffers that take turns.

use std::io::{ErrorKind, Read};

use crate::Error;
use crate::teacher::fault::{Failure, TextError};

use super::source::cannot_read;

/// A line longer than this is refused; it bounds the memory that one line can take.
pub(crate) const LONGEST_LINE: usize = 1 << 24;

/// The smallest block: the first one must be enough to tell what the text is.
pub(crate) const SHORTEST_BLOCK: usize = 64;

/// What follows a block.
#[derive(Debug, Default)]
pub(crate) enum Then {
    /// More text.
    #[default]
    More,
    /// Nothing: the text ends with this block.
    End,
    /// Nothing that can be read.
    Failed(TextError),
}

/// Some lines of text.
#[derive(Debug, Default)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    filled: usize,
    /// Up to here the block holds whole lines.
    complete: usize,
    /// Where the block starts in the text.
    pub offset: u64,
    pub then: Then,
}

impl Block {
    pub(crate) fn with_size(size: usize) -> Result<Self, Error> {
        let mut block = Self::default();
        block.grow(size.max(SHORTEST_BLOCK))?;
        Ok(block)
    }

    /// Whole lines; the last one lacks its newline only where the text ends.
    pub(crate) fn lines(&self) -> &[u8] {
        self.bytes.get(..self.complete).unwrap_or_default()
    }

    /// All that has been read; the last line may be incomplete.
    pub(crate) fn seen(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    /// The beginning of a line whose rest has not been read.
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.complete..self.filled).unwrap_or_default()
    }

    /// Becomes the block that follows `previous`.
    ///
    /// A read error is kept in `then`, behind the lines that came before it.
    pub(crate) fn follow(
        &mut self,
        previous: &Self,
        reader: &mut impl Read,
    ) -> Result<(), Failure> {
        let rest = previous.rest();
        self.grow(rest.len().saturating_add(1).max(previous.bytes.len()))?;
        if let Some((head, _)) = self.bytes.split_at_mut_checked(rest.len()) {
            head.copy_from_slice(rest);
        }
        self.filled = rest.len();
        self.offset = previous.offset.saturating_add(previous.complete as u64);
        self.fill(reader)
    }

    /// Reads until the buffer is full and holds at least one whole line, or the text ends.
    fn fill(&mut self, reader: &mut impl Read) -> Result<(), Failure> {
        self.then = Then::More;
        let mut searched = 0;
        loop {
            self.read_on(reader);
            let fresh = self.bytes.get(searched..self.filled).unwrap_or_default();
            let newline = memchr::memrchr(b'\n', fresh);
            self.complete = newline.map_or(0, |at| searched.saturating_add(at).saturating_add(1));
            match self.then {
                Then::More if self.complete > 0 => return Ok(()),
                Then::More if self.filled >= LONGEST_LINE => return Err(self.endless().into()),
                Then::More => {
                    searched = self.filled;
                    self.grow(self.bytes.len().saturating_mul(2))?;
                }
                Then::End => {
                    self.complete = self.filled;
                    return Ok(());
                }
                Then::Failed(_) => return Ok(()),
            }
        }
    }

    fn read_on(&mut self, reader: &mut impl Read) {
        while let Some(free) = self.bytes.get_mut(self.filled..)
            && !free.is_empty()
        {
            match reader.read(free) {
                Ok(0) => {
                    self.then = Then::End;
                    return;
                }
                Ok(n_bytes) => self.filled = self.filled.saturating_add(n_bytes),
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => {
                    self.then = Then::Failed(cannot_read(&err));
                    return;
                }
            }
        }
    }

    fn grow(&mut self, size: usize) -> Result<(), Error> {
        let more = size.saturating_sub(self.bytes.len());
        self.bytes.try_reserve_exact(more).map_err(|_| Error::Memory { bytes: size })?;
        self.bytes.resize(size.max(self.bytes.len()), 0);
        Ok(())
    }

    fn endless(&self) -> TextError {
        if self.bytes.iter().all(|&byte| byte == 0) {
            return not_written();
        }
        let message = format!("a line of more than {LONGEST_LINE} bytes at byte {}", self.offset);
        TextError::whole("E-LINE-LONG", message, "")
    }
}

pub(crate) fn not_written() -> TextError {
    TextError::whole("E-TRUNC", WRITTEN, "write or copy it again")
}

/// What zero bytes at the end of a file mean.
pub(crate) const WRITTEN: &str = "zero bytes at the end: the file was not completely written";

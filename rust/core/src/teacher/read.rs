//! Text to table, block by block.

use std::io::Read;
use std::mem;

use super::fault::{Failure, TextError};
use super::input::block::{Block, Then};
use super::layout;
use super::rules::Limits;
use super::table::{Table, TableBuilder};
use super::values::value_rules::ValueRules;
use crate::CancelToken;
use crate::parallel::join;

/// Reads a whole text, into `room` if all its values fit there.
///
/// The next block is read while this one is parsed. `columns` are those of the widest row, where
/// that is known; else the first row says.
pub(super) fn read<R: ValueRules>(
    rules: &R,
    limits: &Limits,
    reader: &mut (impl Read + Send),
    columns: Option<usize>,
    room: &mut [R::Value],
    cancel: &CancelToken,
) -> Result<Table<R::Value>, Failure> {
    let (mut block, mut next) = first_block(limits, reader)?;
    let mut layout = layout::of_text(&block, limits.skip_rows)?;
    if rules.nothing().is_some() {
        layout.columns = columns.unwrap_or(layout.columns).max(rules.least_columns());
    }
    let mut table = TableBuilder::new(rules, limits, layout, room);
    let mut skipped = layout.skipped;
    loop {
        cancel.check()?; // a block takes some milliseconds
        let text = block.lines().get(skipped..).unwrap_or_default();
        let offset = block.offset.saturating_add(skipped as u64);
        let is_last = !matches!(block.then, Then::More);
        let follow = || if is_last { Ok(()) } else { next.follow(&block, reader) };
        let (parsed, followed) = join(|| table.parse(text), follow);
        parsed?;
        table.count_rows(text, offset)?;
        table.copy()?;
        followed?;
        if offset.saturating_add(text.len() as u64) > limits.max_bytes {
            let message = format!("more than {} bytes of text", limits.max_bytes);
            return Err(TextError::whole("E-BYTES", message, "is this the right file?").into());
        }
        match mem::take(&mut block.then) {
            Then::More => mem::swap(&mut block, &mut next),
            Then::End => {
                return table.finish(block.lines().last().is_some_and(|&byte| byte != b'\n'));
            }
            Then::Failed(error) => return Err(error.into()),
        }
        skipped = 0;
    }
}

pub(super) fn first_block(
    limits: &Limits,
    reader: &mut impl Read,
) -> Result<(Block, Block), Failure> {
    let mut block = Block::default();
    block.follow(&Block::with_size(limits.block_bytes)?, reader)?;
    match mem::take(&mut block.then) {
        Then::Failed(error) if block.lines().is_empty() => Err(error.into()),
        then => {
            block.then = then;
            Ok((block, Block::default()))
        }
    }
}

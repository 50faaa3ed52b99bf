//! Eight numbers at a time in the registers of AVX2.
//!
//! Errors are gathered in one register and checked once per row.

mod plain;
mod registers;
mod savetxt;

use plain::plain_row;
use registers::GROUP;
use savetxt::savetxt_row;

/// Reads the first line of `text`; see [`super::item_rows::items_row`].
#[target_feature(enable = "avx2")]
pub(super) fn items_row(
    text: &[u8],
    separator: u8,
    base: u32,
    n_items: u32,
    slots: &mut [u32],
) -> Option<usize> {
    if slots.len() < GROUP {
        return None;
    }
    let length = if text.get(1) == Some(&b'.') {
        savetxt_row(text, separator, slots)
    } else {
        plain_row(text, separator, slots)
    }?;
    let mut highest = 0;
    for slot in slots {
        *slot = slot.wrapping_sub(base);
        highest = highest.max(*slot);
    }
    (highest < n_items).then_some(length)
}

//! Decimal numbers to integers and floats: fast ways for the usual spellings, one exact way for all.

#[cfg(target_arch = "x86_64")]
mod avx2;
pub(super) mod decimal;
pub(super) mod float;
pub(super) mod integer;
pub(super) mod item_rows;
mod swar;

//! Decimal numbers to integers and floats: fast paths for the usual spellings, an exact one for all.

#[cfg(target_arch = "x86_64")]
mod avx2;
pub(super) mod decimal;
pub(super) mod float;
pub(super) mod integer;
pub(super) mod item_rows;
mod swar;

//! Logs: rows of delimited text become columns, ids become numbers.
//!
//! # Performance diary
//!
//! - What Arrow does in a parse, a scan for each rule and a dictionary for each block took most of
//!   reading a log; a block is now read once ([`split_rows`]), eight bytes at a time:
//!   `memchr` costs more, as cells are short.
//! - A block with anything that is rare (a quote, an id at whose end may be white space, a number
//!   in another form) is left alone: the slow reader takes it and says what is wrong. So that the
//!   rules are in one place.
//! - Ids ([`IdTable`]): a slot holds 32 bits of hash beside the number, so that growing needs no ids
//!   and other ids are rarely looked at. The slots of some rows are looked at together: with
//!   millions of ids each look waits for memory, and the waits overlap.

mod cells;
mod columns;
mod hash;
mod ids;
mod split;

pub use columns::{Column, ColumnKind, Piece, Rows, Span};
pub use ids::IdTable;
pub use split::split_rows;

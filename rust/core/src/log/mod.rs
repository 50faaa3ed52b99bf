//! Logs: rows of delimited text become columns, ids become numbers.
//!
//! # Performance diary
//!
//! - Arrow's parse, a scan for each rule and a dictionary for each block took most of the time of
//!   reading a log. A block is now read once ([`split_rows`]), eight bytes at a time: cells are so
//!   short that `memchr` costs more.
//! - A block with anything rare in it (a quote, an id that may end in white space, a number in
//!   another form) is declined: the slow reader takes it and says what is wrong, so that the rules
//!   are in one place.
//! - Ids ([`IdTable`]): a slot holds 32 bits of the hash beside the number, so that growing the table
//!   needs no ids and few other ids are compared. The slots of several rows are looked up together:
//!   with millions of ids each lookup is a cache miss, and the misses overlap.

mod cells;
mod columns;
mod hash;
mod ids;
mod quotes;
mod rows;
mod split;

pub use columns::{Column, ColumnKind, Piece, Rows, Span};
pub use ids::IdTable;
pub use quotes::{BadQuote, QuoteRule, first_bad_quote, last_row_end};
pub use rows::{Misfit, first_long_row, first_misfit, row_start};
pub use split::split_rows;

//! Histories: a log brought into the order of its users, and windows cut out of them.
//!
//! # Performance diary
//!
//! Two cores of a shared machine.
//!
//! - Order: users are counted and events scattered, a pass each; a user whose times rise already is
//!   only looked at. 20 million events .25 s, with shuffled times .41; two argsorts of `NumPy` 2.8 and
//!   8.1 s, polars 5.1 and 8.6.
//! - Windows: the slice of each row copied as it stands. A million rows of 10 on one thread .82 GB/s of
//!   sequences, of 50 2.0; `NumPy`'s gather by an index matrix .33 and .46, numba .48 and .85. New pages
//!   of the result are what costs: 1,024 rows of 10, whose memory is there already, 5.5.
//! - Three passes over the rows, one for each output, were as fast as the one that it is now.

mod order;
mod windows;

pub use order::order_by_user;
pub use windows::{Rows, Windows, gather_windows};

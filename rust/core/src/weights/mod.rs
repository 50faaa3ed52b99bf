//! The weights of the teacher's listed items: position, confidence, consistency and their blend.
//!
//! The first two depend on the teacher alone; they are computed in float64 and rounded once. The
//! third asks whether the item is among the student's best and is 0 or 1.
//!
//! # Performance diary
//!
//! Nanoseconds per item on one thread, in cache.
//!
//! - `f64::exp` is a call per element, 9. The one in `exp.rs` is a polynomial that the compiler
//!   turns into vector code and that gives the same bits on every machine: 4.3, 2.4 compiled for
//!   AVX2 with [`crate::multiversion`] (which is why that exists), 1.8 with the polynomial in
//!   Estrin's order.
//! - The blend: indices into slices cut to one length; with bounds checks it was 2, now 0.6 to 1.
//! - Whether a listed item is among the student's best is read off the student's scores: a hash table
//!   or vectors that compared list with list took 0.7 to 2.0, but first needed the student's list.
//!   From some ten million items on the first touch of the result's pages costs most.

mod blend;
mod checks;
mod confidence;
mod consistency;
mod exp;
mod matrix;
mod sum;

pub use blend::{Blend, Confidence, blend_distances, blend_weights, position_weight};
pub use confidence::{candidate_confidence, sequence_confidence};
pub use consistency::consistency_from_scores;
pub use matrix::Matrix;

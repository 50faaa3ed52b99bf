//! The weights of the teacher's listed items: position, confidence, consistency and their blend.
//!
//! The first two depend on the teacher alone; they are computed in float64 and rounded once. The
//! third compares the teacher's list with the student's and is 0 or 1.
//!
//! # Performance diary
//!
//! Nanoseconds per item on one thread, in cache.
//!
//! - `f64::exp` is a call per element, 9. The one in `exp.rs` is a polynomial that the compiler
//!   turns into vector code and that gives the same bits on every machine: 4.3, 2.4 compiled for
//!   AVX2 with [`crate::multiversion`] (which is why that exists), 1.8 with the polynomial in
//!   Estrin's order.
//! - Overlap of two lists: see `overlap.rs`; 0.7 to 2.0.
//! - The blend: indices into slices cut to one length; with bounds checks it was 2, now 0.6 to 1.
//! - What costs most from some ten million items on is the first touch of the result's pages: from
//!   distances to blended weights in one pass, with one result and no array between.

mod blend;
mod checks;
mod confidence;
mod consistency;
mod exp;
mod overlap;
mod sum;

pub use blend::{Blend, Confidence, Position, blend_weights, position_weight, ranking_weights};
pub use confidence::{candidate_confidence, sequence_confidence};
pub use consistency::consistency_from_scores;
pub use overlap::{Matrix, consistency_weight, overlap_steps};

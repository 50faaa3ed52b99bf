//! The CPU kernels of dllm2rec, free of Python.
//!
//! Data flows one way: rows of a log ([`log`]) become histories and windows ([`histories`]), text of
//! a teacher ([`teacher`]) becomes lists, lists become weights ([`weights`]), rows get negatives
//! ([`negatives`]), scores become losses ([`catalogue`]) and ranks ([`ranking`]), to which
//! remembered pairs add bonuses ([`pair_memory`]). Figures of the same rows are compared by their
//! differences ([`paired`]).
//!
//! Every kernel returns the same bits for any number of threads, takes a [`CancelToken`] that
//! another thread may cancel, and refuses bad input with an [`Error`] instead of panicking.

pub mod cancel;
pub mod catalogue;
pub mod error;
pub mod histories;
pub mod isa;
pub mod log;
pub mod memory;
pub mod multiversion;
pub mod negatives;
pub mod pair_memory;
pub mod paired;
pub mod parallel;
mod random;
pub mod ranking;
mod shape;
pub mod teacher;
pub mod weights;

pub use cancel::CancelToken;
pub use error::{Error, Result};

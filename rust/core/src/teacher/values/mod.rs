//! What the values of a file must be.

pub(super) mod distances;
pub(super) mod items;

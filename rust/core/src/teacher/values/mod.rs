//! What the values of a file must be.

mod distances;
mod items;
pub(super) mod value_rules;

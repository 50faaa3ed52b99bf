//! Where a target ranks among all items, and which items rank first.
//!
//! From a score matrix: [`rank_counts`] and [`top_n()`]. From user and item vectors, tile by tile and
//! without the matrix: [`fused_rank_counts`] and [`fused_top_n`]; for a few users, with items in eight
//! bits beside their vectors, [`coded_top_n`]. The rules are the same in all of them:
//!
//! * a score of -inf masks the item: it is no candidate, is never listed, and is refused as a target;
//! * NaN and +inf are refused anywhere;
//! * `equal` does not count the target itself;
//! * lists go by score, descending, then by index, ascending; 0 and -0 are one score.

// What `simd` compiles once per level must be inlined into it.
#![allow(clippy::inline_always)]

mod best;
mod checks;
mod coded;
mod codes;
mod counts;
mod fused;
mod listed_items;
mod panels;
mod problem;
mod score;
mod simd;
mod task_grid;
mod tile_pass;
mod top_n;

pub use coded::coded_top_n;
pub use codes::{CodedItems, ItemCodes, code_items, n_panels, stride};
pub use counts::{Counts, rank_counts};
pub use fused::{fused_rank_counts, fused_top_n};
pub use listed_items::{ItemBonuses, ListedItems, MovedItems};
pub use problem::ScoringProblem;
pub use score::Score;
pub use top_n::{TopN, top_n};

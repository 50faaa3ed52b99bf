//! What a file must look like.

/// What holds for any table, whatever its numbers mean.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The exact number of rows, if given; reading stops at the first one too many.
    pub expected_rows: Option<usize>,
    /// Lines to skip before anything else.
    pub skip_rows: usize,
    /// Refuse what is otherwise only warned about.
    pub strict: bool,
    /// Longer texts are refused.
    pub max_bytes: u64,
    /// Bytes read at a time.
    pub block_bytes: usize,
    /// Bytes parsed at a time.
    pub piece_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            expected_rows: None,
            skip_rows: 0,
            strict: false,
            max_bytes: 1 << 40,
            block_bytes: 1 << 21,
            piece_bytes: 1 << 16,
        }
    }
}

/// What to do with an item that a row lists twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Refuse the file.
    Error,
    /// Keep all copies, with a warning.
    Keep,
    /// Later copies become `n_items` (the padding), in place, with a warning.
    KeepFirst,
}

/// What a file of items must look like.
#[derive(Debug, Clone)]
pub struct ItemRules {
    /// Items are `0..n_items`; at most `u32::MAX`.
    pub n_items: u32,
    /// The fewest columns.
    pub min_columns: usize,
    /// The number of the first item in the file.
    pub id_base: u32,
    /// What to do with repeated items.
    pub on_duplicate: OnDuplicate,
    /// Lists may be shorter than the longest: rows may have fewer columns, and places may hold no
    /// item, written as -1, as the number after the last item (and 0 where items count from 1), as
    /// nan or as nothing between commas. They become `n_items` (the padding).
    pub short_lists: bool,
    /// What holds for any table.
    pub limits: Limits,
}

/// What a larger number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Larger is less sure; never negative.
    Distance,
    /// Larger is surer.
    Similarity,
}

/// What a file of distances must look like.
#[derive(Debug, Clone)]
pub struct DistanceRules {
    /// The exact number of columns, if given.
    pub expected_columns: Option<usize>,
    /// What the numbers mean.
    pub meaning: Meaning,
    /// Lists may be shorter than the longest: rows may have fewer columns, and places may hold no
    /// distance, written as nan, inf, -1 (not where larger is surer) or as nothing between commas.
    /// They become NaN.
    pub short_lists: bool,
    /// What holds for any table.
    pub limits: Limits,
}

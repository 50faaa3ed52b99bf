//! The cells of a block, column by column.

/// What a column is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Not at all.
    Skip,
    /// Text that is not empty and neither begins nor ends with possible white space.
    Id,
    /// A whole number of magnitude below 2^63, of up to 19 digits.
    Int,
    /// Digits with or without a decimal point; read as `f32`.
    Float,
    /// Any text.
    Text,
}

/// Where a cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: u32,
    /// Its length in bytes.
    pub len: u32,
}

impl Span {
    /// The cell itself.
    ///
    /// # Panics
    ///
    /// If the span lies outside `text`.
    #[must_use]
    #[inline]
    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..][..self.len as usize]
    }
}

/// The cells of one column.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Of [`ColumnKind::Id`] and [`ColumnKind::Text`].
    Spans(Vec<Span>),
    /// Of [`ColumnKind::Int`].
    Ints(Vec<i64>),
    /// Of [`ColumnKind::Float`].
    Floats(Vec<f32>),
}

/// Some consecutive rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// How many rows there are.
    pub n_rows: usize,
    /// One for each kind that is not [`ColumnKind::Skip`], in their order.
    pub columns: Vec<Column>,
}

/// All rows of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Their parts, in order.
    pub pieces: Vec<Piece>,
}

impl Rows {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.n_rows).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

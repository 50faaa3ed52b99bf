//! What is wrong with a text, and where.

use crate::Error;

/// Tokens are shown escaped and cut to this many characters.
const SHOWN: usize = 40;

/// A text that breaks a rule. Places count from 1 and refer to the (decompressed) file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextError {
    /// A short stable name of the rule, such as `E-RANK-RANGE`.
    pub code: &'static str,
    /// Line of the file, from 1; `None` where the fault is the whole file's.
    pub line: Option<u64>,
    /// Byte column in the line, from 1; a byte order mark does not count.
    pub column: Option<u64>,
    /// Offset of that byte in the (decompressed) file, from 0.
    pub byte_offset: Option<u64>,
    /// The text at fault, escaped, at most 40 characters and an ellipsis.
    pub token: Option<String>,
    /// What was found and what was expected.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl TextError {
    /// A fault of the whole file.
    pub(super) fn whole(code: &'static str, message: impl Into<String>, hint: &str) -> Self {
        Self { code, message: message.into(), hint: hint.to_owned(), ..Self::default() }
    }
}

/// Why a text could not become a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// The text breaks a rule.
    Text(Box<TextError>),
    /// The kernel was interrupted or found no memory.
    Kernel(Error),
}

impl From<TextError> for Failure {
    fn from(error: TextError) -> Self {
        Self::Text(Box::new(error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

/// A fault inside one line, before the line's place in the file is known.
#[derive(Debug)]
pub(super) struct Fault {
    pub code: &'static str,
    /// Byte of the line where the text at fault starts, from 0.
    pub start: usize,
    pub token: Option<String>,
    pub message: String,
    pub hint: String,
    /// Whether the message should name the row.
    pub names_row: bool,
}

impl Fault {
    pub(super) fn new(code: &'static str, start: usize, message: impl Into<String>) -> Self {
        Self {
            code,
            start,
            token: None,
            message: message.into(),
            hint: String::new(),
            names_row: false,
        }
    }

    /// The message will start with the number of the row.
    pub(super) fn in_row(mut self) -> Self {
        self.names_row = true;
        self
    }

    pub(super) fn token(mut self, token: &[u8]) -> Self {
        self.token = Some(shown(token));
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same fault in a line known by its number (from 1) and its offset in the file.
    pub(super) fn placed(self, line: u64, line_offset: u64) -> TextError {
        let start = self.start as u64;
        TextError {
            code: self.code,
            line: Some(line),
            column: Some(start.saturating_add(1)),
            byte_offset: Some(line_offset.saturating_add(start)),
            token: self.token,
            message: self.message,
            hint: self.hint,
        }
    }
}

/// The token as an error shows it: ASCII, escaped, short.
pub(super) fn shown(token: &[u8]) -> String {
    let mut text = String::new();
    for &byte in token {
        let escaped = std::ascii::escape_default(byte).to_string();
        if text.len().saturating_add(escaped.len()) > SHOWN {
            text.push_str("...");
            break;
        }
        text.push_str(&escaped);
    }
    text
}

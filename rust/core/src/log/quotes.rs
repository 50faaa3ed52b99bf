//! Quotes as RFC 4180 has them, looked at without memory for their places.

/// What is wrong with a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuoteRule {
    /// It opens a field that has begun already.
    Opening,
    /// It closes a field that goes on.
    Closing,
    /// It opens a field that is never closed.
    Unclosed,
}

/// A quote out of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadQuote {
    /// The rule that it breaks.
    pub rule: QuoteRule,
    /// Where it is.
    pub place: usize,
    /// Where the quote is that opened the field; the same one but for [`QuoteRule::Closing`].
    pub opened: usize,
}

/// The first quote of whole rows that neither opens, closes nor doubles.
#[must_use]
pub fn first_bad_quote(text: &[u8], delimiter: u8) -> Option<BadQuote> {
    let mut opened = None;
    for place in memchr::memchr_iter(b'"', text) {
        let Some(opening) = opened.take() else {
            let before = place.checked_sub(1).and_then(|at| text.get(at)).copied();
            // A quote before this one is its pair, doubled inside the field, or of another field.
            if before.is_some_and(|byte| ![delimiter, b'\n', b'"'].contains(&byte)) {
                return Some(BadQuote { rule: QuoteRule::Opening, place, opened: place });
            }
            opened = Some(place);
            continue;
        };
        let after = text.get(place + 1).copied();
        if after.is_some_and(|byte| ![delimiter, b'\n', b'"', b'\r'].contains(&byte)) {
            return Some(BadQuote { rule: QuoteRule::Closing, place, opened: opening });
        }
    }
    opened.map(|place| BadQuote { rule: QuoteRule::Unclosed, place, opened: place })
}

/// Where the last whole row ends, behind its line feed; 0 where there is none.
#[must_use]
pub fn last_row_end(text: &[u8]) -> usize {
    let (mut inside, mut end) = (false, 0);
    for place in memchr::memchr2_iter(b'\n', b'"', text) {
        if text[place] == b'"' {
            inside = !inside;
        } else if !inside {
            end = place + 1;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(text: &str) -> Option<(QuoteRule, usize, usize)> {
        first_bad_quote(text.as_bytes(), b',').map(|quote| (quote.rule, quote.place, quote.opened))
    }

    #[test]
    fn quotes_in_their_places_are_good() {
        for text in ["", "a,b\n", "\"a\",\"b\"\r\n\"\"\"\"\n", "\"a\nb\",\"\"", "\"a\"\"b\"\n"] {
            assert_eq!(bad(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_first_quote_out_of_place_is_found() {
        assert_eq!(bad("a,b\"\n"), Some((QuoteRule::Opening, 3, 3)));
        assert_eq!(bad("\"a\",\"b\"c\n"), Some((QuoteRule::Closing, 6, 4)));
        assert_eq!(bad("a,\"b\n"), Some((QuoteRule::Unclosed, 2, 2)));
        assert_eq!(bad("\"a\"\"\n"), Some((QuoteRule::Unclosed, 3, 3)));
    }

    #[test]
    fn a_quoted_line_end_ends_no_row() {
        assert_eq!(last_row_end(b"a\nb\"\n\n\"\nc"), 8);
        assert_eq!(last_row_end(b"\"a\nb\n"), 0);
        assert_eq!(last_row_end(b""), 0);
    }
}

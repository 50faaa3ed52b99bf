//! A line and its tokens, whatever they mean.

/// The first line of a text with its line end, and what follows it.
pub(super) fn first_line(text: &[u8]) -> (&[u8], &[u8]) {
    let newline = text.iter().position(|&byte| byte == b'\n');
    let length = newline.map_or(text.len(), |at| at.saturating_add(1));
    text.split_at_checked(length).unwrap_or((text, &[]))
}

/// The line without its line end; a carriage return belongs to it only before a newline.
pub(super) fn without_return(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(bare) => bare.strip_suffix(b"\r").unwrap_or(bare),
        None => line,
    }
}

/// Nothing but spaces and tabs.
pub(super) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|&byte| is_space(byte))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The fields of a line and where each starts: between commas, or between spaces and tabs.
pub(super) fn tokens(line: &[u8], comma: bool) -> impl Iterator<Item = (usize, &[u8])> {
    let is_separator = move |byte: &u8| if comma { *byte == b',' } else { is_space(*byte) };
    let mut at = 0_usize;
    line.split(is_separator).filter_map(move |field| {
        let lead = field.iter().take_while(|byte| is_space(**byte)).count();
        let start = at.saturating_add(lead);
        at = at.saturating_add(field.len()).saturating_add(1);
        (comma || !field.is_empty()).then(|| (start, trimmed(field)))
    })
}

fn trimmed(mut field: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = field {
        field = rest;
    }
    field
}

//! Any bytes as rows of a log: what the kernel takes is what splitting at ends of line and
//! delimiters gives, and ids are numbered in the order in which they are met.
#![no_main]

use dllm2rec_core::CancelToken;
use dllm2rec_core::log::{Column, ColumnKind, IdTable, Span, split_rows};
use libfuzzer_sys::fuzz_target;

const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];
const KINDS: [ColumnKind; 5] =
    [ColumnKind::Skip, ColumnKind::Id, ColumnKind::Int, ColumnKind::Float, ColumnKind::Text];

fuzz_target!(|input: &[u8]| {
    let Some((&[how, what], text)) = input.split_first_chunk::<2>() else { return };
    let delimiter = DELIMITERS[usize::from(how) % 4];
    let mut what = usize::from(what);
    let kinds: Vec<ColumnKind> = (0..=usize::from(how) / 4 % 3)
        .map(|_| {
            let kind = KINDS[what % 5];
            what /= 5;
            kind
        })
        .collect();
    let Ok(Some(rows)) = split_rows(text, delimiter, &kinds, &CancelToken::new()) else { return };
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let lines: Vec<&[u8]> =
        if text.is_empty() { vec![] } else { body.split(|&b| b == b'\n').collect() };
    assert_eq!(rows.len(), lines.len());
    let mut taken =
        rows.pieces.iter().flat_map(|piece| (0..piece.n_rows).map(move |row| (piece, row)));
    for line in lines {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let cells: Vec<&[u8]> = line.split(|&b| b == delimiter).collect();
        assert_eq!(cells.len(), kinds.len());
        let (piece, row) = taken.next().unwrap();
        let read = kinds.iter().zip(&cells).filter(|(kind, _)| **kind != ColumnKind::Skip);
        for ((kind, cell), column) in read.zip(&piece.columns) {
            let cell_text = std::str::from_utf8(cell).unwrap();
            match column {
                Column::Spans(spans) => {
                    assert_eq!(spans[row].of(text), *cell);
                    assert!(
                        *kind == ColumnKind::Text
                            || cell_text.trim() == cell_text && !cell.is_empty()
                    );
                }
                Column::Ints(values) => assert_eq!(values[row], cell_text.parse::<i64>().unwrap()),
                Column::Floats(values) => {
                    let expected: f32 = cell_text.parse().unwrap();
                    assert_eq!(values[row].to_bits(), expected.to_bits());
                }
            }
        }
    }
    for (index, kind) in kinds.iter().filter(|kind| **kind != ColumnKind::Skip).enumerate() {
        if *kind == ColumnKind::Id {
            check_ids(text, rows.pieces.iter().map(|piece| &piece.columns[index]));
        }
    }
});

fn check_ids<'a>(text: &[u8], columns: impl Iterator<Item = &'a Column>) {
    let spans: Vec<Span> = columns
        .flat_map(|column| match column {
            Column::Spans(spans) => spans.clone(),
            _ => unreachable!("ids are spans"),
        })
        .collect();
    let mut numbers = vec![0; spans.len()];
    let mut table = IdTable::new();
    table.number(text, &spans, &mut numbers, &CancelToken::new()).unwrap();
    let mut met: Vec<&[u8]> = Vec::new();
    for (span, number) in spans.iter().zip(numbers) {
        let id = span.of(text);
        let expected = met.iter().position(|other| *other == id).unwrap_or_else(|| {
            met.push(id);
            met.len() - 1
        });
        assert_eq!(number as usize, expected);
    }
    let (bytes, offsets) = table.ids();
    assert_eq!(bytes, met.concat());
    assert_eq!(offsets.len(), met.len() + 1);
}

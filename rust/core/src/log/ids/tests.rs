//! Ids get the numbers of their first appearance.

use std::collections::HashMap;

use super::*;

fn spans(ids: &[String]) -> (Vec<u8>, Vec<Span>) {
    let mut text = Vec::new();
    let spans = ids
        .iter()
        .map(|id| {
            let start = text.len() as u32;
            text.extend_from_slice(id.as_bytes());
            Span { start, len: id.len() as u32 }
        })
        .collect();
    (text, spans)
}

#[test]
fn numbers_follow_the_first_appearance_over_calls() {
    let mix = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 47;
    let ids: Vec<String> = (0..60_000).map(|n| format!("{:x}", mix(n) * mix(n) % 9973)).collect();
    let mut known = HashMap::new();
    let expected: Vec<u32> = ids
        .iter()
        .map(|id| {
            let next = known.len() as u32;
            *known.entry(id.clone()).or_insert(next)
        })
        .collect();
    for part in [1, 7, 1000, 60_000] {
        let mut table = IdTable::new();
        let mut numbers = Vec::new();
        for ids in ids.chunks(part) {
            let (text, spans) = spans(ids);
            let mut out = vec![0; ids.len()];
            table.number(&text, &spans, &mut out, &CancelToken::new()).unwrap();
            numbers.extend(out);
        }
        assert_eq!(numbers, expected);
        assert_eq!(table.len(), known.len());
        let (bytes, offsets) = table.ids();
        for (id, &number) in &known {
            let bounds = &offsets[number as usize..];
            assert_eq!(&bytes[bounds[0] as usize..bounds[1] as usize], id.as_bytes());
        }
    }
}

#[test]
fn ids_of_any_length_and_an_empty_one_are_told_apart() {
    let ids: Vec<String> = (0..40).flat_map(|n| ["a".repeat(n), "b".repeat(n)]).collect();
    let (text, spans) = spans(&ids);
    let mut out = vec![0; ids.len()];
    let mut table = IdTable::new();
    table.number(&text, &spans, &mut out, &CancelToken::new()).unwrap();
    assert_eq!(table.len(), 79); // "" is there twice
    assert_eq!(out[..4], [0, 0, 1, 2]);
}

#[test]
fn ids_of_one_hash_are_told_apart() {
    let mut table = IdTable::new();
    assert_eq!(table.number_of(b"a", u32::MAX), Ok(0));
    assert_eq!(table.number_of(b"b", u32::MAX), Ok(1));
    table.make_room(5000).unwrap();
    assert_eq!(table.number_of(b"b", u32::MAX), Ok(1));
    assert_eq!(table.number_of(b"a", u32::MAX), Ok(0));
}

#[test]
fn texts_of_arrow_are_numbered_as_spans_are() {
    let ids: Vec<String> = (0..1000).map(|n| format!("i{}", n % 77)).collect();
    let (text, spans) = spans(&ids);
    let mut offsets: Vec<i64> = spans.iter().map(|span| span.start.into()).collect();
    offsets.push(text.len() as i64);
    let (mut one, mut other) = (vec![0; 1000], vec![0; 1000]);
    IdTable::new().number(&text, &spans, &mut one, &CancelToken::new()).unwrap();
    IdTable::new().number_texts(&text, &offsets, &mut other, &CancelToken::new()).unwrap();
    assert_eq!(one, other);
    for wrong in [[0, 5, 4], [0, 1, 3000], [-1, 0, 1]] {
        let got = IdTable::new().number_texts(b"abcd", &wrong, &mut [0; 2], &CancelToken::new());
        assert!(matches!(got, Err(Error::Value { name: "offsets", .. })), "{wrong:?}");
    }
}

#[test]
fn wrong_sizes_and_a_cancelled_token_end_it() {
    let mut table = IdTable::new();
    let (text, spans) = spans(&["a".into()]);
    let wrong = Error::Shape { name: "out", got: 2, expected: 1 };
    assert_eq!(table.number(&text, &spans, &mut [0; 2], &CancelToken::new()), Err(wrong));
    let cancel = CancelToken::new();
    cancel.cancel();
    assert_eq!(table.number(&text, &spans, &mut [0], &cancel), Err(Error::Interrupted));
}

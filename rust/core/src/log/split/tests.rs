//! Plain rows become columns; whatever is rare is left alone.

use super::*;
use crate::Error;

const KINDS: [ColumnKind; 4] =
    [ColumnKind::Id, ColumnKind::Skip, ColumnKind::Int, ColumnKind::Float];

fn split(text: &str, kinds: &[ColumnKind]) -> Option<Rows> {
    let alone = split_rows(text.as_bytes(), b',', kinds, &CancelToken::new()).unwrap();
    for n_threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let work = || split_rows(text.as_bytes(), b',', kinds, &CancelToken::new()).unwrap();
        assert_eq!(pool.install(work), alone);
    }
    alone
}

fn texts(text: &str, rows: &Rows) -> Vec<String> {
    let spans = rows.pieces.iter().flat_map(|piece| match &piece.columns[0] {
        Column::Spans(spans) => spans.clone(),
        other => panic!("{other:?}"),
    });
    spans.map(|s| String::from_utf8(s.of(text.as_bytes()).to_vec()).unwrap()).collect()
}

#[test]
fn plain_rows_become_columns() {
    for end in ["", "\n", "\r\n"] {
        let text =
            format!("u1,x y,-5,4.5\r\n\u{fffd}u\u{e4}2,,0007,3{end}").replace('\u{fffd}', "");
        let rows = split(&text, &KINDS).unwrap();
        assert_eq!(texts(&text, &rows), ["u1", "u\u{e4}2"]);
        assert_eq!(
            rows.pieces[0].columns[1..],
            [Column::Ints(vec![-5, 7]), Column::Floats(vec![4.5, 3.0]),]
        );
    }
}

#[test]
fn whatever_is_rare_is_left_alone() {
    assert!(split("u,x,1,2\n", &KINDS).is_some());
    for text in [
        "u,x,1\n",
        "u,x,1,2,3\n",
        "\n",
        "u,x,1,2\n\nu,x,1,2\n",
        ",x,1,2\n",
        " u,x,1,2\n",
        "u ,x,1,2\n",
        "u\t,x,1,2\n",
        "u\u{a0},x,1,2\n",
        "\u{3000}u,x,1,2\n",
        "u,\"x\",1,2\n",
        "u,x,,2\n",
        "u,x,1.0,2\n",
        "u,x,+1,2\n",
        "u,x,-,2\n",
        "u,x, 1,2\n",
        "u,x,0x1,2\n",
        "u,x,9223372036854775808,2\n",
        "u,x,00000000000000000001,2\n",
        "u,x,1,\n",
        "u,x,1,.\n",
        "u,x,1,nan\n",
        "u,x,1,1e3\n",
        "u,x,1,1.2.3\n",
        "u,x,1,-\n",
        "u,x,1,12345678\n",
        "u,x,1,2 \n",
        "u,x,1,2\r\r\n",
    ] {
        assert_eq!(split(text, &KINDS), None, "{text:?}");
    }
}

#[test]
fn what_is_no_text_is_left_alone() {
    for text in [&b"u,\xff,1,2\n"[..], b"u,caf\xe9,1,2\n", b"u,\xed\xa0\x80,1,2\n"] {
        assert_eq!(split_rows(text, b',', &KINDS, &CancelToken::new()), Ok(None));
    }
}

#[test]
fn a_byte_is_found_in_every_place_and_no_other() {
    for byte in 0..=u8::MAX {
        for place in 0..8 {
            for other in [0, b'+', b'-', b',' ^ 0x80, 0x7f, 0xff] {
                let mut word = [other; 8];
                word[place] = byte;
                let found = bytes_equal(u64::from_le_bytes(word), b',');
                assert_eq!(found, if byte == b',' { 0x80 << (8 * place) } else { 0 });
            }
        }
    }
}

#[test]
fn text_may_be_anything_between_delimiters() {
    let text = "a b,\n ,\n";
    let rows = split(text, &[ColumnKind::Text, ColumnKind::Skip]).unwrap();
    assert_eq!(texts(text, &rows), ["a b", " "]);
}

#[test]
fn pieces_follow_each_other() {
    let text = (0..300_000).map(|n| format!("u{n},{n}\n")).collect::<Vec<_>>().concat();
    let rows = split(&text, &[ColumnKind::Id, ColumnKind::Int]).unwrap();
    assert!(rows.pieces.len() > 3);
    assert_eq!(rows.len(), 300_000);
    let ints = rows.pieces.iter().flat_map(|piece| match &piece.columns[1] {
        Column::Ints(ints) => ints.clone(),
        other => panic!("{other:?}"),
    });
    assert!(ints.eq(0..300_000));
    let long = "x".repeat(PIECE + 5);
    assert_eq!(split(&format!("{long},1\nu,2\n"), &[ColumnKind::Id, ColumnKind::Int]), None);
}

#[test]
fn a_cancelled_token_ends_it() {
    let cancel = CancelToken::new();
    cancel.cancel();
    assert_eq!(
        split_rows(b"u,1\n", b',', &[ColumnKind::Id, ColumnKind::Int], &cancel),
        Err(Error::Interrupted)
    );
}

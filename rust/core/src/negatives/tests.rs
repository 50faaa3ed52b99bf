//! Draws as a whole: what is refused, and that the shortcut changes nothing.

use proptest::prelude::*;

use super::exact::ExactDraw;
use super::*;
use crate::random::split;
use crate::{CancelToken, Error, Result};

fn draw(events: &[u32], begin: &[i64], end: &[i64], draws: Draws) -> Result<Vec<u32>> {
    let keys: Vec<u64> = (0..begin.len() as u64).collect();
    let mut out = vec![0; begin.len() * draws.n_negatives];
    let rows = Rows { events, begin, end, keys: &keys };
    sample_negatives(rows, draws, &mut out, &CancelToken::new()).map(|()| out)
}

fn draws(n_items: usize, n_negatives: usize) -> Draws {
    Draws { n_items, n_negatives, seed: 7, epoch: 3 }
}

#[test]
fn the_only_possible_item_is_found() {
    let got = draw(&[0, 1, 3, 3, 4], &[0], &[5], draws(5, 50));
    assert_eq!(got, Ok(vec![2; 50]));
}

#[test]
fn a_row_without_a_possible_negative_is_refused() {
    let no_negative = Err(Error::NoNegative { row: 1, n_items: 3 });
    assert_eq!(draw(&[0, 1, 2], &[0, 0], &[1, 3], draws(3, 1)), no_negative);
    assert_eq!(draw(&[0, 1, 2], &[0, 0], &[1, 3], draws(3, 20)), no_negative);
}

#[test]
fn rows_outside_the_events_and_items_outside_the_catalogue_are_refused() {
    for (begin, end, name) in
        [(-1, 2, "begin"), (9, 9, "begin"), (2, 1, "end"), (0, 9, "end"), (i64::MIN, 0, "begin")]
    {
        let got = draw(&[0; 5], &[begin], &[end], draws(9, 1));
        assert!(matches!(got, Err(Error::Value { name: found, .. }) if found == name));
    }
    for n_negatives in [1, 9] {
        let got = draw(&[0, 1, 5], &[1], &[3], draws(5, n_negatives));
        let name = "events";
        let expected = Error::ItemOutOfRange { name, row: 0, column: 1, item: 5, n_items: 5 };
        assert_eq!(got, Err(expected));
    }
}

#[test]
fn a_cancelled_token_ends_the_work() {
    let cancel = CancelToken::new();
    cancel.cancel();
    let rows = Rows { events: &[], begin: &[0], end: &[0], keys: &[0] };
    let got = sample_negatives(rows, draws(9, 1), &mut [0], &cancel);
    assert_eq!(got, Err(Error::Interrupted));
}

proptest! {
    #[test]
    fn the_shortcut_and_the_definition_agree(
        events in prop::collection::vec(0_u32..40, 0..40),
        n_negatives in prop_oneof![Just(1_usize), 2..50_usize],
    ) {
        let mut distinct = events.clone();
        distinct.sort_unstable();
        distinct.dedup();
        prop_assume!(distinct.len() < 40);
        let (begin, end) = (vec![0; 5], vec![events.len() as i64; 5]);
        let got = draw(&events, &begin, &end, draws(40, n_negatives)).unwrap();
        let exact = ExactDraw::new(0, &events, 40).unwrap();
        for (i, &item) in got.iter().enumerate() {
            let stream = split(split(7, 3), (i / n_negatives) as u64);
            prop_assert_eq!(item, exact.draw(stream, (i % n_negatives) as u64));
            prop_assert!(!events.contains(&item));
        }
    }
}

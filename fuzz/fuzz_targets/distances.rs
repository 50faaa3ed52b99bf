//! Any bytes as a file of distances: no panic, nothing but finite numbers that are not negative.
#![no_main]

use dllm2rec_core::CancelToken;
use dllm2rec_core::teacher::{DistanceRules, Limits, Meaning, read_distances};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let limits = Limits { block_bytes: 64, piece_bytes: 32, ..Limits::default() };
    let (meaning, short_lists) = (Meaning::Distance, false);
    let rules = DistanceRules { expected_columns: None, meaning, short_lists, limits };
    if let Ok(table) = read_distances(&mut &*text, &rules, &CancelToken::new()) {
        assert_eq!(table.values.len(), table.rows * table.columns);
        assert!(table.values.iter().all(|value| value.is_finite() && *value >= 0.0));
    }
});

//! Any bytes as a file, compressed or not: no panic in opening, inflating or parsing.
#![no_main]

use dllm2rec_core::CancelToken;
use dllm2rec_core::teacher::{ItemRules, Limits, OnDuplicate, parse_items};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("dllm2rec-fuzz-{}", std::process::id()));
    std::fs::write(&path, bytes).expect("the temporary folder can be written");
    let limits = Limits { expected_rows: Some(100), block_bytes: 1 << 12, ..Limits::default() };
    let on_duplicate = OnDuplicate::Keep;
    let short_lists = false;
    let rules =
        ItemRules { n_items: 100, min_columns: 1, id_base: 0, on_duplicate, short_lists, limits };
    let _ = parse_items(&path, &rules, &mut [], &CancelToken::new());
});

//! Any bytes as a file of items: no panic, and the same outcome wherever blocks and pieces end.
#![no_main]

use dllm2rec_core::CancelToken;
use dllm2rec_core::teacher::{Failure, ItemRules, Limits, OnDuplicate, read_items};
use libfuzzer_sys::fuzz_target;

fn rules(block_bytes: usize, piece_bytes: usize) -> ItemRules {
    let limits = Limits { block_bytes, piece_bytes, ..Limits::default() };
    let on_duplicate = OnDuplicate::Error;
    let short_lists = false;
    ItemRules { n_items: 17_408, min_columns: 1, id_base: 0, on_duplicate, short_lists, limits }
}

fuzz_target!(|text: &[u8]| {
    let whole = read_items(&mut &*text, &rules(1 << 16, 1 << 16), &CancelToken::new());
    let size = usize::from(text.first().copied().unwrap_or(0)) + 1;
    let cut = read_items(&mut &*text, &rules(size, size / 3 + 1), &CancelToken::new());
    // A head that needs more than one small block is refused as empty.
    let is_empty = matches!(&cut, Err(Failure::Text(error)) if error.code == "E-EMPTY");
    assert!(cut == whole || is_empty, "{cut:?} is not {whole:?}");
});

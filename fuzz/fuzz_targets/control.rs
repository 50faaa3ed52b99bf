//! A fault made on purpose, behind two letters: a fuzzer that does not find it finds nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    if text.starts_with(b"no") {
        // SAFETY: none; the byte behind the last is not ours, which is what must be noticed.
        std::hint::black_box(unsafe { text.as_ptr().add(text.len()).read_volatile() });
    }
});

//! The hash of an id.

/// Folded products of eight bytes at a time.
pub(super) fn hash_of(seed: u64, id: &[u8]) -> u32 {
    let mut hash = seed ^ (id.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut words = id.chunks_exact(8);
    for word in &mut words {
        let word = word.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        hash = folded(hash ^ word, 0xa076_1d64_78bd_642f);
    }
    let rest = words.remainder();
    let last = match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
        }
        _ => rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    };
    (folded(hash ^ last, 0xe703_7ed1_a0b4_28db) >> 32) as u32
}

fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

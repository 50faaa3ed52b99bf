//! A sum in an order that vector code can follow.

/// The sum in four interleaved parts.
#[expect(clippy::inline_always, reason = "for multiversion::run")]
#[inline(always)]
pub(super) fn sum(values: &[f64]) -> f64 {
    let (vectors, rest) = values.as_chunks::<4>();
    let mut parts = [0.0; 4];
    for vector in vectors {
        for (part, value) in parts.iter_mut().zip(vector) {
            *part += value;
        }
    }
    (parts[0] + parts[1]) + (parts[2] + parts[3]) + rest.iter().sum::<f64>()
}

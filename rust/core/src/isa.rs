//! Which instruction sets the loops use: those of this processor, or fewer if asked.
//!
//! The environment variable `DLLM2REC_MAX_ISA`, read once, may say `avx2` or `baseline`: one machine
//! then runs what others do. Any other value caps nothing.

#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "nothing to choose from"))]

use std::sync::LazyLock;

/// Sets of instructions, each with those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Isa {
    Baseline,
    Avx2,
    Avx512,
}

static CAP: LazyLock<Isa> =
    LazyLock::new(|| cap(std::env::var("DLLM2REC_MAX_ISA").ok().as_deref()));

fn cap(asked: Option<&str>) -> Isa {
    match asked {
        Some("baseline") => Isa::Baseline,
        Some("avx2") => Isa::Avx2,
        _ => Isa::Avx512,
    }
}

/// Whether AVX2 is there and may be used.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn has_avx2() -> bool {
    *CAP >= Isa::Avx2 && std::arch::is_x86_feature_detected!("avx2")
}

/// Whether AVX2 with fused multiply-add is there and may be used.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx2_fma() -> bool {
    has_avx2() && std::arch::is_x86_feature_detected!("fma")
}

/// Whether AVX-512 with all that the products of [`crate::ranking`] need is there and may be used.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx512() -> bool {
    *CAP >= Isa::Avx512
        && std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
}

/// The widest set that is used: `avx512`, `avx2` or `baseline`.
#[must_use]
pub fn widest() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if has_avx512() {
            return "avx512";
        }
        if has_avx2_fma() {
            return "avx2";
        }
    }
    "baseline"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_name_caps_and_any_other_does_not() {
        assert_eq!(cap(Some("baseline")), Isa::Baseline);
        assert_eq!(cap(Some("avx2")), Isa::Avx2);
        for other in [None, Some(""), Some("avx512"), Some("AVX2")] {
            assert_eq!(cap(other), Isa::Avx512);
        }
    }
}

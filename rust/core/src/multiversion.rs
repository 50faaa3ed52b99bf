//! The one place that runs loops for wider vectors than every processor has.
//!
//! Loops that the compiler vectorises use what every x86-64 has: vectors of 128 bits. [`run`] holds
//! a second copy of them, compiled for AVX2, for processors that have it. These are the same
//! operations in wider registers, without fused multiply-add, so the bits are the same.

/// What [`run`] runs. A trait, since neither a closure nor a function passed as an argument can be
/// forced to be inlined.
pub trait Work {
    /// The result.
    type Output;

    /// Does the work. Mark it `#[inline(always)]`, and everything it calls in its loops: only what is
    /// inlined is compiled again.
    fn run(self) -> Self::Output;
}

/// Does `work` with the widest vectors this processor has.
#[inline]
pub fn run<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if crate::isa::has_avx2() {
        #[expect(unsafe_code)]
        // SAFETY: the line above has checked that the processor has the feature.
        return unsafe { run_avx2(work) };
    }
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn run_avx2<W: Work>(work: W) -> W::Output {
    work.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sum<'a>(&'a [f64]);

    impl Work for Sum<'_> {
        type Output = f64;

        fn run(self) -> f64 {
            self.0.iter().sum()
        }
    }

    #[test]
    fn the_work_is_done_once() {
        assert!((run(Sum(&[1.0, 2.0, 4.0])) - 7.0).abs() < 1e-12);
    }
}

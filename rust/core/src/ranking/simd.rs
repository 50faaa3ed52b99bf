//! Runs a piece of work compiled for the widest vectors of this CPU.
//!
//! The work itself is plain Rust that the compiler vectorises. Every level computes the same
//! comparisons; levels with fused multiply-add round products once, the others twice, so scores
//! may differ in their last bit between CPUs, never between calls on one CPU.
//!
//! Performance diary (2 cores of an EPYC 9004, GFLOP/s per core in cache; the peak is 118):
//! * micro-tiles users x items with AVX-512: 6 x 64 116, 12 x 32 107; 8 x 48 and 14 x 32 fall out of
//!   the vectoriser (3). With AVX2: 6 x 16 115, 4 x 24 54. SSE2: 4 x 8 39.
//! * hence six users everywhere and no intrinsics in the product: the unsafe code is the call below
//!   and the two operations of [`Lanes`]: the comparison saves lists a sixth of their time (see
//!   [`super::best`]), the products of codes are 15 times as fast as what the compiler makes of them.

#![allow(unsafe_code)]

use std::sync::LazyLock;

/// Rows of a micro-tile of the product, at every level.
pub const USERS: usize = 6;

/// Items of a micro-tile at the widest level; a multiple of those of all others.
pub const MAX_ITEMS: usize = 64;

/// Work that is compiled once per level; all it calls must be `#[inline(always)]`.
pub trait Task {
    /// The result of the work.
    type Output;

    /// Does the work with micro-tiles of `ITEMS` items, with fused multiply-add if `FMA`.
    fn run<const ITEMS: usize, const FMA: bool>(self, lanes: impl Lanes) -> Self::Output;
}

/// Scores that are compared at a time.
pub const GROUP: usize = 64;

/// Items whose codes stand together.
pub const PANEL: usize = 16;

/// Bytes of a panel for two numbers of a vector: those of one item, then those of the next.
pub const LINE: usize = 2 * PANEL;

/// What the compiler does not vectorise by itself: a comparison, and sums of products of codes.
pub trait Lanes: Copy {
    /// The sums of the products of some users' codes, two in each number, the first the lower half,
    /// and those of each item of a panel. They must fit in 32 bits.
    fn dots<const U: usize>(self, users: [&[i32]; U], panel: &[[i8; LINE]]) -> [[i32; PANEL]; U];

    /// A bit for each score above `threshold`, the first score's the lowest.
    fn above(self, group: &[f32; GROUP], threshold: f32) -> u64;
}

/// Lanes of any CPU.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

impl Lanes for Portable {
    #[inline(always)]
    fn dots<const U: usize>(self, users: [&[i32]; U], panel: &[[i8; LINE]]) -> [[i32; PANEL]; U] {
        users.map(|user| {
            let mut sums = [0; PANEL];
            for (&pair, line) in user.iter().zip(panel) {
                let (low, high) = (i32::from(pair as i16), pair >> 16);
                for (sum, codes) in sums.iter_mut().zip(line.as_chunks::<2>().0) {
                    *sum += low * i32::from(codes[0]) + high * i32::from(codes[1]);
                }
            }
            sums
        })
    }

    #[inline(always)]
    fn above(self, group: &[f32; GROUP], threshold: f32) -> u64 {
        group.iter().rev().fold(0, |all, &score| all << 1 | u64::from(score > threshold))
    }
}

/// An instruction set of this CPU. Only [`Level::all`] makes one, after asking the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Baseline,
}

static BEST: LazyLock<Level> = LazyLock::new(|| Level::all()[0]);

impl Level {
    /// The levels this CPU has, widest first.
    pub fn all() -> Vec<Self> {
        let mut levels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if crate::isa::has_avx512() {
                levels.push(Self(Kind::Avx512));
            }
            if crate::isa::has_avx2_fma() {
                levels.push(Self(Kind::Avx2));
            }
        }
        levels.push(Self(Kind::Baseline));
        levels
    }

    /// The widest level of this CPU.
    pub fn best() -> Self {
        *BEST
    }

    /// The `ITEMS` that [`Level::run`] will call the work with.
    pub fn items(self) -> usize {
        struct Items;
        impl Task for Items {
            type Output = usize;
            #[inline(always)]
            fn run<const ITEMS: usize, const FMA: bool>(self, _: impl Lanes) -> usize {
                ITEMS
            }
        }
        self.run(Items)
    }

    /// Does `task` with the instructions of this level.
    pub fn run<T: Task>(self, task: T) -> T::Output {
        match self.0 {
            // SAFETY: `Level::all`, the one constructor, saw that the CPU has these features.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { x86::avx512(task) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { x86::avx2(task) },
            // Arm's baseline has 32 registers and fused multiply-add, the others neither.
            Kind::Baseline if cfg!(target_arch = "aarch64") => task.run::<16, true>(Portable),
            Kind::Baseline => task.run::<8, false>(Portable),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _CMP_GT_OQ, _mm_loadu_si128, _mm256_add_epi32, _mm256_cmp_ps, _mm256_cvtepi8_epi16,
        _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_movemask_ps,
        _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256, _mm256_storeu_si256,
        _mm512_add_epi32, _mm512_cmp_ps_mask, _mm512_cvtepi8_epi16, _mm512_loadu_ps,
        _mm512_madd_epi16, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512,
        _mm512_storeu_si512,
    };

    use super::{GROUP, LINE, Lanes, MAX_ITEMS, PANEL, Task};

    #[target_feature(enable = "avx512f,avx512bw,avx2,fma")]
    pub fn avx512<T: Task>(task: T) -> T::Output {
        task.run::<MAX_ITEMS, true>(Avx512(()))
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2<T: Task>(task: T) -> T::Output {
        task.run::<16, true>(Avx2(()))
    }

    /// Made in [`avx512`] alone, so that whoever holds it runs on such a CPU.
    #[derive(Clone, Copy)]
    struct Avx512(());

    /// Made in [`avx2`] alone.
    #[derive(Clone, Copy)]
    struct Avx2(());

    impl Lanes for Avx512 {
        #[inline(always)]
        fn dots<const U: usize>(
            self,
            users: [&[i32]; U],
            panel: &[[i8; LINE]],
        ) -> [[i32; PANEL]; U] {
            let users = users.map(|user| &user[..panel.len()]);
            let mut sums = [[0_i32; PANEL]; U];
            // SAFETY: the CPU has AVX-512, or there would be no `self`; a line is 32 codes long, and
            // sixteen sums are stored of each user.
            unsafe {
                let mut all = [_mm512_setzero_si512(); U];
                for (number, line) in panel.iter().enumerate() {
                    let line = _mm512_cvtepi8_epi16(_mm256_loadu_si256(line.as_ptr().cast()));
                    for (all, user) in all.iter_mut().zip(users) {
                        let pair = _mm512_set1_epi32(user[number]);
                        *all = _mm512_add_epi32(*all, _mm512_madd_epi16(line, pair));
                    }
                }
                for (sums, all) in sums.iter_mut().zip(all) {
                    _mm512_storeu_si512(sums.as_mut_ptr().cast(), all);
                }
            }
            sums
        }

        #[inline(always)]
        fn above(self, group: &[f32; GROUP], threshold: f32) -> u64 {
            let lines = group.as_chunks::<16>().0.iter().rev();
            // SAFETY: the CPU has AVX-512, or there would be no `self`; a line is 16 floats long.
            lines.fold(0, |all, line| unsafe {
                let scores = _mm512_loadu_ps(line.as_ptr());
                let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(scores, _mm512_set1_ps(threshold));
                all << 16 | u64::from(above)
            })
        }
    }

    impl Lanes for Avx2 {
        #[inline(always)]
        fn dots<const U: usize>(
            self,
            users: [&[i32]; U],
            panel: &[[i8; LINE]],
        ) -> [[i32; PANEL]; U] {
            let users = users.map(|user| &user[..panel.len()]);
            let mut sums = [[0_i32; PANEL]; U];
            // SAFETY: the CPU has AVX2, or there would be no `self`; a line is twice 16 codes long,
            // and twice eight sums are stored of each user.
            unsafe {
                let mut all = [[_mm256_setzero_si256(); 2]; U];
                for (number, line) in panel.iter().enumerate() {
                    let (first, second) = line.split_at(PANEL);
                    let first = _mm256_cvtepi8_epi16(_mm_loadu_si128(first.as_ptr().cast()));
                    let second = _mm256_cvtepi8_epi16(_mm_loadu_si128(second.as_ptr().cast()));
                    for ([low, high], user) in all.iter_mut().zip(users) {
                        let pair = _mm256_set1_epi32(user[number]);
                        *low = _mm256_add_epi32(*low, _mm256_madd_epi16(first, pair));
                        *high = _mm256_add_epi32(*high, _mm256_madd_epi16(second, pair));
                    }
                }
                for (sums, [low, high]) in sums.iter_mut().zip(all) {
                    let (first, second) = sums.split_at_mut(PANEL / 2);
                    _mm256_storeu_si256(first.as_mut_ptr().cast(), low);
                    _mm256_storeu_si256(second.as_mut_ptr().cast(), high);
                }
            }
            sums
        }

        #[inline(always)]
        fn above(self, group: &[f32; GROUP], threshold: f32) -> u64 {
            let lines = group.as_chunks::<8>().0.iter().rev();
            // SAFETY: the CPU has AVX2, or there would be no `self`; a line is 8 floats long.
            lines.fold(0, |all, line| unsafe {
                let scores = _mm256_loadu_ps(line.as_ptr());
                let above = _mm256_cmp_ps::<_CMP_GT_OQ>(scores, _mm256_set1_ps(threshold));
                all << 8 | u64::from(_mm256_movemask_ps(above) as u8)
            })
        }
    }
}

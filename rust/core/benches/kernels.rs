//! Criterion benches: one module and one group per kernel, named kernel/shape.

mod kernels {
    pub mod histories;
    pub mod negatives;
    pub mod weights;
}

criterion::criterion_group!(
    all,
    kernels::histories::bench,
    kernels::negatives::bench,
    kernels::weights::bench
);
criterion::criterion_main!(all);

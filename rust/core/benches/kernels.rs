//! Criterion benches: one module and one group per kernel, named kernel/shape.

mod kernels {
    pub mod negatives;
}

criterion::criterion_group!(all, kernels::negatives::bench);
criterion::criterion_main!(all);

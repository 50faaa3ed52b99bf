//! `weights/k<K>`: the confidence of distances and its blend with the position weight, one thread.

use criterion::{Criterion, Throughput};
use dllm2rec_core::CancelToken;
use dllm2rec_core::weights::{
    Blend, Confidence, blend_weights, candidate_confidence, position_weight,
};

const N_ELEMENTS: usize = 20_000;

/// Adds the group.
pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("weights");
    for k in [10, 100] {
        let distance: Vec<f32> = (0..N_ELEMENTS).map(|i| (i % 1000) as f32 / 500.0).collect();
        let mut position = vec![0.0; k];
        position_weight(1.0, &mut position).expect("a temperature that is allowed");
        let blend = Blend { gammas: [0.3, 0.5, 0.1], normalise: true };
        let (mut confidence, mut out) = (vec![0.0; N_ELEMENTS], vec![0.0; N_ELEMENTS]);
        group.throughput(Throughput::Elements(N_ELEMENTS as u64));
        group.bench_function(format!("k{k}"), |bencher| {
            bencher.iter(|| {
                let cancel = CancelToken::new();
                candidate_confidence(&distance, k, &mut confidence, &cancel)?;
                let confidence = Confidence::PerItem(&confidence);
                blend_weights(&position, confidence, None, blend, &mut out, &cancel)
            });
        });
    }
    group.finish();
}

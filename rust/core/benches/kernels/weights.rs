//! `weights/k<K>`: from distances to the normalised blend, one thread.

use criterion::{Criterion, Throughput};
use dllm2rec_core::CancelToken;
use dllm2rec_core::weights::{Blend, Confidence, Matrix, Position, ranking_weights};

const N_ITEMS: usize = 17_408;
const N_ELEMENTS: usize = 20_000;

/// Adds the group.
pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("weights");
    for k in [10, 100] {
        let list = |row: usize, place: usize| ((row * 7919 + place * 61) % N_ITEMS) as u32;
        let cells = (0..N_ELEMENTS).map(|i| (i / k, i % k));
        let ranking: Vec<u32> = cells.clone().map(|(row, place)| list(row, place)).collect();
        let student: Vec<u32> =
            cells.map(|(row, place)| list(row, place + row * 31 % (2 * k))).collect();
        let distance: Vec<f32> = (0..N_ELEMENTS).map(|i| (i % 1000) as f32 / 500.0).collect();
        let ranking = Matrix { items: &ranking, columns: k };
        let student_top = Matrix { items: &student, columns: k };
        let position = Position { k, temperature: 1.0 };
        let blend = Blend { gammas: [0.3, 0.5, 0.1], normalise: true };
        let mut out = vec![0.0; N_ELEMENTS];
        group.throughput(Throughput::Elements(N_ELEMENTS as u64));
        group.bench_function(format!("k{k}"), |bencher| {
            bencher.iter(|| {
                let confidence = Confidence::Distance(&distance);
                let cancel = CancelToken::new();
                ranking_weights(
                    ranking,
                    confidence,
                    student_top,
                    position,
                    blend,
                    &mut out,
                    &cancel,
                )
            });
        });
    }
    group.finish();
}

//! `negatives/<rows>x<draws>`: 11 excluded events per row, one thread.

use criterion::{Criterion, Throughput};
use dllm2rec_core::CancelToken;
use dllm2rec_core::negatives::{Draws, Rows, sample_negatives};

const N_ITEMS: usize = 17_408;
const N_EXCLUDED: usize = 11;

/// Adds the group.
pub fn bench(criterion: &mut Criterion) {
    let events: Vec<u32> =
        (0..100_000_u64).map(|i| (i * 2_654_435_761 % N_ITEMS as u64) as u32).collect();
    let mut group = criterion.benchmark_group("negatives");
    for (n_rows, n_negatives) in [(256, 1), (4096, 1), (256, 100)] {
        let begin: Vec<i64> =
            (0..n_rows).map(|row| (row * 7919 % (events.len() - N_EXCLUDED)) as i64).collect();
        let end: Vec<i64> = begin.iter().map(|begin| begin + N_EXCLUDED as i64).collect();
        let keys: Vec<u64> = (0..n_rows as u64).collect();
        let rows = Rows { events: &events, begin: &begin, end: &end, keys: &keys };
        let draws = Draws { n_items: N_ITEMS, n_negatives, seed: 1, epoch: 1 };
        let mut out = vec![0; n_rows * n_negatives];
        group.throughput(Throughput::Elements(out.len() as u64));
        group.bench_function(format!("{n_rows}x{n_negatives}"), |bencher| {
            bencher.iter(|| sample_negatives(rows, draws, &mut out, &CancelToken::new()));
        });
    }
    group.finish();
}

//! `windows/<rows>x<L>` and `order/<events>`: rows anywhere in the events, one thread.

use criterion::{Criterion, Throughput};
use dllm2rec_core::CancelToken;
use dllm2rec_core::histories::{Rows, Windows, gather_windows, order_by_user};

const N_EVENTS: usize = 2_000_000;
const N_ITEMS: u32 = 17_408;
const N_USERS: usize = 20_000;

/// Adds the groups.
pub fn bench(criterion: &mut Criterion) {
    windows(criterion);
    order(criterion);
}

fn windows(criterion: &mut Criterion) {
    let events: Vec<u32> = (0..N_EVENTS).map(|i| mix(i) as u32 % N_ITEMS).collect();
    let mut group = criterion.benchmark_group("windows");
    for (n_rows, max_length) in [(1024, 10), (100_000, 10), (100_000, 50)] {
        let end: Vec<i64> =
            (0..n_rows).map(|row| (100 + mix(row) % (N_EVENTS - 100)) as i64).collect();
        let start: Vec<i64> =
            end.iter().enumerate().map(|(row, end)| end - 1 - (mix(row) % 99) as i64).collect();
        let rows = Rows { events: &events, start: &start, end: &end };
        let (mut sequences, mut lengths, mut targets) =
            (vec![0; n_rows * max_length], vec![0; n_rows], vec![0; n_rows]);
        group.throughput(Throughput::Bytes(4 * (sequences.len() + 2 * n_rows) as u64));
        group.bench_function(format!("{n_rows}x{max_length}"), |bencher| {
            bencher.iter(|| {
                let out = Windows {
                    sequences: &mut sequences,
                    lengths: &mut lengths,
                    targets: &mut targets,
                };
                gather_windows(rows, max_length, N_ITEMS, out, &CancelToken::new())
            });
        });
    }
    group.finish();
}

fn order(criterion: &mut Criterion) {
    let users: Vec<u32> = (0..N_EVENTS).map(|i| (mix(i) % N_USERS) as u32).collect();
    let times: Vec<i64> = (0..N_EVENTS).map(|i| mix(i + 1) as i64 % 1_000_000).collect();
    let mut out = vec![0; N_EVENTS];
    let mut group = criterion.benchmark_group("order");
    group.throughput(Throughput::Elements(N_EVENTS as u64));
    group.bench_function(format!("{N_EVENTS}"), |bencher| {
        bencher
            .iter(|| order_by_user(&users, Some(&times), N_USERS, &mut out, &CancelToken::new()));
    });
    group.finish();
}

/// Spreads small numbers over 40 bits.
fn mix(i: usize) -> usize {
    (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> 24
}

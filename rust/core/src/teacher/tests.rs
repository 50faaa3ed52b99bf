//! The parsers as a whole: seams between blocks, order of faults, memory, mutated inputs.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::input::source::Source;
use super::*;
use crate::{CancelToken, Error};

/// Tiny blocks and pieces, so that seams fall everywhere.
fn limits(block_bytes: usize, piece_bytes: usize) -> Limits {
    Limits { block_bytes, piece_bytes, ..Limits::default() }
}

fn item_rules(limits: Limits) -> ItemRules {
    ItemRules {
        n_items: 17_408,
        min_columns: 1,
        id_base: 0,
        on_duplicate: OnDuplicate::Error,
        short_lists: false,
        limits,
    }
}

fn distance_rules(limits: Limits) -> DistanceRules {
    DistanceRules { expected_columns: None, meaning: Meaning::Distance, short_lists: false, limits }
}

fn items(text: &[u8], limits: Limits) -> Result<Table<u32>, Failure> {
    read_items(&mut &*text, &item_rules(limits), &CancelToken::new())
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Failure>) -> TextError {
    match result {
        Err(Failure::Text(error)) => *error,
        other => panic!("{other:?}"),
    }
}

/// Gives a few bytes at a time, as pipes do.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n_bytes = out.len().min(self.0.len()).min(3);
        let (now, later) = self.0.split_at(n_bytes);
        out[..n_bytes].copy_from_slice(now);
        self.0 = later;
        Ok(n_bytes)
    }
}

#[test]
fn seams_between_blocks_and_pieces_do_not_show() {
    let row = |i| format!("{} {}\t{}\n", i + 1, (i + 1) * 85, 17_407 - i);
    let text = (0..200).map(row).collect::<Vec<String>>().concat();
    let whole = items(text.as_bytes(), Limits::default()).unwrap();
    assert_eq!((whole.rows, whole.columns), (200, 3));
    for block in [1, 7, 16, 17, 64, 1000] {
        for piece in [1, 5, 30, 1 << 16] {
            assert_eq!(items(text.as_bytes(), limits(block, piece)).unwrap(), whole);
        }
    }
    let rules = item_rules(limits(32, 8));
    assert_eq!(
        read_items(&mut Trickle(text.as_bytes()), &rules, &CancelToken::new()).unwrap(),
        whole
    );
}

#[test]
fn the_first_fault_wins_wherever_the_seams_fall() {
    let mut lines: Vec<String> = (0..300).map(|i| format!("{i} {}", i + 1)).collect();
    lines[150] = "7 7".to_owned();
    lines[151] = "x 7".to_owned();
    lines[299] = String::new();
    let text = lines.join("\n");
    let whole = refusal(items(text.as_bytes(), Limits::default()));
    assert_eq!((whole.code, whole.line, whole.column), ("E-RANK-DUP", Some(151), Some(3)));
    for n_threads in [1, 2, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        for block in [1, 64, 999] {
            let got = pool.install(|| items(text.as_bytes(), limits(block, 10)));
            assert_eq!(refusal(got), whole);
        }
    }
}

#[test]
fn too_many_rows_are_noticed_at_the_first_of_them() {
    for (text, expected, line) in [("1\n2\n3\n", 2, 3), ("1\n2\nx\n", 2, 3), ("# a\n1\n2\n", 1, 3)]
    {
        for block in [1, 1 << 20] {
            let limits = Limits { expected_rows: Some(expected), ..limits(block, 1) };
            let error = refusal(items(text.as_bytes(), limits));
            let offset = text.match_indices('\n').nth(1).unwrap().0 as u64 + 1;
            assert_eq!((error.code, error.line), ("E-ROWS", Some(line)), "{text:?}");
            assert_eq!((error.column, error.byte_offset), (Some(1), Some(offset)), "{text:?}");
        }
    }
}

#[test]
fn zero_bytes_behind_the_last_row_are_no_row() {
    for block in [1, 1 << 20] {
        for (text, code) in [("1\n2\n\0\0\0", "E-TRUNC"), ("1\n2\n\0\0\n", "E-ROWS")] {
            let limits = Limits { expected_rows: Some(2), ..limits(block, 1) };
            let error = refusal(items(text.as_bytes(), limits));
            assert_eq!((error.code, error.line), (code, Some(3)), "{text:?}");
        }
    }
}

#[test]
fn blank_lines_may_only_end_a_text() {
    for block in [1, 4, 1 << 20] {
        let table = items(b"1 2\n3 4\n\n \r\n\n", limits(block, 1)).unwrap();
        assert_eq!(table.values, [1, 2, 3, 4]);
        let error = refusal(items(b"1 2\n3 4\n\n \r\n5 6\n", limits(block, 1)));
        assert_eq!((error.code, error.line, error.byte_offset), ("E-BLANK", Some(3), Some(8)));
    }
    let endless = [b"1 2\n".to_vec(), vec![b'\n'; 1 << 20]].concat();
    assert_eq!(refusal(items(&endless, limits(1 << 10, 1))).code, "E-BLANK");
}

#[test]
fn room_is_used_if_all_values_fit_and_only_then() {
    let text: Vec<u8> = (1..400).flat_map(|i| format!("{i} {}\n", i + 1).into_bytes()).collect();
    let file = Scratch::new("room", &text);
    let whole = items(&text, Limits::default()).unwrap();
    let rules = item_rules(limits(64, 16));
    for n_values in [0, 1, 2, 100, 797, 798, 799, 1000] {
        let mut room = vec![9; n_values];
        let table = parse_items(&file.0, &rules, &mut room, &CancelToken::new()).unwrap();
        assert_eq!((table.rows, table.columns), (whole.rows, whole.columns));
        if n_values < whole.values.len() {
            assert_eq!(table.values, whole.values);
        } else {
            assert!(table.values.is_empty());
            assert_eq!(room[..798], whole.values);
            assert!(room[798..].iter().all(|&value| value == 9));
        }
    }
}

#[test]
fn likely_values_are_at_least_those_of_an_even_file() {
    let text = b"1 2 3\n".repeat(50_000);
    let file = Scratch::new("likely", &text);
    let likely = likely_values(&file.0, &Limits::default());
    assert!((150_000..160_000).contains(&likely), "{likely}");
    let told = Limits { expected_rows: Some(7), ..Limits::default() };
    assert_eq!(likely_values(&file.0, &told), 21);
    let absurd = Limits { expected_rows: Some(usize::MAX), ..Limits::default() };
    assert!(likely_values(&file.0, &absurd) <= text.len());
    assert_eq!(likely_values(Path::new("/dev/zero"), &told), 0);
    assert_eq!(likely_values(Path::new("/none"), &told), 0);
}

/// Lists as they are written when some are shorter: filled with a mark, or simply shorter.
#[test]
fn short_lists_are_filled_up_to_the_longest() {
    let text = "3 -1 -1\n4 5 6 7\n\n8 nan 17408 9\n";
    let file = Scratch::new("short", text.replace("\n\n", "\n").as_bytes());
    let rules = ItemRules { short_lists: true, ..item_rules(Limits::default()) };
    let token = CancelToken::new();
    let none = rules.n_items;
    for seams in [limits(1 << 12, 1 << 12), limits(64, 5)] {
        let rules = ItemRules { limits: seams, ..rules.clone() };
        let table = parse_items(&file.0, &rules, &mut [], &token).unwrap();
        assert_eq!((table.rows, table.columns), (3, 4));
        let expected = [3, none, none, none, 4, 5, 6, 7, 8, none, none, 9];
        assert_eq!(table.values, expected);
    }
    let blank = Scratch::new("short-blank", text.as_bytes());
    assert_eq!(refusal(parse_items(&blank.0, &rules, &mut [], &token)).code, "E-BLANK");
    assert_eq!(refusal(items(b"1 2\n3\n", Limits::default())).code, "E-RAGGED");
    // Of a pipe the first row is the longest.
    let error = refusal(read_items(&mut &b"1\n2 3\n"[..], &rules, &token));
    assert_eq!(error.code, "E-RAGGED");
    assert!(error.hint.contains("pipe"), "{}", error.hint);
}

#[test]
fn one_long_list_among_many_short_ones_is_refused_before_it_is_filled() {
    let text = "1\n".repeat(300_000) + &"2 ".repeat(100_000) + "\n";
    let file = Scratch::new("one-long", text.as_bytes());
    let rules = DistanceRules { short_lists: true, ..distance_rules(Limits::default()) };
    let error = refusal(parse_distances(&file.0, &rules, &mut [], &CancelToken::new()));
    assert_eq!((error.code, error.line), ("E-RAGGED", Some(300_001)));
}

#[test]
fn a_text_has_a_longest_length() {
    let limits = Limits { max_bytes: 100, ..limits(16, 16) };
    let error = refusal(read_items(
        &mut io::repeat(b'1').take(1000),
        &item_rules(limits.clone()),
        &CancelToken::new(),
    ));
    assert_eq!(error.code, "E-TOKEN-LONG");
    let rows = b"1 2\n".repeat(30);
    assert_eq!(refusal(items(&rows, limits)).code, "E-BYTES");
}

#[test]
fn an_endless_line_is_refused_before_memory_is_gone() {
    let mut endless = io::repeat(b'1');
    let got = read_items(&mut endless, &item_rules(Limits::default()), &CancelToken::new());
    assert_eq!(refusal(got).code, "E-LINE-LONG");
}

#[test]
fn a_cancelled_token_ends_the_reading() {
    let cancel = CancelToken::new();
    cancel.cancel();
    let got = read_items(&mut &b"1 2\n"[..], &item_rules(Limits::default()), &cancel);
    assert_eq!(got, Err(Failure::Kernel(Error::Interrupted)));
}

/// A file of its own, removed at the end.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str, text: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("dllm2rec-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_file_that_grows_shrinks_or_is_replaced_is_noticed() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 3] = [
        ("grown", |path| {
            fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"5 6\n").unwrap();
        }),
        ("cut", |path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(4).unwrap()),
        ("replaced", |path| {
            let other = path.with_extension("new");
            fs::write(&other, b"1 2\n3 4\n").unwrap();
            fs::rename(&other, path).unwrap();
        }),
    ];
    for (name, change) in changes {
        let file = Scratch::new(name, b"1 2\n3 4\n");
        let cancel = CancelToken::new();
        let source = Source::open(&file.0, &cancel).unwrap();
        assert_eq!(source.check_unchanged(), Ok(()), "{name}");
        change(&file.0);
        assert_eq!(source.check_unchanged().unwrap_err().code, "E-CHANGED", "{name}");
    }
}

/// A fixed stream of numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

const SEEDS: [&[u8]; 8] = [
    b"1 2 3\n4 5 6\n",
    b"1.000000000000000000e+00 1.740700000000000000e+04\n0.000000000000000000e+00 5e0\n",
    b"# head\r\n0.7158,0.7310\r\n0.9,1.5\r\n",
    b"\xef\xbb\xbf1\t2\n3\t4",
    b"9007199254740993 -0 +1 1e400 1e-400\n",
    b"nan inf -5 1.5 0x10 1_000\n",
    b"<<<<<<< HEAD\n1 2\n=======\n",
    b"1 2\n\n# x\n[1, 2]\0\0\0\xff\xc2\xa0",
];

fn mutated(random: &mut Random) -> Vec<u8> {
    const BYTES: &[u8] = b"0123456789.eE+-# \t\r\n,;\0\xff\xc2";
    let mut text = SEEDS[random.below(SEEDS.len())].to_vec();
    for _ in 0..random.below(6) {
        let at = random.below(text.len().max(1)).min(text.len());
        match random.below(4) {
            0 if !text.is_empty() => text[at] = BYTES[random.below(BYTES.len())],
            1 => text.insert(at, BYTES[random.below(BYTES.len())]),
            2 if !text.is_empty() => drop(text.drain(at..)),
            _ => {
                let other = SEEDS[random.below(SEEDS.len())];
                text.extend_from_slice(&other[random.below(other.len())..]);
            }
        }
    }
    text
}

/// What every refusal must tell, and that a place lies in the text.
fn check<T: std::fmt::Debug>(text: &[u8], result: &Result<Table<T>, Failure>) {
    match result {
        Ok(table) => assert_eq!(table.values.len(), table.rows * table.columns),
        Err(Failure::Text(error)) => {
            assert!(error.code.starts_with("E-") && !error.message.is_empty(), "{error:?}");
            if let (Some(line), Some(column), Some(offset)) =
                (error.line, error.column, error.byte_offset)
            {
                let offset = offset as usize;
                // A byte order mark is no column.
                let mark = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
                assert!(offset <= text.len(), "{error:?}");
                let before = &text[..offset];
                let newlines = before.split(|&byte| byte == b'\n').count() as u64 - 1;
                let begin =
                    before.iter().rposition(|&byte| byte == b'\n').map_or(mark, |at| at + 1);
                assert_eq!(
                    (line, column),
                    (newlines + 1, (offset - begin) as u64 + 1),
                    "{error:?}"
                );
            }
        }
        Err(Failure::Kernel(error)) => panic!("{error}"),
    }
}

#[test]
fn mutated_inputs_never_panic_and_seams_never_change_the_outcome() {
    let (mut random, begin, mut runs, mut accepted) = (Random(7), Instant::now(), 0, 0);
    // Two seconds, or as long as it takes for enough of them on a busy machine.
    while runs < 2_000 || (runs < 200_000 && begin.elapsed() < Duration::from_secs(2)) {
        let text = mutated(&mut random);
        let (block, piece) = (1 + random.below(40), 1 + random.below(40));
        let whole = items(&text, limits(1 << 12, 1 << 12));
        check(&text, &whole);
        let cut = items(&text, limits(block, piece));
        if !matches!(&cut, Err(Failure::Text(error)) if error.code == "E-EMPTY") {
            assert_eq!(cut, whole, "{text:?} in blocks of {block}");
        }
        let distances = read_distances(
            &mut &*text,
            &distance_rules(limits(1 << 12, piece)),
            &CancelToken::new(),
        );
        check(&text, &distances);
        accepted += usize::from(whole.is_ok()) + usize::from(distances.is_ok());
        runs += 1;
    }
    assert!(accepted > runs / 20, "{accepted} of {runs} accepted");
}

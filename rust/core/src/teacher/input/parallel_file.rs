//! A file that all threads read at once, each a part of the buffer.
//!
//! One thread copies some 2 GB/s out of the page cache, about as much as one thread parses: with
//! several threads a single reader would be the bottleneck.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;

use rayon::prelude::*;

/// Fewer bytes are not worth a thread.
const SMALLEST_PART: usize = 1 << 17;

/// A file and how far it has been read.
pub(crate) struct ParallelFile {
    file: File,
    offset: u64,
}

impl ParallelFile {
    pub(crate) fn of(file: File) -> Self {
        Self { file, offset: 0 }
    }
}

impl Read for ParallelFile {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if rayon::current_thread_index().is_none() {
            let (n_bytes, error) = fill(&self.file, out, self.offset);
            return self.moved(n_bytes, error);
        }
        let part = out.len().div_ceil(rayon::current_num_threads().max(1)).max(SMALLEST_PART);
        let offset = self.offset;
        let filled: Vec<_> = out
            .par_chunks_mut(part)
            .enumerate()
            .map(|(index, chunk)| {
                let begin = offset.saturating_add(index.saturating_mul(part) as u64);
                (chunk.len(), fill(&self.file, chunk, begin))
            })
            .collect();
        let mut total = 0_usize;
        for (wanted, (n_bytes, error)) in filled {
            total = total.saturating_add(n_bytes);
            if n_bytes < wanted {
                return self.moved(total, error); // later parts are read again
            }
        }
        self.moved(total, None)
    }
}

impl ParallelFile {
    /// Bytes before an error are returned first: the error comes again with the next read.
    fn moved(&mut self, n_bytes: usize, error: Option<io::Error>) -> io::Result<usize> {
        if let (0, Some(error)) = (n_bytes, error) {
            return Err(error);
        }
        self.offset = self.offset.saturating_add(n_bytes as u64);
        Ok(n_bytes)
    }
}

/// Reads until `out` is full, the file ends or there is an error: how many bytes, and the error.
fn fill(file: &File, out: &mut [u8], offset: u64) -> (usize, Option<io::Error>) {
    let mut filled = 0_usize;
    while let Some(free) = out.get_mut(filled..)
        && !free.is_empty()
    {
        match file.read_at(free, offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(n_bytes) => filled = filled.saturating_add(n_bytes),
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            Err(err) => return (filled, Some(err)),
        }
    }
    (filled, None)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn parts_come_in_order_whatever_the_threads_and_the_size() {
        let text: Vec<u8> =
            (0..1_000_003_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let path = std::env::temp_dir().join(format!("dllm2rec-parts-{}", std::process::id()));
        File::create(&path).unwrap().write_all(&text).unwrap();
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for size in [1_000, SMALLEST_PART, 300_000, 1_000_003, 2_000_000] {
                let read = || {
                    let mut file = ParallelFile::of(File::open(&path).unwrap());
                    let (mut all, mut buffer) = (Vec::new(), vec![0; size]);
                    loop {
                        let n_bytes = file.read(&mut buffer).unwrap();
                        if n_bytes == 0 {
                            return all;
                        }
                        all.extend_from_slice(&buffer[..n_bytes]);
                    }
                };
                assert!(pool.install(read) == text, "{threads} threads, {size} bytes");
                assert!(read() == text, "{size} bytes outside a pool");
            }
        }
        std::fs::remove_file(path).unwrap();
    }
}

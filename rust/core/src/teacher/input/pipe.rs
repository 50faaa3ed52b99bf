//! A pipe, read by a thread of its own: waiting for a silent writer can be interrupted.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::CancelToken;

/// How often a waiting reader checks whether it has been cancelled.
const POLL: Duration = Duration::from_millis(20);

/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

/// The reading end of a pipe or a device.
///
/// After an interrupt its thread waits on until the writer writes or closes; nothing else can end
/// a blocked read.
pub(crate) struct Pipe<'a> {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    used: usize,
    cancel: &'a CancelToken,
}

impl<'a> Pipe<'a> {
    /// Starts to read; errors in opening come with the first read.
    pub(crate) fn open(path: PathBuf, cancel: &'a CancelToken) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(2);
        thread::Builder::new().spawn(move || match File::open(path) {
            Ok(file) => send_all(file, &sender),
            Err(err) => drop(sender.send(Err(err))),
        })?;
        Ok(Self { chunks, chunk: Vec::new(), used: 0, cancel })
    }

    /// Waits for the next chunk; an empty one at the end.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.chunks.recv_timeout(POLL) {
                Ok(chunk) => return chunk,
                Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
                Err(RecvTimeoutError::Timeout) => {
                    self.cancel.check().map_err(|_| io::Error::other("interrupted"))?;
                }
            }
        }
    }
}

fn send_all(mut file: File, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut chunk = vec![0; CHUNK];
        let sent = match file.read(&mut chunk) {
            Ok(0) => return,
            Ok(n_bytes) => {
                chunk.truncate(n_bytes);
                sender.send(Ok(chunk))
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
            Err(err) => sender.send(Err(err)),
        };
        if sent.is_err() {
            return; // nobody reads any more
        }
    }
}

impl Read for Pipe<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.used >= self.chunk.len() {
            (self.chunk, self.used) = (self.next()?, 0);
        }
        let n_bytes = self.chunk.get(self.used..).unwrap_or_default().read(out)?;
        self.used = self.used.saturating_add(n_bytes);
        Ok(n_bytes)
    }
}

//! Where the text comes from: a file, gzipped or not, that must not change while it is read.
//!
//! Files are read, never mapped: a mapped file that shrinks kills the process.

use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flate2::bufread::MultiGzDecoder;

use crate::CancelToken;
use crate::teacher::fault::TextError;

#[cfg(unix)]
use super::parallel_file::ParallelFile;
use super::pipe::Pipe;

/// Compressed bytes read at a time.
const COMPRESSED_BLOCK: usize = 1 << 17;

/// An open text, and the identity of its file when it was opened.
pub(crate) struct Source<'a> {
    pub reader: Box<dyn Read + Send + 'a>,
    /// Bytes of text, if known without reading.
    pub size: Option<u64>,
    path: PathBuf,
    file: Option<File>,
    before: Identity,
}

/// What shows whether a file is still the same.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    size: u64,
    modified: Option<SystemTime>,
    inode: (u64, u64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), modified: metadata.modified().ok(), inode: inode(metadata) }
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn inode(_metadata: &Metadata) -> (u64, u64) {
    (0, 0)
}

impl<'a> Source<'a> {
    /// Opens a file or a pipe; gzip is known by its first bytes, whatever the name.
    ///
    /// While a pipe has nothing to give, cancelling ends the wait.
    pub(crate) fn open(path: &Path, cancel: &'a CancelToken) -> Result<Self, TextError> {
        let metadata = fs::metadata(path).map_err(|err| cannot_open(&err))?;
        if metadata.is_dir() {
            return Err(TextError::whole("E-OPEN", "is a directory, expected a text file", ""));
        }
        let path = path.to_owned();
        if !metadata.is_file() {
            let pipe = Pipe::open(path.clone(), cancel).map_err(|err| cannot_open(&err))?;
            let (reader, _) = text_of(pipe)?;
            return Ok(Self {
                reader,
                size: None,
                path,
                file: None,
                before: Identity::of(&metadata),
            });
        }
        let file = File::open(&path).map_err(|err| cannot_open(&err))?;
        let before = Identity::of(&file.metadata().map_err(|err| cannot_open(&err))?);
        let kept = file.try_clone().map_err(|err| cannot_open(&err))?;
        let (mut reader, is_gzip) = text_of(file)?;
        #[cfg(unix)]
        if !is_gzip {
            reader = Box::new(ParallelFile::of(kept.try_clone().map_err(|err| cannot_open(&err))?));
        }
        let size = (!is_gzip).then_some(before.size);
        Ok(Self { reader, size, path, file: Some(kept), before })
    }

    /// Fails if the file was cut, rewritten or replaced since it was opened.
    pub(crate) fn check_unchanged(&self) -> Result<(), TextError> {
        let Some(file) = &self.file else {
            return Ok(()); // a pipe has no contents of its own
        };
        let same = |metadata: io::Result<Metadata>| {
            metadata.is_ok_and(|metadata| Identity::of(&metadata) == self.before)
        };
        if same(file.metadata()) && same(fs::metadata(&self.path)) {
            return Ok(());
        }
        let hint = "wait until its writer has finished, then run again";
        Err(TextError::whole("E-CHANGED", "the file changed while it was being read", hint))
    }
}

fn cannot_open(err: &io::Error) -> TextError {
    TextError::whole("E-OPEN", err.to_string(), "")
}

/// What went wrong while reading, in words that fit the source.
pub(crate) fn cannot_read(err: &io::Error) -> TextError {
    match err.kind() {
        io::ErrorKind::UnexpectedEof => TextError::whole(
            "E-TRUNC",
            "the compressed file ends too early",
            "copy or download it again",
        ),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => TextError::whole(
            "E-GZIP",
            format!("the compressed file is damaged ({err})"),
            "copy or download it again",
        ),
        _ => TextError::whole("E-READ", err.to_string(), ""),
    }
}

fn text_of<'a>(
    mut raw: impl Read + Send + 'a,
) -> Result<(Box<dyn Read + Send + 'a>, bool), TextError> {
    let mut head = Vec::new();
    raw.by_ref().take(2).read_to_end(&mut head).map_err(|err| cannot_read(&err))?;
    let is_gzip = head == [0x1f, 0x8b];
    let whole = Cursor::new(head).chain(raw);
    if is_gzip {
        let compressed = BufReader::with_capacity(COMPRESSED_BLOCK, whole);
        return Ok((Box::new(MultiGzDecoder::new(compressed)), true));
    }
    Ok((Box::new(whole), false))
}

/// The rough number of steps that reading a file takes, by which the caller decides whether to wake
/// threads.
#[must_use]
pub fn effort(path: &Path) -> usize {
    match fs::metadata(path) {
        // A compressed file may hold a thousand times its size.
        Ok(metadata) if metadata.is_file() => {
            usize::try_from(metadata.len()).unwrap_or(usize::MAX).saturating_mul(16)
        }
        _ => usize::MAX, // a pipe may wait
    }
}

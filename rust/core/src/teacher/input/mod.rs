//! Where the text comes from: files, pipes, gzip; blocks of whole lines.

pub(super) mod block;
#[cfg(unix)]
mod parallel_file;
mod pipe;
pub(super) mod source;

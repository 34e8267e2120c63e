//! The body of an object: its size, its digests, and its parts.
//!
//! In: bytes or a file. Out: what a request sends, a part at a time where the body is large. Never:
//! more of a file in memory than one part.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::{Body, PutOptions, StoreError};
use crate::store::{Digest, hex};

/// Size of a part; S3 takes 5 MiB to 5 GiB.
const PART_BYTES: u64 = 16 * 1024 * 1024;

/// Most parts of an object at S3.
const MAX_PARTS: u64 = 10_000;

/// Bytes hashed at a time.
const HASH_BYTES: usize = 256 * 1024;

/// A body with its size and digests.
#[derive(Debug)]
pub(super) struct Content {
    source: Source,
    pub(super) size: u64,
    pub(super) sha256: Digest,
    pub(super) md5: [u8; 16],
}

#[derive(Debug)]
enum Source {
    Bytes(Bytes),
    File(PathBuf),
}

impl Content {
    /// Hashes a body and holds it against the digest it was sealed with.
    ///
    /// # Errors
    /// `Refused` when it is not what was sealed, `Io` when it cannot be read.
    pub(super) fn read(
        body: Body<'_>,
        options: &PutOptions,
        key: &str,
    ) -> Result<Content, StoreError> {
        let mut sha256 = Sha256::new();
        let mut md5 = Md5::new();
        let mut size = 0;
        let source = match body {
            Body::Bytes(bytes) => {
                sha256.update(bytes);
                md5.update(bytes);
                size = bytes.len() as u64;
                Source::Bytes(Bytes::copy_from_slice(bytes))
            }
            Body::File(path) => {
                let failed = |error| StoreError::Io(format!("{}: {error}", path.display()));
                let mut file = File::open(path).map_err(failed)?;
                let mut buffer = vec![0; HASH_BYTES];
                loop {
                    let taken = file.read(&mut buffer).map_err(failed)?;
                    let Some(bytes) = buffer.get(..taken).filter(|bytes| !bytes.is_empty()) else {
                        break;
                    };
                    sha256.update(bytes);
                    md5.update(bytes);
                    size += bytes.len() as u64;
                }
                Source::File(path.to_owned())
            }
        };
        let sha256: Digest = sha256.finalize().into();
        if options.sha256 != Digest::default() && sha256 != options.sha256 {
            return Err(StoreError::Refused(format!(
                "{key} has SHA-256 {}, not {} as sealed",
                hex(&sha256),
                hex(&options.sha256)
            )));
        }
        Ok(Content {
            source,
            size,
            sha256,
            md5: md5.finalize().into(),
        })
    }

    pub(super) async fn stream(&self) -> Result<ByteStream, StoreError> {
        match &self.source {
            Source::Bytes(bytes) => Ok(ByteStream::from(bytes.clone())),
            Source::File(path) => ByteStream::from_path(path)
                .await
                .map_err(|error| StoreError::Io(format!("{}: {error}", path.display()))),
        }
    }

    /// Size of the parts it is sent in.
    fn part_bytes(&self) -> u64 {
        PART_BYTES.max(self.size.div_ceil(MAX_PARTS))
    }

    /// Calls `each` with every part in order.
    pub(super) fn parts(&self) -> Parts<'_> {
        Parts {
            content: self,
            file: None,
            offset: 0,
        }
    }
}

/// The parts of a body, one in memory at a time.
pub(super) struct Parts<'a> {
    content: &'a Content,
    file: Option<File>,
    offset: u64,
}

impl Iterator for Parts<'_> {
    type Item = Result<Bytes, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let length = self
            .content
            .part_bytes()
            .min(self.content.size - self.offset);
        if length == 0 {
            return None;
        }
        let part = match &self.content.source {
            Source::Bytes(bytes) => {
                let start = usize::try_from(self.offset).unwrap_or(usize::MAX);
                let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
                Ok(bytes.slice(start.min(bytes.len())..end.min(bytes.len())))
            }
            Source::File(path) => self
                .file
                .take()
                .map_or_else(|| File::open(path), Ok)
                .and_then(|file| {
                    let mut part = Vec::new();
                    let mut limited = file.take(length);
                    limited.read_to_end(&mut part)?;
                    self.file = Some(limited.into_inner());
                    match part.len() as u64 == length {
                        true => Ok(part.into()),
                        false => Err(std::io::ErrorKind::UnexpectedEof.into()),
                    }
                })
                .map_err(|error| StoreError::Io(format!("{}: {error}", path.display()))),
        };
        self.offset += length;
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_up_the_body() {
        let bytes: Vec<u8> = (0..PART_BYTES * 2 + 5).map(|n| n as u8).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("body");
        std::fs::write(&path, &bytes).unwrap();
        for body in [Body::Bytes(&bytes), Body::File(&path)] {
            let content = Content::read(body, &PutOptions::default(), "k").unwrap();
            let parts: Vec<Bytes> = content.parts().map(Result::unwrap).collect();
            assert_eq!(parts.len(), 3);
            assert_eq!(parts.concat(), bytes);
        }
    }
}

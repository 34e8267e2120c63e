//! Reading every byte of reels and hashing it.

use std::io::Read;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use sha2::{Digest as _, Sha256};

use super::{Finding, SealedPart, What};
use crate::store::{Digest, Store, hex};

/// Objects read at a time.
const READERS: usize = 4;

/// Bytes read at a time.
const BUFFER: usize = 256 * 1024;

/// Reads and hashes parts; tells `progress` how many bytes are done, and stops when it answers
/// false. Answers how many parts were compared, and what is wrong.
pub fn read_parts(
    store: &dyn Store,
    parts: &[SealedPart],
    progress: &(dyn Fn(u64) -> bool + Sync),
) -> (u64, Vec<Finding>) {
    let (next, done, compared) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let findings = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..READERS.min(parts.len()) {
            scope.spawn(|| {
                while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let told = |bytes| progress(done.fetch_add(bytes, Ordering::Relaxed) + bytes);
                    match compare(store, part, &told) {
                        Compared::Stopped => return,
                        Compared::Equal => {}
                        Compared::Not(finding) => findings
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(finding),
                    }
                    compared.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    (
        compared.into_inner(),
        findings
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner),
    )
}

enum Compared {
    Equal,
    Not(Finding),
    Stopped,
}

fn compare(store: &dyn Store, part: &SealedPart, told: &dyn Fn(u64) -> bool) -> Compared {
    let key = &part.key;
    let finding = |what, sentence| {
        Compared::Not(Finding {
            what,
            key: key.clone(),
            sentence,
        })
    };
    let mut body = match store.get(key, part.version.as_deref(), None) {
        Ok(body) => body,
        Err(error) => {
            return finding(What::Unreadable, format!("{key} cannot be read: {error}"));
        }
    };
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; BUFFER];
    loop {
        let taken = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(taken) => taken,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return finding(
                    What::Unreadable,
                    format!("{key} cannot be read to its end: {error}"),
                );
            }
        };
        hash.update(buffer.get(..taken).unwrap_or_default());
        size += taken as u64;
        if !told(taken as u64) {
            return Compared::Stopped;
        }
        // A stream without end is no reel.
        if size > part.size {
            break;
        }
    }
    let found: Digest = hash.finalize().into();
    if size != part.size {
        return finding(
            What::Changed,
            format!(
                "{key} has other than the {} bytes that were sealed",
                part.size
            ),
        );
    }
    if found != part.sha256 {
        return finding(
            What::Changed,
            format!(
                "{key} was changed: its bytes have SHA-256 {}, sealed was {}",
                hex(&found),
                hex(&part.sha256)
            ),
        );
    }
    Compared::Equal
}

//! Keys of a reel's objects.
//!
//! ```text
//! reels/cluster=<c>/date=<YYYY-MM-DD>/hour=<HH>/node=<n>/recording=<r>/
//!     <start>-<run>-<sequence>-<first 16 hex digits of the SHA-256>.pcapng.zst
//! ```
//!
//! Hive-style, so that table engines see the parts as columns. Names are percent-encoded where a
//! store, a shell or Windows could trip over them, so no key holds a colon or a blank.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::manifest::{Kind, Manifest};
use crate::store::Digest;
use crate::time::Timestamp;

/// Where the reels of a destination are.
pub const PREFIX: &str = "reels/";

/// Ending of a manifest's key.
pub const MANIFEST: &str = "manifest.json";

/// Hex digits of the hash in a key: enough that two parts never share a name.
const HASH_DIGITS: usize = 16;

/// Longest cluster, node or recording name in a key; a key has 1024 bytes at most.
const MAX_NAME: usize = 120;

/// What stays as it is; a dot is safe since every name stands behind `=`.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Everything in front of the hash, the same for all parts of a reel.
pub(crate) fn stem(
    cluster: &str,
    node: &str,
    recording: &str,
    start: Timestamp,
    run: u64,
    sequence: u64,
) -> String {
    let at = start.utc();
    format!(
        "{PREFIX}cluster={}/date={}/hour={}/node={}/recording={}/{}-{run}-{sequence:06}",
        plain(cluster),
        at.format("%Y-%m-%d"),
        at.format("%H"),
        plain(node),
        plain(recording),
        at.format("%Y%m%dT%H%M%SZ"),
    )
}

/// The key of a part.
pub(crate) fn key(stem: &str, sha256: &Digest, ending: &str) -> String {
    let hash = crate::store::hex(sha256);
    let hash = hash.get(..HASH_DIGITS).unwrap_or(&hash);
    format!("{stem}-{hash}.{ending}")
}

/// The key under which a manifest with this hash was put; `None` when its times cannot be read.
pub fn of_manifest(manifest: &Manifest, sha256: &Digest) -> Option<String> {
    let start = match manifest.kind {
        Kind::Reel => manifest.from.as_deref().unwrap_or(&manifest.sealed),
        Kind::Heartbeat | Kind::Rollup => &manifest.sealed,
    };
    let stem = stem(
        &manifest.cluster,
        &manifest.node,
        &manifest.recording,
        Timestamp::parse(start)?,
        manifest.run,
        manifest.sequence,
    );
    Some(key(&stem, sha256, MANIFEST))
}

pub(crate) fn plain(name: &str) -> String {
    let name = if name.is_empty() { "none" } else { name };
    let mut encoded = utf8_percent_encode(name, PLAIN).to_string();
    encoded.truncate(MAX_NAME);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hive_style_and_hold_the_hash() {
        let stem = stem(
            "prod",
            "ip-10-0-0-1.eu",
            "http errors: 5xx",
            Timestamp::from_secs(1_706_933_106, 0),
            1_706_930_000,
            7,
        );
        assert_eq!(
            key(&stem, &[0xab; 32], "pcapng.zst"),
            "reels/cluster=prod/date=2024-02-03/hour=04/node=ip-10-0-0-1.eu/\
             recording=http%20errors%3A%205xx/20240203T040506Z-1706930000-000007-abababababababab\
             .pcapng.zst"
        );
    }
}

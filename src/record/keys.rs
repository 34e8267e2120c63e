//! Keys of a reel's objects.
//!
//! ```text
//! reels/cluster=<c>/date=<YYYY-MM-DD>/hour=<HH>/node=<n>/recording=<r>/
//!     <start>-<run>-<sequence>-<first 16 hex digits of the SHA-256>.pcapng.zst
//! ```
//!
//! Hive-style, so that table engines see the parts as columns. Names are percent-encoded where a
//! store, a shell or Windows could trip over them, so no key holds a colon or a blank.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::manifest::{Kind, Manifest};
use crate::store::Digest;
use crate::time::Timestamp;

/// Where the reels of a destination are.
pub const PREFIX: &str = "reels/";

/// Where lists of what folders of reels hold are, and the marks of what came late into them.
pub const ROLLUPS: &str = "rollups/";

/// Ending of a mark that something came late into a folder.
pub const LATE: &str = ".late";

/// Time after the end of a reel's hour from which on its upload is late.
const LATE_AFTER: Duration = Duration::from_secs(1800);

/// Time after the end of an hour, or a day, before which nobody lists it once and for all: what comes
/// later than that is marked, clocks may differ by half of it.
pub const SETTLED_AFTER: Duration = Duration::from_secs(3600);

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

/// The folder of a stem, and the key of the mark that something came into it in the hour of `now`;
/// `None` when that is not late.
///
/// ```text
/// rollups/cluster=<c>/date=<d>/hour=<h>/node=<n>/recording=<r>/<YYYYMMDDTHH>.late
/// ```
pub(crate) fn late_mark(stem: &str, start: Timestamp, now: Timestamp) -> Option<(&str, String)> {
    let hour = Timestamp::from_secs(start.secs() - start.secs().rem_euclid(3600), 0);
    if now < hour + Duration::from_secs(3600) + LATE_AFTER {
        return None;
    }
    let folder = stem.get(..=stem.rfind('/')?)?;
    let below = folder.strip_prefix(PREFIX)?;
    let at = now.utc().format("%Y%m%dT%H");
    Some((folder, format!("{ROLLUPS}{below}{at}{LATE}")))
}

/// The folder below [`ROLLUPS`] that a mark is about, and the end of the hour in which something
/// came into it; `None` when the key is no mark.
pub fn of_late_mark(below: &str) -> Option<(&str, Timestamp)> {
    let (folder, name) = below.rsplit_once('/')?;
    let at = name.strip_suffix(LATE)?;
    let at = chrono::NaiveDateTime::parse_from_str(&format!("{at}0000"), "%Y%m%dT%H%M%S").ok()?;
    let end = Timestamp::from_secs(at.and_utc().timestamp(), 0) + Duration::from_secs(3600);
    Some((folder, end))
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
    fn what_comes_late_is_marked_with_the_hour_in_which_it_came() {
        let start = Timestamp::from_secs(1_706_933_106, 0);
        let stem = stem("c", "n", "r", start, 1, 7);
        let at = |minutes: u64| late_mark(&stem, start, start + Duration::from_secs(minutes * 60));
        // It began at 04:05.
        assert_eq!(at(84), None);
        let (folder, key) = at(150).unwrap();
        assert_eq!(
            folder,
            "reels/cluster=c/date=2024-02-03/hour=04/node=n/recording=r/"
        );
        let below = key.strip_prefix(ROLLUPS).unwrap();
        let (of, end) = of_late_mark(below).unwrap();
        assert_eq!(format!("{PREFIX}{of}/"), folder);
        assert_eq!(end.to_string(), "2024-02-03T07:00:00.000000000Z");
        assert_eq!(of_late_mark("cluster=c/x.rollup.zst"), None);
    }

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

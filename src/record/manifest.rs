//! The manifest of a reel: what it holds, what was lost, and its place in the node's chain.
//!
//! In: counts and hashes from sealing, receipts from uploading. Out: JSON. Never: packets.
//! Manifests of one node form a chain for each destination: each holds the SHA-256 of the one
//! before it, the first of a run that of the last one of the run before.
//!
//! ```text
//! {"format":1,"kind":"reel","recording":"errors","kfl":"http and response.status == 500",
//!  "cluster":"c","node":"n","run":1700000000,"sequence":7,"sealed":"2023-…Z","why":"age",
//!  "from":"2023-…Z","to":"2023-…Z","counts":{"packets":9,"bytes":1000,"streams":1,"items":2,…},
//!  "parts":[{"role":"packets","key":"reels/…","size":700,"sha256":"…","version":"…","lock":{…}}],
//!  "coverage":{"kernel_dropped":{"packets":0,…}},"previous":{"sha256":"…","key":"…","run":…},
//!  "tapedeck":"0.1.0","remarks":[]}
//! ```

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::store::LockState;
use crate::time::Timestamp;

/// Version of the format; a reader refuses a later one.
pub const FORMAT: u32 = 1;

/// Longest manifest that is read.
pub const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// What a sealed reel, or a time without one, was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Reel, heartbeat or roll-up.
    pub kind: Kind,
    /// The recording.
    pub recording: String,
    /// The query in force.
    pub kfl: String,
    /// The cluster.
    pub cluster: String,
    /// The node.
    pub node: String,
    /// The run: its Unix start second.
    pub run: u64,
    /// Number within the run.
    pub sequence: u64,
    /// When it was sealed, RFC 3339.
    pub sealed: String,
    /// Why it was sealed: `age`, `size`, `stop`, `start`, `hourly`, `removed`, `asked`, `restart`,
    /// `event`.
    pub why: String,
    /// Time of the first packet, RFC 3339; for a heartbeat the start of the time it covers.
    pub from: Option<String>,
    /// Time of the last packet; for a heartbeat the end of that time.
    pub to: Option<String>,
    /// What it holds.
    pub counts: Counts,
    /// The objects it consists of; none but for a reel.
    pub parts: Vec<Part>,
    /// Packets that were captured or on the wire and are in no reel, by reason, since the run
    /// began: two manifests of a run differ by what happened between them.
    pub coverage: Coverage,
    /// The manifest before it on this node and destination.
    pub previous: Option<Previous>,
    /// How its objects, itself among them, were asked to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// When the next manifest of this recording is due at the latest; none behind the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// Settings of the store as it gave them, with a heartbeat.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub store: BTreeMap<String, String>,
    /// With a roll-up: the newest manifest of every chain of the destination that could be seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<ChainHead>,
    /// With a roll-up: the newest manifest of this node at its other destinations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub elsewhere: BTreeMap<String, Previous>,
    /// What happened that made the recording take streams for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// Version of the writer.
    pub tapedeck: String,
    /// Sentences about what is not as it should be.
    pub remarks: Vec<String>,
    /// Who vouches for all of the above; the last field (see [`sign`](super::sign)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

impl Manifest {
    /// As it is stored: JSON, one line, and a line end.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("strings, numbers and lists have a JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// When it is no JSON of this shape, or of a later format.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if manifest.format > FORMAT {
            return Err(ManifestError::Later(manifest.format));
        }
        Ok(manifest)
    }
}

/// Something that happened in the cluster (`recordings.on`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When, RFC 3339.
    pub at: String,
    /// What: `podRestart`, `OOMKilled`, `podDeleted`, `failedProbe`, `rollout`, `nodePressure`.
    pub what: String,
    /// Namespace of the pod; empty for a node.
    #[serde(default)]
    pub namespace: String,
    /// Name of the pod or node.
    pub name: String,
    /// The node.
    #[serde(default)]
    pub node: String,
    /// The container; empty when it is about the pod.
    #[serde(default)]
    pub container: String,
    /// What made the pod, as `Deployment/cart`.
    #[serde(default)]
    pub owner: String,
    /// What the cluster says of it.
    #[serde(default)]
    pub message: String,
    /// Whose streams were taken: `pod`, `owner` or `peers`.
    pub scope: String,
    /// From when on they were looked for, RFC 3339.
    pub from: String,
    /// Until when they were followed.
    pub to: String,
}

/// Why a manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// No JSON, or of another shape.
    #[error("not a manifest: {0}")]
    Json(serde_json::Error),
    /// Written by a later tapedeck.
    #[error("the manifest has format {0}, written by a later tapedeck; update this one")]
    Later(u32),
}

/// What a manifest stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Packets.
    Reel,
    /// A sign of life: nothing need have matched.
    Heartbeat,
    /// The heads of all chains, once a day.
    Rollup,
}

impl Kind {
    /// Its name, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Reel => "reel",
            Kind::Heartbeat => "heartbeat",
            Kind::Rollup => "rollup",
        }
    }
}

/// How objects were asked to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keep {
    /// `GOVERNANCE` or `COMPLIANCE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// For how many seconds from the upload.
    #[serde(default)]
    pub seconds: u64,
    /// Whether under legal hold.
    #[serde(default)]
    pub legal_hold: bool,
}

/// The newest manifest of a chain, as a roll-up or an anchor names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainHead {
    /// The cluster.
    pub cluster: String,
    /// The node.
    pub node: String,
    /// The run that wrote it.
    pub run: u64,
    /// Its key.
    pub key: String,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
}

/// An Ed25519 signature (RFC 8032).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// First 16 hex digits of the SHA-256 of the public key's DER.
    pub key_id: String,
    /// The 64 bytes, hexadecimal.
    pub ed25519: String,
}

/// Counts of a reel.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    /// Packets.
    pub packets: u64,
    /// Their captured bytes.
    pub bytes: u64,
    /// Streams with packets in it.
    pub streams: u64,
    /// Streams that began in an earlier reel.
    pub continued: u64,
    /// Items seen on these streams since they were taken.
    pub items: u64,
}

/// One object of a reel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// What it holds: `packets`, `index` or `names`.
    pub role: String,
    /// Its key, below the destination.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// MIME type.
    pub content_type: String,
    /// Version to read; `None` where the store keeps none.
    #[serde(default)]
    pub version: Option<String>,
    /// Lock as read back after the upload.
    #[serde(default)]
    pub lock: LockNote,
    /// Independent zstd frames, in order; none when it is not compressed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<Frame>,
}

/// One independent piece of a compressed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Frame {
    /// Offset of its first byte in the part.
    pub offset: u64,
    /// Bytes in the part.
    pub size: u64,
    /// Bytes when decompressed.
    pub plain: u64,
    /// Packets in it.
    pub packets: u64,
    /// Earliest packet time, nanoseconds since 1970; 0 without packets.
    pub from: i64,
    /// Latest packet time.
    pub to: i64,
}

/// What is known of an object's lock.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LockNote {
    /// Locked, not locked, or not verified.
    pub state: Lockedness,
    /// `GOVERNANCE` or `COMPLIANCE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Until when, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Whether it is under legal hold; none when nobody asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_hold: Option<bool>,
}

/// As a sentence goes on with it.
impl fmt::Display for LockNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.state, &self.mode, &self.until) {
            (Lockedness::Locked, Some(mode), Some(until)) => {
                let until = until.replace(".000000000Z", "Z");
                write!(f, "locked with {mode} until {until}")?;
            }
            (Lockedness::Locked, ..) => write!(f, "locked")?,
            (Lockedness::NotLocked, ..) => write!(f, "without a lock: not immutable")?,
            (Lockedness::NotVerified, ..) => {
                write!(f, "with a lock that could not be verified")?;
            }
        }
        match self.legal_hold {
            Some(true) => write!(f, ", under legal hold"),
            Some(false) => write!(f, ", without the legal hold asked for"),
            None => Ok(()),
        }
    }
}

/// Whether an object is locked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lockedness {
    /// Read back: it is.
    Locked,
    /// Read back: it is not.
    NotLocked,
    /// Not read back.
    #[default]
    NotVerified,
}

impl Lockedness {
    /// Its name, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Lockedness::Locked => "locked",
            Lockedness::NotLocked => "not-locked",
            Lockedness::NotVerified => "not-verified",
        }
    }
}

impl From<LockState> for LockNote {
    fn from(state: LockState) -> LockNote {
        match state {
            LockState::Locked(lock) => LockNote {
                state: Lockedness::Locked,
                mode: Some(lock.mode.name().to_owned()),
                until: Some(lock.until.to_string()),
                legal_hold: None,
            },
            LockState::NotLocked => LockNote {
                state: Lockedness::NotLocked,
                ..LockNote::default()
            },
            LockState::NotVerified => LockNote::default(),
        }
    }
}

/// Packets missing for one reason.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Covered {
    /// Packets.
    pub packets: u64,
    /// Their bytes, where known.
    pub bytes: u64,
    /// First time it happened, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Last time it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl Covered {
    /// Packets of a time span.
    pub fn new(packets: u64, bytes: u64, span: Option<(Timestamp, Timestamp)>) -> Covered {
        Covered {
            packets,
            bytes,
            from: span.map(|(from, _)| from.to_string()),
            to: span.map(|(_, to)| to.to_string()),
        }
    }
}

/// What is missing, by reason (`kernel_dropped`, `spool_overwritten`, ...).
pub type Coverage = BTreeMap<String, Covered>;

/// The manifest before another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Previous {
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
    /// Its key.
    pub key: String,
    /// Its run.
    pub run: u64,
}

#[cfg(test)]
pub(crate) fn sample() -> Manifest {
    Manifest {
        format: FORMAT,
        kind: Kind::Reel,
        recording: "errors".into(),
        kfl: "http".into(),
        cluster: "c".into(),
        node: "n".into(),
        run: 1,
        sequence: 2,
        sealed: Timestamp::from_secs(9, 0).to_string(),
        why: "age".into(),
        from: None,
        to: None,
        counts: Counts::default(),
        parts: Vec::new(),
        coverage: Coverage::new(),
        previous: None,
        keep: None,
        due: None,
        store: BTreeMap::new(),
        heads: Vec::new(),
        elsewhere: BTreeMap::new(),
        events: Vec::new(),
        tapedeck: "0.1.0".into(),
        remarks: Vec::new(),
        signature: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_manifest_reads_back() {
        let mut manifest = sample();
        manifest.parts.push(Part {
            role: "packets".into(),
            key: "k".into(),
            size: 5,
            sha256: "00".into(),
            content_type: "x".into(),
            version: Some("v".into()),
            lock: LockState::Locked(crate::store::Lock {
                mode: crate::store::LockMode::Governance,
                until: Timestamp::from_secs(99, 0),
            })
            .into(),
            frames: Vec::new(),
        });
        manifest
            .coverage
            .insert("kernel_dropped".into(), Covered::new(3, 0, None));
        assert_eq!(Manifest::parse(&manifest.to_bytes()).unwrap(), manifest);
    }

    #[test]
    fn kinds_and_locks_are_written_by_their_names() {
        for kind in [Kind::Reel, Kind::Heartbeat, Kind::Rollup] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        for state in [
            Lockedness::Locked,
            Lockedness::NotLocked,
            Lockedness::NotVerified,
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }

    #[test]
    fn a_later_format_is_refused_by_name() {
        let mut manifest = sample();
        manifest.format = 7;
        let error = Manifest::parse(&manifest.to_bytes()).unwrap_err();
        assert!(error.to_string().contains("format 7"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::parse(&bytes);
        }
    }
}

//! What a recording is asked to be.

use std::time::Duration;

use crate::kfl::Query;
use crate::redact::Rule;
use crate::store::LockMode;

/// Recordings at a time; each has its own open reel and is evaluated on every item.
pub const MAX_RECORDINGS: usize = 64;

/// One recording as wished for: what, where to, how kept.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Its name; recordings are told apart by it.
    pub name: String,
    /// Which items make it take a stream.
    pub query: Query,
    /// URL of the store, as `s3://bucket/prefix` or a folder.
    pub destination: String,
    /// Form of the packets.
    pub format: Format,
    /// Lock asked for each object; `None` leaves the bucket's own default.
    pub retention: Option<Retention>,
    /// Legal hold asked for each object.
    pub legal_hold: bool,
    /// When reels are sealed.
    pub sealing: Sealing,
    /// Whether packets from before the match are fetched from the spool.
    pub look_back: bool,
    /// What is overwritten before sealing.
    pub redact: Rule,
    /// Storage class asked for each object; empty leaves the store's own.
    pub storage_class: String,
    /// Captured bytes a UTC day and node from which on no further stream is taken; 0 is no limit.
    pub bytes_per_day: u64,
    /// What makes it take streams beside its query.
    pub trigger: Option<Trigger>,
}

/// Happenings that make a recording take all streams of somebody around that time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Names of the happenings.
    pub on: Vec<String>,
    /// Streams with packets so long before it.
    pub before: Duration,
    /// And so long after it; then they are let go.
    pub after: Duration,
    /// Whose streams.
    pub scope: Scope,
}

/// Whose streams a happening makes a recording take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those of the pod.
    Pod,
    /// Those of all pods with the same owner.
    Owner,
    /// Those of the pod, and those of whoever it speaks with.
    Peers,
}

impl Scope {
    /// All of them.
    pub const ALL: [Scope; 3] = [Scope::Pod, Scope::Owner, Scope::Peers];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Pod => "pod",
            Scope::Owner => "owner",
            Scope::Peers => "peers",
        }
    }
}

/// As a sentence goes on with it.
impl std::fmt::Display for Trigger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (before, after) = (self.before.as_secs(), self.after.as_secs());
        let (on, scope) = (self.on.join(", "), self.scope.name());
        write!(f, "on {on}, {before} s before to {after} s after ({scope})")
    }
}

/// What a recording keeps of a day's packets on one node unless it says otherwise: 10 GiB.
pub const DEFAULT_BYTES_PER_DAY: u64 = 10 << 30;

impl Wish {
    /// A wish with the defaults: pcapng, the bucket's own lock, whole streams.
    pub fn new(name: impl Into<String>, query: Query, destination: impl Into<String>) -> Wish {
        Wish {
            name: name.into(),
            query,
            destination: destination.into(),
            format: Format::default(),
            retention: None,
            legal_hold: false,
            sealing: Sealing::default(),
            look_back: true,
            redact: Rule::default(),
            storage_class: String::new(),
            bytes_per_day: DEFAULT_BYTES_PER_DAY,
            trigger: None,
        }
    }

    /// What it takes, for people.
    pub fn asks(&self) -> String {
        match &self.trigger {
            None => self.query.text().to_owned(),
            Some(trigger) => trigger.to_string(),
        }
    }

    /// Whether reels of `other` may hold what this one asks for.
    pub(crate) fn is_like(&self, other: &Wish) -> bool {
        self.name == other.name
            && self.query.text() == other.query.text()
            && self.destination == other.destination
            && self.format == other.format
            && self.retention == other.retention
            && self.legal_hold == other.legal_hold
            && self.look_back == other.look_back
            && self.redact == other.redact
            && self.storage_class == other.storage_class
            && self.trigger == other.trigger
    }
}

/// Form of a reel's packets.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Pcapng in independent zstd frames, `.pcapng.zst`.
    #[default]
    Pcapng,
    /// Classic savefiles with microseconds, one for each link type.
    Pcap,
}

/// A lock for a time, counted from the upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Who may lift it.
    pub mode: LockMode,
    /// How long.
    pub period: Duration,
}

impl Retention {
    /// The lock that a mode's name and a time ask for; nothing chooses COMPLIANCE by itself, and it
    /// wants its days written twice, in `acknowledged`.
    ///
    /// # Errors
    /// One sentence; `place` is the key that it names.
    pub fn asked(
        place: &str,
        mode: &str,
        period: Duration,
        acknowledged: u64,
        max_days: u64,
    ) -> Result<Option<Retention>, String> {
        let mode = match mode.to_ascii_uppercase().as_str() {
            "" => None,
            "GOVERNANCE" => Some(LockMode::Governance),
            "COMPLIANCE" => Some(LockMode::Compliance),
            other => {
                return Err(format!(
                    "{place}.mode must be GOVERNANCE or COMPLIANCE, not {other}"
                ));
            }
        };
        let days = period.as_secs().div_ceil(DAY.as_secs());
        match (mode, period.is_zero()) {
            (None, true) => Ok(None),
            (None, false) => Err(format!(
                "a time to lock needs {place}.mode: GOVERNANCE or COMPLIANCE"
            )),
            (Some(_), true) => Err(format!("{place}.mode needs a time to lock, such as 30d")),
            (Some(LockMode::Compliance), false) if days > max_days => Err(format!(
                "a COMPLIANCE lock of {days} days is longer than recording.lock.maxDays ({max_days}); nobody can lift it"
            )),
            (Some(LockMode::Compliance), false) if acknowledged != days => Err(format!(
                "nobody can lift a COMPLIANCE lock; confirm it with {place}.acknowledgeDays: {days}"
            )),
            (Some(mode), false) => Ok(Some(Retention { mode, period })),
        }
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// When an open reel is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealing {
    /// Age of the first reel after a quiet time.
    pub first: Duration,
    /// Age of the reels after it.
    pub every: Duration,
    /// Bytes of packets.
    pub bytes: u64,
}

impl Default for Sealing {
    /// What a dead node loses at most (design D8).
    fn default() -> Sealing {
        Sealing {
            first: Duration::from_secs(60),
            every: Duration::from_secs(300),
            bytes: 64 << 20,
        }
    }
}

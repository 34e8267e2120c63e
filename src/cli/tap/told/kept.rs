//! What a worker writes down of what the hub told it, for a start without the hub.
//!
//! In: names and targets as they come, and the time. Out: two files, each written whole; what they hold at the
//! next start, unless it is damaged, old or of another configuration. Never: a file for each change while pods
//! come and go; targets that nobody told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::capture::targets::TargetSet;
use crate::record::{read_capped, write_whole};
use crate::resolve::Update;
use crate::time::Timestamp;

/// Largest file of targets that is read.
const MAX_TARGETS: u64 = 16 << 20;

/// Largest file of names: those of some 50,000 pods.
const MAX_NAMES: usize = 64 << 20;

/// Age at which what was told is none any more: addresses are given on to other pods.
const KEPT: Duration = Duration::from_secs(12 * 3600);

/// Time between two writes of what changes all the time.
const PACE: Duration = Duration::from_secs(60);

/// Time after which what did not change is written again, so that it does not count as old.
const REFRESH: Duration = Duration::from_secs(3600);

/// Why what is kept cannot be used.
type Unusable = String;

/// Reads a file of so many bytes; `None` when there is none.
fn read<T: for<'de> Deserialize<'de>>(file: &Path, most: u64) -> Result<Option<T>, Unusable> {
    let wrong = |why: String| format!("{} cannot be read: {why}", file.display());
    match read_capped(file, most) {
        Ok(read) => serde_json::from_slice(&read)
            .map(Some)
            .map_err(|error| wrong(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(error.to_string())),
    }
}

fn is_old(at: i64, now: Timestamp) -> bool {
    now.secs().saturating_sub(at) > i64::try_from(KEPT.as_secs()).unwrap_or(i64::MAX)
}

fn old(file: &Path) -> Unusable {
    format!(
        "{} is older than {} hours",
        file.display(),
        KEPT.as_secs() / 3600
    )
}

/// When a file is written again.
#[derive(Default)]
struct Pace {
    /// Whether the file lacks what changed since.
    is_due: bool,
    written: Option<Timestamp>,
}

impl Pace {
    /// Whether it is time, by the clock; the hub `is_there`.
    fn has_come(&self, now: Timestamp, is_there: bool) -> bool {
        let age = self.written.map(|at| now.since(at));
        let has_passed = |span| age.is_none_or(|age| age >= span);
        self.is_due && has_passed(PACE) || is_there && has_passed(REFRESH)
    }

    /// The same at the end.
    fn has_come_at_end(&self, is_there: bool) -> bool {
        self.is_due || is_there
    }

    /// It is written. A disk that refuses is not asked each second.
    fn begin(&mut self, now: Timestamp) {
        (self.is_due, self.written) = (false, Some(now));
    }
}

/// Targets as the hub told them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Targets {
    /// Addresses; none captures everything.
    // A field that is missing is damage, and none is a word of the hub.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) set: Option<TargetSet>,
    /// The capture filter.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) bpf: Option<String>,
}

impl Targets {
    /// Whether other packets are captured with `other`, but for those of addresses that nobody knew.
    fn differs(&self, other: &Targets) -> bool {
        let parts = |targets: &Targets| {
            let set = targets.set.as_ref();
            set.map(|set| (set.ips.clone(), set.endpoints.clone(), set.networks.clone()))
        };
        self.bpf != other.bpf || parts(self) != parts(other)
    }
}

#[derive(Serialize, Deserialize)]
struct Written {
    /// When it was so, in Unix seconds.
    at: i64,
    /// What the configuration of the worker said of targets when the hub told them.
    wanted: Json,
    told: Targets,
}

/// The targets that were told last.
#[derive(Default)]
pub(super) struct LastTargets {
    file: Option<PathBuf>,
    /// What the configuration says.
    pub(super) wanted: Json,
    /// With what it said when they were told.
    told: Option<(Json, Targets)>,
    pace: Pace,
}

impl LastTargets {
    /// Those that `file` holds, when they were told lately and while the configuration said what it says now.
    pub(super) fn begin(
        &mut self,
        file: PathBuf,
        wanted: Json,
        now: Timestamp,
    ) -> Result<Option<Targets>, Unusable> {
        let read: Result<Option<Written>, _> = read(&file, MAX_TARGETS);
        let path = file.clone();
        (self.file, self.wanted) = (Some(file), wanted);
        match read? {
            Some(kept) if kept.wanted != self.wanted => Ok(None),
            Some(kept) if is_old(kept.at, now) => Err(old(&path)),
            Some(kept) => {
                self.told = Some((kept.wanted, kept.told.clone()));
                self.pace.begin(Timestamp::from_secs(kept.at, 0));
                Ok(Some(kept.told))
            }
            None => Ok(None),
        }
    }

    /// Whether there are any.
    pub(super) fn are_told(&self) -> bool {
        self.told.is_some()
    }

    /// The hub tells them.
    pub(super) fn take(&mut self, targets: Targets, now: Timestamp) {
        let told = (self.wanted.clone(), targets);
        if self.told.as_ref() == Some(&told) {
            return;
        }
        let before = self.told.replace(told);
        self.pace.is_due = true;
        let is_other = match (before, &self.told) {
            (Some((wanted, before)), Some((now, told))) => wanted != *now || before.differs(told),
            _ => true,
        };
        if is_other {
            self.write(now);
        }
    }

    /// Writes what is due by the clock; the hub `is_there`.
    pub(super) fn tick(&mut self, now: Timestamp, is_there: bool) {
        if self.pace.has_come(now, is_there) {
            self.write(now);
        }
    }

    /// Writes what the file lacks; the hub `is_there`.
    pub(super) fn end(&mut self, now: Timestamp, is_there: bool) {
        if self.pace.has_come_at_end(is_there) {
            self.write(now);
        }
    }

    fn write(&mut self, now: Timestamp) {
        let (Some(file), Some((wanted, told))) = (&self.file, &self.told) else {
            return;
        };
        let kept = json!({"at": now.secs(), "wanted": wanted, "told": told});
        if let Err(error) = write_whole(file, kept.to_string().as_bytes()) {
            tracing::warn!(%error, "the targets are not kept for the next start");
        }
        self.pace.begin(now);
    }
}

#[derive(Deserialize)]
struct WrittenNames {
    at: i64,
    names: Vec<Update>,
}

/// The names that are kept.
#[derive(Default)]
pub(super) struct LastNames {
    file: Option<PathBuf>,
    /// Whether the hub has told all that it knows.
    is_whole: bool,
    pace: Pace,
}

impl LastNames {
    /// Those that `file` holds, told lately.
    pub(super) fn begin(&mut self, file: PathBuf, now: Timestamp) -> Result<Vec<Update>, Unusable> {
        let most = u64::try_from(MAX_NAMES).unwrap_or(u64::MAX);
        let read: Result<Option<WrittenNames>, _> = read(&file, most);
        let path = file.clone();
        self.file = Some(file);
        match read? {
            Some(kept) if is_old(kept.at, now) => Err(old(&path)),
            Some(kept) => Ok(kept.names),
            None => Ok(Vec::new()),
        }
    }

    /// Some changed.
    pub(super) fn change(&mut self) {
        self.pace.is_due = true;
    }

    /// The hub has told all that it knows.
    pub(super) fn are_whole(&mut self) {
        self.is_whole = true;
    }

    /// Whether they are to be written: where the hub has not told all, the file has more.
    pub(super) fn is_due(&self, now: Timestamp, is_there: bool) -> bool {
        self.is_whole && self.pace.has_come(now, is_there)
    }

    /// The same at the end.
    pub(super) fn is_due_at_end(&self, is_there: bool) -> bool {
        self.is_whole && self.pace.has_come_at_end(is_there)
    }

    /// Where to write them, from now on with all changes that come.
    pub(super) fn begin_to_write(&mut self, now: Timestamp) -> Option<PathBuf> {
        self.pace.begin(now);
        self.file.clone()
    }
}

/// Writes names; those beyond the size of the file are left out.
pub(super) fn write_names(file: &Path, names: &[Update], now: Timestamp) {
    let mut text = format!("{{\"at\":{},\"names\":[", now.secs()).into_bytes();
    let mut left_out = 0_usize;
    // An update has strings and numbers only, which JSON can always hold.
    for (index, update) in names.iter().flat_map(serde_json::to_vec).enumerate() {
        if text.len() + update.len() + 3 > MAX_NAMES {
            left_out = names.len() - index;
            break;
        }
        if index > 0 {
            text.push(b',');
        }
        text.extend(update);
    }
    text.extend(b"]}");
    if left_out > 0 {
        tracing::warn!(left_out, "some names are not kept for the next start");
    }
    if let Err(error) = write_whole(file, &text) {
        tracing::warn!(%error, "the names are not kept for the next start");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ips: &[u8], known: &[u8]) -> Targets {
        let mut set = TargetSet::default();
        set.ips.extend(
            ips.iter()
                .map(|last| std::net::IpAddr::from([10, 0, 0, *last])),
        );
        set.known.extend(
            known
                .iter()
                .map(|last| std::net::IpAddr::from([10, 0, 0, *last])),
        );
        Targets {
            set: Some(set),
            bpf: None,
        }
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + secs, 0)
    }

    #[test]
    fn targets_are_written_when_they_change_and_else_at_most_each_minute() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("targets.json");
        let mut last = LastTargets::default();
        assert_eq!(last.begin(file.clone(), json!("^cart"), at(0)), Ok(None));
        let written =
            || -> Written { serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap() };
        last.take(set(&[7], &[7]), at(1));
        assert_eq!(written().at, at(1).secs());
        // Another pod of no interest comes.
        last.take(set(&[7], &[7, 8]), at(2));
        last.tick(at(3), true);
        assert_eq!(written().told, set(&[7], &[7]));
        last.tick(at(61), true);
        assert_eq!(written().told, set(&[7], &[7, 8]));
        last.take(set(&[7, 8], &[7, 8]), at(62));
        assert_eq!(written().told, set(&[7, 8], &[7, 8]));
        // While the hub is there they stay young.
        last.tick(at(3700), false);
        assert_eq!(written().at, at(62).secs());
        last.tick(at(3700), true);
        assert_eq!(written().at, at(3700).secs());
        last.end(at(3800), true);
        let begin =
            |wanted: Json, secs| LastTargets::default().begin(file.clone(), wanted, at(secs));
        let of_cart = || json!("^cart");
        assert_eq!(begin(of_cart(), 3900), Ok(Some(set(&[7, 8], &[7, 8]))));
        assert_eq!(begin(json!("^pay"), 3900), Ok(None));
        let why = begin(of_cart(), 3801 + 12 * 3600).unwrap_err();
        assert!(why.contains("older than 12 hours"), "{why}");
    }

    #[test]
    fn damaged_files_are_none_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kept.json");
        for damaged in [
            "{",
            "{}",
            r#"{"at": 1000000, "wanted": "a"}"#,
            r#"{"at": 1000000, "wanted": "a", "told": {}}"#,
            r#"{"at": 1000000, "wanted": "a", "told": {"set": {"ips": "all"}, "bpf": null}}"#,
            r#"{"at": 1000000, "wanted": "a", "told": {"set": null, "bpf": 7}}"#,
            r#"{"wanted": "a", "told": {"set": null, "bpf": null}}"#,
        ] {
            std::fs::write(&file, damaged).unwrap();
            let read = LastTargets::default().begin(file.clone(), json!("a"), at(1));
            assert!(read.unwrap_err().contains("cannot be read"), "{damaged}");
            let read = LastNames::default().begin(file.clone(), at(1));
            assert!(read.unwrap_err().contains("cannot be read"), "{damaged}");
        }
        let whole = r#"{"at": 1000000, "wanted": "a", "told": {"set": null, "bpf": null}}"#;
        std::fs::write(&file, whole).unwrap();
        let read = LastTargets::default().begin(file.clone(), json!("a"), at(1));
        assert_eq!(read.unwrap().unwrap().set, None);
    }
}

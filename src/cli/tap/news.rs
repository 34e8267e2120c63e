//! What the hub tells workers of what becomes of pods: events for scripts, happenings for recordings.
//!
//! In: what the watches hear, one by one. Out: messages of a bounded size, some times a second; for those
//! who come, the happenings of the last hour. Never: pods where no script listens for them; more waiting
//! than [`MAX_WAITING`], more kept than [`MAX_KEPT`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::cluster::{Change, Happening};
use crate::hub::message::ScriptText;
use crate::time::Timestamp;

/// Pieces of news that wait for the next message.
const MAX_WAITING: usize = 4096;

/// Bytes after which a message ends and the next one begins.
const PART: usize = 1 << 20;

/// Happenings that are kept for those who come, and their bytes.
const MAX_KEPT: usize = 1024;
const MAX_KEPT_BYTES: usize = 8 << 20;

/// How long they are kept; a spool seldom reaches further back.
const KEPT: Duration = Duration::from_secs(3600);

/// One piece of news.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Piece {
    /// What became of a pod: `ADDED`, `MODIFIED` or `DELETED`, and the pod.
    Pod(String, Json),
    /// What happened.
    Happening(Box<Happening>),
}

/// News that wait.
#[derive(Default)]
pub(super) struct News {
    waiting: Mutex<Vec<Piece>>,
    kept: Mutex<Kept>,
    hears_pods: AtomicBool,
}

/// Happenings of the last hour, the oldest first, each with its bytes.
#[derive(Default)]
struct Kept {
    list: VecDeque<(Happening, usize)>,
    bytes: usize,
}

impl Kept {
    fn add(&mut self, happening: &Happening) {
        let bytes = serde_json::to_vec(happening).map_or(0, |text| text.len());
        self.list.push_back((happening.clone(), bytes));
        self.bytes += bytes;
        while self.list.len() > MAX_KEPT || self.bytes > MAX_KEPT_BYTES {
            let Some((_, bytes)) = self.list.pop_front() else {
                return;
            };
            self.bytes -= bytes;
        }
    }
}

impl News {
    /// Takes what the scripts of workers listen for.
    pub(super) fn follow(&self, scripts: &[ScriptText]) {
        let hears = scripts
            .iter()
            .any(|script| script.code.contains("onPodEvent"));
        self.hears_pods.store(hears, Ordering::Relaxed);
    }

    /// Something became of a pod.
    pub(super) fn pod(&self, change: Change, pod: &Json) {
        if self.hears_pods.load(Ordering::Relaxed) {
            self.add(Piece::Pod(change.name().to_owned(), pod.clone()));
        }
    }

    /// Something happened.
    pub(super) fn happening(&self, happening: &Happening) {
        lock(&self.kept).add(happening);
        self.add(Piece::Happening(Box::new(happening.clone())));
    }

    /// What happened in the hour before `now`, in parts that a message holds.
    pub(super) fn late(&self, now: Timestamp) -> Vec<Json> {
        let kept = lock(&self.kept);
        let recent = kept.list.iter().map(|(happening, _)| happening);
        let recent = recent.filter(|happening| happening.at() >= now - KEPT);
        let pieces = recent.map(|happening| Piece::Happening(Box::new(happening.clone())));
        parts(pieces.collect())
    }

    fn add(&self, piece: Piece) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() < MAX_WAITING {
            waiting.push(piece);
        } else {
            tracing::warn!("workers are not told of everything: too much happens at once");
        }
    }

    /// Takes what waits, in parts that a message holds.
    pub(super) fn take(&self) -> Vec<Json> {
        let pieces = std::mem::take(&mut *lock(&self.waiting));
        parts(pieces)
    }
}

fn lock<T>(held: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

fn parts(pieces: Vec<Piece>) -> Vec<Json> {
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        let piece = serde_json::to_value(piece).unwrap_or_default();
        bytes += piece.to_string().len();
        part.push(piece);
        if bytes > PART {
            parts.push(Json::Array(std::mem::take(&mut part)));
            bytes = 0;
        }
    }
    if !part.is_empty() {
        parts.push(Json::Array(part));
    }
    parts
}

/// The pieces of a message; what this version does not know is left out.
pub(super) fn pieces(part: &Json) -> impl Iterator<Item = Piece> {
    let list = part.as_array().into_iter().flatten();
    list.filter_map(|piece| Piece::deserialize(piece).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::What;

    fn happening() -> Happening {
        let told = json!({"what": "OOMKilled", "atNanos": 7, "name": "cart-1"});
        serde_json::from_value(told).unwrap()
    }

    #[test]
    fn news_arrive_as_they_were_told() {
        let news = News::default();
        let pod = json!({"metadata": {"name": "cart-1"}});
        news.pod(Change::Added, &pod);
        assert!(news.take().is_empty(), "no script listens");
        let script = ScriptText {
            name: "a.js".to_owned(),
            code: "function onPodEvent() {}".to_owned(),
        };
        news.follow(std::slice::from_ref(&script));
        news.pod(Change::Modified, &pod);
        news.happening(&happening());
        let parts = news.take();
        assert_eq!(parts.len(), 1);
        let came: Vec<Piece> = pieces(&parts[0]).collect();
        assert_eq!(came[0], Piece::Pod("MODIFIED".to_owned(), pod));
        let Piece::Happening(told) = &came[1] else {
            panic!("{came:?}")
        };
        assert_eq!(told.what, What::OomKilled);
        news.follow(&[]);
        news.pod(Change::Deleted, &json!({}));
        assert!(news.take().is_empty());
    }

    #[test]
    fn who_comes_is_told_of_the_last_hour() {
        let news = News::default();
        let at = |secs: i64| Happening {
            at_nanos: secs * 1_000_000_000,
            ..happening()
        };
        for secs in [1000, 2000, 5000] {
            news.happening(&at(secs));
        }
        news.take();
        let late = |secs: i64| {
            let parts = news.late(Timestamp::from_secs(secs, 0));
            let told = parts.iter().flat_map(pieces);
            let moments = told.map(|piece| match piece {
                Piece::Happening(one) => one.at().secs(),
                Piece::Pod(..) => 0,
            });
            moments.collect::<Vec<_>>()
        };
        assert_eq!(late(5100), [2000, 5000]);
        assert_eq!(late(5100), [2000, 5000], "also the next one");
        assert_eq!(late(9000), [] as [i64; 0]);
        for secs in 0..2000 {
            news.happening(&Happening {
                message: "m".repeat(20_000),
                ..at(10_000 + secs)
            });
        }
        let told: usize = news
            .late(Timestamp::from_secs(12_000, 0))
            .iter()
            .map(|part| part.to_string().len())
            .sum();
        assert!(told < MAX_KEPT_BYTES + PART, "{told}");
    }

    #[test]
    fn what_is_not_known_is_left_out_and_what_is_too_much_too() {
        let part = json!([{"weather": 1}, {"happening": {"what": "reboot", "atNanos": 1}}, {"pod": ["ADDED", {}]}, 7]);
        assert_eq!(pieces(&part).count(), 1);
        let news = News::default();
        for _ in 0..MAX_WAITING + 10 {
            news.happening(&Happening {
                message: "m".repeat(500),
                ..happening()
            });
        }
        let parts = news.take();
        assert!(parts.len() > 2, "{}", parts.len());
        assert!(parts.iter().all(|part| part.to_string().len() < 2 * PART));
        assert_eq!(parts.iter().flat_map(pieces).count(), MAX_WAITING);
    }
}

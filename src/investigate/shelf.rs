//! An archive as people look through it: days, the reels of a day with what their manifests say, and
//! single objects.
//!
//! In: an archive. Out: JSON for pages, bytes of one object. Never: a key outside the archive, more
//! manifests at a time than asked for.

use std::io::Read;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::group::Place;
use super::reel::Reel;
use super::reels::Archive;
use super::span::Span;
use crate::record::manifest::{MAX_MANIFEST_BYTES, Manifest};
use crate::store::{Entry, StoreError};
use crate::time::Timestamp;

/// Manifests that are read at the same time.
const PARALLEL: usize = 8;

/// Reels of one answer.
pub const MAX_REELS: usize = 500;

/// Manifests that coverage is told from.
const MAX_COVERED: usize = 1000;

impl Archive {
    /// Folders of days, the newest first: `reels/cluster=c/date=2026-11-24/`.
    ///
    /// # Errors
    /// What the store says.
    pub fn days(&self) -> Result<Vec<String>, StoreError> {
        let mut days = self.partitions(&Span::default())?;
        let date = |day: &String| {
            let at = day.find("date=").unwrap_or(day.len());
            day.get(at..).unwrap_or_default().to_owned()
        };
        days.sort_by(|a, b| date(b).cmp(&date(a)).then_with(|| a.cmp(b)));
        Ok(days)
    }

    /// Reels of a day, the newest first, behind the one named `after`, whose names hold each word of
    /// `find`, letter case aside: a name has hour, node, recording and time of a reel.
    ///
    /// ```text
    /// {"reels": [{"name", "recording", "kfl", "cluster", "node", "run", "sequence", "from", "to", "sealed",
    ///   "why", "counts": {...}, "bytes": as stored, "lock": {"state","mode","until","legalHold"},
    ///   "parts": [{"role","key","size","version"}], "coverage": {...}, "remarks": [...], "signed": bool}],
    ///  "next": name for `after` or null}
    /// ```
    ///
    /// A reel without a readable manifest has its keys and a remark.
    ///
    /// # Errors
    /// What the store says, and when `day` is none of this archive.
    pub fn shelf(
        &self,
        day: &str,
        find: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Json, StoreError> {
        self.must_hold(day)?;
        let mut reels = self.list(day, &Span::default())?;
        let find = find.to_ascii_lowercase();
        reels.retain(|reel| {
            let name = reel.stem.get(day.len()..).unwrap_or_default();
            let name = name.to_ascii_lowercase();
            find.split_whitespace().all(|word| name.contains(word))
        });
        sort_newest_first(&mut reels);
        reels.retain(|reel| after.is_none_or(|after| order(&reel.stem) < order(after)));
        let limit = limit.clamp(1, MAX_REELS);
        let next = (reels.len() > limit).then(|| reels[limit - 1].stem.clone());
        reels.truncate(limit);
        let reels = self.told(&reels);
        Ok(json!({"reels": reels, "next": next}))
    }

    /// Opens an object of the archive: its size and its bytes.
    ///
    /// # Errors
    /// What the store says, and when the key is none of this archive.
    pub fn object(
        &self,
        key: &str,
        version: Option<&str>,
    ) -> Result<(u64, Box<dyn Read + Send>), StoreError> {
        self.must_hold(key)?;
        let missing = || StoreError::Missing(format!("{key} is not there"));
        let size = self.store.head(key)?.ok_or_else(missing)?.size;
        Ok((size, self.store.get(key, version, None)?))
    }

    /// When something was captured, when packets were lost or left out, and which reels there are, of
    /// the newest reels.
    ///
    /// ```text
    /// {"captured": [{"node", "from", "to"}], "lost": [{"node", "why", "packets", "from", "to"}],
    ///  "reels": [{"recording", "node", "from", "to", "sealed", "bytes"}], "more": bool}
    /// ```
    ///
    /// # Errors
    /// What the store says.
    pub fn coverage(&self) -> Result<Json, StoreError> {
        let mut reels: Vec<Json> = Vec::new();
        let mut more = false;
        for day in self.days()? {
            let mut found = self.list(&day, &Span::default())?;
            sort_newest_first(&mut found);
            more |= reels.len() + found.len() > MAX_COVERED;
            found.truncate(MAX_COVERED - reels.len());
            reels.extend(self.told(&found));
            if reels.len() >= MAX_COVERED {
                break;
            }
        }
        Ok(covered(&reels, more))
    }

    fn must_hold(&self, key: &str) -> Result<(), StoreError> {
        let inside = key.starts_with(&self.root()) && !key.split('/').any(|part| part == "..");
        match inside {
            true => Ok(()),
            false => Err(StoreError::Refused(format!(
                "{key} is no part of this archive"
            ))),
        }
    }

    /// The reels with what their manifests say, read side by side.
    fn told(&self, reels: &[Arc<Reel>]) -> Vec<Json> {
        let mut told = Vec::with_capacity(reels.len());
        for some in reels.chunks(PARALLEL) {
            std::thread::scope(|scope| {
                let threads: Vec<_> = some
                    .iter()
                    .map(|reel| scope.spawn(move || self.reel(reel)))
                    .collect();
                // A thread that ends early would be a fault of ours; its reel is left out then.
                told.extend(threads.into_iter().filter_map(|one| one.join().ok()));
            });
        }
        told
    }

    fn reel(&self, reel: &Reel) -> Json {
        match self.manifest(reel) {
            Ok(manifest) => of_manifest(&reel.stem, &manifest),
            Err(sentence) => of_keys(reel, sentence),
        }
    }

    fn manifest(&self, reel: &Reel) -> Result<Manifest, String> {
        let entry = reel.manifest.as_ref().ok_or("it has no manifest")?;
        let bytes = self
            .store
            .get(&entry.key, None, None)
            .map_err(|error| error.to_string())?;
        let mut text = Vec::new();
        bytes
            .take(MAX_MANIFEST_BYTES)
            .read_to_end(&mut text)
            .map_err(|error| error.to_string())?;
        Manifest::parse(&text).map_err(|error| error.to_string())
    }
}

/// By what reels are ordered: when they begin, of whichever node and recording.
fn order(stem: &str) -> (&str, &str) {
    let begins = stem.rsplit('/').next().unwrap_or_default();
    (begins, stem)
}

fn sort_newest_first(reels: &mut [Arc<Reel>]) {
    reels.sort_by(|a, b| order(&b.stem).cmp(&order(&a.stem)));
}

fn of_manifest(name: &str, manifest: &Manifest) -> Json {
    let parts: Vec<Json> = manifest
        .parts
        .iter()
        .map(|part| {
            json!({"role": part.role, "key": part.key, "size": part.size, "version": part.version})
        })
        .collect();
    let bytes: u64 = manifest.parts.iter().map(|part| part.size).sum();
    json!({
        "name": name,
        "recording": manifest.recording,
        "kfl": manifest.kfl,
        "cluster": manifest.cluster,
        "node": manifest.node,
        "run": manifest.run,
        "sequence": manifest.sequence,
        "from": manifest.from,
        "to": manifest.to,
        "sealed": manifest.sealed,
        "why": manifest.why,
        "counts": manifest.counts,
        "bytes": bytes,
        "lock": manifest.parts.first().map(|part| &part.lock),
        "parts": parts,
        "coverage": manifest.coverage,
        "remarks": manifest.remarks,
        "signed": manifest.signature.is_some(),
    })
}

/// What keys alone tell.
fn of_keys(reel: &Reel, sentence: String) -> Json {
    let part = |role: &str, entry: &Entry| json!({"role": role, "key": entry.key, "size": entry.size, "version": null});
    let packets = reel.packets.iter().map(|entry| part("packets", entry));
    let index = reel.index.iter().map(|entry| part("index", entry));
    let names = reel.names.iter().map(|entry| part("names", entry));
    let parts: Vec<Json> = packets.chain(index).chain(names).collect();
    let first = reel.packets.first().or(reel.index.as_ref());
    let place = first.and_then(|entry| Place::of(&entry.key));
    let (from, to) = reel.span();
    let moment = |nanos: i64| {
        (nanos > i64::MIN && nanos < i64::MAX).then(|| Timestamp::from_nanos(nanos).to_string())
    };
    json!({
        "name": reel.stem,
        "recording": field(&reel.stem, "recording="),
        "node": field(&reel.stem, "node="),
        "cluster": field(&reel.stem, "cluster="),
        "run": place.and_then(|place| place.run),
        "from": moment(from),
        "to": moment(to),
        "bytes": parts.iter().filter_map(|part| part["size"].as_u64()).sum::<u64>(),
        "lock": null,
        "parts": parts,
        "coverage": {},
        "remarks": [sentence],
        "signed": false,
    })
}

fn field<'a>(key: &'a str, name: &str) -> Option<&'a str> {
    key.split('/').find_map(|part| part.strip_prefix(name))
}

/// A run is taken as captured from its start to its newest reel.
fn covered(reels: &[Json], more: bool) -> Json {
    let mut captured: Vec<(String, u64, String)> = Vec::new();
    let mut lost: Vec<Json> = Vec::new();
    for reel in reels {
        let node = reel["node"].as_str().unwrap_or_default();
        let run = reel["run"].as_u64().unwrap_or_default();
        let end = reel["sealed"].as_str().or(reel["to"].as_str());
        if let Some(end) = end.filter(|_| run > 0) {
            match captured
                .iter_mut()
                .find(|(known, of, _)| known == node && *of == run)
            {
                Some((_, _, latest)) if latest.as_str() < end => *latest = end.to_owned(),
                Some(_) => {}
                None => captured.push((node.to_owned(), run, end.to_owned())),
            }
        }
        for (why, what) in reel["coverage"].as_object().into_iter().flatten() {
            if what["packets"].as_u64().unwrap_or_default() == 0 {
                continue;
            }
            // Counts go on from reel to reel of a run: the newest one holds them all.
            let known = lost
                .iter()
                .any(|one| one["node"] == node && one["why"] == *why && one["run"] == run);
            if !known {
                lost.push(json!({
                    "node": node, "run": run, "why": why, "packets": what["packets"],
                    "from": what["from"], "to": what["to"],
                }));
            }
        }
    }
    let captured: Vec<Json> = captured
        .into_iter()
        .map(|(node, run, to)| {
            let from = Timestamp::from_secs(i64::try_from(run).unwrap_or_default(), 0);
            json!({"node": node, "from": from.to_string(), "to": to})
        })
        .collect();
    let reels: Vec<Json> = reels
        .iter()
        .map(|reel| {
            let named = ["recording", "node", "from", "to", "sealed", "bytes"];
            named
                .into_iter()
                .map(|name| (name.to_owned(), reel[name].clone()))
                .collect::<serde_json::Map<_, _>>()
                .into()
        })
        .collect();
    json!({"captured": captured, "lost": lost, "reels": reels, "more": more})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::manifest::sample;
    use crate::store::conformance;
    use crate::store::memory::MemoryStore;
    use std::sync::Arc;

    const DAY: &str = "reels/cluster=c/date=2026-11-24/";

    fn archive() -> Archive {
        let store = Arc::new(MemoryStore::new());
        let put = |second: u32, manifest: Option<Manifest>| {
            let stem = format!(
                "{DAY}hour=10/node=n/recording=errors/20261124T1000{second:02}Z-5-{second:06}-0123456789abcdef"
            );
            conformance::put(&*store, &format!("{stem}.pcapng.zst"), b"packets").unwrap();
            if let Some(manifest) = manifest {
                let key = format!("{stem}.manifest.json");
                conformance::put(&*store, &key, &manifest.to_bytes()).unwrap();
            }
        };
        let mut first = sample();
        first.coverage.insert(
            "kernel_dropped".into(),
            crate::record::manifest::Covered::new(3, 0, None),
        );
        put(1, Some(first));
        put(2, None);
        conformance::put(&*store, "other/secret", b"x").unwrap();
        Archive::of(store, "").unwrap().unwrap()
    }

    #[test]
    fn a_day_is_read_page_by_page_the_newest_first() {
        let archive = archive();
        assert_eq!(archive.days().unwrap(), [DAY]);
        let first = archive.shelf(DAY, "", None, 1).unwrap();
        let newest = &first["reels"][0];
        assert_eq!(newest["remarks"][0], "it has no manifest");
        assert_eq!(newest["recording"], "errors");
        assert_eq!(newest["parts"][0]["role"], "packets");
        let second = archive.shelf(DAY, "", first["next"].as_str(), 1).unwrap();
        assert_eq!(second["reels"][0]["kfl"], "http");
        assert_eq!(second["next"], Json::Null);
    }

    #[test]
    fn reels_of_all_nodes_and_recordings_are_one_list_by_time() {
        let store = Arc::new(MemoryStore::new());
        for (place, second) in [
            ("hour=10/node=a/recording=z", 5),
            ("hour=10/node=b/recording=a", 7),
            ("hour=10/node=b/recording=z", 1),
            ("hour=09/node=c/recording=z", 3),
        ] {
            let name = format!("20261124T1000{second:02}Z-5-000001-0123456789abcdef.pcapng.zst");
            conformance::put(&*store, &format!("{DAY}{place}/{name}"), b"packets").unwrap();
        }
        let archive = Archive::of(store, "").unwrap().unwrap();
        let seconds = |find: &str| {
            let (mut seconds, mut after) = (Vec::new(), None::<String>);
            loop {
                let page = archive.shelf(DAY, find, after.as_deref(), 1).unwrap();
                let Some(name) = page["reels"][0]["name"].as_str() else {
                    return seconds;
                };
                seconds.push(name.rsplit('/').next().unwrap()[13..15].to_owned());
                after = page["next"].as_str().map(str::to_owned);
                if after.is_none() {
                    return seconds;
                }
            }
        };
        assert_eq!(seconds(""), ["07", "05", "03", "01"]);
        // What the name of the day holds finds nothing by itself.
        for (find, found) in [
            ("Recording=Z", vec!["05", "03", "01"]),
            (" node=b  recording=z ", vec!["01"]),
            ("hour=09", vec!["03"]),
            ("node=d", vec![]),
            ("date=", vec![]),
        ] {
            assert_eq!(seconds(find), found, "{find}");
        }
    }

    #[test]
    fn only_objects_of_the_archive_are_opened() {
        let archive = archive();
        let shelf = archive.shelf(DAY, "", None, 1).unwrap();
        let key = shelf["reels"][0]["parts"][0]["key"].as_str().unwrap();
        let (size, mut bytes) = archive.object(key, None).unwrap();
        let mut read = Vec::new();
        bytes.read_to_end(&mut read).unwrap();
        assert_eq!((size, read.as_slice()), (7, b"packets".as_slice()));
        for key in ["other/secret", "reels/../other/secret"] {
            assert!(archive.object(key, None).is_err(), "{key}");
            assert!(archive.shelf(key, "", None, 1).is_err(), "{key}");
        }
    }

    #[test]
    fn coverage_tells_runs_losses_and_reels() {
        let coverage = archive().coverage().unwrap();
        assert_eq!(coverage["reels"].as_array().unwrap().len(), 2);
        assert_eq!(coverage["lost"][0]["why"], "kernel_dropped");
        assert_eq!(coverage["captured"][0]["node"], "n");
        assert_eq!(coverage["more"], false);
    }
}

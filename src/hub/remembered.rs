//! The file in which the hub keeps its nodes over a restart.
//!
//! In: nodes, with the times in which they had no worker. Out: a file, and what is in it. Never: a file that is
//! written and too large to be read.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::path::Path;
use std::{fmt, fs, io};

use serde::{Deserialize, Serialize};

use super::message::Hello;
use crate::record::read_capped;
use crate::time::Timestamp;

/// Largest file of nodes that is written and read. With all nodes and all their gaps there would be more.
const MAX_FILE: usize = 8 << 20;

/// A time without a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gap {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) why: String,
}

/// What is remembered of a node over restarts of the hub.
#[derive(Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) hello: Hello,
    /// When it was there last, or went.
    pub(super) last_seen: Timestamp,
    pub(super) gaps: VecDeque<Gap>,
}

/// What a file has less than is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    gaps: usize,
    nodes: usize,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the nodes are remembered in {MAX_FILE} bytes at most: the {} oldest times without a worker are left out, and {} nodes that were not seen for longest",
            self.gaps, self.nodes
        )
    }
}

/// The nodes that the file names; none when it is missing or damaged.
pub(super) fn read(path: &Path) -> Vec<Remembered> {
    let read = || -> io::Result<Vec<Remembered>> {
        let text = read_capped(path, MAX_FILE as u64)?;
        Ok(serde_json::from_slice(&text)?)
    };
    read().unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            tracing::warn!(%error, "the nodes of the hub before are not known");
        }
        Vec::new()
    })
}

/// Writes the file; answers what had no room in it.
pub(super) fn write(path: &Path, remembered: Vec<Remembered>) -> io::Result<Option<Cut>> {
    let (text, cut) = to_text(remembered)?;
    let half = path.with_extension("half");
    fs::write(&half, text)?;
    fs::rename(half, path)?;
    Ok(cut)
}

/// The text of a file that can be read again. What is oldest is left out of one that would be larger: times
/// without a worker first, then nodes.
fn to_text(mut remembered: Vec<Remembered>) -> serde_json::Result<(Vec<u8>, Option<Cut>)> {
    let whole = serde_json::to_vec(&remembered)?;
    if whole.len() <= MAX_FILE {
        return Ok((whole, None));
    }
    let gaps = leave_out_gaps(&mut remembered, whole.len() - MAX_FILE)?;
    let all = remembered.len();
    // All that are connected were seen just now.
    remembered.sort_by_key(|node| Reverse(node.last_seen));
    let mut bytes = "[]".len();
    let mut fitting = 0;
    for node in &remembered {
        bytes += serde_json::to_vec(node)?.len() + ",".len();
        if bytes > MAX_FILE {
            break;
        }
        fitting += 1;
    }
    remembered.truncate(fitting);
    let nodes = all - fitting;
    Ok((serde_json::to_vec(&remembered)?, Some(Cut { gaps, nodes })))
}

/// Leaves out the oldest times without a worker, of whichever node, until the text is so many bytes shorter or
/// there are none; answers how many.
fn leave_out_gaps(remembered: &mut [Remembered], too_much: usize) -> serde_json::Result<usize> {
    let mut sizes = Vec::new();
    for gap in remembered.iter().flat_map(|node| &node.gaps) {
        sizes.push((gap.to, serde_json::to_vec(gap)?.len()));
    }
    sizes.sort_unstable();
    let mut saved = 0;
    let last = sizes.iter().find(|(_, size)| {
        saved += size;
        saved >= too_much
    });
    let Some((until, _)) = last.or(sizes.last()) else {
        return Ok(0);
    };
    for node in remembered {
        node.gaps.retain(|gap| gap.to > *until);
    }
    Ok(sizes.partition_point(|(to, _)| to <= until))
}

#[cfg(test)]
mod tests {
    use super::super::nodes::{MAX_GAPS, MAX_NODES};
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs, 0)
    }

    /// As many nodes as there may be, each with as many gaps, and names as long as said.
    fn crowd(name: usize) -> Vec<Remembered> {
        let node = |number: usize| Remembered {
            hello: Hello::of(&format!("{number:0>name$}"), 7),
            last_seen: at(1000 + i64::try_from(number).unwrap()),
            gaps: (0..MAX_GAPS)
                .map(|gap| Gap {
                    from: at(i64::try_from(gap).unwrap()),
                    to: at(i64::try_from(gap).unwrap() + 1),
                    why: "the hub was started anew, and this worker has not come back yet".into(),
                })
                .collect(),
        };
        (0..MAX_NODES).map(node).collect()
    }

    #[test]
    fn a_file_of_all_nodes_and_gaps_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nodes.json");
        let (text, cut) = to_text(crowd(40)).unwrap();
        assert!(text.len() <= MAX_FILE && text.len() > MAX_FILE / 2);
        let Cut { gaps, nodes } = cut.unwrap();
        assert!(gaps > 0 && nodes == 0, "{gaps} {nodes}");
        fs::write(&file, text).unwrap();
        let read = read(&file);
        assert_eq!(read.len(), MAX_NODES);
        for node in &read {
            let kept = node.gaps.len();
            assert!(kept > 0 && kept < MAX_GAPS, "{kept}");
            assert_eq!(node.gaps.back().map(|gap| gap.to), Some(at(64)));
        }
        // What was read is written as it is.
        assert_eq!(write(&file, read).unwrap(), None);
    }

    #[test]
    fn nodes_that_do_not_fit_are_those_that_were_not_seen_for_longest() {
        let (text, cut) = to_text(crowd(4000)).unwrap();
        assert!(text.len() <= MAX_FILE);
        let Cut { gaps, nodes } = cut.unwrap();
        assert_eq!(gaps, MAX_NODES * MAX_GAPS);
        let read: Vec<Remembered> = serde_json::from_slice(&text).unwrap();
        assert_eq!(read.len() + nodes, MAX_NODES);
        assert!(nodes > 0 && read.len() > 1000, "{}", read.len());
        let newest = i64::try_from(MAX_NODES).unwrap() + 999;
        assert!(read.iter().any(|node| node.last_seen == at(newest)));
        assert!(read.iter().all(|node| node.last_seen > at(1000 + 1000)));
    }
}

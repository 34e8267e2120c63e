//! The journal of takes: which streams an open reel holds, written before their packets are.
//!
//! In: a head when the reel is opened, a line for each take, and one when its streams go on
//! elsewhere. Out: after a kill, the same again, so that the reel can be sealed under the old run with
//! the old stream names. Never: packets.
//!
//! ```text
//! {"recording":"errors","kfl":"…","destination":"s3://…","format":"pcapng",…}
//! {"stream":"000000000042.pcap","ordinal":42,"file":0,"offset":208,"carried":false}
//! {"end":57}
//! ```
//!
//! A torn last line is as if it had not been written: no packet was copied for it yet.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::{append, open_to_append};
use super::wish::{Format, Retention, Wish};
use crate::packet::{Position, StreamName};
use crate::redact::Rule;
use crate::store::LockMode;

/// Longest line that is read: a head with the longest query.
const MAX_LINE: u64 = 1 << 20;

/// Takes that are read back of one journal.
const MAX_TAKES: usize = 4 << 20;

/// What an open reel is for; all that is needed to seal it in another process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// The recording.
    pub recording: String,
    /// The query in force.
    pub kfl: String,
    /// URL of the store.
    pub destination: String,
    /// Form of the packets.
    pub format: Format,
    /// `GOVERNANCE` or `COMPLIANCE`, when a lock is asked for.
    pub lock: Option<String>,
    /// For how many seconds.
    pub lock_seconds: u64,
    /// Legal hold asked for.
    pub legal_hold: bool,
    /// The cluster.
    pub cluster: String,
    /// The node.
    pub node: String,
    /// The run.
    pub run: u64,
    /// Number of the reel within the run.
    pub sequence: u64,
    /// Names of the source's interfaces, by number.
    pub interfaces: Vec<String>,
    /// Addresses of the machine's interfaces.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// What is overwritten before sealing.
    #[serde(default)]
    pub redact: Rule,
    /// Storage class asked for each object.
    #[serde(default)]
    pub storage_class: String,
}

impl Head {
    /// The head of a reel of `wish`.
    pub(crate) fn new(
        wish: &Wish,
        cluster: &str,
        node: &str,
        run: u64,
        sequence: u64,
        interfaces: Vec<String>,
        addresses: Vec<IpAddr>,
    ) -> Head {
        Head {
            recording: wish.name.clone(),
            kfl: wish.query.text().to_owned(),
            destination: wish.destination.clone(),
            format: wish.format,
            lock: wish
                .retention
                .map(|retention| retention.mode.name().to_owned()),
            lock_seconds: wish.retention.map_or(0, |lock| lock.period.as_secs()),
            legal_hold: wish.legal_hold,
            cluster: cluster.to_owned(),
            node: node.to_owned(),
            run,
            sequence,
            interfaces,
            addresses,
            redact: wish.redact.clone(),
            storage_class: wish.storage_class.clone(),
        }
    }

    /// What its folder is called, while it is open and in the outbox.
    pub(crate) fn id(&self) -> String {
        format!("{:010}-{:06}", self.run, self.sequence)
    }
}

/// Run and number of the reel with an id.
pub(crate) fn numbers_of(id: &str) -> Option<(u64, u64)> {
    let (run, sequence) = id.split_once('-')?;
    Some((run.parse().ok()?, sequence.parse().ok()?))
}

/// The lock that a mode's name and a number of seconds stand for.
pub(crate) fn retention(mode: Option<&str>, seconds: u64) -> Option<Retention> {
    let mode = LockMode::named(mode?).unwrap_or(LockMode::Governance);
    Some(Retention {
        mode,
        period: std::time::Duration::from_secs(seconds),
    })
}

/// A stream that a reel holds packets of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Take {
    /// The stream's name.
    pub stream: String,
    /// Ordinal of the first packet that belongs into this reel.
    pub ordinal: u64,
    /// Where that packet lies in the source or spool: file,
    pub file: u32,
    /// and offset.
    pub offset: u64,
    /// Whether an earlier reel holds the stream's beginning.
    pub carried: bool,
}

impl Take {
    /// A take of `name` from the packet `ordinal` at `position` on.
    pub(crate) fn new(name: StreamName, ordinal: u64, position: Position, carried: bool) -> Take {
        Take {
            stream: name.to_string(),
            ordinal,
            file: position.file,
            offset: position.offset,
            carried,
        }
    }

    /// The stream; `None` when the name is damaged.
    pub(crate) fn name(&self) -> Option<StreamName> {
        StreamName::parse(&self.stream)
    }
}

/// What a journal says.
#[derive(Debug, PartialEq)]
pub(crate) struct Journaled {
    pub(crate) head: Head,
    pub(crate) takes: Vec<Take>,
    /// Ordinal from which on no packet belongs into the reel; `None` while it is open.
    pub(crate) end: Option<u64>,
}

/// The line of an end.
#[derive(Serialize, Deserialize)]
struct End {
    end: u64,
}

/// A journal being written.
#[derive(Debug)]
pub(crate) struct Journal(File);

impl Journal {
    /// Starts a journal.
    pub(crate) fn create(path: &Path, head: &Head) -> io::Result<Journal> {
        let mut journal = Journal(open_to_append(path)?);
        append(&mut journal.0, &line(head)?)?;
        Ok(journal)
    }

    /// Writes takes down; they are in the file when it returns.
    pub(crate) fn takes<'t>(&mut self, takes: impl Iterator<Item = &'t Take>) -> io::Result<()> {
        let mut lines = Vec::new();
        for take in takes {
            lines.extend(line(take)?);
        }
        append(&mut self.0, &lines)
    }
}

/// Writes into a journal that is there that packets from `next` on belong elsewhere.
pub(crate) fn end(path: &Path, next: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).open(path)?;
    append(&mut file, &line(&End { end: next })?)
}

/// A value as a line of its own.
pub(crate) fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// Reads a journal up to its first damaged line; `None` when not even the head is whole.
pub(crate) fn read(path: &Path) -> io::Result<Option<Journaled>> {
    let mut reader = BufReader::new(File::open(path)?);
    let Some(head) = next_line(&mut reader)? else {
        return Ok(None);
    };
    let Ok(head) = serde_json::from_slice::<Head>(&head) else {
        return Ok(None);
    };
    let mut takes = Vec::new();
    let mut end = None;
    while takes.len() < MAX_TAKES
        && let Some(line) = next_line(&mut reader)?
    {
        match serde_json::from_slice::<Take>(&line) {
            Ok(take) => takes.push(take),
            Err(_) => {
                end = serde_json::from_slice::<End>(&line)
                    .ok()
                    .map(|last| last.end);
                break;
            }
        }
    }
    Ok(Some(Journaled { head, takes, end }))
}

/// The next whole line without its end; `None` at the end and for a torn or overlong line.
fn next_line(reader: &mut BufReader<File>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader
        .by_ref()
        .take(MAX_LINE)
        .read_until(b'\n', &mut line)?;
    Ok((line.pop() == Some(b'\n')).then_some(line))
}

#[cfg(test)]
pub(crate) fn sample_head() -> Head {
    Head {
        recording: "errors".into(),
        kfl: "http".into(),
        destination: "memory".into(),
        format: Format::Pcapng,
        lock: None,
        lock_seconds: 0,
        legal_hold: false,
        cluster: "c".into(),
        node: "n".into(),
        run: 1000,
        sequence: 1,
        interfaces: Vec::new(),
        addresses: Vec::new(),
        redact: Rule::default(),
        storage_class: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::{StreamId, Transport};

    fn take(stream: u64) -> Take {
        let name = StreamName {
            stream: StreamId(stream),
            transport: Transport::Udp,
        };
        Take::new(name, stream, Position::default(), false)
    }

    proptest! {
        #[test]
        fn a_torn_journal_reads_back_up_to_its_last_whole_line(cut in 0usize..700, noise in any::<[u8; 5]>()) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("takes.journal");
            let takes = [take(1), take(2)];
            Journal::create(&path, &sample_head()).unwrap().takes(takes.iter()).unwrap();
            end(&path, 57).unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.truncate(cut);
            bytes.extend_from_slice(&noise);
            std::fs::write(&path, &bytes).unwrap();
            let whole = bytes[..bytes.len() - 5].iter().filter(|byte| **byte == b'\n').count();
            let read = read(&path).unwrap();
            if whole > 0 {
                let found = read.unwrap();
                prop_assert_eq!(found.head, sample_head());
                prop_assert_eq!(&found.takes[..], &takes[..(whole - 1).min(2)]);
                prop_assert_eq!(found.end, (whole == 4).then_some(57));
            } else {
                prop_assert!(read.is_none());
            }
        }
    }
}

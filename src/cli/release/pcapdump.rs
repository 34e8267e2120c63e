//! `tapedeck pcapdump`: the raw capture of all nodes as one file.
//!
//! In: what each node's spool holds, as pcapng. Out: one pcapng in the order of time, with an interface
//! for each node and link type. Never: a file that lacks a node without saying so.

use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tempfile::NamedTempFile;

use super::super::config::Config;
use super::super::exit::{Exit, Failure, cannot_write};
use super::super::instance::Instance;
use super::super::percent;
use super::super::recordings::size;
use super::super::style::Style;
use super::{InstanceArgs, Place};
use crate::packet::MAX_SNAPLEN;
use crate::packet::savefile::pcapng::{STATISTICS, options, write};
use crate::packet::savefile::{ByteOrder, Entry, PacketHead, Records};
use crate::time::{Clock, SystemClock, Timestamp};

/// Bytes that are written at a time.
const PIECE: usize = 1 << 20;

/// Parts that are read at once; each takes a window of memory and a file.
const MAX_PARTS: usize = 1024;

/// Write what all nodes captured of late into one file
///
/// Takes the packets that the spools hold, of each node of the release or of the tapedeck that runs here,
/// and merges them by time into CLUSTER-DATE.pcapng, with a number behind it for the second one of a
/// minute. The folder takes what all nodes hold twice, until the packets are merged. Exit code 3 says that a node is missing or packets
/// were overwritten meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck pcapdump --time 10m
  tapedeck pcapdump -s tapedeck --dest /tmp --time 1h")]
pub struct PcapdumpArgs {
    /// How far to look back, as 10m; all that is there when left out
    #[arg(long, value_name = "DURATION")]
    time: Option<String>,

    /// Folder to write to; the working directory when left out
    #[arg(long, value_name = "DIR")]
    dest: Option<PathBuf>,

    #[command(flatten)]
    release: InstanceArgs,
}

/// Runs the command.
pub fn run(args: &PcapdumpArgs, config: &Config) -> Result<Exit, Failure> {
    let mut config = config.clone();
    if let Some(time) = &args.time {
        config.flag("pcapdump.time", "time", json!(time));
    }
    if let Some(dest) = &args.dest {
        config.flag("pcapdump.dest", "dest", json!(dest.display().to_string()));
    }
    let now = SystemClock.now();
    let from = match config.text("pcapdump.time") {
        "" => None,
        text => {
            let back = crate::units::duration(text).ok_or_else(|| {
                Failure::usage(format!("--time {text} is no duration, as 10m or 1h30m"))
            })?;
            let millis = i64::try_from(back.as_millis()).unwrap_or(i64::MAX);
            Some(now.millis().saturating_sub(millis))
        }
    };
    let dest = PathBuf::from(match config.text("pcapdump.dest") {
        "" => ".",
        dest => dest,
    });
    if !dest.is_dir() {
        return Err(Failure::usage(format!(
            "{} is no folder; name one with --dest",
            dest.display()
        )));
    }
    let half = tempfile::Builder::new()
        .prefix(".tapedeck-")
        .tempfile_in(&dest)
        .map_err(|error| {
            Failure::usage(format!("{} cannot be written to: {error}", dest.display()))
        })?;
    let place = Place::find(&args.release, &config)?;
    let stem = format!("{}-{}", place_name(&place, &config), stamp(now));
    // A place that cannot be written to ends it before anything is fetched.
    let path = free(&dest, &stem);
    let nodes = nodes(&place.instance)?;
    let mut dropped = Vec::new();
    let mut parts = Vec::new();
    let mut empty = 0;
    for node in &nodes {
        match part(&place.instance, node, from, &dest) {
            Ok(Some(part)) => parts.push(part),
            Ok(None) => empty += 1,
            Err(failure) => dropped.push(format!("{}: {}", node.shown, failure.message)),
        }
    }
    if parts.is_empty() && empty == 0 {
        let why = dropped.into_iter().next();
        let why = why.unwrap_or_else(|| "no node is connected".to_owned());
        return Err(Failure::failed(why));
    }
    let count = parts.len() + empty;
    let merged = merge(parts, &mut BufWriter::with_capacity(PIECE, half.as_file()))?;
    dropped.extend(merged.damaged);
    if merged.missing > 0 {
        dropped.push(format!(
            "{} packets were overwritten while they were read",
            merged.missing
        ));
    }
    if merged.packets == 0 && dropped.is_empty() {
        eprintln!("The spool holds no packets yet; nothing was written");
        return Ok(Exit::Done);
    }
    let path = keep(half, path, &dest, &stem)?;
    let length = std::fs::metadata(&path).map_or(0, |about| about.len());
    eprintln!(
        "Wrote {} packets of {count} of {} nodes, {}, to {}",
        merged.packets,
        nodes.len(),
        size(length),
        path.display()
    );
    for sentence in &dropped {
        eprintln!("{}", Style::stderr().yellow(sentence));
    }
    Ok(match dropped.is_empty() {
        true => Exit::Done,
        false => Exit::Gaps,
    })
}

/// A node whose packets are wanted.
struct Node {
    /// As the instance calls it; empty where there is one alone.
    name: String,
    /// As people see it.
    shown: String,
}

/// The nodes of an instance, those that are missing too.
fn nodes(instance: &Instance) -> Result<Vec<Node>, Failure> {
    let status = instance.get("/api/status")?;
    let list = status["run"]["nodes"].as_array();
    Ok(match list {
        Some(list) => list
            .iter()
            .filter_map(|node| node["name"].as_str())
            .map(|name| Node {
                name: name.to_owned(),
                shown: name.to_owned(),
            })
            .take(MAX_PARTS)
            .collect(),
        None => vec![Node {
            name: String::new(),
            shown: "this node".to_owned(),
        }],
    })
}

/// A name in `dest` that no file has: with the minute, and a number where there was one in this minute.
fn free(dest: &Path, stem: &str) -> PathBuf {
    let names = std::iter::once(format!("{stem}.pcapng"))
        .chain((2_u64..).map(|number| format!("{stem}-{number}.pcapng")));
    let mut paths = names.map(|name| dest.join(name));
    let free = paths.find(|path| std::fs::symlink_metadata(path).is_err());
    free.unwrap_or_else(|| dest.join(stem))
}

/// Gives the file its name; another one when `path` was taken meanwhile.
fn keep(
    mut half: NamedTempFile,
    mut path: PathBuf,
    dest: &Path,
    stem: &str,
) -> Result<PathBuf, Failure> {
    loop {
        match half.persist_noclobber(&path) {
            Ok(_) => return Ok(path),
            Err(taken) if taken.error.kind() == std::io::ErrorKind::AlreadyExists => {
                half = taken.file;
                path = free(dest, stem);
            }
            Err(other) => return Err(cannot_write(&path, &other.error)),
        }
    }
}

/// What one node holds, in a file without a name in `dest`, which has room for it; `None` when its spool
/// has no packets yet.
fn part(
    instance: &Instance,
    node: &Node,
    from: Option<i64>,
    dest: &Path,
) -> Result<Option<File>, Failure> {
    let mut file = tempfile::tempfile_in(dest)?;
    let from = from.map_or_else(String::new, |from| format!("&from={from}"));
    let path = format!("/api/pcapdump?node={}{from}", percent(&node.name));
    let bytes = instance.download(&path, &mut file)?;
    file.seek(SeekFrom::Start(0))?;
    Ok((bytes > 0).then_some(file))
}

/// What the file is called after: the UID of the namespace `kube-system`, which tells clusters apart.
fn place_name(place: &Place, config: &Config) -> String {
    let uid = place.cluster_uid().filter(|uid| !uid.is_empty());
    uid.unwrap_or_else(|| config.text("tap.clusterName").to_owned())
        .chars()
        .map(|c| match c.is_ascii_alphanumeric() || "._-".contains(c) {
            true => c,
            false => '_',
        })
        .collect()
}

/// `YYYY-MM-DD_HH-MM`, in UTC.
fn stamp(now: Timestamp) -> String {
    let text = now.to_string();
    let date = text.get(..10).unwrap_or_default();
    let time = text.get(11..16).unwrap_or_default().replace(':', "-");
    format!("{date}_{time}")
}

/// What merging came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Merged {
    packets: u64,
    /// Packets that the nodes say they no longer had.
    missing: u64,
    /// A sentence for each part that ends too early.
    damaged: Vec<String>,
}

/// A part, and its next packet.
struct Reading {
    records: Records<BufReader<File>>,
    head: Option<PacketHead>,
    bytes: Vec<u8>,
    missing: u64,
}

impl Reading {
    fn new(file: File) -> Reading {
        Reading {
            records: Records::new(BufReader::new(file)),
            head: None,
            bytes: Vec::new(),
            missing: 0,
        }
    }

    /// Goes to the next packet; a sentence when the part is damaged.
    fn advance(&mut self) -> Result<(), String> {
        self.head = None;
        loop {
            match self.records.advance() {
                Ok(Some(Entry::Packet { head, bytes, .. })) => {
                    self.bytes.clear();
                    self.bytes.extend_from_slice(bytes);
                    self.head = Some(head);
                    return Ok(());
                }
                Ok(Some(Entry::Block { block, .. })) if block.kind == STATISTICS => {
                    self.missing += dropped(block.body, block.order);
                }
                Ok(Some(Entry::Block { .. })) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// Bytes of an interface statistics block in front of its options.
const STATISTICS_HEAD: usize = 12;

/// Packets that the system dropped (`isb_osdrop`).
const OS_DROP: u16 = 7;

fn dropped(body: &[u8], order: ByteOrder) -> u64 {
    let told = body.get(STATISTICS_HEAD..).unwrap_or_default();
    let value = options(told, order).find(|(code, _)| *code == OS_DROP);
    let value = value.and_then(|(_, value)| value.try_into().ok());
    value.map_or(0, |value: [u8; 8]| match order {
        ByteOrder::Little => u64::from_le_bytes(value),
        ByteOrder::Big => u64::from_be_bytes(value),
    })
}

/// Writes all parts in the order of time.
fn merge(parts: Vec<File>, out: &mut impl Write) -> Result<Merged, Failure> {
    let mut merged = Merged::default();
    let mut readings: Vec<Reading> = parts.into_iter().map(Reading::new).collect();
    // The smallest time first, of one time the first part.
    let mut next: BinaryHeap<std::cmp::Reverse<(Timestamp, usize)>> = BinaryHeap::new();
    for (at, reading) in readings.iter_mut().enumerate() {
        if let Err(sentence) = reading.advance() {
            merged.damaged.push(sentence);
        }
        next.extend(reading.head.map(|head| std::cmp::Reverse((head.ts, at))));
    }
    let mut interfaces: BTreeMap<(usize, u32), u32> = BTreeMap::new();
    let mut buffer = Vec::with_capacity(PIECE);
    let section = write::Section {
        application: crate::spool::APPLICATION,
        ..write::Section::default()
    };
    write::section(&mut buffer, &section);
    while let Some(std::cmp::Reverse((_, at))) = next.pop() {
        let Some(reading) = readings.get_mut(at) else {
            continue;
        };
        let Some(head) = reading.head else { continue };
        let known = u32::try_from(interfaces.len()).unwrap_or(u32::MAX);
        let id = *interfaces.entry((at, head.interface)).or_insert_with(|| {
            let name = reading.records.parser().interface_name(head.interface);
            let interface = write::Interface {
                snaplen: MAX_SNAPLEN,
                name: name.unwrap_or_default(),
                ..write::Interface::of(head.linktype)
            };
            write::interface(&mut buffer, &interface);
            known
        });
        write::packet(&mut buffer, id, head.ts, head.len, &reading.bytes);
        merged.packets += 1;
        if buffer.len() >= PIECE {
            out.write_all(&buffer)?;
            buffer.clear();
        }
        if let Err(sentence) = reading.advance() {
            merged.damaged.push(sentence);
        }
        next.extend(reading.head.map(|head| std::cmp::Reverse((head.ts, at))));
    }
    out.write_all(&buffer)?;
    out.flush()?;
    merged.missing = readings.iter().map(|reading| reading.missing).sum();
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::LinkType;

    /// A part of one node: packets of these seconds, and how many it no longer had.
    fn part(node: &str, linktype: LinkType, seconds: &[i64], missing: u64) -> File {
        let mut bytes = Vec::new();
        write::section(&mut bytes, &write::Section::default());
        let interface = write::Interface {
            name: node,
            ..write::Interface::of(linktype)
        };
        write::interface(&mut bytes, &interface);
        for second in seconds {
            let at = Timestamp::from_secs(*second, 0);
            write::packet(&mut bytes, 0, at, 60, node.as_bytes());
        }
        if missing > 0 {
            let counts = write::Statistics {
                system_dropped: missing,
                ..write::Statistics::default()
            };
            write::statistics(&mut bytes, 0, Timestamp::from_secs(9, 0), &counts);
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file
    }

    fn read(bytes: &[u8]) -> Vec<(i64, String, LinkType)> {
        let mut records = Records::new(bytes);
        let mut found = Vec::new();
        while let Some(entry) = records.advance().unwrap() {
            if let Entry::Packet { head, .. } = entry {
                found.push(head);
            }
        }
        let name = |head: &PacketHead| records.parser().interface_name(head.interface);
        found
            .iter()
            .map(|head| {
                (
                    head.ts.secs(),
                    name(head).unwrap().to_owned(),
                    head.linktype,
                )
            })
            .collect()
    }

    #[test]
    fn nodes_are_merged_by_time_and_keep_their_link_types() {
        let parts = vec![
            part("a", LinkType::ETHERNET, &[1, 4, 6], 0),
            part("b", LinkType::LINUX_SLL2, &[2, 4, 5], 3),
            part("c", LinkType::ETHERNET, &[], 0),
        ];
        let mut out = Vec::new();
        let merged = merge(parts, &mut out).unwrap();
        assert_eq!((merged.packets, merged.missing), (6, 3));
        assert_eq!(merged.damaged, Vec::<String>::new());
        let (ether, cooked) = (LinkType::ETHERNET, LinkType::LINUX_SLL2);
        let expected = [
            (1, "a", ether),
            (2, "b", cooked),
            (4, "a", ether),
            (4, "b", cooked),
            (5, "b", cooked),
            (6, "a", ether),
        ];
        let read = read(&out);
        assert_eq!(
            read,
            expected.map(|(at, node, kind)| (at, node.to_owned(), kind))
        );
    }

    #[test]
    fn a_part_that_ends_too_early_gives_what_it_has() {
        let whole = part("a", LinkType::ETHERNET, &[1, 2], 0);
        whole.set_len(whole.metadata().unwrap().len() - 7).unwrap();
        let mut out = Vec::new();
        let merged = merge(vec![whole], &mut out).unwrap();
        assert_eq!(merged.packets, 1);
        assert_eq!(merged.damaged.len(), 1);
    }

    #[test]
    fn a_name_that_is_taken_costs_nothing() {
        let dest = tempfile::tempdir().unwrap();
        let dest = dest.path();
        let write = |text: &str, path: PathBuf| {
            let mut half = NamedTempFile::new_in(dest).unwrap();
            half.write_all(text.as_bytes()).unwrap();
            keep(half, path, dest, "c-2023").unwrap()
        };
        let path = free(dest, "c-2023");
        assert_eq!(path, dest.join("c-2023.pcapng"));
        assert_eq!(write("first", path.clone()), path);
        assert_eq!(free(dest, "c-2023"), dest.join("c-2023-2.pcapng"));
        // Another one was faster.
        let second = write("second", path.clone());
        assert_eq!(second, dest.join("c-2023-2.pcapng"));
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!(
            (read(&path), read(&second)),
            ("first".into(), "second".into())
        );
        std::os::unix::fs::symlink("/nowhere", dest.join("d.pcapng")).unwrap();
        assert_eq!(free(dest, "d"), dest.join("d-2.pcapng"));
    }

    #[test]
    fn the_file_is_called_after_the_minute() {
        let at = Timestamp::from_secs(1_700_000_000, 0);
        assert_eq!(stamp(at), "2023-11-14_22-13");
    }
}

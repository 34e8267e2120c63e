//! Sealing: an open reel becomes objects with names, hashes and a manifest.
//!
//! In: the folder of a closed reel. Out: a parcel for the outbox: parts ordered by ordinal, each
//! packet once, synced. Never: uploading, deleting what it reads.
//!
//! The packets are pcapng in independent zstd frames: each begins at a block, so that any frame can
//! be decompressed and read with the first one's head, and tools that read `.zst` see one file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::indexer::{Indexer, SealedReel};
use super::journal::Head;
use super::keys;
use super::manifest::{
    Counts, Coverage, Event, FORMAT, Frame, Keep, Kind, LockNote, Manifest, Part,
};
use super::names;
use super::parcel::Parcel;
use super::redaction::{self, Redactors};
use super::reel::Closed;
use super::states;
use super::upload::content_type_of;
use super::wish::Format;
use crate::index;
use crate::packet::savefile::pcap::{self, Precision};
use crate::packet::savefile::pcapng::write;
use crate::packet::{LinkType, MAX_SNAPLEN};
use crate::resolve::Names;
use crate::spool::{self, APPLICATION, Entry, Interfaces, SideReader};
use crate::store::Digest;
use crate::time::Timestamp;

/// Uncompressed bytes of one frame: what must be decompressed to read one packet.
pub const FRAME_BYTES: usize = 1 << 20;

/// Private enterprise number of our custom blocks: the one set aside for examples (RFC 5612), since
/// the project has none of its own; the text at the start of the data tells them from others'.
pub const ENTERPRISE: u32 = 32_473;

/// The default of zstd: sealing keeps up with a disk.
const LEVEL: i32 = 3;

/// Names of the parts' files until they are uploaded.
const PACKETS_FILE: &str = "packets.pcapng.zst";
const INDEX_FILE: &str = "items.parquet";
const NAMES_FILE: &str = "names.jsonl";

/// Why and when a reel is sealed, beside what its folder says.
#[derive(Debug, Clone)]
pub(crate) struct Occasion {
    /// See [`Manifest::why`].
    pub(crate) why: &'static str,
    pub(crate) now: Timestamp,
    /// See [`Manifest::due`].
    pub(crate) due: Option<Timestamp>,
    pub(crate) coverage: Coverage,
    pub(crate) remarks: Vec<String>,
    /// With a sign of life: what happened without any traffic.
    pub(crate) events: Vec<Event>,
}

/// Whether and by whom the index is made.
pub(crate) enum Index<'i> {
    /// Nobody wants one.
    Off,
    /// By this one.
    By(&'i dyn Indexer),
    /// Sealing has fallen behind: it is left out, so that packets do not wait for it.
    Late(&'i dyn Indexer),
}

/// Writes the parts of a closed reel into `folder` and says what the parcel is. Of a recording with a
/// rule the packets are those that `redactors` has overwritten; the index is made of the same. One
/// without packets, whose streams had nothing open, is `None`.
///
/// # Errors
/// What the system says, a full disk among it; `folder` may then hold half-written files.
pub(crate) fn seal(
    closed: &Closed,
    occasion: &Occasion,
    redactors: &mut Redactors,
    index: &Index<'_>,
    folder: &Path,
) -> io::Result<Option<Parcel>> {
    let takes = closed.takes()?;
    let (order, mut counts) = in_order(&mut closed.pair().read_side()?)?;
    counts.items = closed.items.unwrap_or(0);
    counts.continued = takes.iter().filter(|take| take.carried).count() as u64;
    let from = order.iter().map(|entry| entry.ts).min();
    let to = order.iter().map(|entry| entry.ts).max();
    let head = &closed.head;
    let stem = keys::stem(
        &head.cluster,
        &head.node,
        &head.recording,
        from.unwrap_or(occasion.now),
        head.run,
        head.sequence,
    );
    let (data, may_name) = redactors.prepare(closed)?;
    let data = File::open(data)?;
    let names = match may_name {
        true => closed.names()?,
        false => Vec::new(),
    };
    let source = Source {
        data: &data,
        order: &order,
        names: &names,
        closed,
        occasion,
    };
    let mut parts = Vec::new();
    let mut files = Vec::new();
    match head.format {
        Format::Pcapng => {
            let written = source.pcapng(&folder.join(PACKETS_FILE))?;
            parts.push(written.part("packets", &stem, "pcapng.zst"));
            files.push(PACKETS_FILE.to_owned());
        }
        Format::Pcap => {
            let mut kinds: Vec<LinkType> = order.iter().map(|entry| entry.linktype).collect();
            kinds.sort_by_key(|kind| kind.0);
            kinds.dedup();
            for linktype in kinds {
                let name = format!("packets-{}.pcap", linktype.0);
                let written = source.pcap(linktype, &folder.join(&name))?;
                parts.push(written.part("packets", &stem, "pcap"));
                files.push(name);
            }
        }
    }
    let mut manifest = draft(head, Kind::Reel, occasion);
    manifest.events = closed.events()?;
    let nothing_happened = manifest.events.is_empty();
    match source.index(index, &parts, folder) {
        Ok(None) => {}
        Ok(Some((summary, _))) if order.is_empty() && summary.items == 0 && nothing_happened => {
            return Ok(None);
        }
        Ok(Some((summary, written))) => {
            counts.items = closed.items.unwrap_or(summary.items);
            let ending = index::ending(summary.seconds());
            parts.push(written.part("index", &stem, &ending));
            files.push(INDEX_FILE.to_owned());
        }
        // Whoever reads the reel reads its packets instead.
        Err(error) => manifest
            .remarks
            .push(format!("the reel has no index: {error}")),
    }
    if !names.is_empty() {
        let written = source.names(&folder.join(NAMES_FILE))?;
        parts.push(written.part("names", &stem, "names.jsonl"));
        files.push(NAMES_FILE.to_owned());
    }
    manifest.from = from.map(|ts| ts.to_string());
    manifest.to = to.map(|ts| ts.to_string());
    manifest.counts = counts;
    manifest.parts = parts;
    Ok(Some(Parcel::new(head, stem, manifest, files)))
}

/// A sign of life, or a roll-up, for the time from `from` on.
pub(crate) fn heartbeat(head: &Head, kind: Kind, occasion: &Occasion, from: Timestamp) -> Parcel {
    let stem = keys::stem(
        &head.cluster,
        &head.node,
        &head.recording,
        occasion.now,
        head.run,
        head.sequence,
    );
    let mut manifest = draft(head, kind, occasion);
    manifest.from = Some(from.to_string());
    manifest.to = Some(occasion.now.to_string());
    Parcel::new(head, stem, manifest, Vec::new())
}

fn draft(head: &Head, kind: Kind, occasion: &Occasion) -> Manifest {
    Manifest {
        format: FORMAT,
        kind,
        recording: head.recording.clone(),
        kfl: head.kfl.clone(),
        cluster: head.cluster.clone(),
        node: head.node.clone(),
        run: head.run,
        sequence: head.sequence,
        sealed: occasion.now.to_string(),
        why: occasion.why.to_owned(),
        from: None,
        to: None,
        counts: Counts::default(),
        parts: Vec::new(),
        coverage: occasion.coverage.clone(),
        previous: None,
        keep: (head.lock.is_some() || head.legal_hold).then(|| Keep {
            mode: head.lock.clone(),
            seconds: head.lock_seconds,
            legal_hold: head.legal_hold,
        }),
        due: occasion.due.map(|due| due.to_string()),
        store: BTreeMap::new(),
        heads: Vec::new(),
        elsewhere: BTreeMap::new(),
        events: occasion.events.clone(),
        tapedeck: env!("CARGO_PKG_VERSION").to_owned(),
        remarks: occasion
            .remarks
            .iter()
            .cloned()
            .chain(redaction::remark(&head.redact))
            .collect(),
        signature: None,
    }
}

/// All entries by ordinal, each ordinal once: a look-back comes in after later packets, and what
/// it fetched may come again with the batch.
pub(crate) fn in_order(side: &mut SideReader) -> io::Result<(Vec<Entry>, Counts)> {
    let mut order = Vec::new();
    while let Some(entry) = side.next_entry(order.len() as u64)? {
        order.push(entry);
    }
    order.sort_by_key(|entry| entry.ordinal);
    order.dedup_by_key(|entry| entry.ordinal);
    let mut streams: Vec<u64> = order
        .iter()
        .filter_map(|entry| entry.stream_id().map(|stream| stream.0))
        .collect();
    streams.sort_unstable();
    streams.dedup();
    let counts = Counts {
        packets: order.len() as u64,
        bytes: order.iter().map(|entry| u64::from(entry.caplen)).sum(),
        streams: streams.len() as u64,
        ..Counts::default()
    };
    Ok((order, counts))
}

/// What is read while sealing.
struct Source<'s> {
    data: &'s File,
    order: &'s [Entry],
    names: &'s [names::Line],
    closed: &'s Closed,
    occasion: &'s Occasion,
}

impl Source<'_> {
    fn pcapng(&self, path: &Path) -> io::Result<Written> {
        let head = &self.closed.head;
        let comment = format!(
            "recording {}, KFL {}, cluster {}, node {}, run {}, reel {}",
            head.recording, head.kfl, head.cluster, head.node, head.run, head.sequence
        );
        let mut frames = Frames::create(path)?;
        let mut interfaces = Interfaces::default();
        write::section(
            &mut frames.plain,
            &write::Section {
                hardware: "",
                os: "",
                application: APPLICATION,
                comments: &[&comment],
            },
        );
        for entry in self.order {
            let (_, is_new) = interfaces.id(entry.linktype, entry.interface);
            if is_new {
                let name = head.interfaces.get(entry.interface as usize);
                let name = name.map_or("", String::as_str);
                let frames = &mut frames.plain;
                spool::describe(frames, entry.linktype, name, &head.node, &head.addresses);
            }
        }
        let named = self.named();
        if !named.is_empty() {
            let names = named.iter().map(|(ip, name)| (*ip, name.as_str()));
            write::names(&mut frames.plain, names);
        }
        for state in self.closed.states()? {
            write::custom(
                &mut frames.plain,
                ENTERPRISE,
                write::Copying::Allowed,
                &state,
            );
        }
        let mut received = vec![0u64; interfaces.list().len()];
        let mut bytes = Vec::new();
        for entry in self.order {
            spool::read_packet(self.data, entry.position, entry.caplen, &mut bytes)?;
            let (id, _) = interfaces.id(entry.linktype, entry.interface);
            write::packet(&mut frames.plain, id, entry.ts, entry.len, &bytes);
            if let Some(count) = received.get_mut(id as usize) {
                *count += 1;
            }
            frames.packet(entry.ts)?;
        }
        if !self.closed.linked.is_empty() {
            let mark = states::goes_on_record(&self.closed.linked);
            write::custom(
                &mut frames.plain,
                ENTERPRISE,
                write::Copying::Allowed,
                &mark,
            );
        }
        for (id, received) in (0u32..).zip(received) {
            let counts = write::Statistics {
                received,
                interface_dropped: 0,
                system_dropped: 0,
            };
            write::statistics(&mut frames.plain, id, self.occasion.now, &counts);
        }
        frames.finish()
    }

    /// The first name of each address, for tools that know no other time.
    fn named(&self) -> BTreeMap<IpAddr, String> {
        let mut named = BTreeMap::new();
        for line in self.names {
            let full = line.full();
            if let Some(ip) = line.ip().filter(|_| !full.is_empty()) {
                named.entry(ip).or_insert(full);
            }
        }
        named
    }

    fn names(&self, path: &Path) -> io::Result<Written> {
        let mut out = Hashed::create(path)?;
        for line in self.names {
            let mut text = serde_json::to_vec(line)?;
            text.push(b'\n');
            out.write(&text)?;
        }
        out.finish(Vec::new())
    }

    /// Has the index of sealed packets made; `None` when none is wanted.
    fn index(
        &self,
        index: &Index<'_>,
        parts: &[Part],
        folder: &Path,
    ) -> io::Result<Option<(index::Summary, Written)>> {
        let head = &self.closed.head;
        let indexer = match (index, parts) {
            (Index::Off, _) => return Ok(None),
            (Index::Late(indexer), _) => {
                indexer.forget(head);
                return Err(io::Error::other("sealing had fallen behind"));
            }
            (Index::By(_), _) if head.format != Format::Pcapng => return Ok(None),
            (Index::By(indexer), _) => *indexer,
        };
        let out = folder.join(INDEX_FILE);
        let made = indexer.index(&SealedReel {
            head,
            packets: &folder.join(PACKETS_FILE),
            streams: self
                .order
                .iter()
                .map(|entry| entry.stream.map(|(name, _)| name))
                .collect(),
            frames: parts.first().map_or(&[], |part| &part.frames),
            names: Arc::new(Names::of(Arc::new(names::history(self.names)))),
            is_last: matches!(self.occasion.why, "stop" | "removed" | "restart"),
            out: &out,
        });
        match made.and_then(|summary| Ok((summary, Written::of(&out)?))) {
            Ok(made) => Ok(Some(made)),
            Err(error) => {
                indexer.forget(head);
                let _ = fs::remove_file(&out);
                Err(error)
            }
        }
    }

    fn pcap(&self, linktype: LinkType, path: &Path) -> io::Result<Written> {
        let mut out = Hashed::create(path)?;
        let mut buffer = Vec::with_capacity(FRAME_BYTES);
        pcap::write_header(&mut buffer, linktype, MAX_SNAPLEN, Precision::Micros);
        let mut bytes = Vec::new();
        for entry in self.order.iter().filter(|entry| entry.linktype == linktype) {
            spool::read_packet(self.data, entry.position, entry.caplen, &mut bytes)?;
            pcap::write_packet(&mut buffer, Precision::Micros, entry.ts, entry.len, &bytes);
            if buffer.len() >= FRAME_BYTES {
                out.write(&buffer)?;
                buffer.clear();
            }
        }
        out.write(&buffer)?;
        out.finish(Vec::new())
    }
}

/// A part that lies on disk, synced.
struct Written {
    size: u64,
    sha256: Digest,
    frames: Vec<Frame>,
}

impl Written {
    /// A file that somebody else wrote.
    fn of(path: &Path) -> io::Result<Written> {
        let mut file = File::open(path)?;
        let mut sha256 = Sha256::new();
        let mut bytes = vec![0; FRAME_BYTES];
        let mut size = 0;
        loop {
            let taken = file.read(&mut bytes)?;
            if taken == 0 {
                break;
            }
            sha256.update(bytes.get(..taken).unwrap_or_default());
            size += taken as u64;
        }
        file.sync_all()?;
        Ok(Written {
            size,
            sha256: sha256.finalize().into(),
            frames: Vec::new(),
        })
    }

    fn part(self, role: &str, stem: &str, ending: &str) -> Part {
        let key = keys::key(stem, &self.sha256, ending);
        Part {
            role: role.to_owned(),
            size: self.size,
            sha256: crate::store::hex(&self.sha256),
            content_type: content_type_of(&key).to_owned(),
            key,
            version: None,
            lock: LockNote::default(),
            frames: self.frames,
        }
    }
}

/// A file whose hash is made while it is written.
struct Hashed {
    file: File,
    sha256: Sha256,
    size: u64,
}

impl Hashed {
    fn create(path: &Path) -> io::Result<Hashed> {
        Ok(Hashed {
            file: File::create(path)?,
            sha256: Sha256::new(),
            size: 0,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn finish(self, frames: Vec<Frame>) -> io::Result<Written> {
        self.file.sync_all()?;
        Ok(Written {
            size: self.size,
            sha256: self.sha256.finalize().into(),
            frames,
        })
    }
}

/// Independent zstd frames, each of whole blocks.
struct Frames {
    out: Hashed,
    compressor: zstd::bulk::Compressor<'static>,
    plain: Vec<u8>,
    frames: Vec<Frame>,
    packets: u64,
    span: Option<(Timestamp, Timestamp)>,
}

impl Frames {
    fn create(path: &Path) -> io::Result<Frames> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        Ok(Frames {
            out: Hashed::create(path)?,
            compressor,
            plain: Vec::with_capacity(FRAME_BYTES + FRAME_BYTES / 4),
            frames: Vec::new(),
            packets: 0,
            span: None,
        })
    }

    /// Counts a packet that was just added to `plain`, and ends the frame when it is full.
    fn packet(&mut self, ts: Timestamp) -> io::Result<()> {
        self.packets += 1;
        let (from, to) = self.span.unwrap_or((ts, ts));
        self.span = Some((from.min(ts), to.max(ts)));
        if self.plain.len() >= FRAME_BYTES {
            self.end_frame()?;
        }
        Ok(())
    }

    fn end_frame(&mut self) -> io::Result<()> {
        if self.plain.is_empty() {
            return Ok(());
        }
        let compressed = self.compressor.compress(&self.plain)?;
        let (from, to) = self.span.take().unwrap_or_default();
        self.frames.push(Frame {
            offset: self.out.size,
            size: compressed.len() as u64,
            plain: self.plain.len() as u64,
            packets: std::mem::take(&mut self.packets),
            from: from.nanos(),
            to: to.nanos(),
        });
        self.out.write(&compressed)?;
        self.plain.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<Written> {
        self.end_frame()?;
        self.out.finish(self.frames)
    }
}

//! `tapedeck export`: streams or packets of a recorded source as one pcapng file.
//!
//! The source is read twice: its items tell which streams are wanted and what addresses are called;
//! then the packets are written. Nothing is written under the name until all of it is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ahash::RandomState;
use clap::{Args, ValueEnum};
use serde_json::Value as Json;

use super::config::Config;
use super::exit::{Exit, Failure};
use super::pass;
use super::reading::{MaxReadArgs, Range, RangeArgs};
use super::recordings::size;
use super::secrets::SecretsArgs;
use super::source::SourceArgs;
use crate::capture::Source;
use crate::item::{Item, shown};
use crate::kfl;
use crate::packet::savefile::pcapng::{self, write};
use crate::packet::{Position, StreamId};
use crate::pipeline::extract::{self, Again, Met};
use crate::pipeline::{self, Consumer, Encoded, Step, Stop};
use crate::record;
use crate::redact::{Redactor, Rule};
use crate::server::columns_of;
use crate::spool::{self, APPLICATION, Entry, Interfaces, Log, Pair};
use crate::time::{Clock, SystemClock, Timestamp};

/// Bytes that are written at a time.
const PIECE: usize = 1 << 20;

/// Names of addresses in one file; Wireshark reads them all at once.
const MAX_NAMES: usize = 16_384;

/// Comments at the head of the file, one a stream.
const MAX_COMMENTS: usize = 1000;

/// Write streams or packets of a recorded source into one pcapng file
///
/// The file opens in Wireshark, with names of addresses. With --redact the packets are rewritten:
/// lengths stay, checksums are right.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck export s3://my-bucket/ --kfl 'response.status == 500' -o errors.pcapng
  tapedeck export ./recordings --from 2023-11-14T22:00:00Z --to 2023-11-14T22:05:00Z --scope packets -o five.pcapng
  tapedeck export s3://my-bucket/ --kfl http --redact credentials -o share.pcapng")]
pub struct ExportArgs {
    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    secrets: SecretsArgs,

    #[command(flatten)]
    range: RangeArgs,

    #[command(flatten)]
    max_read: MaxReadArgs,

    /// Streams of items that match; all when left out
    #[arg(long, default_value = "", value_name = "KFL")]
    kfl: String,

    /// The file to write; it must not be there
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Whole streams, or of them only the packets between --from and --to
    #[arg(long, value_enum, default_value = "streams")]
    scope: Scope,

    /// Overwrite in the packets: credentials, or JSON as {"headers":["x-api-key"],"json":["password"]}
    #[arg(long, value_name = "RULE")]
    redact: Option<String>,

    /// What is kept of payloads: full, headers or none
    #[arg(long, value_name = "WHAT", default_value = "full")]
    payload: String,

    /// Write the TLS secrets into the file too
    #[arg(long)]
    with_secrets: bool,
}

/// What of the streams is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scope {
    /// All their packets
    Streams,
    /// Those in the time range
    Packets,
}

/// What the items told.
#[derive(Default)]
struct Found {
    streams: HashSet<StreamId, RandomState>,
    names: BTreeMap<IpAddr, String>,
    comments: Vec<String>,
    undecided: u64,
}

/// Runs the command.
pub fn run(args: &ExportArgs, config: &Config) -> Result<Exit, Failure> {
    let query = pass::query(&args.kfl, config)?;
    let range = args.range.range()?;
    let rule = rule(args)?;
    if args.with_secrets && !rule.is_empty() {
        return Err(Failure::usage(
            "--with-secrets would make readable what --redact cannot see; leave one of them out",
        ));
    }
    if args.output.exists() {
        return Err(Failure::usage(format!(
            "{} is there already; name another file",
            args.output.display()
        )));
    }
    let mut config = config.clone();
    args.secrets.over(&mut config)?;
    let opened = pass::open(&args.source, pass::times(&[range]), &config)?;
    args.max_read.announce(&opened, 2)?;
    let stop = Stop::default();
    super::stop_on_signal(&stop)?;
    let found: Arc<Mutex<Found>> = Arc::default();
    let finder = Finder {
        query,
        range,
        now: SystemClock.now(),
        found: found.clone(),
    };
    let warnings = pass::read(
        opened.source,
        opened.names,
        &config,
        stop.clone(),
        Box::new(finder),
    )?;
    if stop.is_asked() {
        return Err(Failure::failed("ended by a signal; nothing was written"));
    }
    let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    let mut again = opened
        .again
        .reopen()
        .map_err(|error| Failure::failed(error.to_string()))?;
    let export = Export {
        args,
        config: &config,
        range,
        rule,
        found,
    };
    let (packets, bytes) = export.write(&mut *again, &stop)?;
    let streams = export.found.streams.len();
    if packets == 0 {
        eprintln!("Nothing matched; {} was not written", args.output.display());
        return Ok(Exit::Done);
    }
    eprintln!(
        "{packets} packets of {streams} streams, {}, are in {}",
        size(bytes),
        args.output.display()
    );
    let gaps = !warnings.is_empty() || export.found.undecided > 0;
    Ok(if gaps { Exit::Gaps } else { Exit::Done })
}

fn rule(args: &ExportArgs) -> Result<Rule, Failure> {
    let mut rule = match &args.redact {
        None => Rule::default(),
        Some(text) => {
            let json = serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone()));
            Rule::parse(&json).map_err(|why| Failure::usage(format!("--redact: {why}")))?
        }
    };
    rule.payload = pipeline::payload(&args.payload)
        .map_err(|why| Failure::usage(format!("--payload: {why}")))?;
    Ok(rule)
}

/// Finds the streams that are wanted.
struct Finder {
    query: kfl::Query,
    range: Range,
    now: Timestamp,
    found: Arc<Mutex<Found>>,
}

impl Consumer for Finder {
    fn on_step(&mut self, _step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for item in items.iter().filter(|item| self.range.has(item.start)) {
            match self.query.matches(item.node(), self.now) {
                kfl::Verdict::NoMatch => continue,
                kfl::Verdict::Match => {}
                // Whoever cannot tell keeps it.
                kfl::Verdict::Undecided => found.undecided += 1,
            }
            let is_new = found.streams.insert(item.stream.stream);
            for peer in [&item.src, &item.dst] {
                if !peer.name.is_empty() && found.names.len() < MAX_NAMES {
                    let name = match peer.namespace.is_empty() {
                        true => peer.name.to_string(),
                        false => format!("{}.{}", peer.name, peer.namespace),
                    };
                    found.names.entry(peer.endpoint.ip).or_insert(name);
                }
            }
            if is_new && found.comments.len() < MAX_COMMENTS {
                let columns = columns_of(item.protocol.abbr);
                let node = item.node();
                found.comments.push(format!(
                    "stream {} {} {} {} -> {}: {} {} {}",
                    item.stream,
                    item.start,
                    item.protocol.abbr,
                    item.src.endpoint,
                    item.dst.endpoint,
                    super::plain(&shown(node, columns.method)),
                    super::plain(&shown(node, columns.summary)),
                    super::plain(&shown(node, columns.status)),
                ));
            }
        }
    }
}

struct Export<'a> {
    args: &'a ExportArgs,
    config: &'a Config,
    range: Range,
    rule: Rule,
    found: Found,
}

impl Export<'_> {
    /// Writes the file; answers packets and bytes. Packets wait in a temporary pair, since only the
    /// last of a stream tells what of the first goes.
    fn write(&self, source: &mut dyn Source, stop: &Stop) -> Result<(u64, u64), Failure> {
        let folder = self
            .args
            .output
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let work = tempfile::Builder::new()
            .prefix(".tapedeck-export-")
            .tempdir_in(folder.unwrap_or(Path::new(".")))?;
        let pair = Pair::new(work.path(), "packets");
        let head = spool::Head {
            run: 0,
            first: 0,
            number: 0,
        };
        let mut log = Log::create(Pair::new(work.path(), "packets"), head, "")?;
        let mut interfaces: HashMap<u32, String> = HashMap::new();
        let mut fragments: HashMap<u64, (Entry, Vec<u8>)> = HashMap::new();
        let limits = super::limits(self.config);
        let mut seen: HashSet<u32, RandomState> = HashSet::default();
        let done = extract::packets(source, limits, &mut |met| {
            let Met::Packet(packet) = met else {
                return Ok(true);
            };
            self.packet(&packet, &mut log, &mut fragments)?;
            seen.insert(packet.record.interface);
            if log.bytes() > 0 && packet.ordinal % 4096 == 0 {
                log.commit().map_err(|error| error.to_string())?;
            }
            Ok(!stop.is_asked())
        });
        done.map_err(Failure::failed)?;
        if stop.is_asked() {
            return Err(Failure::failed("ended by a signal; nothing was written"));
        }
        log.commit()?;
        for number in seen {
            if let Some(name) = source.interface_name(number) {
                interfaces.insert(number, name);
            }
        }
        let mut order = Vec::new();
        let mut side = pair.read_side()?;
        while let Some(entry) = side.next_entry(order.len() as u64)? {
            order.push(entry);
        }
        order.sort_by_key(|entry: &Entry| entry.ordinal);
        if order.is_empty() {
            return Ok((0, 0));
        }
        let mut names = self.found.names.clone();
        let mut comments = self.found.comments.clone();
        if !self.rule.is_empty() {
            let mut key = [0; 32];
            getrandom::fill(&mut key).map_err(|error| Failure::failed(error.to_string()))?;
            let protocols = super::protocols(self.config)?;
            let mut redactor = Redactor::new(&self.rule, &key).knowing(&protocols);
            record::rewrite(&pair.data(), &order, &mut redactor)?;
            // Summaries hold what was sent.
            comments.clear();
            if redactor.hides_names() {
                names.clear();
            }
        }
        let logs = match self.args.with_secrets {
            true => self.key_logs(source)?,
            false => Vec::new(),
        };
        let half = work.path().join("export.pcapng");
        let parts = Parts {
            order: &order,
            names: &names,
            comments: &comments,
            interfaces: &interfaces,
            logs: &logs,
        };
        let bytes = parts.write(&pair, &half)?;
        // A link fails where the name is taken meanwhile; a rename would not.
        std::fs::hard_link(&half, &self.args.output).or_else(|_| {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&self.args.output)?;
            std::fs::rename(&half, &self.args.output)
        })?;
        Ok((order.len() as u64, bytes))
    }

    fn packet(
        &self,
        packet: &Again<'_>,
        log: &mut Log,
        fragments: &mut HashMap<u64, (Entry, Vec<u8>)>,
    ) -> Result<(), String> {
        /// Fragments that wait for their stream.
        const MAX_FRAGMENTS: usize = 4096;
        let record = packet.record;
        let entry = Entry {
            ordinal: packet.ordinal,
            stream: packet.stream,
            previous: None,
            ts: record.ts,
            position: Position::default(),
            caplen: record.caplen,
            len: record.len,
            interface: record.interface,
            linktype: record.linktype,
            fragment: false,
            adopts: None,
        };
        let Some((name, _)) = packet.stream else {
            if matches!(packet.decoded, crate::packet::Decoded::Fragment)
                && fragments.len() < MAX_FRAGMENTS
            {
                fragments.insert(packet.ordinal, (entry, packet.bytes.to_vec()));
            }
            return Ok(());
        };
        let wanted = self.found.streams.contains(&name.stream)
            && (self.args.scope == Scope::Streams || self.range.has(record.ts));
        for ordinal in packet.earlier {
            if let Some((earlier, bytes)) = fragments.remove(ordinal)
                && wanted
            {
                let adopted = Entry {
                    stream: packet.stream,
                    fragment: true,
                    ..earlier
                };
                log.push(adopted, &bytes);
            }
        }
        if wanted {
            log.push(entry, packet.bytes);
        }
        Ok(())
    }

    /// Key logs of the source and of the file that was named.
    fn key_logs(&self, source: &mut dyn Source) -> Result<Vec<Vec<u8>>, Failure> {
        let mut logs = source.key_logs();
        if let Some(path) = self.config.text_if_set("tap.tlsKeylog") {
            /// A key log has some 700 bytes a connection.
            const MAX_KEY_LOG: u64 = 64 << 20;
            let read = std::fs::metadata(path).and_then(|found| match found.len() > MAX_KEY_LOG {
                true => Err(std::io::ErrorKind::FileTooLarge.into()),
                false => std::fs::read(path),
            });
            logs.push(read.map_err(|error| {
                Failure::failed(format!("the key log {path} cannot be read: {error}"))
            })?);
        }
        Ok(logs)
    }
}

/// What the file is made of.
struct Parts<'a> {
    order: &'a [Entry],
    names: &'a BTreeMap<IpAddr, String>,
    comments: &'a [String],
    interfaces: &'a HashMap<u32, String>,
    logs: &'a [Vec<u8>],
}

impl Parts<'_> {
    fn write(&self, pair: &Pair, path: &Path) -> Result<u64, Failure> {
        let data = File::open(pair.data())?;
        let mut out = BufWriter::new(File::create(path)?);
        let mut plain = Vec::with_capacity(PIECE);
        let comments: Vec<&str> = self.comments.iter().map(String::as_str).collect();
        write::section(
            &mut plain,
            &write::Section {
                hardware: "",
                os: "",
                application: APPLICATION,
                comments: &comments,
            },
        );
        let mut interfaces = Interfaces::default();
        for entry in self.order {
            let (_, is_new) = interfaces.id(entry.linktype, entry.interface);
            if is_new {
                let name = self
                    .interfaces
                    .get(&entry.interface)
                    .map_or("", String::as_str);
                spool::describe(&mut plain, entry.linktype, name, "");
            }
        }
        if !self.names.is_empty() {
            write::names(
                &mut plain,
                self.names.iter().map(|(ip, name)| (*ip, name.as_str())),
            );
        }
        for log in self.logs {
            write::secrets(&mut plain, pcapng::SECRETS_TLS_KEY_LOG, log);
        }
        let mut bytes = 0;
        let mut captured = Vec::new();
        for entry in self.order {
            spool::read_packet(&data, entry.position, entry.caplen, &mut captured)?;
            let (id, _) = interfaces.id(entry.linktype, entry.interface);
            write::packet(&mut plain, id, entry.ts, entry.len, &captured);
            if plain.len() >= PIECE {
                out.write_all(&plain)?;
                bytes += plain.len() as u64;
                plain.clear();
            }
        }
        out.write_all(&plain)?;
        bytes += plain.len() as u64;
        out.into_inner()
            .map_err(|error| Failure::failed(error.to_string()))?
            .sync_all()?;
        Ok(bytes)
    }
}

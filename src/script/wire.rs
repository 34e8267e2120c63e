//! What parent and child say to each other, over one Unix stream socket.
//!
//! In and out: frames. The child's end is its standard input, which it reads and writes. Never:
//! trust in what a child sends; a frame that cannot be read ends the child, not the parent.
//!
//! ```text
//! frame    = length u32, kind u8, body                        (length counts kind and body)
//! json     = kind 0, the message as JSON
//! items    = kind 1, first u64, last u64, now i64, records    (as in item::flat)
//! sealed   = kind 2, first u64, last u64, now i64, size u64   (the records lie in a sealed memfd
//!                                                              that came along with the frame)
//! packets  = kind 3, ordinal u64, packets                     (17 bytes each)
//! packet   = ts i64, caplen u32, len u32, flags u8            (flags 1: fragmented)
//! queried  = kind 4, call u64, query length u32, query, one record
//! ```
//!
//! Integers are little-endian.
//!
//! **Tell and ask.** `Items`, `Packets`, `JobEnded`, `HubAction`, `PodEvent`, `LogCall` and `Tick`
//! tell: each is answered by one `Done`.
//! `Queried`, `RunJob` and `Drain` ask: each is answered by one `Answered` with its call number. So
//! the parent always knows whether a child owes it something. While a child works it sends a `Beat`
//! between two calls of hooks when [`BEAT_EVERY`] has passed: silence for longer than the budget,
//! with no host call open, means that one call of one hook does not return.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::host::HostCall;
use super::times::Times;
use crate::time::Timestamp;

/// Bytes of one frame: room for a helper that writes a large file in one call.
pub const MAX_FRAME: usize = 64 << 20;

/// Bytes of the records of one batch in a memfd.
pub const MAX_BATCH: usize = 64 << 20;

/// Batches from this size on are worth a memfd; smaller ones are cheaper to copy.
const SEAL_FROM: usize = 32 << 10;

/// Longest time that a child works in silence between two calls of hooks.
pub const BEAT_EVERY: Duration = Duration::from_millis(50);

const JSON: u8 = 0;
const ITEMS: u8 = 1;
const SEALED: u8 = 2;
const PACKETS: u8 = 3;
const QUERIED: u8 = 4;

/// Bytes of first, last and now in front of records.
const BATCH_HEAD: usize = 24;

/// Bytes of one packet summary.
const PACKET: usize = 17;

/// File descriptors that one read may bring.
const FDS: usize = 8;

/// Functions of a script that the host calls, by their final names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Hook {
    /// `onPacketCaptured(info)`.
    OnPacketCaptured,
    /// `onItemCaptured(data)`.
    OnItemCaptured,
    /// `onItemQueried(data, query)`.
    OnItemQueried,
    /// `onJobPassed(tag, cron, limit)`.
    OnJobPassed,
    /// `onJobFailed(tag, cron, limit, err)`.
    OnJobFailed,
    /// `onPodEvent(event, pod)`.
    OnPodEvent,
    /// `onHubAction(action, object)`.
    OnHubAction,
    /// `onLogCall(level, msg)`.
    OnLogCall,
}

impl Hook {
    /// All hooks.
    pub const ALL: [Hook; 8] = [
        Hook::OnPacketCaptured,
        Hook::OnItemCaptured,
        Hook::OnItemQueried,
        Hook::OnJobPassed,
        Hook::OnJobFailed,
        Hook::OnPodEvent,
        Hook::OnHubAction,
        Hook::OnLogCall,
    ];

    /// The name scripts define.
    pub fn name(self) -> &'static str {
        match self {
            Hook::OnPacketCaptured => "onPacketCaptured",
            Hook::OnItemCaptured => "onItemCaptured",
            Hook::OnItemQueried => "onItemQueried",
            Hook::OnJobPassed => "onJobPassed",
            Hook::OnJobFailed => "onJobFailed",
            Hook::OnPodEvent => "onPodEvent",
            Hook::OnHubAction => "onHubAction",
            Hook::OnLogCall => "onLogCall",
        }
    }

    /// The name of early 2023, honoured when the present one is absent.
    pub fn old_name(self) -> &'static str {
        match self {
            Hook::OnPacketCaptured => "capturedPacket",
            Hook::OnItemCaptured => "capturedItem",
            Hook::OnItemQueried => "queriedItem",
            Hook::OnJobPassed => "passedJob",
            Hook::OnJobFailed => "failedJob",
            // Hooks that came later never had another name.
            Hook::OnPodEvent | Hook::OnHubAction | Hook::OnLogCall => self.name(),
        }
    }

    /// Whether instances that play `role` are told: traffic is seen by workers, and what workers
    /// send by the hub.
    pub fn is_for(self, role: Role) -> bool {
        match self {
            Hook::OnPacketCaptured | Hook::OnItemCaptured | Hook::OnItemQueried => {
                role == Role::Worker
            }
            Hook::OnHubAction => role == Role::Hub,
            Hook::OnJobPassed | Hook::OnJobFailed | Hook::OnPodEvent | Hook::OnLogCall => true,
        }
    }
}

/// Which side of a cluster a script instance plays.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Sees traffic.
    #[default]
    Worker,
    /// Gathers what workers send.
    Hub,
}

/// Where a script's clock gets its time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClockMode {
    /// From the system.
    #[default]
    Wall,
    /// From the packets: each message's `now`, and the end of each item.
    Packet,
}

/// What one child may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Address space in bytes.
    pub memory: u64,
    /// Iterations of loops in one call frame.
    pub loop_iterations: u64,
    /// Calls within calls.
    pub recursion: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory: 1 << 30,
            loop_iterations: 10_000_000,
            recursion: 512,
        }
    }
}

/// The first message to a child: the script and its surroundings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// Where the script lies, for error texts.
    pub path: String,
    /// The script's title.
    pub title: String,
    /// The whole text.
    pub code: String,
    /// `scripting.env`.
    pub env: serde_json::Map<String, Json>,
    /// The script's stable index.
    pub index: u32,
    /// Name of the node.
    pub node: String,
    /// The run: its Unix start second.
    pub run: u64,
    /// Which role the instance plays.
    pub role: Role,
    /// Where its clock gets its time.
    pub clock: ClockMode,
    /// The present moment; what the clock shows first in packet mode.
    pub now: Timestamp,
    /// What it may use.
    pub limits: Limits,
}

/// One packet as `onPacketCaptured` sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketSummary {
    /// When it was captured.
    pub at: Timestamp,
    /// Bytes present.
    pub caplen: u32,
    /// Bytes on the wire.
    pub len: u32,
    /// Whether it is a fragment that does not end its datagram.
    pub fragmented: bool,
}

/// Items in their flat encoding, made once for all children.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Number of the first item.
    pub first: u64,
    /// Number of the last item.
    pub last: u64,
    /// Packet time when the batch was closed.
    pub now: Timestamp,
    records: Records,
}

#[derive(Debug, Clone)]
enum Records {
    Inline(Bytes),
    Sealed(Arc<OwnedFd>, usize),
}

impl Batch {
    /// Items `first` to `last`, whose records are `records`, for `readers` children.
    ///
    /// A large batch for several readers is put into a sealed memfd, which each reads without
    /// another copy in between; without such a thing the bytes are copied to each.
    pub fn new(first: u64, last: u64, now: Timestamp, records: &[u8], readers: usize) -> Batch {
        let sealed = (readers > 1 && records.len() >= SEAL_FROM)
            .then(|| seal(records).ok())
            .flatten();
        let records = match sealed {
            Some(fd) => Records::Sealed(Arc::new(fd), records.len()),
            None => Records::Inline(Bytes::copy_from_slice(records)),
        };
        Batch {
            first,
            last,
            now,
            records,
        }
    }

    /// The records, read out of the memfd if they lie there.
    pub fn records(&self) -> io::Result<Bytes> {
        match &self.records {
            Records::Inline(bytes) => Ok(bytes.clone()),
            Records::Sealed(fd, size) => Ok(Bytes::from(unseal(fd, *size)?)),
        }
    }
}

fn seal(records: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("items", flags)?;
    let mut rest = records;
    while !rest.is_empty() {
        let written = rustix::io::write(&fd, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&fd, seals)?;
    Ok(fd)
}

fn unseal(fd: &OwnedFd, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(fd, rest, read as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => read += count,
        }
    }
    Ok(bytes)
}

/// What the parent says.
#[derive(Debug, Clone)]
pub enum ToChild {
    /// The script to run; always first.
    Start(Box<Start>),
    /// Items captured.
    Items(Batch),
    /// Packets captured, the last of which has the ordinal.
    Packets {
        /// Ordinal of the last packet.
        last: u64,
        /// The packets in their order.
        packets: Vec<PacketSummary>,
    },
    /// Asks `onItemQueried` about one item.
    Queried {
        /// Number of the question.
        call: u64,
        /// The query of the client that will see the item.
        query: String,
        /// The item's flat record.
        record: Vec<u8>,
    },
    /// Anything else.
    Small(Small),
}

/// The parent's messages that are small and sent as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Small {
    /// Runs a job.
    RunJob {
        /// Number of the question.
        call: u64,
        /// The function, as `jobs.schedule` numbered it.
        task: u64,
        /// When it was due.
        now: Timestamp,
    },
    /// No job has the function any more.
    ForgetTask {
        /// The function, as `jobs.schedule` numbered it.
        task: u64,
    },
    /// A job of any script ended; `err` says that it failed.
    JobEnded {
        /// Normalised tag.
        tag: String,
        /// Cron text.
        cron: String,
        /// Runs allowed; 0 is no limit.
        limit: u64,
        /// Why it failed; absent when it passed.
        err: Option<String>,
    },
    /// A script sent something to the hub.
    HubAction {
        /// Its name.
        action: String,
        /// What came with it.
        object: Json,
    },
    /// A pod came, changed or went.
    PodEvent {
        /// `ADDED`, `MODIFIED` or `DELETED`.
        event: String,
        /// The pod, as core/v1 has it.
        pod: Json,
    },
    /// This program logged something.
    LogCall {
        /// `info`, `warning` or `error`.
        level: String,
        /// JSON text of the record.
        msg: String,
    },
    /// The time is `now`: timers that are due run.
    Tick {
        /// The present moment.
        now: Timestamp,
    },
    /// Answers when all that was said before is done.
    Drain {
        /// Number of the question.
        call: u64,
    },
    /// End now.
    Stop,
    /// What a host call came to.
    Answer {
        /// Number of the call.
        call: u64,
        /// What the helper returns, or the message of its error.
        result: Result<Json, String>,
    },
}

/// What kind of line a script prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// `console.log` and its like.
    Log,
    /// `console.error`, and what went wrong in a hook.
    Error,
    /// `console.clear`.
    Clear,
}

/// What the calls of one hook came to.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Calls.
    pub calls: u64,
    /// Calls that ended in an exception.
    pub errors: u64,
    /// Time within them, host calls left out.
    pub nanos: u64,
    /// The same, call by call.
    #[serde(default, skip_serializing_if = "Times::is_empty")]
    pub times: Times,
}

/// What a child says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum ToParent {
    /// The top level completed; nothing else is sent to a child before this.
    Ready {
        /// Hooks that the script defines.
        hooks: Vec<Hook>,
        /// What the system does not let the child limit, a sentence each.
        missing: Vec<String>,
    },
    /// The script cannot be run; the child ends.
    LoadFailed {
        /// What went wrong, with file, line and column and the line itself where known.
        message: String,
        /// Line, from 1.
        line: Option<u32>,
        /// Column, from 1.
        column: Option<u32>,
    },
    /// Hooks were defined or taken away later on.
    Hooks {
        /// Hooks that the script defines now.
        hooks: Vec<Hook>,
    },
    /// The earliest timer changed; the parent sends a `Tick` then.
    TimerAt {
        /// When; absent when there is no timer.
        at: Option<Timestamp>,
    },
    /// A console line.
    Console {
        /// What kind of line.
        level: Level,
        /// The text without prefix.
        text: String,
    },
    /// Asks for an effect; nothing else happens in the child until the answer.
    Call {
        /// Number of the call.
        call: u64,
        /// What is asked.
        with: HostCall,
    },
    /// Answers a question; `null` when the hook returned no object.
    Answered {
        /// Number of the question.
        call: u64,
        /// What the function returned, or the text of its exception.
        result: Result<Json, String>,
        /// What the call cost.
        spent: Spent,
    },
    /// Something told is done.
    Done {
        /// Number of the last item or ordinal of the last packet; 0 for other things told.
        last: u64,
        /// What the hook calls came to.
        spent: Spent,
    },
    /// The child works; see the head of this file.
    Beat {
        /// Number of the item, or ordinal of the batch's last packet, that comes now.
        at: u64,
    },
}

/// Why a message was not sent or not understood.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A frame's length is 0 or above [`MAX_FRAME`].
    #[error("a message of {0} bytes is too large, at most {MAX_FRAME} bytes can be sent at once")]
    Size(usize),
    /// The other end closed within a frame.
    #[error("the connection ended within a message")]
    Cut,
    /// A frame's body is not what its kind says.
    #[error("a message of kind {0} cannot be read")]
    Malformed(u8),
}

/// Sends a message to a child.
pub fn send_to_child(socket: &UnixStream, message: &ToChild) -> Result<(), WireError> {
    match message {
        ToChild::Start(start) => send_json(socket, start),
        ToChild::Small(small) => send_json(socket, small),
        ToChild::Items(batch) => {
            let mut head = Vec::with_capacity(BATCH_HEAD + 8);
            head.extend(batch.first.to_le_bytes());
            head.extend(batch.last.to_le_bytes());
            head.extend(batch.now.nanos().to_le_bytes());
            match &batch.records {
                Records::Inline(records) => send_frame(socket, ITEMS, &[&head, records], None),
                Records::Sealed(fd, size) => {
                    head.extend((*size as u64).to_le_bytes());
                    send_frame(socket, SEALED, &[&head], Some(fd.as_fd()))
                }
            }
        }
        ToChild::Packets { last, packets } => {
            let mut body = Vec::with_capacity(8 + packets.len() * PACKET);
            body.extend(last.to_le_bytes());
            for packet in packets {
                body.extend(packet.at.nanos().to_le_bytes());
                body.extend(packet.caplen.to_le_bytes());
                body.extend(packet.len.to_le_bytes());
                body.push(u8::from(packet.fragmented));
            }
            send_frame(socket, PACKETS, &[&body], None)
        }
        ToChild::Queried {
            call,
            query,
            record,
        } => {
            let length = u32::try_from(query.len()).map_err(|_| WireError::Size(query.len()))?;
            let mut head = Vec::with_capacity(12 + query.len());
            head.extend(call.to_le_bytes());
            head.extend(length.to_le_bytes());
            head.extend(query.as_bytes());
            send_frame(socket, QUERIED, &[&head, record], None)
        }
    }
}

/// Sends a message to the parent.
pub fn send_to_parent(socket: &UnixStream, message: &ToParent) -> Result<(), WireError> {
    send_json(socket, message)
}

fn send_json<T: Serialize>(socket: &UnixStream, message: &T) -> Result<(), WireError> {
    let body = serde_json::to_vec(message).map_err(io::Error::from)?;
    send_frame(socket, JSON, &[&body], None)
}

fn send_frame(
    mut socket: &UnixStream,
    kind: u8,
    parts: &[&[u8]],
    fd: Option<BorrowedFd<'_>>,
) -> Result<(), WireError> {
    let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    if length > MAX_FRAME {
        return Err(WireError::Size(length));
    }
    let mut head = [0; 5];
    let [a, b, c, d] = u32::try_from(length)
        .map_err(|_| WireError::Size(length))?
        .to_le_bytes();
    head.copy_from_slice(&[a, b, c, d, kind]);
    let Some(fd) = fd else {
        let mut all: Vec<IoSlice<'_>> = vec![IoSlice::new(&head)];
        all.extend(parts.iter().map(|part| IoSlice::new(part)));
        return Ok(write_all(socket, &mut all)?);
    };
    // The descriptor travels with the first byte of the frame.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let sent = loop {
        let slices = [IoSlice::new(&head)];
        match rustix::net::sendmsg(socket, &slices, &mut control, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            result => break result.map_err(io::Error::from)?,
        }
    };
    socket.write_all(head.get(sent..).unwrap_or_default())?;
    for part in parts {
        socket.write_all(part)?;
    }
    Ok(())
}

fn write_all(mut socket: &UnixStream, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match socket.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The parent's reading side of one child.
pub struct FromChild<R>(R);

impl<R: Read> FromChild<R> {
    /// Reads from `input`; a buffered reader saves system calls.
    pub fn new(input: R) -> FromChild<R> {
        FromChild(input)
    }

    /// The next message; `None` when the child closed its end.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator cannot say why it ended"
    )]
    pub fn next(&mut self) -> Result<Option<ToParent>, WireError> {
        let mut head = [0; 5];
        if !read_or_end(&mut self.0, &mut head)? {
            return Ok(None);
        }
        let [a, b, c, d, kind] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length == 0 || length > MAX_FRAME {
            return Err(WireError::Size(length));
        }
        // Grows with what arrives, not with what the length promises.
        let mut body = Vec::new();
        let wanted = length - 1;
        if (&mut self.0).take(wanted as u64).read_to_end(&mut body)? != wanted {
            return Err(WireError::Cut);
        }
        if kind != JSON {
            return Err(WireError::Malformed(kind));
        }
        serde_json::from_slice(&body)
            .map(Some)
            .map_err(|_| WireError::Malformed(kind))
    }
}

/// Fills `into`; false when the input ended before its first byte.
fn read_or_end(input: &mut impl Read, into: &mut [u8]) -> Result<bool, WireError> {
    let mut read = 0;
    while let Some(rest) = into.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) if read == 0 => return Ok(false),
            Ok(0) => return Err(WireError::Cut),
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// The child's reading side: frames and the descriptors that come with them.
pub struct FromParent {
    socket: UnixStream,
    /// What was read and not yet asked for lies from `start` to `end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    fds: VecDeque<OwnedFd>,
}

/// Bytes asked of the socket at once for small messages.
const READ: usize = 16 << 10;

impl FromParent {
    /// Reads from `socket`.
    pub fn new(socket: UnixStream) -> FromParent {
        FromParent {
            socket,
            buffer: vec![0; READ],
            start: 0,
            end: 0,
            fds: VecDeque::new(),
        }
    }

    /// The first message; `None` when the parent closed its end.
    pub fn start(&mut self) -> Result<Option<Start>, WireError> {
        let Some((JSON, body)) = self.frame()? else {
            return Ok(None);
        };
        serde_json::from_slice(&body)
            .map(Some)
            .map_err(|_| WireError::Malformed(JSON))
    }

    /// The next message after the first; `None` when the parent closed its end.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator cannot say why it ended"
    )]
    pub fn next(&mut self) -> Result<Option<ToChild>, WireError> {
        let Some((kind, body)) = self.frame()? else {
            return Ok(None);
        };
        self.message(kind, Bytes::from(body))
            .ok_or(WireError::Malformed(kind))
            .map(Some)
    }

    fn message(&mut self, kind: u8, body: Bytes) -> Option<ToChild> {
        Some(match kind {
            JSON => ToChild::Small(serde_json::from_slice(&body).ok()?),
            ITEMS | SEALED => {
                let (head, rest) = body.split_at_checked(BATCH_HEAD)?;
                let records = if kind == ITEMS {
                    Records::Inline(body.slice(BATCH_HEAD..))
                } else {
                    let size = usize::try_from(u64_at(rest, 0)?).ok()?;
                    let fd = self.fds.pop_front()?;
                    (size <= MAX_BATCH).then(|| Records::Sealed(Arc::new(fd), size))?
                };
                ToChild::Items(Batch {
                    first: u64_at(head, 0)?,
                    last: u64_at(head, 8)?,
                    now: Timestamp::from_nanos(u64_at(head, 16)?.cast_signed()),
                    records,
                })
            }
            PACKETS => {
                let (last, rest) = body.split_at_checked(8)?;
                let packets = rest
                    .chunks_exact(PACKET)
                    .map(packet)
                    .collect::<Option<_>>()?;
                ToChild::Packets {
                    last: u64_at(last, 0)?,
                    packets,
                }
            }
            QUERIED => {
                let length = u32_at(&body, 8)? as usize;
                let (query, record) = body.get(12..)?.split_at_checked(length)?;
                ToChild::Queried {
                    call: u64_at(&body, 0)?,
                    query: String::from_utf8(query.to_vec()).ok()?,
                    record: record.to_vec(),
                }
            }
            _ => return None,
        })
    }

    fn frame(&mut self) -> Result<Option<(u8, Vec<u8>)>, WireError> {
        let mut head = [0; 5];
        match self.fill(&mut head)? {
            0 => return Ok(None),
            5 => {}
            _ => return Err(WireError::Cut),
        }
        let [a, b, c, d, kind] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length == 0 || length > MAX_FRAME {
            return Err(WireError::Size(length));
        }
        let mut body = vec![0; length - 1];
        if self.fill(&mut body)? != body.len() {
            return Err(WireError::Cut);
        }
        Ok(Some((kind, body)))
    }

    /// Fills `into` with what waits, then from the socket; less only when the other end closes.
    fn fill(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let waiting = self.buffer.get(self.start..self.end).unwrap_or_default();
            let count = if !waiting.is_empty() {
                let count = waiting.len().min(rest.len());
                let (to, _) = rest.split_at_mut(count);
                to.copy_from_slice(waiting.get(..count).unwrap_or_default());
                self.start += count;
                count
            } else if rest.len() >= READ {
                // Large bodies go straight to their place.
                receive(&self.socket, rest, &mut self.fds)?
            } else {
                self.start = 0;
                self.end = receive(&self.socket, &mut self.buffer, &mut self.fds)?;
                if self.end == 0 {
                    break;
                }
                continue;
            };
            if count == 0 {
                break;
            }
            filled += count;
        }
        Ok(filled)
    }
}

fn receive(socket: &UnixStream, into: &mut [u8], fds: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    loop {
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(into)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        match rustix::net::recvmsg(socket, &mut slices, &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(message) => {
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(received) = message {
                        fds.extend(received);
                    }
                }
                return Ok(message.bytes);
            }
        }
    }
}

fn packet(bytes: &[u8]) -> Option<PacketSummary> {
    Some(PacketSummary {
        at: Timestamp::from_nanos(u64_at(bytes, 0)?.cast_signed()),
        caplen: u32_at(bytes, 8)?,
        len: u32_at(bytes, 12)?,
        fragmented: *bytes.get(16)? & 1 == 1,
    })
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch(readers: usize) -> Batch {
        Batch::new(3, 9, Timestamp::from_secs(5, 6), &vec![7; 100_000], readers)
    }

    fn pass(messages: &[ToChild]) -> Vec<ToChild> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for message in messages {
                    send_to_child(&ours, message).unwrap();
                }
                ours.shutdown(std::net::Shutdown::Write).unwrap();
            });
            let mut reader = FromParent::new(theirs);
            std::iter::from_fn(|| reader.next().unwrap()).collect()
        })
    }

    #[test]
    fn batches_arrive_inline_and_as_sealed_memory() {
        let sent = [batch(1), batch(2), batch(3)];
        assert!(matches!(sent[0].records, Records::Inline(_)));
        assert!(matches!(sent[1].records, Records::Sealed(..)));
        let received = pass(&sent.clone().map(ToChild::Items));
        assert_eq!(received.len(), 3);
        for (sent, received) in sent.iter().zip(received) {
            let ToChild::Items(received) = received else {
                panic!("{received:?}")
            };
            assert_eq!((received.first, received.last), (3, 9));
            assert_eq!(received.now, sent.now);
            assert_eq!(received.records().unwrap(), sent.records().unwrap());
        }
    }

    #[test]
    fn no_child_can_write_into_a_sealed_batch() {
        let Records::Sealed(fd, _) = batch(2).records else {
            panic!("a large batch for two readers is sealed")
        };
        assert_eq!(
            rustix::io::pwrite(&fd, b"x", 0),
            Err(rustix::io::Errno::PERM)
        );
    }

    #[test]
    fn packets_questions_and_small_messages_arrive() {
        let packet = PacketSummary {
            at: Timestamp::from_secs(-1, 5),
            caplen: 96,
            len: 1500,
            fragmented: true,
        };
        let received = pass(&[
            ToChild::Packets {
                last: 12,
                packets: vec![packet; 3],
            },
            ToChild::Queried {
                call: 4,
                query: "http".into(),
                record: vec![1, 2, 3],
            },
            ToChild::Small(Small::Answer {
                call: 1,
                result: Err("no".into()),
            }),
        ]);
        let [
            ToChild::Packets { last: 12, packets },
            ToChild::Queried {
                call: 4,
                query,
                record,
            },
            ToChild::Small(Small::Answer { call: 1, result }),
        ] = received.as_slice()
        else {
            panic!("{received:?}")
        };
        assert_eq!(packets, &[packet; 3]);
        assert_eq!(
            (query.as_str(), record.as_slice()),
            ("http", &[1_u8, 2, 3][..])
        );
        assert_eq!(result, &Err("no".to_owned()));
    }

    #[test]
    fn what_a_child_says_arrives() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let message = ToParent::Call {
            call: 7,
            with: HostCall::FileCopy {
                from: "a".into(),
                to: "b".into(),
            },
        };
        send_to_parent(&theirs, &message).unwrap();
        drop(theirs);
        let mut reader = FromChild::new(ours);
        assert_eq!(reader.next().unwrap(), Some(message));
        assert_eq!(reader.next().unwrap(), None);
    }

    #[test]
    fn a_length_alone_allocates_nothing() {
        let mut reader = FromChild::new(&[255, 255, 255, 3, JSON, b'{'][..]);
        assert!(matches!(reader.next(), Err(WireError::Cut)));
        let mut reader = FromChild::new(&[255, 255, 255, 255, JSON][..]);
        assert!(matches!(reader.next(), Err(WireError::Size(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_of_a_child_make_the_parent_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = FromChild::new(bytes.as_slice());
            while let Ok(Some(_)) = reader.next() {}
        }
    }
}

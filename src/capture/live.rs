//! A live interface as a source, through libpcap.
//!
//! In: packets as the kernel's ring hands them over. Out: batches within [`HAND_OVER`] of the
//! capture, without second sights, without tapedeck's own traffic and without what is not targeted. Never: blocking longer than
//! [`IDLE`].
//! After [`Source::finish`] the kernel's ring is read to the moment of the call, since what was captured
//! before it may still lie in a block that is not handed over.
//! Interface: <https://www.tcpdump.org/manpages/pcap.3pcap.html>.

mod aim;
#[cfg(target_os = "linux")]
mod fanout;
pub mod narrowing;
#[cfg(target_os = "linux")]
mod several;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ::pcap::{Active, Capture, Device, Error, Linktype, Precision};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::capture::duplicates::Duplicates;
use crate::capture::own::{OwnFilter, OwnSockets};
use crate::capture::targets::{SharedTargets, TargetFilter};
use crate::capture::{CaptureError, Filled, RawBatch, Source, SourceCounts};
use crate::packet::bpf::Link;
use crate::packet::savefile::PacketHead;
use crate::packet::{LinkType, MAX_SNAPLEN, Position};
use crate::time::{Clock, SystemClock, Timestamp};

use aim::Aim;
use narrowing::{Narrowing, both};

/// The pseudo-interface of Linux that sees all others.
pub const ANY: &str = "any";

/// Time after which the kernel hands over a block that is not full. Shorter blocks cost wake-ups,
/// longer ones delay items and make short connections of our own harder to tell.
pub const HAND_OVER: Duration = Duration::from_millis(10);

/// Longest wait of one `fill` when nothing arrives.
pub const IDLE: Duration = Duration::from_millis(100);

/// Silence after [`Source::finish`] that means that the kernel holds nothing more: many hand-overs.
const DRAIN_QUIET: Duration = Duration::from_millis(250);

/// Longest time that draining takes; libpcap is up to a second late where the system has no block
/// time-out of its own.
const MAX_DRAIN: Duration = Duration::from_secs(3);

/// Cores of a machine for each thread that reads: below, one thread reads more than the others can
/// dissect.
pub const CORES_A_THREAD: usize = 8;

/// Threads that read one interface at most.
pub const MAX_THREADS: usize = 16;

/// Packets of different processors are out of order by less than this.
const DISORDER: Duration = Duration::from_millis(50);

/// How to capture.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// Name of the interface, [`ANY`] for all.
    pub interface: String,
    /// BPF expression; empty for all packets.
    pub bpf: String,
    /// Bytes of a packet that are captured, at most [`MAX_SNAPLEN`].
    pub snaplen: u32,
    /// Bytes of the kernel's rings together.
    pub buffer_bytes: u32,
    /// Threads that read, each a ring of its own with the flows that fall to it; 0 takes one for
    /// each [`CORES_A_THREAD`] of the machine. Linux only, elsewhere one reads.
    pub threads: usize,
    /// Whether packets for other hosts are captured too.
    pub promisc: bool,
    /// Hand each packet over at once. The ring then has slots of fixed size, so it holds far
    /// fewer packets; [`HAND_OVER`] is soon enough for nearly everything.
    pub immediate: bool,
    /// Capture tapedeck's own traffic too.
    pub capture_self: bool,
    /// Sockets that other rooms know to be our own.
    pub own: OwnSockets,
    /// What narrows `bpf` further, and may change while the capture runs.
    pub narrowing: Narrowing,
    /// What of all this is captured, by address; it may change while the capture runs.
    pub targets: SharedTargets,
}

/// Time in which what the kernel holds at a moment is read, on a busy machine too.
const SETTLED: Duration = Duration::from_secs(1);

impl Default for LiveOptions {
    fn default() -> LiveOptions {
        LiveOptions {
            interface: ANY.to_owned(),
            bpf: String::new(),
            snaplen: MAX_SNAPLEN,
            // A second of 500 Mbit/s: what may pass while the disk stalls.
            buffer_bytes: 64 << 20,
            threads: 1,
            promisc: false,
            immediate: false,
            capture_self: false,
            own: OwnSockets::default(),
            narrowing: Narrowing::default(),
            targets: SharedTargets::default(),
        }
    }
}

/// An interface that can be captured on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// What the system says of it; may be empty.
    pub description: String,
    /// Its addresses.
    pub addresses: Vec<std::net::IpAddr>,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is a loopback interface.
    pub loopback: bool,
}

/// The interfaces of this machine, in libpcap's order.
///
/// # Errors
/// When the system does not tell them.
pub fn interfaces() -> Result<Vec<Interface>, CaptureError> {
    let devices = Device::list().map_err(|error| CaptureError::Live {
        interface: ANY.to_owned(),
        reason: reason(&error),
    })?;
    Ok(devices
        .into_iter()
        .map(|device| Interface {
            description: device.desc.clone().unwrap_or_default(),
            addresses: device.addresses.iter().map(|known| known.addr).collect(),
            up: device.flags.is_up(),
            loopback: device.flags.is_loopback(),
            name: device.name,
        })
        .collect())
}

/// Starts to capture.
///
/// # Errors
/// `NoRight` when the user may not, `NoInterface`, `Filter`, else `Live` with libpcap's words.
pub fn open(options: &LiveOptions) -> Result<Box<dyn Source>, CaptureError> {
    #[cfg(target_os = "linux")]
    if options.threads() > 1 {
        return open_several(options);
    }
    Ok(Box::new(Live::open(options)?))
}

impl LiveOptions {
    #[cfg(target_os = "linux")]
    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        match self.threads {
            0 => (cores() / CORES_A_THREAD).clamp(1, 4),
            threads => threads.min(MAX_THREADS),
        }
    }
}

/// Opens as many captures as threads are wanted, which share the interface's packets. Where the
/// kernel cannot do that, one reads alone and says so.
#[cfg(target_os = "linux")]
fn open_several(options: &LiveOptions) -> Result<Box<dyn Source>, CaptureError> {
    let threads = options.threads();
    let narrow = options.narrowing.take();
    let one = || {
        let narrowing = Narrowing::default();
        if let Some(narrow) = &narrow {
            narrowing.set(narrow.clone());
        }
        let own = LiveOptions {
            buffer_bytes: options.buffer_bytes / u32::try_from(threads).unwrap_or(1),
            narrowing: narrowing.clone(),
            ..options.clone()
        };
        Ok::<_, CaptureError>((Live::open(&own)?, narrowing))
    };
    let (first, narrowing) = one()?;
    let group = match fanout::Group::new(first.capture.as_fd()) {
        Ok(group) => group,
        Err(error) => {
            if let Some(narrow) = narrow {
                options.narrowing.set(narrow);
            }
            let mut alone = Live::open(options)?;
            alone.warnings.push(format!(
                "packets cannot be shared among {threads} threads ({error}); one thread reads them"
            ));
            return Ok(Box::new(alone));
        }
    };
    let name_of = match first.linktype {
        LinkType::LINUX_SLL2 => Box::new(name_of) as several::Names,
        _ => {
            let interface = first.interface.clone();
            Box::new(move |_| Some(interface.clone()))
        }
    };
    let (mut captures, mut narrowings) = (vec![first], vec![narrowing]);
    while captures.len() < threads {
        let (mut live, narrowing) = one()?;
        // What it saw before it shares is seen by the others.
        live.since = SystemClock.now();
        // One of them counts what all of them leave out.
        live.aim.without_tally();
        group
            .join(live.capture.as_fd())
            .map_err(|error| CaptureError::Live {
                interface: options.interface.clone(),
                reason: format!("its packets cannot be shared among {threads} threads: {error}"),
            })?;
        captures.push(live);
        narrowings.push(narrowing);
    }
    let outer = options.narrowing.clone();
    Ok(Box::new(several::Several::new(
        captures, outer, narrowings, name_of,
    )))
}

struct Live {
    interface: String,
    bpf: String,
    narrowing: Narrowing,
    /// What others narrow the capture to, and the targets.
    asked: String,
    aim: Aim,
    aimed: String,
    /// The filter in force beside `bpf`.
    narrow: String,
    /// The one that follows, and when.
    next: Option<(String, Instant)>,
    warnings: Vec<String>,
    linktype: LinkType,
    capture: Capture<Active>,
    duplicates: Option<Duplicates>,
    own: Option<OwnFilter>,
    targets: TargetFilter,
    /// Packets before this moment do not count.
    since: Timestamp,
    finishing: Option<Finishing>,
    counts: SourceCounts,
    /// libpcap's counts at the last look; they are 32 bits wide and wrap.
    kernel: (u32, u32),
}

/// What is known once nothing new shall be taken in.
#[derive(Debug, Clone, Copy)]
struct Finishing {
    /// Packets after this moment do not count.
    until: Timestamp,
    deadline: Instant,
    /// When the last packet was read.
    heard: Instant,
}

impl Live {
    fn open(options: &LiveOptions) -> Result<Live, CaptureError> {
        let interface = options.interface.clone();
        let failed = |error: Error| refused(&interface, &error);
        let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        let hand_over = i32::try_from(HAND_OVER.as_millis()).unwrap_or(i32::MAX);
        let inactive = Capture::from_device(interface.as_str())
            .map_err(failed)?
            // A device that knows promiscuous mode is asked for it; `any` is none.
            .promisc(options.promisc && interface != ANY)
            .snaplen(number(options.snaplen.clamp(1, MAX_SNAPLEN)))
            .buffer_size(number(options.buffer_bytes))
            .immediate_mode(options.immediate)
            .precision(Precision::Nano)
            .timeout(hand_over);
        let mut capture = inactive.open().map_err(failed)?;
        if interface == ANY {
            // Version 2 names the interface of each packet; version 1 is what is left without it.
            capture
                .set_datalink(Linktype(i32::from(LinkType::LINUX_SLL2.0)))
                .ok();
        }
        filter(&mut capture, &options.bpf)?;
        let capture = capture.setnonblock().map_err(failed)?;
        let linktype = match capture.get_datalink().0 {
            // DLT_RAW has another number on each system, LINKTYPE_RAW one.
            12 | 14 => LinkType::RAW,
            other => LinkType(u16::try_from(other).unwrap_or(u16::MAX)),
        };
        let link = match linktype {
            LinkType::ETHERNET => Link::Ethernet,
            _ => Link::Other,
        };
        let tally = aim::open_tally(options, linktype);
        let mut live = Live {
            bpf: options.bpf.clone(),
            narrowing: options.narrowing.clone(),
            asked: String::new(),
            aim: Aim::new(options.targets.clone(), link, tally),
            aimed: String::new(),
            narrow: String::new(),
            next: None,
            warnings: Vec::new(),
            duplicates: Duplicates::of_capture(linktype, false),
            own: (!options.capture_self).then(|| OwnFilter::new(options.own.clone())),
            targets: TargetFilter::new(options.targets.clone()),
            interface,
            linktype,
            capture,
            since: Timestamp::default(),
            finishing: None,
            counts: SourceCounts::default(),
            kernel: (0, 0),
        };
        if let Some(narrow) = live.changed() {
            live.filter_also(&narrow)?;
            live.narrow = narrow;
        }
        Ok(live)
    }

    /// The filter beside `bpf` that what others asked for and the targets make, when one of them
    /// changed.
    fn changed(&mut self) -> Option<String> {
        let (asked, aimed) = (self.set_narrow(), self.aim.follow(Instant::now()));
        if asked.is_none() && aimed.is_none() {
            return None;
        }
        self.asked = asked.unwrap_or_else(|| std::mem::take(&mut self.asked));
        self.aimed = aimed.unwrap_or_else(|| std::mem::take(&mut self.aimed));
        self.aim.count(&[&self.bpf, &self.asked], &self.aimed);
        Some(both(&self.asked, &self.aimed))
    }

    /// What was set since the last look, for this link.
    fn set_narrow(&self) -> Option<String> {
        self.narrowing.take().map(|narrow| match self.linktype {
            LinkType::ETHERNET => narrow.ethernet,
            _ => narrow.other,
        })
    }

    /// Goes over to another filter, when one was set or the targets changed.
    ///
    /// libpcap asks a new filter of packets that wait already, so both hold until these are read.
    fn follow_narrowing(&mut self) -> Result<(), CaptureError> {
        if let Some(next) = self.changed() {
            // Before an earlier change has settled, everything passes: filters would add up.
            let either = match (self.narrow.as_str(), next.as_str()) {
                ("", _) | (_, "") => String::new(),
                _ if self.next.is_some() => String::new(),
                (old, new) => format!("({old}) or ({new})"),
            };
            self.filter_also(&either)?;
            self.narrow = either;
            self.next = Some((next, Instant::now() + SETTLED));
        }
        match self.next.take() {
            Some((next, at)) if at <= Instant::now() => {
                self.filter_also(&next)?;
                self.narrow = next;
            }
            waiting => self.next = waiting,
        }
        Ok(())
    }

    /// Makes the filter `bpf` and this one.
    fn filter_also(&mut self, narrow: &str) -> Result<(), CaptureError> {
        let whole = both(&self.bpf, narrow);
        filter(&mut self.capture, &whole)
    }

    /// Appends what the kernel hands over now; tells whether there was a packet.
    fn take(&mut self, batch: &mut RawBatch) -> Result<Taken, CaptureError> {
        let mut taken = Taken::Nothing;
        while !batch.is_full() {
            let packet = match self.capture.next_packet() {
                Ok(packet) => packet,
                Err(Error::TimeoutExpired | Error::NoMorePackets) => return Ok(taken),
                Err(error) => return Err(refused(&self.interface, &error)),
            };
            taken = Taken::Packets;
            let header = packet.header;
            // With nanosecond precision libpcap puts nanoseconds where microseconds stand.
            let nanos = u32::try_from(header.ts.tv_usec).unwrap_or(0);
            let ts = Timestamp::from_secs(header.ts.tv_sec, nanos);
            if ts < self.since {
                continue;
            }
            if let Some(finishing) = &mut self.finishing {
                if ts > finishing.until + DISORDER {
                    return Ok(Taken::All);
                }
                if ts > finishing.until {
                    continue;
                }
                finishing.heard = Instant::now();
            }
            if let Some(duplicates) = &mut self.duplicates
                && duplicates.is_second_sight(self.linktype, 0, packet.data, ts)
            {
                self.counts.duplicates += 1;
                continue;
            }
            let head = PacketHead {
                ts,
                caplen: u32::try_from(packet.data.len()).unwrap_or(u32::MAX),
                len: header.len.max(header.caplen),
                linktype: self.linktype,
                interface: interface_index(self.linktype, packet.data),
            };
            // The spool, which writes live packets, gives them their position.
            batch.push(&head, Position::default(), packet.data);
        }
        Ok(taken)
    }

    /// Waits until the kernel hands over a block; false when it does not.
    fn wait(&self) -> bool {
        let mut waiting = [PollFd::from_borrowed_fd(
            self.capture.as_fd(),
            PollFlags::IN,
        )];
        let time = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(IDLE.subsec_nanos()),
        };
        // A signal ends the wait too; the caller comes back.
        poll(&mut waiting, Some(&time)).is_ok_and(|ready| ready > 0)
    }

    fn is_drained(&self) -> bool {
        self.finishing.is_some_and(|finishing| {
            let now = Instant::now();
            now >= finishing.deadline || now.duration_since(finishing.heard) >= DRAIN_QUIET
        })
    }
}

fn filter(capture: &mut Capture<Active>, bpf: &str) -> Result<(), CaptureError> {
    capture
        .filter(bpf, true)
        .map_err(|error| CaptureError::Filter {
            filter: bpf.to_owned(),
            reason: reason(&error),
        })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Nothing,
    Packets,
    /// All packets before the moment of `finish` are read.
    All,
}

impl Source for Live {
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        // Packets that nobody asked for do no harm; packets that are missing would.
        if let Err(error) = self.follow_narrowing() {
            self.warnings.push(error.to_string());
        }
        let from = batch.records.len();
        let mut taken = self.take(batch)?;
        if taken == Taken::Nothing && self.wait() {
            taken = self.take(batch)?;
        }
        if let Some(own) = &mut self.own {
            self.counts.own += own.leave_out(batch, from);
        }
        self.counts.not_targeted += self.targets.leave_out(batch, from);
        let left = batch.records.len().saturating_sub(from);
        self.counts.received += u64::try_from(left).unwrap_or(0);
        Ok(match taken {
            Taken::All => Filled::End,
            _ if self.is_drained() => Filled::End,
            Taken::Packets => Filled::More,
            Taken::Nothing => Filled::Idle,
        })
    }

    fn finish(&mut self) {
        let now = Instant::now();
        self.finishing.get_or_insert(Finishing {
            until: SystemClock.now(),
            deadline: now + MAX_DRAIN,
            heard: now,
        });
    }

    fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn counts(&mut self) -> SourceCounts {
        if let Ok(stats) = self.capture.stats() {
            let (dropped, interface_dropped) = self.kernel;
            self.counts.kernel_dropped += u64::from(stats.dropped.wrapping_sub(dropped));
            self.counts.interface_dropped +=
                u64::from(stats.if_dropped.wrapping_sub(interface_dropped));
            self.kernel = (stats.dropped, stats.if_dropped);
        }
        let mut counts = self.counts;
        counts.not_targeted += self.aim.left_out();
        counts
    }

    fn interface_name(&self, interface: u32) -> Option<String> {
        if self.linktype != LinkType::LINUX_SLL2 {
            return Some(self.interface.clone());
        }
        name_of(interface)
    }
}

/// Number of the interface that saw a packet of `any`; 0 for every other capture.
fn interface_index(linktype: LinkType, bytes: &[u8]) -> u32 {
    match bytes.get(4..8).and_then(|index| index.first_chunk::<4>()) {
        Some(index) if linktype == LinkType::LINUX_SLL2 => u32::from_be_bytes(*index),
        _ => 0,
    }
}

#[cfg(target_os = "linux")]
fn name_of(interface: u32) -> Option<String> {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::index_to_name(any, interface).ok()
}

#[cfg(not(target_os = "linux"))]
fn name_of(_interface: u32) -> Option<String> {
    None
}

fn reason(error: &Error) -> String {
    match error {
        Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    }
}

fn refused(interface: &str, error: &Error) -> CaptureError {
    let reason = reason(error);
    let lower = reason.to_lowercase();
    if lower.contains("permi") {
        return CaptureError::NoRight {
            interface: interface.to_owned(),
            program: std::env::current_exe().map_or_else(
                |_| "tapedeck".to_owned(),
                |program| program.display().to_string(),
            ),
        };
    }
    if lower.contains("no such device") || lower.contains("exist") {
        let known: Vec<String> = interfaces()
            .unwrap_or_default()
            .into_iter()
            .map(|known| known.name)
            .collect();
        return CaptureError::NoInterface {
            interface: interface.to_owned(),
            known: known.join(", "),
        };
    }
    CaptureError::Live {
        interface: interface.to_owned(),
        reason,
    }
}

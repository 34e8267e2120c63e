//! Capture filters that others set while a capture runs.
//!
//! In: filters of whoever asks for less. Out: the one to go over to, once. Never: a filter that libpcap
//! does not understand, when [`check`] was asked before.

use std::sync::{Arc, Mutex, PoisonError};

use ::pcap::{BpfProgram, Capture, Error, Linktype};

use crate::capture::{CaptureError, RawBatch};
use crate::packet::LinkType;

/// A second capture filter, in libpcap's language, that others may change at any time.
#[derive(Debug, Clone, Default)]
pub struct Narrowing(Arc<Mutex<Option<Narrow>>>);

/// The filter for each kind of link; empty lets everything pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrow {
    /// On Ethernet, where tags may stand before the addresses.
    pub ethernet: String,
    /// On any other link.
    pub other: String,
}

impl Narrowing {
    /// Lets only `narrow` pass from the next look at the interface on.
    pub fn set(&self, narrow: Narrow) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(narrow);
    }

    pub(super) fn take(&self) -> Option<Narrow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Two filters that must both hold.
pub fn both(one: &str, other: &str) -> String {
    match (one, other) {
        (only, "") | ("", only) => only.to_owned(),
        (one, other) => format!("({one}) and ({other})"),
    }
}

/// Whether libpcap understands a filter, as far as it can be told before there is a capture.
///
/// # Errors
/// `Filter` with libpcap's reason.
pub fn check(bpf: &str) -> Result<(), CaptureError> {
    check_on(bpf, LinkType::ETHERNET)
}

/// The same where it is known what is captured: the links of [`ANY`](super::ANY) have no Ethernet
/// addresses.
///
/// # Errors
/// `Filter` with libpcap's reason.
pub fn check_for(bpf: &str, interface: &str) -> Result<(), CaptureError> {
    match interface {
        // Older versions of libpcap have version 1 there.
        super::ANY => check_on(bpf, LinkType::LINUX_SLL2)
            .or_else(|error| check_on(bpf, LinkType::LINUX_SLL).map_err(|_| error)),
        _ => check(bpf),
    }
}

fn compile(bpf: &str, link: LinkType) -> Result<BpfProgram, Error> {
    let link = match link {
        // The number of libpcap is another one than that of files.
        LinkType::RAW => Linktype(12),
        other => Linktype(i32::from(other.0)),
    };
    Capture::dead(link).and_then(|dead| dead.compile(bpf, true))
}

fn check_on(bpf: &str, link: LinkType) -> Result<(), CaptureError> {
    let compiled = compile(bpf, link);
    compiled.map(drop).map_err(|error| CaptureError::Filter {
        filter: bpf.to_owned(),
        reason: super::reason(&error),
    })
}

/// A capture filter that packets in memory are asked of.
#[derive(Default)]
pub struct Compiled {
    bpf: String,
    /// For each kind of link that was met; `None` where libpcap refuses it.
    programs: Vec<(LinkType, Option<BpfProgram>)>,
}

impl Compiled {
    /// Becomes this filter; empty lets everything pass.
    pub fn be(&mut self, bpf: &str) {
        if self.bpf != bpf {
            bpf.clone_into(&mut self.bpf);
            self.programs.clear();
        }
    }

    /// Takes what does not pass out of `batch`, and what a filter that is none is asked of; gives its count
    /// of packets.
    pub fn leave_out(&mut self, batch: &mut RawBatch) -> u64 {
        if self.bpf.is_empty() {
            return 0;
        }
        let RawBatch { bytes, records, .. } = batch;
        let before = records.len();
        records.retain(|record| {
            let start = record.start as usize;
            let packet = bytes.get(start..start + record.caplen as usize);
            let program = self.program(record.linktype);
            packet.is_some_and(|packet| program.is_some_and(|program| program.filter(packet)))
        });
        u64::try_from(before - records.len()).unwrap_or(0)
    }

    fn program(&mut self, link: LinkType) -> Option<&BpfProgram> {
        let known = self.programs.iter().position(|(known, _)| *known == link);
        let at = known.unwrap_or_else(|| {
            self.programs.push((link, compile(&self.bpf, link).ok()));
            self.programs.len() - 1
        });
        self.programs.get(at)?.1.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_in_memory_are_asked_of_a_filter() {
        let mut compiled = Compiled::default();
        let mut left = |bpf: &str, link: LinkType, header: &[u8]| {
            let mut batch = RawBatch::default();
            for port in [9, 53] {
                let mut bytes = header.to_vec();
                bytes.extend([0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0]);
                bytes.extend([10, 0, 0, 7, 192, 0, 2, 1, 0, 9, 0, port, 0, 8, 0, 0]);
                let length = u32::try_from(bytes.len()).unwrap();
                let head = crate::packet::savefile::PacketHead {
                    ts: crate::time::Timestamp::from_secs(1, 0),
                    caplen: length,
                    len: length,
                    linktype: link,
                    interface: 0,
                };
                batch.push(&head, crate::packet::Position::default(), &bytes);
            }
            compiled.be(bpf);
            (compiled.leave_out(&mut batch), batch.records.len())
        };
        let ethernet = [[2; 6].as_slice(), &[4; 6], &[8, 0]].concat();
        for (link, header) in [(LinkType::RAW, &[][..]), (LinkType::ETHERNET, &ethernet)] {
            assert_eq!(left("", link, header), (0, 2));
            assert_eq!(left("udp dst port 53", link, header), (1, 1));
            assert_eq!(left("tcp", link, header), (2, 0));
            assert_eq!(left("host 10.0.0.7", link, header), (0, 2));
            // One that is none lets nothing pass.
            assert_eq!(left("udp dst", link, header), (2, 0));
        }
    }

    #[test]
    fn a_filter_that_is_none_is_named() {
        check("").unwrap();
        check("tcp port 80 and host 10.0.0.1").unwrap();
        let error = check("tcp port").unwrap_err().to_string();
        assert!(error.contains("tcp port"), "{error}");
        let of_ethernet = "ether host 02:00:00:00:00:01";
        check_for(of_ethernet, "eth0").unwrap();
        assert!(check_for(of_ethernet, "any").is_err());
        check_for("tcp port 80", "any").unwrap();
    }

    #[test]
    fn what_was_set_last_is_taken_once() {
        let narrowing = Narrowing::default();
        assert_eq!(narrowing.take(), None);
        let narrow = |text: &str| Narrow {
            ethernet: text.to_owned(),
            other: text.to_owned(),
        };
        narrowing.set(narrow("port 1"));
        narrowing.clone().set(narrow("port 2"));
        assert_eq!(narrowing.take(), Some(narrow("port 2")));
        assert_eq!(narrowing.take(), None);
        assert_eq!(both("port 1", "port 2"), "(port 1) and (port 2)");
        assert_eq!(
            (both("", "port 2"), both("port 1", "")),
            ("port 2".to_owned(), "port 1".to_owned())
        );
    }
}

//! Capture filters that others set while a capture runs.
//!
//! In: filters of whoever asks for less. Out: the one to go over to, once. Never: a filter that libpcap
//! does not understand, when [`check`] was asked before.

use std::sync::{Arc, Mutex, PoisonError};

use ::pcap::{Capture, Linktype};

use crate::capture::CaptureError;
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

fn check_on(bpf: &str, link: LinkType) -> Result<(), CaptureError> {
    let link = Linktype(i32::from(link.0));
    let compiled = Capture::dead(link).and_then(|dead| dead.compile(bpf, true));
    compiled.map(drop).map_err(|error| CaptureError::Filter {
        filter: bpf.to_owned(),
        reason: super::reason(&error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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

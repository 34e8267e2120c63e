//! Packets that were not read: of what link types, and how many.
//!
//! In: what decoding says of each packet. Out: a sentence for each link type and interface, and one
//! for headers that are damaged. Never: more than [`MAX_KINDS`] link types and interfaces.

use crate::packet::{Decoded, LinkType, Record, link};

/// Link types and interfaces that are told apart.
const MAX_KINDS: usize = 16;

/// Counts of what was not read.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// By link type and interface, with its name where there is one.
    kinds: Vec<(LinkType, u32, Option<String>, u64)>,
    /// Of further link types and interfaces.
    others: u64,
    malformed: u64,
}

impl Unread {
    /// Notes what became of a packet; tells whether its link type is not read and was not met before.
    #[inline]
    pub(super) fn note(
        &mut self,
        record: &Record,
        decoded: &Decoded,
        name: impl FnOnce(u32) -> Option<String>,
    ) -> bool {
        match decoded {
            Decoded::Malformed => {
                self.malformed += 1;
                false
            }
            Decoded::NotIp if !link::is_read(record.linktype) => self.count(record, name),
            _ => false,
        }
    }

    fn count(&mut self, record: &Record, name: impl FnOnce(u32) -> Option<String>) -> bool {
        let is_full = self.kinds.len() >= MAX_KINDS;
        let known = self.kinds.iter_mut().find(|(linktype, interface, ..)| {
            (*linktype, *interface) == (record.linktype, record.interface)
        });
        match known {
            Some((.., count)) => *count += 1,
            None if !is_full => {
                let name = name(record.interface);
                self.kinds
                    .push((record.linktype, record.interface, name, 1));
                return true;
            }
            None => self.others += 1,
        }
        false
    }

    /// Says of the link type that was met last that it is not read.
    pub(super) fn newest(&self) -> Vec<String> {
        let newest = self.kinds.last().map(|(linktype, number, name, _)| {
            let interface = name.clone().unwrap_or_else(|| number.to_string());
            format!(
                "packets of interface {interface} are not read: tapedeck does not know link type {}",
                linktype.0
            )
        });
        newest.into_iter().collect()
    }

    /// What was not read, and nothing of it any more.
    pub(super) fn take(&mut self) -> Vec<String> {
        let Unread {
            kinds,
            others,
            malformed,
        } = std::mem::take(self);
        let packets = |count: u64| match count {
            1 => "1 packet".to_owned(),
            count => format!("{count} packets"),
        };
        let are = |count: u64| if count == 1 { "is" } else { "are" };
        let mut told: Vec<String> = kinds
            .into_iter()
            .map(|(linktype, number, name, count)| {
                let interface = name.unwrap_or_else(|| number.to_string());
                format!(
                    "{} of interface {interface} {} not read: tapedeck does not know link type {}",
                    packets(count),
                    are(count),
                    linktype.0
                )
            })
            .collect();
        if others > 0 {
            told.push(format!(
                "{} of further interfaces {} not read for their link types",
                packets(others),
                are(others)
            ));
        }
        if malformed > 0 {
            told.push(format!(
                "{} {} not read: headers that are cut off or against their standard",
                packets(malformed),
                are(malformed)
            ));
        }
        told
    }
}

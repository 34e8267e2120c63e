//! Which bytes count where TCP segments overlap and differ.
//!
//! In: a segment, and one that was there before. Out: whether the new one's bytes take the place of
//! the old one's. Never: a word about bytes that were handed on already: no host takes those back.
//!
//! Hosts differ, and whoever hides traffic from a recorder sends both versions. That they differ and
//! in which ways is from U. Shankar and V. Paxson, "Active Mapping: Resisting NIDS Evasion Without
//! Altering Traffic" (2003), and J. Novak and S. Sturges, "Target-Based TCP Stream Reassembly" (2007).
//! The cases in the tests were compared with what hosts and other programs do: `linux` with Linux 6.18
//! over raw sockets, `old-linux` with the source of Linux 2.2, and `bsd`, `windows`, `linux`,
//! `old-linux` and `solaris` with the policies of that name of Suricata 7.0.10, which also counts
//! Windows since Vista as `first`. `bsd-right` and `last` are as Shankar and Paxson define them, of
//! fragments; nobody else was found to have them for TCP.
//!
//! One difference is left: Linux joins a segment to the one that it follows without a gap, and
//! compares later ones with the whole of both.

use std::ops::Range;

/// How overlapping segments are put together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum OverlapPolicy {
    /// The first copy of each byte counts. What is read is then what the capture showed first, a
    /// retransmission changes nothing, and the bytes of a stream do not depend on when a hole
    /// before them was filled.
    #[default]
    First,
    /// The last copy that came before the bytes were handed on.
    Last,
    /// The new segment counts where it begins before the old one: BSD, macOS, AIX.
    Bsd,
    /// The new segment counts where it begins with the old one or behind it.
    BsdRight,
    /// The new segment counts where it begins before the old one, or with it and ends behind it.
    Linux,
    /// The new segment counts where it begins before the old one, or with it and does not end before
    /// it: Linux to 2.2.
    OldLinux,
    /// As BSD: Windows to Server 2003.
    Windows,
    /// The new segment counts where it ends behind the old one, or with it and does not begin behind
    /// it: Solaris, HP-UX 11.
    Solaris,
}

impl OverlapPolicy {
    /// All of them, with their names in the configuration and what each does.
    pub const ALL: &'static [(OverlapPolicy, &'static str, &'static str)] = &[
        (
            OverlapPolicy::First,
            "first",
            "the first copy of a byte counts",
        ),
        (OverlapPolicy::Last, "last", "the last copy counts"),
        (
            OverlapPolicy::Bsd,
            "bsd",
            "a later segment counts where it begins before the earlier one",
        ),
        (
            OverlapPolicy::BsdRight,
            "bsd-right",
            "a later segment counts where it begins with the earlier one or behind it",
        ),
        (
            OverlapPolicy::Linux,
            "linux",
            "a later segment counts where it begins before the earlier one, or with it and ends behind it",
        ),
        (
            OverlapPolicy::OldLinux,
            "old-linux",
            "a later segment counts where it begins before the earlier one, or with it and does not end before it",
        ),
        (OverlapPolicy::Windows, "windows", "as bsd"),
        (
            OverlapPolicy::Solaris,
            "solaris",
            "a later segment counts where it ends behind the earlier one, or with it and does not begin behind it",
        ),
    ];

    /// The policy of that name in the configuration.
    pub fn named(name: &str) -> Option<OverlapPolicy> {
        let mut all = OverlapPolicy::ALL.iter();
        all.find(|(_, known, _)| known.eq_ignore_ascii_case(name))
            .map(|(policy, ..)| *policy)
    }

    /// Whether `new` counts where it overlaps with `old`, both as offsets.
    pub(super) fn takes_new(self, new: &Range<u64>, old: &Range<u64>) -> bool {
        match self {
            OverlapPolicy::First => false,
            OverlapPolicy::Last => true,
            OverlapPolicy::Bsd | OverlapPolicy::Windows => new.start < old.start,
            OverlapPolicy::BsdRight => new.start >= old.start,
            OverlapPolicy::Linux => {
                new.start < old.start || new.start == old.start && new.end > old.end
            }
            OverlapPolicy::OldLinux => {
                new.start < old.start || new.start == old.start && new.end >= old.end
            }
            OverlapPolicy::Solaris => {
                new.end > old.end || new.end == old.end && new.start <= old.start
            }
        }
    }
}

//! The kernel's part in leaving out what is not targeted.
//!
//! In: the targets, which change at any time. Out: a capture filter that lets pass at least what is
//! targeted, where few addresses make one; a count of what it leaves out. Never: a filter that is
//! narrower than the targets for longer than [`REST`], and none at all that a new pod could meet.
//!
//! What passes is looked at again packet by packet (`targets.rs`), so a filter may be wide. It is
//! written anew at once when the targets grow beyond it, else at most every [`REST`]: each new filter
//! costs the kernel a moment in which packets are dropped (libpcap attaches one that lets nothing pass
//! in between).
//!
//! A second capture, which nobody reads, has the opposite filter; the kernel counts what reaches it.
//! On several interfaces at once each sight of a packet counts.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::pcap::{Active, Capture, Linktype};

use super::{ANY, LiveOptions};
use crate::capture::targets::{SharedTargets, TargetSet, base_of};
use crate::packet::LinkType;
use crate::packet::bpf::{Link, Looks, lenient};

/// Addresses, ports and networks of one filter: some thousand instructions of the 4,096 that the
/// kernel takes, and no slower per packet than looking at it here.
const MAX_TERMS: usize = 100;

/// Time between two filters when the one in force is only wider than it need be, or an address of a
/// pod that is gone may be given on.
const REST: Duration = Duration::from_secs(5);

/// Bytes of a packet, and of all of them, that the capture keeps which is there for its count.
const TALLY_BYTES: i32 = 64;
const TALLY_BUFFER: i32 = 64 * 1024;

/// Lets nothing pass.
const NOTHING: &str = "less 0";

/// Follows the targets.
pub(super) struct Aim {
    targets: SharedTargets,
    link: Link,
    /// Number of the targets that were looked at last.
    version: u64,
    /// Those that the filter is made of; `None` without one.
    made_of: Option<Arc<TargetSet>>,
    at: Option<Instant>,
    tally: Option<Tally>,
}

impl Aim {
    /// Follows `targets` on a link; `tally` counts what the filter leaves out.
    pub(super) fn new(targets: SharedTargets, link: Link, tally: Option<Capture<Active>>) -> Aim {
        Aim {
            targets,
            link,
            version: 0,
            made_of: None,
            at: None,
            tally: tally.map(Tally::new),
        }
    }

    /// Leaves the counting to another capture of the same interface.
    pub(super) fn without_tally(&mut self) {
        self.tally = None;
    }

    /// The filter to go over to; `None` when the one in force stays, empty when everything is to pass.
    pub(super) fn follow(&mut self, now: Instant) -> Option<String> {
        if self.targets.version() == self.version {
            return None;
        }
        let (version, set) = self.targets.get();
        let set = set.filter(|set| terms(set) <= MAX_TERMS);
        let is_wide_enough = match (&self.made_of, &set) {
            (None, None) => {
                self.version = version;
                return None;
            }
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (Some(old), Some(new)) => covers(old, new),
        };
        let rests = self.at.is_some_and(|at| now.duration_since(at) < REST);
        if is_wide_enough && rests {
            return None;
        }
        self.version = version;
        self.at = Some(now);
        let filter = set.as_deref().map(|set| filter(set, self.link));
        self.made_of = set;
        Some(filter.unwrap_or_default())
    }

    /// Counts what this filter, beside `others`, leaves out from now on; empty leaves nothing out.
    pub(super) fn count(&mut self, others: &[&str], filter: &str) {
        let Some(tally) = &mut self.tally else {
            return;
        };
        let left_out = match filter {
            "" => NOTHING.to_owned(),
            filter => {
                let others = others.iter().filter(|other| !other.is_empty());
                let all = others.map(|other| format!("({other}) and "));
                format!("{}not ({filter})", all.collect::<String>())
            }
        };
        tally.set(&left_out);
    }

    /// Packets that the kernel left out so far.
    pub(super) fn left_out(&mut self) -> u64 {
        self.tally.as_mut().map_or(0, Tally::read)
    }
}

/// A capture beside one, for the count of what its filter leaves out; nobody reads it, and it keeps
/// next to nothing. It is opened now, while there is the right to.
pub(super) fn open_tally(options: &LiveOptions, linktype: LinkType) -> Option<Capture<Active>> {
    let inactive = Capture::from_device(options.interface.as_str()).ok()?;
    let inactive = inactive
        .promisc(options.promisc && options.interface != ANY)
        .snaplen(TALLY_BYTES)
        .buffer_size(TALLY_BUFFER);
    let mut capture = inactive.open().ok()?;
    if linktype == LinkType::LINUX_SLL2 {
        capture.set_datalink(Linktype(i32::from(linktype.0))).ok()?;
    }
    Some(capture)
}

/// A capture that nobody reads, for its count.
struct Tally {
    capture: Capture<Active>,
    packets: u64,
    /// The kernel's count at the last look; it is 32 bits wide and wraps.
    seen: u32,
}

impl Tally {
    fn new(capture: Capture<Active>) -> Tally {
        let mut tally = Tally {
            capture,
            packets: 0,
            seen: 0,
        };
        tally.set(NOTHING);
        // What came before there was a filter is nothing that was left out.
        tally.read();
        tally.packets = 0;
        tally
    }

    fn set(&mut self, filter: &str) {
        self.read();
        if let Err(error) = self.capture.filter(filter, true) {
            tracing::warn!(%error, "what the kernel leaves out is not counted");
            let _ = self.capture.filter(NOTHING, true);
        }
    }

    fn read(&mut self) -> u64 {
        if let Ok(stats) = self.capture.stats() {
            self.packets += u64::from(stats.received.wrapping_sub(self.seen));
            self.seen = stats.received;
        }
        self.packets
    }
}

/// What a filter of these would be made of.
fn terms(set: &TargetSet) -> usize {
    let known = set.known.iter().filter(|ip| within(set, **ip)).count();
    set.ips.len() + set.endpoints.len() + set.networks.len() + known
}

/// Whether an address is in a network of pods.
fn within(set: &TargetSet, ip: IpAddr) -> bool {
    let mut networks = set.networks.iter();
    networks.any(|(base, bits)| {
        base.is_ipv4() == ip.is_ipv4() && base_of(ip, *bits) == base_of(*base, *bits)
    })
}

/// Whether what `new` targets passes a filter made of `old` too. The address of a pod that is gone is not
/// asked for: it is given on, but not at once.
fn covers(old: &TargetSet, new: &TargetSet) -> bool {
    let passes = |ip: &IpAddr| old.ips.contains(ip) || within(old, *ip) && !old.known.contains(ip);
    new.ips.iter().all(passes)
        && new
            .endpoints
            .iter()
            .all(|end| old.endpoints.contains(end) || passes(&end.ip))
        && new
            .networks
            .iter()
            .all(|network| old.networks.contains(network))
}

/// What lets pass all that is targeted.
fn filter(set: &TargetSet, link: Link) -> String {
    let family = |ip: &IpAddr| if ip.is_ipv4() { "ip" } else { "ip6" };
    let mut parts: Vec<String> = Vec::new();
    let mut ips: Vec<&IpAddr> = set.ips.iter().collect();
    ips.sort();
    parts.extend(ips.iter().map(|ip| format!("{} host {ip}", family(ip))));
    let mut endpoints: Vec<_> = set.endpoints.iter().collect();
    endpoints.sort();
    parts.extend(endpoints.iter().map(|end| {
        let (ip, port) = (end.ip, end.port);
        let kind = family(&ip);
        format!("({kind} src host {ip} and src port {port}) or ({kind} dst host {ip} and dst port {port})")
    }));
    for (base, bits) in &set.networks {
        let base = base_of(*base, *bits);
        let kind = family(&base);
        let is_in = |ip: &&&IpAddr| {
            ip.is_ipv4() == base.is_ipv4()
                && base_of(***ip, *bits) == base
                && !set.ips.contains(**ip)
        };
        let mut known: Vec<&IpAddr> = set.known.iter().collect();
        known.sort();
        let known: Vec<&&IpAddr> = known.iter().filter(is_in).collect();
        for side in ["src", "dst"] {
            let others: Vec<String> = known
                .iter()
                .map(|ip| format!("{kind} {side} host {ip}"))
                .collect();
            parts.push(match others.is_empty() {
                true => format!("{kind} {side} net {base}/{bits}"),
                false => format!(
                    "({kind} {side} net {base}/{bits} and not ({}))",
                    others.join(" or ")
                ),
            });
        }
    }
    let looks = Looks {
        ports: !set.endpoints.is_empty(),
        transport: !set.endpoints.is_empty(),
    };
    match parts.is_empty() {
        // Nothing is targeted; what cannot be judged passes all the same.
        true => lenient(NOTHING, looks, link),
        false => lenient(&parts.join(" or "), looks, link),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capture::targets::tests::{NODE, OTHER, POD, set};
    use crate::packet::Endpoint;

    fn packet(src: [u8; 4], from: u16, dst: [u8; 4], to: u16, fragment: u8) -> Vec<u8> {
        let mut out = vec![0x45, 0, 0, 28, 0, 1, 0, fragment, 64, 17, 0, 0];
        out.extend_from_slice(&src);
        out.extend_from_slice(&dst);
        out.extend_from_slice(&from.to_be_bytes());
        out.extend_from_slice(&to.to_be_bytes());
        out.extend_from_slice(&[0, 8, 0, 0]);
        out
    }

    fn passes(filter: &str, packet: &[u8]) -> bool {
        // DLT_RAW, as libpcap's compiler numbers it.
        let dead = Capture::dead(Linktype(12)).unwrap();
        dead.compile(filter, true).unwrap().filter(packet)
    }

    #[test]
    fn what_is_targeted_or_may_be_passes_and_the_rest_does_not() {
        let filter = filter(&set(), Link::Other);
        let far = [198, 51, 100, 1];
        for (src, from, dst, to, expected) in [
            (POD, 1, far, 80, true),
            (far, 80, POD, 1, true),
            (OTHER, 1, far, 80, false),
            (OTHER, 1, POD, 80, true),
            ([10, 244, 1, 9], 1, far, 80, true),
            (far, 1, NODE, 9100, true),
            (far, 1, NODE, 22, false),
            (far, 9100, NODE, 22, false),
            (far, 1, far, 2, false),
        ] {
            let packet = packet(src, from, dst, to, 0);
            assert_eq!(
                passes(&filter, &packet),
                expected,
                "{src:?}:{from} {dst:?}:{to}: {filter}"
            );
        }
        // A later fragment has no ports that could be told.
        assert!(passes(&filter, &packet(far, 1, NODE, 22, 9)));
        let none = TargetSet::default();
        assert!(!passes(
            &super::filter(&none, Link::Other),
            &packet(far, 1, NODE, 22, 0)
        ));
    }

    #[test]
    fn a_filter_stays_while_it_is_wide_enough_and_changes_at_once_when_it_is_not() {
        let targets = SharedTargets::default();
        let mut aim = Aim::new(targets.clone(), Link::Other, None);
        let start = Instant::now();
        assert_eq!(aim.follow(start), None);
        targets.set(Some(set()));
        assert!(aim.follow(start).unwrap().contains("host 10.244.1.7"));
        assert_eq!(aim.follow(start), None);
        // A new pod of the same network passes as one that is not known yet.
        let mut more = set();
        more.ips.insert([10, 244, 1, 9].into());
        more.known.insert([10, 244, 1, 9].into());
        targets.set(Some(more.clone()));
        assert_eq!(aim.follow(start + Duration::from_secs(1)), None);
        assert!(
            aim.follow(start + REST)
                .unwrap()
                .contains("host 10.244.1.9")
        );
        // Other targets do not.
        more.ips.insert(OTHER.into());
        targets.set(Some(more));
        assert!(
            aim.follow(start + REST)
                .unwrap()
                .contains("host 10.244.1.8")
        );
        let mut large = set();
        large
            .ips
            .extend((0..200).map(|last| IpAddr::from([10, 244, 2, last])));
        targets.set(Some(large));
        assert_eq!(aim.follow(start + REST), Some(String::new()));
        targets.set(None);
        assert_eq!(aim.follow(start + REST), None);
    }

    #[test]
    fn a_filter_of_the_greatest_size_is_one_that_the_kernel_takes() {
        let mut large = set();
        let room = u8::try_from(MAX_TERMS - terms(&large)).unwrap();
        large
            .known
            .extend((0..room).map(|last| IpAddr::from([10, 244, 1, 100 + last])));
        assert_eq!(terms(&large), MAX_TERMS);
        for link in [Link::Other, Link::Ethernet] {
            let dead = Capture::dead(Linktype(if link == Link::Other { 12 } else { 1 })).unwrap();
            let program = dead.compile(&filter(&large, link), true).unwrap();
            let length = program.get_instructions().len();
            assert!(length < 4096, "{link:?}: {length} instructions");
        }
    }

    proptest! {
        /// Whatever the filter that looks at each packet here would keep passes the kernel's.
        #[test]
        fn nothing_targeted_is_ever_left_out(
            ips in prop::collection::hash_set(0_u8..20, 0..6),
            known in prop::collection::hash_set(0_u8..20, 0..12),
            ends in prop::collection::hash_set((0_u8..20, 1_u16..4), 0..4),
            network in prop::option::of(prop::sample::select(vec![24_u8, 28, 30])),
            packets in prop::collection::vec((0_u8..20, 1_u16..4, 0_u8..20, 1_u16..4), 1..20),
        ) {
            let ip = |last: u8| IpAddr::from([10, 244, 1, last]);
            let mut set = TargetSet {
                networks: network.map(|bits| (ip(0), bits)).into_iter().collect(),
                ..TargetSet::default()
            };
            set.ips.extend(ips.iter().map(|last| ip(*last)));
            set.known.extend(known.iter().map(|last| ip(*last)));
            set.endpoints.extend(ends.iter().map(|(last, port)| Endpoint { ip: ip(*last), port: *port }));
            let filter = filter(&set, Link::Other);
            for (src, from, dst, to) in packets {
                let bytes = packet([10, 244, 1, src], from, [10, 244, 1, dst], to, 0);
                let kept = crate::capture::targets::keeps(&set, &bytes);
                prop_assert_eq!(passes(&filter, &bytes), kept, "{:?} {}", (src, from, dst, to), filter);
            }
        }
    }
}

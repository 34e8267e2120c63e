//! Capture filters in libpcap's language that let pass what they cannot judge.
//!
//! In: an expression over plain IP packets (pcap-filter(7)). Out: the same for all that a link may carry.
//! Never: a packet dropped because its headers lie where libpcap does not look.

use std::fmt::Write;

use super::tunnel;

/// What a link layer may have in front of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Ethernet, with VLAN tags perhaps.
    Ethernet,
    /// Anything else.
    Other,
}

/// What an expression looks at beside addresses.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Looks {
    /// Ports, which later fragments do not have.
    pub ports: bool,
    /// The transport, which stands elsewhere behind extension headers of IPv6.
    pub transport: bool,
}

/// `plain`, made to let pass whatever it cannot judge.
///
/// That is: what is no IP right behind the link layer (PPPoE, MPLS, second VLAN tags), later
/// fragments where ports count, IPv6 with extension headers, which libpcap does not follow, and
/// packets of tunnels, whose inner addresses it does not see.
pub fn lenient(plain: &str, looks: Looks, link: Link) -> String {
    let mut plain = format!("({plain})");
    if looks.ports {
        plain.push_str(" or (ip and ip[6:2] & 0x1fff != 0)");
    }
    if looks.transport {
        plain.push_str(
            " or (ip6 and ip6[6] != 6 and ip6[6] != 17 and ip6[6] != 132 and ip6[6] != 58)",
        );
    }
    // Writing to a string cannot fail.
    let (ports, protocols) = tunnel::CARRIERS;
    for port in ports {
        let _ = write!(plain, " or udp dst port {port}");
    }
    for protocol in protocols {
        let _ = write!(plain, " or ip proto {protocol} or ip6 proto {protocol}");
    }
    match link {
        Link::Other => format!("{plain} or not (ip or ip6)"),
        // What follows `vlan` is read behind the tag, so it comes last.
        Link::Ethernet => format!(
            "{plain} or not (ip or ip6 or ether proto 0x8100 or ether proto 0x88a8 or ether proto 0x9100) \
             or (vlan and ({plain} or not (ip or ip6)))"
        ),
    }
}

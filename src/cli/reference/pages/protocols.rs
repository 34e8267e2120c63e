//! `docs/reference/protocols.md`: the kinds of item of each protocol, and their fields.

use super::item::kind;
use super::{GENERATED, code, head, row};
use crate::dissect::{PROTOCOLS, Protocol};
use crate::flow::OverlapPolicy;
use crate::packet::Transport;

const INTRODUCTION: &str = "\
# Protocols

In the order in which detection asks them. `macro` is what selects the items in KFL; a field's path is
the same in KFL, in scripts (`data.request.path`) and in JSON. Items of every protocol have the members
of [item.md](item.md) too.

## How streams are read

- Content decides first, of both sides. A port settles what content leaves in doubt: the usual ones of the
  tables below, and those that `tap.portMapping` adds (`{\"redis\": [6380]}`). Where the opening of a stream
  was not seen, the ports of both sides count.
- `tap.enabledDissectors` names the protocols that are looked for. `tap.portLimits` limits one to ports
  (`{\"redis\": [6379]}`); without an entry it is looked for on all.
- Tunnels (VXLAN, Geneve, GRE, ERSPAN, IP in IP, GTP-U, MPLS, PPPoE) are opened, to eight within each other.
  An item is about the inner conversation, and `tunnel` tells the outer one. The same addresses in two
  VXLAN or Geneve networks are two conversations.
- Messages of gRPC are read by the descriptors of `tap.grpc.descriptors` (`--proto-descriptors FILE`), and by
  those that a server told by reflection earlier in the capture. They are then in `message`, with the names
  of their fields in JSON; without descriptors they are in `fields`, by field numbers. Whole numbers of more
  than 53 bits are text.
- Where TCP segments overlap and differ, `tap.misc.tcpOverlap` says which bytes count, of those that were
  not handed on yet. The rules are those of Shankar and Paxson (\"Active Mapping\", 2003) and of Novak and
  Sturges (\"Target-Based TCP Stream Reassembly\", 2007). The default is `first`: a recording shows what
  came first, and a retransmission changes nothing. Name the system of the servers to see what they saw.

";

/// The page.
pub(super) fn render() -> String {
    let mut out = GENERATED.to_owned() + INTRODUCTION;
    out.push_str(&head(&["`tap.misc.tcpOverlap`", "which bytes count"]));
    for (_, name, doc) in OverlapPolicy::ALL {
        out.push_str(&row(&[&code(name), doc]));
    }
    for protocol in PROTOCOLS {
        out.push_str(&section(*protocol));
    }
    out
}

fn section(protocol: &dyn Protocol) -> String {
    let transports: Vec<String> = protocol.transports().iter().map(transport).collect();
    let mut out = format!(
        "\n## {}\n\nOver {}; switched on by `{}` in `tap.enabledDissectors`.\n\n",
        protocol.name(),
        transports.join(" and "),
        protocol.enabled_by()
    );
    out.push_str(&head(&[
        "kind",
        "`protocol.name`",
        "version",
        "macro",
        "usual ports",
        "specification",
    ]));
    for kind in protocol.kinds() {
        let label = match kind.long_name {
            "" => kind.abbr.to_owned(),
            long => format!("{} ({long})", kind.abbr),
        };
        out.push_str(&row(&[
            &label,
            &code(kind.name),
            kind.version,
            &code(kind.macro_name),
            &kind.ports.join(", "),
            kind.reference,
        ]));
    }
    let columns = protocol.columns();
    let named: Vec<String> = [
        ("method", columns.method),
        ("status", columns.status),
        ("summary", columns.summary),
    ]
    .into_iter()
    .filter(|(_, path)| !path.is_empty())
    .map(|(name, path)| format!("{name} `{path}`"))
    .collect();
    if !named.is_empty() {
        out.push_str(&format!("\nLists show {}.\n", named.join(", ")));
    }
    out.push('\n');
    out.push_str(&head(&["path", "holds", "what it is"]));
    for field in protocol.fields() {
        out.push_str(&row(&[&code(field.path), kind(field.kind), field.doc]));
    }
    out
}

/// IP protocol number of ICMP (RFC 792), ICMPv6 (RFC 4443) and SCTP (RFC 9260).
const NUMBERED: &[(u8, &str)] = &[(1, "ICMP"), (58, "ICMPv6"), (132, "SCTP")];

fn transport(transport: &Transport) -> String {
    match transport {
        Transport::Tcp => "TCP".to_owned(),
        Transport::Udp => "UDP".to_owned(),
        Transport::Other(number) => NUMBERED
            .iter()
            .find(|(known, _)| known == number)
            .map_or_else(
                || format!("IP protocol {number}"),
                |(_, name)| (*name).to_owned(),
            ),
    }
}

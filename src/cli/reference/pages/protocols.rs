//! `docs/reference/protocols.md`: the kinds of item of each protocol, and their fields.

use super::item::kind;
use super::{GENERATED, code, head, row};
use crate::dissect::{PROTOCOLS, Protocol};
use crate::packet::Transport;

const INTRODUCTION: &str = "\
# Protocols

In the order in which detection asks them. `macro` is what selects the items in KFL; a field's path is
the same in KFL, in scripts (`data.request.path`) and in JSON. Items of every protocol have the members
of [item.md](item.md) too.
";

/// The page.
pub(super) fn render() -> String {
    let mut out = GENERATED.to_owned() + INTRODUCTION;
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

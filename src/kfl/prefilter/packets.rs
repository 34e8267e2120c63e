//! What a query needs of packets, as a capture filter.
//!
//! In: atoms of a query. Out: [`Fact`]s about addresses, ports and transports, and libpcap's
//! expression for them (pcap-filter(7)). Source and destination become one, since both directions
//! of a conversation must pass. Never: a guess by well-known port.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use super::{Condition, path_of, sides};
use crate::kfl::functions::Does;
use crate::kfl::ir::{Const, End, Expr, Func, Op, Step, Typed};
use crate::kfl::v2::vars::{How, Var};
use crate::packet::bpf::{Looks, lenient};

pub use crate::packet::bpf::Link;

/// Something that the headers of a packet tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// One end has a port from the first to the last of these.
    Port(Side, u16, u16),
    /// One end has this address.
    Host(IpAddr),
    /// One end has an IPv4 address with so many leading bits of this one.
    Net(Ipv4Addr, u8),
    /// The IP protocol is one of these.
    Transport(&'static [&'static str]),
}

/// Which end of the item a fact was said of; packets of both directions have it at either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who asked.
    Src,
    /// Who was asked.
    Dst,
}

/// Transports of a protocol flag or macro.
const TRANSPORTS: &[(&str, &[&str])] = &[
    ("http", &["tcp"]),
    ("http2", &["tcp"]),
    ("grpc", &["tcp"]),
    ("gql", &["tcp"]),
    ("gqlv1", &["tcp"]),
    ("gqlv2", &["tcp"]),
    ("ws", &["tcp"]),
    ("redis", &["tcp"]),
    ("kafka", &["tcp"]),
    ("amqp", &["tcp"]),
    ("mysql", &["tcp"]),
    ("postgresql", &["tcp"]),
    ("mongodb", &["tcp"]),
    ("tlsx", &["tcp"]),
    ("tcp", &["tcp"]),
    ("tcp_conn", &["tcp"]),
    ("tcp_flow", &["tcp"]),
    ("udp", &["udp"]),
    ("udp_conn", &["udp"]),
    ("udp_flow", &["udp"]),
    ("sctp", &["sctp"]),
    ("icmp", &["icmp", "icmp6"]),
    ("dns", &["tcp", "udp"]),
    ("ldap", &["tcp", "udp"]),
    ("radius", &["tcp", "udp"]),
    ("diameter", &["tcp", "udp", "sctp"]),
];

/// What an atom needs of packets; nothing of its opposite.
pub(super) fn fact(atom: &Expr, holds: bool) -> Option<Condition<Fact>> {
    if !holds {
        return None;
    }
    match atom {
        Expr::Macro(made) => transport(&made.name),
        Expr::Select(selector) => {
            let End::Helper(helper) = selector.end else {
                return None;
            };
            let (Step::Call(_, params), receiver) = selector.steps.split_last()? else {
                return None;
            };
            let path = super::names(receiver)?;
            let is_ip = helper.does == Does::StartsWith && side(&path, ".ip").is_some();
            prefix(params.first().filter(|_| is_ip)?)
        }
        Expr::Cmp(..) => {
            let (op, of, with) = sides(atom)?;
            compared(op, &path_of(of)?, with)
        }
        Expr::Typed(typed) => match &**typed {
            Typed::Flag(owner, _) => match owner.as_slice() {
                [var] => transport(var.name),
                _ => None,
            },
            Typed::Var(var, _) => transport(var.name),
            Typed::Cmp(..) => {
                let (op, of, with) = sides(atom)?;
                compared(op, variable(of)?.name, with)
            }
            Typed::In(of, Expr::Typed(list), _) => {
                let Typed::List(elements) = &**list else {
                    return None;
                };
                let name = variable(of)?.name;
                let facts = elements.iter().map(|with| compared(Op::Eq, name, with));
                // In an empty list there is nothing.
                (!elements.is_empty()).then(|| super::any(facts.collect()))?
            }
            Typed::Call(Func::StartsWith, args) => {
                let [of, with] = args.as_slice() else {
                    return None;
                };
                let is_ip = side(variable(of)?.name, ".ip").is_some();
                prefix(Some(with).filter(|_| is_ip)?)
            }
            _ => None,
        },
        _ => None,
    }
}

fn variable(expr: &Expr) -> Option<&'static Var> {
    let Expr::Typed(typed) = expr else {
        return None;
    };
    match &**typed {
        Typed::Var(var, _) if matches!(var.how, How::Path(_)) => Some(var),
        _ => None,
    }
}

fn transport(name: &str) -> Option<Condition<Fact>> {
    let (_, transports) = TRANSPORTS.iter().find(|(known, _)| *known == name)?;
    Some(Condition::Is(Fact::Transport(transports)))
}

fn side(path: &str, what: &str) -> Option<Side> {
    match path.strip_suffix(what)? {
        "src" => Some(Side::Src),
        "dst" => Some(Side::Dst),
        _ => None,
    }
}

fn compared(op: Op, path: &str, with: &Expr) -> Option<Condition<Fact>> {
    let Expr::Const(with) = with else { return None };
    if let Some(side) = side(path, ".port") {
        let port = match with {
            Const::Int(value, _) => *value,
            // A text that is not how a port is shown equals none; ordering would read it as a number.
            Const::Text(text) if op == Op::Eq => {
                let port: u16 = text.parse().ok()?;
                (port.to_string() == **text).then_some(port.into())?
            }
            _ => return None,
        };
        let (low, high) = match op {
            Op::Eq => (port, port),
            Op::Gt => (port.checked_add(1)?, i64::MAX),
            Op::Ge => (port, i64::MAX),
            Op::Lt => (0, port.checked_sub(1)?),
            Op::Le => (0, port),
            Op::Ne => return None,
        };
        let (low, high) = (low.clamp(0, 65_535), high.min(65_535));
        // No port is in an empty range; then there is no filter that says so.
        let high = u16::try_from(high).ok()?;
        let low = u16::try_from(low).ok().filter(|low| *low <= high)?;
        return Some(Condition::Is(Fact::Port(side, low, high)));
    }
    if side(path, ".ip").is_some() && op == Op::Eq {
        let Const::Text(text) = with else { return None };
        let ip: IpAddr = text.parse().ok()?;
        return (ip.to_string() == **text).then_some(Condition::Is(Fact::Host(ip)));
    }
    None
}

/// The network of a text that addresses begin with: whole octets of IPv4 up to a dot.
fn prefix(text: &Expr) -> Option<Condition<Fact>> {
    let Expr::Const(Const::Text(text)) = text else {
        return None;
    };
    let mut octets = [0u8; 4];
    let written = text.strip_suffix('.')?;
    let mut count = 0;
    for part in written.split('.') {
        let octet: u8 = part.parse().ok()?;
        // A leading zero is never shown, so nothing begins so.
        if octet.to_string() != part {
            return None;
        }
        *octets.get_mut(count).filter(|_| count < 3)? = octet;
        count += 1;
    }
    let bits = u8::try_from(count * 8).ok()?;
    Some(Condition::Is(Fact::Net(Ipv4Addr::from(octets), bits)))
}

/// Puts ranges of one side that must hold together into one, and leaves out what follows from the rest.
pub(super) fn merged(condition: Condition<Fact>) -> Condition<Fact> {
    let parts = match condition {
        Condition::All(parts) => parts,
        Condition::Any(parts) => {
            return without_narrower(parts.into_iter().map(merged).collect());
        }
        fact => return fact,
    };
    let mut out: Vec<Condition<Fact>> = Vec::new();
    for part in flat(parts) {
        let part = merged(part);
        if let Condition::Is(Fact::Port(side, low, high)) = part
            && let Some(Condition::Is(Fact::Port(_, known_low, known_high))) = out.iter_mut().find(
                |known| matches!(known, Condition::Is(Fact::Port(other, ..)) if *other == side),
            )
            && low.max(*known_low) <= high.min(*known_high)
        {
            *known_low = low.max(*known_low);
            *known_high = high.min(*known_high);
            continue;
        }
        if !out.contains(&part) {
            out.push(part);
        }
    }
    match out.len() {
        1 => out.remove(0),
        _ => Condition::All(out),
    }
}

/// Any of these without those that hold only where another one does: `a and b` beside `a`. The optimizer
/// of libpcap 1.10.3 loses packets over them on links without Ethernet.
fn without_narrower(parts: Vec<Condition<Fact>>) -> Condition<Fact> {
    fn conjuncts(part: &Condition<Fact>) -> &[Condition<Fact>] {
        match part {
            Condition::All(parts) => parts,
            one => std::slice::from_ref(one),
        }
    }
    let is_within = |part: &Condition<Fact>, other: &Condition<Fact>| {
        let parts = conjuncts(part);
        conjuncts(other).iter().all(|one| parts.contains(one))
    };
    let mut out: Vec<Condition<Fact>> = Vec::new();
    for part in parts {
        if !out.iter().any(|known| is_within(&part, known)) {
            out.retain(|known| !is_within(known, &part));
            out.push(part);
        }
    }
    match out.len() {
        1 => out.remove(0),
        _ => Condition::Any(out),
    }
}

fn flat(parts: Vec<Condition<Fact>>) -> Vec<Condition<Fact>> {
    let inner = parts.into_iter().flat_map(|part| match part {
        Condition::All(parts) => flat(parts),
        part => vec![part],
    });
    inner.collect()
}

/// The condition itself in libpcap's language, for people.
pub fn shown(condition: &Condition<Fact>) -> String {
    let mut text = String::new();
    write(&mut text, condition);
    text
}

/// The condition in libpcap's language, made to let pass whatever it cannot judge; see [`lenient`].
pub fn bpf(condition: &Condition<Fact>, link: Link) -> String {
    let looks = Looks {
        ports: has_ports(condition),
        transport: has_transport(condition),
    };
    lenient(&shown(condition), looks, link)
}

fn write(out: &mut String, condition: &Condition<Fact>) {
    // Writing to a string cannot fail.
    let _ = match condition {
        Condition::All(parts) => return joined(out, parts, " and "),
        Condition::Any(parts) => return joined(out, parts, " or "),
        Condition::Is(Fact::Port(_, low, high)) if low == high => write!(out, "port {low}"),
        Condition::Is(Fact::Port(_, low, high)) => write!(out, "portrange {low}-{high}"),
        Condition::Is(Fact::Host(ip)) => write!(out, "host {ip}"),
        Condition::Is(Fact::Net(ip, bits)) => write!(out, "net {ip}/{bits}"),
        Condition::Is(Fact::Transport(transports)) => match transports {
            [one] => write!(out, "{one}"),
            _ => write!(out, "({})", transports.join(" or ")),
        },
    };
}

fn joined(out: &mut String, parts: &[Condition<Fact>], sign: &str) {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            out.push_str(sign);
        }
        let group = matches!(part, Condition::All(_) | Condition::Any(_));
        if group {
            out.push('(');
        }
        write(out, part);
        if group {
            out.push(')');
        }
    }
}

fn has_ports(condition: &Condition<Fact>) -> bool {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(has_ports),
        Condition::Is(fact) => matches!(fact, Fact::Port(..)),
    }
}

fn has_transport(condition: &Condition<Fact>) -> bool {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(has_transport),
        Condition::Is(fact) => matches!(fact, Fact::Port(..) | Fact::Transport(_)),
    }
}

//! The socket tables and addresses of a network namespace, as Linux tells them.
//!
//! In: files of a folder `/proc/PID/net`. Out: [`Row`]s, addresses. Never: which process holds a socket.
//! Formats: proc(5), `proc_pid_net`.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::capture::own::ordered;
use crate::packet::{Endpoint, FiveTuple, Transport};

const TCP_LISTEN: u8 = 0x0a;

/// The sockets with ports of a network namespace.
pub(super) fn rows(net: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, transport) in [
        ("tcp", Transport::Tcp),
        ("tcp6", Transport::Tcp),
        ("udp", Transport::Udp),
        ("udp6", Transport::Udp),
    ] {
        let text = fs::read_to_string(net.join(name)).unwrap_or_default();
        let lines = text.lines().skip(1);
        rows.extend(lines.filter_map(|line| Row::parse(line, transport)));
    }
    rows
}

/// A line of a socket table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) transport: Transport,
    pub(super) local: Endpoint,
    pub(super) remote: Endpoint,
    pub(super) listens: bool,
    /// 0 for sockets that no process holds any more.
    pub(super) inode: u64,
}

impl Row {
    /// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`
    fn parse(line: &str, transport: Transport) -> Option<Row> {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = endpoint(fields.next()?)?;
        let remote = endpoint(fields.next()?)?;
        let state = u8::from_str_radix(fields.next()?, 16).ok()?;
        let inode = fields.nth(5)?.parse().ok()?;
        Some(Row {
            transport,
            local,
            remote,
            listens: transport == Transport::Tcp && state == TCP_LISTEN,
            inode,
        })
    }

    /// The flow it carries, its smaller end first.
    pub(super) fn ordered(&self) -> FiveTuple {
        ordered(FiveTuple {
            src: self.local,
            dst: self.remote,
            transport: self.transport,
        })
    }
}

/// `0100007F:1F90`: the address as 32-bit words in host order, then the port.
fn endpoint(text: &str) -> Option<Endpoint> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = address.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut octets = [0; 16];
            for (at, part) in octets.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            // A socket for both families shows IPv4 peers as mapped addresses.
            IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
        }
        _ => return None,
    };
    Some(Endpoint {
        ip,
        port: u16::from_str_radix(port, 16).ok()?,
    })
}

/// The addresses of the network namespace of this folder.
pub(super) fn addresses(net: &Path) -> HashSet<IpAddr, ahash::RandomState> {
    let read = |name: &str| fs::read_to_string(net.join(name)).unwrap_or_default();
    let (ipv4, ipv6) = (read("fib_trie"), read("if_inet6"));
    local_ipv4(&ipv4).chain(local_ipv6(&ipv6)).collect()
}

/// Leaves of the routing trie: `|-- 192.0.2.1`, then what it is, `/32 host LOCAL`.
fn local_ipv4(text: &str) -> impl Iterator<Item = IpAddr> {
    let mut leaf = None;
    text.lines().filter_map(move |line| {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
            return None;
        }
        line.ends_with("host LOCAL").then_some(leaf?.into())
    })
}

/// `fd000000000000000000000000000002 02 40 00 80 eth0`
fn local_ipv6(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| {
        let digits = line.split_ascii_whitespace().next()?;
        let bits = u128::from_str_radix(digits, 16).ok()?;
        Some(Ipv6Addr::from_bits(bits).into())
    })
}

/// `socket:[12345]`
pub(super) fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_is_read() {
        let line = "   0: 0100007F:1F90 0200007F:C350 01 00000000:00000000 00:00000000 00000000  \
                    1000        0 12345 1 0000000000000000 100 0 0 10 0";
        let row = Row::parse(line, Transport::Tcp).unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!(row.local.to_string(), "127.0.0.1:8080");
            assert_eq!(row.remote.to_string(), "127.0.0.2:50000");
            let mapped = endpoint("0000000000000000FFFF00000100007F:0050").unwrap();
            assert_eq!(mapped.to_string(), "127.0.0.1:80");
        }
        assert_eq!((row.inode, row.listens), (12345, false));
    }

    #[test]
    fn the_addresses_of_this_machine_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
                    \u{20}    |-- 192.0.2.2\n        /32 host LOCAL\n";
        let found: Vec<IpAddr> = local_ipv4(trie).collect();
        assert_eq!(found, [IpAddr::from([192, 0, 2, 2])]);
        let table = "fd000000000000000000000000000002 02 40 00 80     eth0\n";
        let found: Vec<IpAddr> = local_ipv6(table).collect();
        assert_eq!(found, ["fd00::2".parse::<IpAddr>().unwrap()]);
        assert!(addresses(Path::new("/proc/self/net")).contains(&IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        for line in [
            "",
            "0: x y z",
            "0: 0100007F:1F90 0100007F",
            "0: 01:1 é:2 0A",
        ] {
            assert_eq!(Row::parse(line, Transport::Tcp), None);
        }
    }
}

//! Where helpers of scripts may go.
//!
//! In: `scripting.network.allow`, then a host and the addresses it has right now. Out: yes, or the
//! sentence that says why not. Never: a look-up; whoever asks has resolved the name, and connects to
//! the very addresses that were judged.
//!
//! Addresses at which clouds hand out credentials are refused unless they are allowed by name or
//! address: RFC 3927 and RFC 4291 section 2.5.6 (link-local), `fd00:ec2::254` and
//! `100.100.100.200`, also inside IPv4-mapped and IPv4-compatible (RFC 4291 section 2.5.5), NAT64
//! (RFC 6052, RFC 8215) and 6to4 addresses (RFC 3056). A proxy resolves names itself, so the names
//! that clouds give these addresses are refused too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The instance metadata service of Amazon over IPv6.
const AMAZON_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// The instance metadata service of Alibaba Cloud.
const ALIBABA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);

/// The prefixes of NAT64: the well-known one, `64:ff9b::/96`, and `64:ff9b:1::/48` for local use.
const NAT64: [u16; 2] = [0x64, 0xff9b];

/// The prefix of 6to4, `2002::/16`; the IPv4 address follows it.
const SIX_TO_FOUR: u16 = 0x2002;

/// Names that clouds give their metadata services.
const METADATA_NAMES: &[&str] = &[
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.azure.internal",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.tencentyun.com",
];

/// Which hosts helpers may reach.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// Empty means all but metadata addresses.
    allow: Vec<Rule>,
    /// Whether metadata addresses are reached: credentials of the machine come from there.
    metadata: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    host: HostRule,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostRule {
    /// This name, in lower case.
    Name(String),
    /// All names below a domain, `.example.com`.
    Below(String),
    /// Addresses with this prefix.
    Net(IpAddr, u8),
}

impl NetworkPolicy {
    /// Reads entries: `host`, `*.domain`, an address, `address/prefix`, each with or without
    /// `:port` (IPv6 in brackets then).
    ///
    /// # Errors
    /// A sentence that names the entry that cannot be read.
    pub fn parse<T: AsRef<str>>(entries: &[T]) -> Result<NetworkPolicy, String> {
        let rules: Result<Vec<Rule>, String> = entries
            .iter()
            .map(|entry| entry.as_ref().trim())
            .filter(|entry| !entry.is_empty())
            .map(|entry| {
                rule(entry).ok_or_else(|| {
                    format!("scripting.network.allow: {entry} is neither a host nor a network")
                })
            })
            .collect();
        Ok(NetworkPolicy {
            allow: rules?,
            metadata: false,
        })
    }

    /// The same for connections that the script did not choose: those of a cloud's own client, which
    /// asks the metadata service for credentials.
    pub(crate) fn with_metadata(&self) -> NetworkPolicy {
        NetworkPolicy {
            allow: self.allow.clone(),
            metadata: true,
        }
    }

    /// Whether `host` may be reached on `port`, by what is known before its name is resolved.
    pub(crate) fn judge_name(&self, host: &str, port: u16) -> Result<(), String> {
        if !self.metadata && is_metadata_name(host) && !self.allows_name(host, port) {
            return Err(format!(
                "machines get their credentials from {host}; scripts may not go there unless scripting.network.allow names it"
            ));
        }
        let address = bare(host).parse::<IpAddr>().ok();
        // A network may hold what the name stands for; that is seen later.
        let later = address.is_none()
            && self
                .allow
                .iter()
                .any(|rule| matches!(rule.host, HostRule::Net(..)));
        if later {
            return Ok(());
        }
        self.judge(host, port, address.as_slice())
    }

    /// Whether `host`, which is at `addresses`, may be reached on `port`.
    pub(crate) fn judge(&self, host: &str, port: u16, addresses: &[IpAddr]) -> Result<(), String> {
        if self.allows_name(host, port) {
            return Ok(());
        }
        for address in addresses {
            if self.allows_address(*address, port) {
                continue;
            }
            if is_metadata(*address) {
                if self.metadata {
                    continue;
                }
                return Err(format!(
                    "{host} is at {address}, where machines get their credentials; scripts may not go there unless scripting.network.allow names it"
                ));
            }
            if !self.allow.is_empty() {
                return Err(not_allowed(host));
            }
        }
        if addresses.is_empty() && !self.allow.is_empty() {
            return Err(not_allowed(host));
        }
        Ok(())
    }

    fn allows_name(&self, host: &str, port: u16) -> bool {
        let host = bare(host).trim_end_matches('.').to_lowercase();
        self.allow.iter().any(|rule| {
            rule.port.is_none_or(|allowed| allowed == port)
                && match &rule.host {
                    HostRule::Name(name) => *name == host,
                    HostRule::Below(domain) => host.ends_with(domain.as_str()),
                    HostRule::Net(..) => false,
                }
        })
    }

    fn allows_address(&self, address: IpAddr, port: u16) -> bool {
        self.allow.iter().any(|rule| {
            rule.port.is_none_or(|allowed| allowed == port)
                && match rule.host {
                    HostRule::Net(net, prefix) => contains(net, prefix, address.to_canonical()),
                    _ => false,
                }
        })
    }
}

fn not_allowed(host: &str) -> String {
    format!("scripts may not go to {host}: scripting.network.allow does not name it")
}

/// A host without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

fn rule(entry: &str) -> Option<Rule> {
    let (host, port) = match entry.rsplit_once(':') {
        // More than one colon without brackets is an address of IPv6.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, Some(port.parse().ok()?))
        }
        _ => (entry, None),
    };
    let host = bare(host);
    let (address, prefix) = match host.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
        None => (host, None),
    };
    let host = if let Ok(address) = address.parse::<IpAddr>() {
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(most);
        if prefix > most {
            return None;
        }
        HostRule::Net(address, prefix)
    } else if prefix.is_some() {
        return None;
    } else if let Some(domain) = host.strip_prefix('*') {
        let domain = domain.to_lowercase();
        if !domain.starts_with('.') || domain.len() < 2 {
            return None;
        }
        HostRule::Below(domain)
    } else if host.contains(['*', ' ', '@']) || host.is_empty() {
        return None;
    } else {
        HostRule::Name(host.to_lowercase())
    };
    Some(Rule { host, port })
}

/// Whether the first `prefix` bits of both are equal.
fn contains(net: IpAddr, prefix: u8, address: IpAddr) -> bool {
    let equal = |differing: u128, width: u32| {
        let rest = width - u32::from(prefix);
        differing.checked_shr(rest).unwrap_or(0) == 0
    };
    match (net, address) {
        (IpAddr::V4(net), IpAddr::V4(address)) => {
            equal(u128::from(u32::from(net) ^ u32::from(address)), 32)
        }
        (IpAddr::V6(net), IpAddr::V6(address)) => equal(u128::from(net) ^ u128::from(address), 128),
        _ => false,
    }
}

/// Whether a host is the name of a metadata service.
fn is_metadata_name(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    METADATA_NAMES
        .iter()
        .any(|name| host.eq_ignore_ascii_case(name))
}

/// Whether machines get credentials or settings at an address.
fn is_metadata(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local() || address == ALIBABA,
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, high, low] = address.segments();
            let v4 = |high, low| {
                let inner = u32::from(high) << 16 | u32::from(low);
                is_metadata(Ipv4Addr::from(inner).into())
            };
            let is_compatible = [a, b, c, d, e, f] == [0; 6];
            address.is_unicast_link_local()
                || address == AMAZON_V6
                || (([a, b] == NAT64 || is_compatible) && v4(high, low))
                || (a == SIX_TO_FOUR && v4(b, c))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(policy: &NetworkPolicy, host: &str, address: &str) -> bool {
        let address = address.parse().unwrap();
        policy.judge(host, 443, &[address]).is_ok()
    }

    #[test]
    fn without_a_list_all_but_metadata_is_reached() {
        let policy = NetworkPolicy::default();
        for address in ["192.0.2.1", "10.0.0.1", "127.0.0.1", "2001:db8::1", "::1"] {
            assert!(judged(&policy, "host.example", address), "{address}");
        }
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "100.100.100.200",
        ] {
            assert!(!judged(&policy, "host.example", address), "{address}");
            assert!(judged(&policy.with_metadata(), "host.example", address));
        }
        // One bad address among good ones is one too many: which is taken is not known.
        let both = ["192.0.2.1", "169.254.169.254"].map(|ip| ip.parse().unwrap());
        assert!(policy.judge("host.example", 80, &both).is_err());
    }

    #[test]
    fn a_list_allows_what_it_names_and_nothing_else() {
        let entries = [
            "api.example",
            "*.slack.example",
            "192.0.2.0/24",
            "[2001:db8::1]:443",
            "fe80::/10",
            "metadata.internal",
        ];
        let policy = NetworkPolicy::parse(&entries).unwrap();
        for (host, address, allowed) in [
            ("api.example", "198.51.100.1", true),
            ("API.example.", "198.51.100.1", true),
            ("xapi.example", "198.51.100.1", false),
            ("hooks.slack.example", "198.51.100.1", true),
            ("slack.example", "198.51.100.1", false),
            ("evilslack.example", "198.51.100.1", false),
            ("other.example", "192.0.2.77", true),
            ("other.example", "192.0.3.1", false),
            ("[2001:db8::1]", "2001:db8::1", true),
            ("[2001:db8::2]", "2001:db8::2", false),
            ("link.example", "fe80::7", true),
            ("link.example", "169.254.169.254", false),
            ("metadata.internal", "169.254.169.254", true),
        ] {
            assert_eq!(judged(&policy, host, address), allowed, "{host} {address}");
        }
        let port = policy.judge("[2001:db8::1]", 80, &["2001:db8::1".parse().unwrap()]);
        assert!(port.is_err());
    }

    #[test]
    fn names_are_judged_before_they_are_resolved() {
        let names = NetworkPolicy::parse(&["api.example"]).unwrap();
        assert!(names.judge_name("api.example", 443).is_ok());
        assert!(names.judge_name("other.example", 443).is_err());
        let nets = NetworkPolicy::parse(&["192.0.2.0/24"]).unwrap();
        assert!(nets.judge_name("other.example", 443).is_ok());
        assert!(nets.judge_name("198.51.100.1", 443).is_err());
        let all = NetworkPolicy::default();
        assert!(all.judge_name("169.254.169.254", 80).is_err());
        assert!(all.judge_name("[fe80::1]", 80).is_err());
        for name in ["metadata.google.internal", "Metadata.", "instance-data"] {
            assert!(all.judge_name(name, 80).is_err(), "{name}");
            assert!(all.with_metadata().judge_name(name, 80).is_ok(), "{name}");
            let named = NetworkPolicy::parse(&[name.trim_end_matches('.')]).unwrap();
            assert!(named.judge_name(name, 80).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_is_no_host_is_named() {
        for entry in [
            "*",
            "*example",
            "192.0.2.0/33",
            "a b",
            "host:port",
            "name/24",
        ] {
            let said = NetworkPolicy::parse(&[entry]).unwrap_err();
            assert!(said.contains(entry), "{said}");
        }
    }
}

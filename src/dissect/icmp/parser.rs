//! One ICMP or ICMPv6 message: its header, its names, and what pairs it with another.
//!
//! In: the bytes behind the IP headers. Out: [`Message`]. Never: allocation.
//! Standards: RFC 792, RFC 4443, RFC 4861, RFC 2710, RFC 3810, RFC 8335; names are those of the IANA
//! registries "ICMP Type Numbers" and "ICMPv6 type Numbers".

use crate::bytes::{Reader, Short};

/// A message as far as its fixed part goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) v6: bool,
    pub(super) kind: u8,
    pub(super) code: u8,
    /// The four octets behind the checksum.
    pub(super) word: u32,
    /// What follows them.
    pub(super) body: &'a [u8],
}

/// What a message is to the one that it belongs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It asks; the reply has this type and the same mark.
    Query(u8),
    /// It answers a query of this type.
    Reply(u8),
    /// It stands alone.
    Alone,
}

impl<'a> Message<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// `Short` when it has fewer than eight octets; a router solicitation has no more.
    pub(super) fn parse(bytes: &'a [u8], v6: bool) -> Result<Message<'a>, Short> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        let code = reader.u8()?;
        reader.skip(2)?;
        Ok(Message {
            v6,
            kind,
            code,
            word: reader.u32()?,
            body: reader.rest(),
        })
    }

    pub(super) fn role(&self) -> Role {
        match (self.v6, self.kind) {
            (false, 8) => Role::Query(0),
            (false, 0) => Role::Reply(8),
            (false, 13) => Role::Query(14),
            (false, 14) => Role::Reply(13),
            (false, 15) => Role::Query(16),
            (false, 16) => Role::Reply(15),
            (false, 17) => Role::Query(18),
            (false, 18) => Role::Reply(17),
            (false, 42) => Role::Query(43),
            (false, 43) => Role::Reply(42),
            (true, 128) => Role::Query(129),
            (true, 129) => Role::Reply(128),
            (true, 135) => Role::Query(136),
            (true, 136) if self.is_solicited() => Role::Reply(135),
            (true, 160) => Role::Query(161),
            (true, 161) => Role::Reply(160),
            _ => Role::Alone,
        }
    }

    pub(super) fn is_advertisement(&self) -> bool {
        self.v6 && self.kind == 136
    }

    /// RFC 4861 section 4.4: an advertisement that answers a solicitation says so.
    fn is_solicited(&self) -> bool {
        self.word & 0x4000_0000 != 0
    }

    /// What query and reply have in common: identifier and sequence number, the target of
    /// neighbour discovery.
    pub(super) fn mark(&self) -> u128 {
        match (self.v6, self.kind) {
            (true, 135 | 136) => self
                .body
                .first_chunk::<16>()
                .map_or(0, |target| u128::from_be_bytes(*target)),
            // The sequence number has eight bits, the rest are flags (RFC 8335 section 2).
            (false, 42 | 43) | (true, 160 | 161) => u128::from(self.word >> 8),
            _ => u128::from(self.word),
        }
    }

    /// Whether identifier and sequence number stand in the word.
    pub(super) fn has_identifier(&self) -> bool {
        matches!(
            (self.v6, self.kind),
            (false, 0 | 8 | 13..=18) | (true, 128 | 129)
        )
    }

    pub(super) fn is_extended_echo(&self) -> bool {
        matches!((self.v6, self.kind), (false, 42 | 43) | (true, 160 | 161))
    }

    /// Whether the message is an error about a packet, which it quotes.
    pub(super) fn quotes(&self) -> bool {
        matches!(
            (self.v6, self.kind),
            (false, 3 | 4 | 5 | 11 | 12) | (true, 1..=4)
        )
    }

    /// Whether a packet was lost for it; a packet too big only asks for smaller ones.
    pub(super) fn is_failure(&self) -> bool {
        match (self.v6, self.kind) {
            (false, 3) => self.code != 4,
            (false, 11 | 12) | (true, 1 | 3 | 4) => true,
            _ => false,
        }
    }

    /// Name of the type; `None` for an unassigned one.
    pub(super) fn type_name(&self) -> Option<&'static str> {
        Some(if self.v6 {
            match self.kind {
                1 => "DestinationUnreachable",
                2 => "PacketTooBig",
                3 => "TimeExceeded",
                4 => "ParameterProblem",
                128 => "EchoRequest",
                129 => "EchoReply",
                130 => "MulticastListenerQuery",
                131 => "MulticastListenerReport",
                132 => "MulticastListenerDone",
                133 => "RouterSolicitation",
                134 => "RouterAdvertisement",
                135 => "NeighborSolicitation",
                136 => "NeighborAdvertisement",
                137 => "Redirect",
                138 => "RouterRenumbering",
                139 => "NodeInformationQuery",
                140 => "NodeInformationResponse",
                141 => "InverseNeighborDiscoverySolicitation",
                142 => "InverseNeighborDiscoveryAdvertisement",
                143 => "MulticastListenerReportV2",
                144 => "HomeAgentAddressDiscoveryRequest",
                145 => "HomeAgentAddressDiscoveryReply",
                146 => "MobilePrefixSolicitation",
                147 => "MobilePrefixAdvertisement",
                148 => "CertificationPathSolicitation",
                149 => "CertificationPathAdvertisement",
                151 => "MulticastRouterAdvertisement",
                152 => "MulticastRouterSolicitation",
                153 => "MulticastRouterTermination",
                155 => "RplControl",
                157 => "DuplicateAddressRequest",
                158 => "DuplicateAddressConfirmation",
                160 => "ExtendedEchoRequest",
                161 => "ExtendedEchoReply",
                _ => return None,
            }
        } else {
            match self.kind {
                0 => "EchoReply",
                3 => "DestinationUnreachable",
                4 => "SourceQuench",
                5 => "Redirect",
                8 => "EchoRequest",
                9 => "RouterAdvertisement",
                10 => "RouterSolicitation",
                11 => "TimeExceeded",
                12 => "ParameterProblem",
                13 => "TimestampRequest",
                14 => "TimestampReply",
                15 => "InformationRequest",
                16 => "InformationReply",
                17 => "AddressMaskRequest",
                18 => "AddressMaskReply",
                30 => "Traceroute",
                40 => "Photuris",
                42 => "ExtendedEchoRequest",
                43 => "ExtendedEchoReply",
                _ => return None,
            }
        })
    }

    /// What the code says; empty when the type has no codes or this one is unassigned.
    pub(super) fn code_name(&self) -> &'static str {
        match (self.v6, self.kind) {
            (false, 3) => UNREACHABLE_V4.get(usize::from(self.code)),
            (false, 5) => REDIRECT.get(usize::from(self.code)),
            (false, 11) | (true, 3) => EXCEEDED.get(usize::from(self.code)),
            (false, 12) => PROBLEM_V4.get(usize::from(self.code)),
            (true, 1) => UNREACHABLE_V6.get(usize::from(self.code)),
            (true, 4) => PROBLEM_V6.get(usize::from(self.code)),
            (false, 43) | (true, 161) => EXTENDED.get(usize::from(self.code)),
            _ => None,
        }
        .copied()
        .unwrap_or_default()
    }
}

const UNREACHABLE_V4: [&str; 16] = [
    "NetUnreachable",
    "HostUnreachable",
    "ProtocolUnreachable",
    "PortUnreachable",
    "FragmentationNeeded",
    "SourceRouteFailed",
    "DestinationNetworkUnknown",
    "DestinationHostUnknown",
    "SourceHostIsolated",
    "NetworkProhibited",
    "HostProhibited",
    "NetworkUnreachableForTypeOfService",
    "HostUnreachableForTypeOfService",
    "CommunicationProhibited",
    "HostPrecedenceViolation",
    "PrecedenceCutoff",
];

const UNREACHABLE_V6: [&str; 9] = [
    "NoRoute",
    "CommunicationProhibited",
    "BeyondScopeOfSource",
    "AddressUnreachable",
    "PortUnreachable",
    "SourceAddressFailedPolicy",
    "RejectRoute",
    "SourceRoutingHeaderError",
    "HeadersTooLong",
];

const REDIRECT: [&str; 4] = ["Network", "Host", "ServiceAndNetwork", "ServiceAndHost"];

const EXCEEDED: [&str; 2] = ["HopLimitExceeded", "ReassemblyTimeExceeded"];

const PROBLEM_V4: [&str; 3] = ["PointerIndicatesError", "MissingOption", "BadLength"];

const PROBLEM_V6: [&str; 5] = [
    "ErroneousHeaderField",
    "UnrecognizedNextHeader",
    "UnrecognizedOption",
    "IncompleteHeaderChain",
    "UpperLayerHeaderError",
];

const EXTENDED: [&str; 5] = [
    "NoError",
    "MalformedQuery",
    "NoSuchInterface",
    "NoSuchTableEntry",
    "MultipleInterfaces",
];

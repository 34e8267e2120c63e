//! Codes, attributes, their values and vendors, as tables.
//!
//! In: numbers. Out: names and types. Never: bytes; those are `parser`'s. Source: the IANA registries
//! "RADIUS Types" and "Private Enterprise Numbers", RFC 2548 (Microsoft).

use Kind::*;

/// One packet code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Code {
    /// Its number.
    pub(super) number: u8,
    /// Its name.
    pub(super) name: &'static str,
    /// Codes that answer it; none for answers.
    pub(super) answers: &'static [u8],
}

/// What the value of an attribute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text.
    Text,
    /// Octets, shown in hexadecimal.
    Octets,
    /// A secret, of which the length is shown.
    Concealed,
    /// 32 bits without sign.
    Integer,
    /// 64 bits without sign.
    Integer64,
    /// 32 bits that have names.
    Enum(&'static [(u32, &'static str)]),
    /// Seconds since 1970.
    Time,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// An IPv6 prefix with its length in front (RFC 3162 section 2.3).
    Prefix6,
    /// An interface identifier (RFC 3162 section 2.2).
    InterfaceId,
    /// Text with a tag in front (RFC 2868).
    TaggedText,
    /// 24 bits with a tag in front.
    TaggedInteger,
    /// 24 bits that have names, with a tag in front.
    TaggedEnum(&'static [(u32, &'static str)]),
    /// Attributes of a vendor.
    Vendor,
    /// A second octet of type (RFC 6929 section 2.1).
    Extended,
    /// The same with an octet of flags (section 2.2).
    LongExtended,
}

/// One attribute.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    /// Its number.
    number: u8,
    /// Its name.
    pub(super) name: &'static str,
    /// What its value is.
    pub(super) kind: Kind,
}

/// Answers to any request (RFC 7930 section 4).
pub(super) const PROTOCOL_ERROR: u8 = 52;
/// The attribute that names the user.
pub(super) const USER_NAME: u8 = 1;
/// The attribute that says what an accounting request reports.
pub(super) const ACCT_STATUS_TYPE: u8 = 40;
/// Attributes that say who is meant when no user is named.
pub(super) const STATION_AND_NAS: [u8; 3] = [31, 32, 4];
/// Microsoft's number.
const MICROSOFT: u32 = 311;
/// Cisco's number.
const CISCO: u32 = 9;

/// The code with this number.
pub(super) fn code(number: u8) -> Option<&'static Code> {
    CODES.iter().find(|code| code.number == number)
}

/// The attribute with this number.
pub(super) fn attribute(number: u8) -> Option<&'static Attribute> {
    find(ATTRIBUTES, number)
}

/// The attribute of a vendor with this number.
pub(super) fn vendor_attribute(vendor: u32, number: u8) -> Option<&'static Attribute> {
    match vendor {
        MICROSOFT => find(MICROSOFT_ATTRIBUTES, number),
        CISCO => find(CISCO_ATTRIBUTES, number),
        _ => None,
    }
}

fn find(list: &'static [Attribute], number: u8) -> Option<&'static Attribute> {
    list.binary_search_by_key(&number, |attribute| attribute.number)
        .ok()
        .and_then(|index| list.get(index))
}

/// The vendor with this number.
pub(super) fn vendor(number: u32) -> Option<&'static str> {
    name_of(VENDORS, number)
}

/// The name that a list has for a number.
pub(super) fn name_of(list: &[(u32, &'static str)], number: u32) -> Option<&'static str> {
    list.iter()
        .find(|(known, _)| *known == number)
        .map(|(_, name)| *name)
}

const fn ask(number: u8, name: &'static str, answers: &'static [u8]) -> Code {
    Code {
        number,
        name,
        answers,
    }
}

const fn answer(number: u8, name: &'static str) -> Code {
    ask(number, name, &[])
}

const fn attr(number: u8, name: &'static str, kind: Kind) -> Attribute {
    Attribute { number, name, kind }
}

static CODES: &[Code] = &[
    ask(1, "Access-Request", &[2, 3, 11]),
    answer(2, "Access-Accept"),
    answer(3, "Access-Reject"),
    ask(4, "Accounting-Request", &[5]),
    answer(5, "Accounting-Response"),
    ask(6, "Accounting-Status", &[5]),
    ask(7, "Password-Request", &[8, 9]),
    answer(8, "Password-Ack"),
    answer(9, "Password-Reject"),
    ask(10, "Accounting-Message", &[5]),
    answer(11, "Access-Challenge"),
    // Answered as the port would be (RFC 5997 section 4.1).
    ask(12, "Status-Server", &[2, 3, 5, 11]),
    ask(13, "Status-Client", &[2]),
    ask(21, "Resource-Free-Request", &[22]),
    answer(22, "Resource-Free-Response"),
    ask(23, "Resource-Query-Request", &[24]),
    answer(24, "Resource-Query-Response"),
    ask(25, "Alternate-Resource-Reclaim-Request", &[22]),
    ask(26, "NAS-Reboot-Request", &[27]),
    answer(27, "NAS-Reboot-Response"),
    ask(40, "Disconnect-Request", &[41, 42]),
    answer(41, "Disconnect-ACK"),
    answer(42, "Disconnect-NAK"),
    ask(43, "CoA-Request", &[44, 45]),
    answer(44, "CoA-ACK"),
    answer(45, "CoA-NAK"),
    ask(50, "IP-Address-Allocate", &[2, 3]),
    ask(51, "IP-Address-Release", &[2, 3]),
    answer(PROTOCOL_ERROR, "Protocol-Error"),
];

#[rustfmt::skip]
static ATTRIBUTES: &[Attribute] = &[
    // RFC 2865
    attr(1, "User-Name", Text),
    attr(2, "User-Password", Concealed),
    attr(3, "CHAP-Password", Concealed),
    attr(4, "NAS-IP-Address", Ipv4),
    attr(5, "NAS-Port", Integer),
    attr(6, "Service-Type", Enum(SERVICE_TYPE)),
    attr(7, "Framed-Protocol", Enum(FRAMED_PROTOCOL)),
    attr(8, "Framed-IP-Address", Ipv4),
    attr(9, "Framed-IP-Netmask", Ipv4),
    attr(10, "Framed-Routing", Enum(&[(0, "None"), (1, "Send routing packets"), (2, "Listen for routing packets"), (3, "Send and Listen")])),
    attr(11, "Filter-Id", Text),
    attr(12, "Framed-MTU", Integer),
    attr(13, "Framed-Compression", Enum(&[(0, "None"), (1, "VJ TCP/IP header compression"), (2, "IPX header compression"), (3, "Stac-LZS compression")])),
    attr(14, "Login-IP-Host", Ipv4),
    attr(15, "Login-Service", Enum(&[(0, "Telnet"), (1, "Rlogin"), (2, "TCP Clear"), (3, "PortMaster"), (4, "LAT"), (5, "X25-PAD"), (6, "X25-T3POS"), (8, "TCP Clear Quiet")])),
    attr(16, "Login-TCP-Port", Integer),
    attr(18, "Reply-Message", Text),
    attr(19, "Callback-Number", Text),
    attr(20, "Callback-Id", Text),
    attr(22, "Framed-Route", Text),
    attr(23, "Framed-IPX-Network", Integer),
    attr(24, "State", Octets),
    attr(25, "Class", Octets),
    attr(26, "Vendor-Specific", Vendor),
    attr(27, "Session-Timeout", Integer),
    attr(28, "Idle-Timeout", Integer),
    attr(29, "Termination-Action", Enum(&[(0, "Default"), (1, "RADIUS-Request")])),
    attr(30, "Called-Station-Id", Text),
    attr(31, "Calling-Station-Id", Text),
    attr(32, "NAS-Identifier", Text),
    attr(33, "Proxy-State", Octets),
    attr(34, "Login-LAT-Service", Text),
    attr(35, "Login-LAT-Node", Text),
    attr(36, "Login-LAT-Group", Octets),
    attr(37, "Framed-AppleTalk-Link", Integer),
    attr(38, "Framed-AppleTalk-Network", Integer),
    attr(39, "Framed-AppleTalk-Zone", Text),
    // RFC 2866
    attr(40, "Acct-Status-Type", Enum(ACCT_STATUS)),
    attr(41, "Acct-Delay-Time", Integer),
    attr(42, "Acct-Input-Octets", Integer),
    attr(43, "Acct-Output-Octets", Integer),
    attr(44, "Acct-Session-Id", Text),
    attr(45, "Acct-Authentic", Enum(&[(1, "RADIUS"), (2, "Local"), (3, "Remote"), (4, "Diameter")])),
    attr(46, "Acct-Session-Time", Integer),
    attr(47, "Acct-Input-Packets", Integer),
    attr(48, "Acct-Output-Packets", Integer),
    attr(49, "Acct-Terminate-Cause", Enum(ACCT_TERMINATE_CAUSE)),
    attr(50, "Acct-Multi-Session-Id", Text),
    attr(51, "Acct-Link-Count", Integer),
    // RFC 2869
    attr(52, "Acct-Input-Gigawords", Integer),
    attr(53, "Acct-Output-Gigawords", Integer),
    attr(55, "Event-Timestamp", Time),
    // RFC 4675
    attr(56, "Egress-VLANID", Octets),
    attr(57, "Ingress-Filters", Enum(&[(1, "Enabled"), (2, "Disabled")])),
    attr(58, "Egress-VLAN-Name", Text),
    attr(59, "User-Priority-Table", Octets),
    attr(60, "CHAP-Challenge", Octets),
    attr(61, "NAS-Port-Type", Enum(NAS_PORT_TYPE)),
    attr(62, "Port-Limit", Integer),
    attr(63, "Login-LAT-Port", Text),
    // RFC 2867, RFC 2868
    attr(64, "Tunnel-Type", TaggedEnum(TUNNEL_TYPE)),
    attr(65, "Tunnel-Medium-Type", TaggedEnum(TUNNEL_MEDIUM_TYPE)),
    attr(66, "Tunnel-Client-Endpoint", TaggedText),
    attr(67, "Tunnel-Server-Endpoint", TaggedText),
    attr(68, "Acct-Tunnel-Connection", Text),
    attr(69, "Tunnel-Password", Concealed),
    // RFC 2869
    attr(70, "ARAP-Password", Concealed),
    attr(71, "ARAP-Features", Octets),
    attr(72, "ARAP-Zone-Access", Enum(&[(1, "Only allow access to default zone"), (2, "Use zone filter inclusively"), (3, "Not used"), (4, "Use zone filter exclusively")])),
    attr(73, "ARAP-Security", Integer),
    attr(74, "ARAP-Security-Data", Octets),
    attr(75, "Password-Retry", Integer),
    attr(76, "Prompt", Enum(&[(0, "No Echo"), (1, "Echo")])),
    attr(77, "Connect-Info", Text),
    attr(78, "Configuration-Token", Text),
    attr(79, "EAP-Message", Octets),
    attr(80, "Message-Authenticator", Octets),
    attr(81, "Tunnel-Private-Group-ID", TaggedText),
    attr(82, "Tunnel-Assignment-ID", TaggedText),
    attr(83, "Tunnel-Preference", TaggedInteger),
    attr(84, "ARAP-Challenge-Response", Octets),
    attr(85, "Acct-Interim-Interval", Integer),
    attr(86, "Acct-Tunnel-Packets-Lost", Integer),
    attr(87, "NAS-Port-Id", Text),
    attr(88, "Framed-Pool", Text),
    attr(89, "CUI", Text),
    attr(90, "Tunnel-Client-Auth-ID", TaggedText),
    attr(91, "Tunnel-Server-Auth-ID", TaggedText),
    attr(92, "NAS-Filter-Rule", Text),
    attr(94, "Originating-Line-Info", Octets),
    // RFC 3162
    attr(95, "NAS-IPv6-Address", Ipv6),
    attr(96, "Framed-Interface-Id", InterfaceId),
    attr(97, "Framed-IPv6-Prefix", Prefix6),
    attr(98, "Login-IPv6-Host", Ipv6),
    attr(99, "Framed-IPv6-Route", Text),
    attr(100, "Framed-IPv6-Pool", Text),
    attr(101, "Error-Cause", Enum(ERROR_CAUSE)),
    attr(102, "EAP-Key-Name", Octets),
    // RFC 5090
    attr(103, "Digest-Response", Text),
    attr(104, "Digest-Realm", Text),
    attr(105, "Digest-Nonce", Text),
    attr(106, "Digest-Response-Auth", Text),
    attr(107, "Digest-Nextnonce", Text),
    attr(108, "Digest-Method", Text),
    attr(109, "Digest-URI", Text),
    attr(110, "Digest-Qop", Text),
    attr(111, "Digest-Algorithm", Text),
    attr(112, "Digest-Entity-Body-Hash", Text),
    attr(113, "Digest-CNonce", Text),
    attr(114, "Digest-Nonce-Count", Text),
    attr(115, "Digest-Username", Text),
    attr(116, "Digest-Opaque", Text),
    attr(117, "Digest-Auth-Param", Text),
    attr(118, "Digest-AKA-Auts", Text),
    attr(119, "Digest-Domain", Text),
    attr(120, "Digest-Stale", Text),
    attr(121, "Digest-HA1", Concealed),
    attr(122, "SIP-AOR", Text),
    attr(123, "Delegated-IPv6-Prefix", Prefix6),
    attr(124, "MIP6-Feature-Vector", Integer64),
    attr(125, "MIP6-Home-Link-Prefix", Octets),
    attr(126, "Operator-Name", Text),
    attr(127, "Location-Information", Octets),
    attr(128, "Location-Data", Octets),
    attr(129, "Basic-Location-Policy-Rules", Octets),
    attr(130, "Extended-Location-Policy-Rules", Octets),
    attr(131, "Location-Capable", Integer),
    attr(132, "Requested-Location-Info", Integer),
    attr(133, "Framed-Management-Protocol", Enum(&[(1, "SNMP"), (2, "Web-based"), (3, "NETCONF"), (4, "FTP"), (5, "TFTP"), (6, "SFTP"), (7, "RCP"), (8, "SCP")])),
    attr(134, "Management-Transport-Protection", Enum(&[(1, "No-Protection"), (2, "Integrity-Protection"), (3, "Integrity-Confidentiality-Protection")])),
    attr(135, "Management-Policy-Id", Text),
    attr(136, "Management-Privilege-Level", Integer),
    attr(137, "PKM-SS-Cert", Octets),
    attr(138, "PKM-CA-Cert", Octets),
    attr(139, "PKM-Config-Settings", Octets),
    attr(140, "PKM-Cryptosuite-List", Octets),
    attr(141, "PKM-SAID", Octets),
    attr(142, "PKM-SA-Descriptor", Octets),
    attr(143, "PKM-Auth-Key", Concealed),
    attr(144, "DS-Lite-Tunnel-Name", Text),
    attr(145, "Mobile-Node-Identifier", Octets),
    attr(146, "Service-Selection", Text),
    attr(147, "PMIP6-Home-LMA-IPv6-Address", Ipv6),
    attr(148, "PMIP6-Visited-LMA-IPv6-Address", Ipv6),
    attr(149, "PMIP6-Home-LMA-IPv4-Address", Ipv4),
    attr(150, "PMIP6-Visited-LMA-IPv4-Address", Ipv4),
    attr(151, "PMIP6-Home-HN-Prefix", Prefix6),
    attr(152, "PMIP6-Visited-HN-Prefix", Prefix6),
    attr(153, "PMIP6-Home-Interface-ID", InterfaceId),
    attr(154, "PMIP6-Visited-Interface-ID", InterfaceId),
    attr(155, "PMIP6-Home-DHCP4-Server-Address", Ipv4),
    attr(156, "PMIP6-Visited-DHCP4-Server-Address", Ipv4),
    attr(157, "PMIP6-Home-DHCP6-Server-Address", Ipv6),
    attr(158, "PMIP6-Visited-DHCP6-Server-Address", Ipv6),
    attr(159, "PMIP6-Home-IPv4-Gateway", Ipv4),
    attr(160, "PMIP6-Visited-IPv4-Gateway", Ipv4),
    attr(161, "EAP-Lower-Layer", Integer),
    attr(162, "GSS-Acceptor-Service-Name", Text),
    attr(163, "GSS-Acceptor-Host-Name", Text),
    attr(164, "GSS-Acceptor-Service-Specifics", Text),
    attr(165, "GSS-Acceptor-Realm-Name", Text),
    // RFC 6911, RFC 5969, RFC 7268
    attr(168, "Framed-IPv6-Address", Ipv6),
    attr(169, "DNS-Server-IPv6-Address", Ipv6),
    attr(170, "Route-IPv6-Information", Prefix6),
    attr(171, "Delegated-IPv6-Prefix-Pool", Text),
    attr(172, "Stateful-IPv6-Address-Pool", Text),
    attr(173, "IPv6-6rd-Configuration", Octets),
    attr(174, "Allowed-Called-Station-Id", Text),
    attr(175, "EAP-Peer-Id", Octets),
    attr(176, "EAP-Server-Id", Octets),
    attr(177, "Mobility-Domain-Id", Integer),
    attr(178, "Preauth-Timeout", Integer),
    attr(179, "Network-Id-Name", Octets),
    attr(180, "EAPoL-Announcement", Octets),
    attr(181, "WLAN-HESSID", Text),
    attr(182, "WLAN-Venue-Info", Integer),
    attr(183, "WLAN-Venue-Language", Octets),
    attr(184, "WLAN-Venue-Name", Text),
    attr(185, "WLAN-Reason-Code", Integer),
    attr(186, "WLAN-Pairwise-Cipher", Integer),
    attr(187, "WLAN-Group-Cipher", Integer),
    attr(188, "WLAN-AKM-Suite", Integer),
    attr(189, "WLAN-Group-Mgmt-Cipher", Integer),
    attr(190, "WLAN-RF-Band", Integer),
    // RFC 6929
    attr(241, "Extended-Attribute-1", Extended),
    attr(242, "Extended-Attribute-2", Extended),
    attr(243, "Extended-Attribute-3", Extended),
    attr(244, "Extended-Attribute-4", Extended),
    attr(245, "Extended-Attribute-5", LongExtended),
    attr(246, "Extended-Attribute-6", LongExtended),
];

/// RFC 2548.
#[rustfmt::skip]
static MICROSOFT_ATTRIBUTES: &[Attribute] = &[
    attr(1, "MS-CHAP-Response", Concealed),
    attr(2, "MS-CHAP-Error", Octets),
    attr(3, "MS-CHAP-CPW-1", Concealed),
    attr(4, "MS-CHAP-CPW-2", Concealed),
    attr(5, "MS-CHAP-LM-Enc-PW", Concealed),
    attr(6, "MS-CHAP-NT-Enc-PW", Concealed),
    attr(7, "MS-MPPE-Encryption-Policy", Enum(&[(1, "Encryption-Allowed"), (2, "Encryption-Required")])),
    attr(8, "MS-MPPE-Encryption-Types", Integer),
    attr(9, "MS-RAS-Vendor", Integer),
    attr(10, "MS-CHAP-Domain", Octets),
    attr(11, "MS-CHAP-Challenge", Octets),
    attr(12, "MS-CHAP-MPPE-Keys", Concealed),
    attr(13, "MS-BAP-Usage", Integer),
    attr(14, "MS-Link-Utilization-Threshold", Integer),
    attr(15, "MS-Link-Drop-Time-Limit", Integer),
    attr(16, "MS-MPPE-Send-Key", Concealed),
    attr(17, "MS-MPPE-Recv-Key", Concealed),
    attr(18, "MS-RAS-Version", Text),
    attr(19, "MS-Old-ARAP-Password", Concealed),
    attr(20, "MS-New-ARAP-Password", Concealed),
    attr(21, "MS-ARAP-PW-Change-Reason", Integer),
    attr(22, "MS-Filter", Octets),
    attr(23, "MS-Acct-Auth-Type", Integer),
    attr(24, "MS-Acct-EAP-Type", Integer),
    attr(25, "MS-CHAP2-Response", Concealed),
    attr(26, "MS-CHAP2-Success", Octets),
    attr(27, "MS-CHAP2-CPW", Concealed),
    attr(28, "MS-Primary-DNS-Server", Ipv4),
    attr(29, "MS-Secondary-DNS-Server", Ipv4),
    attr(30, "MS-Primary-NBNS-Server", Ipv4),
    attr(31, "MS-Secondary-NBNS-Server", Ipv4),
    attr(33, "MS-ARAP-Challenge", Octets),
];

static CISCO_ATTRIBUTES: &[Attribute] = &[
    attr(1, "Cisco-AVPair", Text),
    attr(2, "Cisco-NAS-Port", Text),
];

static VENDORS: &[(u32, &str)] = &[
    (CISCO, "Cisco"),
    (MICROSOFT, "Microsoft"),
    (529, "Ascend"),
    (1916, "Extreme Networks"),
    (1991, "Foundry"),
    (2011, "Huawei"),
    (2352, "Redback"),
    (2636, "Juniper"),
    (3076, "Altiga"),
    (4874, "Unisphere"),
    (5535, "3GPP2"),
    (6527, "Nokia"),
    (10415, "3GPP"),
    (11344, "FreeRADIUS"),
    (12356, "Fortinet"),
    (14122, "Wi-Fi Alliance"),
    (14179, "Airespace"),
    (14823, "Aruba"),
    (14988, "MikroTik"),
    (25053, "Ruckus"),
    (25461, "Palo Alto Networks"),
];

#[rustfmt::skip]
const SERVICE_TYPE: &[(u32, &str)] = &[
    (1, "Login"), (2, "Framed"), (3, "Callback Login"), (4, "Callback Framed"), (5, "Outbound"),
    (6, "Administrative"), (7, "NAS Prompt"), (8, "Authenticate Only"), (9, "Callback NAS Prompt"),
    (10, "Call Check"), (11, "Callback Administrative"), (12, "Voice"), (13, "Fax"),
    (14, "Modem Relay"), (15, "IAPP-Register"), (16, "IAPP-AP-Check"), (17, "Authorize Only"),
    (18, "Framed-Management"), (19, "Additional-Authorization"),
];

#[rustfmt::skip]
const FRAMED_PROTOCOL: &[(u32, &str)] = &[
    (1, "PPP"), (2, "SLIP"), (3, "ARAP"), (4, "Gandalf SingleLink/MultiLink"),
    (5, "Xylogics IPX/SLIP"), (6, "X.75 Synchronous"), (7, "GPRS PDP Context"),
];

#[rustfmt::skip]
const ACCT_STATUS: &[(u32, &str)] = &[
    (1, "Start"), (2, "Stop"), (3, "Interim-Update"), (7, "Accounting-On"), (8, "Accounting-Off"),
    (9, "Tunnel-Start"), (10, "Tunnel-Stop"), (11, "Tunnel-Reject"), (12, "Tunnel-Link-Start"),
    (13, "Tunnel-Link-Stop"), (14, "Tunnel-Link-Reject"), (15, "Failed"),
];

#[rustfmt::skip]
const ACCT_TERMINATE_CAUSE: &[(u32, &str)] = &[
    (1, "User Request"), (2, "Lost Carrier"), (3, "Lost Service"), (4, "Idle Timeout"),
    (5, "Session Timeout"), (6, "Admin Reset"), (7, "Admin Reboot"), (8, "Port Error"),
    (9, "NAS Error"), (10, "NAS Request"), (11, "NAS Reboot"), (12, "Port Unneeded"),
    (13, "Port Preempted"), (14, "Port Suspended"), (15, "Service Unavailable"), (16, "Callback"),
    (17, "User Error"), (18, "Host Request"), (19, "Supplicant Restart"),
    (20, "Reauthentication Failure"), (21, "Port Reinitialized"),
    (22, "Port Administratively Disabled"), (23, "Lost Power"),
];

#[rustfmt::skip]
const NAS_PORT_TYPE: &[(u32, &str)] = &[
    (0, "Async"), (1, "Sync"), (2, "ISDN Sync"), (3, "ISDN Async V.120"), (4, "ISDN Async V.110"),
    (5, "Virtual"), (6, "PIAFS"), (7, "HDLC Clear Channel"), (8, "X.25"), (9, "X.75"),
    (10, "G.3 Fax"), (11, "SDSL"), (12, "ADSL-CAP"), (13, "ADSL-DMT"), (14, "IDSL"),
    (15, "Ethernet"), (16, "xDSL"), (17, "Cable"), (18, "Wireless - Other"),
    (19, "Wireless - IEEE 802.11"), (20, "Token-Ring"), (21, "FDDI"),
    (22, "Wireless - CDMA2000"), (23, "Wireless - UMTS"), (24, "Wireless - 1X-EV"), (25, "IAPP"),
    (26, "FTTP"), (27, "Wireless - IEEE 802.16"), (28, "Wireless - IEEE 802.20"),
    (29, "Wireless - IEEE 802.22"), (30, "PPPoA"), (31, "PPPoEoA"), (32, "PPPoEoE"),
    (33, "PPPoEoVLAN"), (34, "PPPoEoQinQ"), (35, "xPON"), (36, "Wireless - XGP"),
];

#[rustfmt::skip]
const TUNNEL_TYPE: &[(u32, &str)] = &[
    (1, "PPTP"), (2, "L2F"), (3, "L2TP"), (4, "ATMP"), (5, "VTP"), (6, "AH"),
    (7, "IP-IP Encapsulation"), (8, "MIN-IP-IP"), (9, "ESP"), (10, "GRE"), (11, "DVS"),
    (12, "IP-in-IP Tunneling"), (13, "VLAN"),
];

#[rustfmt::skip]
const TUNNEL_MEDIUM_TYPE: &[(u32, &str)] = &[
    (1, "IPv4"), (2, "IPv6"), (3, "NSAP"), (4, "HDLC"), (5, "BBN 1822"), (6, "802"),
    (7, "E.163"), (8, "E.164"), (9, "F.69"), (10, "X.121"), (11, "IPX"), (12, "Appletalk"),
    (13, "Decnet IV"), (14, "Banyan Vines"), (15, "E.164 with NSAP format subaddress"),
];

#[rustfmt::skip]
const ERROR_CAUSE: &[(u32, &str)] = &[
    (201, "Residual Session Context Removed"), (202, "Invalid EAP Packet (Ignored)"),
    (401, "Unsupported Attribute"), (402, "Missing Attribute"), (403, "NAS Identification Mismatch"),
    (404, "Invalid Request"), (405, "Unsupported Service"), (406, "Unsupported Extension"),
    (407, "Invalid Attribute Value"), (501, "Administratively Prohibited"),
    (502, "Request Not Routable (Proxy)"), (503, "Session Context Not Found"),
    (504, "Session Context Not Removable"), (505, "Other Proxy Processing Error"),
    (506, "Resources Unavailable"), (507, "Request Initiated"),
    (508, "Multiple Session Selection Unsupported"), (509, "Location Info Required"),
    (601, "Response Too Big"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_answers_are_codes() {
        for list in [ATTRIBUTES, MICROSOFT_ATTRIBUTES, CISCO_ATTRIBUTES] {
            assert!(list.windows(2).all(|pair| pair[0].number < pair[1].number));
        }
        for one in CODES {
            for number in one.answers {
                assert!(code(*number).is_some_and(|answer| answer.answers.is_empty()));
            }
        }
    }
}

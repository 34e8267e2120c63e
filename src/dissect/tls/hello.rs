//! ClientHello and ServerHello (RFC 8446 sections 4.1.2 and 4.1.3, RFC 5246 section 7.4.1).
//!
//! In: the body of a handshake message. Out: its fields; extensions are read when they are asked
//! for. Never: an error for an extension that is damaged; it reads as absent.

use crate::bytes::{Reader, Short};

/// `server_name`, RFC 6066 section 3.
pub(super) const SERVER_NAME: u16 = 0;
/// `supported_groups`, RFC 8422 and RFC 7919.
pub(super) const SUPPORTED_GROUPS: u16 = 10;
/// `ec_point_formats`, RFC 8422.
pub(super) const EC_POINT_FORMATS: u16 = 11;
/// `signature_algorithms`, RFC 8446 section 4.2.3.
pub(super) const SIGNATURE_ALGORITHMS: u16 = 13;
/// `application_layer_protocol_negotiation`, RFC 7301.
pub(super) const ALPN: u16 = 16;
/// `encrypt_then_mac`, RFC 7366.
pub(super) const ENCRYPT_THEN_MAC: u16 = 22;
/// `session_ticket`, RFC 5077.
pub(super) const SESSION_TICKET: u16 = 35;
/// `pre_shared_key`, RFC 8446 section 4.2.11.
pub(super) const PRE_SHARED_KEY: u16 = 41;
/// `early_data`, RFC 8446 section 4.2.10.
pub(super) const EARLY_DATA: u16 = 42;
/// `supported_versions`, RFC 8446 section 4.2.1.
pub(super) const SUPPORTED_VERSIONS: u16 = 43;
/// `key_share`, RFC 8446 section 4.2.8.
pub(super) const KEY_SHARE: u16 = 51;
/// `encrypted_client_hello`, RFC 9849.
pub(super) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// The random of a ServerHello that is a HelloRetryRequest (RFC 8446 section 4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// TLS 1.3, as `supported_versions` names it.
pub(super) const TLS13: u16 = 0x0304;
/// First byte of the numbers that drafts of TLS 1.3 had.
const DRAFT: u16 = 0x7f;
/// TLS 1.2.
pub(super) const TLS12: u16 = 0x0303;

/// What a client offers.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientHello<'a> {
    /// `legacy_version`.
    pub(super) version: u16,
    pub(super) random: [u8; 32],
    pub(super) session_id: &'a [u8],
    suites: &'a [u8],
    pub(super) extensions: Extensions<'a>,
}

impl<'a> ClientHello<'a> {
    /// Reads the body of a message.
    ///
    /// # Errors
    /// When a field before the extensions does not fit.
    pub(super) fn parse(body: &'a [u8]) -> Result<ClientHello<'a>, Short> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let random = random(&mut reader)?;
        let session_id = short_bytes(&mut reader)?;
        let suites = long_bytes(&mut reader)?;
        short_bytes(&mut reader)?;
        Ok(ClientHello {
            version,
            random,
            session_id,
            suites,
            extensions: Extensions::parse(&mut reader),
        })
    }

    /// Cipher suites in the order offered.
    pub(super) fn suites(&self) -> impl Iterator<Item = u16> + Clone + 'a {
        numbers(self.suites)
    }
}

/// What a server chose.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerHello<'a> {
    /// `legacy_version`.
    pub(super) legacy_version: u16,
    pub(super) random: [u8; 32],
    pub(super) session_id: &'a [u8],
    pub(super) suite: u16,
    pub(super) extensions: Extensions<'a>,
}

impl<'a> ServerHello<'a> {
    /// Reads the body of a message.
    ///
    /// # Errors
    /// When a field before the extensions does not fit.
    pub(super) fn parse(body: &'a [u8]) -> Result<ServerHello<'a>, Short> {
        let mut reader = Reader::new(body);
        let legacy_version = reader.u16()?;
        let random = random(&mut reader)?;
        // Drafts of 1.3 up to 21 have neither session identifier nor compression method.
        let is_draft = legacy_version >> 8 == DRAFT;
        let session_id = if is_draft {
            &[][..]
        } else {
            short_bytes(&mut reader)?
        };
        let suite = reader.u16()?;
        if !is_draft {
            reader.u8()?;
        }
        Ok(ServerHello {
            legacy_version,
            random,
            session_id,
            suite,
            extensions: Extensions::parse(&mut reader),
        })
    }

    /// The version chosen.
    pub(super) fn version(&self) -> u16 {
        self.extensions
            .find(SUPPORTED_VERSIONS)
            .and_then(|value| Reader::new(value).u16().ok())
            .unwrap_or(self.legacy_version)
    }

    /// Whether the version chosen is 1.3 or a draft of it.
    pub(super) fn is_13(&self) -> bool {
        is_13(self.version())
    }

    /// Whether it asks for another ClientHello.
    pub(super) fn is_retry(&self) -> bool {
        self.random == RETRY_RANDOM
    }

    /// Group of the key share, or the group asked for.
    pub(super) fn group(&self) -> Option<u16> {
        Reader::new(self.extensions.find(KEY_SHARE)?).u16().ok()
    }
}

/// Whether a version is 1.3 or a draft of it.
pub(super) fn is_13(version: u16) -> bool {
    version == TLS13 || version >> 8 == DRAFT
}

/// Extensions in wire order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extensions<'a>(&'a [u8]);

impl<'a> Extensions<'a> {
    /// Extensions behind their two-byte length; absent ones are none. A list that ends early is
    /// read as far as it goes.
    pub(super) fn parse(reader: &mut Reader<'a>) -> Extensions<'a> {
        match reader.u16() {
            Ok(len) => {
                let rest = reader.rest();
                Extensions(rest.get(..usize::from(len)).unwrap_or(rest))
            }
            Err(_) => Extensions(&[]),
        }
    }

    /// Type and value of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || Some((reader.u16().ok()?, long_bytes(&mut reader).ok()?)))
    }

    /// Value of the first of a type.
    pub(super) fn find(&self, kind: u16) -> Option<&'a [u8]> {
        self.iter()
            .find(|(found, _)| *found == kind)
            .map(|(_, value)| value)
    }

    /// Whether one of this type is there.
    pub(super) fn has(&self, kind: u16) -> bool {
        self.find(kind).is_some()
    }

    /// The first host name of `server_name`.
    pub(super) fn server_name(&self) -> Option<&'a [u8]> {
        let mut list = Reader::new(self.find(SERVER_NAME)?);
        list.u16().ok()?;
        (list.u8().ok()? == 0)
            .then(|| long_bytes(&mut list).ok())
            .flatten()
    }

    /// Protocols of ALPN, in order.
    pub(super) fn alpn(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut list = Reader::new(self.find(ALPN).unwrap_or_default());
        let counted = list.u16().is_ok();
        std::iter::from_fn(move || counted.then(|| short_bytes(&mut list).ok()).flatten())
    }

    /// Versions that a client supports, in order.
    pub(super) fn versions(&self) -> impl Iterator<Item = u16> + use<'a> {
        let value = self.find(SUPPORTED_VERSIONS).unwrap_or_default();
        numbers(short_bytes(&mut Reader::new(value)).unwrap_or_default())
    }

    /// A list of numbers behind its two-byte length.
    pub(super) fn numbers(&self, kind: u16) -> impl Iterator<Item = u16> + use<'a> {
        let value = self.find(kind).unwrap_or_default();
        numbers(long_bytes(&mut Reader::new(value)).unwrap_or_default())
    }

    /// A list of bytes behind its one-byte length.
    pub(super) fn bytes(&self, kind: u16) -> &'a [u8] {
        let value = self.find(kind).unwrap_or_default();
        short_bytes(&mut Reader::new(value)).unwrap_or_default()
    }

    /// Groups of a client's key shares, in order.
    pub(super) fn key_shares(&self) -> impl Iterator<Item = u16> + use<'a> {
        let mut list = Reader::new(self.find(KEY_SHARE).unwrap_or_default());
        let counted = list.u16().is_ok();
        std::iter::from_fn(move || {
            let group = counted.then(|| list.u16().ok()).flatten()?;
            long_bytes(&mut list).ok()?;
            Some(group)
        })
    }
}

fn random(reader: &mut Reader<'_>) -> Result<[u8; 32], Short> {
    let mut random = [0; 32];
    random.copy_from_slice(reader.take(32)?);
    Ok(random)
}

/// Bytes behind their one-byte length.
pub(super) fn short_bytes<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let len = usize::from(reader.u8()?);
    reader.take(len)
}

/// Bytes behind their two-byte length.
pub(super) fn long_bytes<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let len = usize::from(reader.u16()?);
    reader.take(len)
}

/// Pairs of bytes as numbers.
fn numbers(bytes: &[u8]) -> impl Iterator<Item = u16> + Clone + use<'_> {
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs.iter().map(|pair| u16::from_be_bytes(*pair))
}

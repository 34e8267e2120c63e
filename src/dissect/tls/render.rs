//! Hellos as values, made when somebody reads the item.
//!
//! In: hellos as captured, packed into one piece. Out: the request and response of an item. Never:
//! state of the conversation; what only that knows comes as [`flags`].
//!
//! ```text
//! packed request  = flags u8, ClientHello, Certificate
//! packed response = flags u8, ServerHello, EncryptedExtensions, Certificate
//! each message    = length u32, body; length 0 when it was not seen             big-endian
//! ```

use bytes::{BufMut, Bytes};

use super::certificate;
use super::fingerprint::{self, Carrier, hex};
use super::hello::{
    ClientHello, EARLY_DATA, ENCRYPTED_CLIENT_HELLO, Extensions, PRE_SHARED_KEY, SESSION_TICKET,
    SIGNATURE_ALGORITHMS, SUPPORTED_GROUPS, ServerHello, long_bytes,
};
use super::names;
use crate::bytes::Reader;
use crate::item::{Key, Value};

/// What the conversation knows of a hello.
pub(super) mod flags {
    /// It came over QUIC.
    pub(in super::super) const QUIC: u8 = 1;
    /// The session goes on from an earlier one.
    pub(in super::super) const RESUMED: u8 = 2;
    /// The server asked for another ClientHello first.
    pub(in super::super) const RETRIED: u8 = 4;
    /// The version is 1.3.
    pub(in super::super) const TLS13: u8 = 8;
    /// QUIC is of version 2.
    pub(in super::super) const QUIC_V2: u8 = 16;
    /// QUIC is of draft 29, which was in use before version 1.
    pub(in super::super) const QUIC_DRAFT: u8 = 32;
}

/// Puts messages into one piece.
pub(super) fn pack(flags: u8, messages: &[&[u8]]) -> Bytes {
    let len = messages
        .iter()
        .map(|message| 4 + message.len())
        .sum::<usize>();
    let mut packed = Vec::with_capacity(1 + len);
    packed.put_u8(flags);
    for message in messages {
        packed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        packed.extend_from_slice(message);
    }
    packed.into()
}

fn next<'a>(reader: &mut Reader<'a>) -> &'a [u8] {
    let len = reader.u32().ok().and_then(|len| usize::try_from(len).ok());
    len.and_then(|len| reader.take(len).ok())
        .unwrap_or_default()
}

/// Members of one object.
struct Members(Vec<(Key, Value)>);

impl Members {
    fn put(&mut self, name: &'static str, value: Value) {
        self.0.push((name.into(), value));
    }

    fn text(&mut self, name: &'static str, text: impl Into<String>) {
        self.put(name, Value::text(text));
    }

    fn code(&mut self, name: &'static str, code: u16) {
        self.put(name, Value::Int(code.into()));
    }

    fn list<T: Into<String>>(&mut self, name: &'static str, items: impl Iterator<Item = T>) {
        self.put(name, Value::List(items.map(Value::text).collect()));
    }
}

/// The request of an item.
pub(super) fn request(packed: &Bytes) -> Value {
    let mut reader = Reader::new(packed);
    let flags = reader.u8().unwrap_or(0);
    let (body, certificates) = (next(&mut reader), next(&mut reader));
    let Ok(hello) = ClientHello::parse(body) else {
        return Value::Null;
    };
    let is_quic = flags & flags::QUIC != 0;
    let carrier = if is_quic { Carrier::Quic } else { Carrier::Tcp };
    let extensions = &hello.extensions;
    let mut members = Members(Vec::with_capacity(24));
    members.put("type", Value::Static("ClientHello"));
    members.text("version", names::version(hello.version));
    members.code("versionCode", hello.version);
    members.list("versions", extensions.versions().map(names::version));
    let name = extensions.server_name().map(shown).unwrap_or_default();
    members.text("serverName", name.clone());
    members.text("sni", name.clone());
    members.list("cipherSuites", hello.suites().map(names::cipher_suite));
    members.list("alpn", extensions.alpn().map(shown));
    let groups = extensions.numbers(SUPPORTED_GROUPS);
    members.list("groups", groups.map(names::group));
    let schemes = extensions.numbers(SIGNATURE_ALGORITHMS);
    members.list("signatureAlgorithms", schemes.map(names::signature_scheme));
    members.list("keyShares", extensions.key_shares().map(names::group));
    let kinds = extensions.iter().map(|(kind, _)| kind);
    members.list("extensions", kinds.map(names::extension));
    members.text("random", hex(&hello.random));
    members.text("sessionId", hex(hello.session_id));
    let ticket = extensions
        .find(SESSION_TICKET)
        .is_some_and(|value| !value.is_empty());
    members.put("sessionTicket", Value::Bool(ticket));
    members.put("pskIdentities", Value::Int(psk_identities(extensions)));
    members.put("earlyData", Value::Bool(extensions.has(EARLY_DATA)));
    let ech = extensions.has(ENCRYPTED_CLIENT_HELLO);
    members.put("encryptedClientHello", Value::Bool(ech));
    if !certificates.is_empty() {
        let chain = certificate::chain(certificates, flags & flags::TLS13 != 0);
        members.put("certificates", Value::List(chain));
    }
    if is_quic {
        let version = match flags & (flags::QUIC_V2 | flags::QUIC_DRAFT) {
            0 => "1",
            flags::QUIC_V2 => "2",
            _ => "draft-29",
        };
        members.put("quicVersion", Value::Static(version));
    }
    members.text("ja3", fingerprint::ja3(&hello));
    members.text("ja4", fingerprint::ja4(&hello, carrier));
    let first_alpn = || extensions.alpn().next().map(shown);
    let first_suite = || {
        hello
            .suites()
            .next()
            .map(|code| names::cipher_suite(code).into())
    };
    let summary = Some(name)
        .filter(|name| !name.is_empty())
        .or_else(first_alpn)
        .or_else(first_suite);
    members.text("summary", summary.unwrap_or_default());
    Value::Object(members.0)
}

/// The response of an item.
pub(super) fn response(packed: &Bytes) -> Value {
    let mut reader = Reader::new(packed);
    let flags = reader.u8().unwrap_or(0);
    let (body, encrypted) = (next(&mut reader), next(&mut reader));
    let certificates = next(&mut reader);
    let Ok(hello) = ServerHello::parse(body) else {
        return Value::Null;
    };
    let encrypted = Extensions::parse(&mut Reader::new(encrypted));
    let version = hello.version();
    let suite = names::cipher_suite(hello.suite);
    let alpn = hello.extensions.alpn().chain(encrypted.alpn()).next();
    let alpn = alpn.map(shown).unwrap_or_default();
    let mut members = Members(Vec::with_capacity(16));
    members.put("type", Value::Static("ServerHello"));
    members.text("version", names::version(version));
    members.code("versionCode", version);
    members.text("cipherSuite", suite.clone());
    members.code("cipherSuiteCode", hello.suite);
    members.text("alpn", alpn.clone());
    if let Some(group) = hello.group() {
        members.text("group", names::group(group));
    }
    let kinds = hello.extensions.iter().chain(encrypted.iter());
    members.list("extensions", kinds.map(|(kind, _)| names::extension(kind)));
    members.text("random", hex(&hello.random));
    members.text("sessionId", hex(hello.session_id));
    members.put("resumed", Value::Bool(flags & flags::RESUMED != 0));
    members.put(
        "helloRetryRequest",
        Value::Bool(flags & flags::RETRIED != 0),
    );
    members.put("earlyData", Value::Bool(encrypted.has(EARLY_DATA)));
    let chain = certificate::chain(certificates, flags & flags::TLS13 != 0);
    members.put("certificates", Value::List(chain));
    members.text("ja3s", fingerprint::ja3s(&hello));
    let mut info = format!("{}, {suite}", names::version(version));
    if !alpn.is_empty() {
        info = format!("{info}, {alpn}");
    }
    members.text("info", info);
    let summary = if alpn.is_empty() { suite.into() } else { alpn };
    members.text("summary", summary);
    Value::Object(members.0)
}

/// Pre-shared keys that a client offers (RFC 8446 section 4.2.11).
fn psk_identities(extensions: &Extensions<'_>) -> i64 {
    let value = extensions.find(PRE_SHARED_KEY).unwrap_or_default();
    let list = long_bytes(&mut Reader::new(value)).unwrap_or_default();
    let mut reader = Reader::new(list);
    let mut count = 0;
    while long_bytes(&mut reader).is_ok() && reader.u32().is_ok() {
        count += 1;
    }
    count
}

fn shown(bytes: &[u8]) -> String {
    crate::item::text_of(bytes).into_owned()
}

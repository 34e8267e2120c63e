//! Certificates of a handshake (RFC 5280), as values.
//!
//! In: the body of a Certificate message. Out: one object a certificate, leaf first. Never: a
//! judgement whether it is valid.
//!
//! ```text
//! certificate = {subject, issuer, serial, notBefore, notAfter, names: [SAN], sha256, isCA, size}
//! ```

use std::io::Read;
use std::net::IpAddr;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::fingerprint::hex;
use super::handshake::MAX_MESSAGE;
use super::hello::{long_bytes, short_bytes};
use crate::bytes::Reader;
use crate::item::{Key, Value};

/// Bytes that brotli unpacks at a time.
const STEP: usize = 4096;

/// Largest zstd window as a power of two: 8 MB, what RFC 8878 section 3.1.1.1.2 asks of decoders.
const MAX_ZSTD_WINDOW_LOG: u32 = 23;

/// Certificates of one chain that are shown.
const MAX_CERTIFICATES: usize = 16;

/// Subject alternative names of one certificate that are shown.
const MAX_NAMES: usize = 256;

/// Certificates of a message; with `is_13` a context stands in front, and extensions behind each
/// (RFC 8446 section 4.4.2).
pub(super) fn chain(body: &[u8], is_13: bool) -> Vec<Value> {
    let mut reader = Reader::new(body);
    if is_13 && short_bytes(&mut reader).is_err() {
        return Vec::new();
    }
    if reader.skip(3).is_err() {
        return Vec::new();
    }
    let mut certificates = Vec::new();
    while certificates.len() < MAX_CERTIFICATES {
        let Some(der) = next(&mut reader) else { break };
        certificates.push(certificate(der));
        if is_13 && long_bytes(&mut reader).is_err() {
            break;
        }
    }
    certificates
}

/// The Certificate message within a CompressedCertificate (RFC 8879 section 4).
///
/// `None` when it is damaged or longer than a message may be.
pub(super) fn decompressed(body: &[u8]) -> Option<Bytes> {
    let mut reader = Reader::new(body);
    let algorithm = reader.u16().ok()?;
    let len = usize::from(reader.u8().ok()?) << 16 | usize::from(reader.u16().ok()?);
    let packed = next(&mut reader)?;
    if len > MAX_MESSAGE {
        return None;
    }
    let from: Box<dyn Read + '_> = match algorithm {
        1 => Box::new(flate2::bufread::ZlibDecoder::new(packed)),
        2 => Box::new(brotli_decompressor::Decompressor::new(packed, STEP)),
        3 => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).ok()?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).ok()?;
            Box::new(decoder)
        }
        _ => return None,
    };
    let mut message = Vec::new();
    from.take(len as u64 + 1).read_to_end(&mut message).ok()?;
    (message.len() == len).then(|| message.into())
}

fn next<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let high = usize::from(reader.u8().ok()?);
    let low = usize::from(reader.u16().ok()?);
    reader.take(high << 16 | low).ok()
}

fn certificate(der: &[u8]) -> Value {
    let mut members: Vec<(Key, Value)> = Vec::new();
    let mut put = |name: &'static str, value: Value| members.push((name.into(), value));
    if let Ok((_, parsed)) = X509Certificate::from_der(der) {
        put("subject", Value::text(parsed.subject().to_string()));
        put("issuer", Value::text(parsed.issuer().to_string()));
        put("serial", Value::text(hex(parsed.raw_serial())));
        let validity = parsed.validity();
        put("notBefore", moment(validity.not_before.timestamp()));
        put("notAfter", moment(validity.not_after.timestamp()));
        put("names", Value::List(names(&parsed)));
        put("isCA", Value::Bool(parsed.is_ca()));
    } else {
        put("malformed", Value::Bool(true));
    }
    put("sha256", Value::text(hex(&Sha256::digest(der))));
    put(
        "size",
        Value::Int(i64::try_from(der.len()).unwrap_or(i64::MAX)),
    );
    Value::Object(members)
}

fn names(certificate: &X509Certificate<'_>) -> Vec<Value> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    extension
        .value
        .general_names
        .iter()
        .filter_map(name)
        .take(MAX_NAMES)
        .map(Value::text)
        .collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            Some((*text).to_owned())
        }
        GeneralName::DirectoryName(name) => Some(name.to_string()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or(v6).ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}

fn moment(seconds: i64) -> Value {
    // A `Timestamp` ends in 2262; certificates without an end say the year 9999.
    match chrono::DateTime::from_timestamp(seconds, 0) {
        Some(time) => Value::text(time.format("%Y-%m-%dT%H:%M:%SZ").to_string()),
        None => Value::Null,
    }
}

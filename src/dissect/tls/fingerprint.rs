//! JA3, JA3S and JA4 fingerprints of hellos.
//!
//! In: a hello. Out: the fingerprint as text. JA3 as salesforce/ja3 describes it: numbers in
//! decimal, without GREASE, hashed with MD5. JA4 as FoxIO/ja4 describes it: `a_b_c`, where `a` can
//! be read, `b` is of the sorted cipher suites and `c` of the sorted extensions with the signature
//! algorithms, both SHA-256 cut at 12 digits.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::hello::{
    ALPN, ClientHello, EC_POINT_FORMATS, SERVER_NAME, SIGNATURE_ALGORITHMS, SUPPORTED_GROUPS,
    ServerHello,
};
use super::names::is_grease;

/// What carried the hello; the first letter of JA4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    Tcp,
    Quic,
}

/// JA3: version, cipher suites, extensions, groups, point formats.
pub(super) fn ja3(hello: &ClientHello<'_>) -> String {
    let text = format!(
        "{},{},{},{},{}",
        hello.version,
        decimal(hello.suites()),
        decimal(hello.extensions.iter().map(|(kind, _)| kind)),
        decimal(hello.extensions.numbers(SUPPORTED_GROUPS)),
        decimal(
            hello
                .extensions
                .bytes(EC_POINT_FORMATS)
                .iter()
                .map(|format| u16::from(*format))
        ),
    );
    hex(&Md5::digest(text))
}

/// JA3S: version, cipher suite, extensions.
pub(super) fn ja3s(hello: &ServerHello<'_>) -> String {
    let text = format!(
        "{},{},{}",
        hello.legacy_version,
        hello.suite,
        decimal(hello.extensions.iter().map(|(kind, _)| kind)),
    );
    hex(&Md5::digest(text))
}

/// JA4.
pub(super) fn ja4(hello: &ClientHello<'_>, carrier: Carrier) -> String {
    let plain = |value: &u16| !is_grease(*value);
    let mut suites: Vec<u16> = hello.suites().filter(plain).collect();
    let mut extensions: Vec<u16> = hello
        .extensions
        .iter()
        .map(|(kind, _)| kind)
        .filter(plain)
        .collect();
    let version = hello
        .extensions
        .versions()
        .filter(plain)
        .max()
        .unwrap_or(hello.version);
    let carrier = match carrier {
        Carrier::Tcp => 't',
        Carrier::Quic => 'q',
    };
    let name = if extensions.contains(&SERVER_NAME) {
        'd'
    } else {
        'i'
    };
    let (suite_count, extension_count) = (suites.len().min(99), extensions.len().min(99));
    suites.sort_unstable();
    extensions.retain(|kind| *kind != SERVER_NAME && *kind != ALPN);
    extensions.sort_unstable();
    let mut listed = hexadecimal(extensions.iter().copied());
    let schemes = hexadecimal(hello.extensions.numbers(SIGNATURE_ALGORITHMS).filter(plain));
    if !schemes.is_empty() {
        let _ = write!(listed, "_{schemes}");
    }
    format!(
        "{carrier}{}{name}{suite_count:02}{extension_count:02}{}_{}_{}",
        version_code(version),
        alpn_code(hello.extensions.alpn().next()),
        cut_hash(&hexadecimal(suites.iter().copied()), suites.is_empty()),
        cut_hash(&listed, extensions.is_empty()),
    )
}

fn version_code(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// First and last letter of the first protocol; of its hexadecimal form when one of them is
/// neither letter nor digit.
fn alpn_code(first: Option<&[u8]>) -> String {
    let ends = |text: &[u8]| {
        let (first, last) = (text.first().copied()?, text.last().copied()?);
        Some([char::from(first), char::from(last)])
    };
    let Some(protocol) = first else {
        return "00".into();
    };
    match ends(protocol) {
        Some(ends) if ends.iter().all(char::is_ascii_alphanumeric) => ends.iter().collect(),
        Some(_) => ends(hex(protocol).as_bytes())
            .into_iter()
            .flatten()
            .collect(),
        None => "00".into(),
    }
}

fn cut_hash(text: &str, is_empty: bool) -> String {
    if is_empty {
        return "0".repeat(12);
    }
    let mut digits = hex(&Sha256::digest(text));
    digits.truncate(12);
    digits
}

fn decimal(values: impl Iterator<Item = u16>) -> String {
    joined(values, '-', |text, value| {
        let _ = write!(text, "{value}");
    })
}

fn hexadecimal(values: impl Iterator<Item = u16>) -> String {
    joined(values, ',', |text, value| {
        let _ = write!(text, "{value:04x}");
    })
}

fn joined(
    values: impl Iterator<Item = u16>,
    separator: char,
    write: impl Fn(&mut String, u16),
) -> String {
    let mut text = String::new();
    for value in values.filter(|value| !is_grease(*value)) {
        if !text.is_empty() {
            text.push(separator);
        }
        write(&mut text, value);
    }
    text
}

/// Bytes in hexadecimal, lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of FoxIO's description of JA4.
    #[test]
    fn the_hashes_of_the_description_come_out() {
        let suites = "002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9";
        assert_eq!(cut_hash(suites, false), "8daaf6152771");
        let extensions = "0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01\
                          _0403,0804,0401,0503,0805,0501,0806,0601";
        assert_eq!(cut_hash(extensions, false), "e5627efa2ab1");
    }

    #[test]
    fn alpn_is_shown_by_its_ends() {
        for (protocol, code) in [
            (Some(&b"h2"[..]), "h2"),
            (Some(b"http/1.1"), "h1"),
            (Some(b"h"), "hh"),
            (Some(b"\xab\xcd"), "ad"),
            (Some(b"0\xab"), "3b"),
            (Some(b""), "00"),
            (None, "00"),
        ] {
            assert_eq!(alpn_code(protocol), code);
        }
    }
}

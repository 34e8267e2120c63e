//! TLS with the secrets at hand: any bytes as records, and any bytes as the plaintext of records that are
//! sealed as a peer would, so that what lies behind decryption is reached too (handshake messages,
//! changes of keys, the conversation inside).
//!
//! ```text
//! input  = version u8 (0-1: TLS 1.3, else 1.2), steps
//! step   = kind u8, length u8, bytes
//! kind   = bit 0 direction, bits 1-2: 0 sealed with the keys of the data, 1 sealed with those of the
//!          handshake (of 1.2: not sealed), 2 as it is, 3 a gap, or with bit 3 save and restore
//! sealed = plaintext whose last byte is its content type
//! ```

#![no_main]

use std::fmt::Write as _;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk};
use ring::hmac;
use tapedeck::dissect::{Protocols, Secrets};
use tapedeck::packet::Transport;
use tapedeck_fuzz::{Play, named, records, stream};

const CLIENT_RANDOM: [u8; 32] = [7; 32];
const SERVER_RANDOM: [u8; 32] = [9; 32];
/// Of the handshake and of the data, each of the client and of the server.
const TRAFFIC_SECRETS: [[u8; 32]; 4] = [[1; 32], [2; 32], [3; 32], [4; 32]];
const MASTER_SECRET: [u8; 48] = [5; 48];

const LABELS: [&str; 4] = [
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
];

const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

fn key_log() -> String {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes text");
            text
        })
    };
    let random = hex(&CLIENT_RANDOM);
    let mut log = format!("CLIENT_RANDOM {random} {}\n", hex(&MASTER_SECRET));
    for (label, secret) in LABELS.iter().zip(&TRAFFIC_SECRETS) {
        log.push_str(&format!("{label} {random} {}\n", hex(secret)));
    }
    log
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [&[kind, 3, 3], &length[..], body].concat()
}

/// ClientHello and ServerHello in one: both begin alike, the client's with a list of suites.
fn hello(kind: u8, random: &[u8; 32], suites: &[u8], extensions: &[u8]) -> Vec<u8> {
    let extended = [&(extensions.len() as u16).to_be_bytes()[..], extensions].concat();
    let body = [&[3, 3][..], random, &[0], suites, &extended].concat();
    let length = (body.len() as u32).to_be_bytes();
    record(HANDSHAKE, &[&[kind], &length[1..], &body].concat())
}

/// Keys of one direction and one epoch, with its count of records.
struct Sealer {
    key: LessSafeKey,
    iv: Vec<u8>,
    sequence: u64,
}

impl Sealer {
    fn new(key: &[u8], iv: Vec<u8>) -> Sealer {
        let key = UnboundKey::new(&AES_128_GCM, key).expect("a key has 16 bytes");
        Sealer {
            key: LessSafeKey::new(key),
            iv,
            sequence: 0,
        }
    }

    /// RFC 8446 section 7.3.
    fn tls13(secret: &[u8; 32]) -> Sealer {
        Sealer::new(&expand(secret, b"key", 16), expand(secret, b"iv", 12))
    }

    /// RFC 8446 section 5.2.
    fn seal13(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let mut nonce: [u8; 12] = self.iv[..].try_into().expect("an IV has 12 bytes");
        for (byte, counted) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= counted;
        }
        self.sequence += 1;
        let length = (plaintext.len() as u16 + 16).to_be_bytes();
        let head = [APPLICATION_DATA, 3, 3, length[0], length[1]];
        let mut sealed = plaintext.to_vec();
        self.seal(nonce, &head, &mut sealed);
        record(APPLICATION_DATA, &sealed)
    }

    /// RFC 5246 section 6.2.3.3, RFC 5288 section 3.
    fn seal12(&mut self, kind: u8, plaintext: &[u8]) -> Vec<u8> {
        let counted = self.sequence.to_be_bytes();
        self.sequence += 1;
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.iv);
        nonce[4..].copy_from_slice(&counted);
        let length = (plaintext.len() as u16).to_be_bytes();
        let additional = [&counted[..], &[kind, 3, 3], &length].concat();
        let mut sealed = plaintext.to_vec();
        self.seal(nonce, &additional, &mut sealed);
        record(kind, &[&counted[..], &sealed].concat())
    }

    fn seal(&self, nonce: [u8; 12], additional: &[u8], bytes: &mut Vec<u8>) {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(additional), bytes)
            .expect("a record is short enough to be sealed");
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label without a context (RFC 8446 section 7.1).
fn expand(secret: &[u8], label: &[u8], length: usize) -> Vec<u8> {
    let prefix = b"tls13 ";
    let size = (length as u16).to_be_bytes();
    let labelled = (prefix.len() + label.len()) as u8;
    let info = [&size[..], &[labelled], prefix, label, &[0]];
    let mut out = vec![0; length];
    Prk::new_less_safe(HKDF_SHA256, secret)
        .expand(&info, Length(length))
        .and_then(|key| key.fill(&mut out))
        .expect("a key is short enough to be expanded");
    out
}

/// The key block of TLS 1.2 (RFC 5246 section 6.3): keys and IVs of the client and of the server.
fn tls12() -> [Sealer; 2] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &MASTER_SECRET);
    let seed = [b"key expansion", &SERVER_RANDOM[..], &CLIENT_RANDOM].concat();
    let mut block = Vec::new();
    let mut step = hmac::sign(&key, &seed);
    while block.len() < 40 {
        let part = [step.as_ref(), &seed].concat();
        block.extend_from_slice(hmac::sign(&key, &part).as_ref());
        step = hmac::sign(&key, step.as_ref());
    }
    [(0..16, 32..36), (16..32, 36..40)]
        .map(|(key, iv)| Sealer::new(&block[key], block[iv].to_vec()))
}

fuzz_target!(|input: &[u8]| {
    let [version, steps @ ..] = input else { return };
    let new = *version < 2;
    let secrets = Arc::new(Secrets::default());
    secrets.insert(key_log().as_bytes());
    let protocols = Protocols::all().with_secrets(secrets);
    let protocol = named("tls").expect("TLS is in the list");
    let info = stream(Transport::Tcp, 0);
    let mut play = Play::new(info, &protocols, protocol, protocol.start(&info.into()));
    let (suite, versions): ([u8; 2], [&[u8]; 2]) = if new {
        (
            [0x13, 0x01],
            [&[0, 43, 0, 3, 2, 3, 4], &[0, 43, 0, 2, 3, 4]],
        )
    } else {
        ([0xc0, 0x2f], [&[], &[]])
    };
    let suites = [&[0, 2], &suite[..], &[1, 0]].concat();
    play.chunk(0, &hello(1, &CLIENT_RANDOM, &suites, versions[0]));
    play.chunk(
        1,
        &hello(2, &SERVER_RANDOM, &[&suite[..], &[0]].concat(), versions[1]),
    );
    let mut sealers13 = TRAFFIC_SECRETS.each_ref().map(Sealer::tls13);
    let mut sealers12 = tls12();
    if !new {
        for side in [0, 1] {
            play.chunk(side, &record(CHANGE_CIPHER_SPEC, &[1]));
        }
    }
    for (kind, bytes) in records(steps) {
        let side = usize::from(kind & 1);
        let bytes = match kind >> 1 & 3 {
            epoch @ 0..2 if new => sealers13[side + 2 * usize::from(1 - epoch)].seal13(bytes),
            0 => {
                let (kind, plaintext) = bytes.split_last().unwrap_or((&APPLICATION_DATA, &[]));
                sealers12[side].seal12(*kind, plaintext)
            }
            1 => {
                let (kind, plaintext) = bytes.split_last().unwrap_or((&HANDSHAKE, &[]));
                record(*kind, plaintext)
            }
            2 => bytes.to_vec(),
            _ if kind & 8 != 0 => {
                play.hand_on();
                continue;
            }
            _ => {
                if !play.gap(side, bytes.len() as u64 + 1) {
                    break;
                }
                continue;
            }
        };
        if !play.chunk(side, &bytes) {
            break;
        }
    }
    play.end();
});

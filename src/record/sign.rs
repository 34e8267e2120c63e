//! Signatures of manifests: Ed25519 (RFC 8032), with keys as openssl makes them.
//!
//! In: a private key as PKCS#8 PEM for whoever records, public keys as PEM for whoever verifies.
//! Out: the last field of a manifest, and what a reader finds there. Never: a private key in a
//! message, a hash chain taken for a signature.
//!
//! ```text
//! {"format":1,…,"remarks":[],"signature":{"keyId":"0123456789abcdef","ed25519":"…"}}
//!  └──────── signed, with a closing brace behind it ────────┘
//! ```
//!
//! What is signed are bytes, not values: the manifest without this field, up to its closing brace
//! and without the line end. The parts are covered by the hashes that the manifest holds.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

use super::manifest::{Manifest, Signature};
use crate::store::{Digest, hex};

/// How a key is made.
pub const HOW: &str = "make one with: openssl genpkey -algorithm ed25519 -out signing.pem, and its \
                       public key with: openssl pkey -in signing.pem -pubout -out public.pem";

/// What stands before the 32 bytes of a public key in its DER (RFC 8410 section 4).
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Hex digits of a key's id.
const ID_DIGITS: usize = 16;

/// Longest PEM text that is read; a key has 120 bytes.
pub const MAX_PEM: u64 = 64 << 10;

/// What stands before a signature in a manifest.
const FIELD: &[u8] = b",\"signature\":{";

/// Why a key is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM block of the wanted kind.
    #[error("this is no PEM file with a {0}; {HOW}")]
    NoPem(&'static str),
    /// Another algorithm, or damaged.
    #[error("this is no Ed25519 key; {HOW}")]
    NotEd25519,
}

/// A private key that signs manifests.
pub struct Signer {
    pair: Ed25519KeyPair,
    id: String,
}

/// Shows whose key it is, never the key.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.id)
    }
}

impl Signer {
    /// The key in PKCS#8 PEM text.
    ///
    /// # Errors
    /// When there is no private key in it, or one of another kind.
    pub fn from_pem(text: &str) -> Result<Signer, KeyError> {
        let der = pem(text, "PRIVATE KEY").ok_or(KeyError::NoPem("private key"))?;
        // Openssl writes version 1, without the public key.
        let pair =
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| KeyError::NotEd25519)?;
        let id = id_of(pair.public_key().as_ref());
        Ok(Signer { pair, id })
    }

    /// The id by which manifests name the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Signs a manifest; what it says must not change any more.
    pub fn sign(&self, manifest: &mut Manifest) {
        manifest.signature = None;
        let bytes = manifest.to_bytes();
        let signed = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        manifest.signature = Some(Signature {
            key_id: self.id.clone(),
            ed25519: hex_of(self.pair.sign(signed).as_ref()),
        });
    }
}

/// A public key that signatures are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    bytes: [u8; 32],
    id: String,
}

impl PublicKey {
    /// The key in PEM text.
    ///
    /// # Errors
    /// When there is no public key in it, or one of another kind.
    pub fn from_pem(text: &str) -> Result<PublicKey, KeyError> {
        let der = pem(text, "PUBLIC KEY").ok_or(KeyError::NoPem("public key"))?;
        let bytes = der.strip_prefix(&SPKI).ok_or(KeyError::NotEd25519)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| KeyError::NotEd25519)?;
        Ok(PublicKey {
            id: id_of(&bytes),
            bytes,
        })
    }

    /// The id by which manifests name the key.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// What a reader makes of a manifest's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// There is none.
    Not,
    /// By a key that is not at hand, of this id.
    ByOther(String),
    /// By a key at hand, and it holds.
    Valid,
    /// By a key at hand, of this id, but not over these bytes.
    Broken(String),
}

/// Checks the signature of `manifest`, whose bytes are `bytes`.
pub fn check(bytes: &[u8], manifest: &Manifest, keys: &[PublicKey]) -> Signed {
    let Some(signature) = &manifest.signature else {
        return Signed::Not;
    };
    let id = || signature.key_id.clone();
    let Some(key) = keys.iter().find(|key| key.id == signature.key_id) else {
        return Signed::ByOther(id());
    };
    let holds = signed_bytes(bytes)
        .zip(from_hex(&signature.ed25519))
        .is_some_and(|(signed, signature)| {
            let key = UnparsedPublicKey::new(&ED25519, &key.bytes);
            key.verify(&signed, &signature).is_ok()
        });
    if holds {
        Signed::Valid
    } else {
        Signed::Broken(id())
    }
}

/// The bytes that a signature stands for; `None` when the field is not where it belongs.
fn signed_bytes(bytes: &[u8]) -> Option<Vec<u8>> {
    let bytes = bytes.strip_suffix(b"}}\n")?;
    let at = memchr::memmem::rfind(bytes, FIELD)?;
    // Nothing else may stand behind the field.
    if bytes.get(at + FIELD.len()..)?.contains(&b'}') {
        return None;
    }
    let mut signed = bytes.get(..at)?.to_vec();
    signed.push(b'}');
    Some(signed)
}

/// The bytes of the first PEM block of a kind (RFC 7468).
fn pem(text: &str, kind: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {kind}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {kind}-----"))?;
    let body: String = body.split_whitespace().collect();
    BASE64.decode(body).ok()
}

fn id_of(key: &[u8]) -> String {
    let digest: Digest = Sha256::digest([&SPKI, key].concat()).into();
    let mut id = hex(&digest);
    id.truncate(ID_DIGITS);
    id
}

fn hex_of(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || text.len() != 128 {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::manifest::sample;

    /// Made by openssl; a key of nothing else.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIOld5/h0g2hrhnW++SQNqO5VyRODNAaJTMgjHPh7kETI\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEA8umTV8xKkcl/iKhgHijirICJaSQOi6djYt44jLmcZhg=\n-----END PUBLIC KEY-----\n";
    /// `openssl pkey -pubin -in public.pem -outform DER | sha256sum`, its first digits.
    const ID: &str = "fba10822c0c98752";

    #[test]
    fn keys_of_openssl_are_read_and_named_alike() {
        assert_eq!(Signer::from_pem(PRIVATE).unwrap().id(), ID);
        assert_eq!(PublicKey::from_pem(PUBLIC).unwrap().id(), ID);
        let error = Signer::from_pem(PUBLIC).unwrap_err();
        assert!(error.to_string().contains("openssl genpkey"), "{error}");
        let cut = PUBLIC.replace("MCow", "MCow MCow");
        assert_eq!(PublicKey::from_pem(&cut), Err(KeyError::NotEd25519));
        let shown = format!("{:?}", Signer::from_pem(PRIVATE).unwrap());
        assert_eq!(shown, format!("Signer({ID})"));
    }

    #[test]
    fn a_signature_holds_over_its_bytes_and_no_others() {
        let mut manifest = sample();
        let keys = [PublicKey::from_pem(PUBLIC).unwrap()];
        assert_eq!(check(&manifest.to_bytes(), &manifest, &keys), Signed::Not);
        Signer::from_pem(PRIVATE).unwrap().sign(&mut manifest);
        let bytes = manifest.to_bytes();
        assert_eq!(check(&bytes, &manifest, &keys), Signed::Valid);
        assert_eq!(
            check(&bytes, &manifest, &[]),
            Signed::ByOther(ID.to_owned())
        );
        let text = String::from_utf8(bytes).unwrap();
        let broken = Signed::Broken(ID.to_owned());
        for changed in [
            text.replace("errors", "orders"),
            text.replace("}}\n", "},\"why\":\"x\"}\n"),
            text.replace("}}\n", "} }\n"),
        ] {
            assert_ne!(changed, text);
            let read = Manifest::parse(changed.as_bytes());
            let read = read.unwrap_or_else(|_| manifest.clone());
            assert_eq!(check(changed.as_bytes(), &read, &keys), broken, "{changed}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_a_key_or_signature_panic(text in ".{0,200}") {
            let wrapped = format!("-----BEGIN PUBLIC KEY-----{text}-----END PUBLIC KEY-----");
            let _ = PublicKey::from_pem(&wrapped);
            let _ = Signer::from_pem(&wrapped.replace("PUBLIC", "PRIVATE"));
            let _ = signed_bytes(text.as_bytes());
            let _ = from_hex(&text);
        }
    }
}

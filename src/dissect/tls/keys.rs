//! Cipher suites that can be decrypted, and the keys that secrets give for them.
//!
//! In: a suite's number and a secret of a key log. Out: key, IV and MAC key of one direction. Never:
//! key exchange. Standards: RFC 5246 sections 5 and 6.3 (TLS 1.2), RFC 8446 section 7 (TLS 1.3),
//! RFC 9001 section 5.1 (QUIC).

use ring::{hkdf, hmac};

use super::names;

/// How a suite protects records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
    Aes128Ccm,
    Aes256Ccm,
    /// With a tag of eight bytes.
    Aes128Ccm8,
    Aes256Ccm8,
    Aes128Cbc(Hash),
    Aes256Cbc(Hash),
}

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
}

impl Hash {
    /// Its HMAC (RFC 2104).
    pub(super) fn hmac(self) -> hmac::Algorithm {
        match self {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha384 => hmac::HMAC_SHA384,
        }
    }

    fn hkdf(self) -> hkdf::Algorithm {
        match self {
            Hash::Sha1 => hkdf::HKDF_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hkdf::HKDF_SHA256,
            Hash::Sha384 => hkdf::HKDF_SHA384,
        }
    }

    /// Bytes of its output.
    pub(super) fn len(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
        }
    }
}

/// A suite that can be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) cipher: Cipher,
    /// Hash of the key derivation.
    pub(super) hash: Hash,
}

impl Suite {
    /// Reads cipher and hash off the suite's name, which IANA forms by one scheme; `None` for
    /// suites whose cipher is not read here.
    pub(super) fn of(code: u16) -> Option<Suite> {
        let name = names::known_cipher_suite(code)?.strip_prefix("TLS_")?;
        let protection = name.split_once("_WITH_").map_or(name, |(_, rest)| rest);
        let (cipher, hash) = match protection {
            "AES_128_GCM_SHA256" => (Cipher::Aes128Gcm, Hash::Sha256),
            "AES_256_GCM_SHA384" => (Cipher::Aes256Gcm, Hash::Sha384),
            "CHACHA20_POLY1305_SHA256" => (Cipher::ChaCha20Poly1305, Hash::Sha256),
            "AES_128_CCM" | "AES_128_CCM_SHA256" => (Cipher::Aes128Ccm, Hash::Sha256),
            "AES_256_CCM" => (Cipher::Aes256Ccm, Hash::Sha256),
            "AES_128_CCM_8" | "AES_128_CCM_8_SHA256" => (Cipher::Aes128Ccm8, Hash::Sha256),
            "AES_256_CCM_8" => (Cipher::Aes256Ccm8, Hash::Sha256),
            "AES_128_CBC_SHA" => (Cipher::Aes128Cbc(Hash::Sha1), Hash::Sha256),
            "AES_256_CBC_SHA" => (Cipher::Aes256Cbc(Hash::Sha1), Hash::Sha256),
            "AES_128_CBC_SHA256" => (Cipher::Aes128Cbc(Hash::Sha256), Hash::Sha256),
            "AES_256_CBC_SHA256" => (Cipher::Aes256Cbc(Hash::Sha256), Hash::Sha256),
            "AES_128_CBC_SHA384" => (Cipher::Aes128Cbc(Hash::Sha384), Hash::Sha384),
            "AES_256_CBC_SHA384" => (Cipher::Aes256Cbc(Hash::Sha384), Hash::Sha384),
            _ => return None,
        };
        Some(Suite { cipher, hash })
    }
}

impl Cipher {
    pub(super) fn key_len(self) -> usize {
        match self {
            Cipher::Aes128Gcm | Cipher::Aes128Ccm | Cipher::Aes128Ccm8 | Cipher::Aes128Cbc(_) => 16,
            _ => 32,
        }
    }

    fn mac_len(self) -> usize {
        match self {
            Cipher::Aes128Cbc(hash) | Cipher::Aes256Cbc(hash) => hash.len(),
            _ => 0,
        }
    }

    /// Bytes of a TLS 1.2 nonce that come from the key block; CBC has its IV in the record.
    fn fixed_iv_len(self) -> usize {
        match self {
            Cipher::ChaCha20Poly1305 => 12,
            Cipher::Aes128Cbc(_) | Cipher::Aes256Cbc(_) => 0,
            _ => 4,
        }
    }
}

/// Keys of one direction.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) mac: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) iv: Vec<u8>,
}

/// Which side's keys are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// Keys of TLS 1.2 out of the master secret (RFC 5246 section 6.3).
pub(super) fn tls12(
    suite: Suite,
    master: &[u8],
    client_random: &[u8; 32],
    server_random: &[u8; 32],
    side: Side,
) -> Option<Keys> {
    let cipher = suite.cipher;
    let (mac, key, iv) = (cipher.mac_len(), cipher.key_len(), cipher.fixed_iv_len());
    let seed = [&server_random[..], &client_random[..]].concat();
    let block = prf(
        suite.hash,
        master,
        b"key expansion",
        &seed,
        2 * (mac + key + iv),
    );
    let mut rest = &block[..];
    let mut pair = |len: usize| {
        let (client, behind) = rest.split_at_checked(len)?;
        let (server, behind) = behind.split_at_checked(len)?;
        rest = behind;
        Some(match side {
            Side::Client => client.to_vec(),
            Side::Server => server.to_vec(),
        })
    };
    Some(Keys {
        mac: pair(mac)?,
        key: pair(key)?,
        iv: pair(iv)?,
    })
}

/// The pseudorandom function of TLS 1.2 (RFC 5246 section 5).
fn prf(hash: Hash, secret: &[u8], label: &[u8], seed: &[u8], len: usize) -> Vec<u8> {
    let key = hmac::Key::new(hash.hmac(), secret);
    let seed = [label, seed].concat();
    let mut out = Vec::with_capacity(len + hash.len());
    let mut a = hmac::sign(&key, &seed);
    while out.len() < len {
        let block = hmac::sign(&key, &[a.as_ref(), &seed].concat());
        out.extend_from_slice(block.as_ref());
        a = hmac::sign(&key, a.as_ref());
    }
    out.truncate(len);
    out
}

/// Keys of TLS 1.3 out of a traffic secret (RFC 8446 section 7.3).
pub(super) fn tls13(suite: Suite, secret: &[u8]) -> Option<Keys> {
    Some(Keys {
        mac: Vec::new(),
        key: expand_label(suite.hash, secret, b"key", suite.cipher.key_len())?,
        iv: expand_label(suite.hash, secret, b"iv", 12)?,
    })
}

/// The traffic secret after a KeyUpdate (RFC 8446 section 7.2).
pub(super) fn next_secret(hash: Hash, secret: &[u8]) -> Option<Vec<u8>> {
    expand_label(hash, secret, b"traffic upd", hash.len())
}

/// HKDF-Extract (RFC 5869), as QUIC's Initial secrets need it.
pub(super) fn extract(salt: &[u8], input: &[u8]) -> Vec<u8> {
    let salt = hmac::Key::new(hmac::HMAC_SHA256, salt);
    hmac::sign(&salt, input).as_ref().to_vec()
}

/// HKDF-Expand-Label with an empty context (RFC 8446 section 7.1).
pub(super) fn expand_label(hash: Hash, secret: &[u8], label: &[u8], len: usize) -> Option<Vec<u8>> {
    let length = u16::try_from(len).ok()?.to_be_bytes();
    let label_len = [u8::try_from(6 + label.len()).ok()?];
    let info = [&length[..], &label_len, b"tls13 ", label, &[0]];
    let mut out = vec![0; len];
    hkdf::Prk::new_less_safe(hash.hkdf(), secret)
        .expand(&info, Length(len))
        .and_then(|okm| okm.fill(&mut out))
        .ok()?;
    Some(out)
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::fingerprint::hex;
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    /// RFC 8448 section 3: the server's handshake traffic secret of a simple handshake.
    #[test]
    fn keys_of_tls_13_are_those_of_rfc_8448() {
        let secret = bytes("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38");
        let keys = tls13(Suite::of(0x1301).unwrap(), &secret).unwrap();
        assert_eq!(hex(&keys.key), "3fce516009c21727d0f2e4e86ee403bc");
        assert_eq!(hex(&keys.iv), "5d313eb2671276ee13000b30");
    }

    /// The vector for P_SHA256 that was published on the TLS working group's list.
    #[test]
    fn the_pseudorandom_function_is_that_of_tls_12() {
        let out = prf(
            Hash::Sha256,
            &bytes("9bbe436ba940f017b17652849a71db35"),
            b"test label",
            &bytes("a0ba9f936cda311827a6f796ffd5198c"),
            100,
        );
        assert_eq!(
            hex(&out),
            "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a\
             6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab\
             4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701\
             87347b66"
        );
    }

    /// RFC 9001 appendix A.1.
    #[test]
    fn initial_secrets_of_quic_are_those_of_rfc_9001() {
        let salt = bytes("38762cf7f55934b34d179ae6a4c80cadccbb7f0a");
        let initial = extract(&salt, &bytes("8394c8f03e515708"));
        let client = expand_label(Hash::Sha256, &initial, b"client in", 32).unwrap();
        assert_eq!(
            hex(&client),
            "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea"
        );
    }

    #[test]
    fn suites_are_read_off_their_names() {
        let suite = |code| Suite::of(code).map(|suite| (suite.cipher, suite.hash));
        assert_eq!(suite(0x1302), Some((Cipher::Aes256Gcm, Hash::Sha384)));
        assert_eq!(
            suite(0xc014),
            Some((Cipher::Aes256Cbc(Hash::Sha1), Hash::Sha256))
        );
        assert_eq!(
            suite(0xcca8),
            Some((Cipher::ChaCha20Poly1305, Hash::Sha256))
        );
        assert_eq!(suite(0xc0a0), Some((Cipher::Aes128Ccm8, Hash::Sha256)));
        assert_eq!(suite(0xc077), None);
        assert_eq!(suite(0x0a0a), None);
    }
}

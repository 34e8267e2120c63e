//! Opening protected records.
//!
//! In: keys of one direction, a sequence number, a record. Out: its plaintext, when the record is
//! what the keys and the number say. Never: cryptography of our own; AES-GCM, ChaCha20-Poly1305 and
//! HMAC are `ring`'s, CBC and CCM are RustCrypto's. Standards: RFC 8446 section 5.2, RFC 5246 section
//! 6.2.3, RFC 5288 (GCM), RFC 6655 (CCM), RFC 7905 (ChaCha20), RFC 7366 (encrypt then MAC).

use aes::cipher::{BlockModeDecrypt as _, KeyInit as _, KeyIvInit as _, consts};
use ccm::aead::AeadInOut as _;
use ring::{aead, hmac};

use super::keys::{Cipher, Keys, Suite};
use super::record::{ContentType, HEADER, Head};

const BLOCK: usize = 16;
const EXPLICIT_NONCE: usize = 8;

/// What a record turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) kind: ContentType,
    pub(super) plaintext: Vec<u8>,
}

enum Aead {
    Ring(Box<aead::LessSafeKey>),
    Ccm128(Box<ccm::Ccm<aes::Aes128, consts::U16, consts::U12>>),
    Ccm256(Box<ccm::Ccm<aes::Aes256, consts::U16, consts::U12>>),
    Ccm128Short(Box<ccm::Ccm<aes::Aes128, consts::U8, consts::U12>>),
    Ccm256Short(Box<ccm::Ccm<aes::Aes256, consts::U8, consts::U12>>),
}

enum Way {
    /// TLS 1.3.
    Inner(Aead, [u8; 12]),
    /// TLS 1.2, nonce of four bytes from the keys and eight from the record.
    Explicit(Aead, [u8; 4]),
    /// TLS 1.2, nonce from keys and sequence number.
    Implicit(Aead, [u8; 12]),
    /// TLS 1.2, CBC.
    Cbc {
        cipher: Cipher,
        key: Vec<u8>,
        mac: hmac::Key,
        mac_len: usize,
        encrypt_then_mac: bool,
    },
}

/// Opens the records of one direction under one set of keys.
pub(super) struct Opener(Way);

impl Opener {
    /// For TLS 1.3.
    pub(super) fn tls13(suite: Suite, keys: &Keys) -> Option<Opener> {
        let iv = <[u8; 12]>::try_from(&keys.iv[..]).ok()?;
        Some(Opener(Way::Inner(aead(suite.cipher, &keys.key)?, iv)))
    }

    /// For TLS 1.2.
    pub(super) fn tls12(suite: Suite, keys: &Keys, encrypt_then_mac: bool) -> Option<Opener> {
        Some(Opener(match suite.cipher {
            cipher @ (Cipher::Aes128Cbc(hash) | Cipher::Aes256Cbc(hash)) => Way::Cbc {
                cipher,
                key: keys.key.clone(),
                mac: hmac::Key::new(hash.hmac(), &keys.mac),
                mac_len: hash.len(),
                encrypt_then_mac,
            },
            cipher @ Cipher::ChaCha20Poly1305 => Way::Implicit(
                aead(cipher, &keys.key)?,
                <[u8; 12]>::try_from(&keys.iv[..]).ok()?,
            ),
            cipher => Way::Explicit(
                aead(cipher, &keys.key)?,
                <[u8; 4]>::try_from(&keys.iv[..]).ok()?,
            ),
        }))
    }

    /// Bytes that protection adds to each record, when it is the same for all of them.
    pub(super) fn overhead(&self) -> Option<usize> {
        match &self.0 {
            // The type of the content stands behind it.
            Way::Inner(aead, _) => Some(HEADER + 1 + aead.tag_len()),
            Way::Explicit(aead, _) => Some(HEADER + EXPLICIT_NONCE + aead.tag_len()),
            Way::Implicit(aead, _) => Some(HEADER + aead.tag_len()),
            Way::Cbc { .. } => None,
        }
    }

    /// Opens one record; `None` when it is not the one of this number, or damaged.
    pub(super) fn open(&self, sequence: u64, head: &Head, payload: &[u8]) -> Option<Opened> {
        match &self.0 {
            Way::Inner(aead, iv) => {
                if head.kind != ContentType::ApplicationData {
                    return None;
                }
                let mut plaintext =
                    aead.open(&numbered(iv, sequence), &head.raw, payload.to_vec())?;
                // Padding is zeros behind the type (RFC 8446 section 5.4).
                let end = plaintext.iter().rposition(|byte| *byte != 0)?;
                let kind = ContentType::of(*plaintext.get(end)?)?;
                plaintext.truncate(end);
                Some(Opened { kind, plaintext })
            }
            Way::Explicit(aead, fixed) => {
                let (explicit, sealed) = payload.split_first_chunk::<EXPLICIT_NONCE>()?;
                let mut nonce = [0; 12];
                let (front, back) = nonce.split_first_chunk_mut::<4>()?;
                *front = *fixed;
                back.copy_from_slice(explicit);
                Opened::whole(aead, &nonce, sequence, head, sealed)
            }
            Way::Implicit(aead, iv) => {
                Opened::whole(aead, &numbered(iv, sequence), sequence, head, payload)
            }
            Way::Cbc {
                cipher,
                key,
                mac,
                mac_len,
                encrypt_then_mac,
            } => {
                let plaintext = if *encrypt_then_mac {
                    let at = payload.len().checked_sub(*mac_len)?;
                    let (sealed, tag) = payload.split_at_checked(at)?;
                    let signed = [&additional(sequence, head, sealed.len())?[..], sealed].concat();
                    hmac::verify(mac, &signed, tag).ok()?;
                    unpadded(cbc(*cipher, key, sealed)?)?
                } else {
                    let mut opened = unpadded(cbc(*cipher, key, payload)?)?;
                    let at = opened.len().checked_sub(*mac_len)?;
                    let tag = opened.split_off(at);
                    let signed = [&additional(sequence, head, at)?[..], &opened].concat();
                    hmac::verify(mac, &signed, &tag).ok()?;
                    opened
                };
                Some(Opened {
                    kind: head.kind,
                    plaintext,
                })
            }
        }
    }
}

impl Opened {
    /// A record of TLS 1.2 with authenticated encryption (RFC 5246 section 6.2.3.3).
    fn whole(
        aead: &Aead,
        nonce: &[u8; 12],
        sequence: u64,
        head: &Head,
        sealed: &[u8],
    ) -> Option<Opened> {
        let len = sealed.len().checked_sub(aead.tag_len())?;
        let additional = additional(sequence, head, len)?;
        Some(Opened {
            kind: head.kind,
            plaintext: aead.open(nonce, &additional, sealed.to_vec())?,
        })
    }
}

impl Aead {
    fn tag_len(&self) -> usize {
        match self {
            Aead::Ccm128Short(_) | Aead::Ccm256Short(_) => 8,
            _ => 16,
        }
    }

    fn open(&self, nonce: &[u8; 12], additional: &[u8], mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let ccm_nonce = (*nonce).into();
        match self {
            Aead::Ring(key) => {
                let nonce = aead::Nonce::assume_unique_for_key(*nonce);
                let len = key
                    .open_in_place(nonce, aead::Aad::from(additional), &mut sealed)
                    .ok()?
                    .len();
                sealed.truncate(len);
            }
            Aead::Ccm128(key) => key
                .decrypt_in_place(&ccm_nonce, additional, &mut sealed)
                .ok()?,
            Aead::Ccm256(key) => key
                .decrypt_in_place(&ccm_nonce, additional, &mut sealed)
                .ok()?,
            Aead::Ccm128Short(key) => key
                .decrypt_in_place(&ccm_nonce, additional, &mut sealed)
                .ok()?,
            Aead::Ccm256Short(key) => key
                .decrypt_in_place(&ccm_nonce, additional, &mut sealed)
                .ok()?,
        }
        Some(sealed)
    }
}

fn aead(cipher: Cipher, key: &[u8]) -> Option<Aead> {
    let ring = |algorithm| {
        let key = aead::UnboundKey::new(algorithm, key).ok()?;
        Some(Aead::Ring(Box::new(aead::LessSafeKey::new(key))))
    };
    match cipher {
        Cipher::Aes128Gcm => ring(&aead::AES_128_GCM),
        Cipher::Aes256Gcm => ring(&aead::AES_256_GCM),
        Cipher::ChaCha20Poly1305 => ring(&aead::CHACHA20_POLY1305),
        Cipher::Aes128Ccm => Some(Aead::Ccm128(Box::new(ccm::Ccm::new_from_slice(key).ok()?))),
        Cipher::Aes256Ccm => Some(Aead::Ccm256(Box::new(ccm::Ccm::new_from_slice(key).ok()?))),
        Cipher::Aes128Ccm8 => {
            let key = ccm::Ccm::new_from_slice(key).ok()?;
            Some(Aead::Ccm128Short(Box::new(key)))
        }
        Cipher::Aes256Ccm8 => {
            let key = ccm::Ccm::new_from_slice(key).ok()?;
            Some(Aead::Ccm256Short(Box::new(key)))
        }
        Cipher::Aes128Cbc(_) | Cipher::Aes256Cbc(_) => None,
    }
}

/// The IV with the sequence number over its end (RFC 8446 section 5.3).
pub(super) fn numbered(iv: &[u8; 12], sequence: u64) -> [u8; 12] {
    let mut nonce = *iv;
    for (byte, number) in nonce.iter_mut().skip(4).zip(sequence.to_be_bytes()) {
        *byte ^= number;
    }
    nonce
}

/// What is authenticated beside the content: number, type, version, length.
fn additional(sequence: u64, head: &Head, len: usize) -> Option<[u8; 13]> {
    let mut additional = [0; 13];
    let (number, rest) = additional.split_first_chunk_mut::<8>()?;
    *number = sequence.to_be_bytes();
    let (kind, length) = rest.split_first_chunk_mut::<3>()?;
    *kind = *head.raw.first_chunk::<3>()?;
    length.copy_from_slice(&u16::try_from(len).ok()?.to_be_bytes());
    Some(additional)
}

/// Decrypts IV and blocks; the padding stays.
fn cbc(cipher: Cipher, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (iv, blocks) = sealed.split_first_chunk::<BLOCK>()?;
    if blocks.is_empty() || !blocks.len().is_multiple_of(BLOCK) {
        return None;
    }
    let mut plaintext = blocks.to_vec();
    let (whole, _) = plaintext.as_chunks_mut::<BLOCK>();
    match cipher {
        Cipher::Aes128Cbc(_) => {
            let mut mode = cbc::Decryptor::<aes::Aes128>::new_from_slices(key, iv).ok()?;
            for block in whole {
                mode.decrypt_block(block.into());
            }
        }
        _ => {
            let mut mode = cbc::Decryptor::<aes::Aes256>::new_from_slices(key, iv).ok()?;
            for block in whole {
                mode.decrypt_block(block.into());
            }
        }
    }
    Some(plaintext)
}

/// Takes the padding off (RFC 5246 section 6.2.3.2): its length, as often as that and once more.
fn unpadded(mut plaintext: Vec<u8>) -> Option<Vec<u8>> {
    let padding = *plaintext.last()?;
    let len = plaintext.len().checked_sub(usize::from(padding) + 1)?;
    if plaintext.get(len..)?.iter().any(|byte| *byte != padding) {
        return None;
    }
    plaintext.truncate(len);
    Some(plaintext)
}

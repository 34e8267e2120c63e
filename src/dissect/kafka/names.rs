//! The names of topics whose identifiers a stream was told.
//!
//! In: the topics of Metadata responses. Out: the name of an identifier, in later messages that
//! have nothing else (Produce and Fetch since version 13). Never: names from other streams.
//! Standard: KIP-516 (topic identifiers).
//!
//! ```text
//! names = count x (identifier as text, 22 bytes, length u8, name)
//! ```

use bytes::{BufMut, Bytes};

use crate::bytes::Reader;

/// Bytes of an identifier in Kafka's own form: sixteen bytes in base64 without padding.
const ID: usize = 22;

/// Longest name of a topic (`Topic.MAX_NAME_LENGTH`).
const MAX_NAME: usize = 249;

/// Bytes of names that a stream keeps: a client asks for the topics that it uses, a few.
pub(super) const MAX_NAMES: usize = 8 * 1024;

/// Takes note of a name; when there is no room, those before it are forgotten.
pub(super) fn learn(names: &mut Vec<u8>, id: &[u8], name: &[u8]) {
    let (Ok(length), true) = (u8::try_from(name.len()), id.len() == ID) else {
        return;
    };
    if name.is_empty() || name.len() > MAX_NAME || find(names, id) == Some(name) {
        return;
    }
    if names.len() + ID + 1 + name.len() > MAX_NAMES {
        names.clear();
    }
    names.put_slice(id);
    names.put_u8(length);
    names.put_slice(name);
}

/// The name of an identifier.
pub(super) fn name_of(names: &Bytes, id: &[u8]) -> Option<Bytes> {
    find(names, id).map(|name| names.slice_ref(name))
}

/// The latest name of an identifier: one that was deleted and made anew has another.
fn find<'a>(names: &'a [u8], id: &[u8]) -> Option<&'a [u8]> {
    let mut reader = Reader::new(names);
    let mut found = None;
    while let (Ok(one), Ok(length)) = (reader.take(ID), reader.u8()) {
        let name = reader.take(length.into()).ok()?;
        if one == id {
            found = Some(name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_forgotten() {
        let id = |number: usize| format!("{number:022}").into_bytes();
        let mut names = Vec::new();
        learn(&mut names, &id(1), b"orders");
        learn(&mut names, &id(1), b"orders");
        learn(&mut names, b"short", b"no identifier");
        assert_eq!(names.len(), ID + 1 + 6);
        assert_eq!(find(&names, &id(1)), Some(&b"orders"[..]));
        assert_eq!(find(&names, &id(2)), None);
        for number in 0..1000 {
            learn(&mut names, &id(number), &[b'x'; 200]);
            assert!(names.len() <= MAX_NAMES);
        }
        assert_eq!(
            name_of(&Bytes::from(names), &id(999)).map(|name| name.len()),
            Some(200)
        );
    }
}

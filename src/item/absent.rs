//! Members that items have in other programs and never here: they read as empty, so that a comparison
//! with them is no comparison with what is missing.
//!
//! In: nothing. Out: for each kind of object the list of such members, which stand behind its own.
//! Never: a byte of a record for them; records and tables say which list an object ends in.

use super::node::Kind;

/// Objects of items that end in members which are always empty.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Absent {
    /// None: most objects.
    #[default]
    Nothing,
    /// Those of the item itself.
    Item,
    /// Those of `src` and `dst`.
    Peer,
}

/// Name of a member, and what it is: null, 0, an empty text or an empty list.
pub type Empty = (&'static str, Kind);

const ITEM: &[Empty] = &[
    ("requestRef", Kind::Text),
    ("responseRef", Kind::Text),
    ("eventRef", Kind::Text),
    ("dataRef", Kind::Text),
    ("base", Kind::Null),
    ("capture", Kind::Null),
    ("checksums", Kind::List),
    ("duplicate", Kind::Text),
    ("matcherKey", Kind::Text),
];

const PEER: &[Empty] = &[("cpuUsage", Kind::Int), ("memoryUsage", Kind::Int)];

impl Absent {
    /// All of them, in the order of their numbers.
    pub(super) const ALL: [Absent; 3] = [Absent::Nothing, Absent::Item, Absent::Peer];

    /// The members.
    pub fn members(self) -> &'static [Empty] {
        match self {
            Absent::Nothing => &[],
            Absent::Item => ITEM,
            Absent::Peer => PEER,
        }
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.members().len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self == Absent::Nothing
    }

    /// Which of them is called `name`, and what it is.
    pub(super) fn named(self, name: &[u8]) -> Option<(usize, Kind)> {
        let members = self.members().iter().enumerate();
        let mut found = members.filter(|(_, (known, _))| known.as_bytes() == name);
        found.next().map(|(index, (_, kind))| (index, *kind))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::{ENVELOPE, Node, flat, json as written, packed, sample};
    use super::*;

    #[test]
    fn empty_members_read_alike_in_every_form_and_take_no_room() {
        let item = sample::http();
        let mut bytes = Vec::new();
        flat::encode(&item, &mut bytes);
        let flat = flat::Flat::new(&bytes).unwrap();
        let packed = packed::pack(&[flat, flat]);
        let held = packed.get(1).unwrap();
        let text = written::to_string(item.node());
        assert_eq!(text, written::to_string(flat));
        assert_eq!(text, written::to_string(held));
        assert_eq!(&*held.record(), bytes.as_slice());
        let shown: Json = serde_json::from_str(&text).unwrap();
        for (name, empty) in [
            ("requestRef", json!("")),
            ("duplicate", json!("")),
            ("base", Json::Null),
            ("capture", Json::Null),
            ("checksums", json!([])),
        ] {
            assert_eq!(shown.get(name), Some(&empty), "{name}");
        }
        assert_eq!(shown["src"]["cpuUsage"], 0);
        assert_eq!(shown["dst"]["memoryUsage"], 0);
        for (name, kind) in Absent::Item.members() {
            assert_eq!(item.node().member(name).map(Node::kind), Some(*kind));
            assert_eq!(flat.member(name).map(Node::kind), Some(*kind), "{name}");
            assert_eq!(held.member(name).map(Node::kind), Some(*kind), "{name}");
            let at = flat.position(name.as_bytes()).unwrap();
            assert_eq!(flat.entry(at).unwrap().0, *name);
            let listed = |field: &super::super::Field| field.path == *name;
            assert!(ENVELOPE.iter().any(listed), "{name}");
            let written = [
                &u32::try_from(name.len()).unwrap().to_le_bytes(),
                name.as_bytes(),
            ]
            .concat();
            let is_written = bytes.windows(written.len()).any(|part| part == written);
            assert!(!is_written, "{name}");
        }
        let missing = (
            item.node().member("dataRefs"),
            flat.member("dataRefs"),
            held.member("dataRefs"),
        );
        assert!(matches!(missing, (None, None, None)));
    }

    #[test]
    fn a_copy_that_was_altered_has_them_as_its_own() {
        let item = sample::http();
        let mut bytes = Vec::new();
        flat::encode(&item, &mut bytes);
        let like = flat::Flat::new(&bytes).unwrap();
        let mut altered: Json = serde_json::from_str(&written::to_string(like)).unwrap();
        altered["duplicate"] = "a".into();
        let mut out = Vec::new();
        flat::encode_altered(like.number(), like, written::JsonNode(&altered), &mut out);
        let flat = flat::Flat::new(&out).unwrap();
        assert_eq!(flat.elapsed_micros(), like.elapsed_micros());
        let read: Json = serde_json::from_str(&written::to_string(flat)).unwrap();
        assert_eq!(read, altered);
    }
}

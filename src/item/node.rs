//! One way to read an item, however it is held.

use std::borrow::Cow;

use super::{Absent, Path};

/// What a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON null.
    Null,
    /// A boolean.
    Bool,
    /// A whole number.
    Int,
    /// A number with a fraction.
    Float,
    /// Text.
    Text,
    /// Values in order.
    List,
    /// Named values.
    Object,
}

/// A place in an item: cheap to copy, reads nothing before it is asked.
///
/// Invariants: `len` is 0 for scalars; `entry(i)` and `element(i)` are `Some` exactly for `i < len`
/// of an object and a list; names are unique within an object.
pub trait Node<'a>: Copy + 'a {
    /// What the place holds.
    fn kind(self) -> Kind;
    /// The boolean; `None` for other kinds.
    fn bool(self) -> Option<bool>;
    /// The whole number; `None` for other kinds.
    fn int(self) -> Option<i64>;
    /// The number of either kind.
    fn float(self) -> Option<f64>;
    /// The text; `None` for other kinds.
    fn text(self) -> Option<Cow<'a, str>>;
    /// The member called `name` but for the case of ASCII letters, an exact one first.
    fn member_ignoring_case(self, name: &str) -> Option<Self> {
        self.member(name).or_else(|| {
            (0..self.len())
                .filter_map(|index| self.entry(index))
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, member)| member)
        })
    }
    /// The place at `path`.
    fn at(self, path: &Path) -> Option<Self> {
        path.below(self)
    }
    /// The bytes of a text as the item has them, which may not be valid UTF-8; `None` for other
    /// kinds and for text that is only put together when it is read.
    fn text_bytes(self) -> Option<&'a [u8]> {
        None
    }
    /// What `read` makes of the text; `None` for other kinds. Costs no allocation where the text
    /// is short or lies in the item as it is.
    fn with_text<R>(self, read: impl FnOnce(&str) -> R) -> Option<R> {
        self.text().map(|text| read(&text))
    }
    /// The whole number of a number, or that a text spells; `None` for what is neither.
    fn whole(self) -> Option<i64> {
        self.int()
            // A cast of a float cuts and saturates.
            .or_else(|| self.float().map(|value| value as i64))
            .or_else(|| self.with_text(|text| text.parse().ok())?)
    }
    /// The bytes behind text that is shown as base64; `None` for other text.
    fn raw(self) -> Option<&'a [u8]> {
        None
    }
    /// Microseconds from request to response of the item at whose root this is, as queries compare
    /// them; `None` at any other place, and for what is no item of ours.
    fn elapsed_micros(self) -> Option<i64> {
        None
    }
    /// The last members of an object, when they are empty in every item.
    fn absent(self) -> Absent {
        Absent::Nothing
    }
    /// Count of members or elements.
    fn len(self) -> usize;
    /// Whether there is no member or element.
    fn is_empty(self) -> bool {
        self.len() == 0
    }
    /// Member `index` of an object with its name.
    fn entry(self, index: usize) -> Option<(Cow<'a, str>, Self)>;
    /// Element `index` of a list.
    fn element(self, index: usize) -> Option<Self>;
    /// The member called `name`.
    fn member(self, name: &str) -> Option<Self> {
        (0..self.len())
            .find_map(|index| self.entry(index).filter(|(key, _)| key == name))
            .map(|(_, node)| node)
    }
}

/// The node at a dotted `path` from `node`; a number names an element of a list.
pub fn lookup<'a, N: Node<'a>>(node: N, path: &str) -> Option<N> {
    path.split('.')
        .try_fold(node, |node, name| match node.kind() {
            Kind::List => node.element(name.parse().ok()?),
            _ => node.member(name),
        })
}

/// The text at a dotted `path`; empty when there is none.
pub fn text_at<'a, N: Node<'a>>(node: N, path: &str) -> String {
    let text = lookup(node, path).and_then(Node::text);
    text.unwrap_or_default().into_owned()
}

/// The whole number at a dotted `path`; 0 when there is none.
pub fn int_at<'a, N: Node<'a>>(node: N, path: &str) -> i64 {
    lookup(node, path).and_then(Node::int).unwrap_or_default()
}

/// Whole microseconds of nanoseconds.
pub(super) fn micros(nanos: u64) -> i64 {
    i64::try_from(nanos / 1000).unwrap_or(i64::MAX)
}

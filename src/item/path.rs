//! Paths into items, taken apart once and followed often.
//!
//! In: a dotted path, as `request.method`. Out: a [`Path`] that any node can follow. In a typed item
//! the members that every item has are reached by one call, without a comparison of names.

use super::{Item, ItemNode, Kind, Node};

/// How to reach a place of a typed item from its root.
type Reach = for<'a> fn(&'a Item) -> ItemNode<'a>;

/// A dotted path; a name that is a number names an element of a list.
#[derive(Debug, Clone)]
pub struct Path {
    names: Box<[Box<str>]>,
    /// The deepest place on the way that every item has, and how many names lead to it.
    fixed: Option<(Reach, usize)>,
}

impl Path {
    /// Takes a dotted path apart.
    pub fn new(path: &str) -> Path {
        Path::of_names(path.split('.'))
    }

    /// A path of single names, which may hold any character.
    pub fn of_names<'n>(names: impl Iterator<Item = &'n str>) -> Path {
        let names: Box<[Box<str>]> = names.map(Into::into).collect();
        let fixed = (1..=names.len()).rev().find_map(|used| {
            let front: Vec<&str> = names.iter().take(used).map(|name| &**name).collect();
            Some((ItemNode::reach(&front)?, used))
        });
        Path { names, fixed }
    }

    /// The place below the root of a typed item.
    pub(super) fn in_item<'a>(&self, item: &'a Item) -> Option<ItemNode<'a>> {
        match self.fixed {
            Some((reach, used)) => {
                let (node, names) = (reach(item), self.names.get(used..).unwrap_or_default());
                node.told_below(names).or_else(|| follow(node, names))
            }
            None => self.below(ItemNode::root(item)),
        }
    }

    /// The place below any node.
    pub(super) fn below<'a, N: Node<'a>>(&self, node: N) -> Option<N> {
        follow(node, &self.names)
    }
}

fn follow<'a, N: Node<'a>>(mut node: N, names: &[Box<str>]) -> Option<N> {
    for name in names {
        node = match node.member(name) {
            Some(member) => member,
            None if node.kind() == Kind::List => node.element(name.parse().ok()?)?,
            None => return None,
        };
    }
    Some(node)
}

#[cfg(test)]
mod tests {
    use super::super::{ENVELOPE, lookup, sample};
    use super::*;

    #[test]
    fn paths_lead_where_lookup_does() {
        let item = sample::http();
        let more = [
            "request.headers.Host",
            "response.status",
            "protocol.ports.1",
            "src.pod.metadata.name",
            "x",
            "src.x",
        ];
        for path in ENVELOPE.iter().map(|field| field.path).chain(more) {
            let text = |node: Option<ItemNode<'_>>| node.map(crate::item::json::to_string);
            let followed = item.node().at(&Path::new(path));
            assert_eq!(text(followed), text(lookup(item.node(), path)), "{path}");
        }
    }
}

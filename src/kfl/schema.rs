//! What a query may name: the fields of items and the macros of protocols.
//!
//! In: field lists and kinds of item, handed in by whoever knows the dissectors. Out: lookups for
//! compilation and warnings. Never: a field list of its own.

use std::sync::Arc;

use super::ir::{Expr, Macro};
use super::named::{self, Named, Size};
use super::{Dialect, macros};
use crate::item::{ENVELOPE, Field, FieldType, ProtocolInfo};

/// The fields and macros that queries are compiled against; cheap to clone.
#[derive(Debug, Clone)]
pub struct Schema {
    fields: Arc<[Field]>,
    macros: Arc<[Arc<Macro>]>,
    named: Arc<[Arc<Named>]>,
    kinds: Arc<[Kind]>,
    /// Paths of fields with the protocols whose items have them.
    owners: Arc<[(&'static str, &'static str)]>,
    layout: Layout,
}

/// What completion tells of a kind of item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub name: &'static str,
    pub abbr: &'static str,
    pub version: &'static str,
    pub long_name: &'static str,
}

/// What queries are evaluated on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Items, in any of their forms.
    Items,
    /// Any JSON: nothing is known of its names.
    Bare,
    /// An object that holds the second dialect's variables by name, as test data does.
    Variables,
}

/// Members of items that no list of fields names (reference section 11.1).
const ROOTS: &[&str] = &["data", "event"];

impl Schema {
    /// The schema of items with these fields (the envelope among them) and these kinds.
    pub fn new<'f>(
        fields: impl IntoIterator<Item = &'f Field>,
        kinds: impl IntoIterator<Item = &'f ProtocolInfo>,
    ) -> Schema {
        let mut macros = macros::fixed();
        let mut known = Vec::new();
        for kind in kinds {
            macros::add(&mut macros, kind);
            known.push(Kind {
                name: kind.name,
                abbr: kind.abbr,
                version: kind.version,
                long_name: kind.long_name,
            });
        }
        let schema = Schema {
            fields: fields.into_iter().copied().collect(),
            macros: macros.into(),
            named: Arc::default(),
            kinds: known.into(),
            owners: Arc::default(),
            layout: Layout::Items,
        };
        let named = named::built_in(&schema);
        schema.with_named(named)
    }

    /// The same with macros of an operator: names, each with the query that it stands for, in either
    /// dialect and in any order. Answers with a sentence about each that is no macro, which is left
    /// out, and about what is doubtful in the others.
    pub fn with_macros<'m>(
        self,
        macros: impl IntoIterator<Item = (&'m str, &'m str)>,
    ) -> (Schema, Vec<String>) {
        named::add(self, macros)
    }

    pub(super) fn with_named(self, named: Vec<Arc<Named>>) -> Schema {
        Schema {
            named: named.into(),
            ..self
        }
    }

    pub(super) fn named(&self) -> &[Arc<Named>] {
        &self.named
    }

    /// Macros that stand for a query, with its text: as [`Schema::with_macros`] takes them.
    pub fn queries_by_name(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named.iter().map(|named| (&*named.name, &*named.text))
    }

    /// What a macro that stands for a query is in one of `dialect`, and how large that is.
    pub(super) fn expanded(&self, name: &str, dialect: Dialect) -> Option<(Expr, Size)> {
        let found = self.named.iter().find(|named| *named.name == *name)?;
        found.expr(dialect)
    }

    /// The same, told which protocol has which field: pairs of a path and a protocol's name.
    pub fn with_owners(
        self,
        owners: impl IntoIterator<Item = (&'static str, &'static str)>,
    ) -> Schema {
        Schema {
            owners: owners.into_iter().collect(),
            ..self
        }
    }

    /// The protocols whose items have the field at `path`, or something below it.
    pub(crate) fn owners(&self, path: &str) -> Vec<&'static str> {
        let has = |field: &str| {
            let below = |outer: &str, inner: &str| {
                let rest = inner.strip_prefix(outer);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            below(path, field) || below(field, path) && field.contains('.')
        };
        let mut found: Vec<_> = self.owners.iter().filter(|(field, _)| has(field)).collect();
        found.dedup_by_key(|(_, protocol)| *protocol);
        found.into_iter().map(|(_, protocol)| *protocol).collect()
    }

    /// A schema without fields: any name is as good as another, and nothing is warned about.
    pub fn empty() -> Schema {
        Schema {
            layout: Layout::Bare,
            ..Schema::new([], [])
        }
    }

    /// A schema for objects that hold the second dialect's variables by name, dotted or nested.
    pub fn variables() -> Schema {
        Schema {
            layout: Layout::Variables,
            ..Schema::new([], [])
        }
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn find_macro(&self, name: &str) -> Option<&Arc<Macro>> {
        self.macros.iter().find(|made| &*made.name == name)
    }

    /// The macros, each with the test it stands for.
    pub fn macro_tests(&self) -> impl Iterator<Item = (&str, String)> {
        let shown = |made: &Macro| super::explain::macro_text(made);
        let named = self.queries_by_name();
        let fixed = self.macros.iter();
        fixed
            .map(move |made| (&*made.name, shown(made)))
            .chain(named.map(|(name, text)| (name, format!("({text})"))))
    }

    pub(crate) fn macros(&self) -> &[Arc<Macro>] {
        &self.macros
    }

    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub(crate) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    pub(crate) fn macro_names(&self) -> impl Iterator<Item = &str> {
        let named = self.queries_by_name().map(|(name, _)| name);
        self.macros.iter().map(|made| &*made.name).chain(named)
    }

    /// Whether a path of the first dialect may begin with `name`.
    pub(crate) fn is_root(&self, name: &str) -> bool {
        let root = |field: &Field| field.path.split('.').next() == Some(name);
        name == "now"
            || ROOTS.contains(&name)
            || ENVELOPE.iter().chain(&*self.fields).any(root)
            || self.macro_names().any(|known| known == name)
    }

    /// Whether every path of a text may begin as it does in the first dialect.
    pub(crate) fn has_roots_of(&self, text: &str) -> bool {
        super::detect::roots(text)
            .iter()
            .all(|(_, name)| self.is_root(name))
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.path)
    }

    /// Whether an item may have something at `path`, as far as the field list tells.
    pub(crate) fn may_hold(&self, path: &str) -> bool {
        self.fields.is_empty()
            || self.fields.iter().any(|field| {
                let below = |outer: &str, inner: &str| {
                    inner
                        .strip_prefix(outer)
                        .is_some_and(|rest| rest.starts_with('.'))
                };
                field.path == path
                    || below(path, field.path)
                    // What lies in a map or list has names that nobody listed.
                    || matches!(field.kind, FieldType::Map | FieldType::List) && below(field.path, path)
                    || field.kind == FieldType::Object
                        && below(field.path, path)
                        && !self.fields.iter().any(|known| below(field.path, known.path))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::field;

    #[test]
    fn what_lies_in_maps_may_be_there() {
        let http = [
            field("request.headers", FieldType::Map, "headers"),
            field("response.status", FieldType::Int, "status"),
        ];
        let schema = Schema::new(ENVELOPE.iter().chain(&http), []);
        for path in [
            "src.name",
            "request",
            "request.headers.Host",
            "response.status",
        ] {
            assert!(schema.may_hold(path), "{path}");
        }
        for path in [
            "src.nme",
            "request.header",
            "weather",
            "response.status.code",
        ] {
            assert!(!schema.may_hold(path), "{path}");
        }
        assert!(Schema::empty().may_hold("weather"));
    }
}

//! Macros: one name that stands for a test of the item's protocol (reference section 7).
//!
//! In: the fixed table, and the kinds of item that dissectors declare. Out: [`Macro`]s by name.

use std::sync::Arc;

use super::ir::Macro;
use crate::item::ProtocolInfo;

/// Macros that compare `protocol.abbr`, each with the version it asks for too.
const BY_ABBR: &[(&str, &str, Option<&str>)] = &[
    ("http", "HTTP", None),
    ("http2", "HTTP/2", None),
    ("grpc", "gRPC", None),
    ("gql", "GQL", None),
    ("gqlv1", "GQL", Some("1.1")),
    ("gqlv2", "GQL", Some("2.0")),
    ("dns", "DNS", None),
];

/// Macros that compare `protocol.name` with their own name.
const BY_NAME: &[&str] = &[
    "amqp",
    "kafka",
    "redis",
    "ws",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "ldap",
    "radius",
    "diameter",
    "mongodb",
    "mysql",
    "postgresql",
    "conn",
    "flow",
];

/// A macro whose name is taken from the list of dissectors, and the `protocol.name` of its items:
/// `tls` itself is a field of every item.
const BY_OTHER_NAME: &[(&str, &str)] = &[("tlsx", "tls")];

/// Names that are fields of every item, so no dissector may make them macros.
const FIELDS: &[&str] = &["tls", "error"];

/// The fixed macros.
pub(crate) fn fixed() -> Vec<Arc<Macro>> {
    let by_abbr = BY_ABBR.iter().map(|(name, abbr, version)| Macro {
        name: (*name).into(),
        member: "abbr",
        value: (*abbr).into(),
        version: *version,
    });
    let by_name = BY_NAME.iter().map(|name| Macro {
        name: (*name).into(),
        member: "name",
        value: (*name).into(),
        version: None,
    });
    let by_other_name = BY_OTHER_NAME.iter().map(|(name, value)| Macro {
        name: (*name).into(),
        member: "name",
        value: (*value).into(),
        version: None,
    });
    by_abbr
        .chain(by_name)
        .chain(by_other_name)
        .map(Arc::new)
        .collect()
}

/// Adds the macro of one kind of item to `known`, when it has one of its own.
pub(crate) fn add(known: &mut Vec<Arc<Macro>>, kind: &ProtocolInfo) {
    let name = kind.macro_name;
    let taken = FIELDS.contains(&name) || known.iter().any(|made| &*made.name == name);
    if name.is_empty() || taken {
        return;
    }
    known.push(Arc::new(Macro {
        name: name.into(),
        member: "macro",
        value: name.into(),
        version: None,
    }));
}

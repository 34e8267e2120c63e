//! LDAP messages as the values of an item; made only when somebody reads them.
//!
//! In: one request, or what [`answers`](super::answers) kept of its responses. Out: `request` and
//! `response` in the shape that `mod.rs` draws. Never: a password, or a value of an attribute that
//! holds one.

use bytes::Bytes;

use super::answers::Kept;
use super::ber::{BOOLEAN, ENUMERATED, Element, Elements, INTEGER, OCTETS, SEQUENCE};
use super::filter::filter_text;
use super::names::{attributes_with_secrets, oid_name, result_name};
use super::parser::{self, BIND, ENTRY, EXTENDED, Message, REFERENCE, Role, SEARCH};
use crate::item::{Key, Value, text_of};

/// Entries and references of a search that an item shows; all are counted.
const MAX_RESULTS: usize = 256;

/// Elements of lists that one side of an item shows: attributes, values, changes, controls. The
/// smallest has two bytes and is shown in some twenty.
const MAX_LISTED: usize = 8192;

/// The member `request` of an item.
pub(super) fn request(bytes: &Bytes) -> Value {
    let Some(message) = Message::parse(bytes) else {
        return Value::Null;
    };
    let mut maker = Maker {
        bytes,
        left: MAX_LISTED,
        is_secret: false,
    };
    let mut members = front(&message);
    maker.request(&message, &mut members);
    maker.controls(&message, &mut members);
    let summary = summary(&message, &members);
    members.push(("summary".into(), Value::text(summary)));
    Value::Object(members)
}

/// The member `response` of an item.
pub(super) fn response(bytes: &Bytes) -> Value {
    let Some(kept) = Kept::of(bytes) else {
        return Value::Null;
    };
    let mut maker = Maker {
        bytes,
        left: MAX_LISTED,
        is_secret: kept.is_secret,
    };
    let mut results = Vec::new();
    let mut last = None;
    let mut is_search = false;
    for message in kept.messages().filter_map(Message::parse) {
        if matches!(message.operation.tag, ENTRY | REFERENCE) {
            is_search = true;
            if results.len() < MAX_RESULTS {
                results.push(maker.result(&message));
            }
        }
        last = Some(message);
    }
    let Some(last) = last else {
        return Value::Null;
    };
    is_search |= last.operation.name == "search";
    let mut members = front(&last);
    if last.operation.role == Role::Final {
        maker.ldap_result(&last, &mut members);
    } else if !is_search {
        maker.named_value(&last, ("responseName", "responseValue"), &mut members);
    }
    maker.controls(&last, &mut members);
    if is_search {
        let number = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
        let shown = results.len() as u64;
        members.push(("entries".into(), number(kept.entries)));
        members.push(("references".into(), number(kept.references)));
        members.push(("results".into(), Value::List(results)));
        if kept.is_cut || shown < kept.entries.saturating_add(kept.references) {
            members.push(("truncated".into(), Value::Bool(true)));
        }
    }
    if kept.intermediates > 0 {
        let count = i64::try_from(kept.intermediates).unwrap_or(i64::MAX);
        members.push(("intermediates".into(), Value::Int(count)));
    }
    Value::Object(members)
}

/// The payload of the item that says where SASL begins to protect a stream.
pub(super) fn protected(mechanism: &Bytes) -> Value {
    Value::Object(vec![
        ("type".into(), Value::Static("protected data")),
        ("operation".into(), Value::Static("protected")),
        ("mechanism".into(), Value::Text(mechanism.clone())),
        (
            "summary".into(),
            Value::text(format!(
                "protected by SASL ({}) from here on",
                text_of(mechanism)
            )),
        ),
    ])
}

/// Whether the values of an attribute are passwords, keys or hashes of them.
pub(super) fn is_secret(attribute: &[u8]) -> bool {
    // Options follow a semicolon, as in `userPassword;lang-en`.
    let name = attribute
        .split(|octet| *octet == b';')
        .next()
        .unwrap_or_default();
    attributes_with_secrets()
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

fn front(message: &Message<'_>) -> Vec<(Key, Value)> {
    vec![
        ("type".into(), Value::Static(message.operation.kind)),
        ("operation".into(), Value::Static(message.operation.name)),
        ("messageId".into(), Value::Int(message.id.into())),
    ]
}

/// Whom or what a request is about, in a line.
fn summary(message: &Message<'_>, members: &[(Key, Value)]) -> String {
    let names: &[&str] = match message.operation.tag {
        SEARCH => &["baseObject", "filter"],
        EXTENDED => match members
            .iter()
            .any(|(key, _)| *key == Key::Static("extension"))
        {
            true => &["extension"],
            false => &["requestName"],
        },
        parser::ABANDON => &["abandonedId"],
        _ => &["name", "object", "entry"],
    };
    let texts = names.iter().filter_map(|name| {
        let (_, value) = members.iter().find(|(key, _)| key.text() == *name)?;
        match value {
            Value::Text(bytes) if !bytes.is_empty() => Some(text_of(bytes).into_owned()),
            Value::Static(text) => Some((*text).to_owned()),
            Value::Int(number) => Some(number.to_string()),
            _ => None,
        }
    });
    texts.collect::<Vec<_>>().join(" ")
}

/// Makes values that are slices of `bytes`.
struct Maker<'a> {
    bytes: &'a Bytes,
    /// List elements that may still be shown.
    left: usize,
    /// Whether the value of an extended response is a secret.
    is_secret: bool,
}

type Members = Vec<(Key, Value)>;

impl Maker<'_> {
    fn request(&mut self, message: &Message<'_>, out: &mut Members) {
        let mut elements = message.element.elements();
        match message.operation.tag {
            BIND => self.bind(&mut elements, out),
            SEARCH => self.search(&mut elements, out),
            0x66 => {
                self.member("object", elements.optional(OCTETS), out);
                let changes = self.list(elements.optional(SEQUENCE), Maker::change);
                out.push(("changes".into(), changes));
            }
            0x68 => {
                self.member("entry", elements.optional(OCTETS), out);
                let attributes = self.list(elements.optional(SEQUENCE), Maker::attribute);
                out.push(("attributes".into(), attributes));
            }
            0x4a => out.push(("entry".into(), self.text(message.element.contents))),
            0x6c => {
                self.member("entry", elements.optional(OCTETS), out);
                self.member("newrdn", elements.optional(OCTETS), out);
                out.push(("deleteoldrdn".into(), flag(elements.optional(BOOLEAN))));
                if let Some(superior) = elements.optional(0x80) {
                    self.member("newSuperior", Some(superior), out);
                }
            }
            0x6e => {
                self.member("entry", elements.optional(OCTETS), out);
                let mut ava = elements
                    .optional(SEQUENCE)
                    .map_or(Elements::of(&[]), |one| one.elements());
                let attribute = ava.optional(OCTETS);
                let value = ava.optional(OCTETS).map_or(Value::Null, |value| {
                    self.asserted(attribute.map_or(&[], |one| one.contents), value.contents)
                });
                self.member("attributeDesc", attribute, out);
                out.push(("assertionValue".into(), value));
            }
            parser::ABANDON => out.push(("abandonedId".into(), number(Some(message.element)))),
            EXTENDED => {
                let name = parser::request_name(message);
                if let Some(known) = oid_name(name) {
                    out.push(("extension".into(), Value::Static(known)));
                }
                self.is_secret = name == super::PASSWORD_MODIFY;
                self.named_value(message, ("requestName", "requestValue"), out);
            }
            _ => {}
        }
    }

    fn bind(&mut self, elements: &mut Elements<'_>, out: &mut Members) {
        out.push(("version".into(), number(elements.optional(INTEGER))));
        self.member("name", elements.optional(OCTETS), out);
        if let Some(password) = elements.optional(0x80) {
            out.push(("authentication".into(), Value::Static("simple")));
            out.push(("passwordLength".into(), length(password.contents)));
        } else if let Some(sasl) = elements.optional(0xa3) {
            let mut parts = sasl.elements();
            out.push(("authentication".into(), Value::Static("sasl")));
            self.member("mechanism", parts.optional(OCTETS), out);
            if let Some(credentials) = parts.optional(OCTETS) {
                out.push(("credentialsLength".into(), length(credentials.contents)));
            }
        } else if let Some(Ok(other)) = elements.next() {
            // Active Directory has three choices of its own, [MS-ADTS] section 5.1.1.1.3.
            let name = match other.tag {
                0x89 => "sicilyPackageDiscovery",
                0x8a => "sicilyNegotiate",
                0x8b => "sicilyResponse",
                _ => "unknown",
            };
            out.push(("authentication".into(), Value::Static(name)));
            out.push(("credentialsLength".into(), length(other.contents)));
        }
    }

    fn search(&mut self, elements: &mut Elements<'_>, out: &mut Members) {
        const SCOPES: [&str; 4] = [
            "baseObject",
            "singleLevel",
            "wholeSubtree",
            "subordinateSubtree",
        ];
        const DEREF: [&str; 4] = [
            "neverDerefAliases",
            "derefInSearching",
            "derefFindingBaseObj",
            "derefAlways",
        ];
        self.member("baseObject", elements.optional(OCTETS), out);
        out.push(("scope".into(), enumerated(elements, &SCOPES)));
        out.push(("derefAliases".into(), enumerated(elements, &DEREF)));
        out.push(("sizeLimit".into(), number(elements.optional(INTEGER))));
        out.push(("timeLimit".into(), number(elements.optional(INTEGER))));
        out.push(("typesOnly".into(), flag(elements.optional(BOOLEAN))));
        let filter = match elements.next() {
            Some(Ok(filter)) => Value::text(filter_text(&filter)),
            _ => Value::Null,
        };
        out.push(("filter".into(), filter));
        let attributes = self.list(elements.optional(SEQUENCE), |maker, one| {
            maker.text(one.contents)
        });
        out.push(("attributes".into(), attributes));
    }

    /// Code, matched name, message and referral, then what a bind or extended response adds.
    fn ldap_result(&mut self, message: &Message<'_>, out: &mut Members) {
        let mut elements = message.element.elements();
        let code = elements.optional(ENUMERATED);
        out.push(("resultCode".into(), number(code)));
        let name = code.and_then(|code| code.int()).map(result_name);
        out.push(("resultName".into(), name.unwrap_or_default()));
        self.member("matchedDN", elements.optional(OCTETS), out);
        self.member("diagnosticMessage", elements.optional(OCTETS), out);
        if let Some(referral) = elements.optional(0xa3) {
            let uris = self.list(Some(referral), |maker, one| maker.text(one.contents));
            out.push(("referral".into(), uris));
        }
        if let Some(credentials) = elements.optional(0x87) {
            let length = length(credentials.contents);
            out.push(("serverSaslCredsLength".into(), length));
        }
        if let Some(name) = elements.optional(0x8a) {
            self.oid(("responseName", name.contents), out);
        }
        if let Some(value) = elements.optional(0x8b) {
            self.value_of("responseValue", value.contents, out);
        }
    }

    /// The two members of extended requests and intermediate responses.
    fn named_value(
        &mut self,
        message: &Message<'_>,
        (name, value): (&'static str, &'static str),
        out: &mut Members,
    ) {
        let mut elements = message.element.elements();
        if let Some(oid) = elements.optional(0x80) {
            out.push((name.into(), self.text(oid.contents)));
        }
        if let Some(found) = elements.optional(0x81) {
            self.value_of(value, found.contents, out);
        }
    }

    fn oid(&self, (member, oid): (&'static str, &[u8]), out: &mut Members) {
        out.push((member.into(), self.text(oid)));
        if let Some(known) = oid_name(oid) {
            out.push(("extension".into(), Value::Static(known)));
        }
    }

    fn value_of(&self, member: &'static str, value: &[u8], out: &mut Members) {
        let value = match self.is_secret {
            true => hidden(value),
            false => Value::Base64(self.bytes.slice_ref(value)),
        };
        out.push((member.into(), value));
    }

    /// One entry or reference that a search found.
    fn result(&mut self, message: &Message<'_>) -> Value {
        let mut elements = message.element.elements();
        let mut members = Members::new();
        if message.operation.tag == REFERENCE {
            let uris = self.list(Some(message.element), |maker, one| maker.text(one.contents));
            members.push(("referral".into(), uris));
        } else {
            self.member("objectName", elements.optional(OCTETS), &mut members);
            let attributes = self.list(elements.optional(SEQUENCE), Maker::attribute);
            members.push(("attributes".into(), attributes));
        }
        Value::Object(members)
    }

    fn attribute(&mut self, element: &Element<'_>) -> Value {
        let mut members = Members::new();
        self.type_and_vals(&mut element.elements(), &mut members);
        Value::Object(members)
    }

    fn change(&mut self, element: &Element<'_>) -> Value {
        const KINDS: [&str; 4] = ["add", "delete", "replace", "increment"];
        let mut elements = element.elements();
        let mut members = Members::new();
        members.push(("operation".into(), enumerated(&mut elements, &KINDS)));
        if let Some(modification) = elements.optional(SEQUENCE) {
            self.type_and_vals(&mut modification.elements(), &mut members);
        }
        Value::Object(members)
    }

    /// `PartialAttribute`.
    fn type_and_vals(&mut self, elements: &mut Elements<'_>, out: &mut Members) {
        const SET: u8 = 0x31;
        let kind = elements.optional(OCTETS);
        self.member("type", kind, out);
        let kind = kind.map_or(&[][..], |kind| kind.contents);
        let vals = self.list(elements.optional(SET), |maker, value| {
            maker.asserted(kind, value.contents)
        });
        out.push(("vals".into(), vals));
    }

    fn controls(&mut self, message: &Message<'_>, out: &mut Members) {
        if message.controls.is_none() {
            return;
        }
        let controls = self.list(message.controls, |maker, control| {
            let mut elements = control.elements();
            let mut members = Members::new();
            let kind = elements.optional(OCTETS);
            maker.member("controlType", kind, &mut members);
            if let Some(known) = kind.and_then(|kind| oid_name(kind.contents)) {
                members.push(("name".into(), Value::Static(known)));
            }
            members.push(("criticality".into(), flag(elements.optional(BOOLEAN))));
            if let Some(value) = elements.optional(OCTETS) {
                let value = Value::Base64(maker.bytes.slice_ref(value.contents));
                members.push(("controlValue".into(), value));
            }
            Value::Object(members)
        });
        out.push(("controls".into(), controls));
    }

    fn list(
        &mut self,
        of: Option<Element<'_>>,
        mut make: impl FnMut(&mut Self, &Element<'_>) -> Value,
    ) -> Value {
        let mut list = Vec::new();
        for element in of.iter().flat_map(Element::elements).map_while(Result::ok) {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            list.push(make(self, &element));
        }
        Value::List(list)
    }

    fn member(&self, name: &'static str, element: Option<Element<'_>>, out: &mut Members) {
        let value = element.map_or(Value::Null, |element| self.text(element.contents));
        out.push((name.into(), value));
    }

    fn text(&self, bytes: &[u8]) -> Value {
        Value::Text(self.bytes.slice_ref(bytes))
    }

    /// A value of an attribute: text when it can be, base64 when not.
    fn asserted(&self, attribute: &[u8], value: &[u8]) -> Value {
        match std::str::from_utf8(value) {
            _ if is_secret(attribute) => hidden(value),
            Ok(_) => self.text(value),
            Err(_) => Value::Base64(self.bytes.slice_ref(value)),
        }
    }
}

fn hidden(bytes: &[u8]) -> Value {
    Value::text(format!("[{} octets]", bytes.len()))
}

fn length(bytes: &[u8]) -> Value {
    Value::Int(i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}

fn number(element: Option<Element<'_>>) -> Value {
    element
        .and_then(|element| element.int())
        .map_or(Value::Null, Value::Int)
}

fn flag(element: Option<Element<'_>>) -> Value {
    // Absent ones have the default FALSE.
    let is_true = |element: Element<'_>| element.contents.iter().any(|octet| *octet != 0);
    Value::Bool(element.is_some_and(is_true))
}

fn enumerated(elements: &mut Elements<'_>, names: &[&'static str]) -> Value {
    let Some(number) = elements.optional(ENUMERATED).and_then(|one| one.int()) else {
        return Value::Null;
    };
    usize::try_from(number)
        .ok()
        .and_then(|index| names.get(index))
        .map_or_else(
            || Value::text(number.to_string()),
            |name| Value::Static(name),
        )
}

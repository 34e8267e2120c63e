//! Reads LDAP messages: their front, their operation, their controls; pure.
//!
//! In: bytes. Out: places in them. Never: text (that is `render`), allocation. Standard: RFC 4511
//! section 4.

use super::ber::{
    self, BOOLEAN, ENUMERATED, Element, Elements, Head, INTEGER, OCTETS, ParseError,
    ParseErrorKind, SEQUENCE,
};
use crate::bytes::Reader;

/// The tag of controls.
const CONTROLS: u8 = 0xa0;

/// One operation of the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Operation {
    /// Its tag.
    pub(super) tag: u8,
    /// What it is, as items show it.
    pub(super) kind: &'static str,
    /// What it belongs to: the same for a request and its responses.
    pub(super) name: &'static str,
    /// Who says it, and what comes then.
    pub(super) role: Role,
    /// Tags of the elements that it must have; 0 stands for any.
    elements: &'static [u8],
}

/// What part an operation has in an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The client's, and a response is due.
    Request,
    /// The client's, and none is.
    OneWay,
    /// The server's, and more comes.
    Part,
    /// The server's last word.
    Final,
}

/// `LDAPResult`: code, matched name, message.
const RESULT: &[u8] = &[ENUMERATED, OCTETS, OCTETS];

/// Tag of a bind request.
pub(super) const BIND: u8 = 0x60;
/// Tag of a search request.
pub(super) const SEARCH: u8 = 0x63;
/// Tag of an entry that a search found.
pub(super) const ENTRY: u8 = 0x64;
/// Tag of a reference that a search found.
pub(super) const REFERENCE: u8 = 0x73;
/// Tag of an abandon request.
pub(super) const ABANDON: u8 = 0x50;
/// Tag of an extended request.
pub(super) const EXTENDED: u8 = 0x77;

/// Every operation, by its number.
#[rustfmt::skip]
static OPERATIONS: &[Operation] = &[
    op(BIND, "bind request", "bind", Role::Request, &[INTEGER, OCTETS, 0]),
    op(0x61, "bind response", "bind", Role::Final, RESULT),
    op(0x42, "unbind request", "unbind", Role::OneWay, &[]),
    op(SEARCH, "search request", "search", Role::Request,
        &[OCTETS, ENUMERATED, ENUMERATED, INTEGER, INTEGER, BOOLEAN, 0, SEQUENCE]),
    op(ENTRY, "search result entry", "search", Role::Part, &[OCTETS, SEQUENCE]),
    op(0x65, "search result done", "search", Role::Final, RESULT),
    op(0x66, "modify request", "modify", Role::Request, &[OCTETS, SEQUENCE]),
    op(0x67, "modify response", "modify", Role::Final, RESULT),
    op(0x68, "add request", "add", Role::Request, &[OCTETS, SEQUENCE]),
    op(0x69, "add response", "add", Role::Final, RESULT),
    op(0x4a, "delete request", "delete", Role::Request, &[]),
    op(0x6b, "delete response", "delete", Role::Final, RESULT),
    op(0x6c, "modify DN request", "modify DN", Role::Request, &[OCTETS, OCTETS, BOOLEAN]),
    op(0x6d, "modify DN response", "modify DN", Role::Final, RESULT),
    op(0x6e, "compare request", "compare", Role::Request, &[OCTETS, SEQUENCE]),
    op(0x6f, "compare response", "compare", Role::Final, RESULT),
    op(ABANDON, "abandon request", "abandon", Role::OneWay, &[]),
    op(REFERENCE, "search result reference", "search", Role::Part, &[OCTETS]),
    op(EXTENDED, "extended request", "extended", Role::Request, &[0x80]),
    op(0x78, "extended response", "extended", Role::Final, RESULT),
    op(0x79, "intermediate response", "intermediate", Role::Part, &[]),
];

const fn op(
    tag: u8,
    kind: &'static str,
    name: &'static str,
    role: Role,
    elements: &'static [u8],
) -> Operation {
    Operation {
        tag,
        kind,
        name,
        role,
        elements,
    }
}

/// The operation with this tag.
pub(super) fn operation(tag: u8) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.tag == tag)
}

/// The operation that items call so.
#[cfg(test)]
pub(super) fn named(kind: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.kind == kind)
}

impl Operation {
    /// Whether a client says it.
    pub(super) fn is_request(&self) -> bool {
        matches!(self.role, Role::Request | Role::OneWay)
    }
}

/// What the front of a message tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Front {
    /// Bytes of the whole message.
    pub(super) total: usize,
    /// Its identifier.
    pub(super) id: u32,
    /// What it is.
    pub(super) operation: &'static Operation,
}

impl Front {
    /// Bytes of a front at most: three tags with lengths of four octets, and an identifier.
    pub(super) const MAX: usize = 6 + 6 + 6;

    /// Reads one: `Ok(None)` when bytes are missing.
    ///
    /// # Errors
    /// `Err` when no message begins so.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Front>, ()> {
        match Front::read(&mut Reader::new(bytes)) {
            Ok(front) => Ok(Some(front)),
            Err(error) if error.kind == ParseErrorKind::Truncated => Ok(None),
            Err(_) => Err(()),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Front, ParseError> {
        let wrong = |offset| ParseError {
            kind: ParseErrorKind::Tag,
            offset,
        };
        let expect = |reader: &mut Reader<'_>, tag| {
            // The tag alone decides early, before the length is there.
            let found = reader.rest().first().copied();
            match found {
                Some(found) if found != tag => Err(wrong(reader.offset())),
                _ => Head::read(reader),
            }
        };
        let outer = expect(reader, SEQUENCE)?;
        let end = reader.offset().saturating_add(outer.len);
        let id_head = expect(reader, INTEGER)?;
        if !(1..=4).contains(&id_head.len) {
            return Err(wrong(reader.offset()));
        }
        let id = reader.take(id_head.len)?;
        // "MessageID ::= INTEGER (0 .. maxInt)"
        if id.first().is_some_and(|octet| octet & 0x80 != 0) {
            return Err(wrong(reader.offset()));
        }
        let id = id
            .iter()
            .fold(0u32, |id, octet| id << 8 | u32::from(*octet));
        let tag = reader.rest().first().copied();
        let operation = match tag.map(operation) {
            Some(None) => return Err(wrong(reader.offset())),
            Some(Some(operation)) => Some(operation),
            None => None,
        };
        let head = Head::read(reader)?;
        let operation_end = reader.offset().saturating_add(head.len);
        match operation {
            Some(operation) if operation_end <= end => Ok(Front {
                total: end,
                id,
                operation,
            }),
            _ => Err(wrong(reader.offset())),
        }
    }
}

/// One message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    /// Its identifier.
    pub(super) id: u32,
    /// What it is.
    pub(super) operation: &'static Operation,
    /// The operation's element.
    pub(super) element: Element<'a>,
    /// Controls, when there are any.
    pub(super) controls: Option<Element<'a>>,
}

impl<'a> Message<'a> {
    /// Reads one; its end may be missing.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Message<'a>> {
        let front = Front::parse(bytes).ok()??;
        let outer = Elements::of(bytes).next_cut().ok()?;
        let mut elements = outer.elements();
        elements.next()?.ok()?;
        let element = elements.next_cut().ok()?;
        Some(Message {
            id: front.id,
            operation: front.operation,
            element,
            controls: elements.optional(CONTROLS),
        })
    }
}

/// Reads a message to its end.
///
/// # Errors
/// The first error, in wire order.
pub(super) fn check(bytes: &[u8]) -> Result<(), ParseError> {
    ber::check(Elements::of(bytes), 0)?;
    let Some(message) = Message::parse(bytes) else {
        return Err(ParseError {
            kind: ParseErrorKind::Tag,
            offset: 0,
        });
    };
    let mut elements = message.element.elements();
    for tag in message.operation.elements {
        let offset = elements.offset();
        match elements.next() {
            Some(Ok(element)) if *tag == 0 || element.tag == *tag => {}
            _ => {
                return Err(ParseError {
                    kind: ParseErrorKind::Tag,
                    offset,
                });
            }
        }
    }
    Ok(())
}

/// The name of an extended request.
pub(super) fn request_name<'a>(message: &Message<'a>) -> &'a [u8] {
    message
        .element
        .elements()
        .optional(0x80)
        .map_or(&[], |element| element.contents)
}

/// The mechanism of a SASL bind.
pub(super) fn sasl_mechanism<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    let mut elements = message.element.elements();
    elements.optional(INTEGER)?;
    elements.optional(OCTETS)?;
    let sasl = elements.optional(0xa3)?;
    Some(sasl.elements().optional(OCTETS)?.contents)
}

/// The result code of a message that has one.
pub(super) fn result_code(message: &Message<'_>) -> Option<i64> {
    message.element.elements().optional(ENUMERATED)?.int()
}

/// The message for people of a result.
pub(super) fn diagnostic_message<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    let mut elements = message.element.elements();
    elements.optional(ENUMERATED)?;
    elements.optional(OCTETS)?;
    Some(elements.optional(OCTETS)?.contents)
}

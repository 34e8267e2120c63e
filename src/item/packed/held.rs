//! A place in a record that is held, as a [`Node`]: packed records read in place, flat ones beside them.

use std::borrow::Cow;
use std::cell::Cell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Member, Packed, Place, TAGS};
use crate::item::Absent;
use crate::item::flat::{self, Flat};
use crate::item::node::{Kind, Node};

/// A place in an item that is held: in a flat record, or in one that is packed.
#[derive(Clone, Copy)]
pub struct Held<'a>(At<'a>);

#[derive(Clone, Copy)]
enum At<'a> {
    Flat(Flat<'a>),
    /// With the record that it is of.
    Packed(&'a Packed, u32, Place),
}

impl<'a> Held<'a> {
    /// A place in a flat record.
    pub fn of(flat: Flat<'a>) -> Held<'a> {
        Held(At::Flat(flat))
    }

    /// A place in a packed record.
    pub(super) fn packed(packed: &'a Packed, record: u32, place: Place) -> Held<'a> {
        Held(At::Packed(packed, record, place))
    }

    /// The item's run-wide number.
    pub fn number(self) -> u64 {
        match self.0 {
            At::Flat(flat) => flat.number(),
            At::Packed(packed, record, _) => {
                let number = packed.numbers.at(record as usize, &packed.data);
                number.cast_unsigned()
            }
        }
    }

    /// Nanoseconds from request to response, of which the item itself has only the milliseconds; all
    /// ones for what is no item.
    pub fn elapsed_nanos(self) -> u64 {
        match self.0 {
            At::Flat(flat) => flat.elapsed_nanos(),
            At::Packed(packed, record, _) => {
                let elapsed = packed.elapsed.at(record as usize, &packed.data);
                elapsed.cast_unsigned()
            }
        }
    }

    /// The flat record of the item, at whose root this is.
    pub fn record(self) -> Cow<'a, [u8]> {
        match self.0 {
            At::Flat(flat) => Cow::Borrowed(flat.record()),
            At::Packed(..) => {
                let mut record = Vec::new();
                flat::record(self.number(), self.elapsed_nanos(), self, &mut record);
                Cow::Owned(record)
            }
        }
    }
}

impl<'a> Node<'a> for Held<'a> {
    fn kind(self) -> Kind {
        match self.0 {
            At::Flat(flat) => flat.kind(),
            At::Packed(_, _, place) => match place {
                Place::Null => Kind::Null,
                Place::Bool(_) => Kind::Bool,
                Place::Int(_) => Kind::Int,
                Place::Float(_) => Kind::Float,
                Place::Text(_) | Place::Bytes(_) => Kind::Text,
                Place::List(_) => Kind::List,
                Place::Object(..) => Kind::Object,
            },
        }
    }

    fn bool(self) -> Option<bool> {
        match self.0 {
            At::Flat(flat) => flat.bool(),
            At::Packed(_, _, Place::Bool(value)) => Some(value),
            At::Packed(..) => None,
        }
    }

    fn int(self) -> Option<i64> {
        match self.0 {
            At::Flat(flat) => flat.int(),
            At::Packed(_, _, Place::Int(value)) => Some(value),
            At::Packed(..) => None,
        }
    }

    fn float(self) -> Option<f64> {
        match self.0 {
            At::Flat(flat) => flat.float(),
            At::Packed(_, _, Place::Float(value)) => Some(value),
            At::Packed(_, _, Place::Int(value)) => Some(value as f64),
            At::Packed(..) => None,
        }
    }

    fn text(self) -> Option<Cow<'a, str>> {
        match self.0 {
            At::Flat(flat) => flat.text(),
            At::Packed(packed, _, Place::Text(code)) => {
                Some(String::from_utf8_lossy(packed.text(code)))
            }
            At::Packed(packed, _, Place::Bytes(code)) => {
                Some(Cow::Owned(STANDARD.encode(packed.text(code))))
            }
            At::Packed(..) => None,
        }
    }

    fn raw(self) -> Option<&'a [u8]> {
        match self.0 {
            At::Flat(flat) => flat.raw(),
            At::Packed(packed, _, Place::Bytes(code)) => Some(packed.text(code)),
            At::Packed(..) => None,
        }
    }

    fn len(self) -> usize {
        match self.0 {
            At::Flat(flat) => flat.len(),
            At::Packed(packed, _, Place::List(list)) => packed.elements(list).len(),
            At::Packed(packed, _, Place::Object(table, _)) => {
                packed.members(table).len() + packed.absent(table).len()
            }
            At::Packed(..) => 0,
        }
    }

    fn elapsed_micros(self) -> Option<i64> {
        match self.0 {
            At::Flat(flat) => flat.elapsed_micros(),
            At::Packed(packed, record, place) => {
                let nanos = packed.is_root(record, place).then(|| self.elapsed_nanos());
                flat::timed(nanos?)
            }
        }
    }

    fn absent(self) -> Absent {
        match self.0 {
            At::Flat(flat) => flat.absent(),
            At::Packed(packed, _, Place::Object(table, _)) => packed.absent(table),
            At::Packed(..) => Absent::Nothing,
        }
    }

    fn entry(self, index: usize) -> Option<(Cow<'a, str>, Self)> {
        match self.0 {
            At::Flat(flat) => {
                let (name, node) = flat.entry(index)?;
                Some((name, Held::of(node)))
            }
            At::Packed(packed, record, Place::Object(table, row)) => {
                let own = packed.members(table);
                let Some(member) = own.get(index) else {
                    let behind = index.checked_sub(own.len())?;
                    let (name, kind) = packed.absent(table).members().get(behind)?;
                    return Some((Cow::Borrowed(*name), Held::of(Flat::empty(*kind))));
                };
                let name = String::from_utf8_lossy(packed.text(member.name));
                let place = packed.value(member, row);
                Some((name, Held(At::Packed(packed, record, place))))
            }
            At::Packed(..) => None,
        }
    }

    fn element(self, index: usize) -> Option<Self> {
        match self.0 {
            At::Flat(flat) => flat.element(index).map(Held::of),
            At::Packed(packed, record, Place::List(list)) => {
                let at = packed.elements(list).nth(index)?;
                let lists = &packed.lists;
                let tag = usize::try_from(lists.tags.at(at, &packed.data)).ok()?;
                let place = packed.place(*TAGS.get(tag)?, lists.values, lists.rows, at);
                Some(Held(At::Packed(packed, record, place)))
            }
            At::Packed(..) => None,
        }
    }

    fn member(self, name: &str) -> Option<Self> {
        match self.0 {
            At::Flat(flat) => flat.member(name).map(Held::of),
            At::Packed(packed, record, Place::Object(table, row)) => {
                let members = packed.members(table);
                let is = |member: &Member| packed.text(member.name) == name.as_bytes();
                // Most objects that are asked for a name are rows of the same few tables.
                let guess = guess_of(table, name);
                let last = LAST.with(|last| usize::from(last[guess].get()));
                let member = match members.get(last).filter(|member| is(member)) {
                    Some(member) => member,
                    None => {
                        let Some(at) = members.iter().position(is) else {
                            let (_, kind) = packed.absent(table).named(name.as_bytes())?;
                            return Some(Held::of(Flat::empty(kind)));
                        };
                        if let Ok(at) = u8::try_from(at) {
                            LAST.with(|last| last[guess].set(at));
                        }
                        members.get(at)?
                    }
                };
                let place = packed.value(member, row);
                Some(Held(At::Packed(packed, record, place)))
            }
            At::Packed(..) => None,
        }
    }
}

/// Guesses that are kept.
const GUESSES: usize = 256;

thread_local! {
    /// Where the members stood that were asked for last, by [`guess_of`].
    static LAST: [Cell<u8>; GUESSES] = const { [const { Cell::new(0) }; GUESSES] };
}

/// The place of a guess; those that share one take turns.
fn guess_of(table: u32, name: &str) -> usize {
    let first = name.as_bytes().first().copied().unwrap_or_default();
    (table as usize * 31 + usize::from(first) + 7 * name.len()) % GUESSES
}

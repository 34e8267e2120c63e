//! Values of an item: a tree whose leaves are slices of the stream's bytes.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

/// Name of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A name from a field list.
    Static(&'static str),
    /// A name from the traffic, such as a header's; shown with invalid UTF-8 replaced.
    Bytes(Bytes),
}

impl Key {
    /// The name as text.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Key::Static(name) => Cow::Borrowed(name),
            Key::Bytes(bytes) => text_of(bytes),
        }
    }
}

impl From<&'static str> for Key {
    fn from(name: &'static str) -> Key {
        Key::Static(name)
    }
}

impl From<Bytes> for Key {
    fn from(name: Bytes) -> Key {
        Key::Bytes(name)
    }
}

/// A value that is made when somebody first reads it.
pub struct Lazy {
    make: Make,
    from: Bytes,
    made: OnceLock<Value>,
}

#[derive(Clone)]
enum Make {
    Alone(fn(&Bytes) -> Value),
    Knowing(Arc<Maker>),
}

/// Makes a value with what it knows beside the bytes.
type Maker = dyn Fn(&Bytes) -> Value + Send + Sync;

impl Lazy {
    /// The value, made now if it was not yet.
    pub fn get(&self) -> &Value {
        self.made.get_or_init(|| match &self.make {
            Make::Alone(make) => make(&self.from),
            Make::Knowing(make) => make(&self.from),
        })
    }
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl Clone for Lazy {
    fn clone(&self) -> Lazy {
        Lazy {
            make: self.make.clone(),
            from: self.from.clone(),
            made: self.made.clone(),
        }
    }
}

/// An object that tells its usual members without being made: filters and lists read a few of
/// them of each item, and all members are wanted of few items.
pub trait Outline: Send + Sync {
    /// The member called `name`, when it lies there as it is; `None` when it has to be made, or there
    /// is none.
    fn told(&self, name: &str) -> Option<Told<'_>>;

    /// The place that several names lead to, on the same terms; a number names an element of a list.
    fn told_below(&self, names: &[Box<str>]) -> Option<Told<'_>> {
        match names {
            [name] => self.told(name),
            _ => None,
        }
    }

    /// The whole object, made now if it was not yet; what [`Outline::told`] tells is in it too.
    fn whole(&self) -> &Value;

    /// Another one that tells the same.
    fn copied(&self) -> Box<dyn Outline>;
}

impl fmt::Debug for dyn Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole().fmt(f)
    }
}

impl Clone for Box<dyn Outline> {
    fn clone(&self) -> Box<dyn Outline> {
        (**self).copied()
    }
}

/// A member that an [`Outline`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<'a> {
    /// A whole number.
    Int(i64),
    /// Text known beforehand.
    Static(&'static str),
    /// Text from the traffic.
    Text(&'a [u8]),
}

/// Reads a member of an object off the bytes that the object is made of, for [`Outline::told`].
pub type Tell = for<'a> fn(&'a Bytes, &str) -> Option<Told<'a>>;

/// An [`Outline`] that tells what lies in the bytes it is made of.
#[derive(Clone)]
struct OfBytes {
    from: Bytes,
    tell: Tell,
    make: fn(&Bytes) -> Value,
    made: OnceLock<Value>,
}

impl Outline for OfBytes {
    fn told(&self, name: &str) -> Option<Told<'_>> {
        (self.tell)(&self.from, name)
    }

    fn whole(&self) -> &Value {
        self.made.get_or_init(|| (self.make)(&self.from))
    }

    fn copied(&self) -> Box<dyn Outline> {
        Box::new(self.clone())
    }
}

/// One value.
///
/// Bytes are kept as the traffic has them: `Text` is shown with invalid UTF-8 replaced, `Base64`
/// as its base64 text, and neither costs anything until it is shown.
#[derive(Debug, Default, Clone)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text known beforehand.
    Static(&'static str),
    /// Text from the traffic.
    Text(Bytes),
    /// Bytes shown as base64.
    Base64(Bytes),
    /// Values in order.
    List(Vec<Value>),
    /// Members in order; names are unique.
    Object(Vec<(Key, Value)>),
    /// Made on demand; never another `Lazy`.
    Lazy(Box<Lazy>),
    /// An object that is made when more of it is read than it tells.
    Outlined(Box<dyn Outline>),
}

impl Value {
    /// Text made for this item.
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(Bytes::from(text.into()))
    }

    /// The value that JSON says; what lies deeper than [`flat::MAX_DEPTH`](super::flat::MAX_DEPTH) is
    /// null.
    pub fn from_json(json: &serde_json::Value) -> Value {
        Value::from_json_at(json, 0)
    }

    fn from_json_at(json: &serde_json::Value, depth: usize) -> Value {
        use serde_json::Value as Json;
        if depth > super::flat::MAX_DEPTH {
            return Value::Null;
        }
        let below = |json: &Json| Value::from_json_at(json, depth + 1);
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Value::Int(whole),
                None => Value::Float(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Value::text(text.as_str()),
            Json::Array(list) => Value::List(list.iter().map(below).collect()),
            Json::Object(members) => {
                let name = |name: &String| Key::Bytes(Bytes::copy_from_slice(name.as_bytes()));
                let members = members
                    .iter()
                    .map(|(key, member)| (name(key), below(member)));
                Value::Object(members.collect())
            }
        }
    }

    /// A value made from `from` when somebody reads it; `make` must not answer `Lazy`.
    pub fn lazy(from: Bytes, make: fn(&Bytes) -> Value) -> Value {
        Value::made_by(Make::Alone(make), from)
    }

    /// The same, made by something that knows more than the bytes.
    pub fn lazy_knowing(
        from: Bytes,
        make: impl Fn(&Bytes) -> Value + Send + Sync + 'static,
    ) -> Value {
        Value::made_by(Make::Knowing(Arc::new(make)), from)
    }

    /// An object made from `from` when somebody reads more of it than `tell` reads off the bytes;
    /// `make` must answer an object.
    pub fn outlined(from: Bytes, tell: Tell, make: fn(&Bytes) -> Value) -> Value {
        Value::Outlined(Box::new(OfBytes {
            from,
            tell,
            make,
            made: OnceLock::new(),
        }))
    }

    fn made_by(make: Make, from: Bytes) -> Value {
        Value::Lazy(Box::new(Lazy {
            make,
            from,
            made: OnceLock::new(),
        }))
    }

    /// The value itself, made if it is lazy.
    pub fn force(&self) -> &Value {
        match self {
            Value::Lazy(lazy) => lazy.get(),
            Value::Outlined(outline) => outline.whole(),
            value => value,
        }
    }

    /// The member called `name`.
    pub fn member(&self, name: &str) -> Option<&Value> {
        match self.force() {
            Value::Object(members) => members
                .iter()
                .find(|(key, _)| match key {
                    Key::Static(key) => *key == name,
                    Key::Bytes(key) => key == name.as_bytes(),
                })
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// Whether `truncated` is true in the object or in one of its members: dissectors set it beside
    /// a body that they cut. Makes lazy members.
    pub fn is_cut(&self) -> bool {
        let marked = |value: &Value| matches!(value.member("truncated"), Some(Value::Bool(true)));
        match self.force() {
            Value::Object(members) => {
                marked(self) || members.iter().any(|(_, member)| marked(member.force()))
            }
            _ => false,
        }
    }
}

/// Bytes as text, invalid UTF-8 replaced.
pub fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

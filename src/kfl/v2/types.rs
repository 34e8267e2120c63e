//! Static types of the second dialect (reference section 12.3).

use std::fmt;

use super::vars::Type;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ty {
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Time,
    Span,
    Null,
    Type,
    /// Known only when evaluated.
    Dyn,
    List(Box<Ty>),
    Map(Box<Ty>, Box<Ty>),
}

impl Ty {
    /// Whether values of both types may be compared and stand for each other.
    pub(crate) fn fits(&self, other: &Ty) -> bool {
        match (self, other) {
            (Ty::Dyn, _) | (_, Ty::Dyn) => true,
            (Ty::List(left), Ty::List(right)) => left.fits(right),
            (Ty::Map(left, inner), Ty::Map(right, other)) => left.fits(right) && inner.fits(other),
            _ => self == other,
        }
    }

    pub(crate) fn is_dyn(&self) -> bool {
        *self == Ty::Dyn
    }

    /// The one type of several elements; `dyn` when they differ.
    pub(crate) fn common(types: impl IntoIterator<Item = Ty>) -> Ty {
        let mut types = types.into_iter();
        let Some(first) = types.next() else {
            return Ty::Dyn;
        };
        if types.all(|ty| ty == first) {
            first
        } else {
            Ty::Dyn
        }
    }
}

impl From<Type> for Ty {
    fn from(ty: Type) -> Ty {
        match ty {
            Type::Text => Ty::Text,
            Type::Int => Ty::Int,
            Type::Bool => Ty::Bool,
            Type::Time => Ty::Time,
            Type::Bytes => Ty::Bytes,
            Type::List => Ty::List(Box::new(Ty::Text)),
            Type::Map(_) => Ty::Map(Box::new(Ty::Text), Box::new(Ty::Text)),
        }
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Ty::Bool => "bool",
            Ty::Int => "int",
            Ty::Uint => "uint",
            Ty::Double => "double",
            Ty::Text => "string",
            Ty::Bytes => "bytes",
            Ty::Time => "timestamp",
            Ty::Span => "duration",
            Ty::Null => "null",
            Ty::Type => "type",
            Ty::Dyn => "dyn",
            Ty::List(of) => return write!(f, "list({of})"),
            Ty::Map(key, value) => return write!(f, "map({key}, {value})"),
        };
        f.write_str(name)
    }
}

//! Names, types and scopes of the second dialect (reference sections 12.3 to 12.6 and 12.8).
//!
//! In: the tree as written. Out: the intermediate form, in which every atom stands behind the
//! flags of the protocols whose variables it reads. Never: a tree whose types do not fit.

use super::ast::{Ast, Kind, Literal};
use super::calls;
use super::read;
use super::types::Ty;
use super::vars::{self, DNS_STATUS, Keys, Type, VARS, Var};
use crate::kfl::error::{Error, Warning, nearest};
use crate::kfl::ir::{Arith, Const, Expr, Op, Owner, Typed};
use crate::kfl::named::Size;
use crate::kfl::schema::{Layout, Schema};
use crate::kfl::{Dialect, MAX_DEPTH, MAX_NODES};

/// What checking gives.
pub(crate) struct Checked {
    pub expr: Expr,
    pub warnings: Vec<Warning>,
    /// How large the expression is.
    pub size: Size,
}

/// Checks a whole query.
pub(crate) fn check(text: &str, ast: &Ast, schema: &Schema) -> Result<Checked, Error> {
    let mut checker = Checker {
        text,
        schema,
        layout: schema.layout(),
        size: Size::default(),
        locals: Vec::new(),
        owners: Vec::new(),
        warnings: Vec::new(),
    };
    let expr = checker.filter(ast)?;
    let size = Size {
        height: ast.height + checker.size.height,
        ..checker.size
    };
    Ok(Checked {
        expr,
        warnings: checker.warnings,
        size,
    })
}

/// The flags of the protocol that `var` belongs to.
pub(crate) fn owner_of(var: &Var) -> Option<Owner> {
    var.owner.map(read::flags)
}

/// What `status_code` means where a query stands (section 12.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    Http,
    Dns,
}

/// An expression with its type.
pub(crate) struct Made {
    pub expr: Expr,
    pub ty: Ty,
    /// Of a map: how its keys are looked up.
    pub keys: Keys,
}

impl Made {
    pub(crate) fn new(typed: Typed, ty: Ty) -> Made {
        Made {
            expr: Expr::Typed(Box::new(typed)),
            ty,
            keys: Keys::Exact,
        }
    }

    pub(crate) fn constant(constant: Const, ty: Ty) -> Made {
        Made {
            expr: Expr::Const(constant),
            ty,
            keys: Keys::Exact,
        }
    }
}

pub(crate) struct Checker<'c> {
    pub text: &'c str,
    schema: &'c Schema,
    pub layout: Layout,
    /// Operands and operators so far, and the height of the highest macro.
    size: Size,
    /// What macros have named, the outermost first.
    pub locals: Vec<(String, Ty)>,
    /// Owners of the variables met in the atom at hand.
    owners: Vec<&'static str>,
    pub warnings: Vec<Warning>,
}

impl Checker<'_> {
    pub(crate) fn error(&self, at: &Ast, message: impl Into<String>) -> Error {
        Error::at(self.text, at.offset, message)
    }

    /// A message about an operator or function that the types do not fit.
    pub(crate) fn overload(&self, at: &Ast, name: &str, types: &[&Ty]) -> Error {
        let types: Vec<_> = types.iter().map(ToString::to_string).collect();
        let types = types.join(", ");
        self.error(
            at,
            format!("found no matching overload for '{name}' applied to '({types})'"),
        )
    }

    fn filter(&mut self, ast: &Ast) -> Result<Expr, Error> {
        if let Some(flag) = self.bare(ast, Context::Http) {
            return Ok(flag);
        }
        if let Kind::Cond(parts) = &ast.kind {
            return self.choice(parts, Context::Http).map(|made| made.expr);
        }
        let made = self.value(ast, Context::Http)?;
        if !matches!(made.ty, Ty::Bool | Ty::Dyn) {
            return Err(self.error(ast, format!("filter must be boolean, is {}", made.ty)));
        }
        Ok(made.expr)
    }

    /// An expression where a boolean is expected.
    pub(crate) fn boolean(
        &mut self,
        ast: &Ast,
        name: &str,
        context: Context,
    ) -> Result<Expr, Error> {
        if let Some(flag) = self.bare(ast, context) {
            return Ok(flag);
        }
        let made = match &ast.kind {
            Kind::Cond(parts) => self.choice(parts, context)?,
            _ => self.value(ast, context)?,
        };
        if !matches!(made.ty, Ty::Bool | Ty::Dyn) {
            return Err(self.overload(ast, name, &[&made.ty]));
        }
        Ok(made.expr)
    }

    /// The flag that a variable of another type stands for where a boolean is expected.
    fn bare(&self, ast: &Ast, context: Context) -> Option<Expr> {
        let var = self
            .variable(ast, context)
            .filter(|var| var.ty != Type::Bool)?;
        let owner = owner_of(var)?;
        Some(Expr::Typed(Box::new(Typed::Flag(owner, self.layout))))
    }

    /// A choice where a boolean is expected, so in its branches too.
    fn choice(&mut self, parts: &(Ast, Ast, Ast), context: Context) -> Result<Made, Error> {
        let condition = self.boolean(&parts.0, "_?_:_", context)?;
        let yes = self.branch(&parts.1, context)?;
        let no = self.branch(&parts.2, context)?;
        Ok(Made::new(Typed::Cond(condition, yes, no), Ty::Bool))
    }

    fn branch(&mut self, ast: &Ast, context: Context) -> Result<Expr, Error> {
        self.boolean(ast, "_?_:_", context)
    }

    pub(crate) fn value(&mut self, ast: &Ast, context: Context) -> Result<Made, Error> {
        self.size.nodes += 1;
        match &ast.kind {
            Kind::Literal(literal) => Ok(self.literal(literal)),
            Kind::Name(..) | Kind::Select(..) => self.named(ast, context),
            Kind::Index(of, index) => self.index(ast, of, index, context),
            Kind::Call(..) => calls::call(self, ast, context),
            Kind::List(elements) => self.list(elements, context),
            Kind::Map(entries) => self.map(entries, context),
            Kind::Not(inner) => {
                let inner = self.boolean(inner, "!_", context)?;
                Ok(Made::new(Typed::Not(inner), Ty::Bool))
            }
            Kind::Minus(inner) => {
                let made = self.value(inner, context)?;
                if !matches!(made.ty, Ty::Int | Ty::Double | Ty::Dyn) {
                    return Err(self.overload(ast, "-_", &[&made.ty]));
                }
                let ty = made.ty.clone();
                Ok(Made::new(Typed::Minus(made.expr), ty))
            }
            Kind::Binary(sign, left, right) => self.binary(ast, sign, left, right, context),
            Kind::And(_) => self.and(ast, context),
            Kind::Or(parts) => {
                let parts: Result<_, _> = parts
                    .iter()
                    .map(|part| self.boolean(part, "_||_", context))
                    .collect();
                Ok(Made::new(Typed::Or(parts?), Ty::Bool))
            }
            Kind::Cond(parts) => self.cond(ast, parts, context),
        }
    }

    fn literal(&self, literal: &Literal) -> Made {
        let (constant, ty) = match literal {
            Literal::Null => (Const::Null, Ty::Null),
            Literal::Bool(value) => (Const::Bool(*value), Ty::Bool),
            Literal::Int(value) => (Const::int(*value), Ty::Int),
            Literal::Uint(value) => (Const::Uint(*value), Ty::Uint),
            Literal::Double(value) => (Const::float(*value), Ty::Double),
            Literal::Text(text) => (Const::Text(text.as_str().into()), Ty::Text),
            Literal::Bytes(bytes) => (Const::Bytes(bytes.as_slice().into()), Ty::Bytes),
        };
        Made::constant(constant, ty)
    }

    fn and(&mut self, ast: &Ast, context: Context) -> Result<Made, Error> {
        let mut flat = Vec::new();
        flatten(ast, &mut flat);
        let flag = |part: &&Ast, names: &[&str]| match &part.kind {
            Kind::Name(name, _) => names.contains(&name.as_str()),
            _ => false,
        };
        let context = if flat.iter().any(|part| flag(part, &["http"])) {
            Context::Http
        } else if flat
            .iter()
            .any(|part| flag(part, &["dns", "dns_request", "dns_response"]))
        {
            Context::Dns
        } else {
            context
        };
        let parts: Result<_, _> = flat
            .iter()
            .map(|part| self.boolean(part, "_&&_", context))
            .collect();
        Ok(Made::new(Typed::And(parts?), Ty::Bool))
    }

    fn cond(
        &mut self,
        ast: &Ast,
        parts: &(Ast, Ast, Ast),
        context: Context,
    ) -> Result<Made, Error> {
        let condition = self.boolean(&parts.0, "_?_:_", context)?;
        let yes = self.value(&parts.1, context)?;
        let no = self.value(&parts.2, context)?;
        if !yes.ty.fits(&no.ty) {
            return Err(self.overload(ast, "_?_:_", &[&Ty::Bool, &yes.ty, &no.ty]));
        }
        let ty = if yes.ty == no.ty { yes.ty } else { Ty::Dyn };
        let keys = if yes.keys == no.keys {
            yes.keys
        } else {
            Keys::Exact
        };
        let made = Made::new(Typed::Cond(condition, yes.expr, no.expr), ty);
        Ok(Made { keys, ..made })
    }

    fn list(&mut self, elements: &[Ast], context: Context) -> Result<Made, Error> {
        let made: Result<Vec<_>, _> = elements
            .iter()
            .map(|element| self.value(element, context))
            .collect();
        let (exprs, types): (Vec<_>, Vec<_>) =
            made?.into_iter().map(|made| (made.expr, made.ty)).unzip();
        Ok(Made::new(
            Typed::List(exprs),
            Ty::List(Box::new(Ty::common(types))),
        ))
    }

    fn map(&mut self, entries: &[(Ast, Ast)], context: Context) -> Result<Made, Error> {
        let (mut exprs, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in entries {
            let made = self.value(key, context)?;
            if !matches!(made.ty, Ty::Bool | Ty::Int | Ty::Uint | Ty::Text | Ty::Dyn) {
                return Err(self.error(key, format!("type '{}' cannot be a map key", made.ty)));
            }
            let value = self.value(value, context)?;
            keys.push(made.ty);
            values.push(value.ty);
            exprs.push((made.expr, value.expr));
        }
        let ty = Ty::Map(Box::new(Ty::common(keys)), Box::new(Ty::common(values)));
        Ok(Made::new(Typed::Map(exprs), ty))
    }

    /// The variable that a whole expression of names spells, when no macro has taken its name.
    fn variable(&self, ast: &Ast, context: Context) -> Option<&'static Var> {
        let (names, rooted) = spelt(ast)?;
        self.resolve(&names, rooted, context)
            .filter(|(_, used)| *used == names.len())
            .map(|(var, _)| var)
    }

    /// The variable that the first names spell, as many as possible, and how many.
    fn resolve(
        &self,
        names: &[&str],
        rooted: bool,
        context: Context,
    ) -> Option<(&'static Var, usize)> {
        let first = names.first()?;
        if !rooted && self.local(first).is_some() {
            return None;
        }
        let (var, used) = (1..=names.len().min(3)).rev().find_map(|used| {
            let name = names.get(..used)?.join(".");
            Some((vars::find(&name)?, used))
        })?;
        let status = matches!(var.name, "status_code" | "response.status");
        let var = if status && context == Context::Dns {
            &DNS_STATUS
        } else {
            var
        };
        Some((var, used))
    }

    fn local(&self, name: &str) -> Option<usize> {
        self.locals.iter().rposition(|(known, _)| known == name)
    }

    fn named(&mut self, ast: &Ast, context: Context) -> Result<Made, Error> {
        let Some((names, rooted)) = spelt(ast) else {
            return self.select(ast, context);
        };
        let first = names.first().copied().unwrap_or_default();
        if !rooted && let Some(at) = self.local(first) {
            if names.len() > 1 {
                return self.select(ast, context);
            }
            let ty = self.locals.get(at).map_or(Ty::Dyn, |(_, ty)| ty.clone());
            return Ok(Made::new(Typed::Local(at), ty));
        }
        match self.resolve(&names, rooted, context) {
            Some((var, used)) if used == names.len() => Ok(self.read(ast, var)),
            Some(_) => self.select(ast, context),
            None => match type_name(&names) {
                Some(name) => Ok(Made::constant(Const::Type(name), Ty::Type)),
                None => match names.as_slice() {
                    [name] => self.expanded(ast, name),
                    _ => Err(self.undeclared(ast, &names.join("."))),
                },
            },
        }
    }

    /// The condition that a macro stands for.
    fn expanded(&mut self, ast: &Ast, name: &str) -> Result<Made, Error> {
        let Some((expr, size)) = self.schema.expanded(name, Dialect::V2) else {
            return Err(self.undeclared(ast, name));
        };
        self.size.nodes += size.nodes;
        self.size.height = self.size.height.max(size.height);
        if self.size.nodes > MAX_NODES {
            return Err(Error::too_large(self.text, ast.offset));
        }
        if ast.height + self.size.height > MAX_DEPTH {
            return Err(Error::too_deep(self.text, ast.offset));
        }
        Ok(Made {
            expr,
            ty: Ty::Bool,
            keys: Keys::Exact,
        })
    }

    pub(crate) fn undeclared(&self, at: &Ast, name: &str) -> Error {
        let variables = VARS.iter().map(|var| var.name);
        let macros = self.schema.queries_by_name().map(|(name, _)| name);
        let hint = match nearest(name, variables.chain(macros)) {
            Some(known) => format!("; did you mean {known}"),
            None => String::new(),
        };
        self.error(at, format!("undeclared reference to '{name}'{hint}"))
    }

    fn read(&mut self, at: &Ast, var: &'static Var) -> Made {
        self.owners.extend(var.owner);
        if var.how == vars::How::Absent && self.layout == Layout::Items {
            self.warnings.push(Warning {
                offset: at.offset,
                message: format!("no item has {} here, so it reads as empty", var.name),
            });
        }
        let made = Made::new(Typed::Var(var, self.layout), var.ty.into());
        match var.ty {
            Type::Map(keys) => Made { keys, ..made },
            _ => made,
        }
    }

    /// `map.name`.
    fn select(&mut self, ast: &Ast, context: Context) -> Result<Made, Error> {
        let Kind::Select(of, name) = &ast.kind else {
            return Err(self.error(ast, "syntax error: unexpected expression"));
        };
        let of = self.value(of, context)?;
        let key = Expr::Const(Const::Text(name.as_str().into()));
        let ty = match of.ty {
            Ty::Map(key, value) if key.fits(&Ty::Text) => *value,
            Ty::Dyn => Ty::Dyn,
            ty => {
                let message = format!("type '{ty}' does not support field selection");
                return Err(self.error(ast, message));
            }
        };
        Ok(Made::new(Typed::Index(of.expr, key, of.keys), ty))
    }

    fn index(&mut self, ast: &Ast, of: &Ast, index: &Ast, context: Context) -> Result<Made, Error> {
        let of = self.value(of, context)?;
        let index = self.value(index, context)?;
        let ty = match &of.ty {
            Ty::List(element) if index.ty.fits(&Ty::Int) => (**element).clone(),
            Ty::Map(key, value) if index.ty.fits(key) => (**value).clone(),
            Ty::Dyn => Ty::Dyn,
            _ => return Err(self.overload(ast, "_[_]", &[&of.ty, &index.ty])),
        };
        Ok(Made::new(Typed::Index(of.expr, index.expr, of.keys), ty))
    }

    /// Checks one atom and puts it behind the flags of the protocols it reads.
    pub(crate) fn atom(
        &mut self,
        make: impl FnOnce(&mut Self) -> Result<Made, Error>,
    ) -> Result<Made, Error> {
        let outer = std::mem::take(&mut self.owners);
        let made = make(self);
        let mut mine = std::mem::replace(&mut self.owners, outer);
        let made = made?;
        mine.sort_unstable();
        mine.dedup();
        if mine.is_empty() {
            return Ok(made);
        }
        let owners = mine.into_iter().map(read::flags).collect();
        Ok(Made::new(
            Typed::Guard(owners, self.layout, made.expr),
            made.ty,
        ))
    }

    fn binary(
        &mut self,
        ast: &Ast,
        sign: &str,
        left: &Ast,
        right: &Ast,
        context: Context,
    ) -> Result<Made, Error> {
        let arith = match sign {
            "+" => Arith::Add,
            "-" => Arith::Sub,
            "*" => Arith::Mul,
            "/" => Arith::Div,
            "%" => Arith::Rem,
            _ => return self.atom(|checker| checker.relation(ast, sign, left, right, context)),
        };
        let left = self.value(left, context)?;
        let right = self.value(right, context)?;
        let Some(ty) = arith_type(arith, &left.ty, &right.ty) else {
            return Err(self.overload(ast, &format!("_{sign}_"), &[&left.ty, &right.ty]));
        };
        Ok(Made::new(Typed::Arith(arith, left.expr, right.expr), ty))
    }

    fn relation(
        &mut self,
        ast: &Ast,
        sign: &str,
        left: &Ast,
        right: &Ast,
        context: Context,
    ) -> Result<Made, Error> {
        let left = self.value(left, context)?;
        let right = self.value(right, context)?;
        let fits = match (sign, &right.ty) {
            ("==" | "!=", _) => left.ty.fits(&right.ty),
            ("in", Ty::List(element)) => left.ty.fits(element),
            ("in", Ty::Map(key, _)) => left.ty.fits(key),
            ("in", ty) => ty.is_dyn(),
            _ => ordered(&left.ty, &right.ty),
        };
        if !fits {
            let name = if sign == "in" {
                "@in".to_owned()
            } else {
                format!("_{sign}_")
            };
            return Err(self.overload(ast, &name, &[&left.ty, &right.ty]));
        }
        let op = match sign {
            "==" => Op::Eq,
            "!=" => Op::Ne,
            "<" => Op::Lt,
            "<=" => Op::Le,
            ">" => Op::Gt,
            ">=" => Op::Ge,
            _ => {
                let typed = Typed::In(left.expr, right.expr, right.keys);
                return Ok(Made::new(typed, Ty::Bool));
            }
        };
        Ok(Made::new(Typed::Cmp(op, left.expr, right.expr), Ty::Bool))
    }
}

/// The operands of a chain of `&&`, groups of the same operator among them taken apart.
fn flatten<'x>(ast: &'x Ast, into: &mut Vec<&'x Ast>) {
    match &ast.kind {
        Kind::And(parts) => parts.iter().for_each(|part| flatten(part, into)),
        _ => into.push(ast),
    }
}

/// The names of an expression that is nothing but names and dots, and whether a dot leads it.
fn spelt(ast: &Ast) -> Option<(Vec<&str>, bool)> {
    let mut names = Vec::new();
    let mut at = ast;
    loop {
        match &at.kind {
            Kind::Select(of, name) => {
                names.push(name.as_str());
                at = of;
            }
            Kind::Name(name, rooted) => {
                names.push(name.as_str());
                names.reverse();
                return Some((names, *rooted));
            }
            _ => return None,
        }
    }
}

fn type_name(names: &[&str]) -> Option<&'static str> {
    const TYPES: &[&str] = &[
        "bool",
        "bytes",
        "double",
        "duration",
        "int",
        "list",
        "map",
        "null_type",
        "string",
        "type",
        "uint",
    ];
    let [name] = names else { return None };
    TYPES.iter().copied().find(|known| known == name)
}

fn ordered(left: &Ty, right: &Ty) -> bool {
    let orders = |ty: &Ty| {
        matches!(
            ty,
            Ty::Int
                | Ty::Uint
                | Ty::Double
                | Ty::Text
                | Ty::Bytes
                | Ty::Bool
                | Ty::Time
                | Ty::Span
                | Ty::Dyn
        )
    };
    orders(left) && orders(right) && left.fits(right)
}

fn arith_type(arith: Arith, left: &Ty, right: &Ty) -> Option<Ty> {
    use Arith::{Add, Div, Mul, Rem, Sub};
    Some(match (arith, left, right) {
        (_, Ty::Dyn, _) | (_, _, Ty::Dyn) => Ty::Dyn,
        (_, Ty::Int, Ty::Int) => Ty::Int,
        (_, Ty::Uint, Ty::Uint) => Ty::Uint,
        (Add | Sub | Mul | Div, Ty::Double, Ty::Double) => Ty::Double,
        (Rem, ..) => return None,
        (Add, Ty::Text, Ty::Text) => Ty::Text,
        (Add, Ty::Bytes, Ty::Bytes) => Ty::Bytes,
        (Add, Ty::List(left), Ty::List(right)) if left.fits(right) => {
            Ty::List(Box::new(Ty::common([(**left).clone(), (**right).clone()])))
        }
        (Add, Ty::Time, Ty::Span) | (Add, Ty::Span, Ty::Time) | (Sub, Ty::Time, Ty::Span) => {
            Ty::Time
        }
        (Sub, Ty::Time, Ty::Time) | (Add | Sub, Ty::Span, Ty::Span) => Ty::Span,
        _ => return None,
    })
}

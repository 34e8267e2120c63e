//! Comparisons and tests of the first dialect, written in the second.
//!
//! In: an operator with a value and what it is compared with. Out: text of the second dialect that
//! is true of the same items. Never: a comparison across types; the second dialect has none.

use super::values::{Value, is_namespace, moment, text_of, whole, written};
use super::{Writer, quoted};
use crate::kfl::ir::{Const, Expr, Op};
use crate::kfl::plan::turned;
use crate::kfl::v2::read::DNS_CODES;
use crate::kfl::v2::vars::Type;

impl Writer {
    /// A method of a text; of a number that of its text, of a list that of any element.
    pub(super) fn tested(&mut self, value: Value, method: &str) -> String {
        if let Value::Var(var) = &value {
            self.remark_labels(var);
        }
        match value {
            Value::Var(var) => match var.ty {
                Type::Text => format!("{}.{method}", var.name),
                Type::List => format!("{}.exists(x, x.{method})", var.name),
                Type::Int => format!("string({}).{method}", var.name),
                _ => self.cannot(format!("{} has another form in KFL2", var.name)),
            },
            Value::Member(map, key) => {
                let key = quoted(&key);
                format!("({key} in {map} && {map}[{key}].{method})", map = map.name)
            }
            Value::Time(_) => self.cannot("a point in time is no text in KFL2".into()),
        }
    }

    pub(super) fn compared(
        &mut self,
        op: Op,
        left: &Expr,
        right: &Expr,
        of: Option<&str>,
    ) -> String {
        let (op, selector, other) = match (left, right) {
            (Expr::Select(selector), other) => (op, selector, other),
            (other, Expr::Select(selector)) => (turned(op), selector, other),
            _ => return self.cannot("a comparison without a field has no counterpart".into()),
        };
        // The answer's code is a number there.
        if written(&selector.steps).as_deref() == Some("response.code") {
            return self.dns_code(op, other);
        }
        let Some(value) = self.value(selector, of) else {
            return "true".into();
        };
        match other {
            Expr::Pattern(pattern) => {
                let owner = match &value {
                    Value::Var(var) => var.owner.map(str::to_owned),
                    _ => None,
                };
                let test = self.tested(value, &format!("matches({})", quoted(pattern.written())));
                match (op, owner) {
                    (Op::Eq, _) => test,
                    (Op::Ne, Some(owner)) => format!("({owner} && !{test})"),
                    (Op::Ne, None) => format!("!{test}"),
                    _ => self.cannot("a pattern has no order".into()),
                }
            }
            Expr::Const(constant) => self.with_constant(op, value, constant),
            Expr::Select(other) => match (value, self.value(other, of)) {
                (Value::Var(left), Some(Value::Var(right)))
                    if left.ty == right.ty && left.ty != Type::List =>
                {
                    self.remark_labels(left);
                    format!("{} {} {}", left.name, op.sign(), right.name)
                }
                (Value::Var(left), Some(Value::Time(at))) if left.ty == Type::Time => {
                    format!("{} {} {at}", left.name, op.sign())
                }
                (Value::Time(at), Some(Value::Var(right))) if right.ty == Type::Time => {
                    format!("{at} {} {}", op.sign(), right.name)
                }
                (_, None) => "true".into(),
                _ => self.cannot("these two are of different types in KFL2".into()),
            },
            _ => self.cannot("a comparison of a comparison has no counterpart".into()),
        }
    }

    fn with_constant(&mut self, op: Op, value: Value, constant: &Const) -> String {
        let sign = op.sign();
        let text = text_of(constant);
        match (value, text) {
            (Value::Member(map, key), Some(text)) => {
                let (map, key, shown) = (map.name, quoted(&key), quoted(&text));
                match op {
                    Op::Eq if !text.is_empty() => format!("map_get({map}, {key}, \"\") == {shown}"),
                    Op::Eq | Op::Ne => format!("({key} in {map} && {map}[{key}] {sign} {shown})"),
                    _ => self.cannot(format!(
                        "{map} holds texts, which KFL2 does not order as numbers"
                    )),
                }
            }
            (Value::Var(var), Some(text)) => match var.ty {
                Type::Text if is_namespace(var.name) && text.is_empty() => {
                    let name = var.name;
                    match op {
                        Op::Eq => format!("({name} == \"internal\" || {name} == \"public\")"),
                        Op::Ne => format!("!({name} == \"internal\" || {name} == \"public\")"),
                        _ => self.cannot(format!(
                            "{name} is a text, which KFL2 does not order as a number"
                        )),
                    }
                }
                Type::Text if matches!(op, Op::Eq | Op::Ne) => {
                    format!("{} {sign} {}", var.name, quoted(&text))
                }
                Type::List if op == Op::Eq => format!("{} in {}", quoted(&text), var.name),
                Type::Bool if text == "true" || text == "false" => {
                    let set = (text == "true") == (op == Op::Eq);
                    if !matches!(op, Op::Eq | Op::Ne) {
                        return self.cannot("flags have no order in KFL2".into());
                    }
                    format!("{}{}", if set { "" } else { "!" }, var.name)
                }
                Type::Int => match whole(constant) {
                    Some(number) => {
                        format!("{} {sign} {number}", var.name)
                    }
                    None => self.cannot(format!(
                        "{} is a whole number in KFL2, not {text}",
                        var.name
                    )),
                },
                Type::Time => match whole(constant).and_then(moment) {
                    Some(at) => format!("{} {sign} {at}", var.name),
                    None => self.cannot("this is no point in time".into()),
                },
                _ => self.cannot(format!("{} cannot be compared so in KFL2", var.name)),
            },
            (_, None) => self.cannot("nil has no counterpart; compare with the default".into()),
            (Value::Time(_), _) => {
                self.cannot("a comparison without a field has no counterpart".into())
            }
        }
    }

    fn dns_code(&mut self, op: Op, other: &Expr) -> String {
        let code = match other {
            Expr::Const(constant) => text_of(constant),
            _ => None,
        };
        let known = code.and_then(|code| DNS_CODES.iter().find(|(name, _)| *name == code));
        match (known, op) {
            (Some((_, code)), Op::Eq | Op::Ne) => {
                self.remark("in KFL2 an item without a DNS response has the code 0".into());
                format!("(dns && dns_response && status_code {} {code})", op.sign())
            }
            _ => self.cannot("KFL2 has DNS response codes as numbers only".into()),
        }
    }
}

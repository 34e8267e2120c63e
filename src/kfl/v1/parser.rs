//! The parser of the first dialect (reference section 3).
//!
//! In: tokens. Out: the intermediate form with constants folded, and warnings. Never: recursion
//! beyond [`MAX_DEPTH`] or a tree beyond [`MAX_NODES`].

use super::lexer::{Kind, Token, tokens, unescaped};
use crate::kfl::error::{Error, Warning, nearest};
use crate::kfl::functions::{self, Does, HELPERS};
use crate::kfl::ir::{Const, End, Expr, Logic, Op, Selector, Step};
use crate::kfl::named::Size;
use crate::kfl::pattern::Pattern;
use crate::kfl::schema::{Layout, Schema};
use crate::kfl::v2::vars::{self, Var};
use crate::kfl::{Dialect, MAX_DEPTH, MAX_NODES, value};

/// Documents within documents that one selector may open: each is parsed anew for every item.
const MAX_DECODES: usize = 16;

/// Levels that a call within a call counts for: parsing and evaluating one takes that much stack.
const CALL_LEVELS: usize = 8;

/// What parsing gives.
pub(crate) struct Parsed {
    /// The expression; `None` for the empty query.
    pub expr: Option<Expr>,
    pub warnings: Vec<Warning>,
    /// Selectors of names alone, with their offsets: what the schema may know.
    pub paths: Vec<(usize, String)>,
    /// How large the expression is.
    pub size: Size,
}

/// Parses a whole query.
pub(crate) fn parse(text: &str, schema: &Schema) -> Result<Parsed, Error> {
    let mut parser = Parser {
        text,
        tokens: tokens(text),
        at: 0,
        depth: 0,
        nodes: 0,
        schema,
        warnings: Vec::new(),
        paths: Vec::new(),
    };
    let built = match parser.peek().kind {
        Kind::End => None,
        _ => Some(parser.expr()?),
    };
    if parser.peek().kind != Kind::End {
        return Err(parser.unexpected(&["\"and\"", "\"or\"", "end of the query"]));
    }
    let height = built.as_ref().map_or(0, |built| built.height);
    Ok(Parsed {
        expr: built.map(|built| built.expr),
        warnings: parser.warnings,
        paths: parser.paths,
        size: Size {
            nodes: parser.nodes,
            height,
        },
    })
}

struct Parser<'p> {
    text: &'p str,
    tokens: Vec<Token<'p>>,
    at: usize,
    depth: usize,
    nodes: usize,
    schema: &'p Schema,
    warnings: Vec<Warning>,
    paths: Vec<(usize, String)>,
}

/// An expression and the length of its longest path.
struct Built {
    expr: Expr,
    height: usize,
}

impl<'p> Parser<'p> {
    fn ahead(&self, by: usize) -> &Token<'p> {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens
            .get((self.at + by).min(last))
            .expect("the last token is the end")
    }

    fn peek(&self) -> &Token<'p> {
        self.ahead(0)
    }

    fn next(&mut self) -> Token<'p> {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn is(&self, by: usize, sign: char) -> bool {
        self.ahead(by).kind == Kind::Punct(sign)
    }

    fn take(&mut self, sign: char) -> bool {
        let found = self.is(0, sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: char, name: &'static str) -> Result<(), Error> {
        if self.take(sign) {
            return Ok(());
        }
        Err(self.unexpected(&[name]))
    }

    fn unexpected(&self, expected: &[&'static str]) -> Error {
        let token = self.peek();
        match token.kind {
            Kind::Open => Error::at(self.text, token.offset, "literal not terminated"),
            Kind::End => Error::at(self.text, self.text.len(), "unexpected token \"<EOF>\"")
                .expecting(expected),
            _ => Error::at(
                self.text,
                token.offset,
                format!("unexpected token {:?}", token.text).replace("\\\"", "\""),
            )
            .expecting(expected),
        }
    }

    fn warn(&mut self, offset: usize, message: String) {
        self.warnings.push(Warning { offset, message });
    }

    /// Counts a node of the tree and holds its height.
    fn built(&mut self, expr: Expr, height: usize) -> Result<Built, Error> {
        self.nodes += 1;
        let offset = self.peek().offset;
        if self.nodes > MAX_NODES {
            return Err(Error::too_large(self.text, offset));
        }
        if height > MAX_DEPTH {
            return Err(self.too_deep());
        }
        Ok(Built {
            expr: folded(expr),
            height,
        })
    }

    fn too_deep(&self) -> Error {
        Error::too_deep(self.text, self.peek().offset)
    }

    /// An expression so many levels deeper.
    fn inner(&mut self, levels: usize) -> Result<Built, Error> {
        self.depth += levels;
        if self.depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let built = self.expr();
        self.depth -= levels;
        built
    }

    /// All levels of operators in one loop: a frame a level would make nesting dear in stack.
    fn expr(&mut self) -> Result<Built, Error> {
        let mut parts: Vec<(Logic, Built)> = Vec::new();
        let mut joined = Logic::And;
        loop {
            let part = self.comparisons()?;
            parts.push((joined, part));
            joined = match (&self.peek().kind, self.peek().text) {
                (Kind::Ident, "and") => Logic::And,
                (Kind::Ident, "or") => Logic::Or,
                _ => break,
            };
            let offset = self.next().offset;
            if parts.len() > 1 && parts.last().is_some_and(|(last, _)| *last != joined) {
                self.warn_mixed(offset);
            }
        }
        let height = parts.iter().map(|(_, part)| part.height).max().unwrap_or(0);
        let mut parts = parts.into_iter();
        let (_, first) = parts.next().expect("the loop has pushed one");
        let rest: Vec<_> = parts.map(|(logic, part)| (logic, part.expr)).collect();
        if rest.is_empty() {
            return Ok(first);
        }
        self.nodes += rest.len() - 1;
        self.built(Expr::Chain(Box::new(first.expr), rest), height + 1)
    }

    fn warn_mixed(&mut self, offset: usize) {
        const MIXED: &str =
            "\"and\" and \"or\" have the same rank and group to the right; add parentheses";
        if !self.warnings.iter().any(|known| known.message == MIXED) {
            self.warn(offset, MIXED.into());
        }
    }

    /// Operands joined by comparisons: `==` and `!=` are looser than the others, and both levels
    /// group to the right.
    fn comparisons(&mut self) -> Result<Built, Error> {
        let mut open: Vec<(Built, Op)> = Vec::new();
        let mut last = self.operand()?;
        while let Some(op) = self.operator() {
            if matches!(op, Op::Eq | Op::Ne) {
                last = self.close(&mut open, last, true)?;
            }
            open.push((last, op));
            last = self.operand()?;
        }
        last = self.close(&mut open, last, true)?;
        self.close(&mut open, last, false)
    }

    /// Groups what is open to the right of the last `==` or `!=`, or everything.
    fn close(
        &mut self,
        open: &mut Vec<(Built, Op)>,
        mut last: Built,
        tight: bool,
    ) -> Result<Built, Error> {
        while let Some((first, op)) =
            open.pop_if(|(_, op)| !tight || !matches!(op, Op::Eq | Op::Ne))
        {
            let height = first.height.max(last.height) + 1;
            let expr = Expr::Cmp(op, Box::new(first.expr), Box::new(last.expr));
            last = self.built(expr, height)?;
        }
        Ok(last)
    }

    fn operator(&mut self) -> Option<Op> {
        let equal = self.is(1, '=');
        let (op, length) = match self.peek().kind {
            Kind::Punct('=') if equal => (Op::Eq, 2),
            Kind::Punct('!') if equal => (Op::Ne, 2),
            Kind::Punct('>') if equal => (Op::Ge, 2),
            Kind::Punct('<') if equal => (Op::Le, 2),
            Kind::Punct('>') => (Op::Gt, 1),
            Kind::Punct('<') => (Op::Lt, 1),
            _ => return None,
        };
        self.at += length;
        Some(op)
    }

    /// A primary with the `!` and `-` in front of it.
    fn operand(&mut self) -> Result<Built, Error> {
        let mut signs = Vec::new();
        while self.is(0, '!') || self.is(0, '-') {
            signs.push(self.is(0, '!'));
            self.at += 1;
        }
        if signs.len() > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let mut built = self.primary()?;
        for negates in signs.into_iter().rev() {
            let inner = Box::new(built.expr);
            let expr = if negates {
                Expr::Not(inner)
            } else {
                Expr::Neg(inner)
            };
            built = self.built(expr, built.height + 1)?;
        }
        Ok(built)
    }

    /// Branches stand in functions of their own, so that nesting takes little stack.
    fn primary(&mut self) -> Result<Built, Error> {
        if self.is(0, '(') {
            return self.parenthesis();
        }
        let literal = match self.literal()? {
            Some(expr) => expr,
            None => return self.selector(),
        };
        self.at += 1;
        self.built(literal, 1)
    }

    fn parenthesis(&mut self) -> Result<Built, Error> {
        self.at += 1;
        let inner = self.inner(1)?;
        self.expect(')', "\")\"")?;
        self.built(Expr::Group(Box::new(inner.expr)), inner.height + 1)
    }

    /// The literal that begins here; `None` when a selector does.
    fn literal(&mut self) -> Result<Option<Expr>, Error> {
        let token = self.peek().clone();
        Ok(Some(Expr::Const(match token.kind {
            Kind::Int(Some(value)) => Const::int(value),
            Kind::Int(None) => {
                Const::float(token.text.replace('_', "").parse().unwrap_or(f64::INFINITY))
            }
            Kind::Float(value) => Const::float(value),
            Kind::Str { quote } => text_const(token.inner(), quote),
            Kind::Ident => match token.text {
                "true" => Const::Bool(true),
                "false" => Const::Bool(false),
                "nil" => Const::Null,
                "r" if matches!(self.ahead(1).kind, Kind::Str { .. }) => {
                    self.at += 1;
                    return self.pattern().map(Some);
                }
                _ => return Ok(None),
            },
            _ => return Err(self.unexpected(&["a value"])),
        })))
    }

    fn pattern(&mut self) -> Result<Expr, Error> {
        let token = self.peek().clone();
        let written = match token.kind {
            Kind::Str { quote: '`' } => token.inner().to_owned(),
            _ => token.inner().replace("\\\"", "\""),
        };
        let pattern = Pattern::new(&written).map_err(|reason| {
            Error::at(
                self.text,
                token.offset,
                format!("invalid regular expression: {reason}"),
            )
        })?;
        if pattern.is_in_every_text() {
            self.warn(
                token.offset,
                "this regular expression is found in every text; anchor it with ^ and $".into(),
            );
        }
        Ok(Expr::Pattern(pattern))
    }

    fn selector(&mut self) -> Result<Built, Error> {
        let first = self.next();
        let single = !["(", "[", "."].contains(&self.peek().text);
        if single && let Some(made) = self.schema.find_macro(first.text) {
            let made = made.clone();
            return self.built(Expr::Macro(made), 1);
        }
        if single && let Some((expr, size)) = self.schema.expanded(first.text, Dialect::V1) {
            self.nodes += size.nodes;
            return self.built(expr, size.height);
        }
        let mut height = 1;
        let mut steps = Vec::new();
        steps.push(self.named(first.text, &mut height)?);
        loop {
            if self.take('[') {
                steps.push(self.bracket()?);
            } else if self.take('.') {
                steps.push(self.dotted(&mut height)?);
            } else {
                break;
            }
        }
        let end = self.end(first.offset, &steps)?;
        if let Some(path) = names(&steps, end) {
            self.paths.push((first.offset, path));
        }
        let fallback = self.fallback(&steps, end);
        let selector = Selector {
            steps,
            end,
            fallback,
        };
        self.built(Expr::Select(Box::new(selector)), height)
    }

    /// The variable of the second dialect that the names of a selector spell, when items are asked.
    fn fallback(&self, steps: &[Step], end: End) -> Option<&'static Var> {
        let plain = steps.iter().all(|step| matches!(step, Step::Name(_)));
        if self.schema.layout() != Layout::Items || end != End::Value || !plain {
            return None;
        }
        vars::find(&names(steps, end)?)
    }

    fn bracket(&mut self) -> Result<Step, Error> {
        let token = self.peek().clone();
        let step = match token.kind {
            Kind::Punct('*') => Step::Wild,
            Kind::Int(Some(index)) => Step::Index(usize::try_from(index).unwrap_or(usize::MAX)),
            Kind::Int(None) => Step::Index(usize::MAX),
            Kind::Str { quote } => {
                let other = (quote != '`').then(|| unescaped(token.inner())).flatten();
                let other = other.filter(|other| other != token.inner());
                Step::Key(token.inner().into(), other.map(Into::into))
            }
            _ => return Err(self.unexpected(&["an index", "a quoted key", "\"*\""])),
        };
        self.at += 1;
        self.expect(']', "\"]\"")?;
        Ok(step)
    }

    fn dotted(&mut self, height: &mut usize) -> Result<Step, Error> {
        if self.take('*') {
            return Ok(Step::Wild);
        }
        let descends = self.take('.');
        if self.peek().kind != Kind::Ident {
            return Err(self.unexpected(&["a name"]));
        }
        let name = self.next().text;
        if descends {
            return Ok(Step::Descent(name.into()));
        }
        self.named(name, height)
    }

    /// A name, or the call that it begins.
    fn named(&mut self, name: &str, height: &mut usize) -> Result<Step, Error> {
        if !self.take('(') {
            return Ok(Step::Name(name.into()));
        }
        let mut params = Vec::new();
        if !self.take(')') {
            loop {
                if self.peek().kind == Kind::Ident && self.is(1, ':') {
                    self.at += 2;
                }
                let param = self.inner(CALL_LEVELS)?;
                *height = (*height).max(param.height + CALL_LEVELS);
                params.push(param.expr);
                if !self.take(',') {
                    break;
                }
            }
            self.expect(')', "\")\"")?;
        }
        Ok(match functions::find(name).map(|helper| helper.does) {
            Some(Does::Json) => Step::Json,
            Some(Does::Xml) => Step::Xml,
            _ => Step::Call(name.into(), params),
        })
    }

    /// What the steps come to, with a warning when that is nothing.
    fn end(&mut self, offset: usize, steps: &[Step]) -> Result<End, Error> {
        let decodes = |step: &&Step| matches!(step, Step::Json | Step::Xml);
        if steps.iter().filter(decodes).count() > MAX_DECODES {
            let message = format!("more than {MAX_DECODES} documents within each other");
            return Err(Error::at(self.text, offset, message));
        }
        let call = steps.iter().enumerate().find_map(|(at, step)| match step {
            Step::Call(name, params) => Some((at, name, params)),
            _ => None,
        });
        let Some((at, name, params)) = call else {
            // `now` alone is the clock.
            if let [Step::Name(name)] = steps
                && &**name == "now"
                && let Some(helper) = functions::find("now")
            {
                return Ok(End::Helper(helper));
            }
            return Ok(End::Value);
        };
        let Some(helper) = functions::find(name) else {
            let hint = match nearest(name, HELPERS.iter().map(|helper| helper.name)) {
                Some(known) => format!("; did you mean {known}()"),
                None => String::new(),
            };
            self.warn(
                offset,
                format!("there is no helper {name}(), so this never matches{hint}"),
            );
            return Ok(End::Nothing);
        };
        if params.len() < helper.needs {
            let signature = helper.signature;
            self.warn(
                offset,
                format!("this never matches without a parameter: {signature}"),
            );
            return Ok(End::Nothing);
        }
        if at + 1 < steps.len() {
            self.warn(
                offset,
                format!("nothing can follow {name}(), so this never matches"),
            );
            return Ok(End::Nothing);
        }
        Ok(End::Helper(helper))
    }
}

/// The dotted text of a selector that begins with names, up to its first other step.
fn names(steps: &[Step], end: End) -> Option<String> {
    if end == End::Nothing || matches!(steps, [Step::Call(..)]) || is_now(steps, end) {
        return None;
    }
    let mut path = String::new();
    for step in steps {
        let Step::Name(name) = step else { break };
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
    }
    (!path.is_empty()).then_some(path)
}

fn is_now(steps: &[Step], end: End) -> bool {
    matches!(end, End::Helper(helper) if helper.does == Does::Now) && steps.len() == 1
}

/// The literal of a string token's inner text.
fn text_const(inner: &str, quote: char) -> Const {
    let other = (quote != '`').then(|| unescaped(inner)).flatten();
    match other {
        Some(other) if other != inner => Const::Escaped((inner.to_owned(), other).into()),
        _ => Const::Text(inner.into()),
    }
}

/// Replaces what does not depend on the item by its value.
fn folded(expr: Expr) -> Expr {
    let constant = match &expr {
        Expr::Not(inner) => match &**inner {
            Expr::Const(inner) => Some(Const::Bool(!value::const_truth(inner))),
            _ => None,
        },
        Expr::Neg(inner) => match &**inner {
            Expr::Const(Const::Int(number, _)) => number.checked_neg().map(Const::int),
            Expr::Const(Const::Float(number, _)) => Some(Const::float(-number)),
            _ => None,
        },
        Expr::Cmp(op, left, right) => match (&**left, &**right) {
            (Expr::Const(left), Expr::Const(right)) => {
                Some(Const::Bool(value::const_compare(*op, left, right)))
            }
            _ => None,
        },
        _ => None,
    };
    constant.map_or(expr, Expr::Const)
}

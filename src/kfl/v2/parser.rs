//! The parser of the second dialect (reference section 12.2).
//!
//! In: tokens. Out: the tree as written. Never: recursion beyond [`MAX_DEPTH`], a tree beyond
//! [`MAX_NODES`], or a look at what names mean.

use super::ast::{Ast, Kind, Literal};
use super::lexer::{self, Token, tokens};
use crate::kfl::error::Error;
use crate::kfl::{MAX_DEPTH, MAX_NODES};

/// Names that mean nothing yet and so are refused, but for after a dot.
const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "in",
];

/// Binary operators by how loosely they bind, the loosest first.
const LEVELS: &[&[&str]] = &[
    &["<", "<=", ">=", ">", "==", "!=", "in"],
    &["+", "-"],
    &["*", "/", "%"],
];

/// What can begin an operand.
const VALUE: &[&str] = &["a value"];

/// Levels that one bracket counts for: the parser takes that many times more stack for it than
/// evaluation does for an operator.
const NEST_LEVELS: usize = 4;

/// Parses a whole query; `None` for the empty one.
pub(crate) fn parse(text: &str) -> Result<Option<Ast>, Error> {
    let (tokens, mistake) = tokens(text);
    let mut parser = Parser {
        text,
        tokens,
        mistake,
        at: 0,
        depth: 0,
        nodes: 0,
    };
    if parser.is_end() {
        return Ok(None);
    }
    let ast = parser.expr()?;
    if !parser.is_end() {
        return Err(parser.unexpected(&["\"&&\"", "\"||\"", "end of the query"]));
    }
    Ok(Some(ast))
}

struct Parser<'p> {
    text: &'p str,
    tokens: Vec<Token<'p>>,
    /// Why the tokens end before the text does.
    mistake: Option<Error>,
    at: usize,
    depth: usize,
    nodes: usize,
}

impl<'p> Parser<'p> {
    fn peek(&self) -> &Token<'p> {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens
            .get(self.at.min(last))
            .expect("the last token is the end")
    }

    fn is_end(&self) -> bool {
        self.peek().kind == lexer::Kind::End && self.mistake.is_none()
    }

    fn is(&self, sign: &str) -> bool {
        let token = self.peek();
        token.text == sign && matches!(token.kind, lexer::Kind::Sign | lexer::Kind::Ident)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str, expected: &[&'static str]) -> Result<(), Error> {
        if self.take(sign) {
            return Ok(());
        }
        Err(self.unexpected(expected))
    }

    fn unexpected(&self, expected: &[&'static str]) -> Error {
        let token = self.peek();
        let shown = match token.kind {
            lexer::Kind::End => match &self.mistake {
                Some(mistake) => return mistake.clone(),
                None => "<EOF>",
            },
            _ => token.text,
        };
        let message = format!("syntax error: unexpected token \"{shown}\"");
        Error::at(self.text, token.offset, message).expecting(expected)
    }

    fn too_deep(&self) -> Error {
        Error::too_deep(self.text, self.peek().offset)
    }

    /// Counts a node of the tree and holds its height.
    fn built(&mut self, offset: usize, kind: Kind, below: usize) -> Result<Ast, Error> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Error::too_large(self.text, offset));
        }
        let height = below + 1;
        if height > MAX_DEPTH {
            return Err(self.too_deep());
        }
        Ok(Ast {
            kind,
            offset,
            height,
        })
    }

    fn nested(&mut self) -> Result<Ast, Error> {
        self.depth += NEST_LEVELS;
        if self.depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let mut ast = self.expr()?;
        ast.height += NEST_LEVELS;
        self.depth -= NEST_LEVELS;
        Ok(ast)
    }

    fn expr(&mut self) -> Result<Ast, Error> {
        // `c ? a : d ? b : e` groups to the right: conditions are kept until the last branch.
        let mut open = Vec::new();
        let mut last = self.or()?;
        while self.take("?") {
            let yes = self.or()?;
            self.expect(":", &["\":\""])?;
            open.push((last, yes));
            last = self.or()?;
        }
        while let Some((condition, yes)) = open.pop() {
            let offset = condition.offset;
            let below = condition.height.max(yes.height).max(last.height);
            let kind = Kind::Cond(Box::new((condition, yes, last)));
            last = self.built(offset, kind, below)?;
        }
        Ok(last)
    }

    fn or(&mut self) -> Result<Ast, Error> {
        self.chain("||", Self::and, Kind::Or)
    }

    fn and(&mut self) -> Result<Ast, Error> {
        self.chain("&&", Self::relation, Kind::And)
    }

    fn chain(
        &mut self,
        sign: &str,
        operand: fn(&mut Self) -> Result<Ast, Error>,
        kind: fn(Vec<Ast>) -> Kind,
    ) -> Result<Ast, Error> {
        let first = operand(self)?;
        if !self.is(sign) {
            return Ok(first);
        }
        let (offset, mut below) = (first.offset, first.height);
        let mut parts = vec![first];
        while self.take(sign) {
            let part = operand(self)?;
            below = below.max(part.height);
            parts.push(part);
        }
        self.nodes += parts.len() - 2;
        self.built(offset, kind(parts), below)
    }

    /// Relations, sums and products in one loop: a frame a level would make nesting dear in stack.
    fn relation(&mut self) -> Result<Ast, Error> {
        let mut open: Vec<(Ast, &'static str, usize)> = Vec::new();
        let mut last = self.unary()?;
        loop {
            let found = LEVELS.iter().enumerate().find_map(|(level, signs)| {
                let sign = signs.iter().find(|sign| self.is(sign))?;
                Some((*sign, level))
            });
            let (sign, level) = found.unwrap_or(("", 0));
            // Everything that binds at least as tightly is closed first: grouping is to the left.
            while let Some((left, sign, _)) = open.pop_if(|(_, _, inner)| *inner >= level) {
                let (offset, below) = (left.offset, left.height.max(last.height));
                let kind = Kind::Binary(sign, Box::new(left), Box::new(last));
                last = self.built(offset, kind, below)?;
            }
            if found.is_none() {
                return Ok(last);
            }
            self.at += 1;
            open.push((last, sign, level));
            last = self.unary()?;
        }
    }

    fn unary(&mut self) -> Result<Ast, Error> {
        let offset = self.peek().offset;
        let sign = match self.peek().text {
            "!" => "!",
            "-" => "-",
            _ => return self.member(),
        };
        let mut count = 0usize;
        while self.take(sign) {
            count += 1;
        }
        // The smallest number has no positive twin, so its sign is part of the literal.
        let lowest = matches!(self.peek().kind, lexer::Kind::Int(value, false) if value == 1 << 63);
        let mut inner = if sign == "-" && lowest {
            self.at += 1;
            count -= 1;
            self.built(offset, Kind::Literal(Literal::Int(i64::MIN)), 0)?
        } else {
            self.member()?
        };
        for _ in 0..count {
            let below = inner.height;
            let kind = match (sign, inner.kind) {
                ("-", Kind::Literal(Literal::Int(value))) if value > 0 => {
                    Kind::Literal(Literal::Int(-value))
                }
                ("-", kind) => Kind::Minus(Box::new(Ast { kind, ..inner })),
                (_, kind) => Kind::Not(Box::new(Ast { kind, ..inner })),
            };
            inner = self.built(offset, kind, below)?;
        }
        Ok(inner)
    }

    fn member(&mut self) -> Result<Ast, Error> {
        let mut ast = self.primary()?;
        loop {
            let offset = ast.offset;
            if self.take("[") {
                let index = self.nested()?;
                self.expect("]", &["\"]\""])?;
                let below = ast.height.max(index.height);
                let kind = Kind::Index(Box::new(ast), Box::new(index));
                ast = self.built(offset, kind, below)?;
            } else if self.take(".") {
                ast = self.dotted(ast)?;
            } else {
                return Ok(ast);
            }
        }
    }

    fn dotted(&mut self, of: Ast) -> Result<Ast, Error> {
        let token = self.peek().clone();
        if token.kind != lexer::Kind::Ident {
            return Err(self.unexpected(&["a name"]));
        }
        self.at += 1;
        let name = token.text.to_owned();
        let below = of.height;
        if !self.take("(") {
            return self.built(of.offset, Kind::Select(Box::new(of), name), below);
        }
        let (args, inside) = self.list(")")?;
        let kind = Kind::Call(Some(Box::new(of)), name, args);
        self.built(token.offset, kind, below.max(inside))
    }

    /// Expressions up to `close`, and the height of the highest.
    fn list(&mut self, close: &str) -> Result<(Vec<Ast>, usize), Error> {
        let expected = match close {
            "]" => ["\",\"", "\"]\""],
            _ => ["\",\"", "\")\""],
        };
        let mut elements = Vec::new();
        let mut height = 0;
        while !self.take(close) {
            let element = self.nested()?;
            height = height.max(element.height);
            elements.push(element);
            if self.take(",") {
                if close == ")" && self.is(")") {
                    return Err(self.unexpected(VALUE));
                }
                continue;
            }
            self.expect(close, &expected)?;
            break;
        }
        Ok((elements, height))
    }

    fn primary(&mut self) -> Result<Ast, Error> {
        if self.take("(") {
            let inner = self.nested()?;
            self.expect(")", &["\")\""])?;
            return Ok(inner);
        }
        if self.is("[") || self.is("{") {
            return self.collection();
        }
        self.plain()
    }

    fn collection(&mut self) -> Result<Ast, Error> {
        let offset = self.peek().offset;
        if self.take("[") {
            let (elements, below) = self.list("]")?;
            return self.built(offset, Kind::List(elements), below);
        }
        self.expect("{", &["\"{\""])?;
        let mut entries = Vec::new();
        let mut below = 0;
        while !self.take("}") {
            let key = self.nested()?;
            self.expect(":", &["\":\""])?;
            let value = self.nested()?;
            below = below.max(key.height).max(value.height);
            entries.push((key, value));
            if !self.take(",") {
                self.expect("}", &["\",\"", "\"}\""])?;
                break;
            }
        }
        self.built(offset, Kind::Map(entries), below)
    }

    /// A literal, a name or a free call.
    fn plain(&mut self) -> Result<Ast, Error> {
        let rooted = self.is(".");
        self.at += usize::from(rooted);
        let token = self.peek().clone();
        let literal = match token.kind {
            lexer::Kind::Ident => match token.text {
                _ if rooted => None,
                "true" => Some(Literal::Bool(true)),
                "false" => Some(Literal::Bool(false)),
                "null" => Some(Literal::Null),
                _ => None,
            },
            _ if rooted => return Err(self.unexpected(&["a name"])),
            lexer::Kind::Int(value, true) => Some(Literal::Uint(value)),
            lexer::Kind::Int(value, false) => {
                Some(Literal::Int(i64::try_from(value).map_err(|_| {
                    Error::at(
                        self.text,
                        token.offset,
                        "syntax error: the number does not fit 64 bits",
                    )
                })?))
            }
            lexer::Kind::Double(value) => Some(Literal::Double(value)),
            lexer::Kind::Text(text) => Some(Literal::Text(text)),
            lexer::Kind::Bytes(bytes) => Some(Literal::Bytes(bytes)),
            lexer::Kind::Sign | lexer::Kind::End => return Err(self.unexpected(VALUE)),
        };
        if let Some(literal) = literal {
            self.at += 1;
            return self.built(token.offset, Kind::Literal(literal), 0);
        }
        if RESERVED.contains(&token.text) {
            return Err(self.unexpected(VALUE));
        }
        self.at += 1;
        let name = token.text.to_owned();
        if !self.take("(") {
            return self.built(token.offset, Kind::Name(name, rooted), 0);
        }
        let (args, below) = self.list(")")?;
        self.built(token.offset, Kind::Call(None, name, args), below)
    }
}

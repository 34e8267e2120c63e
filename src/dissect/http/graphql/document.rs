//! The grammar of executable documents.
//!
//! In: a text. Out: whether it is a document with an operation in it. Never: recursion deeper than
//! [`MAX_DEPTH`]. Standard: GraphQL October 2021, section 2 and appendix B.

/// How deep selections, lists and objects go into each other; servers refuse more than a few dozen.
const MAX_DEPTH: u32 = 128;

/// Whether `text` is an executable document with an operation in it.
///
/// ```text
/// ExecutableDocument : ( OperationDefinition | FragmentDefinition )+
/// ```
pub(super) fn is_document(text: &[u8]) -> bool {
    let mut document = Document {
        lexer: Lexer { text, at: 0 },
        next: Token::End,
    };
    std::str::from_utf8(text).is_ok() && document.read().unwrap_or(false)
}

/// A lexical token (section 2.1.6), as far as the grammar looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// One of `! $ & ( ) : = @ [ ] { | }`
    Punctuator(u8),
    /// `...`
    Spread,
    Name(&'a [u8]),
    /// An IntValue or FloatValue.
    Number,
    /// A StringValue.
    Text,
    End,
}

/// Splits a document into tokens.
struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Takes the bytes from the front for which `belongs` holds.
    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let end = rest.iter().position(|byte| !belongs(*byte));
        let end = end.unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// Passes over white space, commas, comments and byte order marks (section 2.1.7).
    fn skip_ignored(&mut self) {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        loop {
            self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b','));
            match self.rest() {
                [b'#', ..] => drop(self.take_while(|byte| !matches!(byte, b'\r' | b'\n'))),
                rest if rest.starts_with(MARK) => self.at += MARK.len(),
                _ => return,
            }
        }
    }

    /// The next token; `None` when the text is none.
    fn token(&mut self) -> Option<Token<'a>> {
        self.skip_ignored();
        let Some(first) = self.rest().first() else {
            return Some(Token::End);
        };
        match first {
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|'
            | b'}' => {
                self.at += 1;
                Some(Token::Punctuator(*first))
            }
            b'.' => {
                self.rest().starts_with(b"...").then_some(())?;
                self.at += 3;
                Some(Token::Spread)
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => Some(Token::Name(self.take_while(is_name))),
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            _ => None,
        }
    }

    /// IntValue and FloatValue (sections 2.9.1 and 2.9.2).
    fn number(&mut self) -> Option<Token<'a>> {
        let digit = |byte: u8| byte.is_ascii_digit();
        self.at += usize::from(self.rest().starts_with(b"-"));
        let whole = self.take_while(digit);
        let is_sound = !whole.is_empty() && (whole == b"0" || !whole.starts_with(b"0"));
        is_sound.then_some(())?;
        if self.rest().starts_with(b".") {
            self.at += 1;
            (!self.take_while(digit).is_empty()).then_some(())?;
        }
        if let [b'e' | b'E', ..] = self.rest() {
            self.at += 1;
            self.at += usize::from(matches!(self.rest(), [b'+' | b'-', ..]));
            (!self.take_while(digit).is_empty()).then_some(())?;
        }
        // "A numeric literal must not be immediately followed by a letter (or an underscore)", nor
        // by a dot.
        let behind = self.rest().first();
        let ends = behind.is_none_or(|byte| *byte != b'.' && !is_name(*byte));
        ends.then_some(Token::Number)
    }

    /// StringValue, plain or block (section 2.9.4).
    fn string(&mut self) -> Option<Token<'a>> {
        if self.rest().starts_with(b"\"\"\"") {
            self.at += 3;
            loop {
                self.take_while(|byte| byte != b'"' && byte != b'\\');
                match self.rest() {
                    [b'"', b'"', b'"', ..] => {
                        self.at += 3;
                        return Some(Token::Text);
                    }
                    [b'\\', b'"', b'"', b'"', ..] => self.at += 4,
                    [] => return None,
                    _ => self.at += 1,
                }
            }
        }
        self.at += 1;
        loop {
            self.take_while(|byte| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n'));
            match self.rest() {
                [b'"', ..] => {
                    self.at += 1;
                    return Some(Token::Text);
                }
                [b'\\', b'u', code @ ..] => {
                    let code = code.get(..4)?;
                    code.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                    self.at += 6;
                }
                [
                    b'\\',
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                    ..,
                ] => self.at += 2,
                _ => return None,
            }
        }
    }
}

fn is_name(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// Follows the grammar, one token ahead. `None` is what does not fit.
struct Document<'a> {
    lexer: Lexer<'a>,
    next: Token<'a>,
}

impl<'a> Document<'a> {
    fn advance(&mut self) -> Option<()> {
        self.next = self.lexer.token()?;
        Some(())
    }

    fn is(&self, punctuator: u8) -> bool {
        self.next == Token::Punctuator(punctuator)
    }

    /// Takes `punctuator` when it comes next.
    fn take(&mut self, punctuator: u8) -> Option<bool> {
        let taken = self.is(punctuator);
        if taken {
            self.advance()?;
        }
        Some(taken)
    }

    fn expect(&mut self, punctuator: u8) -> Option<()> {
        self.take(punctuator)?.then_some(())
    }

    fn name(&mut self) -> Option<&'a [u8]> {
        let Token::Name(name) = self.next else {
            return None;
        };
        self.advance()?;
        Some(name)
    }

    /// Whether there is an operation in the document.
    fn read(&mut self) -> Option<bool> {
        let mut operation = false;
        self.advance()?;
        while self.next != Token::End {
            match self.next {
                Token::Punctuator(b'{') => operation = true,
                Token::Name(b"query" | b"mutation" | b"subscription") => {
                    operation = true;
                    self.advance()?;
                    if let Token::Name(_) = self.next {
                        self.advance()?;
                    }
                    self.variable_definitions()?;
                    self.directives(true)?;
                }
                Token::Name(b"fragment") => {
                    self.advance()?;
                    // "FragmentName : Name but not on"
                    (self.name()? != b"on").then_some(())?;
                    (self.name()? == b"on").then_some(())?;
                    self.name()?;
                    self.directives(false)?;
                }
                _ => return None,
            }
            self.selection_set(0)?;
        }
        Some(operation)
    }

    /// `( VariableDefinition+ )`, VariableDefinition : Variable : Type DefaultValue? Directives?
    fn variable_definitions(&mut self) -> Option<()> {
        if !self.take(b'(')? {
            return Some(());
        }
        loop {
            self.expect(b'$')?;
            self.name()?;
            self.expect(b':')?;
            self.type_reference()?;
            if self.take(b'=')? {
                self.value(true, 0)?;
            }
            self.directives(true)?;
            if self.take(b')')? {
                return Some(());
            }
        }
    }

    /// NamedType, `[ Type ]`, either with `!`
    fn type_reference(&mut self) -> Option<()> {
        let mut depth = 0;
        while self.take(b'[')? {
            depth += 1;
            (depth <= MAX_DEPTH).then_some(())?;
        }
        self.name()?;
        self.take(b'!')?;
        for _ in 0..depth {
            self.expect(b']')?;
            self.take(b'!')?;
        }
        Some(())
    }

    /// `@ Name Arguments?`, any number of them
    fn directives(&mut self, constant: bool) -> Option<()> {
        while self.take(b'@')? {
            self.name()?;
            self.arguments(constant)?;
        }
        Some(())
    }

    /// `( Argument+ )`, Argument : Name : Value
    fn arguments(&mut self, constant: bool) -> Option<()> {
        if !self.take(b'(')? {
            return Some(());
        }
        loop {
            self.name()?;
            self.expect(b':')?;
            self.value(constant, 0)?;
            if self.take(b')')? {
                return Some(());
            }
        }
    }

    /// `{ Selection+ }`
    fn selection_set(&mut self, depth: u32) -> Option<()> {
        (depth < MAX_DEPTH).then_some(())?;
        self.expect(b'{')?;
        loop {
            match self.next {
                Token::Spread => self.spread(depth)?,
                _ => self.field(depth)?,
            }
            if self.take(b'}')? {
                return Some(());
            }
        }
    }

    /// Alias? Name Arguments? Directives? SelectionSet?
    fn field(&mut self, depth: u32) -> Option<()> {
        self.name()?;
        if self.take(b':')? {
            self.name()?;
        }
        self.arguments(false)?;
        self.directives(false)?;
        match self.is(b'{') {
            true => self.selection_set(depth + 1),
            false => Some(()),
        }
    }

    /// `... FragmentName Directives?` or `... ( on NamedType )? Directives? SelectionSet`
    fn spread(&mut self, depth: u32) -> Option<()> {
        self.advance()?;
        match self.next {
            Token::Name(name) if name != b"on" => {
                self.advance()?;
                self.directives(false)
            }
            next => {
                if let Token::Name(_) = next {
                    self.advance()?;
                    self.name()?;
                }
                self.directives(false)?;
                self.selection_set(depth + 1)
            }
        }
    }

    /// Variable unless `constant`, number, string, boolean, null, enum, list, object
    fn value(&mut self, constant: bool, depth: u32) -> Option<()> {
        (depth < MAX_DEPTH).then_some(())?;
        match self.next {
            Token::Number | Token::Text | Token::Name(_) => self.advance(),
            Token::Punctuator(b'$') if !constant => {
                self.advance()?;
                self.name().map(drop)
            }
            Token::Punctuator(b'[') => {
                self.advance()?;
                while !self.take(b']')? {
                    self.value(constant, depth + 1)?;
                }
                Some(())
            }
            Token::Punctuator(b'{') => {
                self.advance()?;
                while !self.take(b'}')? {
                    self.name()?;
                    self.expect(b':')?;
                    self.value(constant, depth + 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }
}

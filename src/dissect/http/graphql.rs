//! GraphQL over HTTP: whether a request asks for a GraphQL operation.
//!
//! In: what a request says of itself, and its body as it was sent. Out: yes or no, and the kind of
//! item that it makes. Never: what the operation means; requests that say nothing of GraphQL cost a
//! look at their content type. Standards: GraphQL October 2021 sections 2 and Appendix B (executable
//! documents), the GraphQL over HTTP draft sections 5 and 6.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::decode::{self, Codings};
use crate::item::ProtocolInfo;

const fn info(version: &'static str, long_name: &'static str) -> ProtocolInfo {
    ProtocolInfo {
        name: "http",
        version,
        abbr: "GQL",
        long_name,
        macro_name: "gql",
        background: "#e10098",
        foreground: "#ffffff",
        font_size: 12,
        reference: "https://spec.graphql.org/October2021/",
        ports: &["80", "443", "8080"],
        layer4: "tcp",
        priority: 0,
    }
}

/// The kinds of item: over HTTP/1.x, over HTTP/2.
pub(super) static KINDS: [ProtocolInfo; 2] = [
    info(
        "1.1",
        "Hypertext Transfer Protocol -- HTTP/1.1 [ GraphQL over HTTP/1.1 ]",
    ),
    info(
        "2.0",
        "Hypertext Transfer Protocol Version 2 (HTTP/2) [ GraphQL over HTTP/2 ]",
    ),
];

/// How deep selections, lists and objects go into each other; servers refuse more than a few dozen.
const MAX_DEPTH: u32 = 128;

/// What is known of a request when its item is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The request target.
    pub target: &'a [u8],
    /// Content-Type; empty without one.
    pub content_type: &'a [u8],
    /// Content-Encoding.
    pub codings: Codings,
    /// What is kept of the body, as it was sent.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// Whether it is a GraphQL operation, or a batch of nothing else.
    ///
    /// Looked at are `application/json` bodies with a string `query`, `application/graphql` bodies,
    /// and the parameter `query` of a GET.
    pub(super) fn is_graphql(&self) -> bool {
        if self.body.is_empty() {
            return self.method == b"GET" && asks_in_target(self.target);
        }
        let mut media_type = self.content_type.split(|byte| *byte == b';');
        let media_type = media_type.next().unwrap_or_default().trim_ascii();
        let is = |wanted: &[u8]| media_type.eq_ignore_ascii_case(wanted);
        let examine = match media_type.len() {
            16 if is(b"application/json") => asks_in_json,
            19 if is(b"application/graphql") => is_document,
            24 if is(b"application/graphql+json") => asks_in_json,
            _ => return false,
        };
        match self.codings.is_compressed() {
            true => decode::decode(self.codings, self.body)
                .is_some_and(|decoded| examine(&decoded.bytes)),
            false => examine(self.body),
        }
    }
}

/// Whether the query of a request target has a `query` that is a document.
fn asks_in_target(target: &[u8]) -> bool {
    let Some(at) = memchr::memchr(b'?', target) else {
        return false;
    };
    let query = target.get(at + 1..).unwrap_or_default();
    let query = query.split(|byte| *byte == b'#').next().unwrap_or_default();
    let mut pairs = query.split(|byte| *byte == b'&');
    let Some(value) = pairs.find_map(|pair| pair.strip_prefix(b"query=")) else {
        return false;
    };
    let spaced: Vec<u8> = value
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    is_document(&Cow::from(percent_encoding::percent_decode(&spaced)))
}

/// Whether a JSON body has a `query` that is a document, or is a list of such objects.
///
/// A body that is cut behind its `query` is taken for what it was going to be.
fn asks_in_json(body: &[u8]) -> bool {
    // Most bodies end here.
    if memchr::memmem::find(body, b"\"query\"").is_none() {
        return false;
    }
    let mut seen = Seen::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    let sound = match Body(&mut seen).deserialize(&mut json) {
        Ok(()) => true,
        Err(error) => error.is_eof(),
    };
    sound && seen.operations > 0 && !seen.other
}

/// What a JSON body holds so far.
#[derive(Debug, Default)]
struct Seen {
    operations: usize,
    /// An object that is no operation.
    other: bool,
}

/// Reads an object, or a list of objects.
struct Body<'s>(&'s mut Seen);

/// Reads an object.
struct Operation<'s>(&'s mut Seen);

/// A text that is a slice of the body when it can be.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Text<'b>(#[serde(borrow)] Cow<'b, str>);

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an operation or a list of operations")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        Operation(self.0).visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Operation(self.0))?.is_some() {}
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Operation<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Operation<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an operation")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(Text(name)) = map.next_key()? {
            if name != "query" || found {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let Text(query) = map.next_value()?;
            if !is_document(query.as_bytes()) {
                return Err(A::Error::custom("the query is no document"));
            }
            found = true;
            self.0.operations += 1;
        }
        self.0.other |= !found;
        Ok(())
    }
}

/// Whether `text` is an executable document with an operation in it.
///
/// ```text
/// ExecutableDocument : ( OperationDefinition | FragmentDefinition )+
/// ```
fn is_document(text: &[u8]) -> bool {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decode::Coding;
    use super::*;

    /// From the specification, by section.
    #[test]
    fn documents_of_the_standard() {
        let documents = [
            "{ field }",
            "mutation { likeStory(storyID: 12345) { story { likeCount } } }",
            "{ id firstName lastName birthday { month day } friends { name } }",
            "{ user(id: 4) { id name profilePic(width: 100, height: 50) } }",
            "{ user(id: 4) { smallPic: profilePic(size: 64) bigPic: profilePic(size: 1024) } }",
            "query noFragments { user(id: 4) { friends(first: 10) { ...friendFields } } }\n\
             fragment friendFields on User { id name ...standardProfilePic @skip(if: false) }",
            "query inlineFragmentTyping { profiles(handles: [\"zuck\", \"coca-cola\"]) { handle \
             ... on User { friends { count } } ... on Page { likers { count } } } }",
            "query inlineFragmentNoType($expandedInfo: Boolean) { user(handle: \"zuck\") { id \
             ... @include(if: $expandedInfo) { firstName } } }",
            "mutation { sendEmail(message: \"\"\"\n  Hello,\n    \\\"\"\" World!\n\"\"\") }",
            "{ nearestThing(location: { lon: 12.43, lat: -53.211 }) }",
            "query getZuckProfile($devicePicSize: Int = 60 @deprecated) { user(id: 4) \
             { profilePic(size: $devicePicSize) } }",
            "subscription sub($a: [[String!]!]! = [[\"\\u00e4\\n\"]], $b: T = {a: 1e3, b: -0.5E-1}) \
             @live(v: ENUM) { a(x: null, y: true, z: []) }",
            "\u{feff}# comment, with anything: {{{\r\nquery,Q,{,a,}",
            "fragment F on T @d(a: $b) { a } { ...F ...{ b } ... on T @x { c } }",
        ];
        for document in documents {
            assert!(is_document(document.as_bytes()), "{document}");
        }
    }

    #[test]
    fn what_is_no_operation() {
        let others: [&str; 26] = [
            "",
            "query",
            "{}",
            "{ }",
            "select * from users",
            "SELECT name FROM users WHERE id = 1",
            "up{job=\"api\"}",
            "{app=\"shop\"} |= \"error\"",
            "rust",
            "query { a",
            "{ a }}",
            "{ a(b: ) }",
            "{ a() }",
            "{ a(b: 01) }",
            "{ a(b: 1x) }",
            "{ a(b: 1.) }",
            "{ a(b: \"\n\") }",
            "{ a(b: \"\\x\") }",
            "query ($a: Int = $b) { a }",
            "query ($a: [Int) { a }",
            "fragment F on T { a }",
            "fragment on on T { a } { b }",
            "type Query { a: Int }",
            "{ a: }",
            "{ .. on T { a } }",
            "{ caf\u{e9} }",
        ];
        for other in others {
            assert!(!is_document(other.as_bytes()), "{other}");
        }
        let deep = |depth: usize| [&"{ a ".repeat(depth)[..], &" }".repeat(depth)].concat();
        assert!(is_document(deep(100).as_bytes()));
        assert!(!is_document(deep(100_000).as_bytes()));
        let list = format!("{{ a(b: {}{}) }}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(!is_document(list.as_bytes()));
    }

    fn post(content_type: &str, body: &str) -> bool {
        Request {
            method: b"POST",
            target: b"/graphql",
            content_type: content_type.as_bytes(),
            codings: Codings::default(),
            body: body.as_bytes(),
        }
        .is_graphql()
    }

    #[test]
    fn bodies_are_known_by_type_and_content() {
        let json = "application/json";
        let cases = [
            (json, r#"{"query":"{ cart { id } }"}"#, true),
            (
                "Application/JSON; charset=utf-8",
                r#" {"operationName":"Q","variables":{"query":1},"query":"query Q {\n  a\n}"} "#,
                true,
            ),
            (
                json,
                r#"[{"query":"{a}"},{"id":1,"query":"mutation{b}"}]"#,
                true,
            ),
            (json, r#"[{"query":"{a}"},{"id":1}]"#, false),
            (json, r#"[{"query":"{a}"},7]"#, false),
            (json, "[]", false),
            (json, r#"{"query":{"match_all":{}}}"#, false),
            (json, r#"{"query":"select 1"}"#, false),
            (json, r#"{"nested":{"query":"{a}"}}"#, false),
            (json, r#"{"text":"\"query\"","query":null}"#, false),
            (json, r#""query""#, false),
            (json, r#"{"query":"{a}","#, true),
            (json, r#"{"query":"{a}"; }"#, false),
            (json, r#"[{"query":"{a}"},{"quer"#, true),
            (json, r#"{"query":"{a"#, false),
            ("text/plain", r#"{"query":"{a}"}"#, false),
            ("application/graphql", "query { a }", true),
            ("application/graphql", r#"{"query":"{a}"}"#, false),
            ("", r#"{"query":"{a}"}"#, false),
        ];
        for (content_type, body, expected) in cases {
            assert_eq!(post(content_type, body), expected, "{content_type} {body}");
        }
    }

    #[test]
    fn a_compressed_body_is_looked_into() {
        use std::io::Write;
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zip.write_all(br#"{"query":"{ a }"}"#).unwrap();
        let mut request = Request {
            method: b"POST",
            target: b"/",
            content_type: b"application/json",
            codings: Codings::default(),
            body: &zip.finish().unwrap(),
        };
        assert!(!request.is_graphql());
        request.codings.push(Coding::Gzip);
        assert!(request.is_graphql());
    }

    #[test]
    fn a_get_asks_in_its_query() {
        let get = |target: &str| {
            Request {
                method: b"GET",
                target: target.as_bytes(),
                content_type: b"",
                codings: Codings::default(),
                body: b"",
            }
            .is_graphql()
        };
        assert!(get("/graphql?query=%7B+hello%20%7D"));
        assert!(get("/graphql?a=b&query={me{name}}&variables=%7B%7D#top"));
        assert!(!get("/search?query=rust"));
        assert!(!get("/search?query=%7B%22match%22%3A1%7D"));
        assert!(!get("/graphql?xquery={a}"));
        assert!(!get("/graphql"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[{}()\\[\\]:!$@|=&.,#\"\\\\ a-z0-9\n\u{e9}-]{0,60}") {
            is_document(text.as_bytes());
            asks_in_json(format!("{{\"query\":\"{text}").as_bytes());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            is_document(&bytes);
            asks_in_json(&[b"{\"query\"", bytes.as_slice()].concat());
            asks_in_target(&bytes);
        }
    }
}

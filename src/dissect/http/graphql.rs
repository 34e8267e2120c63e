//! GraphQL over HTTP: whether a request asks for a GraphQL operation.
//!
//! In: what a request says of itself, and its body as it was sent. Out: yes or no, and the kind of
//! item that it makes. Never: what the operation means; requests that say nothing of GraphQL cost a
//! look at their content type. Standards: GraphQL October 2021 sections 2 and Appendix B (executable
//! documents), the GraphQL over HTTP draft sections 5 and 6, the GraphQL multipart request
//! specification.

mod document;
mod multipart;

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use self::document::is_document;
use self::multipart::operations;
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
    /// Looked at are `application/json` bodies with a string `query`, or with the hash of a persisted
    /// one (`extensions.persistedQuery`), the `operations` of `multipart/form-data` bodies that upload
    /// files, `application/graphql` bodies, and the parameters `query` and `extensions` of a GET.
    pub(super) fn is_graphql(&self) -> bool {
        if self.body.is_empty() {
            return self.method == b"GET" && asks_in_target(self.target);
        }
        let mut media_type = self.content_type.split(|byte| *byte == b';');
        let media_type = media_type.next().unwrap_or_default().trim_ascii();
        let is = |wanted: &[u8]| media_type.eq_ignore_ascii_case(wanted);
        let asks_in_form =
            |body: &[u8]| operations(self.content_type, body).is_some_and(asks_in_json);
        let examine: &dyn Fn(&[u8]) -> bool = match media_type.len() {
            16 if is(b"application/json") => &asks_in_json,
            19 if is(b"application/graphql") => &is_document,
            19 if is(b"multipart/form-data") => &asks_in_form,
            24 if is(b"application/graphql+json") => &asks_in_json,
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
    let value_of = |name: &[u8]| {
        let mut pairs = query.split(|byte| *byte == b'&');
        let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))?;
        let spaced = value
            .iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte });
        Some(percent_encoding::percent_decode(&spaced.collect::<Vec<u8>>()).collect::<Vec<u8>>())
    };
    match value_of(b"query") {
        Some(document) => is_document(&document),
        None => value_of(b"extensions")
            .and_then(|value| serde_json::from_slice(&value).ok())
            .is_some_and(|extensions| is_persisted(&extensions)),
    }
}

/// Whether what an operation carries beside its text names that by its hash, which the server knows
/// or asks for ("automatic persisted queries", as Apollo's clients and servers have them).
fn is_persisted(extensions: &serde_json::Value) -> bool {
    let query = extensions.get("persistedQuery");
    let hash = query.and_then(|query| query.get("sha256Hash")?.as_str());
    hash.is_some_and(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether a JSON body has a `query` that is a document, or is a list of such objects.
///
/// A body that is cut behind its `query` is taken for what it was going to be.
fn asks_in_json(body: &[u8]) -> bool {
    // Most bodies end here.
    let has = |name: &[u8]| memchr::memmem::find(body, name).is_some();
    if !has(b"\"query\"") && !has(b"\"persistedQuery\"") {
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
        let mut persisted = false;
        while let Some(Text(name)) = map.next_key()? {
            if name == "extensions" && !persisted {
                persisted = is_persisted(&map.next_value()?);
                continue;
            }
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
        if persisted && !found {
            found = true;
            self.0.operations += 1;
        }
        self.0.other |= !found;
        Ok(())
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

    const HASH: &str = "ecf4edb46db40b5132295c0291d62fb65d6759a9eedfa4d5d612dd5ec54a6b38";
    const PERSISTED: &str =
        r##"{"variables":{},"extensions":{"persistedQuery":{"version":1,"sha256Hash":"#"}}}"##;

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
            (json, &PERSISTED.replace('#', HASH), true),
            (json, &format!("[{}]", PERSISTED.replace('#', HASH)), true),
            (json, &PERSISTED.replace('#', "abc"), false),
            (json, r#"{"query":"{a}","extensions":null}"#, true),
            (
                json,
                r#"{"query":"{a}","extensions":{"persistedQuery":1}}"#,
                true,
            ),
            (json, r#"{"persistedQuery":{"sha256Hash":1}}"#, false),
            ("text/plain", r#"{"query":"{a}"}"#, false),
            ("application/graphql", "query { a }", true),
            ("application/graphql", r#"{"query":"{a}"}"#, false),
            ("", r#"{"query":"{a}"}"#, false),
        ];
        for (content_type, body, expected) in cases {
            assert_eq!(post(content_type, body), expected, "{content_type} {body}");
        }
    }

    /// The examples of the GraphQL multipart request specification: a file, and a batch.
    #[test]
    fn a_form_that_uploads_files_is_known_by_its_operations() {
        const FORM: &str = "multipart/form-data; boundary=------------------------cec8e8123c05ba25";
        let form = |operations: &str, second: &str| {
            let mut body = String::new();
            for (name, value) in [
                ("operations", operations),
                (second, r#"{ "0": ["variables.file"] }"#),
            ] {
                body += "--------------------------cec8e8123c05ba25\r\n";
                body +=
                    &format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            }
            body += "--------------------------cec8e8123c05ba25\r\n\
                     Content-Disposition: form-data; name=\"0\"; filename=\"a.txt\"\r\n\
                     Content-Type: text/plain\r\n\r\nAlpha file content.\r\n\r\n\
                     --------------------------cec8e8123c05ba25--\r\n";
            body
        };
        let single = r#"{ "query": "mutation ($file: Upload!) { singleUpload(file: $file) { id } }", "variables": { "file": null } }"#;
        let batch = format!(r#"[{single}, {{ "query": "{{ cart {{ id }} }}" }}]"#);
        let whole = form(single, "map");
        assert!(post(FORM, &whole));
        assert!(post(FORM, &form(&batch, "map")));
        assert!(post(
            &FORM
                .replace("boundary=", "Boundary=\"")
                .replace("25", "25\""),
            &whole
        ));
        assert!(post(FORM, &format!("preamble\r\n{whole}")));
        // A body of which the files were not kept.
        let files = whole.find("\"map\"").unwrap();
        assert!(post(FORM, &whole[..files + 40]));
        assert!(post(FORM, &whole[..files - 60]));
        let others = [
            (FORM, form(r#"{"text":"{ a }"}"#, "map")),
            (FORM, form(single, "file")),
            (FORM, whole.replace("name=\"operations\"", "name=\"query\"")),
            ("multipart/form-data", whole.clone()),
            ("multipart/form-data; boundary=", whole.clone()),
            ("multipart/form-data; boundary=other", whole.clone()),
            (
                "multipart/mixed; boundary=------------------------cec8e8123c05ba25",
                whole.clone(),
            ),
        ];
        for (content_type, body) in others {
            assert!(!post(content_type, &body), "{content_type} {body}");
        }
        for at in 0..whole.len() {
            post(FORM, &whole[..at]);
            post(FORM, &whole[at..]);
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
        let extensions = |hash: &str| {
            let persisted =
                "%7B%22persistedQuery%22:%7B%22version%22:1,%22sha256Hash%22:%22#%22%7D%7D";
            format!("/graphql?extensions={}", persisted.replace('#', hash))
        };
        assert!(get(&extensions(HASH)));
        assert!(!get(&extensions("abc")));
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

//! What people are told about queries that are no queries.
//!
//! In: broken queries of both dialects. Out: the place, the token, what was expected, and the line
//! with its caret. Never: a mistake behind the leftmost one.

use super::*;

#[test]
fn messages_name_the_place_and_the_token() {
    for (text, message) in [
        ("htt ??? a : p", "1:5: unexpected token \"?\""),
        ("http &&  dns", "1:6: unexpected token \"&\""),
        ("http and", "1:9: unexpected token \"<EOF>\""),
        ("and http", "1:5: unexpected token \"http\""),
        ("(http", "1:6: unexpected token \"<EOF>\""),
        ("http)", "1:5: unexpected token \")\""),
        ("request.method = \"GET\"", "1:16: unexpected token \"=\""),
        ("request.method === \"GET\"", "1:18: unexpected token \"=\""),
        ("response.status => 500", "1:17: unexpected token \"=\""),
        (
            "request.path contains \"x\"",
            "1:14: unexpected token \"contains\"",
        ),
        ("\"vip\" in tags", "1:7: unexpected token \"in\""),
        ("response.status + 1 == 504", "1:17: unexpected token \"+\""),
        (
            "request.headers[User-Agent] == 1",
            "1:17: unexpected token \"User\"",
        ),
        ("tags[-1] == \"vip\"", "1:6: unexpected token \"-\""),
        ("request.", "1:9: unexpected token \"<EOF>\""),
        ("name == \"open", "1:9: literal not terminated"),
        ("\"abc\".startsWith(\"a\")", "1:6: unexpected token \".\""),
        ("0x1F7 == 503", "1:2: unexpected token \"x1F7\""),
        ("a\n  ? b", "2:3: unexpected token \"?\""),
        (
            "src.name == r\"(\"",
            "1:14: invalid regular expression: unclosed group",
        ),
    ] {
        let error = compile_as(text, Dialect::V1, &Schema::empty()).unwrap_err();
        assert!(error.to_string().starts_with(message), "{text}: {error}");
    }
}

#[test]
fn broken_queries_name_the_place_and_what_was_expected() {
    use Dialect::{V1, V2};
    for (dialect, text, message) in [
        (
            V1,
            "http and",
            r#"1:9: unexpected token "<EOF>" (expected a value)"#,
        ),
        (
            V1,
            "http)",
            r#"1:5: unexpected token ")" (expected "and" or "or" or end of the query)"#,
        ),
        (
            V1,
            "http && dns",
            r#"1:6: unexpected token "&" (expected "and" or "or" or end of the query)"#,
        ),
        (
            V1,
            "(http",
            r#"1:6: unexpected token "<EOF>" (expected ")")"#,
        ),
        (
            V1,
            "request.",
            r#"1:9: unexpected token "<EOF>" (expected a name)"#,
        ),
        (
            V1,
            "response.status == == 500",
            r#"1:20: unexpected token "=" (expected a value)"#,
        ),
        (
            V1,
            "tags[a] == 1",
            r#"1:6: unexpected token "a" (expected an index or a quoted key or "*")"#,
        ),
        (
            V1,
            "tags[0 == 1",
            r#"1:8: unexpected token "=" (expected "]")"#,
        ),
        (
            V1,
            r#"path.startsWith("a""#,
            r#"1:20: unexpected token "<EOF>" (expected ")")"#,
        ),
        (
            V2,
            "http &&",
            r#"1:8: syntax error: unexpected token "<EOF>" (expected a value)"#,
        ),
        (
            V2,
            "http and dns",
            r#"1:6: syntax error: unexpected token "and" (expected "&&" or "||" or end of the query)"#,
        ),
        (
            V2,
            "(http && dns",
            r#"1:13: syntax error: unexpected token "<EOF>" (expected ")")"#,
        ),
        (
            V2,
            r#"path.startsWith("a""#,
            r#"1:20: syntax error: unexpected token "<EOF>" (expected "," or ")")"#,
        ),
        (
            V2,
            r#"path.startsWith("a",)"#,
            r#"1:21: syntax error: unexpected token ")" (expected a value)"#,
        ),
        (
            V2,
            "status_code in [200 404]",
            r#"1:21: syntax error: unexpected token "404" (expected "," or "]")"#,
        ),
        (
            V2,
            "http ? true",
            r#"1:12: syntax error: unexpected token "<EOF>" (expected ":")"#,
        ),
        (
            V2,
            r#"request.headers["a" == 1"#,
            r#"1:25: syntax error: unexpected token "<EOF>" (expected "]")"#,
        ),
        (
            V2,
            "src.",
            r#"1:5: syntax error: unexpected token "<EOF>" (expected a name)"#,
        ),
        (
            V2,
            "{1 2}",
            r#"1:4: syntax error: unexpected token "2" (expected ":")"#,
        ),
        (
            V2,
            "for == 1",
            r#"1:1: syntax error: unexpected token "for" (expected a value)"#,
        ),
        (
            V2,
            "dns & http",
            r#"1:5: syntax error: unexpected character '&' (expected "&&")"#,
        ),
        (
            V2,
            "path = 1",
            r#"1:6: syntax error: unexpected character '=' (expected "==")"#,
        ),
        (
            V2,
            "path == `x`",
            r#"1:9: syntax error: unexpected character '`' (expected a string in " or ')"#,
        ),
        // The leftmost mistake counts, not the one of the lexer.
        (
            V2,
            "http and dns = 1",
            r#"1:6: syntax error: unexpected token "and" (expected "&&" or "||" or end of the query)"#,
        ),
    ] {
        let error = compile_as(text, dialect, &Schema::empty()).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
        let column = error.column as usize;
        assert_eq!(
            error.caret(text),
            format!("{text}\n{:>column$}", "^"),
            "{text}"
        );
    }
    let text = "http &&\n\tdns ||\n\t? tls";
    let error = compile_as(text, V2, &Schema::empty()).unwrap_err();
    assert!(error.to_string().starts_with("3:2: "), "{error}");
    assert_eq!(error.caret(text), "\t? tls\n\t^");
}

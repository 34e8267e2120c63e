//! The functions and macros of the second dialect, one entry each (reference section 12.4).
//!
//! In: nothing. Out: [`FUNCTIONS`], which the checker's messages, completion and the reference page
//! read. Never: what a function does; that is [`functions`](super::functions)'s.

/// How a function is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `name(x)`.
    Free,
    /// `x.name()`.
    Method,
    /// `list.name(x, ...)`, where x names each element in turn.
    Macro,
}

/// One function.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// The name in queries.
    pub name: &'static str,
    /// How it is written.
    pub form: Form,
    /// How it is called.
    pub signature: &'static str,
    /// One sentence for people.
    pub doc: &'static str,
    /// A query that uses it.
    pub example: &'static str,
}

use Form::{Free, Macro, Method};

/// Every function and macro.
#[rustfmt::skip]
pub static FUNCTIONS: &[Function] = &[
    function("contains", Method, "text.contains(part)", "whether the text contains the part; case counts", r#"http && path.contains("/api")"#),
    function("startsWith", Method, "text.startsWith(part)", "whether the text begins with the part; case counts", r#"redis && redis_key.startsWith("session:")"#),
    function("endsWith", Method, "text.endsWith(part)", "whether the text ends with the part; case counts", r#"dst.dns.endsWith(".internal")"#),
    function("matches", Method, "text.matches(pattern)", "whether the regular expression (RE2) is found in the text; anchor it with ^ and $", r#"http && url.matches("/api/v[0-9]+/")"#),
    function("size", Free, "size(x)", "characters of a text, bytes, elements of a list, or entries of a map; also x.size()", "dns && size(dns_answers) == 0"),
    function("map_get", Free, "map_get(map, key, default)", "the value under the key, or the default when there is none", r#"map_get(request.headers, "x-tenant", "none") != "none""#),
    function("now", Free, "now()", "the moment at which the query was set", r#"timestamp > now() - duration("5m")"#),
    function("timestamp", Free, "timestamp(text)", "a point in time as RFC 3339 writes it, or from epoch seconds", r#"timestamp > timestamp("2026-03-14T22:00:00Z")"#),
    function("duration", Free, "duration(text)", "a length of time, with the units h m s ms us ns", r#"timestamp > now() - duration("1h30m")"#),
    function("int", Free, "int(x)", "a whole number made of a number, text or point in time", "int(timestamp) > 1700000000"),
    function("uint", Free, "uint(x)", "an unsigned number made of a number or text", "http && uint(status_code) >= 500u"),
    function("double", Free, "double(x)", "a number with a fraction made of a number or text", "http && double(elapsed_time) / 1000.0 > 0.5"),
    function("string", Free, "string(x)", "the text of a scalar", r#"http && string(status_code).startsWith("5")"#),
    function("bytes", Free, "bytes(x)", "the bytes of a text", r#"tcp && tcp_payload == bytes("PING")"#),
    function("bool", Free, "bool(x)", "the boolean that a text spells", r#"http && bool(map_get(query_string, "dry", "false"))"#),
    function("dyn", Free, "dyn(x)", "the value without its static type", "http && dyn(status_code) >= 499.5"),
    function("type", Free, "type(x)", "the type of a value, to be compared with int, string, list, ...", "type(src.port) == int"),
    function("has", Free, "has(map.name)", "whether the map has the key", "http && has(request.headers.authorization)"),
    function("all", Macro, "list.all(x, condition)", "whether the condition holds for every element, or key of a map", r#"dns && dns_questions.all(q, q.endsWith(".internal"))"#),
    function("exists", Macro, "list.exists(x, condition)", "whether the condition holds for one element at least", r#"dns_questions.exists(q, q.contains("example"))"#),
    function("exists_one", Macro, "list.exists_one(x, condition)", "whether the condition holds for exactly one element", r#"dns && dns_answers.exists_one(a, a.startsWith("10."))"#),
    function("filter", Macro, "list.filter(x, condition)", "the elements for which the condition holds", r#"dns && size(dns_answers.filter(a, a.startsWith("10."))) > 1"#),
    function("map", Macro, "list.map(x, value)", "what is made of each element", "dns && 63 in dns_questions.map(q, size(q))"),
    function("getFullYear", Method, "time.getFullYear(zone)", "the year; without a time zone in UTC", "timestamp.getFullYear() == 2026"),
    function("getMonth", Method, "time.getMonth(zone)", "the month, from 0", "timestamp.getMonth() == 0"),
    function("getDate", Method, "time.getDate(zone)", "the day of the month, from 1", "timestamp.getDate() == 31"),
    function("getDayOfMonth", Method, "time.getDayOfMonth(zone)", "the day of the month, from 0", "timestamp.getDayOfMonth() == 30"),
    function("getDayOfYear", Method, "time.getDayOfYear(zone)", "the day of the year, from 0", "timestamp.getDayOfYear() == 0"),
    function("getDayOfWeek", Method, "time.getDayOfWeek(zone)", "the day of the week, Sunday being 0", r#"timestamp.getDayOfWeek("Europe/Prague") == 6"#),
    function("getHours", Method, "time.getHours(zone)", "the hour; of a length of time all its hours", r#"timestamp.getHours("+01:00") < 6"#),
    function("getMinutes", Method, "time.getMinutes(zone)", "the minute; of a length of time all its minutes", "timestamp.getMinutes() == 0"),
    function("getSeconds", Method, "time.getSeconds(zone)", "the second; of a length of time all its seconds", "timestamp.getSeconds() < 5"),
    function("getMilliseconds", Method, "time.getMilliseconds(zone)", "the milliseconds within the second", "timestamp.getMilliseconds() == 0"),
];

/// The function called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

const fn function(
    name: &'static str,
    form: Form,
    signature: &'static str,
    doc: &'static str,
    example: &'static str,
) -> Function {
    Function {
        name,
        form,
        signature,
        doc,
        example,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::ENVELOPE;
    use crate::kfl::v2::convert::PARTS;
    use crate::kfl::{Dialect, Schema, compile_as};

    #[test]
    fn every_example_is_valid_and_names_its_function() {
        for function in FUNCTIONS {
            assert!(
                function.example.contains(function.name),
                "{}",
                function.name
            );
            let query = compile_as(function.example, Dialect::V2, &Schema::new(ENVELOPE, []))
                .unwrap_or_else(|error| panic!("{}: {error}", function.name));
            assert!(query.warnings().is_empty(), "{}", function.name);
        }
        for (name, _) in PARTS {
            assert!(find(name).is_some(), "{name} is not listed");
        }
    }
}

//! The helpers of the first dialect, one entry each (reference section 6).
//!
//! In: nothing. Out: [`HELPERS`], which parser, warnings, evaluation and the reference page read.

/// One helper.
#[derive(Debug, PartialEq, Eq)]
pub struct Helper {
    /// The name in queries.
    pub name: &'static str,
    /// How it is called.
    pub signature: &'static str,
    /// One sentence for people.
    pub doc: &'static str,
    /// A query that uses it.
    pub example: &'static str,
    /// Parameters without which the call comes to nothing.
    pub(crate) needs: usize,
    pub(crate) does: Does,
}

/// What a helper does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    StartsWith,
    EndsWith,
    Contains,
    Json,
    Xml,
    Datetime,
    Now,
    /// Now plus a count of so many milliseconds.
    Relative(i64),
    Limit,
    Rlimit,
    LeftOff,
    Redact,
    Record,
}

const SECOND: i64 = 1000;
const DAY: i64 = 86_400 * SECOND;

/// Every helper.
pub static HELPERS: &[Helper] = &[
    helper(
        "startsWith",
        "path.startsWith(text)",
        "whether the text of the value starts with the text given",
        r#"request.path.startsWith("/v2/")"#,
        1,
        Does::StartsWith,
    ),
    helper(
        "endsWith",
        "path.endsWith(text)",
        "whether the text of the value ends with the text given",
        r#"dst.name.endsWith("-canary")"#,
        1,
        Does::EndsWith,
    ),
    helper(
        "contains",
        "path.contains(text)",
        "whether the text of the value contains the text given",
        r#"request.path.contains("login")"#,
        1,
        Does::Contains,
    ),
    helper(
        "json",
        "path.json()",
        "reads the text as JSON, after base64 if need be; further steps select inside",
        "response.content.text.json().code == 17",
        0,
        Does::Json,
    ),
    helper(
        "xml",
        "path.xml()",
        "reads the text as XML, after base64 if need be; further steps select inside",
        r#"request.postData.text.xml().order.total > 100"#,
        0,
        Does::Xml,
    ),
    helper(
        "datetime",
        "datetime(text)",
        "epoch milliseconds of a date such as 1/2/2026, 3:04:05 PM in UTC",
        r#"timestamp >= datetime("1/2/2026, 3:04:05 PM")"#,
        1,
        Does::Datetime,
    ),
    helper(
        "now",
        "now()",
        "epoch milliseconds of the present moment",
        "timestamp <= now()",
        0,
        Does::Now,
    ),
    helper(
        "seconds",
        "seconds(n)",
        "now plus n seconds",
        "timestamp > seconds(-30)",
        1,
        Does::Relative(SECOND),
    ),
    helper(
        "minutes",
        "minutes(n)",
        "now plus n minutes",
        "timestamp > minutes(-5)",
        1,
        Does::Relative(60 * SECOND),
    ),
    helper(
        "hours",
        "hours(n)",
        "now plus n hours",
        "timestamp > hours(-1)",
        1,
        Does::Relative(3600 * SECOND),
    ),
    helper(
        "days",
        "days(n)",
        "now plus n days",
        "timestamp > days(-1)",
        1,
        Does::Relative(DAY),
    ),
    helper(
        "weeks",
        "weeks(n)",
        "now plus n times 7 days",
        "timestamp > weeks(-1)",
        1,
        Does::Relative(7 * DAY),
    ),
    helper(
        "months",
        "months(n)",
        "now plus n times 30 days",
        "timestamp > months(-1)",
        1,
        Does::Relative(30 * DAY),
    ),
    helper(
        "years",
        "years(n)",
        "now plus n times 365 days",
        "timestamp > years(-1)",
        1,
        Does::Relative(365 * DAY),
    ),
    helper(
        "limit",
        "limit(n)",
        "true; at most n matching items are delivered",
        "http and limit(100)",
        1,
        Does::Limit,
    ),
    helper(
        "rlimit",
        "rlimit(n)",
        "true; of what is stored only the last n matches are delivered",
        "http and rlimit(100)",
        1,
        Does::Rlimit,
    ),
    helper(
        "leftOff",
        "leftOff(id)",
        "true; delivery resumes after the item with that id",
        "leftOff(latest)",
        1,
        Does::LeftOff,
    ),
    helper(
        "redact",
        "redact(path, ...)",
        "true; what the paths name is replaced in the delivered copy",
        r#"http and redact("request.headers['Cookie']")"#,
        1,
        Does::Redact,
    ),
    helper(
        "record",
        "record(name)",
        "whether the item was read back from the recording of that name",
        r#"record("incident-7")"#,
        1,
        Does::Record,
    ),
];

/// The helper called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Helper> {
    HELPERS.iter().find(|helper| helper.name == name)
}

const fn helper(
    name: &'static str,
    signature: &'static str,
    doc: &'static str,
    example: &'static str,
    needs: usize,
    does: Does,
) -> Helper {
    Helper {
        name,
        signature,
        doc,
        example,
        needs,
        does,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kfl::{Dialect, Schema, compile_as};

    #[test]
    fn every_example_is_valid_and_names_its_helper() {
        for helper in HELPERS {
            assert!(helper.example.contains(helper.name), "{}", helper.name);
            let query = compile_as(helper.example, Dialect::V1, &Schema::empty())
                .unwrap_or_else(|error| panic!("{}: {error}", helper.name));
            assert!(
                query.warnings().is_empty(),
                "{}: {:?}",
                helper.name,
                query.warnings()
            );
        }
    }
}

//! What each rule finds, and what it leaves alone.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::rules::Known;
use super::*;
use crate::script::api::{GLOBALS, GlobalKind};

/// The first candidate with the same letters at both ends, for tests alone.
fn near<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    if name.len() < 4 {
        return candidates
            .iter()
            .copied()
            .find(|one| one.get(..2) == name.get(..2));
    }
    let ends = |text: &str| (text.get(..4).map(str::to_owned), text.chars().last());
    let alike = |one: &&str| ends(one) == ends(name) && one.len().abs_diff(name.len()) < 2;
    candidates.iter().copied().find(|one| alike(one))
}

fn checked(code: &str) -> Vec<Finding> {
    static BUILTINS: std::sync::LazyLock<BTreeSet<String>> = std::sync::LazyLock::new(builtins);
    let known = Known {
        builtins: &BUILTINS,
        env: &["S3_BUCKET".to_owned()],
        schema: &Schema::empty(),
        nearest: near,
    };
    findings(code, &known)
}

/// `line:column severity message`, one a finding.
fn said(code: &str) -> Vec<String> {
    let said = |finding: &Finding| {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Finding {
            line,
            column,
            message,
            ..
        } = finding;
        format!("{line}:{column} {severity} {message}")
    };
    checked(code).iter().map(said).collect()
}

#[test]
fn what_is_right_is_left_alone() {
    let right = [
        "",
        "console.log(S3_BUCKET, CONSTS, env.S3_BUCKET, JSON.stringify(this), undefined, NaN);",
        "count = 1; function f() { return count + arguments.length } f();",
        "var {a, b: [c, ...d], ...e} = {}; console.log(a, c, d, e);",
        "for (x in {}) console.log(x); for (const y of []) console.log(y);",
        "try { f() } catch (e) { console.error(e) } function f() {}",
        "label: for (;;) { break label }",
        "class A { #p = 1; m() { return this.#p } } new A();",
        "if (typeof ours !== 'undefined') ours();",
        "this.mine = 1; console.log(mine); globalThis.yours = 2; console.log(yours);",
        "file.write.apply(null, ['a', 'b']); file.write(...['a', 'b']);",
        "vendor.s3.put('b', 'p', 'eu-west-1'); vendor['s3']['put']('b', 'p', 'eu-west-1');",
        "file.mine = function () {}; file.mine();",
        "if (typeof vendor.telegram === 'function') vendor.telegram();",
        "var kfl = {anything: function () {}}; kfl.anything();",
        "jobs.schedule('a', '@every 5s', function () {}); jobs.schedule('a', '*/60 * * * * *', f); function f() {}",
        "kfl.match('', {}); kfl.match('http and response.status == 500', {}); kfl.match(`dns`, {});",
        "function onItemCaptured(data) { console.log(data.id) }",
        "function onItemCaptured() {} onItemCaptured.kfl = 'http'; onItemCaptured.seen = 0;",
        "var x = \"\\033[34m\"; console.log(x.substr(1), escape(x), setTimeout(function () {}, 5));",
        "async function a() {} function* b() {} async function* c() {} a(); b(); c(); onItemCaptured = async function d() { d };",
        "vendor.s3.call(null, 'r', 'k', 's', 'b', 't'); vendor.s3.put.name;",
        "wrapper.kflPcapS3({}, {kflArr: ['http', 'dns'], active: true});",
    ];
    for code in right {
        assert_eq!(said(code), [""; 0], "{code}");
    }
}

#[test]
fn every_example_of_a_helper_passes() {
    for global in GLOBALS {
        for helper in global.helpers() {
            let faults: Vec<Finding> = checked(helper.example)
                .into_iter()
                .filter(|finding| finding.severity == Severity::Error)
                .collect();
            assert!(faults.is_empty(), "{}: {faults:?}", helper.example);
        }
        assert!(
            !matches!(global.kind, GlobalKind::Namespace([])),
            "{}",
            global.name
        );
    }
}

#[test]
fn syntax_errors_name_their_place_and_line() {
    let found = checked("var a = 1;\n  function (");
    let [finding] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!((finding.rule, finding.line), (Rule::Syntax, 2));
    assert!(finding.column > 1, "{finding:?}");
    assert_eq!(finding.text, "function (");
    for code in [
        "var a = ",
        "'unclosed",
        "import x from 'y'",
        "return 1",
        "/(/",
        "}",
    ] {
        let found = checked(code);
        assert!(
            matches!(found.as_slice(), [one] if one.rule == Rule::Syntax && one.line == 1),
            "{code}: {found:?}"
        );
    }
}

#[test]
fn unknown_names_and_helpers_are_found_where_they_stand() {
    let cases = [
        ("\n  consol.log(1)", "2:3 error consol is not defined"),
        (
            "f(WEBHOOK_URL); function f() {}",
            "1:3 warning WEBHOOK_URL is not defined, here no scripting.env sets it",
        ),
        ("eval('var x'); x;", "1:16 warning x is not defined"),
        (
            "file.wrote('a', 'b')",
            "1:6 error there is no file.wrote, did you mean file.write?",
        ),
        ("vendor.s4.put('a')", "1:8 error there is no vendor.s4"),
        ("vendor.s3.pux('a')", "1:11 error there is no vendor.s3.pux"),
        (
            "setTimeout('code', 1)",
            "1:12 error a timer needs a function as its first argument",
        ),
        (
            "wrapper.kflPcapS3({}, {kflArr: ['http', 'http ??']})",
            "1:41 error the query is invalid, 1:6: unexpected token \"?\"",
        ),
        (
            "const onItemCaptured = function () {}",
            "1:7 warning onItemCaptured is declared with let or const, which hides it, so nothing calls it; write function onItemCaptured(…) or var onItemCaptured",
        ),
        (
            "console.log(file.size)",
            "1:18 warning there is no file.size",
        ),
        (
            "vendor.mail && vendor.mail('x')",
            "1:8 warning there is no vendor.mail",
        ),
        (
            "function onItemCapturd() {}",
            "1:10 warning onItemCapturd is no hook and nothing calls it, did you mean onItemCaptured?",
        ),
    ];
    for (code, expected) in cases {
        let said = said(code);
        assert!(
            said.iter().any(|one| one.starts_with(expected)),
            "{code}: {said:?}"
        );
    }
}

#[test]
fn arguments_are_counted_where_the_count_is_certain() {
    let cases = [
        (
            "file.write('a')",
            "1:6 error file.write needs 2 arguments (path, content), 1 is given",
        ),
        (
            "kfl.match()",
            "1:5 error kfl.match needs 2 arguments (query, data), none is given",
        ),
        (
            "vendor.s3.put('b')",
            "1:11 warning vendor.s3.put needs 3 arguments (bucket, path, region), 1 is given",
        ),
        (
            "jobs.list(1)",
            "1:6 warning jobs.list takes no argument, 1 is given",
        ),
        (
            "file.delete('a', 'b', 'c')",
            "1:6 warning file.delete takes at most 1 argument, 3 are given",
        ),
        (
            "setTimeout()",
            "1:1 error setTimeout needs 1 argument (task), none is given",
        ),
        (
            "jobs.schedule('a', '0 * * * * *', 'f()')",
            "1:35 error a job needs a function as its third argument",
        ),
    ];
    for (code, expected) in cases {
        assert_eq!(said(code), [expected], "{code}");
    }
}

#[test]
fn queries_and_schedules_are_read() {
    let cases = [
        (
            "kfl.match('http and', {})",
            "1:11 error the query is invalid, 1:",
        ),
        (
            "var Q = 'http and';\nkfl.match(Q, {})",
            "1:9 error the query is invalid, 1:",
        ),
        (
            "kfl.validate('http and')",
            "1:14 warning the query is invalid, 1:",
        ),
        (
            "recording.set({name: 'a', kfl: '=='})",
            "1:32 error the query is invalid, 1:",
        ),
        (
            "function onItemCaptured() {} onItemCaptured.kfl = 'http and';",
            "1:51 error the query is invalid, 1:",
        ),
        (
            "function onItemCaptured() {} onItemCaptured.kf1 = 'http';",
            "1:45 warning nobody reads onItemCaptured.kf1, did you mean onItemCaptured.kfl?",
        ),
        (
            "function onItemQueried() {} onItemQueried.kfl = 'http';",
            "1:43 warning onItemQueried is told everything, only onItemCaptured has a query",
        ),
        (
            "jobs.schedule('a', '* * *', f); function f() {}",
            "1:20 error the cron \"* * *\" has 3 fields",
        ),
        (
            "jobs.schedule('a', '61 * * * * *', f); function f() {}",
            "1:20 error the cron \"61 * * * * *\" cannot be read",
        ),
        (
            "jobs.schedule('a', '*/5 * * * *', f); function f() {}",
            "1:20 warning the cron \"*/5 * * * *\" has 5 fields and runs at second 0",
        ),
    ];
    for (code, expected) in cases {
        let said = said(code);
        assert!(
            matches!(said.as_slice(), [one] if one.starts_with(expected)),
            "{code}: {said:?}"
        );
    }
    // What may be another text by then is not judged.
    let later = "function onItemCaptured() {} var Q = 'a and'; Q = 'http'; onItemCaptured.kfl = Q;";
    assert_eq!(said(later), [""; 0]);
    let changed = "var Q = 'http and'; Q = 'http'; kfl.match(Q, {})";
    assert_eq!(said(changed), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_text_panics(code in "[a-z(){}\\[\\];=.'\"`$/*+ \n,?:-]{0,80}") {
        checked(&code);
    }
}

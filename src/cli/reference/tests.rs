//! Committed copies are fresh, and nothing on the lists is left out.

use std::fs;
use std::path::Path;

use super::*;
use crate::dissect::PROTOCOLS;
use crate::script::api::GLOBALS;

/// Each file with the text that it should have.
fn files() -> Vec<(&'static str, String)> {
    let mut files = Vec::from(pages::all());
    files.push((DECLARATIONS, declarations()));
    files
}

fn text_of(name: &str) -> String {
    let found = files().into_iter().find(|(page, _)| *page == name);
    found.unwrap().1
}

#[test]
fn reference_pages_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
    let mut stale = Vec::new();
    for (name, text) in files() {
        let path = folder.join(name);
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, text).unwrap();
        } else {
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "docs/reference holds old pages, run UPDATE=1 cargo test reference: {stale:?}"
    );
}

#[test]
fn nothing_on_the_lists_is_left_out() {
    let page = text_of("scripting.md");
    let types = declarations();
    for global in GLOBALS {
        for helper in global.helpers() {
            assert!(page.contains(helper.doc), "{}", helper.name);
            let member = helper.name.rsplit('.').next().unwrap();
            assert!(
                types.contains(&format!("{member}(")) || types.contains(&format!("{member}: {{")),
                "{}",
                helper.name
            );
        }
    }
    let page = text_of("protocols.md");
    for protocol in PROTOCOLS {
        for field in protocol.fields() {
            assert!(
                page.contains(&format!("`{}`", field.path)),
                "{}",
                field.path
            );
        }
    }
}

#[test]
fn declarations_are_balanced() {
    let text = declarations();
    for (open, close) in [('{', '}'), ('(', ')'), ('[', ']')] {
        let count = |wanted| text.chars().filter(|c| *c == wanted).count();
        assert_eq!(count(open), count(close), "{open}{close}");
    }
}

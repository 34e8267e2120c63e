//! A difference as text and as a page.

use std::fmt::Write;

use super::compare::{Diff, Moved, Names};
use crate::cli::plain;

/// Names of one kind that are printed; JSON has all.
const MAX_SHOWN: usize = 100;

/// Lines for people.
pub(super) fn text(diff: &Diff) -> String {
    let mut out = format!("{} items before, {} after", diff.items[0], diff.items[1]);
    if diff.is_empty() {
        out.push_str("\nNothing appeared, vanished or moved");
        return out;
    }
    for (title, names) in kinds(diff) {
        lines(&mut out, title, "appeared", '+', names.appeared.iter());
        lines(&mut out, title, "vanished", '-', names.vanished.iter());
    }
    for (title, moved) in figures(diff) {
        if !moved.is_empty() {
            let _ = write!(out, "\n{title} that moved:");
        }
        for one in moved.iter().take(MAX_SHOWN) {
            let _ = write!(out, "\n  ~ {}", line(one));
        }
        rest(&mut out, moved.len());
    }
    out
}

fn kinds(diff: &Diff) -> [(&'static str, &Names); 4] {
    [
        ("Endpoints", &diff.endpoints),
        ("Peers", &diff.peers),
        ("DNS names", &diff.dns),
        ("TLS versions", &diff.tls),
    ]
}

fn figures(diff: &Diff) -> [(&'static str, &[Moved]); 2] {
    [("Failures", &diff.statuses), ("Latencies", &diff.latencies)]
}

fn line(one: &Moved) -> String {
    let unit = if one.figure == "failed" { "%" } else { " ms" };
    format!(
        "{} {}: {:.1}{unit} -> {:.1}{unit}",
        plain(&one.endpoint),
        one.figure,
        one.before,
        one.after
    )
}

fn lines<'a>(
    out: &mut String,
    title: &str,
    how: &str,
    mark: char,
    names: impl ExactSizeIterator<Item = (&'a String, &'a u64)>,
) {
    let all = names.len();
    if all > 0 {
        let _ = write!(out, "\n{title} that {how}:");
    }
    for (name, count) in names.take(MAX_SHOWN) {
        let _ = write!(out, "\n  {mark} {} ({count})", plain(name));
    }
    rest(out, all);
}

fn rest(out: &mut String, all: usize) {
    if all > MAX_SHOWN {
        let _ = write!(out, "\n  and {} more", all - MAX_SHOWN);
    }
}

/// A page without scripts and without requests to anywhere.
pub(super) fn html(diff: &Diff, before: &str, after: &str) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>tapedeck diff</title>\n\
         <style>body{{font:14px system-ui;margin:2em;max-width:70em}}table{{border-collapse:collapse}}\
         td,th{{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:left}}.n{{text-align:right}}</style>\n\
         <h1>What changed</h1>\n<p>{} items in {}, {} in {}</p>\n",
        diff.items[0],
        escaped(before),
        diff.items[1],
        escaped(after),
    );
    if diff.is_empty() {
        out.push_str("<p>Nothing appeared, vanished or moved.</p>\n");
    }
    for (title, names) in kinds(diff) {
        for (how, names) in [("appeared", &names.appeared), ("vanished", &names.vanished)] {
            if names.is_empty() {
                continue;
            }
            let _ = write!(out, "<h2>{title} that {how}</h2>\n<table>");
            for (name, count) in names.iter().take(MAX_SHOWN) {
                let _ = write!(out, "<tr><td>{}<td class=n>{count}", escaped(name));
            }
            out.push_str("</table>\n");
            more(&mut out, names.len());
        }
    }
    for (title, moved) in figures(diff) {
        if moved.is_empty() {
            continue;
        }
        let _ = write!(
            out,
            "<h2>{title} that moved</h2>\n<table><tr><th>endpoint<th>figure<th>before<th>after"
        );
        for one in moved.iter().take(MAX_SHOWN) {
            let _ = write!(
                out,
                "<tr><td>{}<td>{}<td class=n>{:.1}<td class=n>{:.1}",
                escaped(&one.endpoint),
                one.figure,
                one.before,
                one.after
            );
        }
        out.push_str("</table>\n");
        more(&mut out, moved.len());
    }
    out
}

fn more(out: &mut String, all: usize) {
    if all > MAX_SHOWN {
        let _ = writeln!(out, "<p>and {} more</p>", all - MAX_SHOWN);
    }
}

/// Text as markup shows it.
fn escaped(text: &str) -> String {
    plain(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn names_of_the_traffic_are_text_on_the_page() {
        let diff = Diff {
            items: [1, 2],
            dns: Names {
                appeared: BTreeMap::from([("<script>alert(1)</script>".to_owned(), 1)]),
                ..Names::default()
            },
            ..Diff::default()
        };
        let page = html(&diff, "a..b", "\"><b>");
        assert!(!page.contains("<script>") && !page.contains("\"><b>"));
        assert!(page.contains("&lt;script&gt;"));
        assert!(text(&diff).contains("DNS names that appeared:\n  + <script>"));
        assert!(text(&Diff::default()).contains("Nothing appeared"));
    }
}

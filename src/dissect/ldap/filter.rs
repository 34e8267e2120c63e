//! Search filters as text.
//!
//! In: the filter element of a search request. Out: its string representation. Never: more than
//! [`MAX_TEXT`] characters, recursion beyond the depth that `ber` reads. Standard: RFC 4515.

use std::fmt::Write;

use super::ber::{Element, MAX_DEPTH, OCTETS};
use super::render::is_secret;

/// Octets of text after which the rest of a filter is left out; a filter of directories' own
/// making (a list of group members) may have some thousand.
const MAX_TEXT: usize = 16 * 1024;

/// The filter in the form of RFC 4515; `…` stands for what is left out or cannot be read.
pub(super) fn filter_text(filter: &Element<'_>) -> String {
    let mut text = String::new();
    write_filter(filter, 0, &mut text);
    text
}

fn write_filter(filter: &Element<'_>, depth: usize, out: &mut String) {
    if depth >= MAX_DEPTH || out.len() > MAX_TEXT {
        out.push('…');
        return;
    }
    out.push('(');
    let written = match filter.tag {
        0xa0 => write_set('&', filter, depth, out),
        0xa1 => write_set('|', filter, depth, out),
        0xa2 => write_set('!', filter, depth, out),
        0xa3 => write_assertion("=", filter, out),
        0xa4 => write_substrings(filter, out),
        0xa5 => write_assertion(">=", filter, out),
        0xa6 => write_assertion("<=", filter, out),
        0x87 => {
            write_value(filter.contents, out);
            out.push_str("=*");
            Some(())
        }
        0xa8 => write_assertion("~=", filter, out),
        0xa9 => write_extensible(filter, out),
        _ => None,
    };
    if written.is_none() {
        out.push('…');
    }
    out.push(')');
}

fn write_set(sign: char, filter: &Element<'_>, depth: usize, out: &mut String) -> Option<()> {
    out.push(sign);
    for part in filter.elements() {
        write_filter(&part.ok()?, depth + 1, out);
        if out.len() > MAX_TEXT {
            break;
        }
    }
    Some(())
}

fn write_assertion(sign: &str, filter: &Element<'_>, out: &mut String) -> Option<()> {
    let mut elements = filter.elements();
    let attribute = elements.optional(OCTETS)?.contents;
    let value = elements.optional(OCTETS)?.contents;
    write_value(attribute, out);
    out.push_str(sign);
    write_asserted(attribute, value, out);
    Some(())
}

fn write_substrings(filter: &Element<'_>, out: &mut String) -> Option<()> {
    let mut elements = filter.elements();
    let attribute = elements.optional(OCTETS)?.contents;
    write_value(attribute, out);
    out.push('=');
    let mut is_final = false;
    for part in elements.next()?.ok()?.elements() {
        let part = part.ok()?;
        // initial [0], any [1], final [2]
        if part.tag != 0x80 {
            out.push('*');
        }
        write_asserted(attribute, part.contents, out);
        is_final = part.tag == 0x82;
        if out.len() > MAX_TEXT {
            return None;
        }
    }
    if !is_final {
        out.push('*');
    }
    Some(())
}

fn write_extensible(filter: &Element<'_>, out: &mut String) -> Option<()> {
    let mut elements = filter.elements();
    let rule = elements.optional(0x81);
    let attribute = elements.optional(0x82).map_or(&[][..], |one| one.contents);
    let value = elements.optional(0x83)?.contents;
    let with_dn = elements
        .optional(0x84)
        .is_some_and(|flag| flag.contents.iter().any(|octet| *octet != 0));
    write_value(attribute, out);
    if with_dn {
        out.push_str(":dn");
    }
    if let Some(rule) = rule {
        out.push(':');
        write_value(rule.contents, out);
    }
    out.push_str(":=");
    write_asserted(attribute, value, out);
    Some(())
}

fn write_asserted(attribute: &[u8], value: &[u8], out: &mut String) {
    match is_secret(attribute) {
        true => {
            // Writing to a string cannot fail.
            let _ = write!(out, "[{} octets]", value.len());
        }
        false => write_value(value, out),
    }
}

/// "... octets 0x00, '(' , ')' , '*' and '\' are escaped" (section 3); so are those that are not
/// UTF-8.
fn write_value(value: &[u8], out: &mut String) {
    let value = value.get(..value.len().min(MAX_TEXT)).unwrap_or_default();
    for chunk in value.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\0' | '(' | ')' | '*' | '\\' => {
                    let _ = write!(out, "\\{:02x}", u32::from(character));
                }
                character => out.push(character),
            }
        }
        for octet in chunk.invalid() {
            let _ = write!(out, "\\{octet:02x}");
        }
    }
}

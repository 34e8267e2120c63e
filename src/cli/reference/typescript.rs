//! `tapedeck.d.ts`: globals, hooks and items as an editor reads them.
//!
//! ```text
//! declare const file: { write(path: string, content: string): void; ... }
//! interface Hooks { onItemCaptured(data: Item): void; ... }
//! interface Item extends Envelope { request: ...; response: ...; data: ... }
//! interface DnsItem extends Envelope { ... }          (one a protocol, for @param annotations)
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;

use super::hooks;
use super::signature;
use crate::dissect::{PROTOCOLS, Protocol};
use crate::item::{ENVELOPE, Field, FieldType};
use crate::script::api::{GLOBALS, Global, GlobalKind, Helper};
use crate::script::wire::{FILTER, Hook};

/// Members of an item that differ from protocol to protocol.
const PARTS: &[&str] = &["request", "response", "data"];

const HEAD: &str = "\
// Types of what tapedeck gives scripts, for editors. Written by `tapedeck scripts new`; scripts
// themselves are plain JavaScript and never read it.

";

const PACKET_INFO: &str = "\
/** What `onPacketCaptured` is told of a packet. */
interface PacketInfo {
  /** When it was captured, RFC 3339 with nanoseconds. */
  timestamp: string;
  /** Bytes that were captured. */
  captureLength: number;
  /** Bytes on the wire. */
  length: number;
  /** Whether bytes are missing at its end. */
  truncated: boolean;
  /** Whether it is a fragment that does not end its datagram. */
  fragmented: boolean;
}

";

const TESTS: &str = "\
/** In NAME.test.js: what came of running NAME.js over the capture. */
declare const result: {
  /** Lines of the console, without their prefix. */
  console: string[];
  /** Error lines, and why a script does not run. */
  errors: string[];
  /** How many items there were. */
  items: number;
  /** Calls that would have left, with their arguments; secrets are masked. */
  sent: { helper: string; arguments: { [name: string]: any }; upload?: any }[];
  /** Files that would have been uploaded; `text` is null when it is none or a long one. */
  uploads: { bucket: string; key: string; path: string; bytes: number; text: string | null }[];
  /** Files of the data folder by their path; null when it is no text or a long one. */
  files: { [path: string]: string | null };
  /** What was recorded, before it was sealed at the end. */
  recordings: { name: string; kfl: string; streams: number; packets: number; [name: string]: any }[];
  /** Items that onItemQueried marked with test.pass and test.fail. */
  tests: { passed: number; failed: number };
};
/** In NAME.test.js: one test; it fails when the function throws. */
declare function it(name: string, check: () => void): void;
/** In NAME.test.js: something to check; `not` turns the check around. */
declare function expect(value: any): Expectation & { not: Expectation };
interface Expectation {
  /** The very same value. */
  toBe(other: any): void;
  /** The same content, member by member. */
  toEqual(other: any): void;
  /** A text that holds a text, or a list with an element that equals. */
  toContain(part: any): void;
  /** A list of lines, one of which holds the text or matches the pattern. */
  toHaveLine(line: string | RegExp): void;
  /** A text that holds the text or matches the pattern. */
  toMatch(pattern: string | RegExp): void;
  /** A text or list of that length. */
  toHaveLength(length: number): void;
  /** An object with that member. */
  toHaveProperty(name: string): void;
  /** A greater number. */
  toBeGreaterThan(other: number): void;
  /** A smaller number. */
  toBeLessThan(other: number): void;
  /** Anything but false, 0, an empty text, null, undefined and NaN. */
  toBeTruthy(): void;
  /** A function that throws, with a message that holds the text or matches the pattern. */
  toThrow(message?: string | RegExp): void;
}
";

/// The whole file.
pub fn render() -> String {
    let mut out = HEAD.to_owned();
    for global in GLOBALS {
        render_global(global, &mut out);
    }
    out.push_str(PACKET_INFO);
    out.push_str(
        "/** Functions that tapedeck calls when a script defines them. */\ninterface Hooks {\n",
    );
    for (hook, doc) in hooks::documented() {
        if let Some(doc) = doc {
            comment(doc.doc, 1, &mut out);
            let (name, parameters, returns) = (hook.name(), doc.parameters, doc.returns);
            let typed = if hook == Hook::OnItemCaptured {
                format!("{name}: {{ ({parameters}): {returns}; {FILTER}?: string }};\n")
            } else {
                format!("{name}({parameters}): {returns};\n")
            };
            put(&mut out, format_args!("  {typed}"));
        }
    }
    out.push_str("}\n\n");
    render_items(&mut out);
    out.push('\n');
    out.push_str(TESTS);
    out
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes any text");
}

fn comment(doc: &str, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    // What would end the comment early.
    let doc = doc.replace("*/", "*\u{200b}/");
    put(out, format_args!("{indent}/** {doc}. */\n"));
}

fn render_global(global: &Global, out: &mut String) {
    match global.kind {
        GlobalKind::Namespace(helpers) => {
            comment(global.doc, 0, out);
            put(out, format_args!("declare const {}: ", global.name));
            let helpers: Vec<(&str, &Helper)> =
                helpers.iter().map(|helper| (helper.name, helper)).collect();
            render_members(&helpers, None, 0, out);
            out.push_str(";\n\n");
        }
        GlobalKind::Functions(helpers) => {
            for helper in helpers {
                comment(helper.doc, 0, out);
                let call = signature::typescript(helper.signature);
                put(
                    out,
                    format_args!("declare function {}{call};\n", helper.name),
                );
            }
            out.push('\n');
        }
        GlobalKind::Values(_) => {
            comment(global.doc, 0, out);
            put(
                out,
                format_args!(
                    "declare const {}: {{ [name: string]: any }};\n",
                    global.name
                ),
            );
            if global.name == "env" {
                out.push_str("/** The names in `env`. */\ndeclare const CONSTS: string[];\n");
            }
            out.push('\n');
        }
    }
}

/// An object type with `helpers`, by their names from here on, and perhaps a call of its own.
fn render_members(
    helpers: &[(&str, &Helper)],
    call: Option<&Helper>,
    depth: usize,
    out: &mut String,
) {
    out.push_str("{\n");
    let indent = "  ".repeat(depth + 1);
    if let Some(helper) = call {
        comment(helper.doc, depth + 1, out);
        put(
            out,
            format_args!("{indent}{};\n", signature::typescript(helper.signature)),
        );
    }
    let mut seen: Vec<&str> = Vec::new();
    for (name, helper) in helpers {
        let first = name.split('.').next().unwrap_or(name);
        if seen.contains(&first) {
            continue;
        }
        seen.push(first);
        let below: Vec<(&str, &Helper)> = helpers
            .iter()
            .filter_map(|(name, helper)| {
                let (outer, inner) = name.split_once('.')?;
                (outer == first).then_some((inner, *helper))
            })
            .collect();
        let own = helpers.iter().find(|(name, _)| *name == first);
        if below.is_empty() {
            comment(helper.doc, depth + 1, out);
            let call = signature::typescript(helper.signature);
            put(out, format_args!("{indent}{first}{call};\n"));
        } else {
            put(out, format_args!("{indent}{first}: "));
            render_members(&below, own.map(|(_, helper)| *helper), depth + 1, out);
            out.push_str(";\n");
        }
    }
    put(out, format_args!("{}}}", "  ".repeat(depth)));
}

/// A member of an item, with what is below it.
#[derive(Default)]
struct Member {
    kind: Option<FieldType>,
    /// Several protocols have it, and not of one kind.
    mixed: bool,
    doc: String,
    owners: Vec<&'static str>,
    order: usize,
    members: BTreeMap<String, Member>,
}

impl Member {
    fn add(&mut self, field: &Field, owner: Option<&'static str>) {
        let mut at = self;
        for name in field.path.split('.') {
            let order = at.members.len();
            at = at.members.entry(name.to_owned()).or_insert_with(|| Member {
                order,
                ..Member::default()
            });
        }
        at.mixed |= at.kind.is_some_and(|kind| kind != field.kind);
        at.kind.get_or_insert(field.kind);
        if at.doc.is_empty() {
            at.doc = field.doc.to_owned();
        }
        if let Some(owner) = owner.filter(|owner| !at.owners.contains(owner)) {
            at.owners.push(owner);
        }
    }

    fn ordered(&self) -> Vec<(&String, &Member)> {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_by_key(|(_, member)| member.order);
        members
    }

    fn render(&self, depth: usize, out: &mut String) {
        let indent = "  ".repeat(depth);
        for (name, member) in self.ordered() {
            if !member.doc.is_empty() {
                let doc = match member.owners.as_slice() {
                    [] => member.doc.clone(),
                    owners => format!("{} ({})", member.doc, owners.join(", ")),
                };
                comment(&doc, depth, out);
            }
            let mark = if member.doc.contains("missing when") {
                "?"
            } else {
                ""
            };
            put(out, format_args!("{indent}{}{mark}: ", key(name)));
            member.render_type(depth, out);
            out.push_str(";\n");
        }
    }

    fn render_type(&self, depth: usize, out: &mut String) {
        let is_list = self.kind == Some(FieldType::List);
        if self.mixed {
            out.push_str("any");
        } else if !self.members.is_empty() {
            out.push_str("{\n");
            self.render(depth + 1, out);
            put(out, format_args!("{}}}", "  ".repeat(depth)));
            let may_miss = self.doc.contains("null when");
            out.push_str(match (is_list, may_miss) {
                (true, _) => "[]",
                (false, true) => " | null",
                (false, false) => "",
            });
        } else {
            out.push_str(match self.kind {
                Some(FieldType::Bool) => "boolean",
                Some(FieldType::Int | FieldType::Float) => "number",
                Some(FieldType::Text) => "string",
                Some(FieldType::Map) => "{ [name: string]: string }",
                Some(FieldType::List) => "any[]",
                Some(FieldType::Object) | None => "any",
            });
        }
    }
}

/// A member's name, quoted when it is no identifier.
fn key(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    let is_identifier = !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(plain);
    if is_identifier {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

fn render_items(out: &mut String) {
    let mut envelope = Member::default();
    for field in ENVELOPE.iter().filter(|field| !PARTS.contains(&field.path)) {
        envelope.add(field, None);
    }
    out.push_str("/** What every item has. */\ninterface Envelope {\n");
    envelope.render(1, out);
    out.push_str("}\n\n");

    let mut all = Member::default();
    for protocol in PROTOCOLS {
        for field in protocol.fields() {
            all.add(field, Some(protocol.name()));
        }
    }
    parts(&mut all);
    out.push_str(
        "/** An item of any protocol: what `onItemCaptured` is told. Which members there are depends on\n * `protocol`; each says whose it is. */\ninterface Item extends Envelope {\n",
    );
    all.render(1, out);
    out.push_str("}\n");

    for protocol in PROTOCOLS {
        let mut own = Member::default();
        for field in protocol.fields() {
            own.add(field, None);
        }
        parts(&mut own);
        let long = protocol.kinds().first().map_or("", |kind| kind.long_name);
        put(
            out,
            format_args!(
                "\n/** {long}. */\ninterface {} extends Envelope {{\n",
                interface(*protocol)
            ),
        );
        own.render(1, out);
        out.push_str("}\n");
    }
}

/// The parts that an item always has, said once for all.
fn parts(item: &mut Member) {
    for field in ENVELOPE.iter().filter(|field| PARTS.contains(&field.path)) {
        let part = item.members.entry(field.path.to_owned()).or_default();
        part.doc = field.doc.to_owned();
        part.owners.clear();
        part.kind.get_or_insert(field.kind);
    }
}

/// `dns` as `DnsItem`.
fn interface(protocol: &dyn Protocol) -> String {
    let mut letters = protocol.name().chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    let name: String = first.into_iter().chain(letters).collect();
    format!("{}Item", name.replace(['-', '.', '/'], ""))
}

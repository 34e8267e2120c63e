//! Items as lines: a table for people, one JSON object a line, or CSV.
//!
//! In: items. Out: one line each, appended to a buffer. Never: an allocation for a line of CSV whose
//! cells lie in the item as they are; filters.

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::IpAddr;

use crate::bytes::append_number;
use crate::cli::style::Style;
use crate::deliver::Delivered;
use crate::item::json::{AsJson, JsonNode};
use crate::item::{Item, MAX_SUMMARY, Node, Path, ProtocolInfo, listed, lookup, shown};
use crate::packet::Endpoint;
use crate::server::columns_of;
use crate::time::TimeTexts;

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Columns for people
    Table,
    /// One JSON object a line
    Json,
    /// Comma-separated values with a header line
    Csv,
}

/// Writes items as lines.
#[derive(Clone)]
pub(super) struct Lines {
    format: Format,
    style: Style,
    /// Columns of the kind of item that came last; most come in runs.
    columns: Option<(&'static ProtocolInfo, Shown)>,
    times: TimeTexts,
}

/// Where a kind of item has what lists show; `None` for a column that it does not have.
#[derive(Clone)]
struct Shown {
    method: Option<Path>,
    status: Option<Path>,
    summary: Option<Path>,
}

impl Shown {
    fn of(kind: &ProtocolInfo) -> Shown {
        let columns = columns_of(kind.abbr);
        let path = |path: &str| (!path.is_empty()).then(|| Path::new(path));
        Shown {
            method: path(columns.method),
            status: path(columns.status),
            summary: path(columns.summary),
        }
    }
}

impl Format {
    /// What comes before the first line.
    pub(super) fn header(self) -> &'static [u8] {
        match self {
            Format::Csv => b"time,protocol,status,method,summary,src,dst,elapsed_ms,stream,index\n",
            Format::Table | Format::Json => b"",
        }
    }
}

impl Lines {
    pub(super) fn new(format: Format, style: Style) -> Lines {
        Lines {
            format,
            style,
            columns: None,
            times: TimeTexts::default(),
        }
    }

    /// Appends the line of what is delivered of an item.
    pub(super) fn append_delivered(
        &mut self,
        delivered: &Delivered,
        item: &Item,
        out: &mut Vec<u8>,
    ) {
        match delivered {
            Delivered::Whole => self.append(item, out),
            Delivered::Altered(copy) => self.append_altered(item, copy, out),
            Delivered::Nothing | Delivered::Undecided => {}
        }
    }

    /// The line of a copy that was altered: nothing in it is read from the item but its time, and that
    /// only where the copy still has it.
    fn append_altered(&mut self, item: &Item, copy: &serde_json::Value, out: &mut Vec<u8>) {
        let node = JsonNode(copy);
        let columns = columns_of(item.protocol.abbr);
        let cell = |path: &str| shown(node, path);
        let time_is_there = ["timestamp", "startTime"].iter().all(|name| {
            let whole = lookup(item.node(), name).map(|time| serde_json::json!(AsJson(time)));
            whole.as_ref() == copy.get(name)
        });
        // Writing into memory does not fail.
        let _ = match self.format {
            Format::Json => {
                let written = serde_json::to_writer(&mut *out, copy);
                out.push(b'\n');
                written.map_err(io::Error::from)
            }
            Format::Csv => {
                match time_is_there {
                    true => self.times.append(item.start, out),
                    false => csv_cell(out, &cell("timestamp")),
                }
                let end = |side: &str| {
                    let part = |name: &str| cell(&format!("{side}.{name}"));
                    format!("{}:{}", part("ip"), part("port"))
                };
                let cells = [
                    cell("protocol.abbr"),
                    cell(columns.status),
                    cell(columns.method),
                    cell(columns.summary),
                    end("src").into(),
                    end("dst").into(),
                    cell("elapsedTime"),
                    cell("stream"),
                    cell("index"),
                ];
                for cell in &cells {
                    out.push(b',');
                    csv_cell(out, cell);
                }
                out.push(b'\n');
                Ok(())
            }
            Format::Table => {
                let time = match time_is_there {
                    true => item.start.utc().format("%Y-%m-%d %H:%M:%S%.3f").to_string(),
                    false => plain(&cell("timestamp")),
                };
                writeln!(
                    out,
                    "{} {:<6} {:>4} {:<7} {:<48} {} -> {} {}",
                    self.style.dim(&time),
                    plain(&cell("protocol.abbr")),
                    plain(&cell(columns.status)),
                    plain(&cell(columns.method)),
                    plain(&cell(columns.summary)),
                    side(node, "src"),
                    side(node, "dst"),
                    self.style
                        .dim(&format!("{}ms", plain(&cell("elapsedTime")))),
                )
            }
        };
    }

    /// Appends the line of an item.
    fn append(&mut self, item: &Item, out: &mut Vec<u8>) {
        let shown = match self.columns.take() {
            Some((kind, shown)) if std::ptr::eq(kind, item.protocol) => shown,
            _ => Shown::of(item.protocol),
        };
        // Writing into memory does not fail.
        let _ = match self.format {
            Format::Json => {
                let written = serde_json::to_writer(&mut *out, &AsJson(item.node()));
                out.push(b'\n');
                written.map_err(io::Error::from)
            }
            Format::Csv => {
                self.times.append(item.start, out);
                csv(out, item, &shown);
                Ok(())
            }
            Format::Table => self.table(item, &shown, out),
        };
        self.columns = Some((item.protocol, shown));
    }

    fn table(&self, item: &Item, columns: &Shown, out: &mut Vec<u8>) -> io::Result<()> {
        let node = item.node();
        let status = text_at(item, columns.status.as_ref());
        let failed = item.error.is_some() || status.starts_with('5') || status.starts_with('4');
        let status = format!("{status:>4}");
        let status = if failed {
            self.style.red(&status)
        } else {
            self.style.green(&status)
        };
        writeln!(
            out,
            "{} {:<6} {status} {:<7} {:<48} {} -> {} {}",
            self.style
                .dim(&item.start.utc().format("%Y-%m-%d %H:%M:%S%.3f").to_string()),
            item.protocol.abbr,
            plain(&text_at(item, columns.method.as_ref())),
            plain(&text_at(item, columns.summary.as_ref())),
            side(node, "src"),
            side(node, "dst"),
            self.style.dim(&format!("{}ms", item.elapsed_ms())),
        )
    }
}

/// The text of a column; empty when the item has none.
fn text_at<'a>(item: &'a Item, path: Option<&Path>) -> Cow<'a, str> {
    listed(path.and_then(|path| item.node().at(path)))
}

fn side<'a, N: Node<'a>>(node: N, side: &str) -> String {
    let text = |name: &str| {
        lookup(node, &format!("{side}.{name}"))
            .and_then(Node::text)
            .unwrap_or_default()
    };
    let name = text("name");
    let host = if name.is_empty() { text("ip") } else { name };
    format!("{}:{}", plain(&host), text("port"))
}

/// Control characters of the traffic must not reach the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The line behind the time.
fn csv(out: &mut Vec<u8>, item: &Item, columns: &Shown) {
    out.push(b',');
    csv_cell(out, item.protocol.abbr);
    for column in [&columns.status, &columns.method, &columns.summary] {
        out.push(b',');
        csv_at(out, item, column.as_ref());
    }
    for endpoint in [&item.src.endpoint, &item.dst.endpoint] {
        out.push(b',');
        append_endpoint(out, endpoint);
    }
    out.push(b',');
    append_number(out, item.elapsed_ms().unsigned_abs());
    out.push(b',');
    item.stream.append_to(out);
    out.push(b',');
    append_number(out, item.index.into());
    out.push(b'\n');
}

fn csv_at(out: &mut Vec<u8>, item: &Item, path: Option<&Path>) {
    let Some(node) = path.and_then(|path| item.node().at(path)) else {
        return;
    };
    if let Some(number) = node.int() {
        if number < 0 {
            out.extend_from_slice(b"'-");
        }
        return append_number(out, number.unsigned_abs());
    }
    match node.text_bytes() {
        Some(text) if text.len() <= MAX_SUMMARY && is_plain_cell(text) => {
            out.extend_from_slice(text);
        }
        _ => csv_cell(out, &listed(Some(node))),
    }
}

/// A spreadsheet takes a cell that begins so for a formula.
const FORMULA: [char; 4] = ['=', '+', '-', '@'];

/// Whether a cell is written as it is.
fn is_plain_cell(text: &[u8]) -> bool {
    let usual = |byte: &u8| matches!(byte, b' '..=b'~') & (*byte != b',') & (*byte != b'"');
    let first = text.first().copied().map(char::from);
    // Without a way out in the middle, many bytes are looked at in one step.
    text.iter().fold(true, |all, byte| all & usual(byte))
        && !first.is_some_and(|first| FORMULA.contains(&first))
}

pub(super) fn csv_cell(out: &mut Vec<u8>, text: &str) {
    if is_plain_cell(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut text = plain(text);
    if text.starts_with(FORMULA) {
        text.insert(0, '\'');
    }
    if text.contains([',', '"']) {
        text = format!("\"{}\"", text.replace('"', "\"\""));
    }
    out.extend_from_slice(text.as_bytes());
}

fn append_endpoint(out: &mut Vec<u8>, endpoint: &Endpoint) {
    let IpAddr::V4(ip) = endpoint.ip else {
        // Writing into memory does not fail.
        return drop(write!(out, "{endpoint}"));
    };
    let mut text = [0; 4 * OCTET];
    let mut used = 0;
    for octet in ip.octets() {
        let (digits, len) = OCTETS[usize::from(octet)];
        if let Some(place) = text.get_mut(used..used + OCTET) {
            place.copy_from_slice(&digits);
        }
        used += len;
    }
    out.extend_from_slice(text.get(..used - 1).unwrap_or_default());
    out.push(b':');
    append_number(out, endpoint.port.into());
}

/// Bytes of an octet's text with a dot at most.
const OCTET: usize = 4;

/// Each octet with a dot behind it, and the bytes of both.
static OCTETS: [([u8; OCTET], usize); 256] = {
    let mut texts = [([b'.'; OCTET], 0); 256];
    let mut octet = 0;
    while octet < texts.len() {
        let (text, len) = &mut texts[octet];
        let mut place = 100;
        while place > 0 {
            if octet >= place || place == 1 {
                text[*len] = b'0' + (octet / place % 10) as u8;
                *len += 1;
            }
            place /= 10;
        }
        *len += 1;
        octet += 1;
    }
    texts
};

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str) -> String {
        let mut out = Vec::new();
        csv_cell(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_cannot_become_formulas_or_break_the_line() {
        assert_eq!(cell("=cmd()"), "'=cmd()");
        assert_eq!(cell("a,b\"c\n"), "\"a,b\"\"c\u{fffd}\"");
        assert_eq!(cell("\u{85}é"), "\u{fffd}é");
        assert_eq!(cell("/a?b=c"), "/a?b=c");
    }

    #[test]
    fn endpoints_are_written_as_the_formatter_does() {
        let octets =
            (0..=255_u8).map(|octet| format!("{octet}.0.9.{octet}:{}", u16::from(octet) * 257));
        let others = ["10.0.0.1:80", "[fe80::1]:443", "[::ffff:10.0.0.1]:0"];
        for text in others.map(str::to_owned).into_iter().chain(octets) {
            let address: std::net::SocketAddr = text.parse().unwrap();
            let endpoint = Endpoint {
                ip: address.ip(),
                port: address.port(),
            };
            let mut out = Vec::new();
            append_endpoint(&mut out, &endpoint);
            assert_eq!(out, endpoint.to_string().into_bytes());
        }
    }
}

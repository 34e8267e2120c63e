//! Items on stdout: as table, JSON lines or CSV.

use std::io::{BufWriter, Stdout, Write};

use super::super::style::Style;
use super::{Format, csv_cell, plain};
use crate::item::json::AsJson;
use crate::item::{Item, Node, lookup, shown};
use crate::server::columns_of;

/// Prints items in one format.
pub struct Output {
    format: Format,
    out: BufWriter<Stdout>,
    style: Style,
    printed: u64,
}

impl Output {
    /// Prints to stdout.
    pub fn new(format: Format) -> Output {
        Output {
            format,
            out: BufWriter::with_capacity(1 << 16, std::io::stdout()),
            style: Style::stdout(),
            printed: 0,
        }
    }

    /// What is printed to, for other lines than items.
    pub fn raw(&mut self) -> &mut BufWriter<Stdout> {
        &mut self.out
    }

    /// Prints an item.
    ///
    /// # Errors
    /// What stdout says.
    pub fn print(&mut self, item: &Item) -> std::io::Result<()> {
        let first = self.printed == 0;
        self.printed += 1;
        match self.format {
            Format::Json => {
                serde_json::to_writer(&mut self.out, &AsJson(item.node()))
                    .map_err(std::io::Error::from)?;
                self.out.write_all(b"\n")
            }
            Format::Csv => {
                if first {
                    writeln!(
                        self.out,
                        "time,protocol,status,method,summary,src,dst,elapsed_ms,stream,index"
                    )?;
                }
                self.csv(item)
            }
            Format::Table => self.table(item),
        }
    }

    fn csv(&mut self, item: &Item) -> std::io::Result<()> {
        let columns = columns_of(item.protocol.abbr);
        let node = item.node();
        let cells = [
            item.start.to_string(),
            item.protocol.abbr.to_owned(),
            shown(node, columns.status).into_owned(),
            shown(node, columns.method).into_owned(),
            shown(node, columns.summary).into_owned(),
            item.src.endpoint.to_string(),
            item.dst.endpoint.to_string(),
            item.elapsed_ms().to_string(),
            item.stream.to_string(),
            item.index.to_string(),
        ];
        let quoted: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
        writeln!(self.out, "{}", quoted.join(","))
    }

    fn table(&mut self, item: &Item) -> std::io::Result<()> {
        let columns = columns_of(item.protocol.abbr);
        let node = item.node();
        let status = shown(node, columns.status);
        let failed = item.error.is_some() || status.starts_with('5') || status.starts_with('4');
        let status = format!("{status:>4}");
        let status = if failed {
            self.style.red(&status)
        } else {
            self.style.green(&status)
        };
        writeln!(
            self.out,
            "{} {:<6} {status} {:<7} {:<48} {} -> {} {}",
            self.style
                .dim(&item.start.utc().format("%Y-%m-%d %H:%M:%S%.3f").to_string()),
            item.protocol.abbr,
            plain(&shown(node, columns.method)),
            plain(&shown(node, columns.summary)),
            side(node, "src"),
            side(node, "dst"),
            self.style.dim(&format!("{}ms", item.elapsed_ms())),
        )
    }
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

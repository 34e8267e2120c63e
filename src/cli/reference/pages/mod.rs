//! The pages of `docs/reference/` about scripting; the test that keeps them fresh is who needs them.

mod item;
mod protocols;
mod scripting;

/// Each page by its name, with its text.
pub(super) fn all() -> [(&'static str, String); 3] {
    [
        ("item.md", item::render()),
        ("protocols.md", protocols::render()),
        ("scripting.md", scripting::render()),
    ]
}

/// First line of each page.
const GENERATED: &str =
    "<!-- Written by the program from its own lists: UPDATE=1 cargo test reference -->\n\n";

/// A row of a table; what would end a cell is escaped.
fn row(cells: &[&str]) -> String {
    let cells: Vec<String> = cells
        .iter()
        .map(|cell| cell.replace('|', "\\|").replace('\n', " "))
        .collect();
    format!("| {} |\n", cells.join(" | "))
}

/// Head of a table.
fn head(cells: &[&str]) -> String {
    format!("{}|{}\n", row(cells), "---|".repeat(cells.len()))
}

/// `text` as code.
fn code(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("`{text}`")
    }
}

//! Macros of the configuration, on their way to the processes that compile queries of scripts.

use crate::kfl::Schema;

/// Names, each with the query that it stands for.
pub type Macros = Vec<(String, String)>;

/// The macros of `schema` that stand for a query.
pub fn macros_of(schema: &Schema) -> Macros {
    let named = schema.queries_by_name();
    named
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect()
}

/// `schema` with these; what is wrong with them was said when the program started.
pub fn with_macros(schema: &Schema, macros: &Macros) -> Schema {
    let texts = macros.iter();
    let texts = texts.map(|(name, text)| (name.as_str(), text.as_str()));
    schema.clone().with_macros(texts).0
}

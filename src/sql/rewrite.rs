//! `kfl('…')` in a statement becomes a column that the scan of `items` fills.
//!
//! In: a parsed statement. Out: the same with a column in the place of each call, and the queries of
//! these columns. Never: a call left over, whose row no function could see.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Select, SelectItem, Statement,
    Value, Visit, VisitMut, Visitor, VisitorMut,
};

/// Queries of one statement; each costs a decision on every row.
const MAX_QUERIES: usize = 64;

/// How the columns begin; no column of a table does.
const MARK: &str = "__kfl_";

/// The name of the column of a query.
pub(super) fn column_of(number: usize) -> String {
    format!("{MARK}{number}")
}

/// The query of a column; `None` when it is another column.
pub(super) fn query_of(column: &str) -> Option<usize> {
    column.strip_prefix(MARK)?.parse().ok()
}

/// Puts columns in the place of calls; answers the texts of the queries by number.
///
/// # Errors
/// One sentence, when a call is not as it should be.
pub(super) fn rewrite(statement: &mut Statement) -> Result<Vec<String>, String> {
    let mut calls = Calls { texts: Vec::new() };
    match VisitMut::visit(statement, &mut calls) {
        ControlFlow::Break(why) => Err(why),
        ControlFlow::Continue(()) => Ok(calls.texts),
    }
}

/// What a message of the engine says, with calls as they were written.
pub(super) fn shown(message: &str, texts: &[String]) -> String {
    let mut shown = message.to_owned();
    // From the last on, since the name of the first begins those behind the tenth.
    for (number, text) in texts.iter().enumerate().rev() {
        shown = shown.replace(&column_of(number), &format!("kfl('{text}')"));
    }
    shown
}

struct Calls {
    texts: Vec<String>,
}

impl Calls {
    fn number(&mut self, text: String) -> Result<usize, String> {
        if let Some(known) = self.texts.iter().position(|known| *known == text) {
            return Ok(known);
        }
        if self.texts.len() >= MAX_QUERIES {
            return Err(format!(
                "a statement has at most {MAX_QUERIES} queries in kfl()"
            ));
        }
        self.texts.push(text);
        Ok(self.texts.len() - 1)
    }
}

impl VisitorMut for Calls {
    type Break = String;

    /// What is selected keeps the name that its text gives it.
    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<String> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && has_call(expr)
            {
                *item = SelectItem::ExprWithAlias {
                    alias: Ident::with_quote('"', expr.to_string()),
                    expr: expr.clone(),
                };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        let call = match call_of(expr) {
            Ok(Some(call)) => call,
            Ok(None) => return ControlFlow::Continue(()),
            Err(why) => return ControlFlow::Break(why),
        };
        let number = match self.number(call.text) {
            Ok(number) => number,
            Err(why) => return ControlFlow::Break(why),
        };
        let column = Ident::with_quote('"', column_of(number));
        *expr = match call.table {
            None => Expr::Identifier(column),
            Some(table) => Expr::CompoundIdentifier(vec![table, column]),
        };
        ControlFlow::Continue(())
    }
}

struct Call {
    /// The table that it is about, where the call names one.
    table: Option<Ident>,
    text: String,
}

fn call_of(expr: &Expr) -> Result<Option<Call>, String> {
    let Expr::Function(function) = expr else {
        return Ok(None);
    };
    if !function.name.to_string().eq_ignore_ascii_case("kfl") {
        return Ok(None);
    }
    let wrong = || {
        "kfl() takes a query in quotes, as kfl('http and response.status == 500'), or the name of a table and a query"
            .to_owned()
    };
    let FunctionArguments::List(list) = &function.args else {
        return Err(wrong());
    };
    let exprs = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    let exprs: Option<Vec<&Expr>> = exprs.collect();
    let (table, text) = match exprs.as_deref() {
        Some([text]) => (None, *text),
        Some([Expr::Identifier(table), text]) => (Some(table.clone()), *text),
        _ => return Err(wrong()),
    };
    let Expr::Value(value) = text else {
        return Err(wrong());
    };
    match &value.value {
        Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::UnicodeStringLiteral(text) => Ok(Some(Call {
            table,
            text: text.clone(),
        })),
        Value::DollarQuotedString(text) => Ok(Some(Call {
            table,
            text: text.value.clone(),
        })),
        _ => Err(wrong()),
    }
}

fn has_call(expr: &Expr) -> bool {
    struct Has;
    impl Visitor for Has {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match call_of(expr) {
                Ok(None) => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        }
    }
    Visit::visit(expr, &mut Has).is_break()
}

//! Identifiers in the headers of a request, which have columns of their own.
//!
//! In: the headers of a request; tests of a header. Out: the ids, and the column that tells of a
//! header. Never: a guess; what is not of the form that its header has is no id.

use super::column::{Content, place};
use crate::item::Node;

/// Headers with the id of a request; the first of them that is there counts.
pub(super) const REQUEST: &[&str] = &[X_REQUEST_ID, "x-correlation-id", "request-id"];
const X_REQUEST_ID: &str = "x-request-id";

/// Header of W3C Trace Context: version, trace, span and flags.
pub(super) const TRACEPARENT: &str = "traceparent";

/// Headers of B3.
pub(super) const B3_TRACE: &str = "x-b3-traceid";
pub(super) const B3_SPAN: &str = "x-b3-spanid";

/// Bytes of the id of a request; a UUID and what is put in front of it stay below.
const MAX_REQUEST_ID: usize = 128;

/// What the headers of one request tell.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// The second field of `traceparent` (W3C Trace Context section 3.2), or `x-b3-traceid`, in lower
    /// case.
    pub(super) trace: Option<String>,
    /// The third field, or `x-b3-spanid`.
    pub(super) span: Option<String>,
    /// The fourth field.
    pub(super) flags: Option<String>,
    /// The first of [`REQUEST`].
    pub(super) request: Option<String>,
    /// Columns whose filter does not tell of all such headers of this request.
    pub(super) unsure: Vec<&'static str>,
}

impl Ids {
    /// The ids of an item.
    pub(super) fn of<'a, N: Node<'a>>(root: N) -> Ids {
        let headers = root.member("request").and_then(|r| r.member("headers"));
        let Some(headers) = headers else {
            return Ids::default();
        };
        let text = |name: &str| headers.member_ignoring_case(name).and_then(Node::text);
        let hex = |id: &str, lengths: &[usize]| {
            lengths.contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let parent = text(TRACEPARENT);
        let mut fields = parent.as_deref().unwrap_or_default().split('-').skip(1);
        let mut field = |lengths: &[usize]| {
            let found = fields.next().filter(|id| hex(id, lengths));
            found.map(str::to_owned)
        };
        let (trace, span, flags) = match &parent {
            Some(_) => (field(&[16, 32]), field(&[16]), field(&[2])),
            None => {
                let of = |name: &str, lengths: &[usize]| {
                    let found = text(name).filter(|id| hex(id, lengths));
                    found.map(|id| id.into_owned())
                };
                (of(B3_TRACE, &[16, 32]), of(B3_SPAN, &[16]), None)
            }
        };
        let request = REQUEST.iter().find_map(|name| text(name));
        let own = text(X_REQUEST_ID);
        let mut ids = Ids {
            trace: trace.map(|id| id.to_ascii_lowercase()),
            span,
            flags,
            request: request
                .filter(|id| (1..=MAX_REQUEST_ID).contains(&id.len()))
                .map(|id| id.into_owned()),
            unsure: Vec::new(),
        };
        for (name, column, holds) in [
            (TRACEPARENT, "trace_id", ids.trace.is_some()),
            (
                X_REQUEST_ID,
                "request_id",
                own.is_some() && own.as_deref() == ids.request.as_deref(),
            ),
        ] {
            let entries = (0..headers.len()).filter_map(|index| headers.entry(index));
            let count = entries
                .filter(|(key, _)| key.eq_ignore_ascii_case(name))
                .count();
            if count > 1 || (count == 1 && !holds) {
                ids.unsure.push(column);
            }
        }
        ids
    }
}

/// The header of a request that a path names.
fn header(path: &str) -> Option<&str> {
    path.strip_prefix("request.headers.")
}

/// The trace in a `traceparent`, in lower case.
fn trace_in(parent: &str) -> Option<String> {
    let trace = parent.split('-').nth(1)?;
    let fits = matches!(trace.len(), 16 | 32) && trace.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then(|| trace.to_ascii_lowercase())
}

/// The column that holds a text wherever the header at `path` is equal to `value`, and that text;
/// `None` when no column can say so.
pub(super) fn sure(path: &str, value: &str) -> Option<(usize, String)> {
    let name = header(path)?;
    if name.eq_ignore_ascii_case(TRACEPARENT) {
        return Some((place(Content::Trace), trace_in(value)?));
    }
    let is_first = name.eq_ignore_ascii_case(X_REQUEST_ID);
    (is_first && value.len() <= MAX_REQUEST_ID)
        .then(|| (place(Content::RequestId), value.to_owned()))
}

/// Whether the value of the header at `path` may stand in a column instead of the JSON.
pub(super) fn may_be_folded(path: &str) -> bool {
    let names = [TRACEPARENT, B3_TRACE, B3_SPAN];
    let mut names = names.iter().chain(REQUEST);
    header(path).is_some_and(|name| names.any(|known| name.eq_ignore_ascii_case(known)))
}

/// The column that holds this text wherever the header at `path` is equal to `value` and is not in
/// the JSON; `None` when no column can say so.
pub(super) fn instead(path: &str, value: &str) -> Option<(usize, String)> {
    let name = header(path)?;
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    if is(TRACEPARENT) {
        return Some((place(Content::Trace), trace_in(value)?));
    }
    let from = match () {
        () if is(B3_TRACE) => Content::Trace,
        () if is(B3_SPAN) => Content::Span,
        () if REQUEST.iter().any(|known| is(known)) => Content::RequestId,
        () => return None,
    };
    Some((place(from), value.to_owned()))
}

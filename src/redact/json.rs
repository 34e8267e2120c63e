//! Members of JSON documents, found where they stand.
//!
//! In: bytes and paths. Out: the places of the values that a path names. Never: a value copied, a
//! document changed in its length, recursion beyond [`MAX_DEPTH`]. Standard: RFC 8259; paths are a
//! part of RFC 9535.

use std::ops::Range;

use super::MASK;

/// Containers within containers that are followed; what lies deeper cannot be decoded.
const MAX_DEPTH: usize = 128;

/// Steps of one path.
const MAX_STEPS: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A member, in any case.
    Member(String),
    Index(usize),
    /// Every member or element.
    Any,
    /// Any depth, also none.
    Deep,
}

/// Where values stand in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

impl Path {
    /// Reads `$.a.b`, `$..a`, `$.a[0]`, `$.a[*]`, `$['a']`, or a bare name, which is one at any depth.
    pub(super) fn parse(text: &str) -> Result<Path, &'static str> {
        let mut steps = Vec::new();
        let mut rest = match text.strip_prefix('$') {
            Some(rest) => rest,
            None => {
                steps.push(Step::Deep);
                text
            }
        };
        let mut first = !text.starts_with('$');
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("..") {
                if steps.last() != Some(&Step::Deep) {
                    steps.push(Step::Deep);
                }
                rest = after;
            } else if let Some(after) = rest.strip_prefix('.') {
                rest = after;
            } else if !first && !rest.starts_with('[') {
                return Err("a name stands behind . or in brackets");
            }
            first = false;
            if let Some(inner) = rest.strip_prefix('[') {
                let (inside, after) = inner.split_once(']').ok_or("a bracket is open")?;
                rest = after;
                let quoted = ['\'', '"'].iter().find_map(|quote| {
                    inside
                        .strip_prefix(*quote)
                        .and_then(|name| name.strip_suffix(*quote))
                });
                steps.push(match (quoted, inside) {
                    (Some(name), _) => Step::Member(name.to_owned()),
                    (None, "*") => Step::Any,
                    (None, index) => {
                        Step::Index(index.trim().parse().map_err(|_| "an index is a number")?)
                    }
                });
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                rest = after;
                steps.push(match name {
                    "" => return Err("a name is missing"),
                    "*" => Step::Any,
                    name => Step::Member(name.to_owned()),
                });
            }
            if steps.len() > MAX_STEPS {
                return Err("it has too many steps");
            }
        }
        match steps.last() {
            None | Some(Step::Deep) => Err("it names nothing"),
            Some(_) => Ok(Path(steps)),
        }
    }
}

/// A place along a path: its number, and how many steps are behind.
type At = (usize, usize);

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    paths: &'a [Path],
    found: Vec<Range<usize>>,
}

/// The values that `paths` name in `text`: one document, or several behind each other as in NDJSON;
/// `None` when it is not JSON to its end.
pub(super) fn spans(text: &[u8], paths: &[Path]) -> Option<Vec<Range<usize>>> {
    let mut scan = Scan {
        text,
        at: 0,
        paths,
        found: Vec::new(),
    };
    let start: Vec<At> = (0..paths.len()).map(|path| (path, 0)).collect();
    scan.blank();
    if scan.at == text.len() {
        return Some(Vec::new());
    }
    while scan.at < text.len() {
        scan.value(&start, 0)?;
        scan.blank();
    }
    Some(scan.found)
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn value(&mut self, active: &[At], depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        let begin = self.at;
        let named = active.iter().any(|(path, step)| {
            self.paths
                .get(*path)
                .is_some_and(|path| *step == path.0.len())
        });
        match self.peek()? {
            b'{' => self.object(active, depth)?,
            b'[' => self.array(active, depth)?,
            b'"' => {
                self.string()?;
            }
            b'-' | b'0'..=b'9' => {
                self.run(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
            }
            b't' | b'f' | b'n' => {
                let word = [&b"true"[..], b"false", b"null"].into_iter().find(|word| {
                    self.text
                        .get(self.at..)
                        .is_some_and(|rest| rest.starts_with(word))
                })?;
                self.at += word.len();
            }
            _ => return None,
        }
        if named {
            // What lies inside goes with it.
            self.found.retain(|span| span.start < begin);
            self.found.push(begin..self.at);
        }
        Some(())
    }

    fn run(&mut self, belongs: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&belongs) {
            self.at += 1;
        }
    }

    /// Passes over a string; answers where its inside lies.
    fn string(&mut self) -> Option<Range<usize>> {
        self.eat(b'"')?;
        let begin = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        let inside = begin..self.at;
        self.at += 1;
        Some(inside)
    }

    fn object(&mut self, active: &[At], depth: usize) -> Option<()> {
        self.eat(b'{')?;
        self.blank();
        if self.eat(b'}').is_some() {
            return Some(());
        }
        loop {
            self.blank();
            let name = self.string()?;
            let name = plain(self.text.get(name)?);
            self.blank();
            self.eat(b':')?;
            self.blank();
            let below = self.below(active, |step| match step {
                Step::Member(member) => member.eq_ignore_ascii_case(&name),
                Step::Any => true,
                _ => false,
            });
            self.value(&below, depth + 1)?;
            self.blank();
            if self.eat(b',').is_none() {
                return self.eat(b'}');
            }
        }
    }

    fn array(&mut self, active: &[At], depth: usize) -> Option<()> {
        self.eat(b'[')?;
        self.blank();
        if self.eat(b']').is_some() {
            return Some(());
        }
        for index in 0.. {
            self.blank();
            let below = self.below(active, |step| match step {
                Step::Index(wanted) => *wanted == index,
                Step::Any => true,
                _ => false,
            });
            self.value(&below, depth + 1)?;
            self.blank();
            if self.eat(b',').is_none() {
                return self.eat(b']');
            }
        }
        None
    }

    /// The places behind one step more.
    fn below(&self, active: &[At], takes: impl Fn(&Step) -> bool) -> Vec<At> {
        let mut below = Vec::new();
        for (path, step) in active {
            let steps = self.paths.get(*path).map_or(&[][..], |path| &path.0);
            match steps.get(*step) {
                Some(Step::Deep) => {
                    below.push((*path, *step));
                    if steps.get(*step + 1).is_some_and(&takes) {
                        below.push((*path, *step + 2));
                    }
                }
                Some(other) if takes(other) => below.push((*path, *step + 1)),
                _ => {}
            }
        }
        below
    }
}

/// A member's name without escapes.
fn plain(name: &[u8]) -> String {
    let quoted = [b"\"", name, b"\""].concat();
    serde_json::from_slice(&quoted).unwrap_or_else(|_| String::from_utf8_lossy(name).into_owned())
}

/// Overwrites a value with one of the same length and, where it can be, the same type.
pub(super) fn overwrite(value: &mut [u8]) {
    match (value.first().copied(), value.len()) {
        (_, 0) => {}
        (Some(b'-' | b'0'..=b'9'), _) => {
            value.fill(b'0');
            if let [first, _, ..] = value {
                *first = b'1';
            }
        }
        (Some(b't' | b'n'), _) => value.copy_from_slice(b"null"),
        (Some(b'f'), _) => value.copy_from_slice(b"null "),
        (_, 1) => value.fill(b'0'),
        (_, count) => {
            value.fill(MASK);
            for end in [0, count - 1] {
                if let Some(byte) = value.get_mut(end) {
                    *byte = b'"';
                }
            }
        }
    }
}

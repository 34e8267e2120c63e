//! What a query says of the rows of a block, decided once for all rows that it cannot tell apart.
//!
//! In: the paths that the query reads, the columns that hold them. Out: its verdict by row. Never: a
//! verdict of a row with other values: rows are compared, not only their hashes.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _};

use ahash::RandomState;

use crate::index::{Block, moments};

/// Members of an item that follow from columns of its row and its origin alone, times apart.
const PLAIN: [&str; 14] = [
    "request",
    "response",
    "data",
    "src",
    "dst",
    "protocol",
    "tls",
    "error",
    "requestSize",
    "responseSize",
    "size",
    "namespace",
    "outgoing",
    "worker",
];

/// Rows after which it is clear whether rows repeat each other.
const TRIAL: u32 = 2048;

/// Verdicts on rows of one block.
pub(super) struct Verdicts<'b> {
    block: &'b Block,
    /// Columns that the query reads, without those that tell moments.
    columns: Vec<usize>,
    by_time: bool,
    by_elapsed: bool,
    /// Whether rows are worth remembering.
    remembers: bool,
    asked: u32,
    repeated: u32,
    hasher: RandomState,
    known: HashMap<u64, (usize, usize, bool), RandomState>,
}

impl<'b> Verdicts<'b> {
    /// Of a query that reads `paths`, which the columns `wanted` hold.
    pub(super) fn new(block: &'b Block, paths: &[String], wanted: &[usize]) -> Verdicts<'b> {
        let moments = moments();
        let root = |path: &String| path.split(['.', '[']).next().unwrap_or_default().to_owned();
        let roots: Vec<String> = paths.iter().map(root).collect();
        let reads = |name: &str| roots.iter().any(|root| root == name);
        let remembers = roots.iter().all(|root| {
            PLAIN.contains(&root.as_str()) || root == "timestamp" || root == "elapsedTime"
        });
        Verdicts {
            columns: wanted
                .iter()
                .copied()
                .filter(|column| !moments.contains(column))
                .collect(),
            by_time: reads("timestamp"),
            by_elapsed: reads("elapsedTime"),
            remembers,
            asked: 0,
            repeated: 0,
            hasher: RandomState::new(),
            known: HashMap::default(),
            block,
        }
    }

    /// The verdict on a row whose origin is told apart by `origin`; `decide` gives it for a row that
    /// is like none before.
    pub(super) fn of(&mut self, row: usize, origin: usize, decide: impl FnOnce() -> bool) -> bool {
        if !self.remembers {
            return decide();
        }
        let mut hasher = self.hasher.build_hasher();
        self.block.hash_row(row, &self.columns, &mut hasher);
        hasher.write_usize(origin);
        hasher.write_i64(self.millis(row));
        hasher.write_i64(self.elapsed(row));
        let hash = hasher.finish();
        self.asked += 1;
        if let Some((like, its_origin, verdict)) = self.known.get(&hash)
            && *its_origin == origin
            && self.is_alike(*like, row)
        {
            self.repeated += 1;
            return *verdict;
        }
        let verdict = decide();
        self.known.insert(hash, (row, origin, verdict));
        if self.asked == TRIAL && self.repeated < TRIAL / 8 {
            self.remembers = false;
            self.known = HashMap::default();
        }
        verdict
    }

    /// Milliseconds of a row's request, as queries read them; the same for all when it reads none.
    fn millis(&self, row: usize) -> i64 {
        match self.by_time {
            true => self.block.start(row).div_euclid(1_000_000),
            false => 0,
        }
    }

    fn elapsed(&self, row: usize) -> i64 {
        match self.by_elapsed {
            true => self.block.elapsed_micros(row),
            false => 0,
        }
    }

    fn is_alike(&self, a: usize, b: usize) -> bool {
        self.millis(a) == self.millis(b)
            && self.elapsed(a) == self.elapsed(b)
            && self.block.is_same(a, b, &self.columns)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::index::{Place, Reader, Writer};
    use crate::item::{Item, Origin, sample};
    use crate::kfl::{self, Dialect, Schema, Verdict};
    use crate::time::Timestamp;

    /// Items that repeat each other but for their times.
    fn items() -> Vec<Item> {
        let varied = |index: u32| {
            let mut item = sample::http();
            item.index = index;
            item.start =
                Timestamp::from_nanos(1_700_000_000_000_000_000 + i64::from(index) * 250_017);
            item.elapsed_nanos = u64::from(index % 7) * 1_300_000;
            item.src.endpoint.port = 40_000 + u16::try_from(index % 5).unwrap();
            item.src.name = Arc::from(format!("web-{}", index % 3));
            item
        };
        (0..400).map(varied).collect()
    }

    #[test]
    fn what_is_remembered_is_what_would_be_decided() {
        let items = items();
        let mut writer = Writer::new(Vec::new(), "errors").unwrap();
        for item in &items {
            let place = Place {
                stream: item.stream,
                packet: Some(1),
                frames: None,
            };
            writer.push(item, &place).unwrap();
        }
        let bytes: Bytes = writer.finish().unwrap().1.into();
        let reader = Reader::open(Arc::new(bytes)).unwrap();
        let kinds = [items[0].protocol];
        let origin = Arc::new(Origin::default());
        let schema = Schema::empty();
        let now = Timestamp::from_nanos(1_700_000_000_050_000_000);
        for text in [
            "http",
            "src.port == \"40003\" and src.name == \"web-1\"",
            "response.status == 500",
            "request.headers[\"Host\"] == \"nowhere\"",
            "elapsedTime > 3000",
            "timestamp < now() and elapsedTime == 0",
            "http && elapsed_time == 1300",
            "index == 17",
            "startTime == \"x\" or index < 3",
            "http && src.name == \"web-2\"",
            "request.path == \"/orders\"",
            "request.url == \"/orders?dry=1\"",
            "request.pathSegments[0] == \"orders\"",
            "request.headers[\"host\"] == r\"sho.*\"",
            "response.statusText == \"nothing like it\"",
            "elapsedTime >= 2600 and elapsedTime < 5000",
            "!(src.name == \"web-1\")",
            "outgoing == true",
            "request.postData.mimeType == \"application/json\"",
            "request.path == r\"ord.*s\"",
            "request.path.contains(\"rde\")",
            "request.headers[\"Host\"].endsWith(\"op\")",
            "request.headers[\"host\"] == r\"h?nowhere\"",
            "request.headers[\"host\"] == r\"[m-p][^a-z]\"",
            "request.url == r\"[k-m]+\"",
            "response.statusText == r\"(x|y|z)\"",
            "path.contains(\"rd\") && src.name == \"web-1\"",
        ] {
            let dialect = match text.contains("&&") {
                true => Dialect::V2,
                false => Dialect::V1,
            };
            let query = kfl::compile_as(text, dialect, &schema).unwrap();
            let paths: Vec<String> = query.paths().into_iter().collect();
            let wanted = reader.columns(paths.iter().map(String::as_str));
            let whole = reader.read(0, &wanted).unwrap();
            let lean = reader.read(0, &wanted).unwrap();
            let lean = lean.only(paths.iter().map(String::as_str));
            let decide_by = |block: &Block, row| {
                let item = block.item(row, &kinds, &origin).unwrap();
                query.matches(item.node(), now) == Verdict::Match
            };
            let block = &lean;
            let decide = |row| decide_by(block, row);
            let sieve = reader.sieve(query.column_condition(now).as_ref());
            let passed = sieve.rows(block);
            let mut verdicts = Verdicts::new(block, &paths, &wanted);
            let mut decided = 0;
            for row in 0..block.len() {
                let mut of = || {
                    verdicts.of(row, 0, || {
                        decided += 1;
                        decide(row)
                    })
                };
                let remembered = passed.contains(&row) && of();
                assert_eq!(remembered, decide_by(&whole, row), "{text}: row {row}");
            }
            let is_plain = !text.contains("index") && !text.contains("timestamp");
            assert!(!is_plain || decided < 50, "{text}: {decided}");
        }
    }
}

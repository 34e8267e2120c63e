//! What reaches whoever asks for items: the one place that decides it.
//!
//! In: an item, the query of whoever asks, behind the filter that the operator imposes
//! (`tap.globalFilter`), and the scripts that have a say (`onItemQueried`). Out: the item as it is,
//! an altered copy, or nothing. Never: an item that a redaction or a script was to alter and that
//! leaves as it was; the same work for each item where it can be done once for the query.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};

use crate::item::Node;
use crate::item::flat::{self, Flat};
use crate::item::json::{AsJson, JsonNode};
use crate::kfl::{self, Query, Schema, Verdict};
use crate::script::supervisor::{Scripts, Unanswered};
use crate::time::Timestamp;

/// Time for which one delivery waits for scripts that do not answer; then it asks no more.
const PATIENCE: Duration = Duration::from_secs(2);

/// What tells where an item belongs; a script's object that leaves one out keeps that of the item.
const PLACE: [&str; 8] = [
    "id",
    "worker",
    "node",
    "stream",
    "index",
    "protocol",
    "timestamp",
    "startTime",
];

/// What is shown instead of an item about which a script did not answer.
pub const WITHHELD: &str =
    "a script has not answered in time, so this item is not shown; see the console";

/// Why packets stay where they are while a filter of the operator redacts.
pub const NO_PACKETS: &str = "tap.globalFilter redacts items, and packets hold what it hides; nobody gets them while it is in force";

/// Why a capture of everything stays where it is while a filter of the operator is in force.
pub const NOT_ALL_PACKETS: &str = "tap.globalFilter hides items, and a raw capture holds all of them; nobody gets one while it is in force";

/// Why packets are refused to a query of one's own that redacts.
pub const NO_PACKETS_OF_QUERY: &str =
    "packets cannot be redacted by a query; leave redact() out of it";

/// What an operator imposes on everything that is delivered: the filter `tap.globalFilter`.
#[derive(Debug, Default, Clone)]
pub struct Imposed(Option<Query>);

impl Imposed {
    /// Reads the filter; an empty one imposes nothing.
    ///
    /// # Errors
    /// When it is no query.
    pub fn read(text: &str, schema: &Schema) -> Result<Imposed, kfl::Error> {
        let query = kfl::compile(text, schema)?;
        Ok(Imposed(Some(query).filter(|query| !query.is_empty())))
    }

    /// A query behind the filter.
    pub fn before(&self, query: Query) -> Query {
        match &self.0 {
            None => query,
            Some(imposed) => query.behind(imposed),
        }
    }

    /// Compiles a query and puts it behind the filter.
    ///
    /// # Errors
    /// When it is no query.
    pub fn compile(&self, text: &str, schema: &Schema) -> Result<Query, kfl::Error> {
        kfl::compile(text, schema).map(|query| self.before(query))
    }

    /// The filter; `None` where nothing is imposed.
    pub fn query(&self) -> Option<&Query> {
        self.0.as_ref()
    }

    /// Whether packets of a stream may leave, whose items the filter lets through.
    ///
    /// # Errors
    /// [`NO_PACKETS`].
    pub fn lets_packets(&self) -> Result<(), String> {
        match &self.0 {
            Some(query) if query.redacts() => Err(NO_PACKETS.to_owned()),
            _ => Ok(()),
        }
    }

    /// Whether packets may leave that nobody has looked into.
    ///
    /// # Errors
    /// [`NOT_ALL_PACKETS`].
    pub fn lets_all_packets(&self) -> Result<(), String> {
        match &self.0 {
            Some(_) => Err(NOT_ALL_PACKETS.to_owned()),
            None => Ok(()),
        }
    }
}

/// Who has a say about each item before it is delivered.
pub trait Asks: Send + Sync {
    /// Whether anybody has, now.
    fn wants(&self) -> bool;

    /// What takes the place of the item in `record` (see [`flat`]) for whoever asked with `query`;
    /// `None` when it stays.
    ///
    /// # Errors
    /// When somebody has not answered in time.
    fn ask(&self, record: &[u8], query: &str) -> Result<Option<Json>, Unanswered>;
}

impl Asks for Scripts {
    fn wants(&self) -> bool {
        self.wants_queried()
    }

    fn ask(&self, record: &[u8], query: &str) -> Result<Option<Json>, Unanswered> {
        self.ask_each_queried(record, query)
    }
}

/// What is delivered of an item.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivered {
    /// The item as it is.
    Whole,
    /// This instead.
    Altered(Json),
    /// Nothing: it is not wanted.
    Nothing,
    /// Nothing: whether it is wanted was not found out in the bound of steps.
    Undecided,
}

/// One query on its way to one receiver; made once for an answer, or for a batch of a stream.
pub struct Delivery<'d> {
    query: Query,
    now: Timestamp,
    redacts: bool,
    asks: Option<&'d dyn Asks>,
    /// Nanoseconds that scripts may still leave it without an answer.
    patience: AtomicU64,
}

impl<'d> Delivery<'d> {
    /// Of a query that was asked at `now`, behind what is imposed; `asks` is who has a say.
    pub fn new(query: Query, now: Timestamp, asks: Option<&'d dyn Asks>) -> Delivery<'d> {
        Delivery {
            redacts: query.redacts(),
            query,
            now,
            asks: asks.filter(|asks| asks.wants()),
            patience: AtomicU64::new(nanos(PATIENCE)),
        }
    }

    /// The query.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// When it was asked.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether what matches is delivered as it is, so that nothing need be done for each item.
    pub fn is_plain(&self) -> bool {
        !self.redacts && self.asks.is_none()
    }

    /// Whether somebody has a say, who takes a while to be asked.
    pub fn is_asked(&self) -> bool {
        self.asks.is_some()
    }

    /// What is delivered of an item; `record` makes its record, for scripts.
    pub fn of<'a, N: Node<'a>>(&self, item: N, record: impl FnOnce() -> Vec<u8>) -> Delivered {
        match self.counted(item) {
            Delivered::Whole => self.asked(item, None, record),
            Delivered::Altered(copy) => self.asked(item, Some(copy), record),
            nothing => nothing,
        }
    }

    /// The same of an item that is known to match.
    pub fn of_match<'a, N: Node<'a>>(
        &self,
        item: N,
        record: impl FnOnce() -> Vec<u8>,
    ) -> Delivered {
        match self.redacts {
            true => self.of(item, record),
            false => self.asked(item, None, record),
        }
    }

    /// What counts and sums see of an item: redacted, and no script is asked.
    pub fn counted<'a, N: Node<'a>>(&self, item: N) -> Delivered {
        let (verdict, copy) = match self.redacts {
            true => self.query.view(item, self.now),
            false => (self.query.matches(item, self.now), None),
        };
        match verdict {
            Verdict::Match => copy.map_or(Delivered::Whole, Delivered::Altered),
            Verdict::NoMatch => Delivered::Nothing,
            Verdict::Undecided => Delivered::Undecided,
        }
    }

    /// The same of an item that is known to match.
    pub fn counted_match<'a, N: Node<'a>>(&self, item: N) -> Delivered {
        match self.redacts {
            true => self.counted(item),
            false => Delivered::Whole,
        }
    }

    fn asked<'a, N: Node<'a>>(
        &self,
        item: N,
        copy: Option<Json>,
        record: impl FnOnce() -> Vec<u8>,
    ) -> Delivered {
        let as_is = |copy: Option<Json>| copy.map_or(Delivered::Whole, Delivered::Altered);
        let Some(asks) = self.asks else {
            return as_is(copy);
        };
        let record = match &copy {
            None => record(),
            Some(copy) => {
                let number = Flat::new(&record()).map_or(0, Flat::number);
                let mut altered = Vec::new();
                flat::encode_altered(number, item, JsonNode(copy), &mut altered);
                altered
            }
        };
        match self.ask(asks, &record) {
            Ok(None) => as_is(copy),
            Ok(Some(answer)) => Delivered::Altered(match &copy {
                None => placed(answer, item),
                Some(copy) => placed(answer, JsonNode(copy)),
            }),
            Err(Unanswered) => Delivered::Altered(match &copy {
                None => withheld(item),
                Some(copy) => withheld(JsonNode(copy)),
            }),
        }
    }

    fn ask(&self, asks: &dyn Asks, record: &[u8]) -> Result<Option<Json>, Unanswered> {
        let left = self.patience.load(Ordering::Relaxed);
        if left == 0 {
            return Err(Unanswered);
        }
        let began = Instant::now();
        let answer = asks.ask(record, self.query.text());
        if answer.is_err() {
            let left = left.saturating_sub(nanos(began.elapsed()).max(1));
            self.patience.store(left, Ordering::Relaxed);
        }
        answer
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A script's object, with what tells where the item belongs.
fn placed<'a, N: Node<'a>>(mut answer: Json, item: N) -> Json {
    if let Some(members) = answer.as_object_mut() {
        for (name, value) in place_of(item) {
            members.entry(name).or_insert(value);
        }
    }
    answer
}

/// What is shown instead of an item about which a script has not answered: where it belongs, and why.
pub fn withheld<'a, N: Node<'a>>(item: N) -> Json {
    let mut members: Map<String, Json> = place_of(item).collect();
    members.insert("error".into(), json!({"type": "script", "msg": WITHHELD}));
    Json::Object(members)
}

fn place_of<'a, N: Node<'a>>(item: N) -> impl Iterator<Item = (String, Json)> {
    PLACE.into_iter().filter_map(move |name| {
        let value = serde_json::to_value(AsJson(item.member(name)?)).ok()?;
        Some((name.to_owned(), value))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::item::{lookup, sample};

    /// Answers as told, and notes what it was asked about.
    struct Script {
        answer: Result<Option<Json>, Unanswered>,
        slow: bool,
        asked: Mutex<Vec<(String, String)>>,
    }

    impl Script {
        fn new(answer: Result<Option<Json>, Unanswered>) -> Script {
            Script {
                answer,
                slow: false,
                asked: Mutex::default(),
            }
        }
    }

    impl Asks for Script {
        fn wants(&self) -> bool {
            true
        }

        fn ask(&self, record: &[u8], query: &str) -> Result<Option<Json>, Unanswered> {
            let host = flat::Flat::new(record)
                .and_then(|item| lookup(item, "request.headers.Host"))
                .and_then(Node::text)
                .unwrap_or_default()
                .into_owned();
            self.asked.lock().unwrap().push((host, query.to_owned()));
            if self.slow {
                std::thread::sleep(Duration::from_millis(700));
            }
            self.answer.clone()
        }
    }

    fn deliver(imposed: &str, asked: &str, asks: Option<&dyn Asks>) -> Delivered {
        let schema = Schema::new(crate::item::ENVELOPE, []);
        let imposed = Imposed::read(imposed, &schema).unwrap();
        let query = imposed.compile(asked, &schema).unwrap();
        let item = sample::http();
        let record = || {
            let mut record = Vec::new();
            flat::encode(&item, &mut record);
            record
        };
        Delivery::new(query, Timestamp::default(), asks).of(item.node(), record)
    }

    const HIDE: &str = r#"http and redact("request.headers.Host")"#;

    #[test]
    fn what_is_imposed_comes_before_the_query_and_both_before_scripts() {
        let host = |delivered: &Delivered| match delivered {
            Delivered::Altered(copy) => copy["request"]["headers"]["Host"].clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(deliver("", "http", None), Delivered::Whole);
        assert_eq!(deliver("dns", "http", None), Delivered::Nothing);
        assert_eq!(deliver("http", "dns", None), Delivered::Nothing);
        assert_eq!(host(&deliver(HIDE, "http", None)), "[REDACTED]");
        // Nobody asks their way through it.
        let guess = r#"request.headers.Host != "[REDACTED]""#;
        assert_eq!(deliver(HIDE, guess, None), Delivered::Nothing);

        let quiet = Script::new(Ok(None));
        assert_eq!(host(&deliver(HIDE, "http", Some(&quiet))), "[REDACTED]");
        let asked = quiet.asked.lock().unwrap().clone();
        assert_eq!(asked, [("[REDACTED]".to_owned(), "http".to_owned())]);
        assert_eq!(deliver("", "http", Some(&quiet)), Delivered::Whole);
        // About what is not delivered nobody is asked.
        assert_eq!(deliver("", "dns", Some(&quiet)), Delivered::Nothing);
        assert_eq!(quiet.asked.lock().unwrap().len(), 2);
    }

    #[test]
    fn the_object_of_a_script_takes_the_place_of_the_item_and_stays_in_its_place() {
        let script = Script::new(Ok(Some(json!({"note": 1, "index": 99}))));
        let Delivered::Altered(seen) = deliver("", "", Some(&script)) else {
            panic!("it was not altered");
        };
        let item = serde_json::to_value(AsJson(sample::http().node())).unwrap();
        assert_eq!((&seen["note"], &seen["index"]), (&json!(1), &json!(99)));
        assert_eq!(seen["request"], Json::Null);
        for name in ["id", "stream", "protocol", "timestamp"] {
            assert!(!seen[name].is_null(), "{name}");
            assert_eq!(seen[name], item[name], "{name}");
        }
    }

    #[test]
    fn an_item_about_which_nobody_answers_is_withheld_and_holds_nothing_up() {
        let script = Script {
            slow: true,
            ..Script::new(Err(Unanswered))
        };
        let item = sample::http();
        let query = kfl::compile("", &Schema::empty()).unwrap();
        let delivery = Delivery::new(query, Timestamp::default(), Some(&script));
        for _ in 0..20 {
            let Delivered::Altered(seen) = delivery.of(item.node(), Vec::new) else {
                panic!("it was shown");
            };
            assert_eq!(seen["error"]["msg"], WITHHELD);
            assert_eq!(seen["request"], Json::Null);
        }
        assert_eq!(script.asked.lock().unwrap().len(), 3);
    }

    #[test]
    fn packets_stay_while_their_items_are_hidden() {
        let schema = Schema::new(crate::item::ENVELOPE, []);
        let read = |text| Imposed::read(text, &schema).unwrap();
        let cases = [
            ("", true, true),
            ("http", true, false),
            (HIDE, false, false),
        ];
        for (text, streams, all) in cases {
            let imposed = read(text);
            assert_eq!(imposed.query().is_some(), !text.is_empty());
            assert_eq!(imposed.lets_packets().is_ok(), streams, "{text}");
            assert_eq!(imposed.lets_all_packets().is_ok(), all, "{text}");
        }
        assert!(Imposed::read("http and", &schema).is_err());
    }
}

//! Tests of name histories.

use std::collections::BTreeMap;
use std::io::Read;

use proptest::prelude::*;

use super::*;

/// The invented example of the reference, and the spelling of later releases.
const FILE: &str = r#"{
  "1700000000": {
    "10.96.14.7": {"FullAddress": "orders.shop", "Namespace": "shop"},
    "10.96.14.7:8080": {"FullAddress": "orders-api.shop", "Namespace": "shop"},
    "10.244.1.23": {"FullAddress": "cart-6d5f9c7b8-x2x7q.shop", "Namespace": "shop"},
    "orders.shop": {"FullAddress": "orders.shop", "Namespace": "shop"}
  },
  "1700000042": {
    "10.96.14.7": {"FullAddress": "orders.shop", "Namespace": "shop"},
    "10.244.2.9": {"name": "cart", "namespace": "shop", "pod": {"metadata": {"name": "cart-p9k4d"}},
                   "service": null, "resolutionMechanism": "ip"},
    "[fd00::1]:80": {"FullAddress": "edge", "Namespace": ""},
    "fd00::1": {"FullAddress": "", "Namespace": ""}
  }
}"#;

fn history(text: &str) -> History {
    let mut history = History::new();
    history.read(text.as_bytes()).unwrap();
    history
}

fn endpoint(text: &str) -> Endpoint {
    match Address::parse(text) {
        Some(Address::Endpoint(endpoint)) => endpoint,
        Some(Address::Ip(ip)) => Endpoint { ip, port: 40000 },
        Some(Address::NodePort(_)) | None => panic!("{text} is no address"),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + seconds, 0)
}

fn shown(named: Option<Named>) -> String {
    named.map_or_else(
        || "-".into(),
        |named| format!("{}/{} {}", named.namespace, named.name, named.mechanism),
    )
}

#[test]
fn names_follow_the_newest_table_not_later_than_the_packet() {
    let history = history(FILE);
    let name = |address, seconds| shown(history.lookup(endpoint(address), at(seconds)));
    assert_eq!(name("10.244.1.23", 0), "shop/cart-6d5f9c7b8-x2x7q ip");
    assert_eq!(name("10.244.1.23", 41), "shop/cart-6d5f9c7b8-x2x7q ip");
    assert_eq!(name("10.244.1.23", 42), "-");
    assert_eq!(name("10.244.2.9", 41), "-");
    assert_eq!(name("10.244.2.9", 42), "shop/cart ip");
    assert_eq!(name("[fd00::1]:80", 99), "/edge ip-and-port");
    assert_eq!(name("fd00::1", 99), "-");
    // Before the first table, the first table counts.
    assert_eq!(name("10.96.14.7", -5000), "shop/orders ip");
    assert_eq!(name("10.244.2.9", -5000), "-");
}

#[test]
fn an_address_with_its_port_goes_first() {
    let history = history(FILE);
    let with_port = endpoint("10.96.14.7:8080");
    assert_eq!(
        shown(history.lookup(with_port, at(1))),
        "shop/orders-api ip-and-port"
    );
    assert_eq!(
        shown(history.lookup_ip(with_port.ip, at(1))),
        "shop/orders ip"
    );
    assert_eq!(shown(history.lookup(with_port, at(50))), "shop/orders ip");
}

#[test]
fn what_is_written_reads_back_the_same() {
    let first = history(FILE);
    for form in [Form::Full, Form::Deltas] {
        let mut text = Vec::new();
        first.write(at(-9), at(99), form, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let second = history(&text);
        for address in [
            "10.96.14.7:8080",
            "10.96.14.7",
            "10.244.1.23",
            "10.244.2.9",
            "[fd00::1]:80",
        ] {
            for seconds in [-9, 0, 41, 42, 99] {
                let find =
                    |history: &History| shown(history.lookup(endpoint(address), at(seconds)));
                assert_eq!(
                    find(&first),
                    find(&second),
                    "{address} at {seconds}: {text}"
                );
            }
        }
    }
}

#[test]
fn the_drop_in_form_has_both_spellings_and_the_names_as_keys() {
    let mut history = History::new();
    let address = Address::parse("10.96.3.4:8080").unwrap();
    assert!(history.set(
        address,
        Timestamp::from_secs(1_706_933_100, 0),
        Some(("cart", "shop"))
    ));
    let mut text = Vec::new();
    let span = (
        Timestamp::from_secs(0, 0),
        Timestamp::from_secs(2_000_000_000, 0),
    );
    history
        .write(span.0, span.1, Form::Full, &mut text)
        .unwrap();
    let row = r#"{"FullAddress":"cart.shop","Namespace":"shop","name":"cart","namespace":"shop"}"#;
    assert_eq!(
        String::from_utf8(text).unwrap(),
        format!(r#"{{"1706933100":{{"10.96.3.4:8080":{row},"cart.shop":{row}}}}}"#)
    );
    let mut empty = Vec::new();
    let nothing = History::new();
    nothing
        .write(span.0, span.1, Form::Full, &mut empty)
        .unwrap();
    assert_eq!(empty, b"{}");
}

#[test]
fn only_the_time_asked_for_is_written() {
    let history = history(FILE);
    let mut text = Vec::new();
    history
        .write(at(50), at(60), Form::Full, &mut text)
        .unwrap();
    let tables: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let keys: Vec<_> = tables.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["1700000050"]);
    assert!(tables["1700000050"].get("10.244.2.9").is_some());
    assert!(tables["1700000050"].get("10.244.1.23").is_none());
}

#[test]
fn borrowed_names_say_so_and_come_last() {
    let mut own = History::new();
    own.set(
        Address::parse("10.0.0.1").unwrap(),
        at(0),
        Some(("own", "a")),
    );
    let mut other = History::new();
    other.set(
        Address::parse("10.0.0.1").unwrap(),
        at(0),
        Some(("other", "b")),
    );
    other.set(
        Address::parse("10.0.0.2:80").unwrap(),
        at(0),
        Some(("web", "b")),
    );
    let mut names = Names::of(Arc::new(own));
    names.borrow(Arc::new(other));
    let name = |address| shown(names.lookup(endpoint(address), at(1)));
    assert_eq!(name("10.0.0.1:1"), "a/own ip");
    assert_eq!(name("10.0.0.2:80"), "b/web ip-and-port-borrowed");
    assert_eq!(name("10.0.0.3:80"), "-");
}

#[test]
fn names_of_the_capture_count_where_no_history_knows_better() {
    let mut history = history(FILE);
    history.learn("10.244.1.23".parse().unwrap(), "learned.example");
    history.learn("192.0.2.1".parse().unwrap(), "example.com");
    let name = |address, seconds| shown(history.lookup(endpoint(address), at(seconds)));
    assert_eq!(name("10.244.1.23", 0), "shop/cart-6d5f9c7b8-x2x7q ip");
    assert_eq!(name("10.244.1.23", 50), "/learned.example capture");
    assert_eq!(name("192.0.2.1", -99), "/example.com capture");
}

#[test]
fn a_file_that_is_cut_off_gives_what_stands_before_the_cut() {
    let mut history = History::new();
    let cut = FILE.find("10.244.2.9").unwrap();
    let error = history.read(&FILE.as_bytes()[..cut]).unwrap_err();
    assert!(matches!(error, ResolveError::Damaged(_)));
    assert_eq!(
        shown(history.lookup(endpoint("10.96.14.7"), at(0))),
        "shop/orders ip"
    );
    assert!(History::new().read(&b"[1, 2]"[..]).is_err());
    assert!(History::new().read(&b"{}"[..]).is_ok());
}

fn who(pod: &str) -> Option<Arc<Identity>> {
    let json = serde_json::json!({"pod": {"metadata": {"name": pod, "namespace": "shop"}}});
    Identity::from_json(&json).map(Arc::new)
}

fn change(seconds: i64, name: Option<&str>) -> Change {
    Change {
        from: at(seconds).secs(),
        name: name.map(|name| Name {
            identity: who(name),
            ..Name::plain(name, "shop")
        }),
    }
}

#[test]
fn node_ports_are_those_of_nodes_alone() {
    let mut history = History::new();
    let node = serde_json::json!({"node": {"metadata": {"name": "worker-1"}}});
    let node = Name {
        identity: Identity::from_json(&node).map(Arc::new),
        ..Name::plain("worker-1", "")
    };
    let ip = |text: &str| Address::Ip(text.parse().unwrap());
    history.set_name(ip("192.0.2.11"), at(0), Some(node));
    history.set(ip("192.0.2.12"), at(0), Some(("other", "")));
    let port = Address::parse("*:30080").unwrap();
    assert_eq!(port.to_string(), "*:30080");
    history.set(port, at(0), Some(("cart", "shop")));
    let name = |address| shown(history.lookup(endpoint(address), at(1)));
    assert_eq!(name("192.0.2.11:30080"), "shop/cart ip-and-port");
    assert_eq!(name("192.0.2.11:22"), "/worker-1 ip");
    assert_eq!(name("192.0.2.12:30080"), "/other ip");
}

#[test]
fn a_rewrite_replaces_all_from_its_beginning_on() {
    let mut history = History::new();
    let address = Address::parse("10.0.0.1").unwrap();
    let first = [
        change(0, Some("a")),
        change(10, Some("b")),
        change(20, None),
    ];
    assert!(history.rewrite(address, &first));
    assert!(history.rewrite(address, &[change(10, Some("c"))]));
    let name = |seconds| shown(history.lookup(endpoint("10.0.0.1"), at(seconds)));
    assert_eq!(
        [0, 9, 10, 30].map(name),
        ["shop/a ip", "shop/a ip", "shop/c ip", "shop/c ip"]
    );
    assert_eq!(history.changes(), 2);
}

#[test]
fn what_ended_before_is_forgotten_and_what_counts_still_is_kept() {
    let mut history = History::new();
    let address = |last: u8| Address::Ip([10, 0, 0, last].into());
    history.rewrite(address(1), &[change(0, Some("a")), change(10, Some("b"))]);
    history.rewrite(address(2), &[change(0, Some("gone")), change(20, None)]);
    history.rewrite(
        address(3),
        &[
            change(0, Some("gone")),
            change(20, None),
            change(90, Some("new")),
        ],
    );
    history.forget_before(at(50).secs());
    assert_eq!((history.len(), history.changes()), (2, 2));
    let name = |last: &str, seconds| shown(history.lookup(endpoint(last), at(seconds)));
    assert_eq!(name("10.0.0.1", 60), "shop/b ip");
    assert_eq!(name("10.0.0.2", 60), "-");
    assert_eq!(name("10.0.0.3", 60), "-");
    assert_eq!(name("10.0.0.3", 95), "shop/new ip");
}

#[test]
fn deltas_keep_who_has_an_address() {
    let mut history = History::new();
    let address = Address::parse("10.0.0.1:80").unwrap();
    history.rewrite(address, &[change(0, Some("a")), change(10, Some("b"))]);
    for (form, known) in [(Form::Deltas, true), (Form::Full, false)] {
        let mut text = Vec::new();
        history.write(at(0), at(99), form, &mut text).unwrap();
        let mut again = History::new();
        again.read(text.as_slice()).unwrap();
        let found = again.lookup(endpoint("10.0.0.1:80"), at(12)).unwrap();
        assert_eq!(&*found.name, "b");
        assert_eq!(found.identity, who("b").filter(|_| known));
    }
}

#[test]
fn updates_travel_as_json() {
    let update = Update {
        address: Address::parse("[fd00::1]:80").unwrap(),
        changes: vec![change(0, Some("a")), change(10, None)],
    };
    let text = serde_json::to_string(&update).unwrap();
    assert_eq!(serde_json::from_str::<Update>(&text).unwrap(), update);
    assert!(serde_json::from_str::<Update>(r#"{"address":"x","changes":[]}"#).is_err());
}

#[test]
fn a_live_history_makes_room_when_it_is_full() {
    let live = LiveHistory::with_max(100);
    for index in 0..1000i64 {
        let [.., a, b] = index.to_be_bytes();
        let update = Update {
            address: Address::Ip([10, 0, a, b].into()),
            changes: vec![
                change(index * 60, Some("pod")),
                change(index * 60 + 30, None),
            ],
        };
        live.apply(&[update], at(index * 60));
    }
    let (_, changes) = live.size();
    assert!(changes <= 100, "{changes}");
    let found = |index: i64| {
        let [.., a, b] = index.to_be_bytes();
        live.read(|history| {
            history
                .lookup_ip([10, 0, a, b].into(), at(index * 60 + 1))
                .is_some()
        })
    };
    assert!(found(999) && found(985) && !found(1));
    // Who begins now is told what holds now and later.
    let snapshot = live.snapshot(at(999 * 60));
    assert!((1..=2).contains(&snapshot.len()), "{snapshot:?}");
    let json = live.json(at(0), at(100_000));
    assert!(json.as_object().unwrap().len() > 10);
}

/// Tables that repeat the same rows, made while they are read.
struct Repeating {
    table: u32,
    rows: u32,
    tables: u32,
    text: Vec<u8>,
    at: usize,
}

impl Read for Repeating {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.text.len() && self.table <= self.tables {
            let mut text = String::new();
            let seconds = 1_700_000_000 + self.table * 3;
            match self.table {
                0 => text.push('{'),
                table if table == self.tables => text.push('}'),
                _ => text.push(','),
            }
            if self.table < self.tables {
                let rows: Vec<String> = (0..self.rows)
                    .map(|row| {
                        // One row differs in each table.
                        let name = if row == self.table { "new" } else { "pod" };
                        format!(
                            r#""10.1.{}.{}":{{"FullAddress":"{name}-{row}.shop","Namespace":"shop"}}"#,
                            row / 256,
                            row % 256
                        )
                    })
                    .collect();
                text.push_str(&format!(r#""{seconds}":{{{}}}"#, rows.join(",")));
            }
            self.text = text.into_bytes();
            self.at = 0;
            self.table += 1;
        }
        let count = into.len().min(self.text.len() - self.at);
        into[..count].copy_from_slice(&self.text[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[test]
fn repeated_rows_are_kept_once() {
    let mut history = History::new();
    let file = Repeating {
        table: 0,
        rows: 2000,
        tables: 30,
        text: Vec::new(),
        at: 0,
    };
    history.read(file).unwrap();
    assert_eq!(history.len(), 2000);
    // Each row once, and for each table but the first one row there and back.
    assert_eq!(history.changes(), 2000 + 29 + 29);
    let third = endpoint("10.1.0.3");
    assert_eq!(shown(history.lookup(third, at(8))), "shop/pod-3 ip");
    assert_eq!(shown(history.lookup(third, at(9))), "shop/new-3 ip");
    assert_eq!(shown(history.lookup(third, at(12))), "shop/pod-3 ip");
}

#[test]
fn a_history_keeps_so_many_changes_and_no_more() {
    let mut history = History::with_max(3);
    let error = history.read(FILE.as_bytes()).unwrap_err();
    assert!(matches!(error, ResolveError::TooLarge { max: 3 }));
    assert_eq!(history.changes(), 3);
    assert_eq!(
        shown(history.lookup(endpoint("10.96.14.7"), at(0))),
        "shop/orders ip"
    );
}

#[test]
fn what_the_capture_says_counts_where_no_history_knows_better() {
    let text = r#"{"1700000000":{"10.0.0.1":{"FullAddress":"cart.shop","Namespace":"shop"}}}"#;
    let mut learned = History::new();
    learned.learn([10, 0, 0, 1].into(), "other.shop");
    learned.learn([10, 0, 0, 2].into(), "db.shop");
    let mut names = Names::of(Arc::new(history("{}")));
    names.borrow(Arc::new(history(text)));
    let names = names.with_capture(Arc::new(learned));
    let of = |last| {
        let named = names.lookup_ip([10, 0, 0, last].into(), at(5))?;
        Some(format!(
            "{}/{} {}",
            named.namespace, named.name, named.mechanism
        ))
    };
    assert_eq!(of(1).as_deref(), Some("shop/cart ip-borrowed"));
    assert_eq!(of(2).as_deref(), Some("/db.shop capture"));
    assert_eq!(of(3), None);
}

#[test]
fn a_disordered_file_costs_little() {
    let mut history = History::new();
    let address = Address::parse("10.0.0.1").unwrap();
    let kept = (0..5000)
        .rev()
        .filter(|second| history.set(address, at(*second), Some(("a", &second.to_string()))))
        .count();
    assert_eq!(kept, history.changes());
    assert!(kept < 4100, "{kept} changes were put in front of others");
    // In the order of time there is no such bound.
    assert!(history.set(address, at(6000), Some(("a", "last"))));
}

proptest! {
    #[test]
    fn lookups_agree_with_the_tables_as_written(
        tables in proptest::collection::btree_map(
            0..40i64,
            proptest::collection::btree_map(0..5u8, 0..4u8, 0..5),
            1..8,
        ),
        when in -10..60i64,
    ) {
        let file: BTreeMap<String, BTreeMap<String, serde_json::Value>> = tables
            .iter()
            .map(|(from, table)| {
                let rows = table.iter().map(|(host, name)| {
                    let full = format!("n{name}.shop");
                    (
                        format!("10.0.0.{host}"),
                        serde_json::json!({"FullAddress": full, "Namespace": "shop"}),
                    )
                });
                ((1_700_000_000 + from).to_string(), rows.collect())
            })
            .collect();
        let history = history(&serde_json::to_string(&file).unwrap());
        let table = tables
            .range(..=when)
            .next_back()
            .or_else(|| tables.iter().next())
            .unwrap()
            .1;
        for host in 0..5u8 {
            let found = history.lookup_ip([10, 0, 0, host].into(), at(when));
            let name = found.map(|named| named.name.to_string());
            prop_assert_eq!(name, table.get(&host).map(|name| format!("n{name}")));
        }
    }

    #[test]
    fn no_text_makes_reading_panic(text in "[\\[\\]{}\",:0-9a-zN.]{0,80}") {
        let _ = History::new().read(text.as_bytes());
    }
}

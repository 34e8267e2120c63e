//! Tests of messages by their descriptors, with a capture of gRPC for Python that asks the server
//! about itself.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::dissect::conversation::tests::dissect_savefile;
use crate::dissect::{Draft, Protocols};
use crate::item::{ItemNode, json};

/// Descriptors of `grpc-shop.proto`.
const SHOP: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/pcaps/grpc-shop.pb"
));

const ORDER: &str = concat!(
    r#"{"customerName":"Ada","items":[{"sku":"pen","count":3,"price":1.5},"#,
    r#"{"sku":"ink","count":1,"price":4.0}],"state":"SENT","#,
    r#""stock":{"ink":"9007199254740993","pen":-2},"deltas":[1,-1,150],"seal":"AP8=","#,
    r#""gift":true,"number":7,"street":"Long Lane","balance":-5,"weight":0.25,"#,
    r#""replaces":{"customerName":"Bob","locker":12}}"#,
);

fn capture(protocols: &Protocols) -> Vec<Draft> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/pcaps/grpc-reflection.pcap"
    );
    let mut drafts = dissect_savefile(Path::new(path), 0, protocols);
    drafts.retain(|draft| draft.kind.abbr == "gRPC");
    drafts
}

/// Method, then the messages of request and response, by name or by number.
fn told(draft: &Draft) -> Vec<String> {
    let grpc = |part: &Value, name| {
        part.member("grpc")
            .and_then(|grpc| grpc.member(name))
            .cloned()
    };
    let Some(Value::Text(method)) = grpc(&draft.request, "method") else {
        panic!("a call has a method");
    };
    let mut told = vec![String::from_utf8(method.to_vec()).unwrap()];
    for part in [&draft.request, &draft.response] {
        let messages = grpc(part, "messages");
        let Some(Value::List(messages)) = messages.as_ref().map(Value::force) else {
            panic!("a call has messages");
        };
        for message in messages {
            let shown = ["message", "fields"].map(|name| {
                let value = message.member(name)?;
                Some(format!(
                    "{name} {}",
                    json::to_string(ItemNode::of_value(value))
                ))
            });
            told.extend(shown.into_iter().flatten());
        }
    }
    told
}

#[test]
fn a_server_that_was_asked_about_itself_has_readable_messages_from_then_on() {
    let calls: Vec<_> = capture(&Protocols::all()).iter().map(told).collect();
    let methods: Vec<&str> = calls.iter().map(|call| &call[0][..]).collect();
    assert_eq!(
        methods,
        ["Place", "Place", "ServerReflectionInfo", "Place", "Watch"]
    );
    // Nobody had asked yet.
    assert_eq!(
        calls[0][1..],
        [
            concat!(
                r#"fields {"1":"Ada","2":[{"1":"pen","2":3,"3":"4609434218613702656"},"#,
                r#"{"1":"ink","2":1,"3":"4616189618054758400"}],"3":2,"#,
                r#""4":[{"1":"ink","2":"9007199254740993"},{"1":"pen","2":"18446744073709551614"}],"#,
                r#""5":"AgGsAg==","6":"AP8=","7":1,"8":7,"9":"Long Lane","#,
                r#""11":"18446744073709551611","12":1048576000,"13":{"1":"Bob","10":12}}"#,
            ),
            r#"fields {"1":8,"2":1,"3":"AAE="}"#,
        ]
    );
    let answer = r#"message {"number":8,"state":"PACKED","history":["STATE_UNKNOWN","PACKED"]}"#;
    // On the same connection, compressed; and on another one.
    for call in [&calls[1], &calls[3]] {
        assert_eq!(call[1..], [format!("message {ORDER}"), answer.to_owned()]);
    }
    assert_eq!(
        calls[4][1..],
        [
            r#"message {"number":8}"#,
            r#"message {"number":8,"state":"PACKED"}"#,
            r#"message {"number":8,"state":"SENT"}"#,
        ]
    );
}

#[test]
fn given_descriptors_read_every_call() {
    let descriptors = Arc::new(Descriptors::given([SHOP]).unwrap());
    let protocols = Protocols::all().with_descriptors(descriptors);
    let calls: Vec<_> = capture(&protocols).iter().map(told).collect();
    let order = format!("message {ORDER}");
    assert_eq!(calls.iter().filter(|call| call[1] == order).count(), 3);
}

#[test]
fn what_is_no_descriptor_set_is_refused() {
    for set in [&b""[..], b"syntax = \"proto3\";", &SHOP[..SHOP.len() - 1]] {
        let refused = Descriptors::given([SHOP, set]).err();
        assert_eq!(refused, Some((1, NotDescriptors)));
    }
}

/// The only file of the set.
fn file() -> &'static [u8] {
    match Fields::of(SHOP).next() {
        Some((1, Field::Bytes(file))) => file,
        other => panic!("{other:?}"),
    }
}

fn server(port: u16) -> Endpoint {
    Endpoint {
        ip: [10, 0, 0, 2].into(),
        port,
    }
}

fn is_named(descriptors: &Descriptors, port: u16, ordinal: u64) -> bool {
    let call = Call {
        server: Some(server(port)),
        path: "/shop.Orders/Place",
        is_request: true,
        ordinal,
    };
    let bytes = Bytes::from_static(b"\x40\x07");
    descriptors.read(call, |reading| {
        matches!(reading.message(&bytes), Some((Read::Named(_), false)))
    })
}

#[test]
fn what_a_server_tells_counts_for_it_and_for_later_messages() {
    let descriptors = Descriptors::default();
    descriptors.learn(server(1), 50, file());
    assert!(is_named(&descriptors, 1, 51));
    assert!(!is_named(&descriptors, 1, 50), "not before it was told");
    assert!(!is_named(&descriptors, 2, 51), "another server");
    // Told again, it is kept once; told earlier by another stream, it counts earlier.
    descriptors.learn(server(1), 60, file());
    descriptors.learn(server(1), 40, file());
    let files =
        |descriptors: &Descriptors| descriptors.learned.read().unwrap().by_server[&server(1)].len();
    assert_eq!(files(&descriptors), 2);
    assert!(is_named(&descriptors, 1, 41));
    assert_eq!(descriptors.refused(), 0);
}

#[test]
fn a_message_that_nests_without_end_is_cut() {
    let descriptors = Descriptors::given([SHOP]).unwrap();
    let mut bytes = Vec::new();
    for _ in 0..2000 {
        let mut outer = vec![13 << 3 | 2];
        let mut length = bytes.len();
        while length > 0x7f {
            outer.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend_from_slice(&bytes);
        bytes = outer;
    }
    let call = Call {
        server: None,
        path: "/shop.Orders/Place",
        is_request: true,
        ordinal: 0,
    };
    let depth = |mut value: &Value| {
        let mut depth = 0;
        while let Some(inner) = value.member("replaces") {
            (value, depth) = (inner, depth + 1);
        }
        depth
    };
    descriptors.read(call, |reading| {
        let Some((Read::Named(value), _)) = reading.message(&bytes.into()) else {
            panic!("it is an order");
        };
        assert!((30..40).contains(&depth(&value)), "{}", depth(&value));
    });
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_run_away(
        bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0..SHOP.len(), bit in 0..8u8,
    ) {
        let mut damaged = SHOP.to_vec();
        damaged[at] ^= 1 << bit;
        let descriptors = Descriptors::given([&damaged[..]]).unwrap_or_default();
        descriptors.reflected(server(1), 0, &bytes);
        let call = Call { server: Some(server(1)), path: "/shop.Orders/Place", is_request: true, ordinal: 1 };
        descriptors.read(call, |reading| {
            let _ = reading.message(&bytes.clone().into());
            let _ = reading.message(&Bytes::from(damaged));
        });
    }
}

//! What filters ask beside choosing items, as the page shows it: redaction and an end of the list; and
//! traffic by direction on the map.

use serde_json::{Value as Json, json};

use crate::dashboard::{Tap, browser_tools, drive, shop, text};

#[test]
fn the_page_shows_what_a_filter_leaves_and_where_it_ends() {
    if browser_tools().is_none() {
        return;
    }
    let tap = Tap::open(&shop(), 0);
    let seen = drive("steered.mjs", &[&tap.url()]).unwrap();
    assert_eq!(seen["errors"], json!([]), "{seen:#}");
    assert_eq!(seen["foreign"], json!([]));
    assert_eq!(seen["axe"], json!([]), "{seen:#}");

    for name in ["redacted", "linked"] {
        let item: Json = serde_json::from_str(text(&seen, name)).unwrap();
        assert_eq!(item["response"]["content"]["text"], "[REDACTED]", "{name}");
        assert_eq!(item["request"]["postData"], "[REDACTED]", "{name}");
        assert_eq!(item["response"]["status"], 201, "{name}");
    }
    assert!(text(&seen, "again").contains("[REDACTED]"));
    assert!(text(&seen, "json").contains("redact"), "{seen:#}");
    for name in ["packets", "conversation"] {
        assert!(text(&seen, name).contains("leave redact() out"), "{seen:#}");
    }
    assert_eq!(seen["pcap"], "true");
    assert!(
        text(&seen, "before").ends_with("\"request.postData\")"),
        "{seen:#}"
    );

    assert_eq!(seen["ended"]["rows"], 2, "{seen:#}");
    assert!(
        text(&seen["ended"], "told").contains("limit(2)"),
        "{seen:#}"
    );
    assert_eq!(seen["ended"]["states"], json!(["ended", "paused", "ended"]));
    assert_eq!(seen["goesOn"], json!({"rows": 3, "state": "recorded"}));

    assert_eq!(
        seen["flow"],
        json!({"title": "TCP 10.0.0.1 \u{2192} 10.0.0.2:80", "connections": 1, "closed": "Flows"}),
        "{seen:#}"
    );

    let place = |name: &str| seen["loop"][name].as_f64().unwrap();
    for name in ["above", "inside", "beside"] {
        assert!(place(name) >= 0.0, "{name}: {seen:#}");
    }
    let bytes = |name: &str| seen["edge"][name].as_u64().unwrap();
    assert_eq!(
        bytes("bytes"),
        bytes("requestBytes") + bytes("responseBytes")
    );
    assert!(
        bytes("requestBytes") > 0 && bytes("responseBytes") > 0,
        "{seen:#}"
    );
    let labels = &seen["labels"];
    assert_ne!(labels["requestBytes"], labels["responseBytes"], "{seen:#}");
    assert!(text(labels, "bytes").contains("/s"), "{seen:#}");
}

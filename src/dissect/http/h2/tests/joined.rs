//! Connections that begin as HTTP/1, have gaps, or were joined late.

use super::*;

#[test]
fn an_upgraded_request_is_answered_on_stream_1() {
    let (request, granted) = upgrade(b"");
    let protocols = enabled(&["http"]).0;
    for saved in [false, true] {
        let mut feed = feed();
        feed.at(Timestamp::from_nanos(1000)).chunk(UP, &request);
        feed.at(Timestamp::from_nanos(2000)).chunk(DOWN, &granted);
        if saved {
            feed.hand_over(&protocols);
        }
        feed.chunk(DOWN, &frame(SETTINGS, 0, 0, b""));
        if saved {
            feed.hand_over(&protocols);
        }
        feed.at(Timestamp::from_nanos(4000));
        feed.chunk(DOWN, &[answer(0, 1, "200"), data(END, 1, b"ok")].concat());
        assert_eq!(feed.protocol(), Some(NAME));
        feed.chunk(UP, &[hello(), ask(END, 3, "/next")].concat());
        feed.chunk(DOWN, &answer(END, 3, "204"));
        let items = feed.end();
        assert_eq!(
            lines(&items),
            ["POST /up 101", "POST /up 200", "GET /next 204"]
        );
        assert_eq!(items[1].kind.abbr, "HTTP/2");
        assert_eq!(
            (items[1].elapsed_nanos, items[1].request_size),
            (3000, request.len() as u64)
        );
        let told = shown(&items[1].request);
        assert_eq!(told["httpVersion"], "HTTP/1.1");
        assert_eq!(told["headers"][":authority"], "shop");
        assert_eq!(told["postData"]["text"], "hi");
        assert_eq!(body_of(&items[1]), b"ok");
    }
}

#[test]
fn settings_of_an_upgrade_bind_the_server() {
    let larger = b"\0\x01\0\0\x20\0\0\x05\0\0\x80\0";
    let (request, granted) = upgrade(larger);
    let mut feed = feed();
    feed.chunk(UP, &request).chunk(DOWN, &granted);
    // A table of 8192 bytes, then a frame longer than 16384.
    let mut block = b"\x3f\xe1\x3f".to_vec();
    block.extend(b"\x88");
    feed.chunk(DOWN, &frame(HEADERS, WHOLE, 1, &block));
    feed.chunk(DOWN, &data(END, 1, &[b'x'; 20_000]));
    let items = feed.end();
    assert_eq!(lines(&items[1..]), ["POST /up 200"]);
    assert_eq!(body_of(&items[1]).len(), 20_000);
}

#[test]
fn a_gap_within_data_is_passed_over_and_marked() {
    let mut feed = feed();
    feed.chunk(
        UP,
        &[hello(), ask(END, 1, "/a"), ask(END, 3, "/b")].concat(),
    );
    feed.chunk(
        DOWN,
        &[
            answer(0, 1, "200"),
            data(END, 1, &[b'x'; 100])[..30].to_vec(),
        ]
        .concat(),
    );
    feed.gap(DOWN, 79);
    feed.chunk(DOWN, &answer(END, 3, "204"));
    let items = feed.end();
    assert_eq!(
        lines(&items),
        [
            "GET /a 200 dissection: 79 bytes of the response's body were not captured",
            "GET /b 204",
        ]
    );
    assert_eq!(shown(&items[0].response)["bodySize"], 100);
    assert!(items[0].response.is_cut());
}

#[test]
fn a_gap_within_a_header_block_costs_that_block() {
    let (first, second) = (ask(END, 1, "/a"), ask(END, 3, "/b"));
    let mut feed = feed();
    feed.chunk(UP, &hello()).chunk(UP, &first[..20]).gap(UP, 10);
    feed.chunk(UP, &first[30..]).chunk(UP, &second);
    feed.chunk(
        DOWN,
        &[answer(END, 1, "200"), answer(END, 3, "204")].concat(),
    );
    let items = feed.end();
    assert_eq!(
        lines(&items),
        [
            "  200 dissection: bytes of a header block were not captured",
            "GET /b 204"
        ]
    );
}

#[test]
fn behind_a_gap_the_next_frames_are_found() {
    let mut feed = feed();
    feed.chunk(
        UP,
        &[hello(), ask(END, 1, "/a"), ask(END, 3, "/b")].concat(),
    );
    feed.chunk(
        DOWN,
        &[answer(0, 1, "200"), data(0, 1, &[b'x'; 100])[..30].to_vec()].concat(),
    );
    feed.gap(DOWN, 2000);
    // The end of some frame, and then whole ones.
    let rest = [
        b"the tail of something".to_vec(),
        answer(END, 3, "204"),
        data(END, 1, b"z"),
    ];
    feed.chunk(DOWN, &rest.concat());
    feed.chunk(DOWN, &frame(PING, 0, 0, b"12345678"));
    let items = feed.end();
    assert_eq!(
        lines(&items),
        [
            "GET /b 204",
            "GET /a 200 dissection: 79 bytes of the response's body were not captured",
        ]
    );
}

#[test]
fn a_connection_joined_late_shows_what_it_can() {
    let mut late = Late::new();
    // The middle of a body, then a request whose path is in a table that nobody saw.
    late.chunk(
        DOWN,
        &[&[b'x'; 40][..], &frame(PING, 0, 0, b"12345678")].concat(),
    );
    let mut block = b"\x83\x86\xbe\x7f\x00\x03new".to_vec();
    block.extend(b"\x40\x03own\x01v\xbe");
    late.chunk(UP, &frame(HEADERS, WHOLE | END, 7, &block));
    late.chunk(UP, &frame(WINDOW_UPDATE, 0, 0, b"\0\0\x10\0"));
    late.chunk(DOWN, &[answer(0, 7, "200"), data(END, 7, b"ok")].concat());
    // The end of a call that began before.
    late.chunk(DOWN, &data(0, 5, &message(0, b"last")));
    late.chunk(DOWN, &headers(END, 5, &[("grpc-status", "0")]));
    let items = late.end();
    assert_eq!(
        lines(&items),
        [
            "POST  200 dissection: 2 header fields of the request refer to bytes that were not captured",
            "- - 0 dissection: the head of the response was not captured",
        ]
    );
    let told = shown(&items[0].request);
    assert_eq!(
        told["headers"],
        serde_json::json!({
            ":method": "POST", ":scheme": "http", "<unknown>": "<unknown>,new", "own": "v,v",
        })
    );
    assert_eq!(items[1].kind.abbr, "gRPC");
    assert_eq!(shown(&items[1].response)["grpc"]["statusName"], "OK");
}

#[test]
fn every_field_that_refers_to_what_was_not_captured_is_marked() {
    let mut late = Late::new();
    late.chunk(UP, &frame(PING, ACK, 0, b"12345678"));
    // Three fields of a table that nobody saw, one of them twice, among those that are known.
    let block = b"\x83\xbe\xbf\x86\xbf\x0f\x31\x01w";
    late.chunk(UP, &frame(HEADERS, WHOLE | END, 7, block));
    // The answer refers to two; its status is in the static table.
    late.chunk(DOWN, &frame(HEADERS, WHOLE | END, 7, b"\x88\xbe\xc0"));
    let items = late.end();
    assert_eq!(
        lines(&items),
        [
            "POST  200 dissection: 4 header fields of the request refer to bytes that were not \
             captured; 2 header fields of the response refer to bytes that were not captured"
        ]
    );
    assert_eq!(
        shown(&items[0].request)["headers"],
        serde_json::json!({
            ":method": "POST", "<unknown>": "<unknown>,<unknown>,<unknown>,w", ":scheme": "http",
        })
    );
    assert_eq!(
        shown(&items[0].response)["headers"],
        serde_json::json!({":status": "200", "<unknown>": "<unknown>,<unknown>"})
    );
}

#[test]
fn sides_taken_for_each_other_are_set_right() {
    let mut late = Late::new();
    late.chunk(UP, &frame(PING, ACK, 0, b"12345678"));
    late.chunk(UP, &[data(0, 3, b"abc"), answer(END, 1, "200")].concat());
    late.chunk(
        DOWN,
        &[ask(END, 5, "/a"), frame(PING, 0, 0, b"12345678")].concat(),
    );
    late.chunk(UP, &answer(END, 5, "200"));
    late.chunk(UP, &headers(END, 3, &[("grpc-status", "0")]));
    let items = late.end();
    assert_eq!(
        lines(&items),
        [
            "- - 200 pair-not-found: no request was captured for this response",
            "GET /a 200",
            "- - 0 dissection: the head of the response was not captured",
        ]
    );
    assert!(items.iter().all(|item| !item.from_client));
}

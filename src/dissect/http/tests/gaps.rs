//! Streams with gaps, joined late, or of one side.

use super::*;

#[test]
fn a_gap_in_a_body_is_passed_over_and_marked() {
    let mut wire = Wire::new(Opening::Syn);
    wire.send(ToServer, b"GET /1 HTTP/1.1\r\n\r\n");
    wire.send(
        ToClient,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    );
    wire.gap(ToClient, 5);
    wire.send(ToClient, b"ij");
    wire.send(ToServer, b"GET /2 HTTP/1.1\r\n\r\n");
    wire.send(ToClient, b"HTTP/1.1 204 No\r\n\r\n");
    let items = wire.end();
    assert_eq!(lines(&items), ["GET /1 200 dissection", "GET /2 204"]);
    assert_eq!(body_of(&items[0]), b"abc");
    assert!(items[0].response.is_cut());
    assert_eq!(json_of(&items[0].response)["bodySize"], 10);
    assert_eq!(items[0].response_size, 39 + 5);
}

#[test]
fn a_lost_response_shifts_nothing() {
    let mut wire = Wire::new(Opening::Syn);
    for turn in 1..=5 {
        wire.send(ToServer, format!("GET /{turn} HTTP/1.1\r\n\r\n").as_bytes());
        if turn == 3 {
            wire.gap(ToClient, 40);
        } else {
            let head = format!("HTTP/1.1 20{turn} OK\r\nContent-Length: 0\r\n\r\n");
            wire.send(ToClient, head.as_bytes());
        }
    }
    assert_eq!(
        lines(&wire.end()),
        [
            "GET /1 201",
            "GET /2 202",
            "GET /3 0 pair-not-found",
            "GET /4 204",
            "GET /5 205"
        ]
    );
}

#[test]
fn a_lost_request_shifts_nothing() {
    let mut wire = Wire::new(Opening::Syn);
    for turn in 1..=4 {
        if turn != 2 {
            if turn == 3 {
                wire.gap(ToServer, 20);
            }
            wire.send(ToServer, format!("GET /{turn} HTTP/1.1\r\n\r\n").as_bytes());
        }
        wire.send(
            ToClient,
            format!("HTTP/1.1 20{turn} OK\r\nContent-Length: 0\r\n\r\n").as_bytes(),
        );
    }
    assert_eq!(
        lines(&wire.end()),
        [
            "GET /1 201",
            "- - 202 pair-not-found",
            "GET /3 203",
            "GET /4 204"
        ]
    );
}

#[test]
fn a_head_cut_by_a_gap_still_tells_its_start_line() {
    let mut wire = Wire::new(Opening::Syn);
    wire.send(ToServer, b"GET /a HTTP/1.1\r\nHost: exam");
    wire.send(ToClient, b"HTTP/1.1 404 Not Found\r\nServer: x\r\nDat");
    wire.gap(ToServer, 30);
    wire.gap(ToClient, 300);
    wire.send(ToServer, b"GET /a/very/long/path/that/is/cu");
    wire.gap(ToServer, 30);
    wire.send(ToClient, b"HTTP/1.1 200 OK\r\n");
    wire.gap(ToClient, 300);
    let items = wire.end();
    assert_eq!(
        lines(&items),
        [
            "GET /a 404 dissection",
            "GET /a/very/long/path/that/is/cu 200 dissection"
        ]
    );
    assert_eq!(
        json_of(&items[0].response)["headers"],
        serde_json::json!({"Server": "x"})
    );
}

#[test]
fn a_stream_joined_in_its_middle_finds_the_next_head() {
    let mut wire = Wire::new(Opening::Port);
    wire.send(ToClient, b"the end of some body");
    wire.send(ToServer, b"GET /x HTTP/1.1\r\n\r\n");
    wire.send(ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(lines(&wire.end()), ["GET /x 200"]);

    let mut wire = Wire::new(Opening::FirstPacket);
    wire.send(
        ToServer,
        b"...tail HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    );
    wire.send(ToClient, b"POST /y HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    wire.send(
        ToServer,
        b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
    );
    let items = wire.end();
    assert_eq!(lines(&items), ["- - 200 pair-not-found", "POST /y 201"]);
    assert!(!items[1].from_client);
}

#[test]
fn a_response_captured_before_its_request_finds_it() {
    let items = run(&[
        (ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (ToServer, b"GET / HTTP/1.1\r\n\r\n"),
    ]);
    assert_eq!(lines(&items), ["GET / 200"]);
    assert_eq!(items[0].elapsed_nanos, 0);
}

#[test]
fn one_sided_streams_say_so() {
    let mut wire = Wire::new(Opening::Syn);
    wire.send(ToServer, b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
    let items = wire.end();
    assert_eq!(
        lines(&items),
        ["GET /1 0 pair-not-found", "GET /2 0 pair-not-found"]
    );
    assert_eq!(
        json_of(&items[0].response)["headers"],
        serde_json::json!({})
    );

    let items = run(&[(ToServer, b"GET /1 HTTP/1.1\r\n\r\n")]);
    assert_eq!(lines(&items), ["GET /1 0 connection"]);
}

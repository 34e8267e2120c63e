//! Where messages begin and end.

use super::*;

/// RFC 9112 section 7.1: chunks, an extension, trailers; then the next message.
#[test]
fn chunks_are_put_together() {
    let items = run(&[
        (ToServer, b"GET /c HTTP/1.1\r\n\r\nGET /d HTTP/1.1\r\n\r\n"),
        (
            ToClient,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;a=\"b\"\r\nWiki\r\n\
              6\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nExpires: never\r\n\r\n\
              HTTP/1.1 204 No Content\r\n\r\n",
        ),
    ]);
    assert_eq!(lines(&items), ["GET /c 200", "GET /d 204"]);
    assert_eq!(body_of(&items[0]), b"Wikipedia in \r\n\r\nchunks.");
    assert_eq!(json_of(&items[0].response)["bodySize"], 24);
}

/// RFC 9112 section 7.1.2: trailers are shown with the header fields, as those of HTTP/2 are, and
/// say nothing of framing.
#[test]
fn trailers_are_fields_of_their_message() {
    let request = b"POST /t HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
        2\r\nhi\r\n0\r\nx-sum: 9\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n\
        3\r\nall\r\n0\r\nServer-Timing: db;dur=5\r\nno field\r\nX-A: 2\r\nContent-Encoding: gzip\r\n\
        Content-Length: 99\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let whole = run(&[
        (ToServer, request),
        (ToServer, b"GET /d HTTP/1.1\r\n\r\n"),
        (ToClient, response),
    ]);
    assert_eq!(lines(&whole), ["POST /t 200", "GET /d 204"]);
    let fields = serde_json::json!({
        "Transfer-Encoding": "chunked", "X-A": "1,2", "Server-Timing": "db;dur=5",
        "Content-Encoding": "gzip", "Content-Length": "99",
    });
    assert_eq!(json_of(&whole[0].response)["headers"], fields);
    assert_eq!(json_of(&whole[0].request)["headers"]["X-Sum"], "9");
    assert_eq!(body_of(&whole[0]), b"all");
    let size = (request.len() as u64, response.len() as u64 - 27);
    assert_eq!((whole[0].request_size, whole[0].response_size), size);
    // Wherever the stream is cut, and a reel ends.
    for at in 0..response.len() {
        let mut wire = Wire::new(Opening::Syn);
        wire.send(ToServer, request);
        wire.send(ToClient, &response[..at]);
        let saved = wire.dissector.save();
        let restored = Http1.restore(&info(Opening::Syn), &saved);
        wire.dissector = restored.expect("the state of a save");
        wire.send(ToClient, &response[at..]);
        let items = wire.end();
        assert_eq!(
            json_of(&items[0].response)["headers"],
            fields,
            "cut at {at}"
        );
    }
}

/// What a sender puts into the trailer section is bounded as a head is.
#[test]
fn endless_trailers_end_the_message() {
    let mut wire = Wire::new(Opening::Syn);
    wire.send(ToServer, b"GET / HTTP/1.1\r\n\r\n");
    wire.send(
        ToClient,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    );
    for _ in 0..parser::MAX_HEAD / 6 + 1 {
        wire.send(ToClient, b"X: y\r\n");
    }
    let items = wire.end();
    assert_eq!(lines(&items), ["GET / 200 dissection"]);
    let kept = json_of(&items[0].response)["headers"]["X"].to_string();
    assert!(kept.len() <= parser::MAX_HEAD);
}

/// RFC 9112 section 2.2.
#[test]
fn empty_lines_in_front_of_a_request_are_passed_over() {
    let first = b"\r\n\r\nGET /1 HTTP/1.1\r\n\r\n\r\n";
    let rest = b"\n\r\nGET /2 HTTP/1.1\r\n\r\n";
    let answers = b"HTTP/1.1 204 No\r\n\r\n";
    let items = run(&[
        (ToServer, first),
        (ToClient, answers),
        (ToServer, rest),
        (ToClient, answers),
    ]);
    assert_eq!(lines(&items), ["GET /1 204", "GET /2 204"]);
    // Whatever of them comes first, and whether the handshake was seen.
    for opening in [Opening::Syn, Opening::Port] {
        for at in 1..first.len() {
            let stream = info(opening);
            let probe = |to_server| {
                Http1.probe(&Probe {
                    stream: &stream,
                    ports: &[],
                    to_server,
                    to_client: b"",
                })
            };
            assert!(
                probe(&first[..at]) > Verdict::No,
                "{}",
                first[..at].escape_ascii()
            );
            assert_eq!(probe(&first[..23]), Verdict::Certain);
            let mut wire = Wire::new(opening);
            wire.send(ToServer, &first[..at]);
            wire.send(ToServer, &first[at..]);
            wire.send(ToClient, answers);
            wire.fin(ToClient);
            assert_eq!(lines(&wire.end()), ["GET /1 204"]);
        }
    }
    let endless = b"\n".repeat(100);
    let stream = info(Opening::Syn);
    let probe = Probe {
        stream: &stream,
        ports: &[],
        to_server: &endless,
        to_client: b"",
    };
    assert_eq!(Http1.probe(&probe), Verdict::Unsure);
}

/// RFC 9112 section 5.2.
#[test]
fn folded_lines_are_unfolded() {
    let items = run(&[
        (
            ToServer,
            b"GET / HTTP/1.1\r\nX-Long: a\r\n  b\r\n\tc\r\nHost: h\r\n\r\n",
        ),
        (
            ToClient,
            b"HTTP/1.1 200 OK\nTransfer-Encoding:\n chunked\n\n1\nx\n0\n\n",
        ),
    ]);
    assert_eq!(json_of(&items[0].request)["headers"]["X-Long"], "a b c");
    assert_eq!(json_of(&items[0].request)["headers"]["Host"], "h");
    assert_eq!(body_of(&items[0]), b"x");
}

/// RFC 9112 section 6.3: the shapes that request smuggling is made of are read as the standard
/// says, and marked.
#[test]
fn contradictory_framing_is_marked() {
    let items = run(&[
        (
            ToServer,
            b"POST /a HTTP/1.1\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
              POST /b HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n\
              POST /c HTTP/1.1\r\nContent-Length: 2, 2\r\n\r\nxyGET /d HTTP/1.1\r\n\r\n",
        ),
        (
            ToClient,
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                .repeat(4)
                .as_slice(),
        ),
    ]);
    assert_eq!(
        lines(&items),
        [
            "POST /a 200 dissection",
            "POST /b 200 dissection",
            "POST /c 200",
            "GET /d 200"
        ]
    );
}

#[test]
fn a_chunk_size_that_overflows_ends_the_message() {
    let items = run(&[
        (
            ToServer,
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\nx\r\n0\r\n\r\n\
              GET /next HTTP/1.1\r\n\r\n",
        ),
        (ToClient, b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
    ]);
    assert_eq!(lines(&items), ["POST / 400 dissection", "GET /next 204"]);
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let mut wire = Wire::new(Opening::Syn);
    wire.send(ToServer, b"GET / HTTP/1.0\r\n\r\n");
    wire.send(ToClient, b"HTTP/1.0 200 OK\r\n\r\nhello ");
    wire.send(ToClient, b"world");
    assert!(wire.items.0.is_empty());
    wire.fin(ToClient);
    assert_eq!(wire.items.0.len(), 1);
    assert_eq!(body_of(&wire.items.0[0]), b"hello world");
    assert!(!wire.items.0[0].response.is_cut());
}

#[test]
fn an_interim_response_is_not_the_answer() {
    let items = run(&[
        (
            ToServer,
            b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        ),
        (ToClient, b"HTTP/1.1 100 Continue\r\n\r\n"),
        (ToServer, b"hi"),
        (
            ToClient,
            b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
        ),
    ]);
    assert_eq!(lines(&items), ["POST / 201"]);
    assert_eq!(items[0].elapsed_nanos, 3000);
    assert_eq!(items[0].response_size, 25 + 43);
}

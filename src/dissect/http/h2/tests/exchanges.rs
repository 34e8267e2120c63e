//! Requests and responses as items.

use super::*;

#[test]
fn an_exchange_has_the_shape_of_the_reference() {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/orders?dry=1"),
        (":authority", "cart.shop"),
        ("content-type", "application/json"),
        ("cookie", "sid=z1"),
        ("cookie", "theme=dark"),
        ("x-tag", "a"),
        ("x-tag", "b"),
    ];
    let answered = [
        (":status", "500"),
        ("content-type", "text/plain"),
        ("set-cookie", "a=b; Path=/"),
    ];
    let items = run(&[
        (UP, &headers(0, 1, &fields)),
        (UP, &data(END, 1, b"{\"qty\":2}")),
        (DOWN, &headers(0, 1, &answered)),
        (DOWN, &data(END, 1, b"oops")),
    ]);
    let [item] = &items[..] else {
        panic!("{items:?}")
    };
    assert_eq!((item.kind.abbr, item.kind.macro_name), ("HTTP/2", "http2"));
    assert_eq!(item.error, None);
    assert_eq!(
        shown(&item.request),
        serde_json::json!({
            "method": "POST", "url": "/orders?dry=1", "targetUri": "/orders?dry=1",
            "path": "/orders", "pathSegments": ["orders"], "httpVersion": "HTTP/2.0",
            "headers": {
                ":method": "POST", ":scheme": "http", ":path": "/orders?dry=1",
                ":authority": "cart.shop", "content-type": "application/json",
                "cookie": "sid=z1; theme=dark", "x-tag": "a,b",
            },
            "cookies": {"sid": "z1", "theme": "dark"}, "queryString": {"dry": "1"},
            "headersSize": -1, "bodySize": 9,
            "postData": {"mimeType": "application/json", "params": [], "text": "{\"qty\":2}"},
        })
    );
    assert_eq!(
        shown(&item.response),
        serde_json::json!({
            "status": 500, "statusText": "", "httpVersion": "HTTP/2.0",
            "headers": {":status": "500", "content-type": "text/plain", "set-cookie": "a=b; Path=/"},
            "cookies": {"a": "b"},
            "content": {"size": 4, "mimeType": "text/plain", "encoding": "base64", "text": "b29wcw=="},
            "redirectURL": "", "headersSize": -1, "bodySize": 4,
        })
    );
}

#[test]
fn streams_are_paired_by_their_number_and_come_as_they_end() {
    let items = run(&[
        (
            UP,
            &[ask(END, 1, "/a"), ask(0, 3, "/b"), ask(END, 5, "/c")].concat(),
        ),
        (
            DOWN,
            &[
                answer(END, 5, "205"),
                answer(0, 1, "201"),
                answer(END, 3, "203"),
            ]
            .concat(),
        ),
        (DOWN, &data(0, 1, b"one ")),
        (UP, &data(END, 3, b"late")),
        (DOWN, &data(END, 1, b"two")),
    ]);
    assert_eq!(lines(&items), ["GET /c 205", "GET /b 203", "GET /a 201"]);
    assert_eq!(body_of(&items[2]), b"one two");
}

#[test]
fn latency_is_from_the_first_packet_to_the_first_packet() {
    let mut feed = feed();
    let at = |millis: i64| Timestamp::from_nanos(millis * 1_000_000);
    let (asked, answered) = (ask(END, 1, "/a"), answer(END, 1, "200"));
    let early = [hello(), asked[..20].to_vec()].concat();
    feed.at(at(10))
        .chunk(UP, &early)
        .at(at(30))
        .chunk(UP, &asked[20..]);
    // The end of one frame and the front of the next in one packet.
    let settings = frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64");
    feed.at(at(35)).chunk(DOWN, &settings[..12]);
    feed.at(at(50))
        .chunk(DOWN, &[&settings[12..], &answered[..4]].concat());
    feed.at(at(70)).chunk(DOWN, &answered[4..]);
    let items = feed.end();
    assert_eq!(
        (items[0].start, items[0].elapsed_nanos),
        (at(10), 40_000_000)
    );
    assert_eq!(items[0].request_size, asked.len() as u64);
    assert_eq!(items[0].response_size, answered.len() as u64);
}

#[test]
fn continuation_padding_and_priority_are_framing() {
    let block = block(&[
        (":method", "GET"),
        (":path", "/x"),
        ("x-long", &"v".repeat(300)),
    ]);
    let mut first = b"\x03\0\0\0\0\x10".to_vec();
    first.extend(&block[..70]);
    first.extend(b"\0\0\0");
    let items = run(&[
        (UP, &frame(HEADERS, END | PADDED | PRIORITY, 1, &first)),
        (UP, &frame(CONTINUATION, 0, 1, &block[70..71])),
        (UP, &frame(CONTINUATION, 0, 1, b"")),
        (UP, &frame(CONTINUATION, WHOLE, 1, &block[71..])),
        (DOWN, &answer(0, 1, "200")),
        (DOWN, &data(PADDED, 1, b"\x02ab\0\0")),
        (DOWN, &data(PADDED | END, 1, b"\x01\0")),
    ]);
    assert_eq!(lines(&items), ["GET /x 200"]);
    assert_eq!(body_of(&items[0]), b"ab");
    assert_eq!(
        shown(&items[0].request)["headers"]["x-long"],
        "v".repeat(300)
    );
}

#[test]
fn interim_responses_and_trailers_are_no_answers_of_their_own() {
    let items = run(&[
        (UP, &ask(0, 1, "/a")),
        (DOWN, &headers(0, 1, &[(":status", "100")])),
        (
            DOWN,
            &headers(0, 1, &[(":status", "103"), ("link", "</x>")]),
        ),
        (UP, &data(0, 1, b"hi")),
        (UP, &headers(END, 1, &[("x-sum", "9")])),
        (DOWN, &answer(0, 1, "200")),
        (DOWN, &data(0, 1, b"yes")),
        (DOWN, &headers(END, 1, &[("server-timing", "a")])),
    ]);
    assert_eq!(lines(&items), ["GET /a 200"]);
    assert_eq!(shown(&items[0].request)["headers"]["x-sum"], "9");
    let response = shown(&items[0].response);
    assert_eq!(response["headers"]["server-timing"], "a");
    assert_eq!(response["headers"]["link"], serde_json::Value::Null);
}

#[test]
fn resets_and_goaway_say_who_and_why() {
    let items = run(&[
        (
            UP,
            &[
                ask(END, 1, "/a"),
                ask(0, 3, "/b"),
                ask(END, 5, "/c"),
                ask(END, 7, "/d"),
            ]
            .concat(),
        ),
        (DOWN, &frame(RST_STREAM, 0, 1, &7u32.to_be_bytes())),
        (DOWN, &[answer(0, 5, "200"), data(0, 5, b"par")].concat()),
        (UP, &frame(RST_STREAM, 0, 5, &8u32.to_be_bytes())),
        // Still under way when the client gave up.
        (
            DOWN,
            &[data(END, 5, b"tial"), answer(END, 3, "413")].concat(),
        ),
        (DOWN, &frame(RST_STREAM, 0, 3, &0u32.to_be_bytes())),
        (DOWN, &frame(GOAWAY, 0, 0, b"\0\0\0\x05\0\0\0\x0bcalm down")),
        (UP, &ask(END, 9, "/e")),
    ]);
    assert_eq!(
        lines(&items),
        [
            "GET /a 0 connection: the server reset the stream: REFUSED_STREAM",
            "GET /c 200 connection: the client reset the stream: CANCEL",
            "GET /b 413",
            "GET /d 0 connection: the connection was given up before this stream: ENHANCE_YOUR_CALM",
            "GET /e 0 connection: the connection was closed before it was answered: ENHANCE_YOUR_CALM",
        ]
    );
    assert!(items[1].response.is_cut());
}

#[test]
fn pushed_requests_have_their_response() {
    let mut promise = 2u32.to_be_bytes().to_vec();
    promise.extend(block(&[
        (":method", "GET"),
        (":path", "/style.css"),
        (":scheme", "http"),
    ]));
    let items = run(&[
        (UP, &ask(END, 1, "/")),
        (DOWN, &frame(PUSH_PROMISE, WHOLE, 1, &promise)),
        (
            DOWN,
            &[
                answer(END, 1, "200"),
                answer(0, 2, "200"),
                data(END, 2, b"a{}"),
            ]
            .concat(),
        ),
    ]);
    assert_eq!(lines(&items), ["GET / 200", "GET /style.css 200"]);
    assert_eq!(shown(&items[1].request)["pushed"], true);
    assert_eq!(shown(&items[0].request)["pushed"], serde_json::Value::Null);
    assert!(items[1].from_client);
}

#[test]
fn compressed_bodies_are_shown_decoded() {
    let gzip = {
        let mut out = Vec::new();
        let plain = &b"la la la la la la"[..];
        let mut encoder = flate2::read::GzEncoder::new(plain, flate2::Compression::default());
        std::io::copy(&mut encoder, &mut out).unwrap();
        out
    };
    let items = run(&[
        (UP, &ask(END, 1, "/")),
        (
            DOWN,
            &headers(0, 1, &[(":status", "200"), ("content-encoding", "gzip")]),
        ),
        (
            DOWN,
            &[data(0, 1, &gzip[..9]), data(END, 1, &gzip[9..])].concat(),
        ),
    ]);
    assert_eq!(body_of(&items[0]), b"la la la la la la");
    assert_eq!(shown(&items[0].response)["bodySize"], gzip.len());
}

#[test]
fn a_graphql_operation_is_of_its_own_kind() {
    let asks = |body: &[u8]| {
        let fields = [
            (":method", "POST"),
            (":path", "/graphql"),
            ("content-type", "application/json"),
        ];
        let request = [headers(WHOLE, 1, &fields), frame(DATA, END, 1, body)].concat();
        let response = headers(WHOLE | END, 1, &[(":status", "200")]);
        let items = run(&[(UP, &request), (DOWN, &response)]);
        assert_eq!(items.len(), 1);
        (items[0].kind.abbr, items[0].kind.version)
    };
    assert_eq!(asks(br#"{"query":"{ cart { id } }"}"#), ("GQL", "2.0"));
    assert_eq!(asks(br#"{"query":"shoes"}"#), ("HTTP/2", "2.0"));
}

//! gRPC and gRPC-Web.

use super::*;

#[test]
fn a_call_has_its_messages_and_its_status() {
    let mut zipped = Vec::new();
    let mut encoder = flate2::read::GzEncoder::new(&b"inside"[..], flate2::Compression::fast());
    std::io::copy(&mut encoder, &mut zipped).unwrap();
    let asked = [message(0, b"\x08\x01"), message(1, &zipped)].concat();
    let items = run(&[
        (UP, &call(0, 1, "application/grpc+proto")),
        (
            UP,
            &[data(0, 1, &asked[..4]), data(END, 1, &asked[4..])].concat(),
        ),
        (
            DOWN,
            &headers(
                0,
                1,
                &[(":status", "200"), ("content-type", "application/grpc")],
            ),
        ),
        (DOWN, &data(0, 1, &message(0, b""))),
        (
            DOWN,
            &headers(
                END,
                1,
                &[("grpc-status", "5"), ("grpc-message", "no%20item")],
            ),
        ),
    ]);
    let [item] = &items[..] else {
        panic!("{items:?}")
    };
    assert_eq!(
        (item.kind.abbr, item.kind.macro_name, item.kind.version),
        ("gRPC", "grpc", "2.0")
    );
    let (request, response) = (shown(&item.request), shown(&item.response));
    assert_eq!(request["postData"]["text"], STANDARD.encode(&asked));
    assert_eq!(
        request["grpc"],
        serde_json::json!({
            "service": "shop.v1.Cart", "method": "Add",
            "messages": [
                {"compressed": false, "size": 2, "data": "CAE=", "fields": {"1": 1}},
                {"compressed": true, "size": zipped.len(), "data": STANDARD.encode("inside")},
            ],
        })
    );
    assert_eq!(
        response["grpc"],
        serde_json::json!({
            "status": 5, "statusName": "NOT_FOUND", "message": "no item",
            "messages": [{"compressed": false, "size": 0, "data": ""}],
        })
    );
    assert_eq!(response["headers"]["grpc-status"], "5");
    assert_eq!(response["status"], 200);
}

#[test]
fn a_call_may_end_with_its_first_section_or_with_none() {
    let items = run(&[
        (
            UP,
            &[
                call(END, 1, "application/grpc"),
                call(0, 3, "application/grpc"),
            ]
            .concat(),
        ),
        (
            DOWN,
            &headers(END, 1, &[(":status", "200"), ("grpc-status", "12")]),
        ),
        (UP, &data(0, 3, &message(0, b"cut short")[..8])),
        (UP, &frame(RST_STREAM, 0, 3, &8u32.to_be_bytes())),
    ]);
    assert_eq!(
        shown(&items[0].response)["grpc"]["statusName"],
        "UNIMPLEMENTED"
    );
    assert_eq!(items[1].kind.abbr, "gRPC");
    assert_eq!(
        shown(&items[1].request)["grpc"]["messages"],
        serde_json::json!([{"compressed": false, "size": 9, "data": "Y3V0", "truncated": true}])
    );
}

#[test]
fn grpc_web_has_its_trailers_in_the_body() {
    let body = [
        message(0, b"hi"),
        message(0x80, b"grpc-status: 3\r\ngrpc-message: bad%21\r\n"),
    ];
    // "each with its own padding".
    let text: String = body.iter().map(|part| STANDARD.encode(part)).collect();
    for (kind, sent) in [
        ("application/grpc-web+proto", body.concat()),
        ("application/grpc-web-text", text.into_bytes()),
    ] {
        let items = run(&[
            (UP, &call(END, 1, kind)),
            (
                DOWN,
                &headers(0, 1, &[(":status", "200"), ("content-type", kind)]),
            ),
            (DOWN, &data(END, 1, &sent)),
        ]);
        assert_eq!(
            shown(&items[0].response)["grpc"],
            serde_json::json!({
                "status": 3, "statusName": "INVALID_ARGUMENT", "message": "bad!",
                "messages": [{"compressed": false, "size": 2, "data": "aGk=", "fields": {"13": 105}}],
            }),
            "{kind}"
        );
    }
}

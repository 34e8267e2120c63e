//! Bodies, packed and plain, and what is kept of them.

use super::*;

#[test]
fn compressed_bodies_are_shown_decoded() {
    let plain = b"la la la la la la la la la la la la".repeat(20);
    for (coding, name) in [
        ("gzip", "gzip"),
        ("zlib", "deflate"),
        ("raw", "deflate"),
        ("zstd", "ZSTD"),
    ] {
        let sent = compress(coding, &plain);
        let item = answered_with(name, &sent);
        assert_eq!(body_of(&item), plain, "{coding}");
        assert_eq!(json_of(&item.response)["content"]["size"], plain.len());
        assert_eq!(json_of(&item.response)["bodySize"], sent.len());
    }
    let twice = compress("gzip", &compress("raw", &plain));
    assert_eq!(body_of(&answered_with("deflate, gzip", &twice)), plain);
    // RFC 7932: an uncompressed meta-block of three bytes.
    let brotli = [0x0b, 0x01, 0x80, b'a', b'b', b'c', 0x03];
    assert_eq!(body_of(&answered_with("br", &brotli)), b"abc");
}

#[test]
fn what_is_not_compressed_is_shown_as_sent() {
    assert_eq!(body_of(&answered_with("gzip", b"plain")), b"plain");
    assert_eq!(body_of(&answered_with("lzw", b"other")), b"other");
    let cut = compress("gzip", &b"0123456789".repeat(1000));
    let item = answered_with("gzip", &cut[..cut.len() - 9]);
    assert!(body_of(&item).starts_with(b"0123456789"));
    assert!(item.response.is_cut());
}

#[test]
fn a_bomb_is_cut() {
    let bomb = compress("zstd", &vec![0; 64 * 1024 * 1024]);
    let item = answered_with("zstd", &bomb);
    assert_eq!(body_of(&item).len(), crate::item::MAX_ITEM_BODY);
    assert!(item.response.is_cut());
}

#[test]
fn a_long_body_is_kept_to_the_cap() {
    let body = vec![b'x'; 300 * 1024];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut wire = Wire::new(Opening::Syn);
    wire.send(ToServer, b"GET / HTTP/1.1\r\n\r\n");
    wire.send(ToClient, head.as_bytes());
    for part in body.chunks(1448) {
        wire.send(ToClient, part);
    }
    let items = wire.end();
    assert_eq!(body_of(&items[0]).len(), crate::item::MAX_ITEM_BODY);
    assert!(items[0].response.is_cut());
    assert_eq!(json_of(&items[0].response)["content"]["size"], body.len());
    assert_eq!(items[0].error, None);
}

#[test]
fn a_head_beyond_the_cap_is_cut() {
    let mut request = b"GET /long HTTP/1.1\r\n".to_vec();
    while request.len() < 80 * 1024 {
        request.extend_from_slice(b"X-Filler: 0123456789012345678901234567890123456789\r\n");
    }
    request.extend_from_slice(b"\r\nGET /next HTTP/1.1\r\n\r\n");
    let items = run(&[(ToServer, &request)]);
    assert_eq!(
        lines(&items),
        ["GET /long 0 dissection", "GET /next 0 connection"]
    );
}

#[test]
fn open_requests_are_bounded() {
    let mut wire = Wire::new(Opening::Syn);
    for turn in 0..1100 {
        wire.send(ToServer, format!("GET /{turn} HTTP/1.1\r\n\r\n").as_bytes());
    }
    assert_eq!(wire.items.0.len(), 1100 - 1024);
    for turn in 0..1100 {
        let head = format!("HTTP/1.1 200 {turn}\r\nContent-Length: 0\r\n\r\n");
        wire.send(ToClient, head.as_bytes());
    }
    let items = wire.end();
    let paired: Vec<_> = items
        .iter()
        .map(|item| (json_of(&item.request), json_of(&item.response)))
        .filter(|(request, response)| !request.is_null() && response["status"] == 200)
        .collect();
    assert_eq!(paired.len(), 1024);
    for (request, response) in paired {
        assert_eq!(
            request["path"].as_str().unwrap().trim_start_matches('/'),
            response["statusText"]
        );
    }
}

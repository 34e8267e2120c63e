//! What a peer may send without end.

use super::*;

#[test]
fn open_streams_are_bounded() {
    let mut feed = feed();
    feed.chunk(UP, &hello());
    for turn in 0..1100u32 {
        feed.chunk(UP, &ask(END, 2 * turn + 1, "/many"));
    }
    assert_eq!(feed.drafts.0.len(), 1100 - 1024);
    assert_eq!(
        lines(&feed.drafts.0[..1]),
        ["GET /many 0 pair-not-found: too many streams were open to await the end of this one"]
    );
    assert_eq!(feed.end().len(), 1100);
}

#[test]
fn kept_bytes_are_bounded() {
    let mut feed = feed();
    feed.chunk(UP, &hello());
    for stream in 0..40u32 {
        feed.chunk(UP, &ask(0, 2 * stream + 1, "/big"));
        for _ in 0..20 {
            feed.chunk(UP, &data(0, 2 * stream + 1, &[b'x'; 16_384]));
        }
    }
    let state = feed.conversation().save().len();
    assert!(state < 5 << 20, "{state}");
    for stream in 0..40u32 {
        feed.chunk(DOWN, &answer(END, 2 * stream + 1, "200"));
        feed.chunk(UP, &data(END, 2 * stream + 1, b""));
    }
    let items = feed.end();
    assert_eq!(items.len(), 40);
    for item in &items {
        let request = shown(&item.request);
        assert_eq!(
            (request["bodySize"].as_u64(), item.request.is_cut()),
            (Some(20 * 16_384), true)
        );
        assert!(request["postData"]["text"].as_str().unwrap().len() <= MAX_ITEM_BODY);
    }
}

#[test]
fn trailers_without_end_are_bounded() {
    let mut feed = feed();
    feed.chunk(UP, &[hello(), ask(0, 1, "/a")].concat());
    let value = "v".repeat(10_000);
    for _ in 0..1000 {
        feed.chunk(UP, &headers(0, 1, &[("x-more", &value)]));
    }
    let state = feed.conversation().save().len();
    assert!(state < 200_000, "{state}");
    // What was left out counts for nothing: the next body is kept.
    feed.chunk(UP, &[ask(0, 3, "/b"), data(END, 3, b"body")].concat());
    feed.chunk(
        DOWN,
        &[answer(END, 3, "200"), answer(END, 1, "431")].concat(),
    );
    let items = feed.end();
    assert_eq!(shown(&items[0].request)["postData"]["text"], "body");
    assert!(lines(&items[1..])[0].starts_with("GET /a 431 connection: "));
}

#[test]
fn a_header_block_beyond_the_cap_keeps_the_table_in_step() {
    // Fields are kept up to a cap; those behind it still go into the table.
    let mut large = b"\x82\x84".to_vec();
    for _ in 0..20 {
        large.extend(b"\x00\x01x");
        literal(&[b'v'; 5000], false, &mut large);
    }
    large.extend(b"\x40\x05later\x04seen");
    let mut frames = frame(HEADERS, END, 1, &large[..10_000]);
    let parts: Vec<&[u8]> = large[10_000..].chunks(16_000).collect();
    for (index, part) in parts.iter().enumerate() {
        let flags = if index + 1 == parts.len() { WHOLE } else { 0 };
        frames.extend(frame(CONTINUATION, flags, 1, part));
    }
    let items = run(&[
        (UP, &frames),
        (UP, &frame(HEADERS, WHOLE | END, 3, b"\x82\x84\xbe")),
        (
            DOWN,
            &[answer(END, 1, "431"), answer(END, 3, "200")].concat(),
        ),
    ]);
    assert_eq!(
        lines(&items),
        [
            "GET / 431 dissection: the header fields of the request are not all there",
            "GET / 200",
        ]
    );
    assert_eq!(shown(&items[1].request)["headers"]["later"], "seen");
}

#[test]
fn a_field_without_end_costs_its_block_and_no_more() {
    let mut feed = feed();
    feed.chunk(UP, &hello());
    let mut open = b"\x82\x00\x01x".to_vec();
    open.extend(b"\x7f\xff\xff\xff\x7f");
    feed.chunk(UP, &frame(HEADERS, END, 1, &open));
    for _ in 0..500 {
        feed.chunk(UP, &frame(CONTINUATION, 0, 1, &[b'v'; 16_000]));
    }
    let state = feed.conversation().save().len();
    assert!(state < 100_000, "{state}");
    feed.chunk(UP, &frame(CONTINUATION, WHOLE, 1, b"v"));
    feed.chunk(UP, &ask(END, 3, "/next"));
    feed.chunk(DOWN, &answer(END, 3, "200"));
    feed.fin(DOWN);
    assert_eq!(
        lines(&feed.end()),
        [
            "GET /next 200",
            "GET  0 dissection: a header block has a field or a frame that is too long"
        ]
    );
}

#[test]
fn malformed_blocks_are_told_and_cost_only_the_table() {
    let items = run(&[
        (UP, &frame(HEADERS, WHOLE | END, 1, b"\x82\x84\xff\x20")),
        (UP, &frame(HEADERS, END, 3, b"\x82\x84")),
        (UP, &ask(END, 5, "/c")),
        (
            DOWN,
            &[
                answer(END, 1, "400"),
                answer(END, 3, "400"),
                answer(END, 5, "200"),
            ]
            .concat(),
        ),
    ]);
    assert_eq!(
        lines(&items),
        [
            "GET / 400 dissection: a header block has an index that stands for no field",
            "GET / 400 dissection: a header block ends too early",
            "GET /c 200",
        ]
    );
}

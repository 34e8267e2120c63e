//! Tests of compressed messages (RFC 7692), and of states saved within them.

use super::*;

#[test]
fn compressed_messages_refer_to_each_other() {
    let (mut client, mut server) = (sender(), sender());
    let words = ["the same words", "the same words", "the same words again"];
    let mut feed = open("permessage-deflate");
    for word in words {
        let payload = deflate(&mut client, word.as_bytes());
        feed.chunk(UP, &frame(UP, 0xc1, &payload));
        // What is not compressed is not part of the window (RFC 7692 section 7.2.2).
        feed.chunk(UP, &text(UP, "plain"));
        // Fragments of a compressed message, the bit on the first alone.
        let payload = deflate(&mut server, word.as_bytes());
        let (first, second) = payload.split_at(1);
        feed.chunk(DOWN, &frame(DOWN, 0x41, first));
        feed.chunk(DOWN, &frame(DOWN, 0x80, second));
    }
    let drafts = messages(feed);
    let expected = words.iter().flat_map(|word| {
        [
            format!("client text {word}"),
            "client text plain".to_owned(),
            format!("server text {word}"),
        ]
    });
    assert_eq!(lines(&drafts), expected.collect::<Vec<_>>());
    assert!(matches!(
        member(&drafts[0], "compressed"),
        Value::Bool(true)
    ));
    assert_eq!(int(&drafts[2], "length"), 14);
    assert_eq!(int(&drafts[2], "frames"), 2);
}

#[test]
fn without_takeover_each_message_stands_alone() {
    let mut feed = open("permessage-deflate; server_no_context_takeover");
    let alone = || deflate(&mut sender(), b"the same words");
    feed.chunk(DOWN, &frame(DOWN, 0xc1, &alone()))
        .chunk(DOWN, &frame(DOWN, 0xc1, b"\xff\xff\xff"))
        .chunk(DOWN, &frame(DOWN, 0xc1, &alone()))
        .gap(DOWN, 9)
        .chunk(DOWN, &frame(DOWN, 0xc1, &alone()));
    assert_eq!(
        lines(&messages(feed)),
        [
            "server text the same words",
            "server text  the compressed payload is malformed",
            "server text the same words",
            "server text the same words",
        ]
    );
}

#[test]
fn a_long_message_is_cut_and_the_window_stays_right() {
    let mut server = sender();
    let long: Vec<u8> = (0..MAX_ITEM_BODY as u32)
        .flat_map(|number| (number / 3).wrapping_mul(0x9e37_79b9).to_be_bytes())
        .collect();
    let tail = long[long.len() - 2000..].to_vec();
    let mut feed = open("permessage-deflate");
    let first = deflate(&mut server, &long);
    let second = deflate(&mut server, &tail);
    assert!(second.len() < 200, "refers to the first message");
    for piece in frame(DOWN, 0xc2, &first).chunks(1448) {
        feed.chunk(DOWN, piece);
    }
    feed.chunk(DOWN, &frame(DOWN, 0xc2, &second));
    // The same as it is.
    for piece in frame(UP, 0x82, &long).chunks(1448) {
        feed.chunk(UP, piece);
    }
    feed.chunk(UP, &frame(UP, 0x82, &long));
    let drafts = messages(feed);
    for at in [0, 2, 3] {
        assert_eq!(int(&drafts[at], "length"), long.len() as i64);
        assert!(payload(&drafts[at]) == long[..MAX_ITEM_BODY]);
        assert!(drafts[at].request.is_cut() && drafts[at].error.is_none());
    }
    assert!(payload(&drafts[1]) == tail && !drafts[1].request.is_cut());
}

#[test]
fn a_bomb_is_cut_and_what_refers_to_it_is_marked() {
    let mut server = sender();
    let bomb = deflate(&mut server, &vec![b'a'; 2 * MAX_INFLATED as usize]);
    let mut feed = open("permessage-deflate");
    feed.chunk(DOWN, &frame(DOWN, 0xc1, &bomb))
        .chunk(DOWN, &frame(DOWN, 0xc1, &deflate(&mut server, b"aaaa")))
        .chunk(DOWN, &text(DOWN, "plain"));
    let state = feed.conversation().save().len();
    assert!(state < 2 * MAX_ITEM_BODY, "{state} bytes kept");
    let drafts = messages(feed);
    assert_eq!(payload(&drafts[0]).len(), MAX_ITEM_BODY);
    let errors: Vec<_> = drafts
        .iter()
        .map(|draft| draft.error.as_ref().map_or("", |error| &error.msg))
        .collect();
    assert_eq!(
        errors,
        [
            "the compressed payload is longer than 16 MiB",
            "the payload is compressed with earlier bytes that were not captured",
            "",
        ]
    );
}

/// A conversation with everything in it that a saved state must hold.
fn turns() -> Vec<(Direction, Vec<u8>)> {
    let (mut client, mut server) = (sender(), sender());
    let mut turns = handshake("permessage-deflate; server_max_window_bits=15").to_vec();
    let mut say = |direction, first: u8, message: &str| {
        let side = match direction {
            UP => &mut client,
            DOWN => &mut server,
        };
        let payload = deflate(side, message.as_bytes());
        let (begin, end) = payload.split_at(payload.len() / 2);
        let frames = [
            frame(direction, first & 0x7f, begin),
            frame(direction, 0x89, b"?"),
            frame(direction, 0x80, end),
        ];
        turns.push((direction, frames.concat()));
        turns.push((direction, text(direction, "plain between")));
    };
    for round in 0..4 {
        let words: Vec<_> = (0..300).map(|word| format!("{:x}", word * round)).collect();
        say(UP, 0xc1, &words.join(" "));
        say(DOWN, 0xc2, &words.join(","));
    }
    turns.push((UP, frame(UP, 0x88, b"\x03\xe8done")));
    turns
}

fn play(turns: &[(Direction, Vec<u8>)], size: usize, save_at: Option<usize>) -> Vec<String> {
    let mut feed = Feed::new(Transport::Tcp, 8080, &both());
    let pieces = turns
        .iter()
        .flat_map(|(direction, bytes)| bytes.chunks(size).map(|piece| (*direction, piece)));
    for (at, (direction, piece)) in pieces.enumerate() {
        if Some(at) == save_at {
            feed.hand_over(&both());
        }
        feed.chunk(direction, piece);
    }
    feed.end()
        .iter()
        .map(|draft| {
            format!(
                "{} {:?} {:?}",
                draft.request_size, draft.request, draft.error
            )
        })
        .collect()
}

#[test]
fn cuts_and_saves_give_the_same_items_with_compression() {
    let turns = turns();
    let whole = play(&turns, usize::MAX, None);
    assert_eq!(whole.len(), 1 + 4 * 6 + 1);
    assert!(
        whole.iter().all(|line| line.ends_with("None")),
        "{whole:#?}"
    );
    for size in [1, 2, 3, 7, 100] {
        assert_eq!(play(&turns, size, None), whole, "pieces of {size}");
    }
    for size in [41, 500] {
        let pieces: usize = turns
            .iter()
            .map(|(_, bytes)| bytes.len().div_ceil(size))
            .sum();
        for at in 0..pieces {
            assert_eq!(
                play(&turns, size, Some(at)),
                whole,
                "saved at {at} of {size}"
            );
        }
    }
}

#[test]
fn a_damaged_state_with_windows_is_refused_or_survived() {
    let turns = turns();
    let mut feed = Feed::new(Transport::Tcp, 8080, &both());
    for (direction, bytes) in &turns[..8] {
        feed.chunk(*direction, bytes);
    }
    let (direction, bytes) = &turns[8];
    feed.chunk(*direction, &bytes[..bytes.len() / 3]);
    let state = feed.conversation().save();
    let info = *feed.conversation().info();
    for at in 0..state.len() {
        let mut flipped = state.clone();
        flipped[at] ^= 0xff;
        for damaged in [&state[..at], &flipped] {
            let budget = crate::flow::Budget::new(1000);
            let restored =
                super::super::super::Conversation::restore(&info, &both(), &budget, damaged);
            if let Some(restored) = restored.filter(|_| at % 16 == 0) {
                let mut later = Feed::new(Transport::Tcp, 8080, &both());
                *later.conversation_mut() = restored;
                later.chunk(*direction, &bytes[bytes.len() / 3..]);
                later.end();
            }
        }
    }
}

//! Tests of streams whose handshake was not captured, or not to its end.

use super::*;

/// What is missing of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Request,
    Response,
    /// The response but for this many bytes.
    CutResponse(usize),
    Both,
}

/// Four compressed messages of each side, the client's in two frames with a ping between them.
fn talk(feed: &mut Feed) {
    let (mut client, mut server) = (sender(), sender());
    for number in 0..4 {
        let asked = deflate(&mut client, format!("hello hello {number}").as_bytes());
        let (front, rest) = asked.split_at(5);
        let frames = [
            frame(UP, 0x41, front),
            frame(UP, 0x89, b"pp"),
            frame(UP, 0x80, rest),
        ];
        let told = deflate(&mut server, format!("reply reply {number}").as_bytes());
        feed.chunk(UP, &frames.concat())
            .hand_over(&both())
            .chunk(DOWN, &frame(DOWN, 0xc1, &told));
    }
}

#[test]
fn compressed_messages_are_read_behind_a_handshake_that_is_missing() {
    let [(_, request), (_, response)] = handshake("permessage-deflate");
    for missing in [
        Missing::Request,
        Missing::Response,
        Missing::CutResponse(20),
        Missing::CutResponse(response.len() - 10),
        Missing::Both,
    ] {
        let mut feed = Feed::new(Transport::Tcp, 8080, &both());
        match missing {
            Missing::Request | Missing::Both => feed.gap(UP, request.len()),
            _ => feed.chunk(UP, &request),
        };
        match missing {
            Missing::Response | Missing::Both => feed.gap(DOWN, response.len()),
            Missing::CutResponse(kept) => feed
                .chunk(DOWN, &response[..kept])
                .gap(DOWN, response.len() - kept),
            Missing::Request => feed.chunk(DOWN, &response),
        };
        talk(&mut feed);
        let drafts = feed.end();
        let drafts: Vec<_> = drafts
            .into_iter()
            .filter(|draft| draft.kind.name == "ws")
            .collect();
        let expected: Vec<_> = (0..4)
            .flat_map(|number| {
                [
                    "client ping".to_owned(),
                    format!("client text hello hello {number}"),
                    format!("server text reply reply {number}"),
                ]
            })
            .collect();
        let told: Vec<_> = lines(&drafts)
            .into_iter()
            .map(|line| line.replace("client ping pp", "client ping"))
            .collect();
        assert_eq!(told, expected, "{missing:?}");
    }
}

#[test]
fn what_no_inflater_reads_is_shown_as_changed() {
    let [(_, request), (_, response)] = handshake("");
    let mut feed = Feed::new(Transport::Tcp, 8080, &both());
    feed.chunk(UP, &request)
        .gap(DOWN, response.len())
        .chunk(UP, &frame(UP, 0xc1, b"\xff\xff\xff"))
        .chunk(UP, &text(UP, "plain"));
    assert_eq!(
        lines(&messages(feed)),
        [
            "client text  the payload is changed in a way that the handshake would tell",
            "client text plain",
        ]
    );
}

#[test]
fn the_frames_that_tell_behind_gaps_are_items_too() {
    let mut feed = Feed::new(Transport::Tcp, 8080, &both());
    feed.gap(DOWN, 100).gap(UP, 100);
    for number in ["one one", "two two", "three three"] {
        feed.chunk(UP, &text(UP, number))
            .chunk(DOWN, &text(DOWN, number));
    }
    assert_eq!(feed.end().len(), 6);
}

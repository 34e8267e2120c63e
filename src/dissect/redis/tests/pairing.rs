//! Tests of how a client that pipelines is paired again behind a gap.

use super::*;
use std::fmt::Write as _;

/// Commands of the given numbers, and their replies; each has the number in it.
fn commands(numbers: std::ops::Range<u32>) -> Vec<u8> {
    numbers.flat_map(|at| array(&format!("GET {at}"))).collect()
}

fn replies(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let mut bytes = String::new();
    for at in numbers {
        let _ = write!(bytes, ":{at}\r\n");
    }
    bytes.into_bytes()
}

/// How many items are pairs, of which each must be right.
fn pairs(drafts: &[Draft]) -> usize {
    let paired = |draft: &&Draft| error(draft).is_empty();
    for draft in drafts.iter().filter(paired) {
        let (key, value) = brief(std::slice::from_ref(draft))
            .remove(0)
            .split_once('=')
            .map(|(key, value)| (key.replace("GET ", ""), value.to_owned()))
            .unwrap();
        assert_eq!(key, value);
    }
    drafts.iter().filter(paired).count()
}

fn batch(feed: &mut Feed, numbers: std::ops::Range<u32>) {
    feed.chunk(UP, &commands(numbers.clone()))
        .hand_over(&Protocols::all())
        .chunk(DOWN, &replies(numbers));
}

#[test]
fn a_client_that_awaits_its_batches_is_paired_again_after_four_even_rounds() {
    // What is missing: a command, its reply, both.
    for (command, reply) in [(true, false), (false, true), (true, true)] {
        let mut feed = redis();
        batch(&mut feed, 0..1);
        batch(&mut feed, 1..9);
        match command {
            true => feed.gap(UP, 22),
            false => feed.chunk(UP, &commands(9..10)),
        };
        match reply {
            true => feed.gap(DOWN, 4),
            false => feed.chunk(DOWN, &replies(9..10)),
        };
        for at in 10..40 {
            batch(&mut feed, at..at + 1);
        }
        // The round behind the gap, and four.
        assert_eq!(pairs(&feed.end()), 9 + 30 - 5, "{command} {reply}");
    }
}

#[test]
fn batches_behind_a_gap_are_paired() {
    let mut feed = redis();
    batch(&mut feed, 0..8);
    feed.gap(UP, 60).chunk(UP, &commands(10..16));
    feed.chunk(DOWN, &replies(8..16));
    for at in 2..12 {
        batch(&mut feed, at * 8..at * 8 + 8);
    }
    assert_eq!(pairs(&feed.end()), 8 + (10 - 4) * 8);
}

#[test]
fn a_ping_alone_and_its_pong_tell_that_nothing_is_open() {
    // A second PING in a row does not: its PONG may be that of the first.
    for (pings, last) in [(1, "GET 5=5"), (2, "=5 pair-not-found")] {
        let mut feed = redis();
        feed.chunk(UP, &commands(0..2)).gap(UP, 22);
        feed.chunk(DOWN, &replies(0..4));
        batch(&mut feed, 4..5);
        feed.gap(UP, 22).chunk(DOWN, &replies(9..10));
        for _ in 0..pings {
            feed.gap(UP, 14).chunk(UP, &array("PING"));
            feed.chunk(DOWN, b"+PONG\r\n");
        }
        batch(&mut feed, 5..6);
        assert_eq!(brief(&feed.end()).last().unwrap(), last);
    }
}

#[test]
fn callers_that_share_a_connection_in_turns_are_never_paired_behind_a_gap() {
    let mut feed = redis();
    feed.chunk(UP, &commands(0..2))
        .chunk(DOWN, &replies(0..1))
        .chunk(UP, &commands(2..3))
        .chunk(DOWN, &replies(1..3));
    feed.chunk(UP, &commands(3..4)).gap(UP, 22);
    for at in 3..200 {
        feed.chunk(DOWN, &replies(at..at + 1))
            .chunk(UP, &commands(at + 2..at + 3));
    }
    assert_eq!(pairs(&feed.end()), 4);
}

proptest! {
    #[test]
    fn a_client_that_awaits_its_batches_is_never_paired_wrongly(
        rounds in proptest::collection::vec((1..5_u32, 0..12_u32, 0..12_u32), 1..60),
    ) {
        let mut feed = redis();
        batch(&mut feed, 0..3);
        let mut at = 3;
        for (count, commands_missing, replies_missing) in rounds {
            // Of most rounds nothing is missing, of others the front.
            let missing = |count: u32, drawn: u32| if drawn > count { 0 } else { drawn };
            let (first, first_reply) =
                (missing(count, commands_missing), missing(count, replies_missing));
            if first > 0 {
                feed.gap(UP, commands(at..at + first).len());
            }
            if first < count {
                feed.chunk(UP, &commands(at + first..at + count));
            }
            if first_reply > 0 {
                feed.gap(DOWN, replies(at..at + first_reply).len());
            }
            if first_reply < count {
                feed.chunk(DOWN, &replies(at + first_reply..at + count));
            }
            at += count;
        }
        pairs(&feed.end());
    }
}

//! Which answer belongs to which request when some were not captured.

use super::*;

#[test]
fn a_gap_in_the_rows_keeps_the_pairing() {
    let rows = [description(&["id"]), row(&["1"]), row(&["2"])].concat();
    let mut feed = feed();
    for (direction, bytes) in opened() {
        feed.chunk(direction, &bytes);
    }
    feed.chunk(UP, &query("select a"))
        .chunk(DOWN, &rows)
        .gap(DOWN, 300)
        .chunk(DOWN, b"the rest of a row that began in the gap")
        .chunk(DOWN, &[done("SELECT 9"), ready(b'I')].concat())
        .chunk(UP, &query("select b"))
        .gap(DOWN, 300)
        .chunk(UP, &query("select c"))
        .chunk(DOWN, &[done("SELECT 0"), ready(b'I')].concat());
    let drafts = feed.end();
    assert_eq!(errors(&drafts[1..]), ["dissection", "dissection", ""]);
    assert_eq!(text(&drafts[1].response, "commandTag"), "SELECT 9");
    assert_eq!(text(&drafts[3].request, "query"), "select c");
    assert_eq!(text(&drafts[3].response, "commandTag"), "SELECT 0");
}

#[test]
fn a_lost_request_leaves_an_answer_without_one() {
    let mut feed = feed();
    for (direction, bytes) in opened() {
        feed.chunk(direction, &bytes);
    }
    let answer = [done("SELECT 0"), ready(b'I')].concat();
    feed.gap(UP, 40)
        .chunk(DOWN, &answer)
        .chunk(UP, &query("select b"))
        .chunk(DOWN, &answer);
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["", "pair-not-found", ""]);
    assert!(matches!(drafts[1].request, Value::Null));
}

#[test]
fn pipelined_requests_behind_a_lost_one_are_marked_until_the_order_is_known() {
    let mut feed = feed();
    for (direction, bytes) in opened() {
        feed.chunk(direction, &bytes);
    }
    feed.gap(UP, query("a").len())
        .chunk(UP, &[query("b"), query("c")].concat())
        .hand_over(&enabled(&["postgresql"]).0)
        .chunk(DOWN, &[tagged(1), tagged(2), tagged(3)].concat())
        .chunk(UP, &[query("d"), query("e")].concat())
        .chunk(DOWN, &[tagged(4), tagged(5)].concat());
    let drafts = feed.end();
    assert_eq!(
        pairs(&drafts[1..]),
        [
            "b -> SELECT 1 dissection",
            "c -> SELECT 2 dissection",
            " -> SELECT 3 pair-not-found",
            "d -> SELECT 4",
            "e -> SELECT 5"
        ]
    );
}

#[test]
fn a_lost_request_behind_one_that_waits_is_known_by_the_answer_too_many() {
    let mut feed = feed();
    for (direction, bytes) in opened() {
        feed.chunk(direction, &bytes);
    }
    feed.gap(UP, query("a").len())
        .chunk(UP, &query("b"))
        .chunk(DOWN, &tagged(1))
        .chunk(UP, &query("c"))
        .chunk(DOWN, &[tagged(2), tagged(3)].concat())
        .chunk(UP, &query("d"))
        .chunk(DOWN, &tagged(4));
    let drafts = feed.end();
    assert_eq!(
        pairs(&drafts[1..]),
        [
            "b -> SELECT 1 dissection",
            "c -> SELECT 2 dissection",
            " -> SELECT 3 pair-not-found",
            "d -> SELECT 4"
        ]
    );
}

#[test]
fn a_batch_without_its_beginning_ends_with_its_ready_for_query() {
    let mut feed = feed();
    for (direction, bytes) in opened() {
        feed.chunk(direction, &bytes);
    }
    let executed = |count| [empty(b'1'), empty(b'2'), done(&format!("SELECT {count}"))].concat();
    feed.gap(UP, 60)
        .chunk(
            UP,
            &[parse("", "b"), bind("", "", "1"), execute(""), sync()].concat(),
        )
        .chunk(DOWN, &[executed(1), executed(2), ready(b'I')].concat())
        .chunk(UP, &query("d"))
        .chunk(DOWN, &tagged(4));
    let drafts = feed.end();
    assert_eq!(
        pairs(&drafts[1..]),
        [
            " -> SELECT 2 pair-not-found",
            "b -> SELECT 1 dissection",
            "d -> SELECT 4"
        ]
    );
}

#[test]
fn requests_in_flight_when_the_capture_begins_mark_those_behind_them() {
    let mut feed = feed();
    feed.gap(UP, 40)
        .gap(DOWN, 40)
        .chunk(UP, &[query("select 2"), query("select 3")].concat())
        .chunk(DOWN, &[tagged(1), tagged(2)].concat());
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["dissection", "dissection"]);
}

//! Tests of reassembly.

use std::time::Duration;

use proptest::prelude::*;

use super::early::REORDER_WAIT;
use super::half::MAX_HELD_BYTES;
use super::*;
use crate::packet::WindowScale;

const ISN: u32 = 0xffff_fff0;

/// A stream under test: segments go in by offset, text comes out.
struct Bench {
    stream: Reassembly,
    events: Vec<Event>,
    ordinal: u64,
    ts: Timestamp,
    /// The window scale of both SYNs.
    scale: WindowScale,
}

impl Bench {
    fn unopened() -> Bench {
        Bench::with(OverlapPolicy::First)
    }

    fn with(policy: OverlapPolicy) -> Bench {
        Bench {
            stream: Reassembly::with_policy(Budget::new(Budget::DEFAULT_BYTES), policy),
            events: Vec::new(),
            ordinal: 0,
            ts: Timestamp::from_secs(1000, 0),
            scale: WindowScale::UNKNOWN,
        }
    }

    fn opened() -> Bench {
        Bench::opened_with(WindowScale::UNKNOWN)
    }

    fn opened_with(scale: WindowScale) -> Bench {
        let mut bench = Bench::unopened();
        bench.scale = scale;
        bench.raw(Direction::ToServer, ISN, 0, TcpFlags::SYN, b"", 0);
        bench.raw(
            Direction::ToClient,
            5000,
            ISN.wrapping_add(1),
            TcpFlags::SYN | TcpFlags::ACK,
            b"",
            0,
        );
        bench
    }

    fn raw(
        &mut self,
        direction: Direction,
        seq: u32,
        ack: u32,
        flags: u8,
        payload: &[u8],
        cut: u32,
    ) {
        let segment = Segment {
            direction,
            tcp: TcpHeader {
                seq,
                ack,
                flags: TcpFlags(flags),
                window: 1000,
                scale: match flags & TcpFlags::SYN {
                    0 => WindowScale::UNKNOWN,
                    _ => self.scale,
                },
            },
            payload: Bytes::copy_from_slice(payload),
            wire_len: payload.len() as u32 + cut,
            ts: self.ts,
            ordinal: self.ordinal,
        };
        self.ordinal += 1;
        self.stream.push(segment, &mut self.events);
    }

    /// A segment to the server at `offset`, without an acknowledgment.
    fn data(&mut self, offset: u32, payload: &str) -> &mut Bench {
        let seq = ISN.wrapping_add(1).wrapping_add(offset);
        self.raw(Direction::ToServer, seq, 0, 0, payload.as_bytes(), 0);
        self
    }

    /// The server acknowledges all before `offset`.
    fn ack(&mut self, offset: u32, payload: &str) -> &mut Bench {
        let ack = ISN.wrapping_add(1).wrapping_add(offset);
        self.raw(
            Direction::ToClient,
            5001,
            ack,
            TcpFlags::ACK,
            payload.as_bytes(),
            0,
        );
        self
    }

    fn fin(&mut self, offset: u32) -> &mut Bench {
        let seq = ISN.wrapping_add(1).wrapping_add(offset);
        self.raw(Direction::ToServer, seq, 0, TcpFlags::FIN, b"", 0);
        self
    }

    fn wait(&mut self, time: Duration) -> &mut Bench {
        self.ts = self.ts + time;
        self
    }

    fn finish(&mut self) -> &mut Bench {
        self.stream.finish(self.ts, self.ordinal, &mut self.events);
        self
    }

    /// What came out: text as it is, `<n>` for a gap, `$` for FIN, `!` for RST.
    fn out(&self, direction: Direction) -> String {
        let mut next = None;
        let mut text = String::new();
        for event in &self.events {
            match event {
                Event::Chunk(chunk) if chunk.direction == direction => {
                    assert!(!chunk.bytes.is_empty());
                    assert_eq!(chunk.offset, next.unwrap_or(chunk.offset));
                    next = Some(chunk.offset + chunk.bytes.len() as u64);
                    text.push_str(&String::from_utf8_lossy(&chunk.bytes));
                }
                Event::Gap(gap) if gap.direction == direction => {
                    assert!(gap.len > 0);
                    assert_eq!(gap.offset, next.unwrap_or(gap.offset));
                    next = Some(gap.offset + gap.len);
                    text.push_str(&format!("<{}>", gap.len));
                }
                Event::Fin(of) if *of == direction => text.push('$'),
                Event::Rst(of) if *of == direction => text.push('!'),
                _ => {}
            }
        }
        text
    }

    fn to_server(&self) -> String {
        self.out(Direction::ToServer)
    }
}

#[test]
fn segments_in_order_pass_as_they_are_over_the_wrap() {
    let mut bench = Bench::opened();
    bench.data(0, "0123456789abcdef").data(16, "ghi").fin(19);
    assert_eq!(bench.to_server(), "0123456789abcdefghi$");
    assert_eq!(bench.stream.counts().segments, 2);
    assert_eq!(bench.stream.held_bytes(), 0);
}

#[test]
fn a_reordered_segment_waits_for_the_one_before() {
    let mut bench = Bench::opened();
    bench.data(3, "def").fin(6);
    assert_eq!(bench.to_server(), "");
    bench.data(0, "abc");
    assert_eq!(bench.to_server(), "abcdef$");
    assert_eq!(bench.stream.counts().out_of_order, 1);
    assert_eq!(bench.stream.budget.used(), 0);
}

/// What a policy makes of segments behind a hole of one byte that is filled last.
fn put_together(policy: OverlapPolicy, segments: &[(u32, &str)]) -> String {
    let mut bench = Bench::with(policy);
    bench.raw(Direction::ToServer, ISN, 0, TcpFlags::SYN, b"", 0);
    for (offset, bytes) in segments {
        bench.data(1 + offset, bytes);
    }
    bench.data(0, "_");
    assert_eq!(bench.stream.held_bytes(), 0);
    assert_eq!(bench.stream.budget.used(), 0);
    let out = bench.to_server();
    out.trim_start_matches('_').to_owned()
}

/// Three segments, then three that overlap with them, after Shankar and Paxson; Linux 6.18 and
/// Suricata 7.0.10 make the same of them, as far as they have the policies.
#[test]
fn overlaps_are_put_together_as_active_mapping_found_them() {
    let segments = [
        (0, "111"),
        (4, "22"),
        (6, "333"),
        (1, "4444"),
        (6, "555"),
        (9, "666"),
    ];
    for (policy, expected) in [
        (OverlapPolicy::Bsd, "111442333666"),
        (OverlapPolicy::BsdRight, "144422555666"),
        (OverlapPolicy::OldLinux, "111442555666"),
        (OverlapPolicy::First, "111422333666"),
        (OverlapPolicy::Last, "144442555666"),
        // The second segment of a kind begins and ends with the first.
        (OverlapPolicy::Linux, "111442333666"),
        (OverlapPolicy::Windows, "111442333666"),
        (OverlapPolicy::Solaris, "144422555666"),
    ] {
        assert_eq!(put_together(policy, &segments), expected, "{policy:?}");
    }
}

/// A segment and one that begins before, with or behind it, and ends so, after Novak and Sturges; the
/// columns are those of Linux 6.18 and of Suricata 7.0.10, as far as they have the policies.
#[test]
fn overlaps_are_put_together_as_target_based_reassembly_found_them() {
    use OverlapPolicy::*;
    // The old segment is `oooo` at offset 2; the columns say which policies take the new bytes.
    let cases: [(u32, &str, &[OverlapPolicy]); 9] = [
        (1, "nnn", &[Last, Bsd, Linux, OldLinux, Windows]),
        (1, "nnnnn", &[Last, Bsd, Linux, OldLinux, Windows, Solaris]),
        (1, "nnnnnn", &[Last, Bsd, Linux, OldLinux, Windows, Solaris]),
        (2, "nn", &[Last, BsdRight]),
        (2, "nnnn", &[Last, BsdRight, OldLinux, Solaris]),
        (2, "nnnnn", &[Last, BsdRight, Linux, OldLinux, Solaris]),
        (3, "nn", &[Last, BsdRight]),
        (3, "nnn", &[Last, BsdRight]),
        (3, "nnnn", &[Last, BsdRight, Solaris]),
    ];
    for (at, new, takers) in cases {
        for (policy, name, _) in OverlapPolicy::ALL {
            let out = put_together(*policy, &[(0, "aa"), (2, "oooo"), (6, "zz"), (at, new)]);
            // Around the old segment stand neighbours that the new one may meet too.
            let both = at.max(2) as usize..(at as usize + new.len()).min(6);
            let expected = if takers.contains(policy) { "n" } else { "o" };
            assert_eq!(
                out[both.clone()],
                *expected.repeat(both.len()),
                "{name}: {at} {new}"
            );
            assert_eq!(out.len(), 8, "{name}: {at} {new}");
        }
    }
}

#[test]
fn policies_are_found_by_name() {
    for (policy, name, _) in OverlapPolicy::ALL {
        assert_eq!(OverlapPolicy::named(name), Some(*policy));
    }
    assert_eq!(OverlapPolicy::named("irix"), None);
}

#[test]
fn what_was_handed_on_stays_whatever_the_policy() {
    for (policy, name, _) in OverlapPolicy::ALL {
        let mut bench = Bench::with(*policy);
        bench.raw(Direction::ToServer, ISN, 0, TcpFlags::SYN, b"", 0);
        bench.data(0, "abc").data(0, "xyzd").data(2, "__e");
        assert_eq!(bench.to_server(), "abcde", "{name}");
    }
}

#[test]
fn overlap_keeps_the_first_copy() {
    let mut bench = Bench::opened();
    bench.data(4, "EFGH").data(2, "xxxxxxxx").data(0, "ab");
    assert_eq!(bench.to_server(), "abxxEFGHxx");
    bench.data(0, "______________z");
    assert_eq!(bench.to_server(), "abxxEFGHxx____z");
    assert_eq!(bench.stream.counts().overlaps, 2);
}

#[test]
fn retransmissions_and_keep_alives_bring_nothing() {
    let mut bench = Bench::opened();
    bench
        .data(0, "abc")
        .data(0, "abc")
        .data(2, "X")
        .data(3, "")
        .data(3, "d");
    assert_eq!(bench.to_server(), "abcd");
    assert_eq!(bench.stream.counts().retransmissions, 1);
    assert_eq!(bench.stream.counts().keep_alives, 1);
}

#[test]
fn an_acknowledged_hole_becomes_a_gap_before_the_answer() {
    let mut bench = Bench::opened();
    bench.data(0, "ab").data(6, "gh").ack(8, "answer");
    assert_eq!(bench.to_server(), "ab");
    assert_eq!(bench.out(Direction::ToClient), "");
    bench.finish();
    assert_eq!(bench.to_server(), "ab<4>gh");
    let answer = bench.events.last().unwrap();
    assert!(matches!(answer, Event::Chunk(chunk) if chunk.bytes == "answer"));
}

#[test]
fn an_acknowledged_hole_is_waited_for_a_short_time() {
    let mut bench = Bench::opened();
    // The sender's next sequence number shows that it sent what is missing.
    bench.data(0, "ab").data(5, "").ack(5, "");
    bench.wait(REORDER_WAIT).data(0, "ab");
    assert_eq!(bench.to_server(), "ab");
    bench.wait(REORDER_WAIT).data(0, "ab");
    assert_eq!(bench.to_server(), "ab<3>");
}

#[test]
fn a_segment_may_come_a_thousand_places_late() {
    let mut bench = Bench::opened();
    bench.data(0, "ab");
    for index in 0..1000 {
        bench.data(4 + index * 10, "0123456789");
        bench.ack(14 + index * 10, "");
        bench.wait(Duration::from_micros(100));
    }
    assert_eq!(bench.to_server(), "ab");
    bench.data(2, "cd");
    assert_eq!(
        bench.to_server(),
        "abcd".to_owned() + &"0123456789".repeat(1000)
    );
    assert_eq!(bench.stream.counts().gaps, 0);
    assert_eq!(bench.stream.budget.used(), 0);
}

#[test]
fn what_waits_for_late_bytes_is_bounded() {
    let mut bench = Bench::opened();
    bench.data(0, "ab").data(6, "gh");
    let answer = vec![b'x'; 60_000];
    for index in 0..100 {
        let (seq, ack) = (5001 + index * 60_000, ISN.wrapping_add(1 + 8));
        bench.raw(Direction::ToClient, seq, ack, TcpFlags::ACK, &answer, 0);
        assert!(bench.stream.held_bytes() <= early::MAX_BYTES + 2);
    }
    assert_eq!(bench.to_server(), "ab<4>gh");
    assert_eq!(bench.out(Direction::ToClient).len(), 100 * 60_000);
    assert_eq!(bench.stream.budget.used(), 0);
}

#[test]
fn an_acknowledgment_of_bytes_that_nobody_sent_hides_nothing() {
    for ahead in [2, 1 << 10, 1 << 16, 1 << 20, 1 << 29] {
        let mut bench = Bench::opened();
        bench.data(0, "ab").ack(2 + ahead, "x");
        bench.wait(REORDER_WAIT * 2);
        bench.data(2, "cd").ack(4, "").data(4, "ef").ack(6, "");
        assert_eq!(bench.to_server(), "abcdef", "{ahead}");
        // A neighbour that comes late is no gap because of it.
        bench.data(8, "ij").ack(6, "").data(6, "gh").finish();
        assert_eq!(bench.to_server(), "abcdefghij", "{ahead}");
        assert_eq!(bench.out(Direction::ToClient), "x");
        assert_eq!(bench.stream.counts().gaps, 0, "{ahead}");
    }
}

#[test]
fn a_hole_is_a_gap_when_its_sender_is_seen_behind_it() {
    let mut bench = Bench::opened();
    bench.data(0, "ab").ack(5, "").wait(REORDER_WAIT * 2);
    bench.ack(5, "").wait(REORDER_WAIT * 2).ack(5, "");
    assert_eq!(bench.to_server(), "ab");
    bench.data(5, "f");
    assert_eq!(bench.to_server(), "ab");
    bench.wait(REORDER_WAIT * 2).ack(6, "");
    assert_eq!(bench.to_server(), "ab<3>f");
}

#[test]
fn of_a_sender_that_is_not_captured_its_receiver_tells() {
    let mut bench = Bench::unopened();
    let flags = TcpFlags::SYN | TcpFlags::ACK;
    bench.raw(
        Direction::ToClient,
        5000,
        ISN.wrapping_add(1),
        flags,
        b"",
        0,
    );
    for (offset, answer) in [(40, "first"), (90, "second")] {
        bench
            .ack(offset, answer)
            .wait(REORDER_WAIT * 2)
            .ack(offset, "");
    }
    assert_eq!(bench.to_server(), "<40><50>");
    let first = bench.events.iter().find_map(|event| match event {
        Event::Gap(gap) => Some(gap.len),
        Event::Chunk(_) => Some(0),
        _ => None,
    });
    assert_eq!(first, Some(40));
}

#[test]
fn bytes_that_were_acknowledged_and_never_seen_are_a_gap_at_the_end() {
    let mut bench = Bench::opened();
    bench.data(0, "ab").ack(5, "").finish();
    assert_eq!(bench.to_server(), "ab<3>");
}

#[test]
fn bytes_far_outside_of_the_window_are_left_out() {
    for scale in [WindowScale::NONE, WindowScale::shift(2)] {
        let mut bench = Bench::opened_with(scale);
        bench.data(0, "ab").ack(2, "");
        for far in [2 << 20, 1 << 29, 1 << 30] {
            bench.data(2 + far, "EVIL").fin(6 + far);
        }
        bench.data(2, "cd");
        for _ in 0..8 {
            bench.ack(4, "");
        }
        bench.data(4, "ef").ack(6, "").fin(6).finish();
        assert_eq!(bench.to_server(), "abcdef$");
        assert_eq!(bench.stream.counts().out_of_window, 6);
        assert_eq!(bench.stream.counts().gaps, 0);
        assert_eq!(bench.stream.budget.used(), 0);
    }
}

#[test]
fn a_large_scale_makes_a_large_window() {
    let mut bench = Bench::opened_with(WindowScale::shift(14));
    bench.data(0, "ab").ack(2, "");
    bench
        .data(2 + (16 << 20), "far")
        .data(2 + (18 << 20), "EVIL");
    for _ in 0..8 {
        bench.ack(2, "");
    }
    bench.finish();
    assert_eq!(bench.to_server(), format!("ab<{}>far", 16 << 20));
}

#[test]
fn what_the_receiver_takes_later_is_not_left_out() {
    let mut bench = Bench::opened_with(WindowScale::NONE);
    bench.data(0, "ab").ack(2, "");
    // A burst was missed, with the acknowledgments that made room for it.
    bench.data(5 << 20, "late").ack((5 << 20) + 4, "");
    bench.data((5 << 20) + 4, "r").finish();
    assert_eq!(bench.to_server(), format!("ab<{}>later", (5 << 20) - 2));
    assert_eq!(bench.stream.counts().out_of_window, 0);
}

#[test]
fn a_receiver_that_is_captured_no_more_does_not_count() {
    let mut bench = Bench::opened_with(WindowScale::NONE);
    let block = "x".repeat(60_000);
    for index in 0..100 {
        bench.data(index * 60_000, &block);
    }
    assert_eq!(bench.to_server().len(), 100 * 60_000);
    assert_eq!(bench.stream.counts().out_of_window, 0);
}

#[test]
fn an_answer_does_not_overtake_its_late_question() {
    let mut bench = Bench::opened();
    bench.ack(8, "answer").data(4, "tion").data(0, "ques");
    assert_eq!(bench.to_server(), "question");
    assert_eq!(bench.out(Direction::ToClient), "answer");
    let answer = bench.events.last().unwrap();
    assert!(matches!(answer, Event::Chunk(chunk) if chunk.bytes == "answer"));
    assert_eq!(bench.stream.counts().gaps, 0);
    assert_eq!(bench.stream.budget.used(), 0);
}

#[test]
fn a_fin_that_nobody_captured_is_no_gap() {
    let mut bench = Bench::opened();
    bench.data(0, "ab").ack(3, "x").finish();
    assert_eq!(bench.to_server(), "ab");
    assert_eq!(bench.out(Direction::ToClient), "x");
}

#[test]
fn several_holes_under_one_acknowledgment_all_become_gaps() {
    let mut bench = Bench::opened();
    bench.data(2, "c").data(5, "f").data(9, "j").ack(8, "x");
    bench.ts = bench.ts + REORDER_WAIT * 2;
    bench.data(8, "i");
    assert_eq!(bench.to_server(), "<2>c<2>f<2>ij");
}

#[test]
fn a_mad_acknowledgment_is_not_believed() {
    let mut bench = Bench::opened();
    bench
        .data(0, "ab")
        .ack(2_000_000_000, "x")
        .ack(2_000_000_000, "y");
    bench.data(2, "cd");
    assert_eq!(bench.to_server(), "abcd");
}

#[test]
fn the_end_hands_out_what_waits() {
    let mut bench = Bench::opened();
    bench.data(3, "d").fin(6).finish();
    assert_eq!(bench.to_server(), "<3>d<2>$");
    bench.finish();
    assert_eq!(bench.to_server(), "<3>d<2>$");
}

#[test]
fn a_stream_without_handshake_begins_with_its_first_byte() {
    let mut bench = Bench::unopened();
    bench.raw(Direction::ToServer, 77, 5001, TcpFlags::ACK, b"abc", 0);
    bench.raw(Direction::ToClient, 5001, 80, TcpFlags::ACK, b"xyz", 0);
    bench.raw(Direction::ToServer, 80, 5004, TcpFlags::ACK, b"def", 0);
    assert_eq!(bench.to_server(), "abcdef");
    assert_eq!(bench.out(Direction::ToClient), "xyz");
    let Event::Chunk(first) = &bench.events[0] else {
        panic!("a chunk comes first");
    };
    assert_eq!(first.offset, 0);
}

#[test]
fn a_capture_that_begins_with_a_keep_alive_drops_its_byte() {
    let mut bench = Bench::unopened();
    bench.raw(Direction::ToClient, 5001, 80, TcpFlags::ACK, b"", 0);
    bench.raw(Direction::ToServer, 79, 5001, TcpFlags::ACK, b"\0", 0);
    bench.raw(Direction::ToServer, 80, 5001, TcpFlags::ACK, b"abc", 0);
    assert_eq!(bench.to_server(), "abc");
}

#[test]
fn without_acknowledgments_a_hole_is_given_up_after_a_while() {
    let mut bench = Bench::unopened();
    bench.raw(Direction::ToServer, ISN, 0, TcpFlags::SYN, b"", 0);
    bench.data(0, "ab").data(4, "ef");
    bench.ts = bench.ts + Duration::from_secs(3);
    bench.data(6, "gh");
    assert_eq!(bench.to_server(), "ab");
    bench.ts = bench.ts + Duration::from_secs(2);
    bench.data(8, "ij");
    assert_eq!(bench.to_server(), "ab<2>efghij");
}

#[test]
fn a_truncated_segment_leaves_a_gap() {
    let mut bench = Bench::opened();
    bench.raw(Direction::ToServer, ISN.wrapping_add(1), 0, 0, b"ab", 5);
    bench.data(7, "hi");
    assert_eq!(bench.to_server(), "ab<5>hi");
    assert_eq!(bench.stream.counts().truncated, 1);
}

#[test]
fn data_on_the_syn_is_the_first_data() {
    let mut bench = Bench::unopened();
    bench.raw(Direction::ToServer, ISN, 0, TcpFlags::SYN, b"early", 0);
    bench.data(5, " late");
    assert_eq!(bench.to_server(), "early late");
}

#[test]
fn a_reset_hands_out_what_its_sender_had_in_flight() {
    let mut bench = Bench::opened();
    bench.data(2, "cd");
    bench.raw(
        Direction::ToServer,
        ISN.wrapping_add(5),
        0,
        TcpFlags::RST,
        b"",
        0,
    );
    bench.raw(
        Direction::ToServer,
        ISN.wrapping_add(5),
        0,
        TcpFlags::RST,
        b"",
        0,
    );
    assert_eq!(bench.to_server(), "<2>cd!");
}

#[test]
fn bytes_behind_the_fin_are_counted_and_left_out() {
    let mut bench = Bench::opened();
    bench.data(0, "ab").fin(2).data(2, "late").data(1, "bc");
    assert_eq!(bench.to_server(), "ab$");
    assert_eq!(bench.stream.counts().after_fin, 2);
}

#[test]
fn memory_behind_a_hole_is_capped() {
    let mut bench = Bench::opened();
    let block = "x".repeat(60_000);
    for index in 0..220 {
        bench.data(1 + index * 60_000, &block);
        assert!(bench.stream.held_bytes() <= MAX_HELD_BYTES);
    }
    assert_eq!(bench.stream.counts().capped, 1);
    assert_eq!(bench.stream.counts().gap_bytes, 1);
    assert_eq!(bench.to_server().len(), 220 * 60_000 + "<1>".len());
}

#[test]
fn the_budget_is_shared_and_given_back() {
    let budget = Budget::new(1000);
    let mut first = Bench::opened();
    first.stream.budget = budget.clone();
    let mut second = Bench::opened();
    second.stream.budget = budget.clone();
    first.data(1, &"x".repeat(700));
    assert_eq!(first.to_server(), "");
    second.data(1, &"y".repeat(700));
    assert!(second.to_server().starts_with("<1>yyy"));
    drop(first);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_saved_stream_goes_on_where_it_stood() {
    let mut bench = Bench::opened();
    bench.data(0, "abc").ack(3, "xyz");
    let state = State::from_bytes(&bench.stream.state().to_bytes()).unwrap();
    assert_eq!(state, bench.stream.state());
    let mut later = Bench::unopened();
    later.stream = Reassembly::resume(&state, Budget::new(1000), OverlapPolicy::First);
    later.data(1, "bcde");
    assert_eq!(later.to_server(), "de");
    let Event::Chunk(chunk) = &later.events[0] else {
        panic!("a chunk comes first");
    };
    assert_eq!(chunk.offset, 3);
}

/// Cuts `len` bytes into segments with overlaps, in any order.
fn cuts(len: usize) -> impl Strategy<Value = Vec<(usize, usize)>> {
    let pieces = proptest::collection::vec((0..len, 1..40usize), 0..60);
    (pieces, 1..30usize).prop_perturb(move |(mut pieces, step), mut rng| {
        pieces.extend((0..len).step_by(step).map(|at| (at, step)));
        for index in (1..pieces.len()).rev() {
            pieces.swap(index, rng.random_range(0..=index));
        }
        pieces
    })
}

proptest! {
    #[test]
    fn any_order_duplication_or_cut_gives_the_same_stream(
        pieces in cuts(200), isn in any::<u32>(), policy in prop::sample::select(OverlapPolicy::ALL),
    ) {
        let whole: Vec<u8> = (0..200).map(|at| b'a' + (at * 7 % 26) as u8).collect();
        let mut bench = Bench::with(policy.0);
        bench.raw(Direction::ToServer, isn, 0, TcpFlags::SYN, b"", 0);
        for (at, len) in pieces {
            let end = (at + len).min(whole.len());
            let seq = isn.wrapping_add(1).wrapping_add(at as u32);
            let fin = if end == whole.len() { TcpFlags::FIN } else { 0 };
            bench.raw(Direction::ToServer, seq, 0, fin, &whole[at..end], 0);
        }
        prop_assert_eq!(bench.to_server(), String::from_utf8(whole).unwrap() + "$");
        prop_assert_eq!(bench.stream.held_bytes(), 0);
        prop_assert_eq!(bench.stream.budget.used(), 0);
        prop_assert_eq!(bench.stream.counts().gaps, 0);
    }

    #[test]
    fn no_segments_make_offsets_jump_or_go_back(
        segments in proptest::collection::vec(
            (any::<bool>(), prop_oneof![0..400u32, any::<u32>()], prop_oneof![0..400u32, any::<u32>()],
             any::<u8>(), 0..50usize, prop_oneof![Just(0), 0..2000u32]),
            1..60,
        ),
        policy in prop::sample::select(OverlapPolicy::ALL),
    ) {
        let mut bench = Bench::with(policy.0);
        for (up, seq, ack, flags, len, cut) in segments {
            let direction = if up { Direction::ToServer } else { Direction::ToClient };
            bench.raw(direction, seq, ack, flags, &vec![b'x'; len], cut);
        }
        bench.finish();
        // `out` asserts that each event begins where the one before ended.
        bench.out(Direction::ToServer);
        bench.out(Direction::ToClient);
        prop_assert_eq!(bench.stream.budget.used(), 0);
    }
}

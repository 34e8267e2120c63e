//! Messages from one end of a line to the other.

use proptest::prelude::*;

use super::batch::Records;
use super::*;
use crate::script::host::HostCall;
use crate::time::Timestamp;

fn batch(readers: usize) -> Batch {
    Batch::new(3, 9, Timestamp::from_secs(5, 6), &vec![7; 100_000], readers)
}

/// A line of each kind, whichever the system's own is.
fn lines() -> [(Line, Line); 2] {
    [Line::pair().unwrap(), Line::pipes().unwrap()]
}

fn pass((ours, theirs): (Line, Line), messages: &[ToChild]) -> Vec<ToChild> {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for message in messages {
                send_to_child(&ours, message).unwrap();
            }
        });
        let mut reader = FromParent::new(theirs);
        std::iter::from_fn(|| reader.next().unwrap()).collect()
    })
}

#[test]
fn batches_arrive_inline_and_as_sealed_memory() {
    let sent = [batch(1), batch(2), batch(3)];
    let sealed = cfg!(target_os = "linux");
    assert!(matches!(sent[0].records, Records::Inline(_)));
    assert_eq!(matches!(sent[1].records, Records::Sealed(..)), sealed);
    for line in lines() {
        let carries = line.0.carries();
        let received = pass(line, &sent.clone().map(ToChild::Items));
        assert_eq!(received.len(), 3);
        for (sent, received) in sent.iter().zip(received) {
            let ToChild::Items(received) = received else {
                panic!("{received:?}")
            };
            assert_eq!((received.first, received.last), (3, 9));
            assert_eq!(received.now, sent.now);
            assert_eq!(received.records().unwrap(), sent.records().unwrap());
            let sealed = |records: &Records| matches!(records, Records::Sealed(..));
            assert_eq!(
                sealed(&received.records),
                carries && sealed(&sent.records),
                "memory that is shared is not copied"
            );
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_child_can_write_into_a_sealed_batch() {
    let Records::Sealed(sealed, _) = batch(2).records else {
        panic!("a large batch for two readers is sealed")
    };
    assert_eq!(
        rustix::io::pwrite(&sealed, b"x", 0),
        Err(rustix::io::Errno::PERM)
    );
}

#[test]
fn packets_questions_and_small_messages_arrive() {
    let packet = PacketSummary {
        at: Timestamp::from_secs(-1, 5),
        caplen: 96,
        len: 1500,
        fragmented: true,
    };
    for line in lines() {
        let received = pass(
            line,
            &[
                ToChild::Packets {
                    last: 12,
                    packets: vec![packet; 3],
                },
                ToChild::Queried {
                    call: 4,
                    query: "http".into(),
                    record: vec![1, 2, 3],
                },
                ToChild::Small(Small::Answer {
                    call: 1,
                    result: Err("no".into()),
                }),
            ],
        );
        let [
            ToChild::Packets { last: 12, packets },
            ToChild::Queried {
                call: 4,
                query,
                record,
            },
            ToChild::Small(Small::Answer { call: 1, result }),
        ] = received.as_slice()
        else {
            panic!("{received:?}")
        };
        assert_eq!(packets, &[packet; 3]);
        assert_eq!(
            (query.as_str(), record.as_slice()),
            ("http", &[1_u8, 2, 3][..])
        );
        assert_eq!(result, &Err("no".to_owned()));
    }
}

#[test]
fn what_a_child_says_arrives() {
    let message = ToParent::Call {
        call: 7,
        with: HostCall::FileCopy {
            from: "a".into(),
            to: "b".into(),
        },
    };
    for (ours, theirs) in lines() {
        send_to_parent(&theirs, &message).unwrap();
        drop(theirs);
        let mut reader = FromChild::new(ours);
        assert_eq!(reader.next().unwrap().as_ref(), Some(&message));
        assert_eq!(reader.next().unwrap(), None);
    }
}

#[test]
fn frames_of_every_length_arrive_whole() {
    // Around what a reader asks for at once, and what pipes and sockets hold.
    let lengths = [0, 1, 16 << 10, (16 << 10) + 1, 64 << 10, 3 << 20];
    let sent = lengths.map(|length| ToChild::Queried {
        call: length as u64,
        query: "http".into(),
        record: (0..length).map(|at| at as u8).collect(),
    });
    for line in lines() {
        let received = pass(line, &sent);
        assert_eq!(received.len(), sent.len());
        for (length, received) in lengths.into_iter().zip(received) {
            let ToChild::Queried { call, record, .. } = received else {
                panic!("{received:?}")
            };
            assert_eq!((call, record.len()), (length as u64, length));
            assert!(
                record
                    .iter()
                    .enumerate()
                    .all(|(at, byte)| *byte == at as u8)
            );
        }
    }
}

#[test]
fn a_frame_that_is_cut_off_is_an_error() {
    use std::io::Write;
    for length in [0_usize, 4, 20 << 10] {
        for (ours, theirs) in lines() {
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    let mut frame = vec![0, 0, 1, 0, ITEMS];
                    frame.resize(5 + length, 0);
                    (&ours).write_all(&frame[..frame.len() - 1]).unwrap();
                });
                let error = FromParent::new(theirs).next().unwrap_err();
                assert!(matches!(error, WireError::Cut), "{error}");
            });
        }
    }
}

#[test]
fn a_length_alone_allocates_nothing() {
    let mut reader = FromChild::new(&[255, 255, 255, 3, JSON, b'{'][..]);
    assert!(matches!(reader.next(), Err(WireError::Cut)));
    let mut reader = FromChild::new(&[255, 255, 255, 255, JSON][..]);
    assert!(matches!(reader.next(), Err(WireError::Size(_))));
}

proptest! {
    #[test]
    fn no_bytes_of_a_child_make_the_parent_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = FromChild::new(bytes.as_slice());
        while let Ok(Some(_)) = reader.next() {}
    }
}

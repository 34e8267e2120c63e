//! Messages from one end of a socket to the other.

use std::os::unix::net::UnixStream;

use proptest::prelude::*;

use super::batch::Records;
use super::*;
use crate::script::host::HostCall;
use crate::time::Timestamp;

fn batch(readers: usize) -> Batch {
    Batch::new(3, 9, Timestamp::from_secs(5, 6), &vec![7; 100_000], readers)
}

fn pass(messages: &[ToChild]) -> Vec<ToChild> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for message in messages {
                send_to_child(&ours, message).unwrap();
            }
            ours.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut reader = FromParent::new(theirs);
        std::iter::from_fn(|| reader.next().unwrap()).collect()
    })
}

#[test]
fn batches_arrive_inline_and_as_sealed_memory() {
    let sent = [batch(1), batch(2), batch(3)];
    assert!(matches!(sent[0].records, Records::Inline(_)));
    assert!(matches!(sent[1].records, Records::Sealed(..)));
    let received = pass(&sent.clone().map(ToChild::Items));
    assert_eq!(received.len(), 3);
    for (sent, received) in sent.iter().zip(received) {
        let ToChild::Items(received) = received else {
            panic!("{received:?}")
        };
        assert_eq!((received.first, received.last), (3, 9));
        assert_eq!(received.now, sent.now);
        assert_eq!(received.records().unwrap(), sent.records().unwrap());
    }
}

#[test]
fn no_child_can_write_into_a_sealed_batch() {
    let Records::Sealed(fd, _) = batch(2).records else {
        panic!("a large batch for two readers is sealed")
    };
    assert_eq!(
        rustix::io::pwrite(&fd, b"x", 0),
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
    let received = pass(&[
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
    ]);
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

#[test]
fn what_a_child_says_arrives() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let message = ToParent::Call {
        call: 7,
        with: HostCall::FileCopy {
            from: "a".into(),
            to: "b".into(),
        },
    };
    send_to_parent(&theirs, &message).unwrap();
    drop(theirs);
    let mut reader = FromChild::new(ours);
    assert_eq!(reader.next().unwrap(), Some(message));
    assert_eq!(reader.next().unwrap(), None);
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

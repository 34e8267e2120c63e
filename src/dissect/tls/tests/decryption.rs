//! Decryption of connections between programs of OpenSSL, in all suites and shapes.

use super::*;
use crate::dissect::Secrets;

/// One connection of `connections.txt`.
struct Connection {
    name: &'static str,
    secrets: String,
    turns: Vec<(Direction, Vec<u8>)>,
}

fn connections() -> Vec<Connection> {
    let mut found: Vec<Connection> = Vec::new();
    for line in include_str!("connections.txt").lines() {
        let (word, rest) = line.split_once(' ').unwrap();
        if word == "connection" {
            found.push(Connection {
                name: rest,
                secrets: String::new(),
                turns: Vec::new(),
            });
            continue;
        }
        let Some(last) = found.last_mut() else {
            continue;
        };
        match word {
            ">" => last.turns.push((UP, bytes_of(rest))),
            "<" => last.turns.push((DOWN, bytes_of(rest))),
            _ => {
                last.secrets.push_str(line);
                last.secrets.push('\n');
            }
        }
    }
    found
}

fn connection(name: &str) -> Connection {
    connections()
        .into_iter()
        .find(|connection| connection.name == name)
        .unwrap()
}

impl Connection {
    fn secrets(&self) -> Arc<Secrets> {
        let secrets = Arc::new(Secrets::default());
        secrets.insert(self.secrets.as_bytes());
        secrets
    }
}

fn protocols(secrets: &Arc<Secrets>) -> Protocols {
    Protocols::all().with_secrets(secrets.clone())
}

fn start(secrets: &Arc<Secrets>) -> Feed {
    Feed::new(Transport::Tcp, 443, &protocols(secrets))
}

fn play(connection: &Connection, secrets: &Arc<Secrets>) -> Vec<Draft> {
    let mut feed = start(secrets);
    for (direction, bytes) in &connection.turns {
        feed.chunk(*direction, bytes);
    }
    feed.fin(UP).fin(DOWN);
    feed.end()
}

/// Each item in one line, in the order of their kinds: a handshake may end after what is inside.
fn lines(drafts: &[Draft]) -> Vec<String> {
    let mut lines: Vec<String> = drafts.iter().map(line).collect();
    lines.sort();
    lines
}

fn line(draft: &Draft) -> String {
    let member = |value: &Value, path: &str| {
        lookup(ItemNode::of_value(value), path)
            .map(json::to_string)
            .unwrap_or_default()
            .replace('"', "")
    };
    let shown = if draft.kind.name == "tls" {
        let request = member(&draft.request, "certificates.0.subject");
        let response = ["cipherSuite", "resumed", "helloRetryRequest", "earlyData"]
            .map(|path| member(&draft.response, path));
        let subject = member(&draft.response, "certificates.0.subject");
        format!("{} {subject} {request}", response.join(" "))
    } else {
        let status = member(&draft.response, "status");
        format!("{} {status}", member(&draft.request, "url"))
    };
    let error = draft.error.as_ref().map_or("", |error| error.msg.as_str());
    format!("{} {shown} {error}", draft.kind.abbr)
        .trim_end()
        .to_owned()
}

/// Of a handshake: suite, whether resumed, retried and with early data, and who showed a
/// certificate; of what is inside: target and status.
#[rustfmt::skip]
#[test]
fn every_connection_is_decrypted() {
    let expected = [
        "12-aes128-ccm8: HTTP /s 200 | TLS TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 false false false CN=shop.example, O=Shop",
        "12-aes128-gcm-sha256: HTTP /s 200 | TLS TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 false false false CN=shop.example, O=Shop",
        "12-aes128-sha: HTTP /s 200 | TLS TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA false false false CN=shop.example, O=Shop",
        "12-aes128-sha256: HTTP /s 200 | TLS TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256 false false false CN=shop.example, O=Shop",
        "12-aes256-ccm: HTTP /s 200 | TLS TLS_ECDHE_ECDSA_WITH_AES_256_CCM false false false CN=shop.example, O=Shop",
        "12-aes256-sha384: HTTP /s 200 | TLS TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384 false false false CN=shop.example, O=Shop",
        "12-chacha20-poly1305: HTTP /s 200 | TLS TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 false false false CN=shop.example, O=Shop",
        "12-mtls: HTTP /s 200 | TLS TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 false false false CN=shop.example, O=Shop CN=shop.example, O=Shop",
        "12-noetm-aes128-sha: HTTP /s 200 | TLS TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA false false false CN=shop.example, O=Shop",
        "12-noetm-aes128-sha256: HTTP /s 200 | TLS TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256 false false false CN=shop.example, O=Shop",
        "12-noetm-aes256-sha384: HTTP /s 200 | TLS TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384 false false false CN=shop.example, O=Shop",
        "12-renegotiation: HTTP /s 200 | TLS TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 false false false CN=shop.example, O=Shop | TLS TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 false false false CN=shop.example, O=Shop",
        "12-resume-1: HTTP /s 200 | TLS TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 false false false CN=shop.example, O=Shop",
        "12-resume-2: HTTP /s 200 | TLS TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 true false false",
        "13-aes-128-ccm-8-sha256: HTTP /s 200 | TLS TLS_AES_128_CCM_8_SHA256 false false false CN=shop.example, O=Shop",
        "13-aes-128-ccm-sha256: HTTP /s 200 | TLS TLS_AES_128_CCM_SHA256 false false false CN=shop.example, O=Shop",
        "13-aes-128-gcm-sha256: HTTP /s 200 | TLS TLS_AES_128_GCM_SHA256 false false false CN=shop.example, O=Shop",
        "13-aes-256-gcm-sha384: HTTP /s 200 | TLS TLS_AES_256_GCM_SHA384 false false false CN=shop.example, O=Shop",
        "13-chacha20-poly1305-sha256: HTTP /s 200 | TLS TLS_CHACHA20_POLY1305_SHA256 false false false CN=shop.example, O=Shop",
        "13-early-refused-1: HTTP /s 200 | TLS TLS_AES_256_GCM_SHA384 false false false CN=shop.example, O=Shop",
        "13-early-refused-2: HTTP /s 200 | TLS TLS_AES_256_GCM_SHA384 true false false",
        "13-hrr: HTTP /s 200 | TLS TLS_AES_256_GCM_SHA384 false true false CN=shop.example, O=Shop",
        "13-mtls: HTTP /s 200 | TLS TLS_AES_256_GCM_SHA384 false false false CN=shop.example, O=Shop CN=shop.example, O=Shop",
        "13-resume-1: HTTP /s 200 | TLS TLS_AES_256_GCM_SHA384 false false false CN=shop.example, O=Shop",
        "13-resume-2: HTTP /s 200 | TLS TLS_AES_256_GCM_SHA384 true false true",
        "13-update: HTTP /s 200 | TLS TLS_AES_256_GCM_SHA384 false false false CN=shop.example, O=Shop",
    ];
    let mut seen = Vec::new();
    for connection in connections() {
        let secrets = connection.secrets();
        let found = lines(&play(&connection, &secrets));
        seen.push(format!("{}: {}", connection.name, found.join(" | ")));
        let counts = secrets.counts();
        assert_eq!((counts.decrypted, counts.given_up), (2, 0), "{}: {seen:#?}", connection.name);
    }
    assert_eq!(seen, expected);
}

#[test]
fn without_secrets_the_handshake_is_seen() {
    for connection in connections() {
        let secrets = Arc::default();
        let drafts = play(&connection, &secrets);
        assert_eq!(drafts.len(), 1, "{}", connection.name);
        assert!(drafts[0].error.is_none(), "{}", connection.name);
        assert_eq!(secrets.counts().decrypted, 0);
    }
}

#[test]
fn wrong_secrets_are_given_up() {
    for mut connection in connections() {
        // The last digit of each secret.
        connection.secrets = connection
            .secrets
            .lines()
            .map(|line| {
                let (front, last) = line.split_at(line.len() - 1);
                format!("{front}{}\n", if last == "0" { "1" } else { "0" })
            })
            .collect();
        let secrets = connection.secrets();
        let drafts = play(&connection, &secrets);
        assert_eq!(drafts.len(), 1, "{}", connection.name);
        // Early data that no key opens is passed over.
        let given_up = if connection.name == "13-resume-2" {
            1
        } else {
            2
        };
        assert_eq!(secrets.counts().given_up, given_up, "{}", connection.name);
    }
}

#[test]
fn a_cut_at_any_byte_and_a_save_there_change_nothing() {
    for connection in connections() {
        let secrets = connection.secrets();
        let expected = lines(&play(&connection, &secrets));
        let total: usize = connection.turns.iter().map(|(_, bytes)| bytes.len()).sum();
        for cut in (0..=total).step_by(29) {
            let mut feed = start(&secrets);
            let mut before = 0;
            for (direction, bytes) in &connection.turns {
                let at = cut.saturating_sub(before).min(bytes.len());
                let here = (before..before + bytes.len()).contains(&cut);
                before += bytes.len();
                feed.chunk(*direction, &bytes[..at]);
                if here {
                    feed.hand_over(&protocols(&secrets));
                }
                feed.chunk(*direction, &bytes[at..]);
            }
            feed.fin(UP).fin(DOWN);
            assert_eq!(lines(&feed.end()), expected, "{} at {cut}", connection.name);
        }
    }
}

#[test]
fn no_secret_is_saved() {
    for connection in connections() {
        let secrets = connection.secrets();
        let mut feed = start(&secrets);
        for (direction, bytes) in &connection.turns {
            feed.chunk(*direction, bytes);
            let state = feed.conversation().save();
            for line in connection.secrets.lines() {
                let secret = bytes_of(line.rsplit(' ').next().unwrap());
                assert!(!state.windows(secret.len()).any(|part| part == secret));
            }
        }
    }
}

#[test]
fn secrets_may_come_late() {
    for connection in connections() {
        let expected = lines(&play(&connection, &connection.secrets()));
        for after in 0..=connection.turns.len() {
            let secrets = Arc::new(Secrets::default());
            secrets.expect(true);
            let mut feed = start(&secrets);
            for (index, (direction, bytes)) in connection.turns.iter().enumerate() {
                if index == after {
                    secrets.insert(connection.secrets.as_bytes());
                }
                feed.chunk(*direction, bytes);
                // What waits is saved with the rest.
                feed.hand_over(&protocols(&secrets));
            }
            secrets.insert(connection.secrets.as_bytes());
            feed.fin(UP).fin(DOWN);
            let found = lines(&feed.end());
            assert_eq!(found, expected, "{} after {after}", connection.name);
        }
    }
}

#[test]
fn what_waits_for_a_secret_is_bounded() {
    let connection = connection("13-aes-128-gcm-sha256");
    let secrets = Arc::new(Secrets::default());
    secrets.expect(true);
    let mut feed = start(&secrets);
    for (direction, bytes) in &connection.turns {
        feed.chunk(*direction, bytes);
    }
    for _ in 0..100 {
        feed.chunk(DOWN, &record(23, &[7; 16_000]));
    }
    assert!(feed.conversation().save().len() < 2 * half::MAX_WAITING);
    assert_eq!(secrets.counts().given_up, 1);
    feed.chunk(UP, &record(23, &[7; 100]));
    assert_eq!(feed.end().len(), 1);
}

#[test]
fn all_streams_together_keep_little_waiting() {
    let connection = connection("13-aes-128-gcm-sha256");
    let secrets = Arc::new(Secrets::default());
    secrets.expect(true);
    let mut feeds = Vec::new();
    for _ in 0..300 {
        let mut feed = start(&secrets);
        for (direction, bytes) in &connection.turns {
            feed.chunk(*direction, bytes);
        }
        for _ in 0..15 {
            feed.chunk(DOWN, &record(23, &[7; 16_384]));
        }
        feeds.push(feed);
    }
    assert!(secrets.waiting() < (64 << 20) + (1 << 16));
    assert!(secrets.counts().given_up > 10);
    drop(feeds);
    assert_eq!(secrets.waiting(), 0);
}

#[test]
fn a_secret_that_does_not_come_is_waited_for_a_while_only() {
    use crate::time::Timestamp;
    let connection = connection("13-aes-128-gcm-sha256");
    let secrets = Arc::new(Secrets::default());
    secrets.expect(true);
    let mut feed = start(&secrets);
    for (number, (direction, bytes)) in (0..).zip(&connection.turns) {
        feed.at(Timestamp::from_secs(6 * number, 0))
            .chunk(*direction, bytes);
    }
    assert_eq!(feed.drafts.0.len(), 1);
    assert_eq!(secrets.counts().given_up, 2);
}

/// Marks what came decrypted.
#[derive(Default)]
struct Marks(Vec<(&'static str, bool)>);

impl super::super::super::Output for Marks {
    fn item(&mut self, draft: Draft) {
        self.0.push((draft.kind.abbr, false));
    }

    fn decrypted(&mut self, draft: Draft) {
        self.0.push((draft.kind.abbr, true));
    }
}

#[test]
fn what_was_decrypted_is_marked() {
    use crate::flow::{Chunk, Event};
    let connection = connection("13-aes-128-gcm-sha256");
    let mut feed = start(&connection.secrets());
    let (mut marks, mut offsets) = (Marks::default(), [0, 0]);
    for (direction, bytes) in &connection.turns {
        let offset = &mut offsets[usize::from(*direction == DOWN)];
        let chunk = Chunk {
            direction: *direction,
            offset: *offset,
            bytes: Bytes::copy_from_slice(bytes),
            ts: Default::default(),
            ordinal: 1,
        };
        *offset += bytes.len() as u64;
        feed.conversation_mut()
            .event(Event::Chunk(chunk), &mut marks);
    }
    feed.conversation_mut()
        .end(crate::packet::EndReason::SourceEnd, &mut marks);
    assert_eq!(marks.0, [("TLS", false), ("HTTP", true)]);
}

/// A record of TLS 1.3 with AES-128-GCM, as a client of `connection` would send it.
fn sealed(connection: &Connection, number: u64, plaintext: &[u8]) -> Vec<u8> {
    use ring::aead;
    let line = connection
        .secrets
        .lines()
        .find(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0"))
        .unwrap();
    let secret = bytes_of(line.rsplit(' ').next().unwrap());
    let suite = keys::Suite::of(0x1301).unwrap();
    let keys = keys::tls13(suite, &secret).unwrap();
    let key = aead::UnboundKey::new(&aead::AES_128_GCM, &keys.key).unwrap();
    let nonce = cipher::numbered(&keys.iv[..].try_into().unwrap(), number);
    let mut content = [plaintext, &[23]].concat();
    let len = (content.len() + 16) as u16;
    let head = [&[23, 3, 3][..], &len.to_be_bytes()].concat();
    aead::LessSafeKey::new(key)
        .seal_in_place_append_tag(
            aead::Nonce::assume_unique_for_key(nonce),
            aead::Aad::from(&head),
            &mut content,
        )
        .unwrap();
    [head, content].concat()
}

/// The connection up to the client's Finished, and what follows as records of its own.
fn with_records(parts: &[&[u8]]) -> (Feed, Vec<Vec<u8>>) {
    let connection = connection("13-aes-128-gcm-sha256");
    let mut feed = start(&connection.secrets());
    let ups = connection.turns.iter().filter(|(side, _)| *side == UP);
    let (hello, finished) = (ups.clone().next().unwrap(), ups.clone().nth(1).unwrap());
    let down = connection.turns.iter().find(|(side, _)| *side == DOWN);
    feed.chunk(UP, &hello.1)
        .chunk(DOWN, &down.unwrap().1)
        .chunk(UP, &finished.1);
    let records = (0..).zip(parts);
    let records = records.map(|(number, part)| sealed(&connection, number, part));
    (feed, records.collect())
}

fn urls(drafts: &[Draft]) -> Vec<String> {
    let inside = drafts.iter().filter(|draft| draft.kind.name == "http");
    inside.map(|draft| text(&draft.request, "url")).collect()
}

#[test]
fn lost_records_are_counted_and_the_way_back_is_found() {
    let requests: Vec<String> = (0..12)
        .map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect();
    let parts: Vec<&[u8]> = requests.iter().map(String::as_bytes).collect();
    let (_, records) = with_records(&parts);
    let stream = records.concat();
    let len = records[0].len();
    // Whole records, parts of two, one byte, and a hole that leaves less than a header.
    for (from, to) in [
        (3 * len, 6 * len),
        (3 * len + 9, 5 * len + 20),
        (4 * len + 2, 4 * len + 3),
        (4 * len, 5 * len - 3),
    ] {
        let (mut feed, _) = with_records(&parts);
        feed.chunk(UP, &stream[..from]).gap(UP, to - from);
        for piece in stream[to..].chunks(11) {
            feed.chunk(UP, piece);
        }
        let (first, last) = (from / len, to.div_ceil(len));
        let expected: Vec<String> = (0..first)
            .chain(last..12)
            .map(|number| format!("/{number}"))
            .collect();
        let mut seen = urls(&feed.end());
        // What the hole hides may leave an item without a request.
        seen.retain(|url| !url.is_empty());
        assert_eq!(seen, expected, "{from}..{to}");
    }
}

#[test]
fn a_hole_in_a_body_has_its_exact_length() {
    let body = [b'x'; 100];
    let mut parts: Vec<&[u8]> =
        vec![b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"];
    parts.extend([&body[..]; 10]);
    parts.push(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut feed, records) = with_records(&parts);
    feed.chunk(UP, &records[..3].concat())
        .gap(UP, records[3..6].concat().len())
        .hand_over(&protocols(&connection("13-aes-128-gcm-sha256").secrets()))
        .chunk(UP, &records[6..].concat());
    assert_eq!(urls(&feed.end()), ["/a", "/b"]);
}

#[test]
fn a_hole_over_the_change_of_keys_is_crossed() {
    for name in [
        "12-aes128-gcm-sha256",
        "12-noetm-aes128-sha",
        "12-aes256-ccm",
    ] {
        let connection = connection(name);
        let mut feed = start(&connection.secrets());
        let mut downs = 0;
        for (direction, bytes) in &connection.turns {
            downs += usize::from(*direction == DOWN);
            if *direction == DOWN && downs == 2 {
                // Ticket, ChangeCipherSpec and Finished.
                feed.gap(DOWN, bytes.len());
            } else {
                feed.chunk(*direction, bytes);
            }
        }
        feed.fin(UP).fin(DOWN);
        let drafts = feed.end();
        let http = drafts.iter().find(|draft| draft.kind.abbr == "HTTP");
        assert_eq!(text(&http.unwrap().request, "url"), "/s", "{name}");
        let tls = drafts.iter().find(|draft| draft.kind.abbr == "TLS");
        let error = tls.unwrap().error.as_ref().map(|error| error.kind);
        assert_eq!(error, Some("dissection"), "{name}");
    }
}

#[test]
fn noise_after_a_hole_is_given_up() {
    let (mut feed, records) = with_records(&[b"GET / HTTP/1.1\r\n\r\n"]);
    feed.chunk(UP, &records[0]).gap(UP, 100);
    for _ in 0..40 {
        feed.chunk(UP, &[23, 3, 3, 0, 40].repeat(500));
    }
    let secrets = connection("13-aes-128-gcm-sha256").secrets();
    feed.hand_over(&protocols(&secrets));
    assert!(feed.conversation().save().len() < 20_000);
    assert_eq!(urls(&feed.end()), ["/"]);
}

#[test]
fn a_protocol_that_began_the_encryption_goes_on_inside() {
    use crate::dissect::{PROTOCOLS, Protocol};
    let connection = connection("12-aes128-gcm-sha256");
    let tls = PROTOCOLS.iter().find(|protocol| protocol.name() == "tls");
    let tls: &'static dyn Protocol = *tls.unwrap();
    // DNS over TLS by the note; detection would find HTTP.
    for (note, kinds) in [(&b"dns\0"[..], vec!["TLS"]), (b"", vec!["HTTP", "TLS"])] {
        let mut feed = start(&connection.secrets());
        let info = *feed.conversation().info();
        let mut dissector = tls.take_over(&info.into(), note);
        dissector.equip(&protocols(&connection.secrets()));
        feed.conversation_mut().read_with(tls, dissector);
        for (direction, bytes) in &connection.turns {
            feed.chunk(*direction, bytes);
        }
        let mut found: Vec<_> = feed.end().iter().map(|draft| draft.kind.abbr).collect();
        found.sort_unstable();
        assert_eq!(found, kinds);
    }
}

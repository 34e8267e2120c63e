//! The examples of RFC 7541 appendix C, and what hostile or half-seen blocks do.

use proptest::prelude::*;

use super::*;

/// Field lines as text; what is unknown is a question mark.
fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Fault> {
    let mut lines = Vec::new();
    let progress = decoder.decode(block, |name, value| {
        let name = match name {
            Name::Static(index) => fixed(index.into()).unwrap().0.to_owned(),
            Name::Written(name) => String::from_utf8_lossy(name).into_owned(),
            Name::Unknown => "?".to_owned(),
        };
        let value = value.map_or("?".into(), String::from_utf8_lossy);
        lines.push(format!("{name}: {value}"));
    })?;
    assert_eq!((progress.taken, progress.needs), (block.len(), 0));
    Ok(lines)
}

/// Bytes written as in the RFC: hexadecimal, with spaces.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter_map(|byte| char::from(byte).to_digit(16).map(|digit| digit as u8))
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// The dynamic table from the newest entry on, and its size.
fn entries(decoder: &Decoder) -> (Vec<String>, usize) {
    let mut saved = Vec::new();
    decoder.table.save(&mut saved);
    let table = Table::load(&mut Reader::new(&saved)).unwrap();
    assert_eq!(table, decoder.table);
    let entry = |index| {
        let (name, value) = table.get(index)?;
        let name = match name {
            Name::Static(index) => fixed(index.into())?.0.as_bytes(),
            Name::Written(name) => name,
            Name::Unknown => b"?",
        };
        Some(format!(
            "{}: {}",
            String::from_utf8_lossy(name),
            String::from_utf8_lossy(value)
        ))
    };
    let all: Vec<_> = (0..).map_while(entry).collect();
    (all, size(decoder))
}

/// The least size to which the table can be set without losing an entry.
fn size(decoder: &Decoder) -> usize {
    let count = |decoder: &Decoder| {
        (0..)
            .take_while(|at| decoder.table.get(*at).is_some())
            .count()
    };
    let whole = count(decoder);
    (0..=4096)
        .find(|size| {
            let mut smaller = decoder.clone();
            smaller.table.resize(*size);
            count(&smaller) == whole
        })
        .unwrap()
}

/// Blocks of one connection, with the fields of each and the table behind it.
fn check(mut decoder: Decoder, steps: &[(&str, &[&str], &[&str], usize)]) {
    for (block, lines, table, size) in steps {
        assert_eq!(read(&mut decoder, &hex(block)).unwrap(), *lines);
        let (entries, filled) = entries(&decoder);
        assert_eq!((&entries[..], filled), (&table.map_owned()[..], *size));
    }
}

trait MapOwned {
    fn map_owned(&self) -> Vec<String>;
}

impl MapOwned for &[&str] {
    fn map_owned(&self) -> Vec<String> {
        self.iter().map(|text| (*text).to_owned()).collect()
    }
}

#[test]
fn single_representations_of_appendix_c_2() {
    check(
        Decoder::new(),
        &[(
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            &["custom-key: custom-header"],
            &["custom-key: custom-header"],
            55,
        )],
    );
    for (block, line) in [
        ("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path"),
        (
            "1008 7061 7373 776f 7264 0673 6563 7265 74",
            "password: secret",
        ),
        ("82", ":method: GET"),
    ] {
        check(Decoder::new(), &[(block, &[line], &[], 0)]);
    }
}

#[test]
fn integers_of_appendix_c_1() {
    let read = |bytes: &[u8], bits| {
        let mut reader = Reader::new(bytes);
        let first = reader.u8().unwrap();
        integer(&mut reader, first, bits).ok()
    };
    assert_eq!(read(&[0b1110_1010], 5), Some(10));
    assert_eq!(
        read(&[0b0001_1111, 0b1001_1010, 0b0000_1010], 5),
        Some(1337)
    );
    assert_eq!(read(&[0b0010_1010], 8 - 1), Some(42));
    assert_eq!(
        read(&[0xff, 0xff, 0xff, 0xff, 0x7f], 7),
        Some(127 + (1 << 28) - 1)
    );
    assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x00], 7), None);
}

const ASKED: [&[&str]; 3] = [
    &[
        ":method: GET",
        ":scheme: http",
        ":path: /",
        ":authority: www.example.com",
    ],
    &[
        ":method: GET",
        ":scheme: http",
        ":path: /",
        ":authority: www.example.com",
        "cache-control: no-cache",
    ],
    &[
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ],
];

const ASKED_TABLES: [(&[&str], usize); 3] = [
    (&[":authority: www.example.com"], 57),
    (
        &["cache-control: no-cache", ":authority: www.example.com"],
        110,
    ),
    (
        &[
            "custom-key: custom-value",
            "cache-control: no-cache",
            ":authority: www.example.com",
        ],
        164,
    ),
];

#[test]
fn requests_of_appendices_c_3_and_c_4() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let huffman = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, huffman] {
        let steps: Vec<_> = (0..3)
            .map(|at| {
                (
                    blocks[at],
                    ASKED[at],
                    ASKED_TABLES[at].0,
                    ASKED_TABLES[at].1,
                )
            })
            .collect();
        check(Decoder::new(), &steps);
    }
}

const COOKIE: &str = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

#[test]
fn responses_of_appendices_c_5_and_c_6() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 \
         2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 \
         6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d \
         54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 \
         5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e \
         3d31",
    ];
    let huffman = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 \
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab \
         77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f \
         9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    let date = [
        "date: Mon, 21 Oct 2013 20:13:21 GMT",
        "date: Mon, 21 Oct 2013 20:13:22 GMT",
    ];
    let location = "location: https://www.example.com";
    let private = "cache-control: private";
    let encoding = "content-encoding: gzip";
    for blocks in [plain, huffman] {
        let mut decoder = Decoder::new();
        // "the size of the dynamic table is set to 256 octets".
        decoder.table.resize(256);
        check(
            decoder,
            &[
                (
                    blocks[0],
                    &[":status: 302", private, date[0], location],
                    &[location, date[0], private, ":status: 302"],
                    222,
                ),
                (
                    blocks[1],
                    &[":status: 307", private, date[0], location],
                    &[":status: 307", location, date[0], private],
                    222,
                ),
                (
                    blocks[2],
                    &[":status: 200", private, date[1], location, encoding, COOKIE],
                    &[COOKIE, encoding, date[1]],
                    215,
                ),
            ],
        );
    }
}

#[test]
fn a_name_of_an_entry_that_its_own_field_evicts_is_kept() {
    let mut decoder = Decoder::new();
    decoder.table.resize(64);
    read(&mut decoder, b"\x40\x04name\x05first").unwrap();
    assert_eq!(
        read(&mut decoder, b"\x7e\x06second").unwrap(),
        ["name: second"]
    );
    assert_eq!(entries(&decoder), (vec!["name: second".to_owned()], 42));
    // Larger than the table: it is emptied.
    let mut long = b"\x7e\x28".to_vec();
    long.extend_from_slice(&[b'x'; 40]);
    read(&mut decoder, &long).unwrap();
    assert_eq!(entries(&decoder), (Vec::new(), 0));
}

#[test]
fn what_a_late_decoder_cannot_know_is_unknown() {
    let mut decoder = Decoder::unknown();
    // Two fields of before, one static, one added now with an unknown name, and that one again;
    // then one with a name of its own.
    let block = b"\xbe\xff\x10\x82\x7f\x04\x03new\xbe\x40\x01k\x01v\xbe\xbf\xc0";
    assert_eq!(
        read(&mut decoder, block).unwrap(),
        [
            "?: ?",
            "?: ?",
            ":method: GET",
            "?: new",
            "?: new",
            "k: v",
            "k: v",
            "?: new",
            "?: ?"
        ]
    );
    // A table of no size has nothing unknown in it, and indices must fit from then on.
    assert_eq!(read(&mut decoder, b"\x20\x3f\xe1\x1f").unwrap(), [""; 0]);
    assert_eq!(read(&mut decoder, b"\xbe"), Err(Fault::Index));
}

#[test]
fn what_is_against_the_standard_is_told() {
    for (block, fault) in [
        (&b"\x80"[..], Fault::Index),
        (b"\xbe", Fault::Index),
        (b"\x7e\x01a", Fault::Index),
        (b"\xff\xff\xff\xff\xff\xff", Fault::Integer),
        (b"\x41\x81\x00", Fault::Huffman),
        (b"\x3f\xe2\x1f", Fault::Size),
    ] {
        assert_eq!(read(&mut Decoder::new(), block), Err(fault), "{block:x?}");
    }
    let mut decoder = Decoder::new();
    decoder.allow(4097);
    assert!(read(&mut decoder, b"\x3f\xe2\x1f").is_ok());
}

#[test]
fn a_line_that_is_cut_says_what_it_needs() {
    let block = hex("82 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf");
    for cut in 0..block.len() {
        let mut decoder = Decoder::new();
        let progress = decoder.decode(&block[..cut], |_, _| {});
        if let Ok(progress) = progress {
            assert!(progress.taken <= 1);
            assert!(progress.taken + progress.needs <= block.len());
            assert!(progress.needs == 0 || progress.taken + progress.needs > cut);
        }
    }
}

#[test]
fn the_table_is_capped() {
    let mut decoder = Decoder::new();
    decoder.allow(1 << 20);
    read(&mut decoder, b"\x3f\xe1\xff\x3f").unwrap();
    let mut line = b"\x40\x00\x7f\x81\x07".to_vec();
    line.extend_from_slice(&[b'x'; 1024]);
    for _ in 0..100 {
        read(&mut decoder, &line).unwrap();
    }
    let mut saved = Vec::new();
    decoder.save(&mut saved);
    assert!(saved.len() <= table::MAX_TABLE, "{}", saved.len());
    // The sender may still have what is left out here.
    assert_eq!(read(&mut decoder, b"\xff\x20").unwrap(), ["?: ?"]);
}

proptest! {
    #[test]
    fn no_blocks_make_it_panic(
        blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..12),
        late in any::<bool>(),
    ) {
        let mut decoder = if late { Decoder::unknown() } else { Decoder::new() };
        for block in blocks {
            match decoder.decode(&block, |_, _| {}) {
                Ok(progress) => prop_assert!(progress.taken <= block.len()),
                Err(_) => decoder.lose(),
            }
            let mut saved = Vec::new();
            decoder.save(&mut saved);
            let again = Decoder::load(&mut Reader::new(&saved)).unwrap();
            prop_assert_eq!(&again.table, &decoder.table);
        }
    }

    #[test]
    fn fragments_give_the_same_lines(
        fields in proptest::collection::vec(("[a-z]{1,9}", "[ -~]{0,30}", any::<bool>()), 0..20),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut block = Vec::new();
        let mut expected = Vec::new();
        for (name, value, packed) in &fields {
            block.push(0x40);
            for text in [name, value] {
                match packed {
                    true => {
                        let coded = encode(text.as_bytes());
                        block.push(0x80 | coded.len() as u8);
                        block.extend_from_slice(&coded);
                    }
                    false => {
                        block.push(text.len() as u8);
                        block.extend_from_slice(text.as_bytes());
                    }
                }
            }
            expected.push(format!("{name}: {value}"));
        }
        prop_assert_eq!(&read(&mut Decoder::new(), &block).unwrap(), &expected);
        let cut = cut.index(block.len() + 1);
        let mut decoder = Decoder::new();
        let mut lines = 0;
        let progress = decoder.decode(&block[..cut], |_, _| lines += 1).unwrap();
        decoder.decode(&block[progress.taken..], |_, _| lines += 1).unwrap();
        prop_assert_eq!(lines, expected.len());
    }
}

//! TLS in the sample captures, encrypted and decrypted.

use super::*;

/// The folder of the captures, when it is there.
fn folder() -> Option<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures"));
    if folder.is_dir() {
        return Some(folder.to_owned());
    }
    println!("skipped: no sample captures in {}", folder.display());
    None
}

/// What a capture holds: packets, and the secrets in it.
struct Capture {
    bytes: Bytes,
    records: Vec<PacketRecord>,
    secrets: Vec<u8>,
}

fn read(path: &Path) -> Capture {
    let mut reader = Records::new(std::fs::File::open(path).unwrap());
    let mut bytes = Vec::new();
    let (mut records, mut secrets) = (Vec::new(), Vec::new());
    while let Ok(Some(entry)) = reader.advance() {
        match entry {
            Entry::Packet {
                head, bytes: data, ..
            } => {
                records.push(PacketRecord {
                    ts: head.ts,
                    start: bytes.len() as u32,
                    caplen: head.caplen,
                    len: head.len,
                    linktype: head.linktype,
                    interface: head.interface,
                    position: Position::default(),
                });
                bytes.extend_from_slice(data);
            }
            Entry::Block { block, .. } if block.kind == pcapng::SECRETS => {
                let (kind, text) = pcapng::secrets(&block).unwrap();
                assert_eq!(kind, pcapng::SECRETS_TLS_KEY_LOG);
                secrets.extend_from_slice(text);
            }
            Entry::Block { .. } => {}
        }
    }
    Capture {
        bytes: bytes.into(),
        records,
        secrets,
    }
}

/// Items of a capture, with the secrets in it and those beside it.
fn items(path: &Path) -> Vec<Draft> {
    let capture = read(path);
    let secrets = Arc::new(Secrets::default());
    secrets.insert(&capture.secrets);
    if let Ok(text) = std::fs::read(path.with_extension("keys")) {
        secrets.insert(&text);
    }
    let protocols = Protocols::all().with_secrets(secrets);
    dissect_records(&capture.bytes, &capture.records, &protocols)
}

#[test]
#[ignore]
fn show() {
    let folder = folder().unwrap();
    for name in std::env::var("SHOW").unwrap().split(',') {
        println!("== {name}");
        for draft in items(&folder.join(name)) {
            println!(
                "{} {:?} {} {}\n   {}\n   {}\n   {} {:?}",
                draft.kind.abbr,
                draft.from_client,
                draft.request_size,
                draft.response_size,
                shown(&draft.request).chars().take(2500).collect::<String>(),
                shown(&draft.response).chars().take(2500).collect::<String>(),
                shown(&draft.data),
                draft.error
            );
        }
    }
}

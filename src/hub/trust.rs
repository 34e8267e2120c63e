//! Certificates of workers and the hub, and of those who are neither.

use std::io::Write;
use std::time::Duration;

use serde_json::json;

use super::tests::{Cluster, any, wait};
use super::{certs, tls};
use crate::time::{Clock, SystemClock};

#[test]
fn whoever_is_not_of_the_cluster_is_refused_with_a_sentence() {
    let cluster = Cluster::new();
    let hub = cluster.hub(any());
    let other = tempfile::tempdir().unwrap();
    certs::make(other.path(), SystemClock.now(), 1).unwrap();
    let mine = |name: &str| std::fs::read(cluster.folder.path().join("worker").join(name)).unwrap();
    let theirs = |name: &str| std::fs::read(other.path().join("worker").join(name)).unwrap();
    let folder = |files: [(&str, Vec<u8>); 3]| {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    };
    // Knows our CA, is signed by another one.
    let stranger = folder([
        (tls::CA_FILE, mine(tls::CA_FILE)),
        (tls::CERT_FILE, theirs(tls::CERT_FILE)),
        (tls::KEY_FILE, theirs(tls::KEY_FILE)),
    ]);
    let worker = cluster.worker_with("a", hub.address, stranger.path(), "");
    wait("it is told", || {
        worker
            .said
            .has("does not know the CA that signed our certificate")
    });
    wait("the hub says so", || {
        cluster
            .said
            .has("A connection was refused: the certificate of the worker at 127.0.0.1 is not signed by the CA in ca.crt")
    });
    // Does not know the hub's CA.
    let worker = cluster.worker_with("a", hub.address, &other.path().join("worker"), "");
    wait("it refuses the hub", || {
        worker.said.has("is not signed by the CA in ca.crt")
    });
    // A worker's certificate makes no hub, nor the hub's a worker.
    let worker = cluster.worker_with("a", hub.address, &cluster.folder.path().join("hub"), "");
    wait("it is of the other role", || {
        cluster.said.has("is for the other role")
    });
    assert!(!worker.uplink.standing().connected);
    // Files that are missing are named.
    let empty = tempfile::tempdir().unwrap();
    let worker = cluster.worker_with("a", hub.address, empty.path(), "");
    wait("the file is named", || {
        worker.said.has("ca.crt cannot be used")
    });
    // No TLS at all.
    let mut plain = std::net::TcpStream::connect(hub.address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    wait("plain text is refused", || {
        cluster.said.has("does not speak TLS 1.3")
    });
    assert_eq!(hub.shared.nodes.json(), json!([]));
}

#[test]
fn only_who_is_named_a_worker_is_one() {
    let cluster = Cluster::new();
    let hub = cluster.hub(any());
    let folder = cluster.folder.path();
    // Helm's genSignedCert makes certificates for servers and clients alike, those of the hub too.
    for name in ["foo.web.svc", tls::HUB_NAME] {
        let other = folder.join(name);
        certs::make_for(folder, name, &other);
        let worker = cluster.worker_with("a", hub.address, &other, "");
        wait("it is told", || {
            worker
                .said
                .has("wants a certificate that names tapedeck-worker")
        });
        assert!(!worker.uplink.standing().connected);
    }
    wait("the hub says so", || {
        cluster.said.has(
            "A connection was refused: the certificate of the worker at 127.0.0.1 does not name tapedeck-worker",
        )
    });
    // They try again and again, and are told of once.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(cluster.said.count("does not name tapedeck-worker"), 1);
    assert_eq!(hub.shared.nodes.json(), json!([]));
    let own = folder.join("own");
    certs::make_for(folder, tls::WORKER_NAME, &own);
    let worker = cluster.worker_with("a", hub.address, &own, "");
    wait("it is let in", || worker.uplink.standing().connected);
}

#[test]
fn a_ca_that_is_there_signs_again() {
    let cluster = Cluster::new();
    let hub = cluster.hub(any());
    let before = std::fs::read(cluster.folder.path().join("hub/tls.crt")).unwrap();
    let made = certs::make(cluster.folder.path(), SystemClock.now(), 30).unwrap();
    assert!(!made.new_ca);
    let after = std::fs::read(cluster.folder.path().join("hub/tls.crt")).unwrap();
    assert_ne!(before, after);
    let worker = cluster.worker("a", hub.address);
    wait("new and old go together", || {
        worker.uplink.standing().connected
    });
    std::fs::remove_file(cluster.folder.path().join("ca.key")).unwrap();
    let refused = certs::make(cluster.folder.path(), SystemClock.now(), 30);
    assert!(refused.unwrap_err().contains("alone cannot sign"));
}

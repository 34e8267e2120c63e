//! The S3 store against Ceph's RADOS Gateway, which ignores conditions on lock buckets.
//!
//! Slow and heavy (three daemons, 500 MB): runs with `TAPEDECK_SLOW=1` where `radosgw` is installed
//! (Debian: `ceph-mon ceph-osd radosgw ceph-common`), and says so otherwise. Written against 16.2.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use tapedeck::store::conformance::{check, once, put, read};
use tapedeck::store::s3::{S3Options, S3Store};
use tapedeck::store::{Body, Lock, LockMode, LockState, PutOptions, Store, StoreError};
use tapedeck::time::{Clock, SystemClock};

use crate::seaweed::keys;
use crate::slow;

/// Waits for the gateway, 100 ms each.
const MAX_WAITS: u32 = 1200;

/// One monitor, one OSD in memory, one gateway, in a folder that goes with them.
struct Ceph {
    folder: tempfile::TempDir,
    endpoint: String,
    runtime: tokio::runtime::Runtime,
    client: aws_sdk_s3::Client,
}

impl Ceph {
    fn start() -> Option<Ceph> {
        if !slow::is_asked_for("the Ceph test") {
            return None;
        }
        if !["/usr/bin/radosgw", "/usr/bin/ceph-mon", "/usr/bin/ceph-osd"]
            .iter()
            .all(|program| Path::new(program).exists())
        {
            println!(
                "skipped: install ceph-mon, ceph-osd, radosgw and ceph-common for the Ceph test"
            );
            return None;
        }
        let folder = tempfile::Builder::new().prefix("ceph-").tempdir().unwrap();
        let (monitor, gateway) = (free_port(), free_port());
        fs::write(
            folder.path().join("ceph.conf"),
            configuration(folder.path(), monitor, gateway),
        )
        .unwrap();
        let endpoint = format!("http://127.0.0.1:{gateway}");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(&endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("ciaccess", "cisecret", None, None, "test"))
            .force_path_style(true)
            .build();
        let ceph = Ceph {
            folder,
            endpoint,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
            client: aws_sdk_s3::Client::from_conf(config),
        };
        ceph.shell(&format!(
            "ceph-authtool --create-keyring $D/keyring --gen-key -n mon. --cap mon 'allow *'
             ceph-authtool $D/keyring --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
             ceph-authtool $D/keyring --gen-key -n client.rgw --cap mon 'allow *' --cap osd 'allow *'
             monmaptool --create --clobber --fsid {FSID} --addv a '[v2:127.0.0.1:{monitor}]' $D/monmap
             ceph-mon --mkfs -i a --monmap $D/monmap --keyring $D/keyring
             ceph-mon -i a
             U=$(cat /proc/sys/kernel/random/uuid)
             K=$(ceph-authtool --gen-print-key)
             echo \"{{\\\"cephx_secret\\\": \\\"$K\\\"}}\" | ceph osd new $U -i -
             ceph-authtool $D/keyring -n osd.0 --add-key $K --cap mon 'allow profile osd' --cap osd 'allow *'
             ceph-osd -i 0 --mkfs --osd-uuid $U --no-mon-config
             ceph auth import -i $D/keyring
             ceph-osd -i 0
             radosgw -n client.rgw
             radosgw-admin -n client.rgw user create --uid=ci --display-name=ci --access-key=ciaccess --secret-key=cisecret"
        ));
        for _ in 0..MAX_WAITS {
            if TcpStream::connect(("127.0.0.1", gateway)).is_ok() {
                return Some(ceph);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the gateway does not answer at {}", ceph.endpoint);
    }

    fn shell(&self, script: &str) {
        let log = fs::File::create(self.folder.path().join("start.log")).unwrap();
        let done = Command::new("bash")
            .args(["-e", "-c", script])
            .env("D", self.folder.path())
            .env("CEPH_CONF", self.folder.path().join("ceph.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status()
            .unwrap();
        let said = fs::read_to_string(self.folder.path().join("start.log")).unwrap();
        assert!(done.success(), "Ceph does not start:\n{said}");
    }

    fn bucket(&self, name: &str, locked: bool) -> S3Options {
        let create = self
            .client
            .create_bucket()
            .bucket(name)
            .object_lock_enabled_for_bucket(locked);
        self.runtime
            .block_on(create.send())
            .expect("a bucket is made");
        S3Options {
            bucket: name.into(),
            endpoint: Some(self.endpoint.clone()),
            region: Some("us-east-1".into()),
            keys: Some(keys("ciaccess", "cisecret")),
            ..S3Options::default()
        }
    }
}

/// The daemons are in the background; each wrote its own number.
impl Drop for Ceph {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.folder.path().join("run"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            if path.extension().is_none_or(|ending| ending != "pid") {
                continue;
            }
            let pid = fs::read_to_string(path).ok();
            let pid = pid.and_then(|pid| pid.trim().parse().ok());
            if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

const FSID: &str = "6b1f0f5e-8f43-4a52-9d2f-4b8f0a3c5d11";

fn configuration(folder: &Path, monitor: u16, gateway: u16) -> String {
    for inside in ["mon", "osd", "run"] {
        fs::create_dir(folder.join(inside)).unwrap();
    }
    let d = folder.display();
    format!(
        "[global]
fsid = {FSID}
mon host = v2:127.0.0.1:{monitor}
mon initial members = a
public addr = 127.0.0.1
ms bind msgr1 = false
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
mon allow pool size one = true
mon max pg per osd = 1000
osd crush chooseleaf type = 0
run dir = {d}/run
log file = {d}/$name.log
admin socket = {d}/run/$name.asok
pid file = {d}/run/$name.pid
keyring = {d}/keyring
[mon]
mon data = {d}/mon
mon data avail crit = 1
mon data avail warn = 2
[osd]
osd data = {d}/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd class load list = *
osd class default list = *
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{gateway}
rgw thread pool size = 64
"
    )
}

fn free_port() -> u16 {
    let probe = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    probe.local_addr().unwrap().port()
}

#[test]
fn ceph_ignores_conditions_and_the_store_stays_right() {
    let Some(ceph) = Ceph::start() else {
        return;
    };
    // Without versions Ceph honours the condition, so the whole contract holds.
    check(&S3Store::new(ceph.bucket("plain", false)).unwrap());

    let options = ceph.bucket("locked", true);
    let store = S3Store::new(options.clone()).unwrap();
    let first = put(&store, "once", b"first").unwrap();
    assert!(!first.existed);
    // The server says 200 to both of these and keeps a second and a third version.
    let again = put(&store, "once", b"first").unwrap();
    assert!(again.existed);
    assert_eq!(again.version, first.version, "the first version counts");
    assert!(
        again.remarks[0].contains("ignored If-None-Match"),
        "{again:?}"
    );
    let other = put(&store, "once", b"other");
    assert!(matches!(other, Err(StoreError::Exists(_))), "{other:?}");
    assert_eq!(read(&store, "once", None), b"first");

    let results: Vec<_> = std::thread::scope(|scope| {
        let store = &store;
        let writers: Vec<_> = (0..8_u8)
            .map(|writer| scope.spawn(move || put(store, "race", &[writer; 64])))
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect()
    });
    let winners: Vec<_> = results
        .iter()
        .filter_map(|result| result.as_ref().ok())
        .collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    let kept = store.head("race").unwrap().unwrap();
    assert_eq!(
        kept.version, winners[0].version,
        "the winner is what readers see"
    );

    for (key, mode) in [
        ("governed", LockMode::Governance),
        ("complied", LockMode::Compliance),
    ] {
        let until = SystemClock.now() + Duration::from_secs(600);
        let asked = PutOptions {
            lock: Some(Lock { mode, until }),
            legal_hold: true,
            ..once(b"sealed")
        };
        let receipt = store.put(key, Body::Bytes(b"sealed"), &asked).unwrap();
        let LockState::Locked(found) = receipt.lock else {
            panic!("{receipt:?}");
        };
        assert_eq!(found.mode, mode);
        assert!(found.until >= until);
        assert_eq!(receipt.remarks, Vec::<String>::new());
    }

    let parts = S3Store::new(S3Options {
        multipart_above: Some(1 << 20),
        ..options
    })
    .unwrap();
    let body = vec![7; 20 << 20];
    let until = SystemClock.now() + Duration::from_secs(600);
    let asked = PutOptions {
        lock: Some(Lock {
            mode: LockMode::Compliance,
            until,
        }),
        ..once(&body)
    };
    let receipt = parts.put("parts", Body::Bytes(&body), &asked).unwrap();
    assert!(matches!(receipt.lock, LockState::Locked(_)), "{receipt:?}");
    assert!(receipt.version.is_some(), "{receipt:?}");
    assert!(
        parts
            .put("parts", Body::Bytes(&body), &asked)
            .unwrap()
            .existed
    );
    assert_eq!(read(&parts, "parts", receipt.version.as_deref()), body);

    let report = store.check();
    println!("{report}");
    assert!(report.can_record() && report.can_read(), "{report}");
    assert_eq!(report.facts["object lock"], "on", "{report}");
}

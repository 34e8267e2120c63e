//! A real S3 server with Object Lock for tests: SeaweedFS, started once for the whole binary.
//!
//! `Seaweed::shared()` gives it, or `None` with a printed line where it is not installed
//! (`tools/test-deps.sh` installs it). Every test takes a bucket of its own:
//!
//! ```text
//! let Some(s3) = Seaweed::shared() else { return };
//! let options = s3.bucket("name", true);
//! let store = S3Store::new(options.clone()).unwrap();
//! s3.overwrite(&options, "key", b"other");    // as another client would
//! ```
//!
//! A test that takes the server away starts its own: `Seaweed::start()`, `stop()`, `resume()`.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::types::{
    DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus, ObjectLockRetention, ObjectLockRetentionMode, ObjectLockRule,
};
use aws_smithy_types::DateTime;
use tapedeck::store::s3::{Keys, S3Options};
use tokio::runtime::Runtime;

/// Bucket in which the identity `writer` may put and nothing else.
const PUT_ONLY: &str = "only-bucket";

/// Waits for a port, 100 ms each; a busy machine needs seconds, never this long.
const MAX_WAITS: u32 = 600;

/// A running server.
pub struct Seaweed {
    /// `http://127.0.0.1:PORT`.
    pub endpoint: String,
    ports: Vec<u16>,
    folder: PathBuf,
    weed: PathBuf,
    process: Mutex<Option<Process>>,
    runtime: Runtime,
    client: Client,
    buckets: AtomicU32,
}

struct Process {
    pid: u32,
    watcher: JoinHandle<()>,
}

impl Seaweed {
    /// The server that all tests share; it ends with the process.
    pub fn shared() -> Option<&'static Seaweed> {
        static SHARED: OnceLock<Option<Seaweed>> = OnceLock::new();
        SHARED.get_or_init(Seaweed::start).as_ref()
    }

    /// A server of one's own, which ends when it is dropped.
    pub fn start() -> Option<Seaweed> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let Some(weed) = weed() else {
            println!("skipped: SeaweedFS is not installed; run tools/test-deps.sh");
            return None;
        };
        let number = STARTED.fetch_add(1, Ordering::SeqCst);
        let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
        if number == 0 {
            remove_stale(base);
        }
        let folder = base.join(format!("seaweed-{}-{number}", std::process::id()));
        std::fs::create_dir_all(folder.join("data")).unwrap();
        std::fs::write(
            folder.join("s3.json"),
            format!(
                r#"{{"identities":[
                {{"name":"admin","credentials":[{{"accessKey":"ciaccess","secretKey":"cisecret"}}],"actions":["Admin","Read","Write","List","Tagging"]}},
                {{"name":"writer","credentials":[{{"accessKey":"wraccess","secretKey":"wrsecret"}}],"actions":["Write:{PUT_ONLY}"]}}]}}"#
            ),
        )
        .unwrap();
        let ports = free_ports(5);
        let endpoint = format!("http://127.0.0.1:{}", ports[0]);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(&endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("ciaccess", "cisecret", None, None, "test"))
            .force_path_style(true)
            .build();
        let server = Seaweed {
            endpoint,
            ports,
            folder,
            weed,
            process: Mutex::new(None),
            runtime,
            client: Client::from_conf(config),
            buckets: AtomicU32::new(0),
        };
        server.resume();
        server.make_bucket(PUT_ONLY, true);
        // That identity may not ask for a lock itself; the bucket locks for it.
        let put_only = server.options(PUT_ONLY);
        server.lock_by_default(&put_only, ObjectLockRetentionMode::Governance, 1);
        Some(server)
    }

    /// Kills the server; what it keeps stays.
    pub fn stop(&self) {
        if let Some(process) = self.process.lock().unwrap().take() {
            let pid = rustix::process::Pid::from_raw(i32::try_from(process.pid).unwrap()).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            process.watcher.join().unwrap();
        }
    }

    /// Starts the server, again on the same ports and with the same data.
    pub fn resume(&self) {
        let mut command = Command::new("setpriv");
        // The server dies with the thread that started it, and that one with this process.
        command
            .args(["--pdeathsig", "KILL"])
            .arg(&self.weed)
            .args(["mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
            .arg(format!("-dir={}", self.folder.join("data").display()))
            .arg(format!(
                "-s3.config={}",
                self.folder.join("s3.json").display()
            ))
            .args([
                "-webdav=false",
                "-admin.ui=false",
                "-master.telemetry=false",
            ])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            // Each bucket takes some, and by default there are as many as the free disk could fill.
            .arg("-volume.max=1000")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        for (flag, port) in ["s3", "master", "volume", "filer", "admin"]
            .iter()
            .zip(&self.ports)
        {
            command.arg(format!("-{flag}.port={port}"));
        }
        let (started, pid) = mpsc::channel();
        let watcher = thread::spawn(move || {
            let mut child = command.spawn().expect("weed starts");
            started.send(child.id()).unwrap();
            let _ = child.wait();
        });
        let pid = pid.recv().expect("weed starts");
        *self.process.lock().unwrap() = Some(Process { pid, watcher });
        for _ in 0..MAX_WAITS {
            if TcpStream::connect(("127.0.0.1", self.ports[0])).is_ok() && self.answers() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("SeaweedFS does not answer at {}", self.endpoint);
    }

    fn answers(&self) -> bool {
        // Listing works only once filer and volume are up behind the gateway.
        self.runtime
            .block_on(self.client.list_buckets().send())
            .is_ok()
    }

    /// A fresh bucket with Object Lock, if `locked`, and as whom and where to reach it.
    pub fn bucket(&self, name: &str, locked: bool) -> S3Options {
        let number = self.buckets.fetch_add(1, Ordering::SeqCst);
        let bucket = format!("{name}-{number}");
        self.make_bucket(&bucket, locked);
        self.options(&bucket)
    }

    /// A fresh prefix in a bucket that locks by default (GOVERNANCE, one day), for an identity that
    /// may only put.
    pub fn put_only(&self) -> S3Options {
        let number = self.buckets.fetch_add(1, Ordering::SeqCst);
        S3Options {
            prefix: format!("p{number}"),
            keys: Some(keys("wraccess", "wrsecret")),
            ..self.options(PUT_ONLY)
        }
    }

    /// How to reach `bucket` as the administrator.
    pub fn options(&self, bucket: &str) -> S3Options {
        S3Options {
            bucket: bucket.to_owned(),
            endpoint: Some(self.endpoint.clone()),
            region: Some("us-east-1".into()),
            keys: Some(keys("ciaccess", "cisecret")),
            ..S3Options::default()
        }
    }

    fn make_bucket(&self, bucket: &str, locked: bool) {
        let create = self
            .client
            .create_bucket()
            .bucket(bucket)
            .object_lock_enabled_for_bucket(locked);
        self.runtime
            .block_on(create.send())
            .expect("a bucket is made");
    }

    /// Gives a lock bucket a default retention of `days`.
    pub fn lock_by_default(&self, options: &S3Options, mode: ObjectLockRetentionMode, days: i32) {
        let retention = DefaultRetention::builder().mode(mode).days(days).build();
        let put = self
            .client
            .put_object_lock_configuration()
            .bucket(&options.bucket)
            .object_lock_configuration(
                ObjectLockConfiguration::builder()
                    .object_lock_enabled(ObjectLockEnabled::Enabled)
                    .rule(
                        ObjectLockRule::builder()
                            .default_retention(retention)
                            .build(),
                    )
                    .build(),
            );
        self.runtime
            .block_on(put.send())
            .expect("a default retention is set");
    }

    /// A plain PUT by another client.
    pub fn overwrite(&self, options: &S3Options, key: &str, bytes: &[u8]) {
        let put = self
            .client
            .put_object()
            .bucket(&options.bucket)
            .key(key)
            .body(bytes.to_vec().into());
        self.runtime
            .block_on(put.send())
            .expect("another client may put");
    }

    /// A plain DELETE by another client.
    pub fn delete(&self, options: &S3Options, key: &str) {
        let delete = self.client.delete_object().bucket(&options.bucket).key(key);
        self.runtime
            .block_on(delete.send())
            .expect("another client may delete");
    }

    /// Deletes one version; answers the refusal, if there is one.
    pub fn delete_version(
        &self,
        options: &S3Options,
        key: &str,
        version: &str,
    ) -> Result<(), String> {
        let delete = self
            .client
            .delete_object()
            .bucket(&options.bucket)
            .key(key)
            .version_id(version);
        match self.runtime.block_on(delete.send()) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{:?}", error.as_service_error())),
        }
    }

    /// Versions of exactly this key, newest first.
    pub fn versions(&self, options: &S3Options, key: &str) -> Vec<String> {
        let list = self.client.list_object_versions().bucket(&options.bucket);
        let found = self
            .runtime
            .block_on(list.prefix(key).send())
            .expect("versions are listed");
        let versions = found.versions().iter();
        versions
            .filter(|version| version.key() == Some(key))
            .filter_map(|version| version.version_id().map(str::to_owned))
            .collect()
    }

    /// Deletes all versions of a key for good, as one who may lift a GOVERNANCE lock and a hold.
    pub fn purge(&self, options: &S3Options, key: &str) {
        for version in self.versions(options, key) {
            self.release(options, key, &version);
            let delete = self.client.delete_object().bucket(&options.bucket);
            let delete = delete.key(key).version_id(version);
            self.runtime
                .block_on(delete.bypass_governance_retention(true).send())
                .expect("a GOVERNANCE lock is lifted");
        }
    }

    /// Makes the GOVERNANCE lock of a version end at this second.
    pub fn shorten(&self, options: &S3Options, key: &str, version: &str, until: i64) {
        let retention = ObjectLockRetention::builder()
            .mode(ObjectLockRetentionMode::Governance)
            .retain_until_date(DateTime::from_secs(until))
            .build();
        let put = self.client.put_object_retention().bucket(&options.bucket);
        let put = put.key(key).version_id(version).retention(retention);
        self.runtime
            .block_on(put.bypass_governance_retention(true).send())
            .expect("a GOVERNANCE lock is shortened");
    }

    /// Takes the legal hold off a version.
    pub fn release(&self, options: &S3Options, key: &str, version: &str) {
        let hold = ObjectLockLegalHold::builder()
            .status(ObjectLockLegalHoldStatus::Off)
            .build();
        let put = self.client.put_object_legal_hold().bucket(&options.bucket);
        let put = put.key(key).version_id(version).legal_hold(hold);
        self.runtime
            .block_on(put.send())
            .expect("a legal hold is taken off");
    }

    /// Uploads in parts that were begun and neither finished nor given up.
    pub fn unfinished_uploads(&self, options: &S3Options) -> usize {
        let list = self.client.list_multipart_uploads().bucket(&options.bucket);
        let found = self
            .runtime
            .block_on(list.send())
            .expect("uploads are listed");
        found.uploads().len()
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Keys as an [`S3Options`] takes them.
pub fn keys(id: &str, secret: &str) -> Keys {
    Keys {
        access_key_id: id.into(),
        secret_access_key: secret.into(),
        session_token: None,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their tools by the environment"
)]
fn weed() -> Option<PathBuf> {
    let tools = match std::env::var("TAPEDECK_TOOLS") {
        Ok(tools) => PathBuf::from(tools),
        Err(_) => PathBuf::from(std::env::var("HOME").ok()?).join(".cache/tapedeck/tools"),
    };
    Some(tools.join("venv/bin/weed")).filter(|weed| weed.is_file())
}

/// Ports that are free, and free 10000 above, where the server's inner services listen.
pub fn free_ports(count: usize) -> Vec<u16> {
    let mut held = Vec::new();
    let mut ports = Vec::new();
    while ports.len() < count {
        let probe = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = probe.local_addr().unwrap().port();
        // Below the range from which the system gives ports to connections of other tests.
        let port = 11_000 + port % 11_000;
        if let (Ok(low), Ok(high)) = (
            TcpListener::bind(("127.0.0.1", port)),
            TcpListener::bind(("127.0.0.1", port + 10_000)),
        ) {
            held.push((low, high));
            ports.push(port);
        }
    }
    ports
}

/// Removes folders of test runs that are over.
fn remove_stale(base: &Path) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name
            .strip_prefix("seaweed-")
            .and_then(|rest| rest.split('-').next())
        else {
            continue;
        };
        if !Path::new("/proc").join(pid).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

//! Real clients against real servers, captured as they speak: each protocol's items are those of the
//! calls that were made.
//!
//! One row a protocol; a row whose programs are not installed is skipped, and says so. Everything
//! listens on loopback, on ports that are free, and is stopped by its PID.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tapedeck::capture::CaptureError;
use tapedeck::capture::live::{self, LiveOptions};
use tapedeck::dissect::Protocols;
use tapedeck::flow::Limits;
use tapedeck::item::{Item, Origin, shown};
use tapedeck::pipeline::{self, Consumer, Encoded, Running, Step, Stop};
use tapedeck::time::SystemClock;

/// How long a server may take to listen, and a client to be done.
const PATIENCE: Duration = Duration::from_secs(60);

/// A protocol spoken live.
struct Row {
    /// What it is, for people.
    what: &'static str,
    /// `protocol.name` of the items that are counted.
    name: &'static str,
    /// Debian's programs that it needs; `python:MODULE` is a module of the tools' interpreter.
    needs: &'static [&'static str],
    /// Starts the server, and answers once it listens; `None` when the client brings its own.
    server: fn(&mut Place) -> Option<Served>,
    /// Makes the calls.
    client: fn(&Place),
    /// What each item is, in order: the values of `paths`, with blanks between.
    expected: &'static [&'static str],
    paths: &'static [&'static str],
    /// Values of the first path whose items are left out: what a client says as it pleases.
    without: &'static [&'static str],
}

/// Where a row runs.
struct Place {
    folder: tempfile::TempDir,
    port: u16,
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn port(&self) -> String {
        self.port.to_string()
    }
}

/// A server that runs; it ends with the value.
struct Served(Child);

impl Served {
    fn start(command: &mut Command) -> Served {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        Served(command.stderr(Stdio::null()).spawn().unwrap())
    }

    /// The same once it is ready.
    fn once(mut self, ready: impl Fn() -> bool) -> Served {
        wait("a server is ready", || {
            assert!(self.0.try_wait().unwrap().is_none(), "the server ended");
            ready()
        });
        self
    }

    /// The same once a connection to `port` is accepted.
    fn listening(self, port: u16) -> Served {
        self.once(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let pid = self.0.id().to_string();
        let _ = command("kill").arg(pid).stderr(Stdio::null()).status();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn free_port() -> u16 {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).map_or_else(|_| free_port(), |_| port)
}

/// The full path of a program; of Debian, some lie where only root looks.
fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
    let mut paths = folders.iter().map(|folder| Path::new(folder).join(name));
    paths.find(|path| path.is_file())
}

/// The interpreter of the tools that tools/test-deps.sh installs.
#[expect(
    clippy::disallowed_methods,
    reason = "tests find their tools by the environment"
)]
fn python() -> PathBuf {
    let tools = std::env::var("TAPEDECK_TOOLS").map(PathBuf::from);
    let tools = tools.unwrap_or_else(|_| {
        let home = std::env::var("HOME").unwrap_or_default();
        PathBuf::from(home).join(".cache/tapedeck/tools")
    });
    tools.join("venv/bin/python")
}

fn is_there(need: &str) -> bool {
    match need.strip_prefix("python:") {
        None => program(need).is_some(),
        Some(module) => {
            let check = Command::new(python())
                .args(["-c", &format!("import {module}")])
                .stderr(Stdio::null())
                .status();
            check.is_ok_and(|status| status.success())
        }
    }
}

fn command(name: &str) -> Command {
    Command::new(program(name).unwrap())
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn script(name: &str, arguments: &[&str]) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live");
    let mut command = Command::new(python());
    command.arg(folder.join(name)).args(arguments);
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A server that must not run as root runs as nobody.
fn unprivileged(program: &Path, folder: &Path) -> Command {
    const NOBODY: u32 = 65_534;
    if !is_root() {
        return Command::new(program);
    }
    std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(program);
    command
}

/// The newest PostgreSQL, which lies beside the path.
fn postgres() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let programs = versions
        .flatten()
        .map(|entry| entry.path().join("bin/postgres"));
    programs.filter(|path| path.is_file()).max()
}

/// Keeps all items.
struct Keep(Arc<Mutex<Vec<Item>>>);

impl Consumer for Keep {
    fn on_step(&mut self, _step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        self.0.lock().unwrap().extend_from_slice(items);
    }
}

/// A capture on loopback that is under way.
struct Capture {
    running: Running,
    kept: Arc<Mutex<Vec<Item>>>,
}

/// Starts one; `None` where the right to capture is missing.
fn capture(port: u16) -> Option<Capture> {
    let source = match live::open(&LiveOptions {
        interface: "lo".into(),
        bpf: format!("port {port}"),
        capture_self: true,
        ..LiveOptions::default()
    }) {
        Ok(source) => source,
        Err(CaptureError::NoRight { .. }) => {
            println!("skipped: capturing needs CAP_NET_RAW");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let kept = Arc::default();
    let options = pipeline::Options {
        workers: 1,
        protocols: Protocols::all(),
        limits: Limits::default(),
        origin: Arc::new(Origin::default()),
        names: None,
        spool: None,
        live: true,
        clock: Arc::new(SystemClock),
        stop: Stop::default(),
        counters: Arc::default(),
        cuts: pipeline::Cuts::default(),
        consumers: vec![Box::new(Keep(Arc::clone(&kept)))],
    };
    Some(Capture {
        running: pipeline::start(source, options),
        kept,
    })
}

impl Capture {
    fn end(self) -> Vec<Item> {
        self.running.stop.stop();
        self.running.join().unwrap();
        std::mem::take(&mut self.kept.lock().unwrap())
    }
}

fn check(row: &Row) {
    if let Some(need) = row.needs.iter().find(|need| !is_there(need)) {
        println!("skipped: {need} is not installed; run tools/test-deps.sh");
        return;
    }
    let mut place = Place {
        folder: tempfile::tempdir().unwrap(),
        port: free_port(),
    };
    let server = (row.server)(&mut place);
    let Some(capture) = capture(place.port) else {
        return;
    };
    (row.client)(&place);
    let items = capture.end();
    drop(server);
    let lines: Vec<String> = items
        .iter()
        .filter(|item| item.protocol.name == row.name)
        .map(|item| {
            row.paths
                .iter()
                .map(|path| shown(item.node(), path))
                .collect()
        })
        .filter(|parts: &Vec<_>| !row.without.contains(&&*parts[0]))
        .map(|parts| parts.join(" ").trim_end().to_owned())
        .collect();
    assert_eq!(lines, row.expected, "{}", row.what);
}

#[test]
fn items_are_those_of_the_calls_that_real_clients_made() {
    let failed: Vec<&str> = std::thread::scope(|scope| {
        let rows = ROWS
            .iter()
            .map(|row| (row.what, scope.spawn(|| check(row))));
        let rows: Vec<_> = rows.collect();
        let failed = rows
            .into_iter()
            .filter_map(|(what, thread)| thread.join().err().map(|_| what));
        failed.collect()
    });
    assert!(failed.is_empty(), "{failed:?}");
}

/// The protocols that a server could be found for; of MongoDB there is none in Debian or on PyPI.
const ROWS: &[Row] = &[
    Row {
        what: "Redis: redis-server and redis-cli",
        name: "redis",
        needs: &["redis-server", "redis-cli"],
        server: |place| {
            let mut server = command("redis-server");
            server.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
            server
                .args(["--port", &place.port()])
                .current_dir(place.folder.path());
            Some(Served::start(&mut server).listening(place.port))
        },
        client: |place| {
            for call in ["SET cart 7", "INCR cart", "GET cart", "LPOP cart"] {
                let mut client = command("redis-cli");
                client.args(["-p", &place.port()]);
                run(client.args(call.split(' ')));
            }
        },
        expected: &["SET cart 7", "INCR cart", "GET cart", "LPOP cart WRONGTYPE"],
        paths: &["request.commandLine", "response.keyword"],
        without: &[],
    },
    Row {
        what: "HTTP/2: nghttpd and h2load",
        name: "http",
        needs: &["nghttpd", "h2load"],
        server: |place| {
            place.write("page.html", "a page");
            let mut server = command("nghttpd");
            server.args(["--no-tls", "-a", "127.0.0.1", "-d"]);
            server.arg(place.folder.path()).arg(place.port());
            Some(Served::start(&mut server).listening(place.port))
        },
        client: |place| {
            let url = |path: &str| format!("http://127.0.0.1:{}/{path}", place.port);
            run(command("h2load").args(["-n3", "-c1", &url("page.html")]));
            run(command("h2load").args(["-n1", "-c1", &url("none")]));
        },
        expected: &[
            "GET /page.html 200 HTTP/2.0",
            "GET /page.html 200 HTTP/2.0",
            "GET /page.html 200 HTTP/2.0",
            "GET /none 404 HTTP/2.0",
        ],
        paths: &[
            "request.method",
            "request.path",
            "response.status",
            "request.httpVersion",
        ],
        without: &[],
    },
    Row {
        what: "gRPC: gRPC for Python",
        name: "http",
        needs: &["python:grpc"],
        server: |_| None,
        client: |place| run(&mut script("grpc_calls.py", &[&place.port()])),
        expected: &[
            "live.Shop Get OK 3 Z290IG9uZQ==",
            "live.Shop Get OK 3 Z290IHR3bw==",
            "live.Shop List OK 3 MA==",
            "live.Shop Get NOT_FOUND 4",
        ],
        paths: &[
            "request.grpc.service",
            "request.grpc.method",
            "response.grpc.statusName",
            "request.grpc.messages.0.size",
            "response.grpc.messages.0.data",
        ],
        without: &[],
    },
    Row {
        what: "WebSocket: websockets",
        name: "ws",
        needs: &["python:websockets"],
        server: |_| None,
        client: |place| run(&mut script("websocket_echo.py", &[&place.port()])),
        expected: &[
            "client text true 210 /room",
            "server text true 215 /room",
            "client text true 210 /room",
            "server text true 215 /room",
            "client text true 210 /room",
            "server text true 215 /room",
            "client text true 210 /room",
            "server text true 215 /room",
            "client text true 210 /room",
            "server text true 215 /room",
            "client close false 2 /room",
            "server close false 2 /room",
        ],
        paths: &[
            "request.sender",
            "request.opcode",
            "request.compressed",
            "request.length",
            "request.path",
        ],
        without: &[],
    },
    Row {
        what: "Kafka: librdkafka and its mock cluster",
        name: "kafka",
        needs: &["python:confluent_kafka"],
        server: |place| {
            let (port, go) = (place.path("port"), place.path("go"));
            let (port_text, go) = (port.display().to_string(), go.display().to_string());
            let mut both = script("kafka_records.py", &[&port_text, &go]);
            let served = Served::start(&mut both).once(|| port.is_file());
            place.port = fs::read_to_string(port).unwrap().parse().unwrap();
            Some(served)
        },
        client: |place| {
            place.write("go", "");
            wait("the records came back", || place.path("go.done").is_file());
        },
        // How many calls there are beside these is up to the timing of the client.
        expected: &[
            "JoinGroup live",
            "SyncGroup live",
            "OffsetCommit orders",
            "LeaveGroup live",
        ],
        paths: &["request.apiKeyName", "request.summary"],
        without: &[
            "ApiVersions",
            "Metadata",
            "Produce",
            "Fetch",
            "FindCoordinator",
            "GetTelemetrySubscriptions",
            "Heartbeat",
            "ListOffsets",
            "OffsetFetch",
        ],
    },
    Row {
        what: "AMQP: RabbitMQ and pika",
        name: "amqp",
        needs: &["rabbitmq-server", "epmd", "python:pika"],
        server: |place| {
            let folder = place.path("rabbitmq");
            fs::create_dir(&folder).unwrap();
            let mut server = unprivileged(&program("sh").unwrap(), &folder);
            // What may not be readable to nobody is handed over as text.
            server.args(["-c", include_str!("live/rabbitmq.sh"), "sh"]);
            server.arg(&folder).arg(place.port());
            server.arg(free_port().to_string());
            server.arg(free_port().to_string());
            fs::set_permissions(place.folder.path(), Permissions::from_mode(0o755)).unwrap();
            Some(Served::start(&mut server).listening(place.port))
        },
        client: |place| run(&mut script("amqp_orders.py", &[&place.port()])),
        expected: &[
            "connection open / connection open-ok",
            "channel open  channel open-ok",
            "queue declare orders queue declare-ok",
            "basic publish orders empty",
            "basic publish orders empty",
            "basic get orders basic get-ok",
            "basic ack 1 empty",
            "queue declare none",
            "channel close 404 NOT_FOUND - no queue 'none' in vhost '/' channel close-ok",
            "connection close 200 Normal shutdown connection close-ok",
        ],
        paths: &["request.method", "request.summary", "response.method"],
        without: &["connection start", "connection tune"],
    },
    Row {
        what: "GraphQL: Strawberry and gql",
        name: "http",
        needs: &["python:strawberry", "python:uvicorn", "python:gql"],
        server: |_| None,
        client: |place| run(&mut script("graphql_shop.py", &[&place.port()])),
        expected: &[
            "GQL POST / 97 200 20",
            "GQL POST / 66 200 26",
            "GQL POST / 40 200 119",
        ],
        paths: &[
            "protocol.abbr",
            "request.method",
            "request.path",
            "request.bodySize",
            "response.status",
            "response.bodySize",
        ],
        without: &[],
    },
    Row {
        what: "LDAP: slapd and ldap-utils",
        name: "ldap",
        needs: &["slapd", "ldapadd", "ldapsearch"],
        server: |place| {
            fs::create_dir(place.path("data")).unwrap();
            let data = place.path("data");
            let text = format!(
                "include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
                 database mdb\nsuffix \"dc=shop\"\nrootdn \"cn=admin,dc=shop\"\nrootpw secret\n\
                 directory {}\n",
                data.display()
            );
            let mut server = command("slapd");
            server.arg("-f").arg(place.write("slapd.conf", &text));
            let url = format!("ldap://127.0.0.1:{}", place.port);
            Some(Served::start(server.args(["-h", &url, "-d", "0"])).listening(place.port))
        },
        client: |place| {
            let entry = "dn: dc=shop\nobjectClass: dcObject\nobjectClass: organization\ndc: shop\no: Shop\n";
            let entry = place.write("entry.ldif", entry);
            let url = format!("ldap://127.0.0.1:{}", place.port);
            let asked = |name: &str, password: &str| {
                let mut client = command(name);
                client.args(["-x", "-H", &url, "-D", "cn=admin,dc=shop", "-w", password]);
                client
            };
            run(asked("ldapadd", "secret").arg("-f").arg(entry));
            run(asked("ldapsearch", "secret").args(["-b", "dc=shop", "(dc=shop)"]));
            let refused = asked("ldapsearch", "wrong")
                .args(["-b", "dc=shop"])
                .output();
            assert_eq!(refused.unwrap().status.code(), Some(49));
        },
        expected: &[
            "bind cn=admin,dc=shop success",
            "add dc=shop success",
            "bind cn=admin,dc=shop success",
            "search dc=shop (dc=shop) success",
            "bind cn=admin,dc=shop invalidCredentials",
        ],
        paths: &[
            "request.operation",
            "request.summary",
            "response.resultName",
        ],
        without: &["unbind"],
    },
    Row {
        what: "RADIUS: FreeRADIUS and radclient",
        name: "radius",
        needs: &["freeradius", "radclient"],
        server: |place| {
            let folder = place.folder.path().display().to_string();
            let user = match is_root() {
                true => "user = root\ngroup = root\n",
                false => "",
            };
            let text = format!(
                "prefix = /usr\nlibdir = /usr/lib/freeradius\nraddbdir = {folder}\nlogdir = {folder}\n\
                 run_dir = {folder}\npidfile = {folder}/pid\nmax_requests = 1024\n\
                 security {{\n{user}reject_delay = 0\n}}\n\
                 client localhost {{\nipaddr = 127.0.0.1\nsecret = testing123\n}}\n\
                 modules {{\npap {{\n}}\nfiles {{\nusersfile = {folder}/users\n}}\n}}\n\
                 server default {{\nlisten {{\ntype = auth\nipaddr = 127.0.0.1\nport = {}\n}}\n\
                 authorize {{\nfiles\npap\n}}\nauthenticate {{\npap\n}}\n}}\n",
                place.port
            );
            place.write("radiusd.conf", &text);
            place.write("users", "ada Cleartext-Password := \"right\"\n");
            let log = place.path("log");
            let mut server = command("freeradius");
            server.args(["-f", "-d", &folder, "-l"]).arg(&log);
            let ready = || {
                let text = fs::read_to_string(&log).unwrap_or_default();
                text.contains("Ready to process requests")
            };
            Some(Served::start(&mut server).once(ready))
        },
        client: |place| {
            for password in ["right", "wrong"] {
                let ask = format!("User-Name = ada, User-Password = {password}\n");
                let ask = place.write("ask", &ask).display().to_string();
                let server = format!("127.0.0.1:{}", place.port);
                let mut client = command("radclient");
                client.args(["-r1", "-f", &ask, &server, "auth", "testing123"]);
                // It ends with 1 when it is refused.
                client.output().unwrap();
            }
        },
        expected: &[
            "Access-Request ada Access-Accept",
            "Access-Request ada Access-Reject",
        ],
        paths: &["request.codeName", "request.summary", "response.codeName"],
        without: &[],
    },
    Row {
        what: "Diameter: python-diameter",
        name: "diameter",
        needs: &["python:diameter"],
        server: |_| None,
        client: |place| run(&mut script("diameter_credit.py", &[&place.port()])),
        expected: &[
            "Capabilities-Exchange-Request Capabilities-Exchange-Answer DIAMETER_SUCCESS",
            "Credit-Control-Request Credit-Control-Answer DIAMETER_SUCCESS",
            "Credit-Control-Request Credit-Control-Answer DIAMETER_SUCCESS",
            "Credit-Control-Request Credit-Control-Answer DIAMETER_CREDIT_LIMIT_REACHED",
        ],
        paths: &["request.method", "response.method", "response.result"],
        without: &["Disconnect-Peer-Request", "Device-Watchdog-Request"],
    },
    Row {
        what: "PostgreSQL: postgres and psql",
        name: "postgresql",
        needs: &["psql", "setpriv"],
        server: |place| {
            let Some(program) = postgres() else {
                println!("skipped: psql is not installed; run tools/test-deps.sh");
                return None;
            };
            let data = place.path("data");
            let mut make = unprivileged(&program.with_file_name("initdb"), place.folder.path());
            make.arg("-D").arg(&data);
            run(make.args(["-A", "trust", "-U", "shop", "--no-sync"]));
            let mut server = unprivileged(&program, place.folder.path());
            server.args(["-F", "-h", "127.0.0.1", "-p", &place.port(), "-k"]);
            server.arg(place.folder.path()).arg("-D").arg(&data);
            Some(Served::start(&mut server).listening(place.port))
        },
        client: |place| {
            let mut client = command("psql");
            client.args([
                "-h",
                "127.0.0.1",
                "-p",
                &place.port(),
                "-U",
                "shop",
                "postgres",
            ]);
            client.args(["-c", "select 1 + 1", "-c", "create table cart (n int)"]);
            client.args([
                "-c",
                "insert into cart values (7), (8)",
                "-c",
                "select * from none",
            ]);
            assert_eq!(client.output().unwrap().status.code(), Some(1));
        },
        expected: &[
            "Query select 1 + 1 SELECT 1",
            "Query create table cart (n int) CREATE TABLE",
            "Query insert into cart values (7), (8) INSERT 0 2",
            "Query select * from none  42P01",
        ],
        paths: &[
            "request.command",
            "request.query",
            "response.commandTag",
            "response.errorCode",
        ],
        without: &["SSLRequest", "GSSENCRequest", "StartupMessage", "Terminate"],
    },
    Row {
        what: "MySQL: MariaDB",
        name: "mysql",
        needs: &["mariadbd", "mariadb-install-db", "mariadb"],
        server: |place| {
            let data = format!("--datadir={}", place.path("data").display());
            let mut make = unprivileged(&program("mariadb-install-db")?, place.folder.path());
            make.args(["--no-defaults", &data, "--skip-test-db"]);
            run(make.arg("--auth-root-authentication-method=normal"));
            let mut server = unprivileged(&program("mariadbd")?, place.folder.path());
            let socket = format!("--socket={}", place.path("socket").display());
            let pid = format!("--pid-file={}", place.path("pid").display());
            server.args([
                "--no-defaults",
                &data,
                &socket,
                &pid,
                "--bind-address=127.0.0.1",
            ]);
            server.arg(format!("--port={}", place.port));
            Some(Served::start(&mut server).listening(place.port))
        },
        client: |place| {
            let mut client = command("mariadb");
            client.args(["--no-defaults", "-h127.0.0.1", "-uroot", "--skip-ssl"]);
            client.args([&format!("-P{}", place.port)[..], "-e"]);
            client.arg("select 1 + 1; create database shop; select * from shop.none");
            assert_eq!(client.output().unwrap().status.code(), Some(1));
        },
        expected: &[
            "COM_QUERY select 1 + 1 ok",
            "COM_QUERY create database shop ok",
            "COM_QUERY select * from shop.none 1146",
        ],
        paths: &["request.command", "request.query", "response.status"],
        without: &["HandshakeResponse", "COM_QUIT"],
    },
];

//! The protocols that are spoken live, each with its server, its client and the items of their calls.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;

/// An nginx on loopback that listens as `listen` says and answers 200, 500 and 404.
fn nginx(place: &Place, listen: &str, port: u16) -> Served {
    let config = format!(
        "daemon off; master_process off; pid {0}/nginx.pid; error_log {0}/nginx.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; default_type text/plain;\n\
         client_body_temp_path {0}/body; proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fcgi;\n\
         uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;\n\
         server {{ listen 127.0.0.1:{port} {listen};\n\
         location = /ok {{ return 200 \"fine\"; }}\n\
         location = /err {{ return 500 \"broken\"; }} }} }}\n",
        place.folder.path().display()
    );
    let mut server = command("nginx");
    server.arg("-c").arg(place.write("nginx.conf", &config));
    Served::start(&mut server).listening(port)
}

/// The protocols that a server could be found for; of MongoDB there is none in Debian or on PyPI.
pub(super) const ROWS: &[Row] = &[
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
        what: "HTTP/1.1: nginx and curl",
        name: "http",
        needs: &["nginx", "curl"],
        server: |place| Some(nginx(place, "", place.port)),
        client: |place| {
            let url = |path: &str| format!("http://127.0.0.1:{}/{path}", place.port);
            // Of one call all on one connection.
            run(command("curl").args(["-s", &url("ok"), &url("err"), &url("none")]));
            run(command("curl").args(["-s", "-d", "a=1", &url("err")]));
        },
        expected: &[
            "GET /ok 200 HTTP/1.1",
            "GET /err 500 HTTP/1.1",
            "GET /none 404 HTTP/1.1",
            "POST /err 500 HTTP/1.1 a=1",
        ],
        paths: &[
            "request.method",
            "request.path",
            "response.status",
            "request.httpVersion",
            "request.postData.text",
        ],
        without: &[],
    },
    Row {
        what: "TLS 1.2 and 1.3 with a key log: nginx and curl",
        name: "http",
        needs: &["nginx", "curl", "openssl"],
        server: |place| {
            let mut make = command("openssl");
            make.args(["req", "-x509", "-nodes", "-newkey", "ec", "-days", "2"]);
            make.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
            make.args(["-subj", "/CN=shop.example"]);
            let (key, certificate) = (place.path("key.pem"), place.path("certificate.pem"));
            run(make.arg("-keyout").arg(&key).arg("-out").arg(&certificate));
            place.write("keys", "");
            let listen = format!(
                "ssl http2; ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.2 TLSv1.3",
                certificate.display(),
                key.display()
            );
            Some(nginx(place, &listen, place.port))
        },
        client: |place| {
            let ways: [&[&str]; 4] = [
                &["--http1.1", "--tls-max", "1.2"],
                &["--http1.1", "--tlsv1.3"],
                &["--http2", "--tls-max", "1.2"],
                &["--http2", "--tlsv1.3"],
            ];
            for way in ways {
                let mut client = command("curl");
                client.args(way).args(["-s", "-k"]);
                client.arg(format!("https://127.0.0.1:{}/ok", place.port));
                run(client.env("SSLKEYLOGFILE", place.path("keys")));
            }
            // One of each connection of TLS 1.2, four or five of each of TLS 1.3.
            wait("the secrets are read", || {
                place.secrets.counts().secrets >= 10
            });
        },
        expected: &[
            "true GET /ok 200 HTTP/1.1",
            "true GET /ok 200 HTTP/1.1",
            "true GET /ok 200 HTTP/2.0",
            "true GET /ok 200 HTTP/2.0",
        ],
        paths: &[
            "tls",
            "request.method",
            "request.path",
            "response.status",
            "request.httpVersion",
        ],
        without: &[],
    },
    Row {
        what: "HTTP/2 after an upgrade: nghttpx and nghttp",
        name: "http",
        needs: &["nghttpx", "nghttp", "nginx"],
        server: |place| {
            let port = free_port();
            let behind = nginx(place, "", port);
            place.behind.push(behind);
            let mut server = command("nghttpx");
            server.arg(format!("-f127.0.0.1,{};no-tls", place.port));
            server.arg(format!("-b127.0.0.1,{port}"));
            Some(Served::start(&mut server).listening(place.port))
        },
        client: |place| {
            let url = |path: &str| format!("http://127.0.0.1:{}/{path}", place.port);
            run(command("nghttp").args(["-n", "-u", &url("ok"), &url("err")]));
        },
        expected: &[
            "GET /ok HTTP/1.1 101 HTTP/1.1",
            "GET /ok HTTP/1.1 200 HTTP/2.0",
            "GET /err HTTP/2.0 500 HTTP/2.0",
        ],
        paths: &[
            "request.method",
            "request.path",
            "request.httpVersion",
            "response.status",
            "response.httpVersion",
        ],
        without: &[],
    },
    Row {
        what: "DNS over UDP and TCP: unbound and dig",
        name: "dns",
        needs: &["unbound", "dig"],
        server: |place| {
            let config = format!(
                "server:\n interface: 127.0.0.1\n port: {}\n do-daemonize: no\n use-syslog: no\n\
                 username: \"\"\n chroot: \"\"\n directory: \"{1}\"\n pidfile: \"{1}/pid\"\n\
                 module-config: \"iterator\"\n local-zone: \".\" refuse\n\
                 local-zone: \"shop.example.\" static\n\
                 local-data: \"shop.example. A 10.0.0.7\"\n\
                 local-data: 'shop.example. TXT \"open\"'\n",
                place.port,
                place.folder.path().display()
            );
            let mut server = command("unbound");
            server.arg("-c").arg(place.write("unbound.conf", &config));
            Some(Served::start(&mut server).listening(place.port))
        },
        client: |place| {
            for question in [
                &["shop.example", "A"][..],
                &["shop.example", "TXT"],
                &["none.shop.example", "A"],
                &["elsewhere.example", "AAAA"],
                &["+tcp", "shop.example", "A"],
            ] {
                let mut client = command("dig");
                client.args(["@127.0.0.1", "-p", &place.port(), "+tries=1"]);
                run(client.args(question));
            }
        },
        expected: &[
            "A shop.example No Error 10.0.0.7",
            "TXT shop.example No Error  open",
            "A none.shop.example Non-Existent Domain",
            "AAAA elsewhere.example Query Refused",
            "A shop.example No Error 10.0.0.7",
        ],
        paths: &[
            "request.questions.0.type",
            "request.questions.0.name",
            "response.code",
            "response.answers.0.ip",
            "response.answers.0.txts",
        ],
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
            server.args(["-c", include_str!("rabbitmq.sh"), "sh"]);
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

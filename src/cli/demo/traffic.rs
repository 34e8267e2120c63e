//! A small shop on loopback: an HTTP server, a DNS server, and a client that uses both.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// Wait for one answer at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// The shop's two servers.
pub(super) struct Shop {
    http: SocketAddr,
    dns: SocketAddr,
}

impl Shop {
    /// Listens on free ports of the loopback interface.
    pub(super) fn open(runtime: &tokio::runtime::Handle) -> std::io::Result<Shop> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let http = listener.local_addr()?;
        let _entered = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        runtime.spawn(async move { axum::serve(listener, pages()).await });

        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let dns = socket.local_addr()?;
        std::thread::Builder::new()
            .name("demo-dns".into())
            .spawn(move || answer_dns(&socket))?;
        Ok(Shop { http, dns })
    }

    /// Both addresses, for people.
    pub(super) fn addresses(&self) -> String {
        format!("HTTP on {}, DNS on {}", self.http, self.dns)
    }

    /// Capture filter for the shop's traffic alone.
    pub(super) fn bpf(&self) -> String {
        format!(
            "host 127.0.0.1 and (port {} or port {})",
            self.http.port(),
            self.dns.port()
        )
    }

    /// Uses the shop: `rounds` rounds of look-ups and requests over a few connections.
    pub(super) fn visit(&self, rounds: u32) -> std::io::Result<u32> {
        let mut asked = 0;
        for round in 0..rounds {
            for name in [
                "cart.shop.example.",
                "orders.shop.example.",
                "nowhere.shop.example.",
            ] {
                self.look_up(u16::try_from(round * 3 + asked % 3).unwrap_or(1), name)?;
            }
            let mut connection = Connection::open(self.http)?;
            let order = format!(r#"{{"item":{round},"qty":{}}}"#, round % 4 + 1);
            connection.ask("GET", "/", "")?;
            connection.ask("GET", &format!("/items/{}?currency=EUR", round % 7), "")?;
            connection.ask("POST", "/orders", &order)?;
            connection.ask(
                "GET",
                if round % 5 == 4 { "/broken" } else { "/health" },
                "",
            )?;
            connection.ask("DELETE", &format!("/items/{}", round % 9), "")?;
            asked += 5;
        }
        Ok(asked)
    }

    fn look_up(&self, id: u16, name: &str) -> std::io::Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(
            Name::from_ascii(name).map_err(other)?,
            RecordType::A,
        ));
        socket.send_to(&message.to_vec().map_err(other)?, self.dns)?;
        let mut answer = [0; 512];
        socket.recv(&mut answer).map(|_| ())
    }
}

fn other(error: impl std::fmt::Display) -> std::io::Error {
    std::io::Error::other(error.to_string())
}

fn pages() -> Router {
    Router::new()
        .route("/", get(async || "Welcome to the shop\n"))
        .route(
            "/health",
            get(async || json(r#"{"status":"ok"}"#.to_owned())),
        )
        .route(
            "/items/{id}",
            get(item).delete(async || StatusCode::NO_CONTENT),
        )
        .route(
            "/orders",
            post(async |body: String| {
                (
                    StatusCode::CREATED,
                    json(format!(r#"{{"accepted":{body}}}"#)),
                )
            }),
        )
        .route(
            "/broken",
            any(async || {
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    json(r#"{"error":"no connection to the stock"}"#.to_owned()),
                )
            }),
        )
}

async fn item(Path(id): Path<u32>) -> Response {
    if id == 6 {
        return (
            StatusCode::NOT_FOUND,
            json(r#"{"error":"no such item"}"#.to_owned()),
        )
            .into_response();
    }
    json(format!(
        r#"{{"id":{id},"name":"tape {id}","price":{{"amount":{},"currency":"EUR"}}}}"#,
        id * 3 + 5
    ))
    .into_response()
}

fn json(body: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], body)
}

fn answer_dns(socket: &UdpSocket) {
    let mut buffer = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let Some(asked) = buffer
            .get(..length)
            .and_then(|bytes| Message::from_vec(bytes).ok())
        else {
            continue;
        };
        let mut answer = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
        answer.metadata.recursion_desired = true;
        answer.metadata.recursion_available = true;
        for query in &asked.queries {
            answer.add_query(query.clone());
            match query.name().to_ascii().as_str() {
                "cart.shop.example." => add(&mut answer, query.name(), [10, 96, 0, 11]),
                "orders.shop.example." => add(&mut answer, query.name(), [10, 96, 0, 12]),
                _ => answer.metadata.response_code = ResponseCode::NXDomain,
            }
        }
        if let Ok(bytes) = answer.to_vec() {
            let _ = socket.send_to(&bytes, from);
        }
    }
}

fn add(answer: &mut Message, name: &Name, ip: [u8; 4]) {
    answer.add_answer(Record::from_rdata(name.clone(), 5, RData::A(A(ip.into()))));
}

/// One connection of the client, kept alive over its requests.
struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn open(to: SocketAddr) -> std::io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream: BufReader::new(stream),
        })
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<()> {
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/json\r\n"
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: cart.shop.example\r\nUser-Agent: tapedeck-demo\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut length = 0u64;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or_default();
            }
        }
        std::io::copy(&mut (&mut self.stream).take(length), &mut std::io::sink()).map(|_| ())
    }
}

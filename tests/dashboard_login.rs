//! Signing in to the dashboard at an OpenID Connect provider, which is one of the test's own.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tapedeck::time::{Clock as _, SystemClock};

use crate::dashboard::{Tap, drive, shop, text};
use crate::seaweed::free_ports;

/// What the provider does next.
#[derive(Default)]
struct Plan {
    /// Challenge and nonce of the login that was begun.
    asked: HashMap<String, String>,
    groups: Vec<&'static str>,
    /// Signs with a key that it does not publish.
    forges: bool,
}

struct Provider {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
}

fn key() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random).unwrap()
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .unwrap()
        .into_owned()
}

fn pairs(text: &str) -> HashMap<String, String> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect()
}

impl Plan {
    /// The page on which a browser says who it is; notes the login that was begun.
    fn ask(&mut self, head: &str) -> String {
        let target = head.split(' ').nth(1).unwrap();
        self.asked = pairs(target.split_once('?').unwrap().1);
        let back = format!(
            "{}?state={}",
            self.asked["redirect_uri"], self.asked["state"]
        );
        let link =
            |name: &str, more: &str| format!("<p><a href=\"{back}&amp;{more}\">{name}</a></p>");
        format!(
            "<!doctype html><html lang=en><title>Who?</title>{}{}{}</html>",
            link("ann", "code=good"),
            link("bob", "code=bob"),
            link(
                "nobody",
                "error=access_denied&amp;error_description=no+thanks"
            )
        )
    }
}

impl Provider {
    fn start() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let plan: Arc<Mutex<Plan>> = Arc::default();
        let (known, unknown) = (key(), key());
        let shared = plan.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (head, body) = read_request(&mut stream);
                let mut plan = shared.lock().unwrap();
                let page = head.starts_with("GET /auth?").then(|| plan.ask(&head));
                let (status, kind, answer) = match page {
                    Some(page) => ("200 OK", "text/html", page),
                    // What browsers ask for beside.
                    None if head.starts_with("GET /favicon.ico ") => {
                        ("404 Not Found", "text/plain", String::new())
                    }
                    None => {
                        let (status, json) = answer(&head, &body, address, &plan, &known, &unknown);
                        (status, "application/json", json.to_string())
                    }
                };
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
                    answer.len()
                )
                .unwrap();
            }
        });
        Provider { address, plan }
    }
}

fn read_request(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_ascii_lowercase()
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.split("\r\n").next()?.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return (head.to_owned(), body.to_owned());
            }
        }
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the request broke off");
        bytes.extend_from_slice(&piece[..read]);
    }
}

fn answer(
    head: &str,
    body: &str,
    address: SocketAddr,
    plan: &Plan,
    known: &EcdsaKeyPair,
    unknown: &EcdsaKeyPair,
) -> (&'static str, Json) {
    let issuer = format!("http://{address}");
    if head.starts_with("GET /.well-known/openid-configuration ") {
        let named = json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/auth"),
            "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
        });
        return ("200 OK", named);
    }
    if head.starts_with("GET /keys ") {
        let point = known.public_key().as_ref();
        let key = json!({
            "kty": "EC", "crv": "P-256", "kid": "1", "use": "sig",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
        });
        return ("200 OK", json!({"keys": [key]}));
    }
    assert!(head.starts_with("POST /token "), "{head}");
    let form = pairs(body);
    // The secret comes as RFC 6749 section 2.3.1 has it, the verifier as RFC 7636 section 4.6.
    assert!(head.contains("Basic ZGVjazpzJTNBcw=="), "{head}");
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
    let known_code = ["good", "bob"].contains(&form["code"].as_str());
    if challenge != plan.asked["code_challenge"] || !known_code {
        let refused = json!({"error": "invalid_grant", "error_description": "no such code"});
        return ("400 Bad Request", refused);
    }
    let now = SystemClock.now().secs();
    let claims = json!({
        "iss": issuer, "aud": "deck", "exp": now + 60, "nonce": plan.asked["nonce"],
        "sub": "1", "email": if form["code"] == "bob" { "bob@shop.test" } else { "ann@shop.test" },
        "groups": if form["code"] == "bob" { vec!["guests"] } else { plan.groups.clone() },
    });
    let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!(
        "{}.{}",
        part(&json!({"alg": "ES256", "kid": "1"})),
        part(&claims)
    );
    let pair = if plan.forges { unknown } else { known };
    let mark = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mark.as_ref()));
    ("200 OK", json!({"id_token": token, "token_type": "Bearer"}))
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let found = answer.lines().find_map(|line| {
        let (known, value) = line.split_once(": ")?;
        known.eq_ignore_ascii_case(name).then_some(value)
    });
    found.unwrap_or_else(|| panic!("no {name} in {answer}"))
}

#[test]
fn a_login_at_a_provider_gives_a_role_and_nothing_else_does() {
    let provider = Provider::start();
    let port = free_ports(1)[0];
    let oidc = json!({
        "issuer": format!("http://{}", provider.address), "clientId": "deck", "clientSecret": "s:s",
        "url": format!("http://127.0.0.1:{port}"), "roles": {"investigate": ["sre"]},
    });
    let tap = Tap::open_with(&shop(), port, &[&format!("tap.dashboard.oidc={oidc}")]);
    let host = tap.host();
    let (status, named) = tap.ask("GET /oidc", &host);
    assert_eq!(status, 200);
    assert!(named.contains(&provider.address.to_string()), "{named}");

    // Begins a login as a browser does; answers the cookie and the state.
    let begin = || {
        let (status, answer) = tap.ask("GET /oidc/start", &host);
        assert_eq!(status, 303, "{answer}");
        let to = header(&answer, "location");
        assert!(to.starts_with(&format!("http://{}/auth?", provider.address)));
        let asked = pairs(to.split_once('?').unwrap().1);
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(
            asked["redirect_uri"],
            format!("http://127.0.0.1:{port}/oidc/callback")
        );
        let cookie = header(&answer, "set-cookie");
        assert!(cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let state = asked["state"].clone();
        provider.plan.lock().unwrap().asked = asked;
        (cookie, state)
    };
    let back = |cookie: &str, state: &str, code: &str| {
        let line = format!("GET /oidc/callback?code={code}&state={state}");
        tap.ask(&line, &format!("{host}Cookie: {cookie}\r\n"))
    };

    // Without a role, with a forged token, with a bad code, from another browser: nobody is let in.
    let (cookie, state) = begin();
    let (status, answer) = back(&cookie, &state, "good");
    assert_eq!(status, 403, "{answer}");
    assert!(
        answer.contains("ann@shop.test has no role here"),
        "{answer}"
    );
    provider.plan.lock().unwrap().groups = vec!["dev", "sre"];
    provider.plan.lock().unwrap().forges = true;
    let (cookie, state) = begin();
    let (status, answer) = back(&cookie, &state, "good");
    assert_eq!(status, 502, "{answer}");
    assert!(answer.contains("no key of the issuer"), "{answer}");
    provider.plan.lock().unwrap().forges = false;
    let (cookie, state) = begin();
    let (status, answer) = back(&cookie, &state, "bad");
    assert_eq!(status, 502, "{answer}");
    assert!(answer.contains("no such code"), "{answer}");
    let (_, state) = begin();
    assert_eq!(back("tapedeck_other=1", &state, "good").0, 403);

    let (cookie, state) = begin();
    let (status, answer) = back(&cookie, &state, "good");
    assert_eq!(status, 200, "{answer}");
    let session = header(&answer, "set-cookie");
    assert!(session.contains("HttpOnly; SameSite=Strict"), "{session}");
    let session = format!("Cookie: {}\r\n", session.split(';').next().unwrap());
    // A state counts once.
    assert_eq!(back(&cookie, &state, "good").0, 403);
    let ask = |line: &str| tap.ask(line, &format!("{host}{session}Content-Length: 0\r\n"));
    let (status, said) = ask("GET /api/v1/session");
    assert_eq!(status, 200);
    assert!(
        said.contains("ann@shop.test") && said.contains("investigate"),
        "{said}"
    );
    assert_eq!(ask("POST /api/v1/recordings/seal").0, 403);
    let log = std::fs::read_to_string(tap.data().join("audit.jsonl")).unwrap();
    assert!(log.contains("ann@shop.test"), "{log}");
    assert_eq!(tap.ask("GET /api/v1/session", &host).0, 401);

    // A feed lives as long as the session it was opened with.
    let mut feed = TcpStream::connect(("127.0.0.1", port)).unwrap();
    feed.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(
        feed,
        "GET /api/v1/ws?limit=1 HTTP/1.1\r\n{host}{session}Connection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .unwrap();
    let mut begun = [0; 12];
    feed.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 101");
    assert_eq!(ask("POST /signout").0, 204);
    // What was sent before comes still; then the server hangs up.
    feed.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_browser_signs_in_at_a_provider_and_out_again() {
    let provider = Provider::start();
    provider.plan.lock().unwrap().groups = vec!["sre"];
    let port = free_ports(1)[0];
    let oidc = json!({
        "issuer": format!("http://{}", provider.address), "clientId": "deck", "clientSecret": "s:s",
        "url": format!("http://127.0.0.1:{port}"), "roles": {"investigate": ["sre"]},
    });
    let tap = Tap::open_with(&shop(), port, &[&format!("tap.dashboard.oidc={oidc}")]);
    let link = format!("http://{}/?q=response.status+%3D%3D+500", tap.address);
    let issuer = format!("http://{}", provider.address);
    let Some(seen) = drive("login.mjs", &[&link, &issuer]) else {
        return;
    };
    assert_eq!(seen["errors"], json!([]), "{seen:#}");
    assert_eq!(seen["foreign"], json!([]));
    assert!(text(&seen, "noRole").contains("bob@shop.test has no role here"));
    assert_eq!(seen["noCookie"], 0);
    assert!(text(&seen, "refused").contains("let nobody in: no thanks"));
    assert_eq!(seen["rows"].as_array().unwrap().len(), 1, "{seen:#}");
    assert!(text(&seen, "opened").contains("response.status"));
    assert_eq!(seen["session"]["who"], "ann@shop.test");
    assert_eq!(seen["session"]["role"], "investigate");
    assert!(text(&seen, "details").contains("/broken"));
    assert_eq!(
        seen["cookies"],
        json!([{"httpOnly": true, "sameSite": "Strict"}])
    );
    assert!(
        text(&seen, "audit").contains("needs the role operate"),
        "{seen:#}"
    );
    assert_eq!(
        (&seen["afterOut"], &seen["withOldCookie"]),
        (&json!(401), &json!(401))
    );
}

//! Every way to sign in that the AWS chain knows, with the real program against a local double of
//! Amazon's services: S3, STS, the SSO portal, container and instance metadata.
//!
//! The double checks nothing; it hands out credentials whose key names the way they were had by,
//! and notes which key signed the requests to S3. Refusals come by the bucket's name.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

const EXPIRES: &str = "2099-01-01T00:00:00Z";

/// Services of Amazon on one loopback port.
struct Amazon {
    address: String,
    /// Keys that signed requests to S3, with their session tokens.
    signers: Arc<Mutex<Vec<(String, String)>>>,
}

impl Amazon {
    fn start() -> Amazon {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let signers: Arc<Mutex<Vec<_>>> = Arc::default();
        let noted = signers.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let noted = noted.clone();
                thread::spawn(move || while serve(&stream, &noted).is_some() {});
            }
        });
        Amazon { address, signers }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn signers(&self) -> Vec<(String, String)> {
        let mut all = std::mem::take(&mut *self.signers.lock().unwrap());
        all.dedup();
        all
    }
}

/// One request: line, headers in lower case, body.
struct Request {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: String,
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                headers.insert(name.to_lowercase(), value.trim().to_owned());
            }
            None => break,
        }
    }
    let length = headers.get("content-length");
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        target,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn serve(stream: &TcpStream, signers: &Mutex<Vec<(String, String)>>) -> Option<()> {
    let request = read(stream)?;
    let (status, more, body) = answer(&request, signers);
    let body = if request.method == "HEAD" { "" } else { &body };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} Told\r\nContent-Length: {}\r\n{more}\r\n{body}",
        body.len()
    )
    .ok()
}

fn answer(
    request: &Request,
    signers: &Mutex<Vec<(String, String)>>,
) -> (u16, &'static str, String) {
    let target = request.target.as_str();
    let path = target.split('?').next().unwrap();
    if request.method == "POST" && path == "/" {
        return (200, "", sts(&request.body));
    }
    match path {
        "/container" => return (200, "", plain("CONTAINER")),
        "/latest/api/token" => {
            return (
                200,
                "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\n",
                "t".into(),
            );
        }
        "/latest/meta-data/iam/security-credentials/" => return (200, "", "role".into()),
        "/latest/meta-data/iam/security-credentials/role" => {
            return (200, "", plain("INSTANCE"));
        }
        "/federation/credentials" => {
            let told = "{\"roleCredentials\":{\"accessKeyId\":\"AKIASSO\",\"secretAccessKey\":\"s\",\
                        \"sessionToken\":\"token-SSO\",\"expiration\":4070908800000}}";
            return (200, "", told.into());
        }
        _ => {}
    }
    let signed = request.headers.get("authorization").map(|header| {
        let credential = header.split("Credential=").nth(1).unwrap_or_default();
        credential.split('/').next().unwrap().to_owned()
    });
    let token = request.headers.get("x-amz-security-token");
    signers.lock().unwrap().push((
        signed.unwrap_or_default(),
        token.cloned().unwrap_or_default(),
    ));
    s3(path)
}

fn plain(way: &str) -> String {
    format!(
        "{{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\",\"LastUpdated\":\"2026-01-01T00:00:00Z\",\
         \"AccessKeyId\":\"AKIA{way}\",\"SecretAccessKey\":\"s\",\"Token\":\"token-{way}\",\
         \"Expiration\":\"{EXPIRES}\"}}"
    )
}

fn sts(body: &str) -> String {
    let action = body
        .split('&')
        .find_map(|pair| pair.strip_prefix("Action="))
        .unwrap();
    let way = match action {
        "AssumeRoleWithWebIdentity" => "WEB",
        "AssumeRole" => "ROLE",
        other => panic!("{other} was not expected"),
    };
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
         <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn>\
         <AssumedRoleId>r:s</AssumedRoleId></AssumedRoleUser>\
         <Credentials><AccessKeyId>AKIA{way}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
         <SessionToken>token-{way}</SessionToken><Expiration>{EXPIRES}</Expiration></Credentials>\
         </{action}Result></{action}Response>"
    )
}

/// What S3 says of a bucket: an empty one, or a refusal that its name asks for.
fn s3(path: &str) -> (u16, &'static str, String) {
    let error = |code: &str, message: &str| {
        format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>")
    };
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (bucket, key) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    match bucket {
        "denied" => (403, "", error("AccessDenied", "Access Denied")),
        "expired" => (
            400,
            "",
            error("ExpiredToken", "The provided token has expired."),
        ),
        "elsewhere" => (
            301,
            "x-amz-bucket-region: eu-west-3\r\n",
            error("PermanentRedirect", "Use another endpoint."),
        ),
        "missing" => (404, "", error("NoSuchBucket", "No such bucket")),
        "kms" if !key.is_empty() => (
            403,
            "",
            error(
                "AccessDenied",
                "User is not authorized to perform: kms:Decrypt",
            ),
        ),
        "archived" if !key.is_empty() => (
            403,
            "",
            error(
                "InvalidObjectState",
                "The operation is not valid for the object's storage class",
            ),
        ),
        "kms" | "archived" => (
            200,
            "",
            listing(
                "<Version><Key>a.pcap</Key><VersionId>v</VersionId>\
             <IsLatest>true</IsLatest><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
             <ETag>\"e\"</ETag><Size>100</Size></Version>",
            ),
        ),
        _ => (200, "", listing("")),
    }
}

fn listing(entries: &str) -> String {
    format!("<ListVersionsResult><IsTruncated>false</IsTruncated>{entries}</ListVersionsResult>")
}

/// Runs `tapedeck query s3://BUCKET/` in an empty home with these variables.
fn query(
    amazon: &Amazon,
    home: &Path,
    bucket: &str,
    variables: &[(&str, &str)],
    more: &[&str],
) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapedeck"));
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/bin:/usr/bin");
    command.env("AWS_ENDPOINT_URL", amazon.url());
    command.env("AWS_REGION", "us-east-1");
    command.envs(variables.iter().copied());
    command.args(["query", &format!("s3://{bucket}/"), "--s3-path-style"]);
    command.args(more).output().unwrap()
}

fn home(config: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join(".aws/sso/cache")).unwrap();
    std::fs::write(home.path().join(".aws/config"), config).unwrap();
    home
}

/// Leaves the token of an SSO session as `aws sso login` does.
fn open_session(home: &Path, expires: &str) {
    // SHA-1 of the session's name, `corp`.
    let name = ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
    let token = format!(
        "{{\"accessToken\":\"t\",\"expiresAt\":\"{expires}\",\"region\":\"us-east-1\",\
         \"startUrl\":\"https://corp.example/start\"}}"
    );
    std::fs::write(home.join(name), token).unwrap();
}

/// A profile of an SSO session.
const SSO: &str = "[profile p]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n\
                   [sso-session corp]\nsso_region = us-east-1\n\
                   sso_start_url = https://corp.example/start\n";

/// Keys of the base profile that assumes a role.
const BASE: &str = "[profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = s\n";

/// A way, the configuration file, variables, further arguments.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn every_way_of_the_chain_signs_in() {
    let amazon = Amazon::start();
    let process = "[profile p]\ncredential_process = sh -c 'echo \"{\\\"Version\\\":1,\
                   \\\"AccessKeyId\\\":\\\"AKIAPROCESS\\\",\\\"SecretAccessKey\\\":\\\"s\\\",\
                   \\\"SessionToken\\\":\\\"token-PROCESS\\\"}\"'\n";
    let role =
        format!("{BASE}[profile p]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n");
    let container = format!("{}/container", amazon.url());
    let instance = amazon.url();
    let cases: &[Case<'_>] = &[
        (
            "KEYS",
            "",
            &[
                ("AWS_ACCESS_KEY_ID", "AKIAKEYS"),
                ("AWS_SECRET_ACCESS_KEY", "s"),
                ("AWS_SESSION_TOKEN", "token-KEYS"),
            ],
            &[],
        ),
        ("PROCESS", process, &[("AWS_PROFILE", "p")], &[]),
        ("PROCESS", process, &[], &["--profile", "p"]),
        ("ROLE", &role, &[("AWS_PROFILE", "p")], &[]),
        (
            "ROLE",
            &role,
            &[
                ("AWS_ACCESS_KEY_ID", "AKIAOTHER"),
                ("AWS_SECRET_ACCESS_KEY", "s"),
            ],
            &["--profile", "p"],
        ),
        ("SSO", SSO, &[("AWS_PROFILE", "p")], &[]),
        (
            "WEB",
            "",
            &[
                ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", "TOKEN"),
            ],
            &[],
        ),
        (
            "CONTAINER",
            "",
            &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container)],
            &[],
        ),
        (
            "INSTANCE",
            "",
            &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance)],
            &[],
        ),
    ];
    for (way, config, variables, more) in cases {
        let home = home(config);
        open_session(home.path(), EXPIRES);
        let token = home.path().join("token");
        std::fs::write(&token, "jwt").unwrap();
        let token = token.display().to_string();
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| {
                (
                    *name,
                    if *value == "TOKEN" {
                        token.as_str()
                    } else {
                        *value
                    },
                )
            })
            .collect();
        let output = query(&amazon, home.path(), "empty", &variables, more);
        let said = String::from_utf8_lossy(&output.stderr);
        let wanted = (format!("AKIA{way}"), format!("token-{way}"));
        assert_eq!(amazon.signers(), [wanted], "{way} {more:?}: {said}");
        assert!(
            said.contains("there is no object under this name"),
            "{way}: {said}"
        );
    }
}

#[test]
fn each_refusal_has_its_own_sentence() {
    let amazon = Amazon::start();
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIAKEYS"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ];
    let home = home("");
    for (bucket, wanted) in [
        (
            "denied",
            "s3:ListBucket on s3://denied is denied for access key AKIAKEYS",
        ),
        ("expired", "the temporary credentials"),
        (
            "elsewhere",
            "s3://elsewhere is in region eu-west-3, the request went to us-east-1; set the region",
        ),
        ("missing", "there is no bucket s3://missing at http://"),
        ("kms", "grant kms:GenerateDataKey and kms:Decrypt on it"),
        (
            "archived",
            "s3://archived/a.pcap is archived (Glacier); restore it first, then read it",
        ),
    ] {
        let output = query(&amazon, home.path(), bucket, &keys, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(wanted), "{bucket}: {said}");
        assert!(!output.status.success(), "{bucket}: {said}");
    }
}

#[test]
fn an_expired_session_and_no_credentials_say_what_to_do() {
    let amazon = Amazon::start();
    let expired = home(SSO);
    open_session(expired.path(), "2020-01-01T00:00:00Z");
    let output = query(&amazon, expired.path(), "empty", &[], &["--profile", "p"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("run: aws sso login --profile p"), "{said}");

    let nothing = home("");
    let off = [("AWS_EC2_METADATA_DISABLED", "true")];
    let output = query(&amazon, nothing.path(), "empty", &off, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no AWS credentials were found"), "{said}");
    assert_eq!(amazon.signers(), []);
}

//! Lists and watches against a server that answers as each test says.

use std::collections::VecDeque;
use std::sync::Mutex;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::json;

use super::*;

/// What the server answers next.
enum Answer {
    Page(Json),
    /// Lines of a watch; then it ends, is cut off within a line, or stays open.
    Watch(Vec<Json>, Then),
    Refuse(u16),
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    End,
    Cut,
    Hold,
}

/// Answers in order, and the requests that got them; what comes after the last answer waits.
#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let asked = request.uri().to_string();
    server.asked.lock().unwrap().push(asked);
    let next = server.answers.lock().unwrap().pop_front();
    let (status, body) = match next {
        None => std::future::pending().await,
        Some(Answer::Page(page)) => (200, Body::from(page.to_string())),
        Some(Answer::Refuse(code)) => {
            let said = json!({"kind": "Status", "code": code, "message": format!("said {code}")});
            (code, Body::from(said.to_string()))
        }
        Some(Answer::Watch(lines, then)) => {
            let mut text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            if then == Then::Cut {
                text += r#"{"type":"ADDED","object":{"metada"#;
            }
            let first = futures_util::stream::iter([Ok::<_, std::io::Error>(text)]);
            let body = match then {
                Then::Hold => Body::from_stream(futures_util::StreamExt::chain(
                    first,
                    futures_util::stream::pending(),
                )),
                Then::End => Body::from_stream(first),
                // What was sent before is on its way by then.
                Then::Cut => Body::from_stream(futures_util::StreamExt::chain(
                    first,
                    futures_util::stream::once(async {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        Err(std::io::Error::other("cut"))
                    }),
                )),
            };
            (200, body)
        }
    };
    Response::builder().status(status).body(body).unwrap()
}

fn pod(name: &str, version: u32) -> Json {
    json!({"metadata": {"name": name, "namespace": "shop", "resourceVersion": version.to_string()}})
}

fn page(names: &[&str], version: u32, more: &str) -> Answer {
    let items: Vec<Json> = names.iter().map(|name| pod(name, 1)).collect();
    Answer::Page(json!({
        "kind": "PodList", "metadata": {"resourceVersion": version.to_string(), "continue": more}, "items": items,
    }))
}

fn event(kind: &str, name: &str, version: u32) -> Json {
    json!({"type": kind, "object": pod(name, version)})
}

fn pace() -> Pace {
    Pace {
        first: Duration::from_millis(4),
        longest: Duration::from_millis(20),
        denied: Duration::from_millis(20),
        watch: Duration::from_secs(2),
        grace: Duration::from_secs(8),
    }
}

/// What was heard of a run against `answers`, when `asked` requests had been made.
struct Heard {
    events: Vec<String>,
    asked: Vec<String>,
    sentences: Vec<String>,
    statuses: Arc<Statuses>,
}

fn run(answers: Vec<Answer>, asked: usize, pace: Pace, namespaces: &[&str]) -> Heard {
    run_through(answers, pace, &[(namespaces, asked)])
}

/// As [`run`], with other namespaces each time that so many requests were made.
fn run_through(answers: Vec<Answer>, pace: Pace, through: &[(&[&str], usize)]) -> Heard {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = Server::default();
        server.answers.lock().unwrap().extend(answers);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new()
            .fallback(answer)
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut config = kube::Config::new(format!("http://{address}").parse().unwrap());
        config.default_retry = false;
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let named = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (namespaces, watched) = tokio::sync::watch::channel(named(through[0].0));
        let statuses: Arc<Statuses> = Arc::default();
        let watcher = Watcher {
            api: Api::new(kube::Client::try_from(config).unwrap()),
            slices: SliceApi::V1,
            pace,
            sink: Arc::new({
                let heard = heard.clone();
                move |event| heard.lock().unwrap().push(shown(&event))
            }),
            statuses: statuses.clone(),
            namespaces: watched,
        };
        let following = tokio::spawn(watcher.follow(Kind::Pods));
        let late = tokio::time::Instant::now() + Duration::from_secs(20);
        for (names, asked) in through {
            namespaces.send_replace(named(names));
            while server.asked.lock().unwrap().len() < *asked {
                assert!(
                    tokio::time::Instant::now() < late,
                    "{:?}",
                    server.asked.lock().unwrap()
                );
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        following.abort();
        let _ = following.await;
        let asked = server.asked.lock().unwrap().clone();
        Heard {
            events: heard.lock().unwrap().clone(),
            asked,
            sentences: statuses.take_sentences(),
            statuses,
        }
    })
}

fn shown(event: &Event) -> String {
    let name = |object: &Json| Key::of(object).unwrap().name;
    match event {
        Event::There(_, object) => format!("there {}", name(object)),
        Event::Complete(_, namespace, keys) => {
            let mut names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
            names.sort_unstable();
            let within = namespace.as_deref().unwrap_or("all");
            format!("complete {within} {}", names.join(","))
        }
        Event::Changed(_, change, object) => format!("{} {}", change.name(), name(object)),
        Event::Without(kind) => format!("without {}", kind.name()),
        Event::Unwatched(kind, namespace) => format!("unwatched {} {namespace}", kind.name()),
    }
}

/// The version that a watch was asked to go on from.
fn from(asked: &str) -> &str {
    let (_, version) = asked.rsplit_once("resourceVersion=").unwrap();
    version
}

#[test]
fn a_list_in_pages_then_a_watch_that_goes_on_where_it_ended() {
    let bookmark = json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "30"}}});
    let answers = vec![
        page(&["a", "b"], 10, "next/page+1="),
        page(&["c"], 10, ""),
        Answer::Watch(
            vec![event("ADDED", "d", 11), event("DELETED", "a", 12), bookmark],
            Then::End,
        ),
        Answer::Watch(vec![event("MODIFIED", "b", 31)], Then::Hold),
    ];
    let heard = run(answers, 4, pace(), &[]);
    let events = [
        "there a",
        "there b",
        "there c",
        "complete all a,b,c",
        "ADDED d",
        "DELETED a",
    ];
    assert_eq!(heard.events[..6], events);
    let asked = &heard.asked;
    assert_eq!(asked[0], "/api/v1/pods?limit=500");
    assert_eq!(
        asked[1],
        "/api/v1/pods?limit=500&continue=next%2Fpage%2B1%3D"
    );
    assert!(asked[2].contains("watch=true&allowWatchBookmarks=true&timeoutSeconds="));
    assert_eq!((from(&asked[2]), from(&asked[3])), ("10", "30"));
    assert!(heard.sentences.is_empty(), "{:?}", heard.sentences);
}

#[test]
fn a_version_that_is_no_longer_kept_makes_a_new_list() {
    let gone =
        json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}});
    let answers = vec![
        page(&["a"], 10, ""),
        Answer::Watch(vec![event("ADDED", "b", 11), gone], Then::End),
        page(&["b", "c"], 50, ""),
        // The other way in which it is said.
        Answer::Refuse(410),
        page(&["c"], 60, "more"),
        // The pages of a list expire too.
        Answer::Refuse(410),
        page(&["c", "d"], 70, ""),
        Answer::Watch(Vec::new(), Then::Hold),
    ];
    let heard = run(answers, 8, pace(), &[]);
    let complete: Vec<&String> = heard
        .events
        .iter()
        .filter(|one| one.starts_with("complete"))
        .collect();
    assert_eq!(
        complete,
        ["complete all a", "complete all b,c", "complete all c,d"]
    );
    assert_eq!(from(&heard.asked[7]), "70");
    assert!(heard.sentences.is_empty(), "{:?}", heard.sentences);
}

#[test]
fn failures_are_tried_again_and_said_once() {
    let answers = vec![
        Answer::Refuse(500),
        Answer::Refuse(503),
        page(&["a"], 10, ""),
        Answer::Watch(vec![event("ADDED", "b", 11)], Then::Cut),
        Answer::Refuse(429),
        Answer::Watch(vec![event("ADDED", "c", 12)], Then::End),
        Answer::Watch(Vec::new(), Then::Hold),
    ];
    let heard = run(answers, 7, pace(), &[]);
    let events = ["there a", "complete all a", "ADDED b", "ADDED c"];
    assert_eq!(heard.events, events);
    let versions: Vec<&str> = heard.asked[3..].iter().map(|asked| from(asked)).collect();
    assert_eq!(versions, ["10", "11", "11", "12"]);
    assert_eq!(
        heard.sentences[0],
        "the API server cannot be asked, and names stay as they were until it can: \
         the API server answered 500: said 500"
    );
    assert_eq!(heard.sentences[1], "the API server answers again");
}

#[test]
fn a_silent_watch_counts_as_broken() {
    let answers = vec![
        page(&["a"], 10, ""),
        Answer::Watch(vec![event("ADDED", "b", 11)], Then::Hold),
        Answer::Watch(Vec::new(), Then::Hold),
    ];
    let quick = Pace {
        watch: Duration::from_millis(50),
        grace: Duration::from_millis(50),
        ..pace()
    };
    let heard = run(answers, 3, quick, &[]);
    assert_eq!(from(&heard.asked[2]), "11");
    assert!(
        heard.sentences[0].contains("the watch is silent"),
        "{:?}",
        heard.sentences
    );
}

#[test]
fn a_server_that_ends_every_watch_at_once_is_not_hurried() {
    let mut answers = vec![page(&["a"], 10, "")];
    answers.extend((0..20).map(|_| Answer::Watch(Vec::new(), Then::End)));
    let began = Instant::now();
    run(answers, 21, pace(), &[]);
    // Pauses of 4, 8, 16 and then 20 ms, each at least half of it.
    assert!(
        began.elapsed() >= Duration::from_millis(150),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_denial_is_said_and_asked_again() {
    let answers = vec![
        Answer::Refuse(403),
        Answer::Refuse(403),
        page(&["a"], 10, ""),
        Answer::Watch(Vec::new(), Then::Hold),
    ];
    let heard = run(answers, 4, pace(), &[]);
    let events = ["without pods", "without pods", "there a", "complete all a"];
    assert_eq!(heard.events, events);
    assert_eq!(
        heard.sentences,
        [
            "pods of the cluster may not be listed and watched, so addresses have no names of pods: said 403",
            "pods of the cluster may be watched now",
        ]
    );
}

#[test]
fn where_the_cluster_is_denied_namespaces_are_watched() {
    let answers = vec![
        Answer::Refuse(403),
        page(&["a"], 10, ""),
        page(&["a"], 10, ""),
        Answer::Watch(Vec::new(), Then::Hold),
        Answer::Watch(Vec::new(), Then::Hold),
    ];
    let heard = run(answers, 5, pace(), &["shop", "web"]);
    for namespace in ["shop", "web"] {
        let complete = format!("complete {namespace} a");
        assert!(heard.events.contains(&complete), "{:?}", heard.events);
        let path = format!("/api/v1/namespaces/{namespace}/pods?limit=500");
        assert!(heard.asked.contains(&path), "{:?}", heard.asked);
    }
    assert_eq!(
        heard.sentences,
        [
            "pods are watched in shop, web only, so addresses of other namespaces may have no names: said 403"
        ]
    );
    assert_eq!(heard.statuses.states().len(), 3);
}

#[test]
fn other_namespaces_are_watched_when_they_change() {
    let answers = vec![
        Answer::Refuse(403),
        page(&["a"], 10, ""),
        Answer::Watch(Vec::new(), Then::Hold),
        page(&["b"], 20, ""),
        Answer::Watch(Vec::new(), Then::Hold),
        page(&["a"], 30, ""),
        Answer::Watch(Vec::new(), Then::Hold),
    ];
    let through: [(&[&str], usize); 3] = [(&["shop"], 3), (&["web"], 5), (&["web", "shop"], 7)];
    let heard = run_through(answers, pace(), &through);
    let events = [
        "there a",
        "complete shop a",
        "unwatched pods shop",
        "there b",
        "complete web b",
        "there a",
        "complete shop a",
    ];
    assert_eq!(heard.events, events);
    for (at, namespace) in [(1, "shop"), (3, "web"), (5, "shop")] {
        let path = format!("/api/v1/namespaces/{namespace}/pods?limit=500");
        assert_eq!(heard.asked[at], path);
    }
    let said: Vec<&str> = heard
        .sentences
        .iter()
        .filter_map(|sentence| sentence.split(" only").next())
        .collect();
    let watched = ["shop", "web", "web, shop"].map(|names| format!("pods are watched in {names}"));
    assert_eq!(said, watched);
    assert!(heard.statuses.is_confined(Kind::Pods));
    assert_eq!(heard.statuses.states().len(), 3);
}

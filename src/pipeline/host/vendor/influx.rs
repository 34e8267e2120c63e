//! InfluxDB: points on their way in the background.
//!
//! In: points of scripts. Out: batches in line protocol to `/api/v2/write`, and to `/write` of servers
//! before 1.8, which know no other. Never: a script that waits; what cannot be written after some
//! tries is dropped, counted, and told once a minute.
//!
//! Line protocol: <https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/>.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use serde_json::{Map, Value as Json};

use super::super::web::{Request, Web, uri};
use super::{encoded, refusal};
use crate::time::Timestamp;

/// Points that wait; scripts make a point an item at most.
const MAX_WAITING: usize = 20_000;

/// Bytes of the points that wait.
const MAX_WAITING_BYTES: usize = 32 << 20;

/// Points of one request.
const MAX_BATCH: usize = 1000;

/// How long a point waits for others.
const GATHER: Duration = Duration::from_millis(200);

/// Tries of one batch.
const MAX_TRIES: u32 = 5;

/// First pause between two tries; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// How often one script is told of failures.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Time that the last points get when everything stops.
const LAST: Duration = Duration::from_secs(10);

/// Takes what went wrong, with the script's index.
pub(crate) type Report = dyn Fn(u32, &str) + Send;

/// Where points go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    url: String,
    token: String,
    org: String,
    bucket: String,
}

/// A point on its way.
#[derive(Debug)]
pub(crate) struct Point {
    script: u32,
    target: Target,
    line: String,
}

impl Point {
    /// A point of the script with an index.
    ///
    /// # Errors
    /// When it has no field, or the address is none.
    pub(crate) fn new(
        script: u32,
        [url, token, org, bucket, measurement]: [&str; 5],
        fields: &Map<String, Json>,
        tags: &[(String, String)],
        at: Timestamp,
    ) -> Result<Point, String> {
        uri(url)?;
        let target = Target {
            url: url.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
            org: org.to_owned(),
            bucket: bucket.to_owned(),
        };
        let line = line(measurement, fields, tags, at)
            .ok_or("a point for InfluxDB needs a measurement and at least one field")?;
        Ok(Point {
            script,
            target,
            line,
        })
    }
}

/// Writes points in the background.
pub(crate) struct Influx {
    points: Option<Sender<Point>>,
    /// Bytes of the points that wait.
    bytes: Arc<AtomicUsize>,
    writer: Option<JoinHandle<()>>,
}

impl Influx {
    /// Starts the writer; `report` takes sentences about what failed, with the script's index.
    pub(crate) fn start(web: Web, report: Box<Report>) -> Result<Influx, String> {
        let (points, waiting) = bounded(MAX_WAITING);
        let bytes = Arc::new(AtomicUsize::new(0));
        let taken = bytes.clone();
        let writer = thread::Builder::new()
            .name("influx".into())
            .spawn(move || {
                let mut writer = Writer {
                    web,
                    report,
                    failed: HashMap::new(),
                    until: None,
                    bytes: taken,
                };
                writer.run(&waiting);
            })
            .map_err(|error| format!("no thread can be started: {error}"))?;
        Ok(Influx {
            points: Some(points),
            bytes,
            writer: Some(writer),
        })
    }

    /// Takes a point.
    ///
    /// # Errors
    /// When too many wait, which is when the server does not keep up.
    pub(crate) fn write(&self, point: Point) -> Result<(), String> {
        let gone = || "points are not written any more".to_owned();
        let points = self.points.as_ref().ok_or_else(gone)?;
        let size = point.line.len();
        let full = || "InfluxDB does not keep up, too many points are waiting".to_owned();
        if self.bytes.fetch_add(size, Ordering::Relaxed) + size > MAX_WAITING_BYTES {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            return Err(full());
        }
        points.try_send(point).map_err(|error| {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => full(),
                TrySendError::Disconnected(_) => gone(),
            }
        })
    }
}

impl Drop for Influx {
    fn drop(&mut self) {
        drop(self.points.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

struct Writer {
    web: Web,
    report: Box<Report>,
    /// Points that were lost since the script was last told, and when that was.
    failed: HashMap<u32, (u64, Option<Instant>)>,
    /// When everything must be done, once all is to stop.
    until: Option<Instant>,
    /// Bytes of the points that wait, taken back as they are written.
    bytes: Arc<AtomicUsize>,
}

impl Writer {
    fn run(&mut self, waiting: &Receiver<Point>) {
        while let Ok(first) = waiting.recv() {
            let mut batches: HashMap<Target, Vec<(u32, String)>> = HashMap::new();
            let until = Instant::now() + GATHER;
            let mut taken = 0;
            let mut next = Some(first);
            while let Some(point) = next.take() {
                self.bytes.fetch_sub(point.line.len(), Ordering::Relaxed);
                let batch = batches.entry(point.target).or_default();
                batch.push((point.script, point.line));
                taken += 1;
                if taken < MAX_BATCH {
                    next = match waiting.recv_deadline(until) {
                        Ok(point) => Some(point),
                        Err(RecvTimeoutError::Timeout) => None,
                        Err(RecvTimeoutError::Disconnected) => {
                            self.until.get_or_insert(Instant::now() + LAST);
                            None
                        }
                    };
                }
            }
            for (target, batch) in batches {
                self.write(&target, &batch);
            }
        }
    }

    fn write(&mut self, target: &Target, batch: &[(u32, String)]) {
        let lines: Vec<&str> = batch.iter().map(|(_, line)| line.as_str()).collect();
        let body = lines.join("\n");
        let mut pause = FIRST_PAUSE;
        let mut why = String::new();
        for turn in 0..MAX_TRIES {
            let late = self.until.is_some_and(|until| Instant::now() >= until);
            if turn > 0 && late {
                break;
            }
            match self.post(target, &body) {
                Ok(()) => return,
                Err((_, sentence)) if turn + 1 == MAX_TRIES => why = sentence,
                Err((true, sentence)) => {
                    why = sentence;
                    thread::sleep(pause);
                    pause *= 2;
                }
                Err((false, sentence)) => {
                    why = sentence;
                    break;
                }
            }
        }
        self.lost(batch, &why);
    }

    /// Posts a batch; an error says whether another try may help.
    fn post(&self, target: &Target, body: &str) -> Result<(), (bool, String)> {
        let v2 = format!(
            "{}/api/v2/write?org={}&bucket={}&precision=ns",
            target.url,
            encoded(&target.org),
            encoded(&target.bucket)
        );
        let mut answer = self.send(&v2, target, body).map_err(|why| (true, why))?;
        if answer.status == 404 && !answer.text().contains("bucket") {
            let v1 = format!(
                "{}/write?db={}&precision=ns",
                target.url,
                encoded(&target.bucket)
            );
            answer = self.send(&v1, target, body).map_err(|why| (true, why))?;
        }
        if answer.status.is_success() {
            return Ok(());
        }
        let again = answer.status == 429 || answer.status.is_server_error();
        Err((again, refusal("InfluxDB", &answer)))
    }

    fn send(
        &self,
        url: &str,
        target: &Target,
        body: &str,
    ) -> Result<super::super::web::Answer, String> {
        let mut request = Request::new("POST", url).body("text/plain; charset=utf-8", body);
        if !target.token.is_empty() {
            request = request.header("Authorization", format!("Token {}", target.token));
        }
        self.web.send(&request)
    }

    fn lost(&mut self, batch: &[(u32, String)], why: &str) {
        for (script, _) in batch {
            self.failed.entry(*script).or_default().0 += 1;
        }
        for (script, (count, told)) in &mut self.failed {
            let due = told.is_none_or(|at| at.elapsed() >= TELL_EVERY);
            if *count > 0 && due {
                let line = format!("{count} points were not written to InfluxDB: {why}");
                (self.report)(*script, &line);
                *count = 0;
                *told = Some(Instant::now());
            }
        }
    }
}

/// One line; `None` without a measurement or a field.
fn line(
    measurement: &str,
    fields: &Map<String, Json>,
    tags: &[(String, String)],
    at: Timestamp,
) -> Option<String> {
    if measurement.is_empty() {
        return None;
    }
    let mut line = escaped(measurement, ", ");
    let mut tags: Vec<&(String, String)> = tags
        .iter()
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .collect();
    // The server sorts them otherwise.
    tags.sort();
    for (name, value) in tags {
        let _ = write!(line, ",{}={}", escaped(name, ",= "), escaped(value, ",= "));
    }
    let mut mark = ' ';
    for (name, value) in fields {
        let value = match value {
            Json::Null => continue,
            Json::Bool(value) => value.to_string(),
            // Written as floats, also whole numbers: the type of a field never changes.
            Json::Number(number) => number.as_f64()?.to_string(),
            Json::String(text) => quoted(text),
            other => quoted(&other.to_string()),
        };
        if name.is_empty() {
            continue;
        }
        let _ = write!(line, "{mark}{}={value}", escaped(name, ",= "));
        mark = ',';
    }
    if mark == ' ' {
        return None;
    }
    let _ = write!(line, " {}", at.nanos());
    Some(line)
}

/// Names and tag values: a backslash before each of `marks`; a line break would end the line.
fn escaped(text: &str, marks: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push_str("\\ "),
            // A backslash at the end would escape what follows the text.
            '\\' => out.push('/'),
            c => {
                if marks.contains(c) {
                    out.push('\\');
                }
                out.push(c);
            }
        }
    }
    out
}

/// String fields: in quotes, with a backslash before quotes and backslashes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(measurement: &str, fields: Json, tags: &[(&str, &str)]) -> Option<String> {
        let tags: Vec<(String, String)> = tags
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        let at = Timestamp::from_nanos(17);
        line(measurement, fields.as_object().unwrap(), &tags, at)
    }

    #[test]
    fn points_are_written_in_line_protocol() {
        let cases = [
            (
                of("Status Codes", json!({"200": 3, "ok": true}), &[]),
                "Status\\ Codes 200=3,ok=true 17",
            ),
            (
                of(
                    "m",
                    json!({"a b": 1.5}),
                    &[("z", "1"), ("path", "/a,b=c d"), ("no", "")],
                ),
                "m,path=/a\\,b\\=c\\ d,z=1 a\\ b=1.5 17",
            ),
            (
                of(
                    "m",
                    json!({"s": "a \"q\" \\", "n": null, "o": {"k": 1}}),
                    &[],
                ),
                "m s=\"a \\\"q\\\" \\\\\",o=\"{\\\"k\\\":1}\" 17",
            ),
            (
                of(
                    "m",
                    json!({"a": 1}),
                    &[("path", "/x\n evil=1"), ("back", "c:\\")],
                ),
                "m,back=c:/,path=/x\\ \\ evil\\=1 a=1 17",
            ),
        ];
        for (made, wanted) in cases {
            assert_eq!(made.as_deref(), Some(wanted));
        }
        assert_eq!(of("m", json!({"n": null}), &[]), None);
        assert_eq!(of("", json!({"n": 1}), &[]), None);
    }
}

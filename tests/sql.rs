//! SQL over an archive: by tapedeck where it is built with it, by the DuckDB command that it prints
//! where it is not.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::engines::python;
use crate::lake::{recorded, traffic};

/// Runs `tapedeck query SRC --sql STATEMENT ...`.
fn sql(source: &Path, home: &Path, statement: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tapedeck"))
        .arg("query")
        .arg(source)
        .args(["--sql", statement])
        .args(args)
        .env("HOME", home)
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A program called `duckdb` that runs a command line of DuckDB's with its Python module.
const DUCKDB: &str = r#"#!/bin/sh
exec "$PYTHON" - "$@" <<'END'
import json, sys
import duckdb
assert sys.argv[1:3] == ["-jsonlines", "-c"], sys.argv
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
answer = connection.execute(sys.argv[3])
names = [one[0] for one in answer.description]
for row in answer.fetchall():
    row = [one.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if hasattr(one, "strftime") else one for one in row]
    print(json.dumps(dict(zip(names, row))))
END
"#;

/// Runs a command of a shell in which `duckdb` is there; `None` where its module is not installed.
fn with_duckdb(home: &Path, command: &str) -> Option<Vec<Value>> {
    use std::os::unix::fs::PermissionsExt;
    let python = python()?;
    let program = home.join("duckdb");
    std::fs::write(&program, DUCKDB).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = vec![home.to_owned()];
    paths.extend(std::env::split_paths(&path));
    let output = Command::new("sh")
        .args(["-c", command])
        .env("PATH", std::env::join_paths(paths).unwrap())
        .env("PYTHON", python)
        .output()
        .unwrap();
    let (out, errors) = said(&output);
    if errors.contains("ModuleNotFoundError") {
        println!("skipped: pyarrow, pandas and DuckDB are not installed; run tools/test-deps.sh");
        return None;
    }
    assert!(output.status.success(), "{command}: {errors}");
    Some(lines(&out))
}

/// Statements over all tables, with an order in which every engine gives them.
const STATEMENTS: [&str; 6] = [
    "SELECT status, count(*) AS n, max(elapsed_nanos) AS most FROM items GROUP BY status ORDER BY status",
    "SELECT * FROM items ORDER BY stream, item_index",
    "SELECT * FROM streams ORDER BY stream",
    "SELECT * FROM reels ORDER BY reel",
    "SELECT * FROM coverage ORDER BY reel, reason",
    "SELECT r.reel, r.items, count(*) AS n, min(i.path) AS path FROM items i JOIN reels r USING (cluster, node, recording, reel) \
     WHERE i.date = '2023-11-14' AND json_extract_string(i.request, '$.headers.Host') = 'cart.shop' \
     GROUP BY r.reel, r.items ORDER BY r.reel",
];

#[cfg(not(feature = "sql"))]
#[test]
fn a_build_without_sql_says_how_to_get_it_and_what_does_the_same() {
    let home = tempfile::tempdir().unwrap();
    let archive = recorded(home.path(), traffic());
    for statement in STATEMENTS {
        let output = sql(&archive, home.path(), statement, &["--format", "json"]);
        assert_eq!(output.status.code(), Some(2));
        let told = said(&output).1;
        assert!(
            told.contains("cargo build --release --features sql"),
            "{told}"
        );
        let command = told.lines().find(|line| line.starts_with("duckdb "));
        let Some(rows) = with_duckdb(home.path(), command.unwrap()) else {
            return;
        };
        assert!(!rows.is_empty(), "{statement}");
    }
    let told = said(&sql(
        &archive,
        home.path(),
        "SELECT count(*) FROM items WHERE kfl('http')",
        &[],
    ));
    assert!(told.1.contains("written as a condition on columns"));
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo.pcap");
    let told = said(&sql(&demo, home.path(), "SELECT 1", &[])).1;
    assert!(!told.contains("duckdb "), "{told}");
}

#[cfg(feature = "sql")]
mod built {
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::lake::{files, query};

    /// The rows of a statement that must succeed.
    fn rows(source: &Path, home: &Path, statement: &str, args: &[&str]) -> Vec<Value> {
        let args = [&["--format", "json"][..], args].concat();
        let output = sql(source, home, statement, &args);
        let (out, errors) = said(&output);
        assert!(output.status.success(), "{statement}: {errors}");
        lines(&out)
    }

    /// Times as one engine writes them.
    fn comparable(rows: &[Value]) -> Vec<Value> {
        let time = |text: &str| {
            let at = chrono::DateTime::parse_from_rfc3339(text).ok()?;
            Some(Value::from(at.timestamp_micros()))
        };
        rows.iter()
            .map(|row| {
                let row = row.as_object().unwrap().iter();
                row.map(|(name, value)| {
                    let found = value.as_str().and_then(time);
                    (name.clone(), found.unwrap_or_else(|| value.clone()))
                })
                .collect()
            })
            .collect()
    }

    #[test]
    fn every_table_is_as_duckdb_sees_it() {
        let home = tempfile::tempdir().unwrap();
        let archive = recorded(home.path(), traffic());
        let reach = tapedeck::sql::duckdb::Reach::default();
        for statement in STATEMENTS {
            let ours = rows(&archive, home.path(), statement, &[]);
            let command = tapedeck::sql::duckdb::command(
                archive.to_str().unwrap(),
                &reach,
                statement,
                "json",
            );
            let Some(theirs) = with_duckdb(home.path(), &command) else {
                return;
            };
            assert!(!ours.is_empty());
            assert_eq!(comparable(&ours), comparable(&theirs), "{statement}");
        }
    }

    #[test]
    fn kfl_decides_in_every_place_of_a_statement_as_a_query_does() {
        let home = tempfile::tempdir().unwrap();
        let archive = recorded(home.path(), traffic());
        for kfl in [
            "http and response.status == 500",
            "request.path.startsWith(\"/calls/52\")",
            // Bodies are in the packets alone.
            "response.content.text.contains(\"OjUwMH0\")",
            "dst.name == \"nobody\"",
        ] {
            let wanted = query(&archive, &["--kfl", kfl]).len();
            let statement = format!("SELECT path FROM items WHERE kfl('{kfl}')");
            let found = rows(&archive, home.path(), &statement, &[]);
            assert_eq!(found.len(), wanted, "{kfl}");
            let statement = format!(
                "SELECT count(*) FILTER (WHERE kfl('{kfl}')) AS yes, count(*) AS all, \
                 sum(CASE WHEN kfl(i, '{kfl}') THEN 1 ELSE 0 END) AS again FROM items i"
            );
            let found = &rows(&archive, home.path(), &statement, &[])[0];
            assert_eq!(
                (&found["yes"], &found["again"]),
                (&wanted.into(), &wanted.into())
            );
            assert_eq!(found["all"], 62);
            let statement =
                format!("SELECT kfl('{kfl}'), count(*) AS n FROM items GROUP BY kfl('{kfl}')");
            let groups = rows(&archive, home.path(), &statement, &[]);
            let yes = groups
                .iter()
                .find(|row| row[format!("kfl('{kfl}')")] == true);
            assert_eq!(
                yes.map_or(0, |row| row["n"].as_u64().unwrap()),
                wanted as u64
            );
        }
        // What stands for it is no column of the answer.
        let found = rows(
            &archive,
            home.path(),
            "SELECT * FROM (SELECT * FROM items) WHERE kfl('response.status == 503')",
            &[],
        );
        assert_eq!(found.len(), 1);
        let names = found[0].as_object().unwrap().keys();
        assert!(names.clone().all(|name| !name.contains("kfl")), "{found:?}");
        assert_eq!(names.last().unwrap(), "reel");
    }

    #[test]
    fn partitions_times_and_statistics_narrow_what_is_read() {
        let home = tempfile::tempdir().unwrap();
        let archive = recorded(home.path(), traffic());
        let reads = |statement: &str, args: &[&str]| {
            let fresh = tempfile::tempdir().unwrap();
            let output = sql(
                &archive,
                fresh.path(),
                statement,
                &[args, &["--stats"]].concat(),
            );
            let (out, errors) = said(&output);
            assert!(output.status.success(), "{errors}");
            let line = errors.lines().find(|line| line.contains(" reads with "));
            let line = line.unwrap_or_else(|| panic!("{errors}"));
            let reads = line.split(", ").nth(1).unwrap().split(' ').next().unwrap();
            (reads.parse::<u64>().unwrap(), out)
        };
        let (all, _) = reads("SELECT count(*) FROM items", &[]);
        assert_eq!(all, 3);
        let time = "timestamp < TIMESTAMP '2023-11-14T22:15:00Z'";
        let by_time = format!("SELECT path FROM items WHERE {time}");
        for (wanted, statement) in [
            (0, "SELECT count(*) FROM items WHERE date = '2023-11-13'"),
            (
                0,
                "SELECT count(*) FROM items WHERE node IN ('node-b', 'node-c')",
            ),
            (1, &by_time),
            (
                2,
                "SELECT path FROM items WHERE reel LIKE '%-000001' OR reel LIKE '%-000002'",
            ),
            (0, "SELECT reel, run, sequence FROM reels"),
            (3, "SELECT packets FROM reels"),
        ] {
            let (read, out) = reads(statement, &[]);
            assert_eq!(read, wanted, "{statement}: {out}");
        }
        let to = ["--to", "2023-11-14T22:15:00Z"];
        assert_eq!(reads("SELECT path FROM items", &to).0, 1);
        let within = rows(
            &archive,
            home.path(),
            "SELECT timestamp FROM items",
            &["--from", "1700000150", "--to", "1700000299"],
        );
        let by_query = query(&archive, &["--from", "1700000150", "--to", "1700000299"]);
        assert_eq!(within.len(), by_query.len());
        // Parts have together every item once.
        let parts: usize = (0..3)
            .map(|part| {
                let shard = format!("{part}/3");
                let args = ["--shard", &shard];
                rows(&archive, home.path(), "SELECT path FROM items", &args).len()
            })
            .sum();
        assert_eq!(parts, 62);
    }

    #[test]
    fn answers_come_as_table_csv_and_parquet() {
        let home = tempfile::tempdir().unwrap();
        let archive = recorded(home.path(), traffic());
        let statement = "SELECT dst_name, status, count(*) AS calls, avg(elapsed_nanos) AS mean, \
                         min(timestamp) AS first, arrow_typeof(status) AS kind, make_array(1, 2) AS list \
                         FROM items WHERE status < 503 GROUP BY dst_name, status ORDER BY status";
        let table = said(&sql(&archive, home.path(), statement, &[])).0;
        let mut shown = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(shown.next().unwrap()[..3], ["dst_name", "status", "calls"]);
        assert_eq!(shown.next().unwrap()[..3], ["cart", "200", "49"]);
        let csv = said(&sql(&archive, home.path(), statement, &["--format", "csv"])).0;
        assert!(
            csv.starts_with("dst_name,status,calls,mean,first,kind,list\ncart,200,49,"),
            "{csv}"
        );
        let file = home.path().join("out.parquet");
        let args = ["--format", "parquet", "--output", file.to_str().unwrap()];
        let output = sql(&archive, home.path(), statement, &args);
        assert!(output.status.success(), "{:?}", said(&output));
        let again = sql(&archive, home.path(), statement, &args);
        assert_eq!(again.status.code(), Some(2), "it is there already");
        let command = format!(
            "duckdb -jsonlines -c \"SELECT * FROM '{}'\"",
            file.display()
        );
        if let Some(read) = with_duckdb(home.path(), &command) {
            let ours = rows(&archive, home.path(), statement, &[]);
            let without_list = |rows: &[Value]| {
                let mut rows = comparable(rows);
                for row in &mut rows {
                    row.as_object_mut().unwrap().remove("list");
                }
                rows
            };
            assert_eq!(without_list(&read), without_list(&ours));
            assert_eq!(read[0]["list"], "[1, 2]");
        }
        let limited = rows(
            &archive,
            home.path(),
            "SELECT path FROM items",
            &["--limit", "7"],
        );
        assert_eq!(limited.len(), 7);
        // Rows, and no columns of the index.
        let counted = rows(
            &archive,
            home.path(),
            "SELECT count(*) AS n FROM items",
            &[],
        );
        assert_eq!(counted[0]["n"], 62);
    }

    #[test]
    fn what_is_wrong_is_said_in_one_sentence() {
        let home = tempfile::tempdir().unwrap();
        let archive = recorded(home.path(), traffic());
        for (statement, part) in [
            ("SELEC 1", "--sql: "),
            ("", "write a statement"),
            ("SELECT 1; SELECT 2", "one statement at a time"),
            ("CREATE TABLE t AS SELECT 1", "only read"),
            ("COPY (SELECT 1) TO '/tmp/x.csv'", "only read"),
            ("SET datafusion.execution.batch_size = 1", "only read"),
            ("SELECT nothing FROM items", "nothing"),
            ("SELECT * FROM '/etc/passwd'", "/etc/passwd"),
            (
                "SELECT * FROM items WHERE kfl('http and')",
                "kfl('http and')",
            ),
            (
                "SELECT * FROM items WHERE kfl(path)",
                "kfl() takes a query in quotes",
            ),
            ("SELECT * FROM reels WHERE kfl('http')", "kfl('http')"),
            (
                "SELECT json_extract_string(request, path) FROM items",
                "path in quotes",
            ),
        ] {
            let output = sql(&archive, home.path(), statement, &[]);
            let (out, errors) = said(&output);
            assert_eq!(output.status.code(), Some(2), "{statement}: {errors}");
            assert_eq!(out, "");
            assert!(errors.contains(part), "{statement}: {errors}");
            assert!(!errors.contains("__kfl"), "{errors}");
        }
        let both = sql(&archive, home.path(), "SELECT 1", &["--kfl", "http"]);
        assert_eq!(both.status.code(), Some(2));
        let lines = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
            .arg("query")
            .arg(&archive)
            .args(["--format", "parquet"])
            .output()
            .unwrap();
        assert_eq!(lines.status.code(), Some(2));
    }

    #[test]
    fn a_savefile_has_the_tables_too() {
        let home = tempfile::tempdir().unwrap();
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo.pcap");
        let statement = "SELECT count(*) AS n, count(*) FILTER (WHERE kfl('response.status == 500')) AS failed, \
                         count(*) FILTER (WHERE kfl('response.content.text.contains(\"a\")')) AS bodies, \
                         count(DISTINCT node) AS nodes, count(date) AS dated FROM items";
        // The first time it is read, the second time its index is.
        let first = rows(&demo, home.path(), statement, &[]);
        let second = rows(&demo, home.path(), statement, &[]);
        assert_eq!(first, second);
        assert_eq!(first[0]["n"], 320);
        assert_eq!(first[0]["failed"], 8);
        assert_eq!(first[0]["dated"], 0);
        assert_eq!(first[0]["nodes"], 1);
        let wanted = query(&demo, &["--kfl", "response.content.text.contains(\"a\")"]).len();
        assert!(wanted > 0);
        assert_eq!(first[0]["bodies"], wanted);
        let streams = rows(&demo, home.path(), "SELECT stream FROM streams", &[]);
        let names: BTreeSet<String> = streams
            .iter()
            .map(|row| row["stream"].to_string())
            .collect();
        assert_eq!(names.len(), streams.len());
        assert!(rows(&demo, home.path(), "SELECT * FROM coverage", &[]).is_empty());
    }

    #[test]
    fn a_reel_that_cannot_be_read_is_a_gap() {
        let home = tempfile::tempdir().unwrap();
        let archive = recorded(home.path(), traffic());
        let index = files(&archive, ".items.parquet").remove(0);
        let packets = files(&archive, ".pcapng.zst").remove(0);
        std::fs::write(&index, b"PAR1 damaged PAR1").unwrap();
        std::fs::write(&packets, b"damaged").unwrap();
        let output = sql(&archive, home.path(), "SELECT count(*) FROM items", &[]);
        assert_eq!(output.status.code(), Some(3), "{:?}", said(&output));
    }

    #[test]
    fn a_signal_ends_a_long_statement() {
        let home = tempfile::tempdir().unwrap();
        let archive = recorded(home.path(), traffic());
        let statement = "SELECT count(*) FROM items a, items b, items c, items d, items e, items f \
                         WHERE a.path < b.path OR c.path < d.path OR e.path < f.path";
        let mut child = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
            .arg("query")
            .arg(&archive)
            .args(["--sql", statement])
            .env("HOME", home.path())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_secs(2));
        assert!(child.try_wait().unwrap().is_none(), "it is not long");
        let began = Instant::now();
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
    }
}

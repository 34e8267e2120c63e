//! The command with which DuckDB answers the same statement over the same files.
//!
//! In: what a user asked, and where the source is. Out: a line for a shell. Never: secrets; DuckDB
//! finds the same credentials by itself.

use super::tables::STREAMS_QUERY;
use crate::record::manifest::MAX_MANIFEST_BYTES;

/// Reaching a store that is no folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// A server compatible with S3, as `http://127.0.0.1:9000`.
    pub endpoint: Option<String>,
    /// The region of the bucket.
    pub region: Option<String>,
    /// Whether the bucket's name goes into the path.
    pub is_path_style: bool,
}

/// How a format of ours is called there; `None` for a file.
const MODES: &[(&str, &str)] = &[("json", "-jsonlines"), ("csv", "-csv"), ("table", "-box")];

/// The command for `statement` over the archive `source`, in an output format of ours.
///
/// The views read the indexes below `reels/`, and the manifests where `reels` or `coverage` are
/// asked for.
pub fn command(source: &str, reach: &Reach, statement: &str, format: &str) -> String {
    let statement = statement.trim().trim_end_matches(';');
    let mode = MODES.iter().find(|(ours, _)| *ours == format);
    let asked = match mode {
        Some(_) => statement.to_owned(),
        None => format!("COPY ({statement}) TO 'out.parquet' (FORMAT parquet)"),
    };
    let mut text = connect(source, reach);
    text.push_str(&views(source));
    text.push_str(&asked);
    let mode = mode.map_or(String::new(), |(_, mode)| format!(" {mode}"));
    format!("duckdb{mode} -c {}", quoted(&text))
}

/// The statements that define the four tables over the archive `source`.
pub fn views(source: &str) -> String {
    let root = literal(&format!("{}/reels/**/*", source.trim_end_matches('/')));
    let below = |ending: &str| root.replace("/**/*", &format!("/**/*.{ending}"));
    let index = below(crate::index::ENDING);
    let manifests = below("manifest.json");
    // The name of a file: <start>-<run>-<sequence>-<hash>.<ending>
    let run = "CAST(regexp_extract(filename, '-([0-9]+)-[0-9]+-[0-9a-f]+[.][^/]*$', 1) AS BIGINT)";
    let reel = "regexp_extract(filename, '([^/]*)-[0-9a-f]+[.][^/]*$', 1)";
    let place = format!("cluster, date, hour, node, recording, {run} AS run, {reel} AS reel");
    let hive = "hive_partitioning = true, hive_types_autocast = false, filename = true";
    format!(
        "CREATE VIEW items AS SELECT * EXCLUDE (cluster, date, hour, node, recording, filename), {place} \
FROM read_parquet({index}, union_by_name = true, {hive}); \
CREATE VIEW streams AS {STREAMS_QUERY}; \
CREATE VIEW manifests AS SELECT * FROM read_json({manifests}, format = 'newline_delimited', \
maximum_object_size = {MAX_MANIFEST_BYTES}, {hive}, columns = {{\
kind: 'VARCHAR', sequence: 'BIGINT', \"from\": 'TIMESTAMPTZ', \"to\": 'TIMESTAMPTZ', \
sealed: 'TIMESTAMPTZ', why: 'VARCHAR', kfl: 'VARCHAR', \
counts: 'STRUCT(packets BIGINT, bytes BIGINT, streams BIGINT, items BIGINT)', \
parts: 'STRUCT(size BIGINT, lock STRUCT(state VARCHAR))[]', \
coverage: 'MAP(VARCHAR, STRUCT(packets BIGINT, bytes BIGINT, \"from\" TIMESTAMPTZ, \"to\" TIMESTAMPTZ))'}}); \
CREATE VIEW reels AS SELECT sequence, \"from\" AS begins, \"to\" AS ends, sealed, why, kfl, \
counts.packets AS packets, counts.bytes AS bytes, counts.streams AS streams, counts.items AS items, \
CAST(list_sum([part.size for part in parts]) AS BIGINT) AS stored, \
list_max([part.lock.state for part in parts]) AS lock, {place} FROM manifests WHERE kind = 'reel'; \
CREATE VIEW coverage AS SELECT kind, sequence, \"from\" AS begins, \"to\" AS ends, \
loss.key AS reason, coalesce(loss.value.packets, 0) AS packets, coalesce(loss.value.bytes, 0) AS bytes, \
loss.value.\"from\" AS first, loss.value.\"to\" AS last, {place} FROM (SELECT *, unnest(CASE WHEN \
len(map_entries(coverage)) = 0 THEN [NULL] ELSE map_entries(coverage) END) AS loss FROM manifests); "
    )
}

/// What DuckDB must know before it reads from a bucket.
fn connect(source: &str, reach: &Reach) -> String {
    let Some((scheme, _)) = source.split_once("://") else {
        return String::new();
    };
    match scheme {
        "s3" => {
            let mut secret = "TYPE s3, PROVIDER credential_chain".to_owned();
            if let Some(region) = &reach.region {
                secret.push_str(&format!(", REGION {}", literal(region)));
            }
            if let Some(endpoint) = &reach.endpoint {
                let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", endpoint));
                let host = host.trim_end_matches('/');
                secret.push_str(&format!(
                    ", ENDPOINT {}, USE_SSL {}",
                    literal(host),
                    scheme != "http"
                ));
            }
            if reach.is_path_style {
                secret.push_str(", URL_STYLE 'path'");
            }
            format!(
                "INSTALL httpfs; LOAD httpfs; INSTALL aws; LOAD aws; CREATE SECRET ({secret}); "
            )
        }
        "gs" => "INSTALL httpfs; LOAD httpfs; ".to_owned(),
        "az" => {
            "INSTALL azure; LOAD azure; CREATE SECRET (TYPE azure, PROVIDER credential_chain); "
                .to_owned()
        }
        _ => String::new(),
    }
}

/// A text as SQL writes it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_ones_own_is_reached_and_quotes_survive() {
        let reach = Reach {
            endpoint: Some("http://127.0.0.1:9000/".into()),
            region: Some("eu-central-1".into()),
            is_path_style: true,
        };
        let told = command("s3://b/p/", &reach, "SELECT 'it''s';", "csv");
        assert!(told.starts_with("duckdb -csv -c '"), "{told}");
        for part in [
            "REGION '\\''eu-central-1'\\''",
            "ENDPOINT '\\''127.0.0.1:9000'\\'', USE_SSL false, URL_STYLE '\\''path'\\''",
            "read_parquet('\\''s3://b/p/reels/**/*.items.parquet'\\''",
        ] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
        assert!(told.ends_with("SELECT '\\''it'\\'''\\''s'\\'''"), "{told}");
        assert!(command("/a", &reach, "SELECT 1", "parquet").contains("COPY (SELECT 1) TO"));
    }
}

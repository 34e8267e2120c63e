//! The program's own log as scripts hear it (`onLogCall`).
//!
//! In: log records of this program. Out: levels and JSON texts, taken by whoever runs scripts. Never:
//! waiting; what nobody takes in time is left out.

use std::fmt;
use std::sync::OnceLock;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::time::{Clock, SystemClock};

/// Records that wait for scripts.
const MAX_WAITING: usize = 256;

/// A record: `info`, `warning` or `error`, and its JSON text.
pub type Record = (&'static str, String);

/// Records of this process, from the moment on when the log was started.
pub fn records() -> &'static Receiver<Record> {
    &channel().1
}

fn channel() -> &'static (Sender<Record>, Receiver<Record>) {
    static CHANNEL: OnceLock<(Sender<Record>, Receiver<Record>)> = OnceLock::new();
    CHANNEL.get_or_init(|| bounded(MAX_WAITING))
}

/// Hands records on.
pub struct Heard;

impl<S: Subscriber> Layer<S> for Heard {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            _ => return,
        };
        let mut fields = Fields(Map::new());
        fields.put("time", SystemClock.now().to_string());
        fields.put("level", level);
        event.record(&mut fields);
        // A full queue means that nobody runs scripts, or that there is more than one can read.
        let _ = channel()
            .0
            .try_send((level, Json::Object(fields.0).to_string()));
    }
}

struct Fields(Map<String, Json>);

impl Fields {
    fn put(&mut self, name: &str, value: impl Into<Json>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn a_record_has_its_level_message_and_fields() {
        let subscriber = tracing_subscriber::registry().with(Heard);
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("not heard");
            tracing::warn!(port = 7, error = %"taken", "cannot serve");
        });
        let (level, text) = records().try_recv().unwrap();
        let record: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (level, &record["level"]),
            ("warning", &Json::from("warning"))
        );
        assert_eq!(record["message"], "cannot serve");
        assert_eq!(
            (&record["port"], &record["error"]),
            (&7.into(), &"taken".into())
        );
        assert!(records().try_recv().is_err());
    }
}

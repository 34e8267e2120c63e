//! `tap --pcap`: the dashboard over a recorded source.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value as Json, json};

use super::super::config::Config;
use super::super::exit::{Exit, Failure};
use super::super::source::{self, S3Args};
use super::super::{browser, instance, progress};
use super::view;
use crate::flow::Limits;
use crate::investigate::{self, Archive};
use crate::packet::StreamName;
use crate::pipeline::{self, Consumer, RowsConsumer, Stop};
use crate::server::Run;
use crate::store::{self, OpenOptions, Store};

/// Serves `sources` until Ctrl+C.
pub fn run(sources: &[String], s3: &S3Args, config: &Config) -> Result<Exit, Failure> {
    let served = super::server_options(config)?;
    let opened = source::open(sources, s3, config)?;
    let runtime = super::live::runtime()?;
    let rows = Arc::new(view::rows(config));
    let stop = Stop::default();
    super::super::stop_on_signal(&stop)?;
    let consumers: Vec<Box<dyn Consumer>> = vec![
        Box::new(progress::Follow::new(progress::Bar::for_reading())),
        Box::new(RowsConsumer(rows.clone())),
    ];
    // The run ends by itself; Ctrl+C ends the serving as well.
    let reading = stop.clone();
    let running = pipeline::start(
        opened.source,
        super::super::offline_options(
            config,
            Some(source::names_of(opened.names)),
            reading,
            consumers,
        )?,
    );
    let counters = running.counters.clone();
    let facts = Arc::new(Offline {
        source: sources.join(" "),
        sources: sources.to_vec(),
        reach: s3.open_options(config),
        coverage: Mutex::default(),
        again: Mutex::new(opened.again),
        limits: super::super::limits(config),
        remarks: opened.remarks,
    });
    let view = view::view(config, rows, counters.clone(), facts);
    let server = crate::server::Server::start(&served, view, runtime.handle())
        .map_err(|error| Failure::failed(format!("cannot serve the dashboard: {error}")))?;
    let data = super::super::data_dir(config)?;
    // Files of root in the caller's home would stand in the way of later runs without sudo.
    let _registered = (!super::source::writes_for_another()).then(|| {
        instance::register(
            &data,
            &instance::Instance::of_process(&server, &sources.join(" ")),
        )
    });
    browser::show(
        &server.url(),
        server.address,
        served.port,
        config.bool("headless"),
    );
    let mut running = Some(running);
    let mut failed = None;
    while !stop.is_asked() {
        if let Some(ended) = running.take_if(|running| running.is_finished()) {
            if let Err(error) = ended.join() {
                failed = Some(error.to_string());
                eprintln!("{}", super::super::Style::stderr().red(&error.to_string()));
            }
            let counts = counters.now();
            for warning in &counts.warnings {
                eprintln!("{}", super::super::Style::stderr().yellow(warning));
            }
            let items: u64 = counts.items.values().sum();
            eprintln!(
                "{items} items of {} streams are open on the dashboard; Ctrl+C ends it",
                counts.streams
            );
        }
        std::thread::sleep(super::live::PACE);
    }
    if let Some(running) = running {
        let _ = running.join();
    }
    let gaps = failed.is_some() || !counters.now().warnings.is_empty();
    Ok(if gaps { Exit::Gaps } else { Exit::Done })
}

/// What the dashboard may ask of a recorded source.
struct Offline {
    source: String,
    sources: Vec<String>,
    reach: OpenOptions,
    /// Told once: an archive takes a while to be read.
    coverage: Mutex<Option<Json>>,
    again: Mutex<investigate::Again>,
    limits: Limits,
    remarks: Vec<String>,
}

impl Run for Offline {
    fn status(&self) -> Json {
        json!({"live": false, "source": self.source, "remarks": self.remarks})
    }

    fn stream_pcap(&self, stream: StreamName, out: &mut dyn Write) -> Result<u64, String> {
        // One at a time: each reads the source from its start.
        let again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        let source = again.reopen().map_err(|error| error.to_string())?;
        pipeline::extract::stream_pcap(source, self.limits, stream.stream, out)
    }

    fn scripts(&self) -> Json {
        json!([])
    }

    fn console(&self, _after: u64) -> Json {
        json!({"lines": []})
    }

    fn jobs(&self) -> Json {
        json!([])
    }

    fn run_job(&self, _tag: &str) -> Result<(), String> {
        Err("no scripts run over a recorded source; see: tapedeck run --help".to_owned())
    }

    fn stores(&self) -> Vec<String> {
        let is_store = |source: &&String| source.contains("://") || Path::new(source).is_dir();
        self.sources.iter().filter(is_store).cloned().collect()
    }

    fn archive(&self, store: &str) -> Result<Option<Archive>, String> {
        let options = investigate::Options {
            store: self.reach.clone(),
            cache: None,
        };
        Archive::open(store, &options).map_err(|error| error.to_string())
    }

    fn store(&self, store: &str) -> Result<Arc<dyn Store>, String> {
        store::open(store, &self.reach).map_err(|error| error.to_string())
    }

    fn coverage(&self) -> Result<Json, String> {
        let mut told = self.coverage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = &*told {
            return Ok(told.clone());
        }
        let mut all = json!({"captured": [], "lost": [], "reels": [], "more": false});
        for source in self.stores() {
            // A folder of plain captures has no manifests that could tell.
            let Ok(Some(archive)) = self.archive(&source) else {
                continue;
            };
            let found = archive.coverage().map_err(|error| error.to_string())?;
            for list in ["captured", "lost", "reels"] {
                let more = found[list].as_array().cloned().unwrap_or_default();
                if let Some(list) = all[list].as_array_mut() {
                    list.extend(more);
                }
            }
            all["more"] = (all["more"] == true || found["more"] == true).into();
        }
        *told = Some(all.clone());
        Ok(all)
    }

    fn queried(&self, _record: &[u8], _query: &str) -> Option<Json> {
        None
    }
}

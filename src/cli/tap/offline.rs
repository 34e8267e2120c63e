//! `tap --pcap`: the dashboard over a recorded source.
//!
//! An archive is looked at by its indexes, and so is what was read before and left one in the
//! cache; anything else is dissected while its first items are shown.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::super::config::Config;
use super::super::exit::{Exit, Failure};
use super::super::reading::MaxReadArgs;
use super::super::source::{self, S3Args};
use super::super::{browser, instance, progress};
use super::follow::say;
use super::only::{Chosen, ChosenRows, Only};
use super::{queried, view};
use crate::deliver::Asks;
use crate::flow::Limits;
use crate::investigate::{self, Archive, Browse, Cache, Making, Reading, SourceId};
use crate::packet::StreamName;
use crate::pipeline::{self, Consumer, Counts, Rows, Stop};
use crate::script::supervisor::Scripts;
use crate::server::{Run, Server, View};
use crate::store::{self, OpenOptions, Store};

/// Time that the first packet, or the end, is waited for before anything is shown.
const FIRST: Duration = Duration::from_millis(300);

/// Time between two looks at it.
const LOOK: Duration = Duration::from_millis(2);

/// How sources are opened.
#[derive(Debug, Default)]
pub struct How {
    /// Whether an archive is read by its packets too.
    pub dissect: bool,
    /// Whether the index of a source is put beside it.
    pub write_index: bool,
    /// How much is read without asking.
    pub max_read: MaxReadArgs,
    /// What of it is shown.
    pub only: Only,
}

/// Serves `sources` until Ctrl+C.
pub fn run(sources: &[String], s3: &S3Args, how: &How, config: &Config) -> Result<Exit, Failure> {
    let How {
        dissect,
        write_index,
        ..
    } = *how;
    let only = &how.only;
    if write_index && !only.is_all() {
        return Err(Failure::usage(
            "--write-index is for whole sources; leave out --from, --to and --kfl",
        ));
    }
    super::super::pass::imposed(config)?;
    let served = super::server_options(config)?;
    // What a key log opens is in no index.
    let by_packets = dissect || config.text_if_set("tap.tlsKeylog").is_some();
    let archive = match by_packets {
        true => None,
        false => source::archive(sources, s3, config)?,
    };
    let what = What {
        name: sources.join(" "),
        sources: sources.to_vec(),
        reach: s3.open_options(config),
        served,
    };
    let (reading, cache) = (source::reading(config)?, source::cache()?);
    if let Some(archive) = archive {
        return indexed(
            what,
            Browse::new(archive, reading, cache).only(only.of_archive()),
            Vec::new(),
            config,
        );
    }
    let mut opened = source::open(sources, s3, config)?;
    if !by_packets && !write_index {
        let remarks = opened.remarks.clone();
        match Browse::known(opened, &what.name, reading.clone(), cache.clone()) {
            Ok(browse) => {
                let browse = browse.only(only.of_archive());
                return indexed(what, browse, remarks, config);
            }
            Err(unknown) => opened = *unknown,
        }
    }
    // Standard input has no objects that could be left out.
    let wanted = only.wanted();
    if !wanted.spans.is_empty() && opened.bytes.is_some() {
        opened = source::open_some(sources, wanted, s3, config)?;
    }
    // An index is of all items.
    let index = match by_packets || !only.is_all() {
        true => None,
        false => opened.id(&reading).map(|id| Index {
            id,
            reading,
            cache,
            beside: write_index,
        }),
    };
    if write_index && index.is_none() {
        return Err(Failure::usage(
            "--write-index needs a source that can be read again, and no key log; save standard input to a file",
        ));
    }
    how.max_read.announce(&opened, 1)?;
    dissected(what, opened, index, only, config)
}

/// What is looked at.
struct What {
    /// As people call it.
    name: String,
    sources: Vec<String>,
    /// How stores are reached.
    reach: OpenOptions,
    /// Where the dashboard is served.
    served: crate::server::Options,
}

/// Serves by indexes.
fn indexed(
    what: What,
    browse: Browse,
    remarks: Vec<String>,
    config: &Config,
) -> Result<Exit, Failure> {
    let browse = Arc::new(browse);
    let stop = Stop::default();
    super::super::stop_on_signal(&stop)?;
    let (name, served) = (what.name.clone(), what.served.clone());
    let scripts = queried::start(config)?;
    let facts = Arc::new(Recorded {
        what,
        coverage: Mutex::default(),
        again: None,
        limits: super::super::limits(config),
        remarks,
        scripts: scripts.clone(),
    });
    let rows = Arc::new(Rows::new(0, 0));
    let view = view::view(config, rows, Arc::default(), facts, None)?;
    let _ = view.indexed.set(browse.clone());
    let _served = Served::start(config, &served, view, &name)?;
    eprintln!("{name} is open on the dashboard by its index; Ctrl+C ends it");
    while !stop.is_asked() {
        std::thread::sleep(super::live::PACE);
    }
    scripts.iter().for_each(|scripts| scripts.finish(false));
    let gaps = browse.warnings();
    for warning in &gaps {
        say(warning);
    }
    Ok(if gaps.is_empty() {
        Exit::Done
    } else {
        Exit::Gaps
    })
}

/// How an index is made of a source while it is dissected.
struct Index {
    id: SourceId,
    reading: Reading,
    cache: Option<Arc<Cache>>,
    /// Whether it is put beside the source too.
    beside: bool,
}

impl Index {
    /// Keeps what was made, and shows it from now on; not of a source that is damaged, and not what
    /// was decrypted, which its packets alone do not give.
    fn keep(
        self,
        making: Making,
        what: &str,
        again: investigate::Again,
        shown: &OnceLock<Arc<Browse>>,
        counts: &Counts,
    ) {
        let is_whole = counts.warnings.is_empty() && counts.damaged == 0;
        if !is_whole || counts.tls.decrypted > 0 {
            if self.beside {
                eprintln!("No index was written: the source is damaged, or was decrypted");
            }
            return;
        }
        match Browse::made(making, what, again, self.reading, self.cache, self.beside) {
            Ok(browse) => {
                let _ = shown.set(Arc::new(browse));
            }
            Err(error) => {
                let said = format!("The index of {what} is not kept: {error}");
                say(&said);
            }
        }
    }
}

/// Serves what is dissected meanwhile, and makes an index of it.
fn dissected(
    what: What,
    opened: investigate::Opened,
    index: Option<Index>,
    only: &Only,
    config: &Config,
) -> Result<Exit, Failure> {
    let chosen = Arc::new(Chosen::default());
    let rows = Arc::new(view::rows(config));
    // Before the first item, so that none is shown that they have not seen.
    let scripts = queried::start(config)?;
    let stop = Stop::default();
    super::super::stop_on_signal(&stop)?;
    let mut consumers: Vec<Box<dyn Consumer>> = vec![
        Box::new(progress::Follow::new(progress::Bar::for_reading())),
        Box::new(ChosenRows {
            rows: rows.clone(),
            only: only.clone(),
            chosen: chosen.clone(),
        }),
    ];
    let mut making = None;
    if let Some(index) = index {
        let (made, consumer) = investigate::begin_index(index.id, index.cache.as_deref())?;
        consumers.push(consumer);
        making = Some((index, made, opened.again.clone()));
    }
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
    let (name, served) = (what.name.clone(), what.served.clone());
    let facts = Arc::new(Recorded {
        what,
        coverage: Mutex::default(),
        again: Some(Mutex::new(opened.again)),
        limits: super::super::limits(config),
        remarks: opened.remarks,
        scripts: scripts.clone(),
    });
    let view = view::view(config, rows, counters.clone(), facts, None)?;
    let shown = view.indexed.clone();
    let begun = Instant::now();
    while !running.is_finished() && counters.now().packets == 0 && begun.elapsed() < FIRST {
        std::thread::sleep(LOOK);
    }
    let mut running = Some(running);
    if let Some(ended) =
        running.take_if(|running| running.is_finished() && counters.now().packets == 0)
    {
        nothing_read(ended, &name)?;
    }
    let _served = Served::start(config, &served, view, &name)?;
    let mut failed = None;
    while !stop.is_asked() {
        if let Some(ended) = running.take_if(|running| running.is_finished()) {
            if counters.now().packets == 0 {
                nothing_read(ended, &name)?;
                continue;
            }
            if let Err(error) = ended.join() {
                failed = Some(error.to_string());
                eprintln!("{}", super::super::Style::stderr().red(&error.to_string()));
            }
            let counts = counters.now();
            for warning in &counts.warnings {
                say(warning);
            }
            if chosen.undecided() > 0 {
                let sentence = format!(
                    "{} items took more than {} steps and are left out; simplify --kfl",
                    chosen.undecided(),
                    crate::kfl::MAX_STEPS
                );
                say(&sentence);
            }
            if let Some((index, made, again)) = making.take_if(|_| failed.is_none()) {
                index.keep(made, &name, again, &shown, &counts);
            }
            eprintln!(
                "{} items of {} streams are open on the dashboard; Ctrl+C ends it",
                chosen.kept(),
                counts.streams
            );
        }
        std::thread::sleep(super::live::PACE);
    }
    if let Some(running) = running {
        let _ = running.join();
    }
    scripts.iter().for_each(|scripts| scripts.finish(false));
    let gaps = failed.is_some() || !counters.now().warnings.is_empty() || chosen.undecided() > 0;
    Ok(if gaps { Exit::Gaps } else { Exit::Done })
}

/// Ends a run that gave no packet, when that is a fault: nothing will come any more, and nobody
/// should be left waiting for it.
fn nothing_read(ended: pipeline::Running, what: &str) -> Result<(), Failure> {
    let warnings = ended.counters.now().warnings;
    ended.join()?;
    for warning in &warnings {
        say(warning);
    }
    match warnings.is_empty() {
        true => {
            eprintln!("{what} holds no packets; Ctrl+C ends the dashboard");
            Ok(())
        }
        false => Err(Failure::failed(format!("nothing of {what} can be read"))),
    }
}

/// A dashboard that is being served, and known to other commands.
struct Served {
    _server: Server,
    _registered: Option<instance::Registered>,
    _runtime: tokio::runtime::Runtime,
}

impl Served {
    /// Serves `view` of `what` and opens the browser on it.
    fn start(
        config: &Config,
        served: &crate::server::Options,
        view: View,
        what: &str,
    ) -> Result<Served, Failure> {
        let runtime = super::live::runtime()?;
        let server = Server::start(served, view, runtime.handle())
            .map_err(|error| Failure::failed(format!("cannot serve the dashboard: {error}")))?;
        let data = super::super::data_dir(config)?;
        // Files of root in the caller's home would stand in the way of later runs without sudo.
        let registered = (!super::source::writes_for_another())
            .then(|| instance::register(&data, &instance::Instance::of_process(&server, what)))
            .and_then(Result::ok);
        browser::show(
            &server.url(),
            server.address,
            served.port,
            config.bool("headless"),
        );
        Ok(Served {
            _server: server,
            _registered: registered,
            _runtime: runtime,
        })
    }
}

/// What the dashboard may ask of a recorded source.
struct Recorded {
    what: What,
    /// Told once: an archive takes a while to be read.
    coverage: Mutex<Option<Json>>,
    /// Reads it once more; `None` where the indexes of an archive tell where streams are.
    again: Option<Mutex<investigate::Again>>,
    limits: Limits,
    remarks: Vec<String>,
    /// Those that have a say about what is shown.
    scripts: Option<Arc<Scripts>>,
}

impl Run for Recorded {
    fn status(&self) -> Json {
        json!({"live": false, "source": self.what.name, "remarks": self.remarks})
    }

    fn stream_pcap(&self, stream: StreamName, out: &mut dyn Write) -> Result<u64, String> {
        let Some(again) = &self.again else {
            return Err(format!("{stream} is found by one of its items"));
        };
        // One at a time: each reads the source from its start.
        let again = again.lock().unwrap_or_else(PoisonError::into_inner);
        let source = again.reopen().map_err(|error| error.to_string())?;
        pipeline::extract::stream_pcap(source, self.limits, stream.stream, out)
    }

    fn streams_pcap_of(
        &self,
        _worker: &str,
        streams: &[StreamName],
        out: &mut dyn Write,
    ) -> Result<u64, String> {
        let Some(again) = &self.again else {
            return Err("the streams are found by their items".to_owned());
        };
        let again = again.lock().unwrap_or_else(PoisonError::into_inner);
        let source = again.reopen().map_err(|error| error.to_string())?;
        let streams: Vec<_> = streams.iter().map(|name| name.stream).collect();
        pipeline::extract::streams_pcap(source, self.limits, &streams, out)
    }

    fn scripts(&self) -> Json {
        let status = self.scripts.as_ref().map(|scripts| scripts.status());
        serde_json::to_value(status.unwrap_or_default()).unwrap_or_default()
    }

    fn console(&self, after: u64) -> Json {
        let lines = self
            .scripts
            .as_ref()
            .map(|scripts| scripts.console_lines(after));
        json!({"lines": lines.unwrap_or_else(|| json!([]))})
    }

    fn jobs(&self) -> Json {
        json!([])
    }

    fn run_job(&self, _tag: &str) -> Result<(), String> {
        Err("no scripts run over a recorded source; see: tapedeck run --help".to_owned())
    }

    fn stores(&self) -> Vec<String> {
        let is_store = |source: &&String| source.contains("://") || Path::new(source).is_dir();
        self.what.sources.iter().filter(is_store).cloned().collect()
    }

    fn archive(&self, store: &str) -> Result<Option<Archive>, String> {
        let options = investigate::Options {
            store: self.what.reach.clone(),
            ..investigate::Options::default()
        };
        Archive::open(store, &options).map_err(|error| error.to_string())
    }

    fn store(&self, store: &str) -> Result<Arc<dyn Store>, String> {
        store::open(store, &self.what.reach).map_err(|error| error.to_string())
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

    fn asks(&self) -> Option<&dyn Asks> {
        let scripts = self.scripts.as_deref()?;
        Some(scripts)
    }
}

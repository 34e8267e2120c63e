//! One file after the other: opened, downloaded ahead, or taken out of an archive.
//!
//! In: a plan. Out: [`Input`]s in its order. Never: more ahead of the reader than a few objects and
//! [`AHEAD_BYTES`], in temporary files and not in memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, bounded};

use super::archive;
use super::fetch::{Counted, Download, Told, download};
use super::group::Group;
use super::plan::{Kind, Plan, Planned, Section, Stored};
use crate::capture::CaptureError;
use crate::capture::file::{STDIN, is_seekable};
use crate::record::manifest::{MAX_MANIFEST_BYTES, Manifest};
use crate::record::names;
use crate::resolve::Names;
use crate::store::{Digest, StoreError};

/// Objects on their way ahead of the one that is read.
const AHEAD_OBJECTS: usize = 6;

/// Their bytes; an object that is larger goes alone, straight through.
const AHEAD_BYTES: u64 = 256 << 20;

/// A savefile to read.
pub(super) struct Input {
    /// For sentences.
    pub(super) name: String,
    /// Its bytes as stored.
    pub(super) reader: Box<dyn Read + Send>,
    /// Node and run.
    pub(super) group: Arc<Group>,
    /// Names that come with the file alone.
    pub(super) names: Option<Arc<Names>>,
    /// Its path, where its bytes lie at the offsets of positions.
    pub(super) path: Option<PathBuf>,
}

/// Gives the files of a plan.
pub(super) struct Feed {
    plan: Arc<Plan>,
    section: usize,
    /// File of the section that is begun next.
    file: usize,
    ahead: VecDeque<Ahead>,
    begun: VecDeque<Begun>,
    archive: Option<Receiver<Result<Input, CaptureError>>>,
    cache: Option<PathBuf>,
    told: Arc<Told>,
}

/// A file that was begun.
struct Ahead {
    size: u64,
    ready: Receiver<Result<Vec<Begun>, CaptureError>>,
}

/// What came of it.
enum Begun {
    Capture(Input),
    Archive {
        name: String,
        group: Arc<Group>,
        open: archive::Opener,
    },
}

impl Feed {
    /// The files of `plan`; downloads lie in `cache`.
    pub(super) fn new(plan: Arc<Plan>, cache: Option<PathBuf>, told: Arc<Told>) -> Feed {
        Feed {
            plan,
            section: 0,
            file: 0,
            ahead: VecDeque::new(),
            begun: VecDeque::new(),
            archive: None,
            cache,
            told,
        }
    }

    /// The next file; an error is about one file, and the next call goes on behind it.
    pub(super) fn next(&mut self) -> Option<Result<Input, CaptureError>> {
        loop {
            if let Some(archive) = &self.archive {
                match archive.recv() {
                    Ok(input) => return Some(input),
                    Err(_) => self.archive = None,
                }
            }
            match self.begun.pop_front() {
                Some(Begun::Capture(input)) => return Some(Ok(input)),
                Some(Begun::Archive { name, group, open }) => {
                    let names = group.names(&self.told);
                    let origin = group.origin.clone();
                    self.archive =
                        Some(archive::start(name, open, origin, names, self.told.clone()));
                    continue;
                }
                None => {}
            }
            self.begin_ahead();
            let Some(front) = self.ahead.pop_front() else {
                let section = self.plan.sections.get(self.section)?;
                self.section += 1;
                self.file = 0;
                match section {
                    Section::Stdin => return Some(stdin()),
                    Section::Stored(_) => continue,
                }
            };
            match front.ready.recv() {
                Ok(Ok(begun)) => self.begun.extend(begun),
                Ok(Err(error)) => return Some(Err(error)),
                // A thread ended without a word; its file is lost, the others are not.
                Err(_) => self.told.warn("a download ended early".to_owned()),
            }
        }
    }

    /// Begins what may be on its way beside what is read now.
    fn begin_ahead(&mut self) {
        let plan = self.plan.clone();
        let Some(Section::Stored(stored)) = plan.sections.get(self.section) else {
            return;
        };
        let local = stored.root.is_some();
        while let Some(file) = stored.files.get(self.file) {
            let bytes: u64 = self.ahead.iter().map(|ahead| ahead.size).sum();
            let fits = !local
                && self.ahead.len() < AHEAD_OBJECTS
                && bytes.saturating_add(file.size) <= AHEAD_BYTES;
            if !fits && !self.ahead.is_empty() {
                return;
            }
            let (ready, receiver) = bounded(1);
            self.ahead.push_back(Ahead {
                size: file.size,
                ready: receiver,
            });
            let beginning = Beginning {
                plan: plan.clone(),
                section: self.section,
                file: self.file,
                cache: self.cache.clone(),
                told: self.told.clone(),
                ready,
            };
            self.file += 1;
            if local {
                beginning.run();
            } else {
                thread::spawn(move || beginning.run());
            }
        }
    }
}

fn stdin() -> Result<Input, CaptureError> {
    let input = io::stdin();
    if io::IsTerminal::is_terminal(&input) {
        return Err(CaptureError::Format {
            path: STDIN.to_owned(),
            found: "it is a terminal".to_owned(),
        });
    }
    Ok(Input {
        name: STDIN.to_owned(),
        reader: Box::new(input),
        group: Arc::new(Group::named(String::new(), None, None)),
        names: None,
        path: None,
    })
}

/// Begins one file, on a thread of its own when it comes over the network.
struct Beginning {
    plan: Arc<Plan>,
    section: usize,
    file: usize,
    cache: Option<PathBuf>,
    told: Arc<Told>,
    ready: crossbeam_channel::Sender<Result<Vec<Begun>, CaptureError>>,
}

/// Which bytes to read.
struct Target {
    key: String,
    version: Option<String>,
    sha256: Option<Digest>,
}

impl Beginning {
    fn run(self) {
        let plan = self.plan.clone();
        let Some(Section::Stored(stored)) = plan.sections.get(self.section) else {
            return;
        };
        let Some(file) = stored.files.get(self.file) else {
            return;
        };
        // Names first: packets are handed on with them.
        let _ = file.group.names(&self.told);
        let begun = match file.kind {
            Kind::Manifest => self.parts_of_manifest(stored, file),
            Kind::Capture if stored.root.is_none() && file.size <= AHEAD_BYTES => {
                return self.download(stored, file);
            }
            Kind::Archive if stored.root.is_none() => return self.download(stored, file),
            Kind::Capture => self
                .direct(stored, file)
                .map(|input| vec![Begun::Capture(input)]),
            Kind::Archive => Ok(vec![self.local_archive(stored, file)]),
        };
        // Fails only when nobody waits any more.
        let _ = self.ready.send(begun);
    }

    /// Writes an object to a temporary file while it is read from there.
    fn download(self, stored: &Stored, file: &Planned) {
        let name = name_of(stored, &file.key);
        let target = self.target(stored, file);
        let opened = stored
            .store
            .get(&target.key, target.version.as_deref(), None)
            .map_err(|error| failed(stored, &name, error))
            .and_then(|body| {
                download(self.cache.as_deref(), self.told.clone())
                    .map(|ends| (body, ends))
                    .map_err(|error| CaptureError::Io {
                        path: name.clone(),
                        error,
                    })
            });
        let (body, (reading, filling)) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let _ = self.ready.send(Err(error));
                return;
            }
        };
        let begun = match file.kind {
            Kind::Archive => Begun::Archive {
                name: name.clone(),
                group: file.group.clone(),
                open: opener_of(reading),
            },
            _ => Begun::Capture(Input {
                name: name.clone(),
                reader: Box::new(reading),
                group: file.group.clone(),
                names: self.names(stored, file),
                path: None,
            }),
        };
        if self.ready.send(Ok(vec![begun])).is_ok() {
            filling.fill(Counted::new(body, &name, self.told.clone(), target.sha256));
        }
    }

    /// Reads a file or a very large object straight through.
    fn direct(&self, stored: &Stored, file: &Planned) -> Result<Input, CaptureError> {
        let target = self.target(stored, file);
        self.input(stored, &target, file)
    }

    fn input(
        &self,
        stored: &Stored,
        target: &Target,
        file: &Planned,
    ) -> Result<Input, CaptureError> {
        let name = name_of(stored, &target.key);
        let body = stored
            .store
            .get(&target.key, target.version.as_deref(), None)
            .map_err(|error| failed(stored, &name, error))?;
        let path = stored.root.as_ref().map(|root| root.join(&target.key));
        Ok(Input {
            reader: Box::new(Counted::new(body, &name, self.told.clone(), target.sha256)),
            path: path.filter(|path| is_seekable(path)),
            names: self.names(stored, file),
            name,
            group: file.group.clone(),
        })
    }

    /// The names that lie beside a reel.
    fn names(&self, stored: &Stored, file: &Planned) -> Option<Arc<Names>> {
        let entry = file.names.as_ref()?;
        let body = stored.store.get_listed(entry, None);
        match body.map_err(io::Error::other).and_then(names::read) {
            Ok(history) => Some(Arc::new(Names::of(Arc::new(history)))),
            Err(error) => {
                self.told
                    .warn(format!("names are missing: {}: {error}", entry.key));
                None
            }
        }
    }

    /// What a file's manifest says was sealed; the file as listed when it has none.
    fn target(&self, stored: &Stored, file: &Planned) -> Target {
        let listed = Target {
            key: file.key.clone(),
            version: file.version.clone(),
            sha256: None,
        };
        let Some((manifest, version)) = &file.manifest else {
            return listed;
        };
        match targets(stored, manifest, version.as_deref()) {
            Ok(targets) => targets
                .into_iter()
                .find(|target| target.key == file.key)
                .unwrap_or_else(|| {
                    self.told.warn(format!(
                        "{} is not named by its manifest",
                        name_of(stored, &file.key)
                    ));
                    listed
                }),
            Err(sentence) => {
                self.told
                    .warn(format!("{}: {sentence}", name_of(stored, manifest)));
                listed
            }
        }
    }

    /// The parts of a reel that no listing shows, by the names in its manifest.
    fn parts_of_manifest(
        &self,
        stored: &Stored,
        file: &Planned,
    ) -> Result<Vec<Begun>, CaptureError> {
        let targets = match targets(stored, &file.key, file.version.as_deref()) {
            Ok(targets) => targets,
            Err(sentence) => {
                self.told
                    .warn(format!("{}: {sentence}", name_of(stored, &file.key)));
                return Ok(Vec::new());
            }
        };
        let mut begun = Vec::new();
        for target in targets {
            match self.input(stored, &target, file) {
                Ok(input) => begun.push(Begun::Capture(input)),
                Err(error) => self.told.warn(format!(
                    "a sealed part is missing: {} names {}, which cannot be read: {error}",
                    name_of(stored, &file.key),
                    target.key
                )),
            }
        }
        Ok(begun)
    }

    fn local_archive(&self, stored: &Stored, file: &Planned) -> Begun {
        let name = name_of(stored, &file.key);
        let store = stored.store.clone();
        let (key, told, called) = (file.key.clone(), self.told.clone(), name.clone());
        let opened = std::sync::atomic::AtomicBool::new(false);
        let open: archive::Opener = Box::new(move || {
            let body = store.get(&key, None, None).map_err(io::Error::other)?;
            // The first reading is for names alone; progress counts the second.
            if opened.swap(true, std::sync::atomic::Ordering::Relaxed) {
                return Ok(Box::new(Counted::new(body, &called, told.clone(), None)));
            }
            Ok(body)
        });
        Begun::Archive {
            name,
            group: file.group.clone(),
            open,
        }
    }
}

/// An archive is read from its beginning twice, so all of it has to be there.
fn opener_of(download: Download) -> archive::Opener {
    Box::new(move || {
        download.finished()?;
        Ok(Box::new(File::open(download.path())?))
    })
}

/// The parts with packets that a manifest names.
fn targets(stored: &Stored, manifest: &str, version: Option<&str>) -> Result<Vec<Target>, String> {
    let mut text = Vec::new();
    stored
        .store
        .get(manifest, version, None)
        .map_err(|error| error.to_string())?
        .take(MAX_MANIFEST_BYTES)
        .read_to_end(&mut text)
        .map_err(|error| error.to_string())?;
    let sealed = Manifest::parse(&text).map_err(|error| error.to_string())?;
    // Keys in a manifest count from where the recorder wrote, which may be below a prefix.
    let above = manifest
        .find(REELS)
        .and_then(|at| manifest.get(..at))
        .unwrap_or_default();
    let packets = sealed
        .parts
        .into_iter()
        .filter(|part| part.role == "packets");
    Ok(packets
        .map(|part| Target {
            key: format!("{above}{}", part.key),
            version: part.version,
            sha256: digest(&part.sha256),
        })
        .collect())
}

/// Where reels begin in a key.
const REELS: &str = "reels/cluster=";

/// A SHA-256 in hexadecimal.
fn digest(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if text.len() != digest.len() * 2 {
        return None;
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(digest)
}

fn name_of(stored: &Stored, key: &str) -> String {
    match &stored.root {
        Some(root) => root.join(key).display().to_string(),
        None => format!("{}/{key}", stored.store.name()),
    }
}

fn failed(stored: &Stored, name: &str, error: StoreError) -> CaptureError {
    match error {
        // A bucket's own sentence names the missing permission; a file's would repeat its path.
        StoreError::Denied(_) if stored.root.is_some() => CaptureError::Denied {
            path: name.to_owned(),
        },
        StoreError::Missing(_) => CaptureError::Missing {
            path: name.to_owned(),
        },
        error => CaptureError::Io {
            path: name.to_owned(),
            error: io::Error::other(error),
        },
    }
}

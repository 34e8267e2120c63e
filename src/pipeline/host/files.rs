//! The data folder of a script: every `file.*` helper, confined to one root.
//!
//! In: paths and content from scripts. Out: changes below the root, and nowhere else. Never:
//! following a path out of the root (`..`, symbolic links), growing beyond the folder's share.
//!
//! A leading `/`, `""` and `"."` mean the root. `pcaps/<stream>` names the packets of a stream; a
//! copy of it is a link (see [`streams`](super::streams)), which every reader turns into bytes.

mod share;
mod tar;

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

use crate::packet::StreamName;

use self::share::ENTRY_BYTES;
pub(crate) use self::share::{Counted, Share};
use super::streams::{MAX_LINK_BYTES, Pins, StreamRef};

/// Folder under which the streams appear.
pub const PCAPS: &str = "pcaps";

/// Longest path a script may name.
const MAX_PATH: usize = 1024;

/// Deepest path a script may name, and deepest folder that is walked.
const MAX_DEPTH: usize = 32;

/// Names tried before giving up on finding a free one.
const MAX_NAMES: u32 = 10_000;

/// Why a file helper did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system said no.
    #[error("{op} {path}: {reason}")]
    System {
        /// What was tried, as the system call is called.
        op: &'static str,
        /// The file, as a full path.
        path: String,
        /// The system's text.
        reason: String,
    },
    /// The path leads out of the root.
    #[error("{0}: the path leads out of the data folder")]
    Outside(String),
    /// The path cannot be one.
    #[error("{0}: not a path that can be used")]
    Path(String),
    /// Folders would lie too deep in each other.
    #[error("{0}: a data folder is at most {MAX_DEPTH} folders deep")]
    Deep(String),
    /// The root itself would go.
    #[error("the data folder itself cannot be moved or deleted")]
    Root,
    /// The share of the storage is used up.
    #[error("the data folder is full: it may hold {0} bytes")]
    Full(u64),
    /// The packets of a stream cannot be read.
    #[error("{0}")]
    Stream(String),
}

/// What a path names.
pub(crate) enum Found {
    /// The packets of a stream, through a link or under `pcaps/`.
    Stream(StreamRef),
    /// A regular file.
    File(File),
}

/// One data folder.
pub(crate) struct Files {
    root: Dir,
    path: PathBuf,
    pins: Pins,
    run: u64,
    share: Arc<Share>,
}

impl Files {
    /// Opens `path`, making it when missing, and finds the links that lie in it.
    pub(crate) fn open(
        path: &Path,
        pins: Pins,
        run: u64,
        share: Arc<Share>,
    ) -> Result<Files, FileError> {
        let system = |op, error: io::Error| FileError::System {
            op,
            path: path.display().to_string(),
            reason: reason(&error),
        };
        Dir::create_ambient_dir_all(path, ambient_authority())
            .map_err(|error| system("mkdir", error))?;
        let root = Dir::open_ambient_dir(path, ambient_authority())
            .map_err(|error| system("open", error))?;
        let files = Files {
            root,
            path: path.to_owned(),
            pins,
            run,
            share,
        };
        files.each_link(Path::new("."), &mut |link| files.pins.add(link));
        Ok(files)
    }

    /// The root as a full path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The root.
    pub(crate) fn root(&self) -> &Dir {
        &self.root
    }

    /// Links and packets of streams.
    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }

    /// `file.write`.
    pub(crate) fn write(&self, path: &str, content: &[u8]) -> Result<(), FileError> {
        let path = clean(path)?;
        self.charge(content.len() as u64 + ENTRY_BYTES)?;
        self.unlink(&path);
        self.root
            .write(&path, content)
            .map_err(|error| self.system("open", &path, &error))
    }

    /// `file.append`; creates the file when missing.
    pub(crate) fn append(&self, path: &str, content: &[u8]) -> Result<(), FileError> {
        let path = clean(path)?;
        let entry = if self.root.exists(&path) {
            0
        } else {
            ENTRY_BYTES
        };
        self.charge(content.len() as u64 + entry)?;
        if let Some(stream) = self.link_at(&path) {
            // What is appended to needs bytes of its own.
            let mut bytes = self.materialise(stream)?;
            self.unlink(&path);
            let mut file = self
                .root
                .create(&path)
                .map_err(|error| self.system("open", &path, &error))?;
            io::copy(&mut bytes, &mut file).map_err(|error| self.system("write", &path, &error))?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        let mut file = self
            .root
            .open_with(&path, &options)
            .map_err(|error| self.system("open", &path, &error))?;
        file.write_all(content)
            .map_err(|error| self.system("write", &path, &error))
    }

    /// `file.move`; into `new` when that is a folder.
    pub(crate) fn rename(&self, old: &str, new: &str) -> Result<(), FileError> {
        let from = clean(old)?;
        let mut to = clean(new)?;
        if is_root(&from) {
            return Err(FileError::Root);
        }
        if self.root.is_dir(&to)
            && let Some(name) = from.file_name()
        {
            to = joined(&to, Path::new(name));
        }
        if from == to {
            return Ok(());
        }
        if !self.root.try_exists(&from).unwrap_or(false) && self.stream_at(&from).is_some() {
            return self.copy(old, &to.to_string_lossy());
        }
        // Folders that are moved into each other would become deeper than anything can walk.
        let depth = to.components().count() + self.height(&from, 0);
        if depth > MAX_DEPTH {
            return Err(FileError::Deep(to.display().to_string()));
        }
        if self.root.exists(&from) {
            self.unlink(&to);
        }
        self.root
            .rename(&from, &self.root, &to)
            .map_err(|error| self.system("rename", &from, &error))
    }

    /// Folders and files that lie below each other in `path`, itself not counted.
    fn height(&self, path: &Path, depth: usize) -> usize {
        let is_folder = self
            .root
            .symlink_metadata(path)
            .is_ok_and(|found| found.is_dir());
        if !is_folder || depth > MAX_DEPTH {
            return 0;
        }
        let listing = self.root.read_dir(path);
        let heights = listing.into_iter().flatten().flatten().map(|entry| {
            let inner = joined(path, Path::new(&entry.file_name()));
            1 + self.height(&inner, depth + 1)
        });
        heights.max().unwrap_or(0)
    }

    /// `file.copy`: a stream becomes a link, a link another link, a file a copy.
    pub(crate) fn copy(&self, src: &str, dst: &str) -> Result<(), FileError> {
        let from = clean(src)?;
        let to = clean(dst)?;
        if from == to {
            return Ok(());
        }
        match self.find(&from)? {
            Found::Stream(stream) => {
                self.charge(ENTRY_BYTES)?;
                self.unlink(&to);
                self.root
                    .write(&to, stream.link())
                    .map_err(|error| self.system("open", &to, &error))?;
                self.pins.add(stream);
                Ok(())
            }
            Found::File(file) => {
                let size = file.metadata().map_or(0, |found| found.len());
                self.charge(size + ENTRY_BYTES)?;
                self.unlink(&to);
                let mut out = self
                    .root
                    .create(&to)
                    .map_err(|error| self.system("open", &to, &error))?;
                // Never more than was counted, should the file grow meanwhile.
                io::copy(&mut file.take(size), &mut out)
                    .map(|_| ())
                    .map_err(|error| self.system("write", &to, &error))
            }
        }
    }

    /// `file.delete`: with all below it, no error when missing.
    pub(crate) fn delete(&self, path: &str) -> Result<(), FileError> {
        let path = clean(path)?;
        if is_root(&path) {
            return Err(FileError::Root);
        }
        let mut links = Vec::new();
        let result = match self.root.symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => Err(error),
            Ok(found) if found.is_dir() => {
                self.each_link(&path, &mut |link| links.push(link));
                self.root.remove_dir_all(&path)
            }
            Ok(_) => {
                links.extend(self.link_at(&path));
                self.root.remove_file(&path)
            }
        };
        result.map_err(|error| self.system("remove", &path, &error))?;
        links.into_iter().for_each(|link| self.pins.remove(link));
        Ok(())
    }

    /// `file.mkdir`: with parents, no error when present.
    pub(crate) fn mkdir(&self, path: &str) -> Result<(), FileError> {
        let path = clean(path)?;
        self.charge(ENTRY_BYTES * path.components().count() as u64)?;
        self.root
            .create_dir_all(&path)
            .map_err(|error| self.system("mkdir", &path, &error))
    }

    /// `file.mkdirTemp`: a new folder in `dir`; random text at the end of `name`, or in place of its
    /// last `*`. Answers its path below the root.
    pub(crate) fn mkdir_temp(&self, name: &str, dir: &str) -> Result<String, FileError> {
        let dir = clean(dir)?;
        let (before, after) = name.rsplit_once('*').unwrap_or((name, ""));
        self.charge(ENTRY_BYTES)?;
        self.fresh(
            &dir,
            |random| format!("{before}{random}{after}"),
            &mut |path| self.root.create_dir(path),
        )
    }

    /// `file.temp`: a new empty file `<name><random>.<extension>` in `dir`. Answers its path below
    /// the root.
    pub(crate) fn temp(&self, name: &str, dir: &str, extension: &str) -> Result<String, FileError> {
        let dir = clean(dir)?;
        let extension = extension.trim_start_matches('.');
        self.charge(ENTRY_BYTES)?;
        self.fresh(
            &dir,
            |random| format!("{name}{random}.{extension}"),
            &mut |path| self.create_new(path).map(drop),
        )
    }

    fn fresh(
        &self,
        dir: &Path,
        name: impl Fn(&str) -> String,
        make: &mut dyn FnMut(&Path) -> io::Result<()>,
    ) -> Result<String, FileError> {
        for _ in 0..MAX_NAMES {
            let mut random = [0; 4];
            getrandom::fill(&mut random).map_err(|error| FileError::Path(error.to_string()))?;
            let name = name(&u32::from_le_bytes(random).to_string());
            // A name with a folder in it is a path like any other.
            let path = joined(dir, &clean(&name)?);
            match make(&path) {
                Ok(()) => return Ok(path.to_string_lossy().into_owned()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(self.system("open", &path, &error)),
            }
        }
        Err(FileError::Path(name("")))
    }

    /// Creates `<before><number><after>` in the root exclusively, `number` going up from `first`
    /// until the name is free. Answers the name.
    pub(crate) fn numbered(
        &self,
        before: &str,
        first: i64,
        after: &str,
    ) -> Result<(String, cap_std::fs::File), FileError> {
        for number in first..first.saturating_add(i64::from(MAX_NAMES)) {
            let name = format!("{before}{number}{after}");
            match self.create_new(Path::new(&name)) {
                Ok(file) => return Ok((name, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(self.system("open", Path::new(&name), &error)),
            }
        }
        Err(FileError::Path(format!("{before}{first}{after}")))
    }

    fn create_new(&self, path: &Path) -> io::Result<cap_std::fs::File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        self.root.open_with(path, &options)
    }

    /// Whether a path names something that can be read.
    pub(crate) fn is_file(&self, path: &str) -> bool {
        clean(path).is_ok_and(|path| self.root.is_file(&path) || self.stream_at(&path).is_some())
    }

    /// `file.exists`: a file, a folder or the packets of a stream.
    pub(crate) fn exists(&self, path: &str) -> bool {
        clean(path).is_ok_and(|path| self.root.exists(&path) || self.stream_at(&path).is_some())
    }

    /// Opens what a path names for reading.
    pub(crate) fn find(&self, path: &Path) -> Result<Found, FileError> {
        match self.root.open(path) {
            Ok(file) => {
                let file = file.into_std();
                if file.metadata().is_ok_and(|found| found.is_dir()) {
                    let error = io::Error::from(io::ErrorKind::IsADirectory);
                    return Err(self.system("open", path, &error));
                }
                Ok(match link_in(&file) {
                    Some(stream) => Found::Stream(stream),
                    None => Found::File(file),
                })
            }
            Err(error) => match self.stream_at(path) {
                Some(stream) => Ok(Found::Stream(stream)),
                None => Err(self.system("open", path, &error)),
            },
        }
    }

    /// The bytes of a stream in a file without a name, set to its start.
    pub(crate) fn materialise(&self, stream: StreamRef) -> Result<File, FileError> {
        self.materialise_all(&[stream])
    }

    /// The packets of several streams, in order of time, in a file without a name.
    pub(crate) fn materialise_all(&self, streams: &[StreamRef]) -> Result<File, FileError> {
        let mut file = tempfile::tempfile_in(&self.path)
            .map_err(|error| self.system("open", Path::new("."), &error))?;
        let mut out = io::BufWriter::new(Counted {
            inner: &mut file,
            left: self.free(),
        });
        let written = self.pins.reader().write_pcap(streams, &mut out);
        written.map_err(FileError::Stream)?;
        out.flush().map_err(|error| self.full(&error))?;
        drop(out);
        file.rewind()
            .map_err(|error| self.system("seek", Path::new("."), &error))?;
        Ok(file)
    }

    /// Regular files below `path`, each with its path below the root, in name order.
    pub(crate) fn files_below(&self, path: &Path) -> Result<Vec<PathBuf>, FileError> {
        let mut found = Vec::new();
        self.walk(path, 0, &mut |path| found.push(path.to_owned()))?;
        Ok(found)
    }

    fn walk(
        &self,
        path: &Path,
        depth: usize,
        each: &mut dyn FnMut(&Path),
    ) -> Result<(), FileError> {
        let mut entries = Vec::new();
        let listing = self
            .root
            .read_dir(path)
            .map_err(|error| self.system("open", path, &error))?;
        for entry in listing.flatten() {
            if let Ok(kind) = entry.file_type() {
                entries.push((entry.file_name(), kind));
            }
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in entries {
            let inner = joined(path, Path::new(&name));
            if kind.is_dir() && depth < MAX_DEPTH {
                self.walk(&inner, depth + 1, each)?;
            } else if kind.is_file() {
                each(&inner);
            }
        }
        Ok(())
    }

    fn each_link(&self, path: &Path, each: &mut dyn FnMut(StreamRef)) {
        let _ = self.walk(path, 0, &mut |path| {
            if let Some(stream) = self.link_at(path) {
                each(stream);
            }
        });
    }

    /// The link that lies at `path`.
    fn link_at(&self, path: &Path) -> Option<StreamRef> {
        let small = self.root.symlink_metadata(path).ok()?;
        if !small.is_file() || small.len() > MAX_LINK_BYTES {
            return None;
        }
        link_in(&self.root.open(path).ok()?.into_std())
    }

    /// The stream that a path under `pcaps/` names, when it can be read.
    fn stream_at(&self, path: &Path) -> Option<StreamRef> {
        let name = path.strip_prefix(PCAPS).ok()?.to_str()?;
        if name.contains('/') {
            return None;
        }
        let stream = StreamRef {
            run: self.run,
            stream: StreamName::parse(name)?,
        };
        self.pins.reader().has(stream).then_some(stream)
    }

    /// A name that [`Files::stream_at`] would take, without asking whether it can be read.
    pub(crate) fn stream_named(&self, name: &str) -> Option<StreamRef> {
        StreamName::parse(name).map(|stream| StreamRef {
            run: self.run,
            stream,
        })
    }

    /// Lets go of the stream when a link is about to be overwritten.
    fn unlink(&self, path: &Path) {
        if let Some(stream) = self.link_at(path) {
            self.pins.remove(stream);
            // What cannot be removed makes the write that follows fail, and say so.
            let _ = self.root.remove_file(path);
        }
    }

    fn charge(&self, bytes: u64) -> Result<(), FileError> {
        self.share.charge(bytes)
    }

    /// Counts a file that was written without [`Files::charge`].
    pub(crate) fn made(&self, name: &str) {
        let size = self.root.metadata(name).map_or(0, |found| found.len());
        self.share.add(size + ENTRY_BYTES);
    }

    /// Bytes of the share that are left.
    pub(crate) fn free(&self) -> u64 {
        self.share.free()
    }

    /// An error of the system about `path`.
    pub(crate) fn system(&self, op: &'static str, path: &Path, error: &io::Error) -> FileError {
        // cap-std answers "permission denied" with a text of its own for paths that lead out.
        if error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() {
            return FileError::Outside(path.display().to_string());
        }
        FileError::System {
            op,
            path: self.path.join(path).display().to_string(),
            reason: reason(error),
        }
    }

    /// The error of a [`Counted`] writer.
    pub(crate) fn full(&self, error: &io::Error) -> FileError {
        if error.kind() == io::ErrorKind::QuotaExceeded {
            FileError::Full(self.share.limit)
        } else {
            self.system("write", Path::new("."), error)
        }
    }
}

/// A script's path as a path below the root; `.` is the root.
pub(crate) fn clean(path: &str) -> Result<PathBuf, FileError> {
    if path.len() > MAX_PATH || path.contains('\0') {
        let start: String = path.chars().take(60).collect();
        return Err(FileError::Path(start.replace('\0', " ")));
    }
    let mut parts = Vec::new();
    for part in Path::new(path.trim_start_matches('/')).components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::CurDir => {}
            Component::ParentDir if parts.pop().is_some() => {}
            _ => return Err(FileError::Outside(path.to_owned())),
        }
    }
    match parts.len() {
        0 => Ok(PathBuf::from(".")),
        count if count > MAX_DEPTH => Err(FileError::Path(path.to_owned())),
        _ => Ok(parts.iter().collect()),
    }
}

fn is_root(path: &Path) -> bool {
    path == Path::new(".")
}

fn joined(dir: &Path, name: &Path) -> PathBuf {
    if is_root(dir) {
        name.to_owned()
    } else {
        dir.join(name)
    }
}

fn link_in(mut file: &File) -> Option<StreamRef> {
    let found = file.metadata().ok()?;
    if found.len() > MAX_LINK_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_LINK_BYTES).read_to_end(&mut bytes).ok()?;
    file.rewind().ok()?;
    StreamRef::from_link(&bytes)
}

/// The system's words in the form that scripts know.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".into(),
        io::ErrorKind::AlreadyExists => "file exists".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::NotADirectory => "not a directory".into(),
        io::ErrorKind::IsADirectory => "is a directory".into(),
        io::ErrorKind::DirectoryNotEmpty => "directory not empty".into(),
        io::ErrorKind::StorageFull => "no space left on device".into(),
        _ => error.to_string(),
    }
}

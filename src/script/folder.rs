//! Where scripts come from: folders and files, read in order and watched.
//!
//! In: the paths of `scripting.source` and `scripting.sources`. Out: [`ScriptFile`]s with a stable
//! index, and [`Change`]s between two looks. Never: running anything.
//!
//! A change is what differs in content per path, whatever events led to it: an editor that saves by
//! rename, a mounted folder whose link is swapped and a plain write look the same. Events only say
//! that it is time to look; a look every [`LOOK_EVERY`] finds what events miss (a folder that comes
//! back, a network file system).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use notify_debouncer_full::notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};

use super::wire::Role;
use crate::system;

/// Largest script that is read.
pub const MAX_SCRIPT_BYTES: u64 = 4 << 20;

/// Scripts that are loaded at most; a folder of a million files is a mistake.
pub const MAX_SCRIPTS: usize = 256;

/// How long a folder must be quiet before it is looked at: editors write in several steps.
pub const QUIET: Duration = Duration::from_millis(200);

/// Time between two looks without any event.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Bit of an index that is set for the hub's instance of a script.
const HUB: u32 = 1 << 31;

/// Signs in a script's text that it knows of the hub.
const HUB_SIGNS: &[&str] = &[
    "onHubAction",
    "onPodEvent",
    "onLogCall",
    "hub.action",
    "hub.targeted",
    "hub.blockPod",
    "utils.nodeName",
];

/// Which scripts have an instance at the hub too.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum HubInstances {
    /// Those whose text names a hook or helper that has to do with the hub: any other would do
    /// everything twice.
    #[default]
    Aware,
    /// All.
    All,
    /// None.
    None,
}

/// Which instances this process runs; a cluster has workers and hub in processes of their own.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Those of worker and hub: one process is all there is.
    #[default]
    Both,
    /// Those of a worker; what is for the hub goes to the host.
    Worker,
    /// Those of the hub.
    Hub,
}

/// Which side the instance with an index plays.
pub fn role_of(index: u32) -> Role {
    match index & HUB {
        0 => Role::Worker,
        _ => Role::Hub,
    }
}

/// The script's own number, the same for both of its instances.
pub fn number_of(index: u32) -> u32 {
    index & !HUB
}

/// One script as it lies on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptFile {
    /// Stable number of the path, the one in console lines; [`role_of`] tells the instance.
    pub index: u32,
    /// Where it lies.
    pub path: PathBuf,
    /// First line of the first comment, else the file's stem.
    pub title: String,
    /// The whole text.
    pub code: String,
}

impl ScriptFile {
    /// The same script for the hub, when it has an instance there.
    pub(crate) fn at_hub(&self, instances: HubInstances) -> Option<ScriptFile> {
        let wanted = match instances {
            HubInstances::All => true,
            HubInstances::None => false,
            HubInstances::Aware => {
                let code = without_comments(&self.code);
                HUB_SIGNS.iter().any(|sign| code.contains(sign))
            }
        };
        wanted.then(|| ScriptFile {
            index: hub_index(self.index),
            ..self.clone()
        })
    }
}

/// Index of the hub's instance of a script.
pub(crate) fn hub_index(index: u32) -> u32 {
    index | HUB
}

/// What differs since the look before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A script that was not there.
    Added(ScriptFile),
    /// Other content under a known path.
    Changed(ScriptFile),
    /// A script that is not there any more, or not active any more.
    Removed {
        /// Its index.
        index: u32,
        /// Where it was.
        path: PathBuf,
    },
    /// Something to tell people: a source that is missing or back, a file that cannot be read.
    Notice(String),
}

/// The sources and what was found in them.
#[derive(Debug)]
pub(crate) struct Folder {
    sources: Vec<PathBuf>,
    active: Vec<String>,
    /// Those that were switched on or off by hand.
    switched: BTreeMap<PathBuf, bool>,
    indices: BTreeMap<PathBuf, u32>,
    loaded: BTreeMap<PathBuf, ScriptFile>,
    /// Those that are there and not active.
    inactive: Vec<Arc<ScriptFile>>,
    missing: BTreeSet<PathBuf>,
    unreadable: BTreeMap<PathBuf, String>,
    /// Whether it was said that there are too many.
    too_many: bool,
}

impl Folder {
    /// Scripts of `sources` (folders or files, in order); an empty `active` means all of them,
    /// otherwise those whose title or file stem it names, letter case aside.
    pub(crate) fn new(sources: Vec<PathBuf>, active: Vec<String>) -> Folder {
        Folder {
            sources,
            active,
            switched: BTreeMap::new(),
            indices: BTreeMap::new(),
            loaded: BTreeMap::new(),
            inactive: Vec::new(),
            missing: BTreeSet::new(),
            unreadable: BTreeMap::new(),
            too_many: false,
        }
    }

    /// Looks again and says what differs: removals first, then the rest in source and name order.
    pub(crate) fn look(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut found = Vec::new();
        for source in self.sources.clone() {
            let paths = scripts_of(&source);
            match (&paths, self.missing.contains(&source)) {
                (Err(error), false) => {
                    changes.push(Change::Notice(format!(
                        "the script source {} cannot be read ({error}), its scripts run as soon as it is there",
                        source.display()
                    )));
                    self.missing.insert(source.clone());
                }
                (Ok(_), true) => {
                    self.missing.remove(&source);
                    changes.push(Change::Notice(format!(
                        "the script source {} is there again",
                        source.display()
                    )));
                }
                _ => {}
            }
            for path in paths.unwrap_or_default() {
                if !found.contains(&path) {
                    found.push(path);
                }
            }
        }
        if found.len() > MAX_SCRIPTS && !self.too_many {
            changes.push(Change::Notice(format!(
                "there are more than {MAX_SCRIPTS} scripts, the rest is not loaded"
            )));
        }
        self.too_many = found.len() > MAX_SCRIPTS;
        found.truncate(MAX_SCRIPTS);
        let mut files = Vec::new();
        self.inactive.clear();
        for path in &found {
            match self.read(path) {
                Ok(file) => {
                    self.unreadable.remove(path);
                    if self.is_active(&file) {
                        files.push(file);
                    } else {
                        self.inactive.push(Arc::new(file));
                    }
                }
                Err(error) => {
                    if self.unreadable.get(path) != Some(&error) {
                        changes.push(Change::Notice(format!(
                            "the script {} cannot be read: {error}",
                            path.display()
                        )));
                        self.unreadable.insert(path.clone(), error);
                    }
                    // What cannot be read for a moment goes on as it was.
                    files.extend(self.loaded.get(path).cloned());
                }
            }
        }
        let mut now: BTreeMap<PathBuf, ScriptFile> = BTreeMap::new();
        let mut later = Vec::new();
        for file in files {
            match self.loaded.get(&file.path) {
                None => later.push(Change::Added(file.clone())),
                Some(before) if before.code != file.code => {
                    later.push(Change::Changed(file.clone()));
                }
                Some(_) => {}
            }
            now.insert(file.path.clone(), file);
        }
        for (path, file) in &self.loaded {
            if !now.contains_key(path) {
                changes.push(Change::Removed {
                    index: file.index,
                    path: path.clone(),
                });
            }
        }
        self.loaded = now;
        changes.extend(later);
        changes
    }

    /// Switches a script on or off, whatever `active` says; the next look follows.
    pub(crate) fn switch(&mut self, path: PathBuf, on: bool) {
        self.switched.insert(path, on);
    }

    /// Scripts that the last look found and that are switched off.
    pub(crate) fn inactive(&self) -> &[Arc<ScriptFile>] {
        &self.inactive
    }

    fn read(&mut self, path: &Path) -> Result<ScriptFile, String> {
        let code = read_script(path)?;
        let next = self.indices.values().max().map_or(0, |last| last + 1);
        let index = *self.indices.entry(path.to_owned()).or_insert(next);
        Ok(ScriptFile {
            index,
            path: path.to_owned(),
            title: title_of(&code).unwrap_or_else(|| stem_of(path)),
            code,
        })
    }

    fn is_active(&self, file: &ScriptFile) -> bool {
        let is = |wanted: &str, name: &str| wanted.trim().to_lowercase() == name.to_lowercase();
        if let Some(on) = self.switched.get(&file.path) {
            return *on;
        }
        self.active.is_empty()
            || self
                .active
                .iter()
                .any(|wanted| is(wanted, &file.title) || is(wanted, &stem_of(&file.path)))
    }
}

/// Names and texts of all scripts of `sources`, for a place where they lie in one folder: of two
/// files of one name the later one's is another there. What cannot be read is left out and told.
pub fn texts(sources: &[PathBuf]) -> (Vec<(String, String)>, Vec<String>) {
    let (mut found, mut said): (Vec<(String, String)>, _) = (Vec::new(), Vec::new());
    for source in sources {
        let paths = match scripts_of(source) {
            Ok(paths) => paths,
            Err(error) => {
                said.push(format!(
                    "the script source {} cannot be read: {error}",
                    source.display()
                ));
                continue;
            }
        };
        for path in paths {
            if found.len() >= MAX_SCRIPTS {
                said.push(format!(
                    "there are more than {MAX_SCRIPTS} scripts, the rest is not loaded"
                ));
                return (found, said);
            }
            match read_script(&path) {
                Ok(code) => {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    let mut free = name.clone().into_owned();
                    let mut number = 2;
                    while found.iter().any(|(taken, _)| *taken == free) {
                        free = format!("{}-{number}.js", stem_of(&path));
                        number += 1;
                    }
                    found.push((free, code));
                }
                Err(error) => said.push(format!(
                    "the script {} cannot be read: {error}",
                    path.display()
                )),
            }
        }
    }
    (found, said)
}

/// The text of a script.
///
/// # Errors
/// A sentence when it cannot be read or is larger than [`MAX_SCRIPT_BYTES`].
pub fn read_script(path: &Path) -> Result<String, String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_SCRIPT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_SCRIPT_BYTES {
        return Err(format!("it is larger than {MAX_SCRIPT_BYTES} bytes"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a file holds tests of a script (`name.test.js`), which is no script itself.
pub fn is_test(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".test.js")
}

/// The scripts of one source: a file as it is, a folder's `*.js` in name order, not below it;
/// tests are left out.
///
/// # Errors
/// A sentence when the source cannot be read.
pub fn scripts_of(source: &Path) -> Result<Vec<PathBuf>, String> {
    let mut paths = scripts_and_tests(source)?;
    if paths.first().is_none_or(|first| first != source) {
        paths.retain(|path| !is_test(path));
    }
    Ok(paths)
}

/// The scripts of one source and the tests beside them, in name order.
///
/// # Errors
/// A sentence when the source cannot be read.
pub fn scripts_and_tests(source: &Path) -> Result<Vec<PathBuf>, String> {
    let kind = fs::metadata(source).map_err(|error| error.to_string())?;
    if kind.is_file() {
        return Ok(vec![source.to_owned()]);
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(source).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".js") && !name.starts_with('.') && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn stem_of(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// First line with text of the first comment, without its marks; `None` without any.
pub(crate) fn title_of(code: &str) -> Option<String> {
    let (start, end) = comments(code).next()?;
    code.get(start..end)?
        .lines()
        .map(|line| line.trim_matches(|c: char| c == '/' || c == '*' || c.is_whitespace()))
        .find(|line| !line.is_empty())
        .map(str::to_owned)
}

/// The text without its comments and string contents left as they are, to look for names in.
pub(crate) fn without_comments(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut at = 0;
    for (start, end) in comments(code) {
        out.push_str(code.get(at..start).unwrap_or_default());
        out.push(' ');
        at = end;
    }
    out.push_str(code.get(at..).unwrap_or_default());
    out
}

/// Byte ranges of the comments. Strings are stepped over; a regular expression with quotes or
/// slashes in a class may be misread, which costs a title and nothing else.
fn comments(code: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    let bytes = code.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(&byte) = bytes.get(at) {
            match (byte, bytes.get(at + 1)) {
                (b'/', Some(b'/')) => {
                    let start = at;
                    at = find(bytes, at, b"\n").unwrap_or(bytes.len());
                    return Some((start, at));
                }
                (b'/', Some(b'*')) => {
                    let start = at;
                    at = find(bytes, at + 2, b"*/").map_or(bytes.len(), |end| end + 2);
                    return Some((start, at));
                }
                (quote @ (b'"' | b'\'' | b'`'), _) => {
                    at += 1;
                    while let Some(&inner) = bytes.get(at) {
                        at += if inner == b'\\' { 2 } else { 1 };
                        if inner == quote || (inner == b'\n' && quote != b'`') {
                            break;
                        }
                    }
                }
                _ => at += 1,
            }
        }
        None
    })
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    memchr::memmem::find(rest, what).map(|at| from + at)
}

/// Says when it is time to look again.
pub(crate) struct Watch {
    debouncer: Option<Debouncer<RecommendedWatcher, RecommendedCache>>,
    /// Watched folders with what identified them when the watch was set.
    watched: BTreeMap<PathBuf, Option<(u64, u128)>>,
    sources: Vec<PathBuf>,
    events: Receiver<()>,
}

impl Watch {
    /// Watches the folders of `sources`, or those in which source files lie.
    pub(crate) fn new(sources: &[PathBuf]) -> Watch {
        let (sender, events) = bounded(1);
        let mut watch = Watch {
            debouncer: debouncer(sender),
            watched: BTreeMap::new(),
            sources: sources.to_vec(),
            events,
        };
        watch.renew();
        watch
    }

    /// Gets a message after each burst of events.
    pub(crate) fn events(&self) -> &Receiver<()> {
        &self.events
    }

    /// Sets the watches anew on folders that came, went or were replaced; to be called with each
    /// look.
    pub(crate) fn renew(&mut self) {
        let Some(debouncer) = self.debouncer.as_mut() else {
            return;
        };
        for source in &self.sources {
            let folder = match fs::metadata(source) {
                Ok(kind) if !kind.is_file() => source.as_path(),
                Ok(_) => source.parent().unwrap_or(source),
                // A file or folder that is not there: the look every few seconds finds it.
                Err(_) => {
                    if self.watched.remove(source).is_some() {
                        let _ = debouncer.unwatch(source);
                    }
                    continue;
                }
            };
            let identity = system::identity(folder).ok();
            if self.watched.get(folder) == Some(&identity) {
                continue;
            }
            if self.watched.remove(folder).is_some() {
                let _ = debouncer.unwatch(folder);
            }
            if debouncer.watch(folder, RecursiveMode::NonRecursive).is_ok() {
                self.watched.insert(folder.to_owned(), identity);
            }
        }
    }
}

fn debouncer(sender: Sender<()>) -> Option<Debouncer<RecommendedWatcher, RecommendedCache>> {
    let on_events = move |_: DebounceEventResult| match sender.try_send(()) {
        // A look that is already asked for serves these events too.
        Ok(()) | Err(TrySendError::Full(())) | Err(TrySendError::Disconnected(())) => {}
    };
    match new_debouncer(QUIET, None, on_events) {
        Ok(debouncer) => Some(debouncer),
        Err(error) => {
            tracing::warn!(%error, "script folders are looked at every few seconds only");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(changes: &[Change]) -> Vec<String> {
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        changes
            .iter()
            .map(|change| match change {
                Change::Added(file) => format!("+{}:{}", file.index, name(&file.path)),
                Change::Changed(file) => format!("~{}:{}", file.index, name(&file.path)),
                Change::Removed { index, path } => format!("-{index}:{}", name(path)),
                Change::Notice(text) => text.clone(),
            })
            .collect()
    }

    #[test]
    fn scripts_come_in_name_order_and_keep_their_index() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        put("b.js", "1");
        put("a.js", "1");
        put(".hidden.js", "1");
        put("notjs", "1");
        for no_script in [
            "x.js1",
            "x.js-old",
            "x.js-ignore",
            "x.md",
            "x.yaml",
            ".DS_Store",
        ] {
            put(no_script, "1");
        }
        put("a.test.js", "1");
        fs::create_dir(dir.path().join("folder.js")).unwrap();
        let mut folder = Folder::new(vec![dir.path().to_owned()], Vec::new());
        assert_eq!(names(&folder.look()), ["+0:a.js", "+1:b.js"]);
        assert!(folder.look().is_empty());

        put("b.js", "2");
        assert_eq!(names(&folder.look()), ["~1:b.js"]);

        // Saved by rename: the same path with other content.
        put("tmp", "3");
        fs::rename(dir.path().join("tmp"), dir.path().join("b.js")).unwrap();
        assert_eq!(names(&folder.look()), ["~1:b.js"]);

        fs::rename(dir.path().join("a.js"), dir.path().join("0.js")).unwrap();
        assert_eq!(names(&folder.look()), ["-0:a.js", "+2:0.js"]);

        put("a.js", "1");
        assert_eq!(names(&folder.look()), ["+0:a.js"]);
    }

    #[test]
    fn a_folder_may_be_missing_go_and_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("scripts");
        let mut folder = Folder::new(vec![source.clone()], Vec::new());
        let first = names(&folder.look());
        assert!(
            first.len() == 1 && first[0].contains("cannot be read"),
            "{first:?}"
        );
        assert!(folder.look().is_empty(), "said once");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("a.js"), "1").unwrap();
        let back = names(&folder.look());
        assert!(
            back[0].ends_with("is there again") && back[1] == "+0:a.js",
            "{back:?}"
        );
        fs::remove_dir_all(&source).unwrap();
        let gone = names(&folder.look());
        assert!(
            gone[0].contains("cannot be read") && gone[1] == "-0:a.js",
            "{gone:?}"
        );
    }

    #[test]
    fn only_active_scripts_are_loaded_when_any_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.js"), "// Traffic Recording\n1").unwrap();
        fs::write(dir.path().join("b.js"), "1").unwrap();
        fs::write(dir.path().join("c.js"), "1").unwrap();
        let active = vec!["traffic recording".into(), "B".into()];
        let mut folder = Folder::new(vec![dir.path().to_owned()], active);
        assert_eq!(names(&folder.look()), ["+0:a.js", "+1:b.js"]);
    }

    #[test]
    fn a_script_is_switched_off_and_on_by_hand() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.js");
        fs::write(&path, "1").unwrap();
        let mut folder = Folder::new(vec![dir.path().to_owned()], vec![]);
        assert_eq!(names(&folder.look()), ["+0:a.js"]);
        folder.switch(path.clone(), false);
        assert_eq!(names(&folder.look()), ["-0:a.js"]);
        assert_eq!(folder.inactive().len(), 1);
        folder.switch(path, true);
        assert_eq!(names(&folder.look()), ["+0:a.js"]);
    }

    #[test]
    fn a_title_is_the_first_line_of_the_first_comment() {
        assert_eq!(
            title_of("// Traffic Recording\n"),
            Some("Traffic Recording".into())
        );
        assert_eq!(
            title_of("/**\n * Top 5\n * more\n */"),
            Some("Top 5".into())
        );
        assert_eq!(title_of("var a = '// no'; // yes"), Some("yes".into()));
        assert_eq!(title_of("var a = 1"), None);
        assert_eq!(title_of("//\nvar a = 1"), None);
    }

    #[test]
    fn comments_are_cut_and_strings_kept() {
        let text = without_comments("a('//x') /* pcap.path */ + b // pcap.snapshot\nc");
        assert!(text.contains("a('//x')") && text.contains('c'), "{text}");
        assert!(!text.contains("pcap"), "{text}");
    }

    #[test]
    fn an_unfinished_comment_or_string_ends_with_the_text() {
        assert_eq!(without_comments("a /* b").trim(), "a");
        assert_eq!(without_comments("a \"b\\"), "a \"b\\");
    }
}

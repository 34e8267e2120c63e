//! Files of scripts: read, checked, saved.
//!
//! In: paths that a listing of the configured sources has. Out: text with its SHA-256, findings. A
//! file is replaced as a whole, and only when it still is what the editor opened. Never: a path that
//! is not in the listing, a new name outside a configured folder, writing unless the configuration
//! allows it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::script::check;
use crate::script::folder::{MAX_SCRIPT_BYTES, is_test, read_script, scripts_and_tests};
use crate::script::wire::Macros;
use crate::store::hex;

/// Names that a test file has beside those of a script.
const OF_TESTS: [&str; 3] = ["it", "expect", "result"];

/// Where scripts lie, and what may be done with them.
#[derive(Debug, Default)]
pub struct ScriptFiles {
    /// Folders and files.
    pub sources: Vec<PathBuf>,
    /// Whether files may be written.
    pub editable: bool,
    /// Names that `scripting.env` gives scripts.
    pub env: Vec<String>,
    /// Types for editors, the text of `tapedeck.d.ts`.
    pub types: String,
    /// What their queries may use.
    pub macros: Macros,
    saving: Mutex<()>,
}

/// Why something cannot be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such file.
    Missing(String),
    /// It may not be done.
    Forbidden(String),
    /// The file is not what it was.
    Conflict(String),
    /// It cannot be done as asked.
    Wrong(String),
}

impl ScriptFiles {
    /// Files below `sources`; their queries may use `macros`.
    pub fn new(
        sources: Vec<PathBuf>,
        editable: bool,
        env: Vec<String>,
        types: String,
        macros: Macros,
    ) -> ScriptFiles {
        ScriptFiles {
            sources,
            editable,
            env,
            types,
            macros,
            saving: Mutex::default(),
        }
    }

    fn paths(&self) -> Vec<PathBuf> {
        let found = self.sources.iter().flat_map(|source| scripts_of(source));
        found.collect()
    }

    fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        self.sources.iter().filter(|source| source.is_dir())
    }

    /// ```text
    /// {"folders": [path], "files": [{"path", "name", "test": bool}], "editable": bool}
    /// ```
    pub(super) fn list(&self) -> Json {
        let files: Vec<Json> = self
            .paths()
            .iter()
            .map(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                json!({"path": path.display().to_string(), "name": name, "test": is_test(path)})
            })
            .collect();
        let folders: Vec<String> = self
            .folders()
            .map(|path| path.display().to_string())
            .collect();
        json!({"folders": folders, "files": files, "editable": self.editable})
    }

    fn known(&self, path: &str) -> Result<PathBuf, Refusal> {
        let found = self
            .paths()
            .into_iter()
            .find(|known| known == Path::new(path));
        found.ok_or_else(|| {
            Refusal::Missing(format!(
                "{path} is no script of this run; scripting.source names where they lie"
            ))
        })
    }

    /// ```text
    /// {"path", "code", "sha256"}
    /// ```
    pub(super) fn source(&self, path: &str) -> Result<Json, Refusal> {
        let path = self.known(path)?;
        let code = read_script(&path).map_err(|error| {
            Refusal::Missing(format!("{} cannot be read: {error}", path.display()))
        })?;
        Ok(json!({
            "path": path.display().to_string(), "sha256": sha256_of(code.as_bytes()), "code": code,
        }))
    }

    /// What is wrong with a text that is, or is to be, the file `path`.
    ///
    /// ```text
    /// {"findings": [{"severity","rule","line","column","message","text"}]}
    /// ```
    pub(super) fn check(&self, path: &str, code: &str) -> Result<Json, Refusal> {
        let mut names = self.env.clone();
        if is_test(Path::new(path)) {
            names.extend(OF_TESTS.map(str::to_owned));
        }
        let program = std::env::current_exe().map_err(|error| Refusal::Wrong(error.to_string()))?;
        let findings = check::check(&program, code, names, self.macros.clone())
            .map_err(|error| Refusal::Wrong(format!("the script cannot be checked: {error}")))?;
        Ok(json!({"findings": findings}))
    }

    /// Replaces the file `path`, which had the digest `before`; without one it is a new file.
    ///
    /// ```text
    /// {"path", "sha256"}
    /// ```
    pub(super) fn save(&self, path: &str, before: &str, code: &str) -> Result<Json, Refusal> {
        if !self.editable {
            return Err(Refusal::Forbidden(
                "scripts are not saved from here unless tap.dashboard.editScripts is true"
                    .to_owned(),
            ));
        }
        if code.len() as u64 > MAX_SCRIPT_BYTES {
            return Err(Refusal::Wrong(format!(
                "a script has {MAX_SCRIPT_BYTES} bytes at most"
            )));
        }
        let _one = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let failed =
            |error: std::io::Error| Refusal::Wrong(format!("{path} cannot be written: {error}"));
        let target = match before.is_empty() {
            true => self.new_file(path)?,
            false => self.unchanged(path, before)?,
        };
        let folder = target.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .prefix(".tapedeck-")
            .tempfile_in(folder)
            .map_err(failed)?;
        file.write_all(code.as_bytes()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        match fs::metadata(&target) {
            Ok(old) => {
                fs::set_permissions(file.path(), old.permissions()).map_err(failed)?;
                file.persist(&target).map_err(|error| failed(error.error))?;
            }
            Err(_) => {
                file.persist_noclobber(&target)
                    .map_err(|error| failed(error.error))?;
            }
        }
        Ok(json!({
            "path": target.display().to_string(), "sha256": sha256_of(code.as_bytes()),
        }))
    }

    /// Removes the file `path`, which has the digest `before`.
    pub(super) fn remove(&self, path: &str, before: &str) -> Result<Json, Refusal> {
        if !self.editable {
            return Err(Refusal::Forbidden(
                "scripts are not removed from here unless tap.dashboard.editScripts is true"
                    .to_owned(),
            ));
        }
        let _one = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let target = self.unchanged(path, before)?;
        fs::remove_file(&target)
            .map_err(|error| Refusal::Wrong(format!("{path} cannot be removed: {error}")))?;
        Ok(json!({"path": target.display().to_string()}))
    }

    fn new_file(&self, path: &str) -> Result<PathBuf, Refusal> {
        let path = Path::new(path);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let fits = name.len() <= 128
            && name.ends_with(".js")
            && name.len() > 3
            && !name.starts_with('.')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !fits {
            return Err(Refusal::Wrong(format!(
                "\"{name}\" is no name for a script; use letters, digits, _ and -, and end it with .js"
            )));
        }
        let folder = self
            .folders()
            .find(|folder| Some(folder.as_path()) == path.parent());
        let Some(folder) = folder else {
            return Err(Refusal::Wrong(
                "a new script goes into a folder that scripting.source or scripting.sources names"
                    .to_owned(),
            ));
        };
        let path = folder.join(&*name);
        match path.symlink_metadata() {
            Ok(_) => Err(Refusal::Conflict(format!(
                "{} is there already; open it instead",
                path.display()
            ))),
            Err(_) => Ok(path),
        }
    }

    fn unchanged(&self, path: &str, before: &str) -> Result<PathBuf, Refusal> {
        let path = self.known(path)?;
        let is_link = path
            .symlink_metadata()
            .is_ok_and(|kind| kind.file_type().is_symlink());
        if is_link {
            return Err(Refusal::Wrong(format!(
                "{} is a link, as mounted folders have them; change what it is made from",
                path.display()
            )));
        }
        let now = read_script(&path).map_err(|error| {
            Refusal::Missing(format!("{} cannot be read: {error}", path.display()))
        })?;
        match sha256_of(now.as_bytes()) == before.to_ascii_lowercase() {
            true => Ok(path),
            false => Err(Refusal::Conflict(format!(
                "{} was changed meanwhile; open it again and bring both together",
                path.display()
            ))),
        }
    }
}

/// The scripts of a source; one that cannot be read has none.
fn scripts_of(source: &Path) -> Vec<PathBuf> {
    scripts_and_tests(source).unwrap_or_default()
}

fn sha256_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, ScriptFiles) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.js"), "// A\n").unwrap();
        fs::write(dir.path().join("secret.txt"), "x").unwrap();
        let files = ScriptFiles::new(
            vec![dir.path().to_owned()],
            true,
            vec![],
            String::new(),
            vec![],
        );
        (dir, files)
    }

    fn text(json: &Json, name: &str) -> String {
        json[name].as_str().unwrap().to_owned()
    }

    #[test]
    fn only_scripts_of_the_sources_are_read() {
        let (dir, files) = folder();
        let at = |name: &str| dir.path().join(name).display().to_string();
        assert_eq!(files.source(&at("a.js")).unwrap()["code"], "// A\n");
        for path in [
            at("secret.txt"),
            at("../a.js"),
            at("b.js"),
            "/etc/passwd".to_owned(),
        ] {
            assert!(
                matches!(files.source(&path), Err(Refusal::Missing(_))),
                "{path}"
            );
        }
    }

    #[test]
    fn a_file_is_replaced_only_as_it_was_opened() {
        let (dir, files) = folder();
        let path = dir.path().join("a.js").display().to_string();
        let opened = text(&files.source(&path).unwrap(), "sha256");
        let saved = text(&files.save(&path, &opened, "// B\n").unwrap(), "sha256");
        assert_eq!(fs::read_to_string(&path).unwrap(), "// B\n");
        assert!(matches!(
            files.save(&path, &opened, "// C\n"),
            Err(Refusal::Conflict(_))
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "// B\n");
        files.save(&path, &saved, "// C\n").unwrap();
        // Nothing is left beside the scripts.
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_new_file_has_a_good_name_in_a_known_folder() {
        let (dir, files) = folder();
        let at = |name: &str| dir.path().join(name).display().to_string();
        files.save(&at("new_one.js"), "", "1").unwrap();
        assert!(matches!(
            files.save(&at("new_one.js"), "", "2"),
            Err(Refusal::Conflict(_))
        ));
        for name in ["b.txt", ".b.js", ".js", "x/b.js", "a b.js", "../b.js"] {
            assert!(
                matches!(files.save(&at(name), "", "1"), Err(Refusal::Wrong(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn a_file_is_removed_only_as_it_was_opened() {
        let (dir, mut files) = folder();
        let path = dir.path().join("a.js");
        let at = path.display().to_string();
        let opened = text(&files.source(&at).unwrap(), "sha256");
        fs::write(&path, "// by another\n").unwrap();
        assert!(matches!(
            files.remove(&at, &opened),
            Err(Refusal::Conflict(_))
        ));
        let opened = text(&files.source(&at).unwrap(), "sha256");
        files.editable = false;
        assert!(matches!(
            files.remove(&at, &opened),
            Err(Refusal::Forbidden(_))
        ));
        files.editable = true;
        files.remove(&at, &opened).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_link_is_not_replaced_and_nothing_is_written_unless_allowed() {
        let (dir, mut files) = folder();
        let link = dir.path().join("link.js");
        std::os::unix::fs::symlink(dir.path().join("a.js"), &link).unwrap();
        let link = link.display().to_string();
        let opened = text(&files.source(&link).unwrap(), "sha256");
        assert!(matches!(
            files.save(&link, &opened, "2"),
            Err(Refusal::Wrong(_))
        ));
        files.editable = false;
        assert!(matches!(
            files.save(&link, &opened, "2"),
            Err(Refusal::Forbidden(_))
        ));
    }
}

//! `file.tar`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use super::{Counted, FileError, Files, Found, clean};

impl Files {
    /// `file.tar`: all regular files below `dir` under their names relative to it, in
    /// `kubeshark_<second>.tar.gz` of the root.
    pub(crate) fn tar(&self, dir: &str, second: i64) -> Result<String, FileError> {
        let dir = clean(dir)?;
        let mut inputs: BTreeSet<(PathBuf, PathBuf)> = BTreeSet::new();
        for path in self.files_below(&dir)? {
            let name = path.strip_prefix(&dir).unwrap_or(&path).to_owned();
            inputs.insert((path, name));
        }
        let (name, file) = self.numbered("kubeshark_", second, ".tar.gz")?;
        let counted = Counted {
            inner: file.into_std(),
            left: self.free(),
        };
        let packed = self.pack(&inputs, counted);
        if let Err(error) = packed {
            let _ = self.root.remove_file(&name);
            return Err(error);
        }
        self.made(&name);
        Ok(name)
    }

    fn pack(
        &self,
        inputs: &BTreeSet<(PathBuf, PathBuf)>,
        out: Counted<File>,
    ) -> Result<(), FileError> {
        let zip = flate2::write::GzEncoder::new(out, flate2::Compression::default());
        let mut tar = tar::Builder::new(zip);
        for (path, name) in inputs {
            let file = match self.find(path) {
                Ok(Found::Stream(stream)) => self.materialise(stream)?,
                Ok(Found::File(file)) => file,
                // Gone since it was listed.
                Err(_) => continue,
            };
            let size = file
                .metadata()
                .map_err(|error| self.system("stat", path, &error))?
                .len();
            let mut header = tar::Header::new_gnu();
            header.set_size(size);
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_entry_type(tar::EntryType::Regular);
            // A file that shrinks while it is read would make a broken archive.
            let whole = file.take(size).chain(io::repeat(0)).take(size);
            tar.append_data(&mut header, name, whole)
                .map_err(|error| self.full(&error))?;
        }
        tar.into_inner()
            .and_then(flate2::write::GzEncoder::finish)
            .map(drop)
            .map_err(|error| self.full(&error))
    }
}

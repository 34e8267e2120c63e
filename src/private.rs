//! Folders and files that are their owner's alone.
//!
//! In: paths. Out: what stands there, closed to everybody else. On Unix that is modes 0700 and 0600.
//! On Windows a new folder or file takes the access rights of the folder above it, and those below a
//! user's profile, where data and cache lie, are that user's alone. Never: a folder of somebody else
//! opened wider.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::Path;

/// Makes `folder` and what is missing above it; what is there already stays as it is.
///
/// # Errors
/// When it cannot be made, or something else stands there.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    builder().recursive(true).create(folder)
}

/// Makes the last folder of a path alone.
///
/// # Errors
/// When it cannot be made, or something stands there.
pub fn make_one_folder(folder: &Path) -> io::Result<()> {
    builder().create(folder)
}

fn builder() -> DirBuilder {
    #[allow(unused_mut)]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Takes the rights of everybody else away from a folder that is there.
///
/// # Errors
/// When it is not the process's own.
pub fn close_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
    }
    #[cfg(not(unix))]
    folder.metadata().map(|_| ())
}

/// Takes the rights of everybody else away from a file, or a socket, that is there.
///
/// # Errors
/// When it is not the process's own.
#[cfg(unix)]
pub fn close_file(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

/// Options with which a file that is made is its owner's alone.
pub fn options() -> OpenOptions {
    #[allow(unused_mut)]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_made_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let below = folder.path().join("a/b");
        make_folder(&below).unwrap();
        make_folder(&below).unwrap();
        assert_eq!(
            (mode(&below), mode(&folder.path().join("a"))),
            (0o700, 0o700)
        );
        assert!(make_one_folder(&below).is_err());
        let file = below.join("f");
        options().write(true).create(true).open(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
        std::fs::set_permissions(&below, std::fs::Permissions::from_mode(0o755)).unwrap();
        close_folder(&below).unwrap();
        assert_eq!(mode(&below), 0o700);
        assert!(make_folder(&file).is_err());
    }
}

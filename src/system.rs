//! What systems do each in their own way with files.
//!
//! In: open files, paths. Out: bytes at their place, which file it is. Never: what the bytes mean. Other
//! differences between systems stand where they belong: closed folders in the room `private`, the line to
//! a script in `script::wire`, its process in `script::process`, signals in `cli`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Reads up to `into.len()` bytes from `at` on; fewer only at the end of the file.
///
/// On Windows the place from which the file is read on without a place moves.
///
/// # Errors
/// When the file cannot be read.
pub fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < into.len() {
        let Some(rest) = into.get_mut(done..) else {
            break;
        };
        #[cfg(unix)]
        let got = std::os::unix::fs::FileExt::read_at(file, rest, at + done as u64);
        #[cfg(windows)]
        let got = match std::os::windows::fs::FileExt::seek_read(file, rest, at + done as u64) {
            // ERROR_HANDLE_EOF
            Err(error) if error.raw_os_error() == Some(38) => Ok(0),
            got => got,
        };
        match got {
            Ok(0) => break,
            Ok(got) => done += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all `bytes` from `at` on.
///
/// On Windows the place from which the file is written on without a place moves.
///
/// # Errors
/// When the file cannot be written.
pub fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        #[cfg(unix)]
        let put = std::os::unix::fs::FileExt::write_at(file, rest, at + done as u64);
        #[cfg(windows)]
        let put = std::os::windows::fs::FileExt::seek_write(file, rest, at + done as u64);
        match put {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(put) => done += put,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Which file or folder stands at `path`: another one there has another number. On Unix that is device
/// and inode, on Windows volume and file.
///
/// # Errors
/// When nothing stands there.
pub fn identity(path: &Path) -> io::Result<(u64, u128)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let found = path.metadata()?;
        Ok((found.dev(), found.ino().into()))
    }
    #[cfg(windows)]
    {
        use file_id::FileId;
        Ok(match file_id::get_file_id(path)? {
            FileId::Inode {
                device_id,
                inode_number,
            } => (device_id, inode_number.into()),
            FileId::LowRes {
                volume_serial_number,
                file_index,
            } => (volume_serial_number.into(), file_index.into()),
            FileId::HighRes {
                volume_serial_number,
                file_id,
            } => (volume_serial_number, file_id),
        })
    }
}

/// The full path of a file or folder that is there, links followed. On Windows links stay as they are:
/// what that system says of one begins with `\\?\`, which people do not know their files by.
///
/// # Errors
/// When nothing stands there.
pub fn full(path: &Path) -> io::Result<PathBuf> {
    match cfg!(windows) {
        true => std::path::absolute(path),
        false => path.canonicalize(),
    }
}

/// Whether a file of this system can have that name, which holds no slash; on Windows some names are
/// those of devices, and a colon leads to another stream of the file.
pub fn can_name(name: &str) -> bool {
    !cfg!(windows) || windows_can_name(name)
}

/// As "Naming Files, Paths, and Namespaces" of the Windows documentation has it.
fn windows_can_name(name: &str) -> bool {
    const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let is_device = DEVICES
        .iter()
        .any(|device| device.eq_ignore_ascii_case(stem));
    let is_numbered = stem
        .get(..3)
        .is_some_and(|kind| kind.eq_ignore_ascii_case("COM") || kind.eq_ignore_ascii_case("LPT"))
        && stem.chars().count() == 4
        && stem.ends_with(|c: char| c.is_ascii_digit() || "¹²³".contains(c));
    let is_odd = |c: char| c < ' ' || r#"<>:"/\|?*"#.contains(c);
    !is_device && !is_numbered && !name.contains(is_odd) && !name.ends_with(['.', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_has_names_that_are_no_files() {
        for name in [
            "nul", "CON.txt", "com1", "LPT¹.x", "aux .y", "a:b", "C:", "a?", "a.", "a ", "x\n",
            "<a>",
        ] {
            assert!(!windows_can_name(name), "{name:?}");
        }
        for name in [
            "console",
            "com",
            "com12",
            "common",
            "date=2026-11-27",
            "a.b",
            ".a",
            "é",
            "comé",
            "a b",
        ] {
            assert!(windows_can_name(name), "{name:?}");
        }
        assert_eq!(can_name("a:b"), cfg!(unix));
    }

    #[test]
    fn bytes_are_read_and_written_at_their_place() {
        let file = tempfile::tempfile().unwrap();
        write_at(&file, b"0123456789", 0).unwrap();
        write_at(&file, b"ab", 9).unwrap();
        let mut bytes = [0; 4];
        assert_eq!(read_at(&file, &mut bytes, 2).unwrap(), 4);
        assert_eq!(&bytes, b"2345");
        assert_eq!(read_at(&file, &mut bytes, 8).unwrap(), 3);
        assert_eq!(&bytes[..3], b"8ab");
        assert_eq!(read_at(&file, &mut bytes, 11).unwrap(), 0);
        assert_eq!(read_at(&file, &mut bytes, 99).unwrap(), 0);
    }

    #[test]
    fn another_file_in_its_place_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        assert!(identity(&path).is_err());
        std::fs::write(&path, "1").unwrap();
        let first = identity(&path).unwrap();
        std::fs::write(&path, "22").unwrap();
        assert_eq!(identity(&path).unwrap(), first, "it was written to");
        std::fs::write(&other, "1").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_ne!(identity(&path).unwrap(), first);
    }
}

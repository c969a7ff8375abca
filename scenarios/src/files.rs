//! The files that the command reads and leaves behind. A file is written whole or not at all.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::input::Invalid;

/// Reads a text file.
///
/// # Errors
/// If it cannot be read, or is not UTF-8.
pub fn read(path: &Path) -> Result<String, Invalid> {
    fs::read_to_string(path).map_err(|error| failed("cannot read", path, &error))
}

/// The files in a folder whose names end so, in the order of their names; none if there is no such
/// folder.
///
/// # Errors
/// If it cannot be read.
pub fn list(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Invalid> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.and_then(Iterator::collect::<io::Result<Vec<_>>>),
    };
    let listed = listed.map_err(|error| failed("cannot read", folder, &error))?;
    let mut paths: Vec<_> = listed.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == extension));
    paths.sort_unstable();
    Ok(paths)
}

/// Writes a value as JSON into a file in place of what was there, and makes the folders on the way.
///
/// # Errors
/// If that fails; the file is then as it was.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Invalid> {
    serde_json::to_vec_pretty(value)
        .map_err(io::Error::from)
        .and_then(|mut text| {
            text.push(b'\n');
            replace(path, &text)
        })
        .map_err(|error| failed("cannot write", path, &error))
}

/// Writes a value as JSON on one line, else as [`write_json`].
///
/// # Errors
/// If that fails; the file is then as it was.
pub fn write_json_line(path: &Path, value: &impl Serialize) -> Result<(), Invalid> {
    let text = serde_json::to_vec(value).map_err(io::Error::from);
    text.and_then(|text| replace(path, &text)).map_err(|error| failed("cannot write", path, &error))
}

/// Writes bytes into a file in place of what was there, and makes the folders on the way.
///
/// # Errors
/// If that fails; the file is then as it was.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Invalid> {
    replace(path, bytes).map_err(|error| failed("cannot write", path, &error))
}

/// Opens a file to write a stream into it, such as a trace.
///
/// # Errors
/// If it cannot be made.
pub fn stream(path: &Path) -> Result<impl io::Write + use<>, Invalid> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).open(path);
    file.map(io::BufWriter::new).map_err(|error| failed("cannot write", path, &error))
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = temporary(path)?;
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
    let written = file.write_all(text).and_then(|()| file.sync_all());
    drop(file);
    let renamed = written.and_then(|()| fs::rename(&temporary, path));
    if renamed.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    renamed
}

fn temporary(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".tmp");
    Ok(path.with_file_name(hidden))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Invalid {
    Invalid::new(format!("{what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/er/x.json");
        write_json(&path, &[1]).expect("written");
        write_json(&path, &[2]).expect("written");
        assert_eq!(read(&path).expect("read"), "[\n  2\n]\n");
        let beside = fs::read_dir(path.parent().expect("a folder")).expect("listed").count();
        assert_eq!(beside, 1);
    }

    #[test]
    fn what_cannot_be_read_or_written_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = read(&folder.path().join("none")).expect_err("missing").to_string();
        assert!(
            error.starts_with("cannot read /") && error.contains("none: No such file"),
            "{error}"
        );
        let error = write_json(folder.path(), &1).expect_err("a folder").to_string();
        assert!(error.starts_with("cannot write /"), "{error}");
    }
}

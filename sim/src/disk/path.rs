//! The path rules of [`crate::env::Disk`]: which texts are paths, and how they come apart.

use crate::env::{DiskError, DiskResult};

/// The longest part of a path, in bytes, as on Linux.
pub const NAME_BYTES_MAX: usize = 255;

/// The parts of `path`, outermost first; none for the root, which is `/` or the empty path.
///
/// The whole path is checked before the first part is looked up, so that a path that breaks the
/// rules fails the same way whatever is on the disk.
pub(super) fn parts(path: &str) -> DiskResult<impl Iterator<Item = &str>> {
    let inner = inner(path)?;
    Ok(inner.split('/').filter(|part| !part.is_empty()))
}

/// The path of the directory and the name in it; `None` for the root, which has neither.
pub(super) fn split(path: &str) -> DiskResult<Option<(&str, &str)>> {
    let inner = inner(path)?;
    if inner.is_empty() {
        return Ok(None);
    }
    Ok(Some(inner.rsplit_once('/').unwrap_or(("", inner))))
}

/// The checked path without its leading `/`.
fn inner(path: &str) -> DiskResult<&str> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    if inner.is_empty() || inner.split('/').all(is_name) {
        Ok(inner)
    } else {
        Err(DiskError::InvalidInput)
    }
}

fn is_name(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && part.len() <= NAME_BYTES_MAX && !part.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: DiskResult<&[&str]>) {
        let found = parts(path).map(Iterator::collect::<Vec<_>>);
        assert_eq!(found.as_deref().map_err(|error| *error), expected, "{path:?}");
    }

    #[test]
    fn a_path_is_names_between_slashes_with_or_without_a_leading_one() {
        check("/", Ok(&[]));
        check("", Ok(&[]));
        check("/a/b", Ok(&["a", "b"]));
        check("a/b", Ok(&["a", "b"]));
        check("...", Ok(&["..."]));
        check(&"n".repeat(255), Ok(&["n".repeat(255).as_str()]));
    }

    #[test]
    fn what_is_no_path_is_invalid_input() {
        let long = "n".repeat(256);
        for path in ["//", "//a", "a//b", "a/", "/a/", ".", "a/./b", "..", "a/..", "a\0b", &long] {
            check(path, Err(DiskError::InvalidInput));
        }
    }

    #[test]
    fn a_path_splits_into_directory_and_name() {
        assert_eq!(split("/"), Ok(None));
        assert_eq!(split("/a"), Ok(Some(("", "a"))));
        assert_eq!(split("a/b/c"), Ok(Some(("a/b", "c"))));
        assert_eq!(split("a/"), Err(DiskError::InvalidInput));
    }
}

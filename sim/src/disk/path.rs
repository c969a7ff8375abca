//! The path rules of [`crate::env::Disk`]: which texts are paths, and how they come apart.

use crate::env::{DiskError, DiskResult};

/// The longest part of a path, in bytes, as on Linux.
pub const NAME_BYTES_MAX: usize = 255;

/// A path that keeps the rules: its parts, between slashes; none for the root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a> {
    inner: &'a str,
    /// Where the last slash is.
    slash: Option<usize>,
}

impl<'a> Path<'a> {
    /// Checks a whole path, before its first part is looked up, so that one that breaks the rules
    /// fails the same way whatever is on the disk. The root is `/` or the empty path.
    pub(super) fn new(path: &'a str) -> DiskResult<Self> {
        let inner = path.strip_prefix('/').unwrap_or(path);
        let bytes = inner.as_bytes();
        let (mut start, mut slash) = (0, None);
        let mut rest = bytes.iter();
        // Most bytes of names are above both that matter.
        while let Some(byte) = rest.find(|byte| **byte <= b'/') {
            let at = bytes.len() - rest.len() - 1;
            match byte {
                b'/' if !is_name(&bytes[start..at]) => return Err(DiskError::InvalidInput),
                b'/' => (start, slash) = (at + 1, Some(at)),
                0 => return Err(DiskError::InvalidInput),
                _ => {}
            }
        }
        if inner.is_empty() || is_name(&bytes[start..]) {
            Ok(Self { inner, slash })
        } else {
            Err(DiskError::InvalidInput)
        }
    }

    /// The parts, outermost first; none for the root.
    pub(super) fn parts(self) -> impl Iterator<Item = &'a str> {
        let mut rest = Some(self.inner).filter(|inner| !inner.is_empty());
        std::iter::from_fn(move || {
            let whole = rest?;
            let (part, after) = match whole.bytes().position(|byte| byte == b'/') {
                Some(slash) => (&whole[..slash], Some(&whole[slash + 1..])),
                None => (whole, None),
            };
            rest = after;
            Some(part)
        })
    }

    /// The path of the directory and the name in it; `None` for the root, which has neither.
    pub(super) fn split(self) -> Option<(Self, &'a str)> {
        let Self { inner, slash } = self;
        let (parent, name) = match slash {
            Some(slash) => (&inner[..slash], &inner[slash + 1..]),
            None if inner.is_empty() => return None,
            None => ("", inner),
        };
        let slash = parent.bytes().rposition(|byte| byte == b'/');
        Some((Self { inner: parent, slash }, name))
    }

    /// As text, without a leading slash.
    pub(super) fn text(self) -> &'a str {
        self.inner
    }
}

fn is_name(part: &[u8]) -> bool {
    !matches!(part, b"" | b"." | b"..") && part.len() <= NAME_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: DiskResult<&[&str]>) {
        let found = Path::new(path).map(|path| path.parts().collect::<Vec<_>>());
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
        let split = |path| Path::new(path).map(|path| path.split().map(|(of, at)| (of.text(), at)));
        assert_eq!(split("/"), Ok(None));
        assert_eq!(split("/a"), Ok(Some(("", "a"))));
        assert_eq!(split("a/b/c"), Ok(Some(("a/b", "c"))));
        assert_eq!(split("a/"), Err(DiskError::InvalidInput));
        let outer = Path::new("/a/b/c").expect("a path").split().expect("not the root").0;
        assert_eq!(outer.split().map(|(of, at)| (of.text(), at)), Some(("a", "b")));
    }
}

//! Bit rot: a bit of a file turns over on the device, unnoticed.
//!
//! The bit is turned in every layer that holds the byte: what programs see, what is on the
//! platter, and unsynced writes. So it shows whatever a power cut keeps, until the byte is
//! written anew or the file is removed. It is no operation: there is nothing to sync.

use super::{Disk, inode::Content, path};
use crate::random::Stream;

impl Disk {
    /// Turns one bit over in one file of `directory`, not in those below it; tells which file.
    /// `None` if there is nothing to rot: no such directory, or no file in it with bytes.
    pub fn rot(&mut self, directory: &str, stream: &mut Stream) -> Option<String> {
        let number = self.lookup(directory).ok()?;
        let names = self.inode(number).directory()?.names();
        let files = names.filter_map(|(name, inode)| match &self.inode(inode).content {
            Content::File(file) if file.len() > 0 => Some((name, inode, file.len())),
            Content::File(_) | Content::Directory(_) => None,
        });
        let files: Vec<_> = files.collect();
        if files.is_empty() {
            return None;
        }
        let (name, inode, len) = files[stream.index(files.len())];
        let (place, bit) = (stream.index(len), stream.index(8));
        let parts = path::parts(directory).ok()?.chain([&**name]);
        let path: String = parts.flat_map(|part| ["/", part]).collect();
        let rotten = self.file_mut(inode).rot(place, 1 << bit);
        rotten.then_some(path)
    }

    /// A new disk of the same kind, blank.
    #[must_use]
    pub fn replacement(&self) -> Self {
        Self::with_profile(self.profile)
    }
}

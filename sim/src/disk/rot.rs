//! Bit rot: a bit of a file turns over on the device, unnoticed.
//!
//! The bit is turned in every layer that holds the byte: what programs see, what is on the
//! platter, and unsynced writes. So it shows whatever a power cut keeps, until the byte is
//! written anew or the file is removed. It is no operation: there is nothing to sync.

use super::Disk;
use crate::random::Stream;

impl Disk {
    /// Turns one bit over in one file of `directory`, not in those below it; tells which file.
    /// `None` if there is nothing to rot: no such directory, or no file in it with bytes.
    pub fn rot(&mut self, directory: &str, stream: &mut Stream) -> Option<String> {
        self.decide();
        let files = self.files_in(directory)?;
        let (path, inode, len) = &files[stream.index(files.len())];
        let (place, bit) = (stream.index(*len), stream.index(8));
        let rotten = self.file_mut(*inode).rot(place, 1 << bit);
        rotten.then(|| path.clone())
    }

    /// A new disk of the same kind and capacity, blank and without faults.
    #[must_use]
    pub fn replacement(&self) -> Self {
        let mut disk = Self::with_profile(self.profile);
        disk.set_capacity(self.space.capacity);
        disk
    }
}

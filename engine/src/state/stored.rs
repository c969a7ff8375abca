//! A version of a state as it is stored: a snapshot, and over it what changed since, in layers.
//!
//! Each epoch adds a layer. Now and then the newest layers become one, so that there are few; and the
//! whole is written anew when what changed since is as much. A layer is merged only into one of about
//! its size, so what an epoch writes follows what it changes, by the logarithm of the state, and not
//! the state: a byte that changed is written so often as its layer can double.

use std::rc::Rc;

use bytes::Bytes;

use super::{Delta, State};
use crate::codec::CodecError;

/// So many layers are kept, of whatever sizes.
pub const LAYERS_MIN: usize = 4;
/// A layer is merged with newer ones that have, all together, a share of its bytes: one of so many.
const SHARE: u64 = 2;

/// A version in memory, with what is stored of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    state: State,
    snapshot_bytes: u64,
    layers: Vec<Layer>,
}

/// What changed of a state in some epochs in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Layer {
    changes: Rc<Delta>,
    bytes: u64,
}

/// What is to be stored of the next version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addition {
    /// The whole state.
    Snapshot,
    /// A layer in place of the newest ones.
    Layer {
        /// So many of the older layers stay.
        kept: usize,
        /// What is in it.
        changes: Delta,
    },
}

/// What leads back to the version before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    changes: Delta,
    snapshot_bytes: u64,
    layers: Vec<Layer>,
}

impl Stored {
    /// Takes in what was stored: the parts of a snapshot, none for the state that it is, and those of
    /// the layers over it.
    ///
    /// # Errors
    /// If anything is damaged, missing, or not at its place: which of the layers, or none for the
    /// snapshot.
    pub fn load(
        &mut self,
        snapshot: &[Bytes],
        layers: &[Vec<Bytes>],
    ) -> Result<(), (Option<usize>, CodecError)> {
        if !snapshot.is_empty() {
            let state = State::from_parts(snapshot).map_err(|error| (None, error))?;
            *self = Self { state, snapshot_bytes: size(snapshot), layers: Vec::new() };
        }
        for (number, parts) in layers.iter().enumerate() {
            let changes = Delta::from_parts(parts).map_err(|error| (Some(number), error))?;
            self.put_over(self.layers.len(), changes, size(parts));
        }
        Ok(())
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The state, to be changed as no epoch would: only for a planted bug.
    pub fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// What is to be stored for the version that comes of a change.
    #[must_use]
    pub fn next(&self, delta: &Delta) -> Addition {
        let mut kept = self.layers.len();
        if kept < LAYERS_MIN {
            return Addition::Layer { kept, changes: delta.clone() };
        }
        let mut bytes = delta.encoded_bytes();
        while let Some(layer) = kept.checked_sub(1).map(|place| &self.layers[place])
            && layer.bytes <= SHARE * bytes
        {
            bytes += layer.bytes;
            kept -= 1;
        }
        if kept == 0 && self.snapshot_bytes <= SHARE * bytes {
            return Addition::Snapshot;
        }
        let mut changes = Delta::default();
        let merged = self.layers[kept..].iter().map(|layer| &*layer.changes);
        merged.chain([delta]).for_each(|newer| changes.follow(newer));
        Addition::Layer { kept, changes }
    }

    /// Becomes the next version, and gives the parts of its snapshot, of at most so many bytes each.
    ///
    /// # Panics
    /// If there are more than 2^32 parts.
    pub fn replace(&mut self, delta: &Delta, bytes_max: usize) -> Vec<Bytes> {
        self.state.apply(delta);
        let parts = self.state.parts(bytes_max);
        self.layers.clear();
        self.snapshot_bytes = size(&parts);
        parts
    }

    /// Becomes the next version, of which a layer over the oldest ones is stored in so many bytes.
    pub fn put_over(&mut self, kept: usize, changes: Delta, bytes: u64) {
        // What older changes of the layer say is so already.
        self.state.apply(&changes);
        self.layers.truncate(kept);
        self.layers.push(Layer { changes: Rc::new(changes), bytes });
    }

    /// What leads back to this version from the one that comes of a change.
    #[must_use]
    pub fn undo(&self, delta: &Delta) -> Undo {
        let (changes, layers) = (self.state.undo(delta), self.layers.clone());
        Undo { changes, snapshot_bytes: self.snapshot_bytes, layers }
    }

    /// Becomes the version before again.
    pub fn go_back(&mut self, undo: Undo) {
        self.state.apply(&undo.changes);
        (self.snapshot_bytes, self.layers) = (undo.snapshot_bytes, undo.layers);
    }
}

fn size(parts: &[Bytes]) -> u64 {
    parts.iter().map(|part| part.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        pipeline::Value,
        state::{Entry, Held, Key},
    };

    fn change(numbers: impl Iterator<Item = u64>, due_ms: Option<u64>) -> Delta {
        let mut delta = Delta::default();
        for number in numbers {
            let group = vec![Value::Text(format!("key {number}").into())];
            let entry = due_ms.map(|due_ms| Entry { due_ms, held: Held::Seen });
            delta.changes.insert(Key { op: 0, group, input: 0, at_ms: number }, entry);
        }
        delta
    }

    /// Stored versions: the snapshot and the layers in parts.
    #[derive(Default)]
    struct Going {
        version: Stored,
        snapshot: Vec<Bytes>,
        layers: Vec<Vec<Bytes>>,
        written: u64,
    }

    impl Going {
        fn go_on(&mut self, delta: &Delta) {
            match self.version.next(delta) {
                Addition::Snapshot => {
                    self.snapshot = self.version.replace(delta, 1_000);
                    self.layers.clear();
                    self.written += size(&self.snapshot);
                }
                Addition::Layer { kept, changes } => {
                    let parts = changes.parts(1_000);
                    self.written += size(&parts);
                    self.version.put_over(kept, changes, size(&parts));
                    self.layers.truncate(kept);
                    self.layers.push(parts);
                }
            }
        }
    }

    fn sizes(stored: &Stored) -> (u64, Vec<u64>) {
        (stored.snapshot_bytes, stored.layers.iter().map(|layer| layer.bytes).collect())
    }

    #[test]
    fn what_is_stored_gives_the_version_back_after_every_epoch() {
        let (mut stored, mut want) = (Going::default(), State::default());
        for epoch in 0..200 {
            let fresh = change((epoch * 7 % 50..).take(3), Some(epoch));
            let mut delta = change(epoch % 11..epoch % 11 + epoch % 4, None);
            delta.follow(&fresh);
            let (before, undo) = (want.clone(), stored.version.undo(&delta));
            let sizes_before = sizes(&stored.version);
            want.apply(&delta);
            stored.go_on(&delta);
            assert_eq!(stored.version.state(), &want, "epoch {epoch}");
            let mut loaded = Stored::default();
            loaded.load(&stored.snapshot, &stored.layers).expect("sound");
            assert_eq!(loaded.state(), &want, "epoch {epoch}");
            assert_eq!(sizes(&loaded), sizes(&stored.version), "epoch {epoch}");
            loaded.go_back(undo);
            assert_eq!((loaded.state(), sizes(&loaded)), (&before, sizes_before), "{epoch}");
        }
        assert!(!stored.snapshot.is_empty());
    }

    #[test]
    fn what_an_epoch_writes_follows_what_it_changes_and_not_the_state() {
        let written = |entries: u64| {
            let mut stored = Going::default();
            stored.go_on(&change(0..entries, Some(0)));
            (0..LAYERS_MIN as u64).for_each(|at| stored.go_on(&change(at..at + 1, Some(1))));
            let before = stored.written;
            let mut changed = 0;
            for epoch in 0..1_000 {
                let delta = change((0..10).map(|one| (epoch * 10 + one) % entries), Some(epoch));
                changed += delta.encoded_bytes();
                stored.go_on(&delta);
                let layers = stored.layers.len() as u64;
                assert!(layers <= LAYERS_MIN as u64 + u64::from(entries.ilog2()), "{layers}");
            }
            (stored.written - before) / changed
        };
        let (small, large) = (written(1_000), written(100_000));
        assert!(large <= 2 * small && large < 20, "{small} and {large} times what changed");
    }

    #[test]
    fn a_damaged_layer_is_named() {
        let mut stored = Going::default();
        (0..3).for_each(|epoch| stored.go_on(&change(epoch..epoch + 140, Some(epoch))));
        stored.layers[1].pop();
        let loaded = Stored::default().load(&stored.snapshot, &stored.layers);
        let (layer, error) = loaded.expect_err("damaged");
        assert_eq!((layer, error), (Some(1), CodecError::Damaged));
    }
}

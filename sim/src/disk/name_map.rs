//! What names stand for, sorted by byte: in one piece, which most directories search, change and copy
//! faster than a tree.

use std::sync::Arc;

/// Values by name.
#[derive(Clone, Debug)]
pub(super) struct NameMap<T>(Vec<(Arc<str>, T)>);

impl<T> Default for NameMap<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> NameMap<T> {
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.place(name).ok().map(|place| &self.0[place].1)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Lets a name stand for `value`; gives what it stood for.
    pub(super) fn insert(&mut self, name: Arc<str>, value: T) -> Option<T> {
        match self.place(&name) {
            Ok(place) => Some(std::mem::replace(&mut self.0[place].1, value)),
            Err(place) => {
                self.0.insert(place, (name, value));
                None
            }
        }
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<(Arc<str>, T)> {
        self.place(name).ok().map(|place| self.0.remove(place))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &(Arc<str>, T)> {
        self.0.iter()
    }

    pub(super) fn retain(&mut self, mut stays: impl FnMut(&str, &T) -> bool) {
        self.0.retain(|(name, value)| stays(name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_sorted_and_each_stands_for_what_it_was_given_last() {
        let mut map = NameMap::default();
        for (value, name) in ["b", "a", "c", "ab", "a"].into_iter().enumerate() {
            let before = map.insert(Arc::from(name), value);
            assert_eq!(before, (value == 4).then_some(1));
        }
        let all = |map: &NameMap<usize>| {
            map.iter().map(|(name, value)| (name.to_string(), *value)).collect::<Vec<_>>()
        };
        let named = |all: &[(&str, usize)]| {
            all.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect::<Vec<_>>()
        };
        assert_eq!(all(&map), named(&[("a", 4), ("ab", 3), ("b", 0), ("c", 2)]));
        assert_eq!((map.get("ab"), map.get("bb")), (Some(&3), None));
        assert_eq!(map.remove("b"), Some((Arc::from("b"), 0)));
        assert_eq!(map.remove("b"), None);
        map.retain(|name, value| name != "ab" && *value != 2);
        assert_eq!(all(&map), named(&[("a", 4)]));
        assert!(map.contains("a") && !map.contains("c") && !map.is_empty());
    }
}

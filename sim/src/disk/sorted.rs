//! A map in one piece, sorted by key: what a disk holds of one kind is mostly so few that this is
//! searched, changed and copied faster than a tree.

use std::borrow::Borrow;

/// Values by key.
#[derive(Clone, Debug)]
pub(super) struct Sorted<K, V>(Vec<(K, V)>);

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> Sorted<K, V> {
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(known, _)| known.borrow().cmp(key))
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.place(key).ok().map(|place| &self.0[place].1)
    }

    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.place(key).ok().map(|place| &mut self.0[place].1)
    }

    pub(super) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).is_ok()
    }

    /// Lets a key stand for `value`; gives what it stood for.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.place(&key) {
            Ok(place) => Some(std::mem::replace(&mut self.0[place].1, value)),
            Err(place) => {
                self.0.insert(place, (key, value));
                None
            }
        }
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        self.place(key).ok().map(|place| self.0.remove(place))
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    pub(super) fn into_values(self) -> impl Iterator<Item = V> {
        self.0.into_iter().map(|(_, value)| value)
    }

    pub(super) fn retain(&mut self, mut stays: impl FnMut(&K, &V) -> bool) {
        self.0.retain(|(key, value)| stays(key, value));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn keys_stay_sorted_and_each_stands_for_what_it_was_given_last() {
        let mut map: Sorted<Arc<str>, u64> = Sorted::default();
        for (name, value) in ["b", "a", "c", "ab", "a"].into_iter().zip(0..) {
            let before = map.insert(Arc::from(name), value);
            assert_eq!(before, (value == 4).then_some(1));
        }
        let keys = |map: &Sorted<Arc<str>, _>| map.keys().map(|key| key.to_string()).collect();
        let all: Vec<String> = keys(&map);
        assert_eq!(all, ["a", "ab", "b", "c"]);
        assert_eq!(map.values().copied().collect::<Vec<_>>(), [4, 3, 0, 2]);
        assert_eq!((map.get("ab"), map.get("bb"), map.len()), (Some(&3), None, 4));
        *map.get_mut("c").expect("there") += 1;
        assert_eq!(map.remove("b"), Some((Arc::from("b"), 0)));
        assert_eq!(map.remove("b"), None);
        map.retain(|key, value| **key != *"ab" && *value != 3);
        let left: Vec<String> = keys(&map);
        assert_eq!(left, ["a"]);
        assert!(map.contains_key("a") && !map.contains_key("c") && !map.is_empty());
    }
}

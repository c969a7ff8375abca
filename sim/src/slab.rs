//! Values by place, and lines of them: what is under way, and what waits where it came to stand.
//!
//! A place is used again when its value was taken. Free places and lines are linked through the
//! places themselves, so that neither needs room of its own, and nothing moves.

use crate::state::FEW;

/// No place.
const NONE: u32 = u32::MAX;

/// Values by their place.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    /// The first free place; the others follow by their links.
    free: u32,
}

#[derive(Debug)]
struct Place<T> {
    value: Option<T>,
    next: u32,
}

/// Some values of a slab, first come first served.
#[derive(Debug)]
pub(crate) struct Line {
    first: u32,
    last: u32,
    len: usize,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { places: Vec::with_capacity(FEW), free: NONE }
    }

    #[inline(always)]
    pub(crate) fn keep(&mut self, value: T) -> u32 {
        if let Some(place) = self.places.get_mut(self.free as usize) {
            place.value = Some(value);
            return std::mem::replace(&mut self.free, place.next);
        }
        let place = u32::try_from(self.places.len()).expect("places are checked to be fewer");
        self.places.push(Place { value: Some(value), next: NONE });
        place
    }

    /// The value at a place.
    #[inline]
    pub(crate) fn at(&self, place: u32) -> &T {
        self.places[place as usize].value.as_ref().expect("it was kept and not taken")
    }

    #[inline]
    pub(crate) fn take(&mut self, at: u32) -> T {
        let place = &mut self.places[at as usize];
        place.next = std::mem::replace(&mut self.free, at);
        place.value.take().expect("it was kept and not taken")
    }

    /// Puts what stands at a place at the end of a line.
    #[inline]
    pub(crate) fn line_up(&mut self, line: &mut Line, place: u32) {
        if line.len == 0 {
            line.first = place;
        } else {
            self.places[line.last as usize].next = place;
        }
        line.last = place;
        line.len += 1;
    }

    /// The values of a line, in order.
    pub(crate) fn all(&self, line: &Line) -> impl Iterator<Item = &T> {
        let mut at = line.first;
        (0..line.len).map(move |_| {
            let place = at;
            at = self.places[place as usize].next;
            self.at(place)
        })
    }

    /// Takes the first value of a line, which must not be empty.
    #[inline(always)]
    pub(crate) fn take_first(&mut self, line: &mut Line) -> T {
        line.len -= 1;
        let at = line.first;
        let place = &mut self.places[at as usize];
        line.first = std::mem::replace(&mut place.next, self.free);
        self.free = at;
        place.value.take().expect("it was kept and not taken")
    }

    /// How many places there are, free ones included.
    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.places.len()
    }
}

impl Line {
    pub(crate) const fn new() -> Self {
        Self { first: NONE, last: NONE, len: 0 }
    }

    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_lines_keep_their_order() {
        let mut slab = Slab::new();
        let mut lines = [Line::new(), Line::new()];
        for round in 0..100 {
            for value in 0..6 {
                let place = slab.keep(round + value);
                slab.line_up(&mut lines[value % 2], place);
            }
            let alone = slab.keep(7);
            for (start, line) in lines.iter_mut().enumerate() {
                assert_eq!(line.len(), 3);
                let all: Vec<_> = slab.all(line).copied().collect();
                let taken = [0; 3].map(|_| slab.take_first(line));
                assert_eq!(taken, [round + start, round + start + 2, round + start + 4]);
                assert_eq!(all, taken);
                assert_eq!(line.len(), 0);
            }
            assert_eq!((*slab.at(alone), slab.take(alone)), (7, 7));
        }
        assert_eq!(slab.room(), 7);
    }
}

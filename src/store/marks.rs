//! Which marks of [`Batch::mark`](super::Batch::mark) were written of late, so that few are.

use super::Key;
use super::batch::MARKED;
use std::collections::HashMap;

/// Marks remembered at most; then all are forgotten, and the next of each kind is written again.
const MOST: usize = 1 << 16;

/// Marks of late. What is not remembered is written once more, which does no harm.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    places: HashMap<Key, Place>,
    remembered: usize,
}

/// What is remembered of one place.
#[derive(Debug, Default)]
struct Place {
    /// Appends since it is remembered.
    appends: u64,
    /// By where the marks lie: the appends when the last one was written.
    written: HashMap<Key, u64>,
}

impl Marks {
    /// Something was appended at a place.
    pub(crate) fn appended(&mut self, place: &Key) {
        if let Some(place) = self.places.get_mut(place) {
            place.appends += 1;
        }
    }

    /// Whether a mark has to be written for what was just appended at a place; it counts as written.
    pub(crate) fn needs(&mut self, place: Key, under: &Key) -> bool {
        if self.remembered >= MOST {
            self.clear();
        }
        let place = self.places.entry(place).or_default();
        match place.written.get_mut(under) {
            Some(at) if place.appends.saturating_sub(*at) < MARKED as u64 => false,
            Some(at) => {
                *at = place.appends;
                true
            }
            None => {
                place.written.insert(under.clone(), place.appends);
                self.remembered += 1;
                true
            }
        }
    }

    /// What is listed of a place from now on has marks from now on.
    pub(crate) fn forget(&mut self, place: &Key) {
        if let Some(place) = self.places.remove(place) {
            self.remembered = self.remembered.saturating_sub(place.written.len());
        }
    }

    /// Nothing is known of what was written.
    pub(crate) fn clear(&mut self) {
        *self = Marks::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::from(text)
    }

    /// What the marks so far lead to, as a reader finds it.
    #[test]
    fn every_append_that_is_listed_is_led_to() {
        let mut marks = Marks::default();
        // Of three kinds of appends at one place, one is not listed at all.
        let mut led: Vec<Vec<usize>> = vec![Vec::new(); 2];
        for n in 0..500_usize {
            let kind = n * n % 7 % 3;
            marks.appended(&key("place"));
            let Some(led) = led.get_mut(kind) else {
                continue;
            };
            if marks.needs(key("place"), &key(&kind.to_string())) {
                led.push(n);
            }
            assert!(led.iter().any(|mark| n - mark < MARKED), "{n}");
        }
        let written: usize = led.iter().map(Vec::len).sum();
        assert!(written < 200, "{written}");
    }

    #[test]
    fn what_is_forgotten_is_written_again() {
        let mut marks = Marks::default();
        let needs = |marks: &mut Marks| marks.needs(key("place"), &key("under"));
        assert!(needs(&mut marks) && !needs(&mut marks));
        marks.forget(&key("other"));
        assert!(!needs(&mut marks));
        marks.forget(&key("place"));
        assert_eq!(marks.remembered, 0);
        assert!(needs(&mut marks) && !needs(&mut marks));
        marks.clear();
        assert!(needs(&mut marks));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut marks = Marks::default();
        for n in 0..=MOST {
            assert!(marks.needs(key(&format!("p{}", n % 1000)), &key(&format!("u{n}"))));
            assert!(marks.remembered <= MOST);
        }
        assert_eq!(marks.remembered, 1);
    }
}

//! Typed parts of an owner: state that lives with an account and is loaded with it.

use std::any::{Any, TypeId};

use smallvec::SmallVec;

/// A piece of an account's state, owned by the account and touched only in its turn.
pub trait Part: Any + Send {}
impl<T: Any + Send> Part for T {}

/// The parts an account carries, at most one of each type.
#[derive(Default)]
pub struct Parts {
    entries: SmallVec<[(TypeId, Box<dyn Any + Send>); 3]>,
}

impl Parts {
    /// The part of this type, if it was loaded.
    pub fn find<T: Part>(&self) -> Option<&T> {
        self.entries
            .iter()
            .find(|(id, _)| *id == TypeId::of::<T>())
            .and_then(|(_, part)| part.downcast_ref())
    }

    /// The part of this type, to change.
    pub fn find_mut<T: Part>(&mut self) -> Option<&mut T> {
        self.entries
            .iter_mut()
            .find(|(id, _)| *id == TypeId::of::<T>())
            .and_then(|(_, part)| part.downcast_mut())
    }

    /// Adds or replaces a part.
    pub fn put<T: Part>(&mut self, part: T) {
        let id = TypeId::of::<T>();
        self.entries.retain(|(known, _)| *known != id);
        self.entries.push((id, Box::new(part)));
    }

    /// Removes a part.
    pub fn take<T: Part>(&mut self) -> Option<T> {
        let at = self
            .entries
            .iter()
            .position(|(id, _)| *id == TypeId::of::<T>())?;
        let (_, part) = self.entries.swap_remove(at);
        part.downcast().ok().map(|part| *part)
    }

    /// The part of this type, made with its default when absent.
    pub fn of<T: Part + Default>(&mut self) -> Option<&mut T> {
        if self.find::<T>().is_none() {
            self.put(T::default());
        }
        self.find_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_by_its_type_and_replaced_by_a_second() {
        let mut parts = Parts::default();
        assert!(parts.find::<u32>().is_none());
        parts.put(1u32);
        parts.put("x".to_owned());
        parts.put(2u32);
        assert_eq!(parts.find::<u32>(), Some(&2));
        assert_eq!(parts.take::<String>().as_deref(), Some("x"));
        assert!(parts.find::<String>().is_none());
        assert_eq!(parts.of::<u64>(), Some(&mut 0));
    }
}

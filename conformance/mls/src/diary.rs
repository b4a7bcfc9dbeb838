//! What a device remembers of all it went through.

use std::collections::BTreeMap;

use crate::member::{Heard, Place};
use crate::post::Entry;

/// What a message in the order was for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// Its own.
    Own,
    /// Its own commit by which it joined.
    Entered,
    /// One that it read.
    Heard(Heard),
    /// One that it could not read, and why.
    Sealed(String),
}

/// What a device went through.
#[derive(Clone, Debug, Default)]
pub struct Diary {
    /// Who it is.
    pub identity: String,
    /// Every message that came, in the order in which it came.
    pub pages: Vec<(Entry, Page)>,
    /// Every epoch that it was in.
    pub places: BTreeMap<u64, Place>,
    /// The texts it wrote that have a place in the order, with the epochs.
    pub said: Vec<(u64, String)>,
    /// The index in the pages where it was removed.
    pub removed: Option<usize>,
    /// How many of its commits came too late.
    pub beaten: usize,
    /// How often its connection was lost.
    pub lost: usize,
}

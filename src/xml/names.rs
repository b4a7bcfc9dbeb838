//! The names of one tree, each stored once.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};

/// A piece of the tree's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Span {
    pub(super) fn of(self, text: &str) -> &str {
        let start = self.start as usize;
        text.get(start..start + self.len as usize)
            .unwrap_or_default()
    }

    /// Appends `piece` to `text`. Offsets are 32 bits: a tree is far below 4 GiB, since what is read is bounded; what
    /// would not fit is left out.
    pub(super) fn append(text: &mut String, piece: &str) -> Self {
        let (Ok(start), Ok(len)) = (u32::try_from(text.len()), u32::try_from(piece.len())) else {
            return Self::default();
        };
        if start.checked_add(len).is_none() {
            return Self::default();
        }
        text.push_str(piece);
        Self { start, len }
    }
}

/// An expanded name, with the prefix an attribute of that name was seen with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    pub(super) local: Span,
    pub(super) ns: Span,
    pub(super) prefix: Span,
    /// The element that had it as an attribute last: duplicates are found with it.
    last: u32,
    /// See [`tag`].
    tag: u32,
}

impl Name {
    const fn new(local: Span, ns: Span, tag: u32) -> Self {
        let prefix = Span { start: 0, len: 0 };
        Self {
            local,
            ns,
            prefix,
            last: u32::MAX,
            tag,
        }
    }
}

/// Length, first and last byte of a local name: tells most different names apart.
fn tag(local: &str) -> u32 {
    let bytes = local.as_bytes();
    let ends = [bytes.first(), bytes.last()].map(|byte| byte.map_or(0, |&b| u32::from(b)));
    let [first, last] = ends;
    (bytes.len() as u32) << 16 | first << 8 | last
}

/// Whether two pieces are equal; quick for the short ones that names and prefixes are.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.as_bytes().first() == b.as_bytes().first() && (a.len() < 2 || a == b)
}

/// The names of one tree. Equal names have equal numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    list: Vec<Name>,
    /// Only for trees with many names.
    index: Option<Box<Index>>,
}

/// From here on names are found by hash.
const INDEXED_FROM: usize = 24;

impl Names {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            list: Vec::with_capacity(capacity),
            index: None,
        }
    }

    pub(super) fn at(&self, number: u32) -> Name {
        self.list.get(number as usize).copied().unwrap_or(Name::new(
            Span::default(),
            Span::default(),
            0,
        ))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let index = self.index.as_ref().map_or(0, |index| index.heap_bytes());
        self.list.capacity() * size_of::<Name>() + index
    }

    /// Bytes in use, without spare capacity.
    pub(super) fn used_bytes(&self) -> usize {
        self.list.len() * size_of::<Name>()
    }

    /// Gives the index and unused memory back.
    pub(super) fn finish(&mut self) {
        self.index = None;
        if self.list.capacity() > self.list.len() + INDEXED_FROM {
            self.list.shrink_to_fit();
        }
    }

    /// Where `ns` is stored in `text`, stored there first if it is new: equal namespaces have equal spans. A name with
    /// it has to be interned next.
    pub(super) fn namespace(&mut self, ns: &str, text: &mut String) -> Span {
        if ns.is_empty() {
            return Span::default();
        }
        match &mut self.index {
            Some(index) => match index.spaces.get(ns) {
                Some(span) => *span,
                None => {
                    let span = Span::append(text, ns);
                    index.spaces.insert(ns.into(), span);
                    span
                }
            },
            None => {
                let has = |name: &&Name| name.ns.len as usize == ns.len() && name.ns.of(text) == ns;
                let known = self.list.iter().find(has);
                known.map_or_else(|| Span::append(text, ns), |name| name.ns)
            }
        }
    }

    /// The number of a name whose namespace is stored already, added if it is new. `prefix` is kept with the first
    /// attribute of that name.
    pub(super) fn intern(&mut self, local: &str, ns: Span, prefix: &str, text: &mut String) -> u32 {
        let number = match self.find(local, ns, text) {
            Some(number) => number,
            None => {
                let name = Name::new(Span::append(text, local), ns, tag(local));
                self.push(name, text)
            }
        };
        if !prefix.is_empty()
            && let Some(name) = self.list.get_mut(number as usize)
            && name.prefix.len == 0
        {
            name.prefix = Span::append(text, prefix);
        }
        number
    }

    /// Whether this is the first attribute called `number` on the element at `place`; ask in the order of the tape.
    pub(super) fn first_on(&mut self, number: u32, place: u32) -> bool {
        match self.list.get_mut(number as usize) {
            Some(name) => std::mem::replace(&mut name.last, place) != place,
            None => false,
        }
    }

    fn find(&self, local: &str, ns: Span, text: &str) -> Option<u32> {
        let tag = tag(local);
        let same = |name: &Name| name.tag == tag && name.ns == ns && name.local.of(text) == local;
        match &self.index {
            Some(index) => index.find(index.hash(local, ns), |n| same(&self.at(n))),
            None => self
                .list
                .iter()
                .position(same)
                .and_then(|n| u32::try_from(n).ok()),
        }
    }

    fn push(&mut self, name: Name, text: &str) -> u32 {
        let number = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(name);
        match &mut self.index {
            Some(index) if index.has_room() => {
                index.insert(index.hash(name.local.of(text), name.ns), number);
            }
            Some(_) => self.rebuild(text),
            None if self.list.len() > INDEXED_FROM => self.rebuild(text),
            None => {}
        }
        number
    }

    fn rebuild(&mut self, text: &str) {
        let spaces = match self.index.take() {
            Some(index) => index.spaces,
            None => {
                let spaces: BTreeMap<u32, Span> = self
                    .list
                    .iter()
                    .map(|name| (name.ns.start, name.ns))
                    .collect();
                let named = |span: Span| (span.of(text).into(), span);
                spaces
                    .into_values()
                    .filter(|span| span.len > 0)
                    .map(named)
                    .collect()
            }
        };
        let mut index = Index::new(self.list.len(), spaces);
        for (number, name) in (0u32..).zip(&self.list) {
            index.insert(index.hash(name.local.of(text), name.ns), number);
        }
        self.index = Some(Box::new(index));
    }
}

/// Numbers of names by hash: open addressing, at most half full. Keyed at random, since peers choose the names.
#[derive(Debug, Clone)]
struct Index {
    slots: Vec<u32>,
    used: usize,
    keys: RandomState,
    /// Where every namespace is stored.
    spaces: HashMap<Box<str>, Span>,
}

const FREE: u32 = u32::MAX;

impl Index {
    fn new(names: usize, spaces: HashMap<Box<str>, Span>) -> Self {
        let slots = vec![FREE; (names * 4).next_power_of_two()];
        Self {
            slots,
            used: 0,
            keys: RandomState::new(),
            spaces,
        }
    }

    fn heap_bytes(&self) -> usize {
        let spaces: usize = self.spaces.keys().map(|ns| ns.len() + 32).sum();
        size_of::<Self>() + self.slots.capacity() * 4 + spaces
    }

    fn has_room(&self) -> bool {
        self.used * 2 < self.slots.len()
    }

    fn hash(&self, local: &str, ns: Span) -> usize {
        self.keys.hash_one((local, ns.start)) as usize
    }

    fn probe(&self, hash: usize) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots.len().wrapping_sub(1);
        (0..self.slots.len()).map(move |step| hash.wrapping_add(step) & mask)
    }

    fn find(&self, hash: usize, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        self.probe(hash)
            .map_while(|at| self.slots.get(at).copied().filter(|&number| number != FREE))
            .find(|&number| same(number))
    }

    fn insert(&mut self, hash: usize, number: u32) {
        let free = self
            .probe(hash)
            .find(|&at| self.slots.get(at) == Some(&FREE));
        if let Some(slot) = free.and_then(|at| self.slots.get_mut(at)) {
            *slot = number;
            self.used += 1;
        }
    }
}

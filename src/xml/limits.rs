//! What a peer may make us hold while reading.

/// Bounds of what is read, all inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one top-level element or of the stream header.
    pub stanza_bytes: usize,
    /// Nesting, the top-level element being 1.
    pub depth: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes: usize,
    /// Namespace declarations in force at one place, those of the stream header not counted; likewise in the header. (Not
    /// in all: an answer may list hundreds of items, each with its own declaration.)
    pub namespaces: usize,
    /// Bytes of one name as written, prefix included.
    pub name_bytes: usize,
    /// Times its bytes that an element may take as a tree, and twice as often when written out again (the same
    /// namespace may have to be declared many times). The first 4 kB are free.
    pub parsed_factor: usize,
}

impl Limits {
    /// For what was stored: it had passed the limits when it came in, and writing it declares namespaces anew.
    pub const STORED: Limits = Limits {
        stanza_bytes: usize::MAX,
        depth: 1_000,
        attributes: 10_000,
        namespaces: 100_000,
        name_bytes: 10_000,
        parsed_factor: 1_000,
    };

    /// The standing limits with another bound on `stanza_bytes`.
    pub const fn new(stanza_bytes: usize) -> Self {
        Self {
            stanza_bytes,
            depth: 100,
            attributes: 256,
            namespaces: 64,
            name_bytes: 1024,
            parsed_factor: 4,
        }
    }
}

impl Default for Limits {
    /// What holds after login: 256 KiB.
    fn default() -> Self {
        Self::new(256 * 1024)
    }
}

//! One step on the tape of a tree, packed into 12 bytes.

use super::names::Span;

/// A step on the tape. An element's attributes follow its `Open`, then its contents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// The kind in the two highest bits, the number of the name in the others.
    head: u32,
    a: u32,
    b: u32,
}

/// A node unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// An element; `len` counts the nodes that belong to it, itself included; `attrs` those of them that are its
    /// own attributes.
    Open {
        name: u32,
        len: u32,
        attrs: u32,
    },
    Attr {
        name: u32,
        value: Span,
    },
    Text(Span),
}

const NAME: u32 = (1 << 30) - 1;
const ATTR: u32 = 1 << 30;
const TEXT: u32 = 1 << 31;

impl Node {
    pub(super) const fn open(name: u32, len: u32, attrs: u32) -> Self {
        Self {
            head: name & NAME,
            a: len,
            b: attrs,
        }
    }

    pub(super) const fn attr(name: u32, value: Span) -> Self {
        Self {
            head: ATTR | (name & NAME),
            a: value.start,
            b: value.len,
        }
    }

    pub(super) const fn text(text: Span) -> Self {
        Self {
            head: TEXT,
            a: text.start,
            b: text.len,
        }
    }

    pub(super) const fn view(self) -> View {
        let span = Span {
            start: self.a,
            len: self.b,
        };
        match self.head & !NAME {
            0 => View::Open {
                name: self.head & NAME,
                len: self.a,
                attrs: self.b,
            },
            ATTR => View::Attr {
                name: self.head & NAME,
                value: span,
            },
            _ => View::Text(span),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_small_and_keeps_its_parts() {
        assert!(size_of::<Node>() <= 16);
        let value = Span {
            start: 7,
            len: u32::MAX,
        };
        assert_eq!(
            Node::open(NAME, 2, 3).view(),
            View::Open {
                name: NAME,
                len: 2,
                attrs: 3
            }
        );
        assert_eq!(Node::attr(5, value).view(), View::Attr { name: 5, value });
        assert_eq!(Node::text(value).view(), View::Text(value));
    }
}

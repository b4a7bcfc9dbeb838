//! Bounds of nodes that are about others.

use crate::config::Bytes;
use crate::settings;

settings! {
    /// Nodes that are about others: what is attached to items (XEP-0470), and nodes that extend others or are below them
    /// (XEP-0496).
    pub struct Related {
        /// Items of one node that something is attached to.
        pub attached: u32 = 10_000 => within(1..=1_000_000);
        /// What one entity attaches to one item.
        pub attachment: Bytes = Bytes::kib(16) => within(Bytes::kib(1)..=Bytes::mib(1));
        /// Reactions of one entity to one item.
        pub reactions: u32 = 32 => within(1..=1_000);
        /// Different reactions of all to one item.
        pub different: u32 = 256 => within(1..=10_000);
        /// Levels of a tree of nodes.
        pub depth: u32 = 20 => within(1..=100);
        /// Nodes that depend on one, those included that depend on them.
        pub dependent: u32 = 1_000 => within(1..=10_000);
        /// Nodes looked at for one list of what depends on a node (XEP-0499), and items of each of them.
        pub listed: u32 = 2_000 => within(10..=100_000);
    }
}

//! Spaces: the first byte of every key, which says what kind of thing it names.

use std::fmt;

/// A kind of stored thing; the first byte of its keys. Numbers are part of the format on disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Space(pub u8);

/// Which tree of an engine holds a space, where an engine has several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tree {
    /// Small, often read.
    Main,
    /// Large values in the order of time: messages and published items.
    Bulk,
    /// Append-only.
    Log,
}

macro_rules! spaces {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        impl Space {
            $($(#[$doc])* pub const $name: Space = Space($number);)*

            /// The name of a built-in space.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

spaces! {
    /// name → schema version, sequences, registry of module spaces. The store's own.
    META = 0x01;
    /// host, user → uid, credentials, flags.
    ACCOUNT = 0x10;
    /// uid → host, user.
    ACCOUNT_BY_ID = 0x11;
    /// uid → time, status. Relaxed.
    LAST_ACTIVITY = 0x12;
    /// uid, space, what → bytes or entries used of a space with a quota (a counter).
    ACCOUNT_USAGE = 0x13;
    /// uid → host, user of a removed account whose data is being removed; host, user → uid while its contacts are told.
    ERASURE = 0x14;
    /// uid, name → what an account chose for itself.
    ACCOUNT_CHOICE = 0x15;
    /// host, hashes with rounds and length of salt → accounts with such keys (a counter); empty → nothing: they are counted.
    ACCOUNT_LOOK = 0x16;
    /// uid, jid → name, groups, subscription, ask, approved, ver.
    ROSTER = 0x20;
    /// uid → ver.
    ROSTER_VERSION = 0x21;
    /// uid, ver → jid.
    ROSTER_LOG = 0x22;
    /// uid, jid → nothing.
    BLOCK_LIST = 0x25;
    /// uid, namespace, name → XML.
    PRIVATE_XML = 0x28;
    /// uid → XML, avatar hash.
    PROFILE = 0x29;
    /// uid, mid → what no client has taken yet: an index into [`Space::LOG`].
    UNDELIVERED = 0x30;
    /// domain pair, mid → stanza a peer has not acknowledged.
    OUTBOX = 0x32;
    /// uid, mid → one message of the account's log, which is its archive.
    LOG = 0x40;
    /// uid, hash64(contact), mid → nothing: marks of what is in [`Space::LOG`].
    LOG_BY_CONTACT = 0x41;
    /// uid → rules.
    LOG_PREFERENCES = 0x43;
    /// uid → bytes of the log up to an id.
    LOG_MEASURED = 0x44;
    /// service, room → rid, and what the list of rooms shows.
    ROOM = 0x50;
    /// rid → address, configuration, subject.
    ROOM_CONFIG = 0x51;
    /// rid, jid → affiliation, nick.
    ROOM_MEMBER = 0x52;
    /// rid, mid → one message of the room's history.
    ROOM_LOG = 0x53;
    /// rid → bytes of the room's history (a counter).
    ROOM_TOTALS = 0x54;
    /// rid → vCard of the room.
    ROOM_PROFILE = 0x55;
    /// rid, number → who became what to the room.
    ROOM_CHANGE = 0x56;
    /// service, room, jid → nick of a client of another server that is in the room. Relaxed.
    ROOM_GUEST = 0x57;
    /// rid, what, jid → the order of the room's encrypted group, who takes part in it, its state.
    ROOM_GROUP = 0x58;
    /// rid, jid → nick of who stays in the room by its bare address, since when.
    ROOM_STAY = 0x59;
    /// jid, room → rid, since when and until when it stays there.
    PERSON_STAY = 0x5a;
    /// owner, name → number of the node, its configuration.
    NODE = 0x60;
    /// owner, number, place → one item: id, publisher, time, payload.
    NODE_ITEM = 0x61;
    /// owner, number, item id → its place.
    NODE_ITEM_PLACE = 0x62;
    /// owner, number, jid → subscription.
    NODE_SUBSCRIPTION = 0x63;
    /// owner, number, jid → affiliation.
    NODE_AFFILIATION = 0x64;
    /// owner, number → places, counts and bytes of the node.
    NODE_TOTALS = 0x65;
    /// owner, jid, kind, number → name of a node that the jid is subscribed to or affiliated with.
    NODE_TIE = 0x66;
    /// owner, number, place → nothing: what the node had below this place is to be erased; all of it, if it is the last place there can be.
    NODE_GONE = 0x67;
    /// owner, what, jid → how much is used (a counter).
    NODE_USAGE = 0x68;
    /// owner, number, relation, name → nothing: the node of this name has this relation to that one.
    NODE_BELOW = 0x6a;
    /// domain of a service → number of the owner of its nodes, and back.
    NODE_HOST = 0x69;
    /// file → whose, name, size, type, hash, end; host → bytes of all files (a counter); account, uid → nothing: it has files.
    UPLOAD = 0x70;
    /// uid, file → nothing. It goes after the file, which the account's number leads to when there is no account any more.
    UPLOAD_BY_ACCOUNT = 0x71;
    /// uid → bytes, files, slots, bytes of the day.
    UPLOAD_USAGE = 0x72;
    /// uid, hash64(service, node) → form, secret, resource.
    PUSH = 0x74;
    /// invitation → kind, inviter, name, end; host, name → until when a name is kept for who is invited; host → how many (a counter).
    INVITE = 0x78;
    /// uid, invitation → nothing.
    INVITE_BY_ACCOUNT = 0x79;
    /// uid, client id → what the client's tokens are derived from, their counters and ends.
    AUTH_TOKEN = 0x7a;
    /// service, key → what an owner of the service keeps while it is not in memory.
    SERVICE_OWNER = 0xb0;
    /// uid, what, resumption id or resource → how much of a session was handled; a session over a restart.
    RESUME = 0x7c;
    /// index → leaf of the key log.
    KEY_LEAF = 0x80;
    /// level, index → hash.
    KEY_HASH = 0x81;
    /// label → newest index.
    KEY_LABEL = 0x82;
    /// size → signed head.
    KEY_HEAD = 0x83;
    /// mid → report.
    REPORT = 0x90;
    /// mid → audit entry.
    AUDIT = 0x91;
    /// domain → dialback secret, pinned keys, retry state.
    DOMAIN = 0xa0;
    /// space, minute (u32), key → nothing: what ends when, in queues.
    EXPIRY = 0xf0;
}

impl Space {
    /// The first of the spaces handed out to modules by name.
    pub(crate) const MODULES: std::ops::RangeInclusive<u8> = 0xc0..=0xef;

    /// All 256 numbers, in order.
    pub fn all() -> impl Iterator<Item = Space> {
        (0..=u8::MAX).map(Space)
    }

    pub(crate) fn tree(self) -> Tree {
        match self {
            Space::LOG | Space::ROOM_LOG | Space::NODE_ITEM => Tree::Bulk,
            Space(0x80..=0x91) => Tree::Log,
            _ => Tree::Main,
        }
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#04x}", self.0),
        }
    }
}

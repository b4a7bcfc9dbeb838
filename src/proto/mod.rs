//! Values of XMPP without I/O: addresses, stanzas, errors, namespaces, small payloads.

pub mod caps;
pub mod datetime;
pub mod delay;
pub mod disco;
pub mod error;
pub mod form;
pub mod forward;
pub mod hints;
pub mod jid;
pub mod mam;
pub mod ns;
pub mod rsm;
pub mod stanza;
pub mod uri;

pub use error::{Condition, ErrorType, StanzaError, StreamCondition, StreamError};
pub use jid::{Jid, JidError};
pub use stanza::{IqType, Kind, MessageType, PresenceType, Stanza};

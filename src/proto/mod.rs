//! Values of XMPP without I/O: addresses, stanzas, errors, namespaces, small payloads.

pub mod error;
pub mod jid;
pub mod ns;

pub use error::{Condition, ErrorType, StanzaError, StreamCondition, StreamError};
pub use jid::{Jid, JidError};

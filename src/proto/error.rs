//! Stanza errors (RFC 6120 §8.3) and stream errors (RFC 6120 §4.9).

mod stanza;
mod stream;

pub use stanza::{Condition, ErrorType, StanzaError};
pub use stream::{StreamCondition, StreamError};

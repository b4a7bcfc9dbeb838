//! XEP-0227: Portable Import/Export Format for XMPP-IM Servers (1.1)
//!
//! Left out, and told of when they come: rules of privacy lists that XEP-0191 does not know.

mod act;
mod import;
mod read;
mod stored;
mod write;

pub use act::COMMANDS;
pub use read::{Piece, PieceReader, ReadError};

const PIE: &str = "urn:xmpp:pie:0";
const SCRAM: &str = "urn:xmpp:pie:0#scram";
const MAM: &str = "urn:xmpp:pie:0#mam";
const XINCLUDE: &str = "http://www.w3.org/2001/XInclude";
const PRIVACY: &str = "jabber:iq:privacy";
/// Our own: why an account is disabled.
const DISABLED: &str = "waxwing:account:0";

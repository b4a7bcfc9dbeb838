//! STARTTLS (RFC 6120 §5).

use super::input::Action;
use super::out::Out;
use crate::proto::ns;
use crate::xml::{El, Element};

/// Answers `<starttls/>`; true if TLS begins now. Whatever the peer sent after it is thrown away by the driver
/// ([`Action::Secure`]), so nothing from before the handshake can be taken for something from after it.
pub(super) fn answer(request: El<'_>, offered: bool, out: &mut Out<'_>) -> bool {
    let well_formed = request.name() == "starttls" && request.contents().next().is_none();
    if !offered || !well_formed {
        out.element(&Element::new("failure", ns::TLS));
        return false;
    }
    out.element(&Element::new("proceed", ns::TLS));
    out.push(Action::Secure);
    true
}

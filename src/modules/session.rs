//! RFC 3921 §3: Session Establishment, a request of old clients that does nothing

use std::sync::Arc;

use crate::hooks::{Deps, Info, Module, ModuleError, Registrar, Reply, To, Verb};
use crate::proto::ns;
use crate::settings;

settings! {
    /// Answers the session request of old clients.
    pub struct Config {}
}

/// Says yes.
pub struct Session;

impl Module for Session {
    const INFO: Info = Info {
        name: "session",
        specs: &[("RFC 3921", "")],
        doc: "Old clients may establish a session after binding; nothing happens.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(_: Config, _: &Deps) -> Result<Self, ModuleError> {
        Ok(Session)
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        const SESSION: (&str, &str) = (ns::SESSION, "session");
        r.host_iq(Verb::Set, SESSION, |_| Reply::done());
        r.account_iq(To::OwnAccount, Verb::Set, SESSION, |_, _| Reply::done());
    }
}

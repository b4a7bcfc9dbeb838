//! XEP-0115: Entity Capabilities (1.6.0), with XEP-0390 (0.3.2): the server's own, in stream features

use std::sync::{Arc, OnceLock};

use crate::hooks::{Deps, Info, Module, ModuleError, Registrar, To};
use crate::proto::{caps, ns};
use crate::settings;
use crate::stream::tables::Stage;
use crate::xml::Element;

settings! {
    /// Lets clients skip asking what they know of the server already.
    pub struct Config {}
}

/// Announces the hash of what disco tells of the host.
pub struct Caps {
    elements: OnceLock<[Option<Element>; 2]>,
}

impl Module for Caps {
    const INFO: Info = Info {
        name: "caps",
        specs: &[("XEP-0115", "1.6.0"), ("XEP-0390", "0.3.2")],
        doc: "The server's capabilities as a hash that clients can cache.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(_: Config, _: &Deps) -> Result<Self, ModuleError> {
        Ok(Caps {
            elements: OnceLock::new(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::Host, ns::CAPS);
        r.feature(To::Host, ns::CAPS2);
        for which in 0..2 {
            let this = self.clone();
            r.stream_feature(Stage::Authenticated, move |_| {
                this.elements.get()?.get(which)?.clone()
            });
        }
        r.frozen(move |tables| {
            let info = tables.disco(To::Host).cloned().unwrap_or_default();
            let _ = self.elements.set([
                Some(caps::element(&info, caps::NODE)),
                caps::element2(&info),
            ]);
        });
    }
}

//! XEP-0202: Entity Time (2.0)

use std::sync::Arc;

use crate::hooks::{Deps, Info, Module, ModuleError, Registrar, To, Verb};
use crate::proto::{datetime, ns};
use crate::runtime::clock::Clock;
use crate::settings;
use crate::xml::Element;

settings! {
    /// Tells the server's time.
    pub struct Config {}
}

/// Answers with the time, in UTC.
pub struct Time {
    clock: Clock,
}

impl Module for Time {
    const INFO: Info = Info {
        name: "time",
        specs: &[("XEP-0202", "2.0")],
        doc: "What time is it at the server?",
        on_by_default: true,
    };
    type Config = Config;

    fn build(_: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(Time {
            clock: deps.clock.clone(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::Host, ns::TIME);
        r.host_iq(Verb::Get, (ns::TIME, "time"), move |_| self.now().into());
    }
}

impl Time {
    fn now(&self) -> Element {
        let utc = datetime::format(self.clock.wall());
        Element::new("time", ns::TIME)
            .with_child(Element::new("tzo", ns::TIME).with_text("+00:00"))
            .with_child(Element::new("utc", ns::TIME).with_text(&utc))
    }
}

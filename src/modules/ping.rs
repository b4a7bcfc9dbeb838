//! XEP-0199: XMPP Ping (2.0.1)

use std::sync::Arc;

use crate::hooks::{Deps, Info, Module, ModuleError, Registrar, Reply, To, Verb};
use crate::proto::ns;
use crate::proto::stanza::{IqType, Stanza};
use crate::runtime::random;
use crate::settings;
use crate::xml::Element;

settings! {
    /// Answers pings, and asks silent clients whether they are there.
    pub struct Config {}
}

/// Answers pings to the host and to one's own account; asks silent clients.
pub struct Ping;

impl Module for Ping {
    const INFO: Info = Info {
        name: "ping",
        specs: &[("XEP-0199", "2.0.1")],
        doc: "Ping: is the other side there?",
        on_by_default: true,
    };
    type Config = Config;

    fn build(_: Config, _: &Deps) -> Result<Self, ModuleError> {
        Ok(Ping)
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        const PING: (&str, &str) = (ns::PING, "ping");
        r.feature(To::Host, ns::PING);
        r.feature(To::OwnAccount, ns::PING);
        r.host_iq(Verb::Get, PING, |_| Reply::done());
        r.account_iq(To::OwnAccount, Verb::Get, PING, |_, _| Reply::done());
        let host = r.host().clone();
        r.probe(move |client| {
            Stanza::iq(IqType::Get)
                .with_from(host.clone())
                .with_to(client.clone())
                .with_id(random::id())
                .with_child(Element::new("ping", ns::PING))
        });
    }
}

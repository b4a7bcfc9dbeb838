//! XEP-0490: Message Displayed Synchronization (1.0.1), with the server's help

use std::sync::Arc;

use crate::hooks::{
    Deps, Envelope, Floor, Info, Module, ModuleError, Path, Phase, Registrar, To, Turn, Verdict,
};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::ns;
use crate::settings;
use crate::state::own_nodes::{OwnNodes, PRIVATE};

settings! {
    /// A person's clients know from each other what was read; one message tells contacts and them.
    pub struct Config {}
}

/// Publishes what was read.
pub struct Displayed {
    floor: Arc<dyn Floor>,
}

impl Module for Displayed {
    const INFO: Info = Info {
        name: "displayed",
        specs: &[("XEP-0490", "1.0.1")],
        doc: "What was read on one client is read on all.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(_: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(Displayed {
            floor: deps.floor.clone(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::OwnAccount, ns::MDS_ASSIST);
        r.message(Path::FromClient, Phase::Amend, move |envelope, turn| {
            self.assist(envelope, turn)
        });
    }
}

impl Displayed {
    /// §4.5.3: what is for the account's own clients goes to its node, and no further.
    fn assist(&self, envelope: &mut Envelope, turn: &mut Turn<'_>) -> Verdict {
        let Some(displayed) = envelope.stanza.child("displayed", ns::MDS) else {
            return Verdict::Continue;
        };
        let displayed = displayed.to_element();
        let stanza = envelope.amend();
        stanza.retain_children(|child| !child.is("displayed", ns::MDS));
        if stanza.payload().is_none() {
            let error = StanzaError::from(Condition::BadRequest);
            return Verdict::Bounce(error.with_text("There is nothing else in this message"));
        }
        let chat = envelope.to.bare();
        if turn.account.guest || chat == turn.account.jid {
            return Verdict::Continue;
        }
        let own = OwnNodes::new(&self.floor, &turn.account.jid);
        turn.after_commit(move |_| {
            tokio::spawn(async move {
                let published = own.publish(ns::MDS, chat.as_str(), displayed, PRIVATE);
                if let Err(error) = published.await {
                    tracing::debug!(%error, "the clients of an account do not hear what was read");
                }
            });
        });
        Verdict::Continue
    }
}

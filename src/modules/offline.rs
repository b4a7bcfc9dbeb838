//! XEP-0160: Best Practices for Handling Offline Messages (1.0.1)
//!
//! The server's own delivery keeps what nobody took in the recipient's log; this module announces
//! it and is where its policy per host is set.

use std::sync::Arc;

use crate::hooks::{
    Deps, Envelope, Info, Module, ModuleError, Path, Phase, Registrar, To, Turn, Verdict,
};
use crate::proto::error::Condition;
use crate::proto::stanza::{Kind, MessageType};
use crate::settings;

settings! {
    /// Messages for accounts that are away.
    pub struct Config {
        /// Keep them until the account comes back; without it the sender gets an error.
        pub keep: bool = true;
    }
}

/// Announces offline messages, or refuses them.
pub struct Offline {
    keep: bool,
}

impl Module for Offline {
    const INFO: Info = Info {
        name: "offline",
        specs: &[("XEP-0160", "1.0.1"), ("XEP-0203", "2.0")],
        doc: "Messages wait for accounts that are away.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, _: &Deps) -> Result<Self, ModuleError> {
        Ok(Offline { keep: config.keep })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        if self.keep {
            r.feature(To::Host, "msgoffline");
        } else {
            r.message(Path::ToClient, Phase::Check, refuse_for_the_absent);
        }
    }
}

fn refuse_for_the_absent(envelope: &mut Envelope, turn: &mut Turn<'_>) -> Verdict {
    let Kind::Message(kind @ (MessageType::Chat | MessageType::Normal)) = envelope.stanza.kind
    else {
        return Verdict::Continue;
    };
    let present = turn.account.resource(&envelope.to).is_some()
        || turn
            .account
            .available()
            .any(|session| session.priority >= 0);
    if present || !envelope.facts.storable(kind) {
        Verdict::Continue
    } else {
        Verdict::Bounce(Condition::ServiceUnavailable.into())
    }
}

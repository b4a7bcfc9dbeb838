//! XEP-0441: Message Archive Management Preferences (0.2.0)

use std::sync::Arc;

use crate::hooks::{Deps, Info, Module, ModuleError, Registrar, Reply, Request, To, Turn, Verb};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::state::log::{DefaultRule, Preferences};
use crate::xml::{El, Element};
use crate::{choice, settings};

choice! {
    /// What is archived for accounts that have set nothing.
    pub enum Rule {
        /// Everything.
        Always = "always",
        /// What is exchanged with contacts.
        Roster = "roster",
        /// Nothing.
        Never = "never",
    }
}

settings! {
    /// Accounts say with whom their messages are archived.
    pub struct Config {
        /// What is archived for accounts that have not said what they want.
        pub default: Rule = Rule::Always;
        /// Addresses on each of the two lists of an account.
        pub addresses: u32 = 500 => within(1..=10_000);
    }
}

/// Answers what an account prefers, and takes it.
pub struct ArchivePreferences {
    default: DefaultRule,
    most: usize,
}

impl Module for ArchivePreferences {
    const INFO: Info = Info {
        name: "archive_preferences",
        specs: &[("XEP-0441", "0.2.0")],
        doc: "Accounts say with whom their messages are archived.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, _: &Deps) -> Result<Self, ModuleError> {
        Ok(ArchivePreferences {
            default: match config.default {
                Rule::Always => DefaultRule::Always,
                Rule::Roster => DefaultRule::Roster,
                Rule::Never => DefaultRule::Never,
            },
            most: config.addresses as usize,
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        const PREFS: (&str, &str) = (ns::MAM, "prefs");
        // Who has set nothing carries nothing where everything is archived.
        let default = self.default;
        let other = (default != DefaultRule::Always).then(|| Preferences::new(default));
        r.part(move |view, uid| Ok(Preferences::load(view, uid)?.or_else(|| other.clone())));
        r.account_iq(To::OwnAccount, Verb::Get, PREFS, |_, turn| get(turn));
        r.account_iq(To::OwnAccount, Verb::Set, PREFS, move |request, turn| {
            self.set(request, turn).unwrap_or_else(Reply::Error)
        });
        for verb in [Verb::Get, Verb::Set] {
            r.account_iq(To::Account, verb, PREFS, |_, _| {
                Reply::Error(Condition::Forbidden.into())
            });
        }
    }
}

/// §2.1; who has set nothing has what the server does for everybody.
fn get(turn: &Turn<'_>) -> Reply {
    let rules = turn.account.parts.find::<Preferences>();
    match rules {
        Some(rules) => show(rules).into(),
        None => show(&Preferences::new(DefaultRule::Always)).into(),
    }
}

impl ArchivePreferences {
    fn set(&self, request: &Request<'_>, turn: &mut Turn<'_>) -> Result<Reply, StanzaError> {
        if turn.account.guest {
            return Err(Condition::NotAllowed.into());
        }
        let rule = request.payload.attr("default").and_then(DefaultRule::parse);
        let rules = Preferences {
            default: rule.ok_or(StanzaError::from(Condition::BadRequest))?,
            always: self.list(request.payload, "always")?,
            never: self.list(request.payload, "never")?,
        };
        let uid = turn.account.uid;
        rules.store(turn.batch(), uid);
        let answer = show(&rules);
        turn.account.parts.put(rules);
        Ok(answer.into())
    }

    fn list(&self, prefs: El<'_>, name: &str) -> Result<Vec<Jid>, StanzaError> {
        let mut list: Vec<Jid> = Vec::new();
        let Some(el) = prefs.child(name, ns::MAM) else {
            return Ok(list);
        };
        for jid in el.children().filter(|el| el.is("jid", ns::MAM)) {
            let jid = Jid::parse(jid.text().trim())
                .map_err(|_| StanzaError::from(Condition::JidMalformed))?;
            if !list.contains(&jid) {
                list.push(jid);
            }
            if list.len() > self.most {
                return Err(StanzaError::from(Condition::ResourceConstraint)
                    .with_text("Too many addresses"));
            }
        }
        Ok(list)
    }
}

fn show(rules: &Preferences) -> Element {
    let list = |name: &str, list: &[Jid]| {
        let jid = |jid: &Jid| Element::new("jid", ns::MAM).with_text(jid.as_str());
        Element::new(name, ns::MAM).with_children(list.iter().map(jid))
    };
    Element::new("prefs", ns::MAM)
        .with_attr("default", rules.default.as_str())
        .with_child(list("always", &rules.always))
        .with_child(list("never", &rules.never))
}

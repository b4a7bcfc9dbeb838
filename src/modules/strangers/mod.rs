//! Protection from strangers: people an account neither has in its roster nor wrote to first (in the spirit of XEP-0161)

mod choice;
mod held;
mod known;
mod rate;

use std::sync::Arc;
use std::time::Duration;

use crate::config::Period;
use crate::hooks::command::Command;
use crate::hooks::{
    Account, Class, Deps, Envelope, Event, Floor, Info, Module, ModuleError, Origin, Path, Phase,
    Registrar, Turn, Verdict,
};
use crate::metrics::Registry;
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{Kind, MessageType, PresenceType, Stanza};
use crate::runtime::clock::Clock;
use crate::settings;
use crate::state::owned::{AccountSpace, Quota};
use crate::state::protection::{Chosen, Policy};
use crate::state::roster::Roster;
use crate::store::Space;

use held::Held;
use known::Known;
use rate::Rates;

settings! {
    /// What becomes of messages and requests of people an account does not know. Whoever is refused learns no more than
    /// whoever writes to nobody.
    pub struct Config {
        /// "accept" all; "rate": so many in an hour; "hold": as "rate", and messages wait until the account writes to their
        /// sender or takes him into its roster; "refuse" all.
        pub policy: Policy = Policy::Accept;
        /// Whether an account may choose for itself.
        pub own_choice: bool = true;
        /// The least protection it may choose; without it, `policy`.
        pub least: Option<Policy> = None => example("\"accept\"");
        /// Whether accounts of the same domain are no strangers.
        pub same_host: bool = true;
        /// Messages and requests of strangers to one account in an hour.
        pub per_account: u32 = 30 => within(1..=1_000_000);
        /// Messages and requests of the strangers of one domain in an hour, to all accounts here.
        pub per_domain: u32 = 120 => within(1..=10_000_000);
        /// People remembered of those an account wrote to; longest ago is forgotten first.
        pub remembered: u32 = 500 => within(1..=100_000);
        /// Messages that wait for one account.
        pub hold_messages: u32 = 50 => within(1..=10_000);
        /// How long they wait.
        pub hold_for: Period = Period::days(14) => within(Period::days(1)..=Period::days(365));
    }
}

/// How often messages that waited too long are looked for.
const EXPIRY: Duration = Duration::from_secs(3_600);

/// Looks at what strangers send.
pub struct Strangers {
    policy: Policy,
    own_choice: bool,
    least: Policy,
    same_host: bool,
    host: Jid,
    rates: Rates,
    kept: Kept,
    clock: Clock,
    floor: Arc<dyn Floor>,
    metrics: Registry,
}

/// Where it is kept whom accounts wrote to and what waits.
#[derive(Clone)]
struct Kept {
    space: Space,
    remembered: usize,
    held: Held,
}

impl Module for Strangers {
    const INFO: Info = Info {
        name: "strangers",
        specs: &[],
        doc: "Protection from people an account does not know.",
        on_by_default: true,
    };
    type Config = Config;
    const COMMANDS: &'static [Command] = &choice::DECLARED;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let space = AccountSpace::named(&deps.store, "strangers", 1, Quota::NONE);
        let space = space.map_err(|error| ModuleError {
            module: Self::INFO.name,
            reason: error.to_string(),
        })?;
        let held = Held::new(
            space.space(),
            config.hold_messages,
            config.hold_for.0,
            deps.host.clone(),
        );
        let kept = Kept {
            space: space.space(),
            remembered: config.remembered as usize,
            held,
        };
        Ok(Strangers {
            policy: config.policy,
            own_choice: config.own_choice,
            least: config.least.unwrap_or(config.policy),
            same_host: config.same_host,
            host: deps.host.clone(),
            rates: Rates::new(config.per_account, config.per_domain),
            kept,
            clock: deps.clock.clone(),
            floor: deps.floor.clone(),
            metrics: deps.metrics.clone(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        choice::offer(&self, r);
        let this = self.clone();
        r.part(move |view, uid| {
            // Where everything is accepted there is nothing to know.
            let chosen = Chosen::load(view, uid)?.map(|chosen| chosen.0);
            match chosen.is_some() || this.policy != Policy::Accept {
                true => Known::load(view, this.kept.space, uid),
                false => Ok(None),
            }
        });
        let this = self.clone();
        r.message(Path::ToClient, Phase::Check, move |envelope, turn| {
            this.message(envelope, turn)
        });
        let this = self.clone();
        r.presence(Path::ToClient, Phase::Check, move |envelope, turn| {
            this.presence(envelope, turn)
        });
        let this = self.clone();
        r.message(Path::FromClient, Phase::Record, move |envelope, turn| {
            this.written(envelope, turn);
            Verdict::Continue
        });
        let this = self.clone();
        r.presence(Path::FromClient, Phase::Record, move |envelope, turn| {
            this.entered(envelope, turn);
            Verdict::Continue
        });
        let this = self.clone();
        r.event(move |event| this.event(event));
        let this = self.clone();
        r.shut(move |account, who| {
            this.policy_of(account) == Policy::Refuse && !this.is_known(who, account)
        });
        r.every(EXPIRY, move || self.expire());
    }
}

impl Strangers {
    /// What is in force for who chose this.
    fn effective(&self, chosen: Option<Policy>) -> Policy {
        match chosen.filter(|_| self.own_choice) {
            Some(chosen) => chosen.max(self.least),
            None => self.policy,
        }
    }

    fn policy_of(&self, account: &Account) -> Policy {
        let chosen = account.parts.find::<Chosen>();
        self.effective(chosen.map(|chosen| chosen.0))
    }

    /// Whether the sender is a stranger to the account.
    fn is_strange(&self, envelope: &Envelope, account: &Account) -> bool {
        if matches!(envelope.origin, Origin::Server | Origin::Service) || account.guest {
            return false;
        }
        match envelope.from() {
            Some(from) => !self.is_known(from, account),
            None => false,
        }
    }

    fn is_known(&self, who: &Jid, account: &Account) -> bool {
        let same = |jid: &Jid| jid.bare_str() == who.bare_str();
        self.stays_known(who, account)
            || account.sessions.iter().any(|s| s.directed.iter().any(same))
    }

    /// Whether it is known also when no session sees it any more.
    fn stays_known(&self, who: &Jid, account: &Account) -> bool {
        let bare = who.bare_str();
        let roster = account.parts.find::<Roster>();
        bare == account.jid.as_str()
            || bare == account.jid.domain()
            || (self.same_host && who.domain() == account.jid.domain())
            || roster.is_some_and(|roster| roster.item(&who.bare()).is_some_and(|item| item.listed))
            || account
                .parts
                .find::<Known>()
                .is_some_and(|known| known.wrote_to(bare))
    }

    fn message(&self, envelope: &mut Envelope, turn: &mut Turn<'_>) -> Verdict {
        let Kind::Message(kind) = envelope.stanza.kind else {
            return Verdict::Continue;
        };
        let policy = self.policy_of(turn.account);
        if policy == Policy::Accept
            || kind == MessageType::Error
            || !self.is_strange(envelope, turn.account)
        {
            return Verdict::Continue;
        }
        if policy == Policy::Refuse || !self.in_rate(envelope, turn) {
            return self.refused(kind);
        }
        if policy != Policy::Hold {
            self.count("accepted");
            return Verdict::Continue;
        }
        let speaks = envelope.facts.storable(kind)
            && (envelope.facts.class == Class::Content || invites(&envelope.stanza));
        match (kind, speaks) {
            (MessageType::Chat | MessageType::Normal, true) => {
                if self.kept.held.keep(envelope, turn, self.clock.wall()) {
                    self.count("held");
                    Verdict::Consume
                } else {
                    self.refused(kind)
                }
            }
            (MessageType::Chat | MessageType::Normal, false) => Verdict::Consume,
            _ => self.refused(kind),
        }
    }

    /// As if there was no such account.
    fn refused(&self, kind: MessageType) -> Verdict {
        self.count("refused");
        match kind {
            MessageType::Groupchat => Verdict::Consume,
            _ => Verdict::Bounce(Condition::ServiceUnavailable.into()),
        }
    }

    fn presence(&self, envelope: &mut Envelope, turn: &mut Turn<'_>) -> Verdict {
        let policy = self.policy_of(turn.account);
        if policy == Policy::Accept
            || envelope.stanza.kind != Kind::Presence(PresenceType::Subscribe)
            || !self.is_strange(envelope, turn.account)
        {
            return Verdict::Continue;
        }
        if policy == Policy::Refuse || !self.in_rate(envelope, turn) {
            self.count("refused");
            return Verdict::Consume;
        }
        self.count("accepted");
        Verdict::Continue
    }

    fn in_rate(&self, envelope: &Envelope, turn: &mut Turn<'_>) -> bool {
        let domain = envelope.from().map_or("", Jid::domain);
        self.rates.take(turn.account.uid, domain, self.clock.now())
    }

    /// Whoever is written to is no stranger from then on.
    fn written(&self, envelope: &mut Envelope, turn: &mut Turn<'_>) {
        if let Kind::Message(MessageType::Chat | MessageType::Normal) = envelope.stanza.kind {
            self.note(&envelope.to.bare(), turn);
        }
    }

    /// Nor is a room that one entered: it tells those who are not there what they are to it, and invites them (XEP-0045
    /// §7.8.2, §18.1).
    fn entered(self: &Arc<Self>, envelope: &Envelope, turn: &mut Turn<'_>) {
        let enters = envelope.stanza.kind == Kind::Presence(PresenceType::Available)
            && envelope.to.is_full()
            && envelope.stanza.child("x", ns::MUC).is_some();
        if enters {
            let (this, room) = (self.clone(), envelope.to.bare());
            let account = turn.account.jid.clone();
            // The presence itself is for nobody who would write.
            let note = move |turn: &mut Turn<'_>| this.note(&room, turn);
            turn.floor.in_turn(&account, Box::new(note));
        }
    }

    fn note(&self, to: &Jid, turn: &mut Turn<'_>) {
        let kept = &self.kept;
        if self.policy_of(turn.account) == Policy::Accept
            || turn.account.guest
            || self.stays_known(to, turn.account)
            || to.node().is_none()
        {
            return;
        }
        let (uid, now) = (turn.account.uid, self.clock.wall());
        let Some(known) = turn.account.parts.of::<Known>() else {
            return;
        };
        known.note(
            &mut turn.ledger.batch,
            kept.space,
            uid,
            to,
            now,
            kept.remembered,
        );
        kept.held.release(turn, Some(to));
    }

    /// Whoever comes into the roster is no stranger from then on.
    fn event(&self, event: &Event) {
        let Event::RosterChanged(account, contact) = event else {
            return;
        };
        if account.domain() != self.host.domain() {
            return;
        }
        let (held, contact) = (self.kept.held.clone(), contact.clone());
        self.floor.in_turn(
            account,
            Box::new(move |turn| {
                let roster = turn.account.parts.find::<Roster>();
                let item = roster.and_then(|roster| roster.item(&contact));
                if item.is_some_and(|item| item.listed) {
                    held.release(turn, Some(&contact));
                }
            }),
        );
    }

    fn expire(&self) {
        let (held, store) = (self.kept.held.clone(), self.floor.store().clone());
        let now = self.clock.wall();
        tokio::spawn(async move {
            if let Err(error) = held.expire(&store, now).await {
                tracing::warn!(%error, "messages of strangers that waited too long are still there");
            }
        });
    }

    fn count(&self, outcome: &'static str) {
        self.metrics
            .counter(
                "waxwing_strangers_total",
                "Messages and requests of strangers, by what became of them.",
                &[("outcome", outcome)],
            )
            .count();
    }
}

/// Whether it asks into a room (XEP-0045 §7.8.2, XEP-0249) or an encrypted group (`docs/mls.md` §6): that says something
/// without a text.
fn invites(stanza: &Stanza) -> bool {
    let by_room = stanza.child("x", ns::MUC_USER);
    by_room.is_some_and(|x| x.has_child("invite", ns::MUC_USER))
        || stanza.child("x", ns::CONFERENCE).is_some()
        || stanza.child("welcome", ns::MLS).is_some()
}

//! XEP-0292: vCard4 Over XMPP (0.12.0), and what it has in common with vcard-temp (XEP-0054)

mod agreed;
mod convert;

use std::sync::Arc;

use self::agreed::Agreed;
use self::convert::Form;
use crate::hooks::{AskError, Deps, Event, Info, Module, ModuleError, Registrar};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::settings;
use crate::state::own_nodes::{Lines, OwnNodes};
use crate::xml::Element;

settings! {
    /// Cards of people: the one that newer clients publish and the one that older clients write say the same.
    pub struct Config {}
}

/// The id of the one item, where there is none yet.
const ITEM: &str = "current";

/// Converts cards.
pub struct VCard4 {
    deps: Deps,
    lines: Arc<Lines>,
    agreed: Agreed,
}

impl Module for VCard4 {
    const INFO: Info = Info {
        name: "vcard4",
        specs: &[("XEP-0292", "0.12.0")],
        doc: "What people tell of themselves is the same in the old and the new form.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(_: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(VCard4 {
            deps: deps.clone(),
            lines: Lines::of(&deps.shared, &deps.host),
            agreed: Agreed::default(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.event(move |event| {
            let (account, changed) = match event {
                Event::NodeChanged(account, node) if &**node == ns::VCARD4_NODE => {
                    (account, Form::New)
                }
                Event::VCardChanged(account) => (account, Form::Old),
                _ => return,
            };
            if account.domain() == self.deps.host.domain() {
                self.changed(account.clone(), changed);
            }
        });
    }
}

impl VCard4 {
    fn changed(self: &Arc<Self>, account: Jid, form: Form) {
        let this = self.clone();
        tokio::spawn(async move {
            let _turn = this.lines.enter(&account).await;
            let own = OwnNodes::new(&this.deps.floor, &account);
            let converted = match form {
                Form::New => this.to_old(&own, &account).await,
                Form::Old => this.to_new(&own, &account).await,
            };
            if let Err(error) = converted {
                tracing::debug!(%error, "a card is not converted");
            }
        });
    }

    /// What everybody may see is in the old form as well; what contacts alone may see stays with them.
    async fn to_old(&self, own: &OwnNodes, account: &Jid) -> Result<(), AskError> {
        let Some((_, new)) = published(own).await? else {
            return Ok(());
        };
        if self.agreed.knows(account, Form::New, new.root()) {
            return Ok(());
        }
        let mut old = own.vcard().await?;
        if !Form::New.agrees(new.root(), old.root()) {
            if !own.is_open(ns::VCARD4_NODE).await? {
                return Ok(());
            }
            old = Form::Old.with(Form::New.convert(new.root()), old.root());
            own.set(old.clone()).await?;
        }
        self.agreed.on(account, old.root(), new.root());
        Ok(())
    }

    /// What the old form says is published, for everybody unless its node is there and is for fewer.
    async fn to_new(&self, own: &OwnNodes, account: &Jid) -> Result<(), AskError> {
        let old = own.vcard().await?;
        if self.agreed.knows(account, Form::Old, old.root()) {
            return Ok(());
        }
        let (id, mut new) = match published(own).await? {
            Some(published) => published,
            None => (ITEM.to_owned(), Form::New.empty()),
        };
        if !Form::Old.agrees(old.root(), new.root()) {
            new = Form::New.with(Form::Old.convert(old.root()), new.root());
            publish(own, &id, new.clone()).await?;
        }
        self.agreed.on(account, old.root(), new.root());
        Ok(())
    }
}

async fn publish(own: &OwnNodes, id: &str, card: Element) -> Result<(), AskError> {
    let open = &[("access_model", "open")];
    match own.publish(ns::VCARD4_NODE, id, card.clone(), open).await {
        Err(AskError::Refused(error)) if error.condition == Condition::Conflict => {
            own.publish(ns::VCARD4_NODE, id, card, &[]).await
        }
        done => done,
    }
}

/// The newest card that is published, with the id of its item.
async fn published(own: &OwnNodes) -> Result<Option<(String, Element)>, AskError> {
    let newest = own.items(ns::VCARD4_NODE).await?.pop();
    Ok(newest.filter(|(_, card)| card.is("vcard", ns::VCARD4)))
}

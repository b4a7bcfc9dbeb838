//! XEP-0292: vCard4 Over XMPP (0.12.0), and what it has in common with vcard-temp (XEP-0054)

mod convert;

use std::sync::Arc;

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
                Form::New => to_old(&own).await,
                Form::Old => to_new(&own).await,
            };
            if let Err(error) = converted {
                tracing::debug!(%error, "a card is not converted");
            }
        });
    }
}

/// What everybody may see is in the old form as well; what contacts alone may see stays with them.
async fn to_old(own: &OwnNodes) -> Result<(), AskError> {
    let Some((_, new)) = published(own).await? else {
        return Ok(());
    };
    let old = own.vcard().await?;
    if Form::New.agrees(new.root(), old.root()) || !own.is_open(ns::VCARD4_NODE).await? {
        return Ok(());
    }
    let properties = Form::New.convert(new.root());
    own.set(Form::Old.with(properties, old.root())).await
}

/// What the old form says is published, for everybody unless its node is there and is for fewer.
async fn to_new(own: &OwnNodes) -> Result<(), AskError> {
    let old = own.vcard().await?;
    let (id, new) = match published(own).await? {
        Some(published) => published,
        None => (ITEM.to_owned(), Form::New.empty()),
    };
    if Form::Old.agrees(old.root(), new.root()) {
        return Ok(());
    }
    let properties = Form::Old.convert(old.root());
    let card = Form::New.with(properties, new.root());
    let open = &[("access_model", "open")];
    match own.publish(ns::VCARD4_NODE, &id, card.clone(), open).await {
        Err(AskError::Refused(error)) if error.condition == Condition::Conflict => {
            own.publish(ns::VCARD4_NODE, &id, card, &[]).await
        }
        done => done,
    }
}

/// The newest card that is published, with the id of its item.
async fn published(own: &OwnNodes) -> Result<Option<(String, Element)>, AskError> {
    let newest = own.items(ns::VCARD4_NODE).await?.pop();
    Ok(newest.filter(|(_, card)| card.is("vcard", ns::VCARD4)))
}

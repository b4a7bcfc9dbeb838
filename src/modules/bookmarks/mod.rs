//! XEP-0402: PEP Native Bookmarks (1.2.0), and the same for clients that know only XEP-0048 (1.2), in private XML or PEP
//!
//! There is one truth: the items of the one node. What older clients read is made of it, and what they write is made
//! into it. Their bookmarks of web pages stay in private XML.

mod convert;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};

use self::convert::Room;
use crate::hooks::{
    AskError, Deps, Event, Floor, Info, Module, ModuleError, Registrar, Reply, Request,
    SessionEvent, To, Turn, Uid,
};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{IqType, Kind};
use crate::settings;
use crate::state::capabilities::Noted;
use crate::state::own_nodes::{Item, OwnNodes, PRIVATE};
use crate::state::{nodes, stored_xml};
use crate::store::{Key, Snapshot, Space, StoreError};
use crate::xml::{El, Element};

settings! {
    /// Shows the bookmarks of an account to old and new clients alike.
    pub struct Config {}
}

/// Converts bookmarks.
pub struct Bookmarks {
    host: Jid,
    floor: Arc<dyn Floor>,
    /// Changes of one account come one after the other.
    locks: [Mutex<()>; 32],
    hasher: RandomState,
}

/// The id of the one item of the older node, as clients write it and have it answered.
const CURRENT: &str = "current";
/// The id of the item by which older clients are told of changes.
const COLLATED: &str = "collated";

/// A part of the account that has bookmarks in one of the older ways, or had some when it was loaded.
struct Old;

impl Old {
    fn load(view: &dyn Snapshot, uid: Uid) -> Result<Option<Old>, StoreError> {
        let private = stored_xml::private_key(ns::BOOKMARKS_STORAGE, "storage");
        let private = Key::new().u64(uid.0).bytes(&private);
        let there = view.get(Space::PRIVATE_XML, &private)?.is_some()
            || nodes::exists(view, uid, ns::BOOKMARKS_STORAGE)?;
        Ok(there.then_some(Old))
    }
}

impl Module for Bookmarks {
    const INFO: Info = Info {
        name: "bookmarks",
        specs: &[
            ("XEP-0402", "1.2.0"),
            ("XEP-0048", "1.2"),
            ("XEP-0411", "1.1.0"),
        ],
        doc: "Old and new clients of an account see the same rooms.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(_: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(Bookmarks {
            host: deps.host.clone(),
            floor: deps.floor.clone(),
            locks: Default::default(),
            hasher: RandomState::new(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        for feature in ["", "#compat", "#compat-pep"] {
            r.feature(To::OwnAccount, format!("{}{feature}", ns::BOOKMARKS));
        }
        r.feature(To::OwnAccount, ns::BOOKMARKS_CONVERSION);
        let this = self.clone();
        r.divert(move |to, request| this.divert(to, request));
        let this = self.clone();
        r.part(|view, uid| Old::load(view, uid));
        r.session(move |event, _, turn| {
            if event == SessionEvent::Bound && turn.account.parts.take::<Old>().is_some() {
                let (this, own) = (this.clone(), this.own(&turn.account.jid));
                tokio::spawn(async move { this.move_old(&own).await });
            }
        });
        r.event(move |event| {
            if let Event::NodeChanged(account, node) = event
                && &**node == ns::BOOKMARKS
                && account.domain() == self.host.domain()
            {
                self.changed(account);
            }
        });
    }
}

impl Bookmarks {
    fn own(&self, account: &Jid) -> OwnNodes {
        OwnNodes::new(&self.floor, account)
    }

    async fn lock(&self, account: &Jid) -> Option<MutexGuard<'_, ()>> {
        let at = self.hasher.hash_one(account.bare_str()) as usize % self.locks.len();
        Some(self.locks.get(at)?.lock().await)
    }

    /// What an older client of the account asks. The server asks in the name of the account itself, and is not diverted.
    fn divert(self: &Arc<Self>, to: To, request: &Request<'_>) -> Option<Reply> {
        if to != To::OwnAccount || !request.from.is_full() {
            return None;
        }
        let asked = convert::asked(request.payload)?;
        let (this, account) = (self.clone(), request.from.bare());
        let set = request.stanza.kind == Kind::Iq(IqType::Set);
        let own = self.own(&account);
        let written = match (set, &asked.storage) {
            (true, None) => return None,
            (true, Some(storage)) => Some(storage.clone()),
            (false, _) => None,
        };
        // What is begun is brought to its end, whether or not somebody waits for it.
        let work = tokio::spawn(async move {
            let _turn = this.lock(&account).await;
            match written {
                Some(storage) => this.write(&own, storage.root()).await.map(|()| None),
                None => this.storage(&own).await.map(Some),
            }
        });
        Some(Reply::Later(Box::pin(async move {
            match work.await {
                Ok(Ok(Some(storage))) => asked.form.answer(storage).into(),
                Ok(Ok(None)) => asked.form.done(),
                Ok(Err(error)) => Reply::Error(refused(error)),
                Err(_) => Reply::Error(Condition::InternalServerError.into()),
            }
        })))
    }

    /// The bookmarks as an older client sees them.
    async fn storage(&self, own: &OwnNodes) -> Result<Element, AskError> {
        let kept = self.kept(own).await?;
        let items = own.items(ns::BOOKMARKS).await?;
        Ok(convert::storage(&items, kept.root()))
    }

    /// What private XML has.
    async fn kept(&self, own: &OwnNodes) -> Result<Element, AskError> {
        let empty = Element::new("storage", ns::BOOKMARKS_STORAGE);
        let query = Element::new("query", ns::PRIVATE).with_child(empty.clone());
        let answer = match own.get(query).await {
            // There is no private XML here.
            Err(AskError::Refused(_)) => None,
            answer => answer?,
        };
        let storage = answer.as_ref().and_then(|answer| {
            let storage = answer.child("storage", ns::BOOKMARKS_STORAGE)?;
            Some(storage.to_element())
        });
        Ok(storage.unwrap_or(empty))
    }

    /// An older client wrote all its bookmarks: what changed becomes items, what is missing goes.
    async fn write(&self, own: &OwnNodes, storage: El<'_>) -> Result<(), AskError> {
        let items = own.items(ns::BOOKMARKS).await?;
        let rooms = convert::rooms(storage);
        self.publish(own, &items, &rooms).await?;
        for (id, _) in &items {
            if !rooms.iter().any(|(room, _)| room == id) {
                own.retract(ns::BOOKMARKS, id).await?;
            }
        }
        self.keep_others(own, storage).await
    }

    async fn publish(
        &self,
        own: &OwnNodes,
        items: &[Item],
        rooms: &[(String, Element)],
    ) -> Result<(), AskError> {
        for (id, conference) in rooms {
            let known = items.iter().find(|(known, _)| known == id);
            let known = known.map(|(_, payload)| payload.root());
            if known.is_some_and(|known| Room::of(known) == Room::of(conference.root())) {
                continue;
            }
            let item = convert::item(conference.root(), known);
            let published = own.publish(ns::BOOKMARKS, id, item.clone(), PRIVATE).await;
            match published {
                // A client of the account configured the node otherwise.
                Err(AskError::Refused(error)) if error.condition == Condition::Conflict => {
                    own.publish(ns::BOOKMARKS, id, item, &[]).await?;
                }
                published => published?,
            }
        }
        Ok(())
    }

    /// What is no room stays in private XML.
    async fn keep_others(&self, own: &OwnNodes, storage: El<'_>) -> Result<(), AskError> {
        let others = convert::others(storage);
        if others == self.kept(own).await? {
            return Ok(());
        }
        let query = Element::new("query", ns::PRIVATE).with_child(others);
        own.set(query).await
    }

    /// Rooms that were kept in the older ways, before this server knew of the newer one or by import, become items.
    async fn move_old(&self, own: &OwnNodes) {
        if let Err(error) = self.try_to_move(own).await {
            tracing::debug!(%error, "old bookmarks stay where they are for now");
        }
    }

    async fn try_to_move(&self, own: &OwnNodes) -> Result<(), AskError> {
        let mut kept = self.kept(own).await?;
        let old = own.item(ns::BOOKMARKS_STORAGE, CURRENT).await?;
        for child in old.iter().flat_map(Element::children) {
            kept.push_child(child);
        }
        let mut rooms = convert::rooms(kept.root());
        if old.is_none() && rooms.is_empty() {
            return Ok(());
        }
        let items = own.items(ns::BOOKMARKS).await?;
        rooms.retain(|(id, _)| !items.iter().any(|(known, _)| known == id));
        self.publish(own, &items, &rooms).await?;
        self.keep_others(own, kept.root()).await?;
        match old {
            Some(_) => own.retract(ns::BOOKMARKS_STORAGE, CURRENT).await,
            None => Ok(()),
        }
    }

    /// The items changed: older clients that want to be told of their node are, as if it had been written.
    fn changed(self: &Arc<Self>, account: &Jid) {
        let this = self.clone();
        let tell = move |turn: &mut Turn<'_>| {
            let mut sessions = turn.account.sessions.iter();
            let wants =
                |session| Noted::interests(session).is_some_and(|i| i.wants(ns::BOOKMARKS_STORAGE));
            if !sessions.any(wants) {
                return;
            }
            let own = this.own(&turn.account.jid);
            let account = turn.account.jid.clone();
            tokio::spawn(async move {
                let _turn = this.lock(&account).await;
                let told = match this.storage(&own).await {
                    Ok(storage) => {
                        own.publish(ns::BOOKMARKS_STORAGE, COLLATED, storage, PRIVATE)
                            .await
                    }
                    Err(error) => Err(error),
                };
                if let Err(error) = told {
                    tracing::debug!(%error, "an old client does not hear of its bookmarks");
                }
            });
        };
        self.floor.in_turn(account, Box::new(tell));
    }
}

fn refused(error: AskError) -> StanzaError {
    match error {
        AskError::Refused(error) => *error,
        AskError::TimedOut | AskError::Busy => Condition::ResourceConstraint.into(),
    }
}

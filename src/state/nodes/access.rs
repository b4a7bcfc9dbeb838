//! Who may do what at a node (XEP-0060 §4.1, §4.5).

use serde::{Deserialize, Serialize};

use super::config::{AccessModel, PublishModel};
use super::error::{exact, unsupported};
use super::record::{self, Node, Shelf};
use super::relations::DEEPEST;
use super::subscription::{self, State};
use super::{House, Kind};
use crate::choice;
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::state::accounts;
use crate::state::roster::Roster;
use crate::store::{Direction, Range, Snapshot, Space, StoreError};

choice! {
    /// What an entity is to a node (XEP-0060 §4.1).
    pub enum Affiliation {
        /// May do everything.
        Owner = "owner",
        /// May publish and retrieve.
        Publisher = "publisher",
        /// May publish, and see nothing.
        PublishOnly = "publish-only",
        /// May subscribe and retrieve.
        Member = "member",
        /// May nothing.
        Outcast = "outcast",
        /// Whatever everybody may.
        Nobody = "none",
    }
}

impl Affiliation {
    /// Whether it may see what the node has, whatever its access model.
    fn sees(self) -> bool {
        matches!(
            self,
            Affiliation::Owner | Affiliation::Publisher | Affiliation::Member
        )
    }

    /// Whether it may see nothing, whatever the access model.
    fn is_blind(self) -> bool {
        matches!(self, Affiliation::Outcast | Affiliation::PublishOnly)
    }
}

/// How an entity stands to the presence of a node's owners.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// It may see the presence of one of them.
    pub sees_presence: bool,
    /// The groups of his roster that it is in.
    pub groups: Vec<String>,
}

/// By what a node decides who may see it; good for as long as the node does not change.
#[derive(Debug, Clone, PartialEq)]
pub struct Access {
    /// The model.
    pub model: AccessModel,
    /// The groups of the model "roster".
    pub groups: Vec<String>,
    /// Bare addresses with their affiliations.
    pub affiliations: Vec<(Jid, Affiliation)>,
    /// Who may publish.
    pub publish: PublishModel,
    /// Where subscriptions are that tell who was approved.
    approved: Vec<Shelf>,
    /// What the nodes above it decide by, who must admit as well (XEP-0496 §4.4).
    above: Vec<Access>,
}

impl Access {
    /// Reads it.
    ///
    /// # Errors
    /// The store's.
    pub fn of(view: &dyn Snapshot, house: &House, node: &Node) -> Result<Access, StoreError> {
        let mut access = Access::of_one(view, house, node)?;
        let mut parent = node.config.parent.clone();
        while !parent.is_empty() {
            if access.above.len() >= DEEPEST {
                // Nobody looks further: who is on no list of its own is kept out.
                access.model = AccessModel::Whitelist;
                access.publish = PublishModel::Publishers;
                break;
            }
            let Some(node) = record::node(view, house.owner, &parent)? else {
                break;
            };
            access.above.push(Access::of_one(view, house, &node)?);
            parent = node.config.parent;
        }
        Ok(access)
    }

    fn of_one(view: &dyn Snapshot, house: &House, node: &Node) -> Result<Access, StoreError> {
        let mut affiliations = affiliations(view, house.rules(node))?;
        if house.kind == Kind::Personal {
            // Whose account it is, owns its nodes.
            affiliations.retain(|(jid, _)| *jid != house.address);
            affiliations.push((house.address.clone(), Affiliation::Owner));
        }
        Ok(Access {
            model: node.config.access_model,
            groups: node.config.roster_groups_allowed.clone(),
            affiliations,
            publish: node.config.publish_model,
            approved: match node.beside {
                Some(_) => vec![house.shelf(node), house.rules(node)],
                None => vec![house.shelf(node)],
            },
            above: Vec::new(),
        })
    }

    /// What somebody is to the node.
    pub fn affiliation(&self, jid: &Jid) -> Affiliation {
        let bare = jid.bare_str();
        let found = self
            .affiliations
            .iter()
            .find(|(who, _)| who.as_str() == bare);
        found.map_or(Affiliation::Nobody, |(_, affiliation)| *affiliation)
    }

    /// The owners.
    pub fn owners(&self) -> impl Iterator<Item = &Jid> {
        let owners = self.affiliations.iter();
        owners
            .filter(|(_, affiliation)| *affiliation == Affiliation::Owner)
            .map(|(jid, _)| jid)
    }

    /// Whether somebody in this relation is told of events: for who is subscribed, or would be. A
    /// node of the model "authorize" admits whoever was approved, so the subscribed alone.
    pub fn admits(&self, jid: &Jid, relation: &Relation) -> bool {
        // Who was approved at a node above is looked up in the store alone.
        let above = |above: &Access| {
            let seen = above.affiliation(jid).sees();
            (seen || above.model != AccessModel::Authorize) && above.admits_here(jid, relation)
        };
        self.admits_here(jid, relation) && self.above.iter().all(above)
    }

    fn admits_here(&self, jid: &Jid, relation: &Relation) -> bool {
        let affiliation = self.affiliation(jid);
        affiliation.sees() || (!affiliation.is_blind() && self.refusal(relation).is_none())
    }

    /// The same for who is subscribed, as the store knows him.
    ///
    /// # Errors
    /// The store's.
    pub fn lets_in(
        &self,
        view: &dyn Snapshot,
        house: &House,
        jid: &Jid,
    ) -> Result<bool, StoreError> {
        if !self.admits_here(jid, &self.relation(view, house, jid)?) {
            return Ok(false);
        }
        for above in &self.above {
            if above.enter(view, house, jid)?.is_err() || !above.has_approved(view, jid)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether groups of a roster matter.
    pub fn goes_by_groups(&self) -> bool {
        let mut all = std::iter::once(self).chain(&self.above);
        all.any(|access| access.model == AccessModel::Roster)
    }

    fn goes_by_relation(&self) -> bool {
        matches!(self.model, AccessModel::Presence | AccessModel::Roster)
    }

    /// Why somebody is kept out of this node, whatever those above it say.
    fn enter(
        &self,
        view: &dyn Snapshot,
        house: &House,
        jid: &Jid,
    ) -> Result<Result<(), StanzaError>, StoreError> {
        let affiliation = self.affiliation(jid);
        if affiliation.sees() {
            return Ok(Ok(()));
        }
        if affiliation.is_blind() {
            return Ok(Err(Condition::Forbidden.into()));
        }
        let relation = self.relation(view, house, jid)?;
        Ok(self.refusal(&relation).map_or(Ok(()), Err))
    }

    /// Whether somebody has been approved, where that is needed (§4.5).
    fn has_approved(&self, view: &dyn Snapshot, jid: &Jid) -> Result<bool, StoreError> {
        Ok(self.model != AccessModel::Authorize
            || self.affiliation(jid).sees()
            || self.is_subscribed(view, jid)?)
    }

    /// Whether somebody may publish to this node, whatever those above it say (§7.1.3.1).
    fn takes(&self, view: &dyn Snapshot, jid: &Jid) -> Result<bool, StoreError> {
        Ok(match self.affiliation(jid) {
            Affiliation::Owner | Affiliation::Publisher | Affiliation::PublishOnly => true,
            Affiliation::Outcast => false,
            Affiliation::Member | Affiliation::Nobody => match self.publish {
                PublishModel::Publishers => false,
                PublishModel::Subscribers => self.is_subscribed(view, jid)?,
                PublishModel::Open => true,
            },
        })
    }

    /// Whether somebody, or one of his resources, is subscribed.
    fn is_subscribed(&self, view: &dyn Snapshot, jid: &Jid) -> Result<bool, StoreError> {
        for shelf in &self.approved {
            let all = subscription::of(view, *shelf, jid)?;
            if all.iter().any(|(_, sub)| sub.state == State::Subscribed) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Why the access model keeps somebody out (§6.1.3, §6.5.9).
    fn refusal(&self, relation: &Relation) -> Option<StanzaError> {
        let in_group = || {
            relation
                .groups
                .iter()
                .any(|group| self.groups.contains(group))
        };
        let unauthorized = |name| exact(Condition::NotAuthorized, name);
        match self.model {
            AccessModel::Open | AccessModel::Authorize => None,
            AccessModel::Presence => {
                (!relation.sees_presence).then(|| unauthorized("presence-subscription-required"))
            }
            AccessModel::Roster => (!relation.sees_presence || !in_group())
                .then(|| unauthorized("not-in-roster-group")),
            AccessModel::Whitelist => Some(exact(Condition::NotAllowed, "closed-node")),
        }
    }

    /// How somebody stands to the owners, if it matters.
    ///
    /// # Errors
    /// The store's.
    pub fn relation(
        &self,
        view: &dyn Snapshot,
        house: &House,
        jid: &Jid,
    ) -> Result<Relation, StoreError> {
        let mut relation = Relation::default();
        if !self.goes_by_relation() {
            return Ok(relation);
        }
        for owner in self.owners() {
            let uid = match house.kind {
                Kind::Personal if *owner == house.address => Some(house.owner),
                _ => accounts::read(view, &accounts::account_key(owner))?
                    .map(|record| crate::hooks::Uid(record.uid)),
            };
            let Some(uid) = uid else { continue };
            let item = Roster::stored(view, uid, &jid.bare())?;
            if let Some(item) = item.filter(|item| item.subscription.from()) {
                relation.sees_presence = true;
                let groups = item.groups.iter();
                relation
                    .groups
                    .extend(groups.map(|group| group.to_string()));
            }
        }
        Ok(relation)
    }
}

/// A node with somebody at its door.
pub(super) struct Door<'a> {
    pub(super) view: &'a dyn Snapshot,
    pub(super) house: &'a House,
    pub(super) node: &'a Node,
    pub(super) access: Access,
    /// What who asks is to the node.
    pub(super) affiliation: Affiliation,
    jid: &'a Jid,
}

impl<'a> Door<'a> {
    pub(super) fn new(
        view: &'a dyn Snapshot,
        house: &'a House,
        node: &'a Node,
        jid: &'a Jid,
    ) -> Result<Self, StoreError> {
        let access = Access::of(view, house, node)?;
        let affiliation = access.affiliation(jid);
        Ok(Door {
            view,
            house,
            node,
            access,
            affiliation,
            jid,
        })
    }

    /// For what owners alone may do.
    pub(super) fn owner(&self) -> Result<(), StanzaError> {
        match self.affiliation {
            Affiliation::Owner => Ok(()),
            _ => Err(Condition::Forbidden.into()),
        }
    }

    /// Whether he may subscribe (§6.1.3), and at once: not only when an owner approves.
    pub(super) fn subscribe(&self) -> Result<Result<bool, StanzaError>, StoreError> {
        if !self.node.config.subscribe {
            return Ok(Err(unsupported("subscribe")));
        }
        if let Err(error) = self.enter()? {
            return Ok(Err(error));
        }
        // Who was approved at a node is so at those beside it.
        let approved =
            self.node.beside.is_some() && self.access.has_approved(self.view, self.jid)?;
        Ok(Ok(approved
            || self.affiliation.sees()
            || self.access.model != AccessModel::Authorize))
    }

    /// Whether he may retrieve items (§6.5.9).
    pub(super) fn retrieve(&self) -> Result<Result<(), StanzaError>, StoreError> {
        if let Err(error) = self.enter()? {
            return Ok(Err(error));
        }
        for access in self.all() {
            if !access.has_approved(self.view, self.jid)? {
                return Ok(Err(exact(Condition::NotAuthorized, "not-subscribed")));
            }
        }
        Ok(Ok(()))
    }

    /// Whether he may know that the node is there, in lists.
    pub(super) fn notice(&self) -> Result<bool, StoreError> {
        Ok(self.affiliation == Affiliation::PublishOnly || self.enter()?.is_ok())
    }

    fn enter(&self) -> Result<Result<(), StanzaError>, StoreError> {
        for access in self.all() {
            if let Err(error) = access.enter(self.view, self.house, self.jid)? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Whether he may publish (§7.1.3.1; XEP-0496 §4.4).
    pub(super) fn publish(&self) -> Result<bool, StoreError> {
        for access in self.all() {
            if !access.takes(self.view, self.jid)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The node and those above it.
    fn all(&self) -> impl Iterator<Item = &Access> {
        std::iter::once(&self.access).chain(&self.access.above)
    }
}

/// All affiliations at a node.
pub(super) fn affiliations(
    view: &dyn Snapshot,
    shelf: Shelf,
) -> Result<Vec<(Jid, Affiliation)>, StoreError> {
    let range = Range::prefix(shelf.key());
    let rows = view.scan(
        Space::NODE_AFFILIATION,
        &range,
        Direction::Forward,
        usize::MAX,
    )?;
    let pair = |(key, value): (Vec<u8>, Vec<u8>)| {
        Ok((named_jid(&key)?, record::read::<Affiliation>(&value)?))
    };
    rows.into_iter().map(pair).collect()
}

/// The affiliation of this name.
pub(super) fn named_affiliation(word: &str) -> Option<Affiliation> {
    let mut all = Affiliation::ALL.iter();
    all.find(|known| known.as_str() == word).copied()
}

/// The address at the end of a key of a node.
pub(super) fn named_jid(key: &[u8]) -> Result<Jid, StoreError> {
    let name = key.get(16..key.len().saturating_sub(1));
    let name = name.and_then(|name| std::str::from_utf8(name).ok());
    let jid = name.and_then(|name| Jid::parse(name).ok());
    jid.ok_or_else(record::odd)
}

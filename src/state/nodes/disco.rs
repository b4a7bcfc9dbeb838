//! What disco tells of nodes and items (XEP-0060 §5).

use super::access::{Affiliation, Door};
use super::attachments;
use super::error::NodeError;
use super::extended::Extended;
use super::items::{self, Span};
use super::kinds::Filter;
use super::reach;
use super::record::{self, Node};
use super::relations;
use super::{Answer, Kind, NAME, Outcome, Scene, Work, finish, present};
use crate::proto::disco::{Identity, Info};
use crate::proto::error::Condition;
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::{datetime, ns, rsm};
use crate::store::{Direction, StoreError};
use crate::xml::{El, Element};

/// What every house of nodes offers, as features after `pubsub#` (§10).
pub const FEATURES: &[&str] = &[
    "config-node",
    "config-node-max",
    "create-and-configure",
    "create-nodes",
    "delete-items",
    "delete-nodes",
    "instant-nodes",
    "item-ids",
    "leased-subscription",
    "manage-subscriptions",
    "member-affiliation",
    "meta-data",
    "modify-affiliations",
    "multi-items",
    "outcast-affiliation",
    "persistent-items",
    "publish",
    "publish-node-full",
    "publish-only-affiliation",
    "publish-options",
    "publisher-affiliation",
    "purge-nodes",
    "retract-items",
    "retrieve-affiliations",
    "retrieve-default",
    "retrieve-default-sub",
    "retrieve-items",
    "retrieve-subscriptions",
    "rsm",
    "subscribe",
    "subscription-notifications",
    "subscription-options",
];

/// Other features of every house of nodes.
pub const OTHERS: &[&str] = &[
    ns::ATTACHMENTS,
    ns::NODE_RELATIONS,
    ns::EXTENDED_SUBSCRIPTIONS,
    ns::EXTENDED_DISCO,
    ns::SOCIAL_FEED,
    ns::SOCIAL_FEED_GALLERY,
];

/// FORM_TYPE of what is told of a node.
pub(super) const META_DATA: &str = "http://jabber.org/protocol/pubsub#meta-data";

/// §5.3, §5.4: what a node is.
///
/// # Errors
/// The store's.
pub fn info(scene: Scene<'_>, name: &str) -> Result<Outcome, StoreError> {
    finish(scene, |work| work.info(name))
}

/// §5.2, §5.5: the nodes of a house, or the items of one, a page of them.
///
/// # Errors
/// The store's.
pub fn items(scene: Scene<'_>, query: El<'_>) -> Result<Outcome, StoreError> {
    finish(scene, |work| work.list(query))
}

impl Work<'_> {
    fn info(&self, name: &str) -> Answer {
        let found = record::node(self.scene.view, self.scene.house.owner, name)?;
        let node = present(found)?;
        let door = self.door(&node)?;
        let seen = door.notice()?;
        if !seen && self.scene.house.kind == Kind::Personal {
            // What nodes an account has is nobody's business who may not see them.
            return Err(Condition::ItemNotFound.into());
        }
        let mut info = Info::default();
        let title = Some(node.config.title.clone()).filter(|title| seen && !title.is_empty());
        info.identities.push(Identity {
            name: title,
            ..Identity::new("pubsub", "leaf")
        });
        info.features.push(ns::PUBSUB.to_owned());
        info.features.push(ns::DISCO_INFO.to_owned());
        info.features.push(ns::DISCO_ITEMS.to_owned());
        if seen && self.scene.house.archives && node.config.persist_items {
            let archive = [ns::MAM, ns::MAM_EXTENDED].map(str::to_owned);
            info.features.extend(archive);
        }
        if seen {
            info.forms.push(self.meta_data(&node, &door)?);
        }
        Ok(Some(info.to_element(Some(name))))
    }

    pub(super) fn meta_data(&self, node: &Node, door: &Door<'_>) -> Result<Form, StoreError> {
        let totals = self.shelf(node).totals(self.scene.view)?;
        let config = &node.config;
        let text = |name: &str, value: &str| Field::text(&format!("pubsub#{name}"), value);
        let jids = |name: &str, kind| Field::new(kind, &format!("pubsub#{name}"));
        let mut form = Form::new(FormType::Result).with_form_type(META_DATA);
        for (name, value) in [
            ("type", &config.kind),
            ("title", &config.title),
            ("description", &config.description),
            ("language", &config.language),
        ] {
            if !value.is_empty() {
                form = form.with_field(text(name, value));
            }
        }
        form.fields.extend(relations::fields(config));
        let depth = self.scene.house.limits.related.depth.to_string();
        form = form.with_field(Field::text(reach::MAX_DEPTH, &depth));
        let of = |wanted: Affiliation| {
            let all = door.access.affiliations.iter();
            all.filter(move |(_, affiliation)| *affiliation == wanted)
                .map(|(jid, _)| jid.to_string())
        };
        Ok(form
            .with_field(jids("creator", FieldType::JidSingle).with_value(&node.creator))
            .with_field(text("creation_date", &datetime::format(node.created)))
            .with_field(jids("contact", FieldType::JidMulti).with_values(config.contact.iter()))
            .with_field(text("access_model", config.access_model.as_str()))
            .with_field(text("publish_model", config.publish_model.as_str()))
            .with_field(text("max_items", &config.max_items.to_string()))
            .with_field(jids("owner", FieldType::JidMulti).with_values(of(Affiliation::Owner)))
            .with_field(
                jids("publisher", FieldType::JidMulti).with_values(of(Affiliation::Publisher)),
            )
            .with_field(text("num_subscribers", &totals.subscriptions.to_string())))
    }

    fn list(&self, query: El<'_>) -> Answer {
        let set = query.child("set", ns::RSM).map(rsm::Request::parse);
        let set = set.transpose()?;
        let asked = set.is_some();
        let request = set.unwrap_or_default();
        let mut answer = Element::new("query", ns::DISCO_ITEMS);
        answer.set_attr("node", query.attr("node"));
        let filter = Filter::of(query)?;
        let extended = Extended::of(query)?;
        let (entries, page) = match (extended, query.attr("node")) {
            (Some(wanted), name) => self.list_extended(name, &wanted, &filter, &request)?,
            (None, Some(name)) => self.list_items(name, &request)?,
            (None, None) => self.list_nodes(&request, &filter)?,
        };
        let answer = answer.with_children(entries);
        let page = page.filter(|page| asked || page.count.is_none());
        Ok(Some(
            answer.with_children(page.map(|page| page.to_element())),
        ))
    }

    /// A page of nodes; one that has no count where there are more.
    fn list_nodes(
        &self,
        request: &rsm::Request,
        filter: &Filter,
    ) -> Result<(Vec<Element>, Option<rsm::Page>), NodeError> {
        let limits = &self.scene.house.limits;
        let size = request.max.unwrap_or(limits.page).min(limits.page);
        let (view, house) = (self.scene.view, self.scene.house);
        let mut after = request.after.clone();
        if after.as_ref().is_some_and(|name| name.len() > NAME) {
            return Err(Condition::ItemNotFound.into());
        }
        let mut shown: Vec<(String, Node)> = Vec::new();
        let mut more = false;
        // Of nodes that who asks may not see, only so many are passed over.
        for _ in 0..LOOKS {
            let nodes = record::nodes(view, house.owner, after.as_deref(), limits.page)?;
            let Some((last, _)) = nodes.last() else { break };
            after = Some(last.clone());
            more = nodes.len() >= limits.page;
            for (name, node) in nodes {
                let node = attachments::follow(view, house.owner, &name, node)?;
                let listed = |node: &Node| node.moved.is_none() && filter.lists(&node.config.kind);
                let Some(node) = node.filter(listed) else {
                    continue;
                };
                if !self.door(&node)?.notice()? {
                    continue;
                }
                if shown.len() >= size {
                    more = true;
                    break;
                }
                shown.push((name, node));
            }
            if !more || shown.len() >= size {
                break;
            }
        }
        let name = |(name, _): &(String, Node)| name.clone();
        let page = rsm::Page {
            first: shown.first().map(|node| (name(node), None)),
            last: shown.last().map(name),
            count: (!more && request.after.is_none()).then_some(shown.len()),
        };
        let entries = shown.iter().map(|(name, node)| {
            let mut item = Element::new("item", ns::DISCO_ITEMS)
                .with_attr("jid", house.address.as_str())
                .with_attr("node", name);
            let title = Some(node.config.title.as_str()).filter(|title| !title.is_empty());
            item.set_attr("name", title);
            item
        });
        Ok((entries.collect(), Some(page)))
    }

    fn list_items(
        &self,
        name: &str,
        request: &rsm::Request,
    ) -> Result<(Vec<Element>, Option<rsm::Page>), NodeError> {
        let (view, house) = (self.scene.view, self.scene.house);
        let node = present(record::node(view, house.owner, name)?)?;
        self.door(&node)?.retrieve()??;
        let shelf = house.shelf(&node);
        let totals = shelf.totals(view)?;
        let after = match &request.after {
            Some(id) => {
                let place = items::place(view, shelf, &totals, id)?;
                Some(place.ok_or(Condition::ItemNotFound)?.place)
            }
            None => None,
        };
        let size = request.max.unwrap_or(house.limits.page);
        let span = Span {
            after,
            from: Direction::Forward,
            ..Span::oldest(size.min(house.limits.page))
        };
        let since = node.config.expired_before(self.scene.now);
        let found = items::read(view, shelf, &totals, span, since)?;
        let whole = found.len() as u64 >= totals.items;
        let page = rsm::Page {
            first: found.first().map(|item| (item.head.id.clone(), None)),
            last: found.last().map(|item| item.head.id.clone()),
            count: whole.then_some(found.len()),
        };
        let entries = found.iter().map(|item| {
            Element::new("item", ns::DISCO_ITEMS)
                .with_attr("jid", house.address.as_str())
                .with_attr("name", &item.head.id)
        });
        Ok((entries.collect(), Some(page)))
    }
}

/// Pages of nodes that are looked through for one page of an answer.
const LOOKS: usize = 10;

//! The forms of bookmarks: items of XEP-0402, and the one element of XEP-0048 in private XML or as an item.

use crate::hooks::Reply;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::state::own_nodes::Item;
use crate::xml::{El, Element};

use super::CURRENT;

/// How an older client asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Private XML (XEP-0049).
    Private,
    /// An item of a node (XEP-0048 §3).
    Pep,
}

/// What an older client asked: with the bookmarks that it brings, if it does.
pub struct Asked {
    pub form: Form,
    pub storage: Option<Element>,
}

/// Reads a request; nothing when it is about something else.
pub fn asked(payload: El<'_>) -> Option<Asked> {
    const STORAGE: (&str, &str) = ("storage", ns::BOOKMARKS_STORAGE);
    if payload.is("query", ns::PRIVATE) {
        let mut children = payload.children();
        let storage = children.next().filter(|el| el.is(STORAGE.0, STORAGE.1))?;
        return children.next().is_none().then(|| Asked {
            form: Form::Private,
            storage: Some(storage.to_element()),
        });
    }
    if !payload.is("pubsub", ns::PUBSUB) {
        return None;
    }
    let act = payload.children().next()?;
    if act.attr("node") != Some(ns::BOOKMARKS_STORAGE) {
        return None;
    }
    let storage = match act.name() {
        "items" => None,
        "publish" => {
            let item = act.child("item", ns::PUBSUB)?;
            Some(item.child(STORAGE.0, STORAGE.1)?.to_element())
        }
        _ => return None,
    };
    Some(Asked {
        form: Form::Pep,
        storage,
    })
}

impl Form {
    /// The bookmarks, in this form.
    pub fn answer(self, storage: Element) -> Element {
        match self {
            Form::Private => Element::new("query", ns::PRIVATE).with_child(storage),
            Form::Pep => {
                let item = Element::new("item", ns::PUBSUB).with_attr("id", CURRENT);
                let items = Element::new("items", ns::PUBSUB)
                    .with_attr("node", ns::BOOKMARKS_STORAGE)
                    .with_child(item.with_child(storage));
                Element::new("pubsub", ns::PUBSUB).with_child(items)
            }
        }
    }

    /// They were written.
    pub fn done(self) -> Reply {
        match self {
            Form::Private => Reply::done(),
            Form::Pep => {
                let item = Element::new("item", ns::PUBSUB).with_attr("id", CURRENT);
                let publish = Element::new("publish", ns::PUBSUB)
                    .with_attr("node", ns::BOOKMARKS_STORAGE)
                    .with_child(item);
                Element::new("pubsub", ns::PUBSUB)
                    .with_child(publish)
                    .into()
            }
        }
    }
}

/// What a bookmark says of its room, in either form.
#[derive(Debug, PartialEq, Eq)]
pub struct Room {
    name: Option<String>,
    autojoin: bool,
    nick: Option<String>,
    password: Option<String>,
}

impl Room {
    /// Reads a `<conference/>`.
    pub fn of(conference: El<'_>) -> Room {
        let leaf = |name| {
            let leaf = conference.child(name, conference.ns())?;
            Some(leaf.text().into_owned())
        };
        Room {
            name: conference.attr("name").map(str::to_owned),
            autojoin: matches!(conference.attr("autojoin"), Some("true" | "1")),
            nick: leaf("nick"),
            password: leaf("password"),
        }
    }
}

/// The rooms in what an older client wrote, by their addresses; the last of several for one room counts.
pub fn rooms(storage: El<'_>) -> Vec<(String, Element)> {
    let mut rooms: Vec<(String, Element)> = Vec::new();
    for child in storage.children().filter(|child| is_room(*child)) {
        let jid = child.attr("jid").and_then(|jid| Jid::parse(jid).ok());
        let Some(jid) = jid else { continue };
        let id = jid.bare_str().to_owned();
        rooms.retain(|(known, _)| *known != id);
        rooms.push((id, child.to_element()));
    }
    rooms
}

/// What an older client wrote, without the rooms.
pub fn others(storage: El<'_>) -> Element {
    let mut others = storage.to_element();
    others.retain_children(|child| {
        let address = child.attr("jid").is_some_and(|jid| Jid::parse(jid).is_ok());
        !(is_room(child) && address)
    });
    others
}

fn is_room(child: El<'_>) -> bool {
    child.is("conference", ns::BOOKMARKS_STORAGE)
}

/// The older form of all items, with what private XML has besides rooms (XEP-0402 §5.3.1).
pub fn storage(items: &[Item], kept: El<'_>) -> Element {
    let mut storage = Element::new("storage", ns::BOOKMARKS_STORAGE);
    for (id, conference) in items {
        if conference.is("conference", ns::BOOKMARKS) {
            let cast = cast(conference.root(), ns::BOOKMARKS_STORAGE);
            storage.push_child(cast.with_attr("jid", id).root());
        }
    }
    for other in others(kept).children() {
        storage.push_child(other);
    }
    storage
}

/// The newer form of a bookmark; what the item had that the older form does not know stays (§3.4).
pub fn item(conference: El<'_>, known: Option<El<'_>>) -> Element {
    let mut item = cast(conference, ns::BOOKMARKS);
    let extensions = known.and_then(|known| known.child("extensions", ns::BOOKMARKS));
    if let Some(extensions) = extensions
        && !item.has_child("extensions", ns::BOOKMARKS)
    {
        item.push_child(extensions);
    }
    item
}

/// A `<conference/>` of one namespace in another.
fn cast(conference: El<'_>, to: &str) -> Element {
    let from = conference.ns();
    let mut cast = Element::new("conference", to);
    for name in ["name", "autojoin"] {
        cast.set_attr(name, conference.attr(name));
    }
    for child in conference.children() {
        if child.ns() != from {
            cast.push_child(child);
            continue;
        }
        let mut own = Element::new(child.name(), to);
        let mut inner = child.children().peekable();
        if inner.peek().is_none() {
            own.push_text(&child.text());
        }
        inner.for_each(|inner| own.push_child(inner));
        cast.push_child(own.root());
    }
    cast
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::stored_xml;

    fn xml(text: &str) -> Element {
        stored_xml::read(text.as_bytes()).unwrap()
    }

    const OLD: &str = "<storage xmlns='storage:bookmarks'>\
        <conference name='Play' autojoin='1' jid='Play@rooms.example'><nick>JC</nick></conference>\
        <url name='Works' url='http://works.example/'/>\
        <conference name='Broken'/></storage>";

    #[test]
    fn old_ones_become_items_and_items_old_ones() {
        let old = xml(OLD);
        let rooms = rooms(old.root());
        let [(id, conference)] = rooms.as_slice() else {
            unreachable!("one room has an address")
        };
        assert_eq!(id, "play@rooms.example");
        let made = item(conference.root(), None);
        let wanted = "<conference xmlns='urn:xmpp:bookmarks:1' name='Play' autojoin='1'>\
            <nick>JC</nick></conference>";
        assert_eq!(made, xml(wanted));
        let back = storage(&[(id.clone(), made)], old.root());
        assert_eq!(back.children().count(), 3);
        assert_eq!(
            Room::of(back.children().next().unwrap()),
            Room::of(conference.root())
        );
        assert_eq!(others(old.root()).children().count(), 2);
    }

    #[test]
    fn what_old_clients_do_not_know_stays() {
        let known = xml("<conference xmlns='urn:xmpp:bookmarks:1' name='A'>\
            <extensions><pinned xmlns='urn:xmpp:bookmarks-pinning:0'/></extensions></conference>");
        let old = storage(
            &[("a@rooms".to_owned(), known.clone())],
            xml("<storage xmlns='storage:bookmarks'/>").root(),
        );
        let conference = old.children().next().unwrap();
        assert!(conference.has_child("extensions", ns::BOOKMARKS_STORAGE));
        let rewritten = xml("<conference xmlns='storage:bookmarks' name='B' jid='a@rooms'/>");
        let item = item(rewritten.root(), Some(known.root()));
        assert_eq!(item.attr("name"), Some("B"));
        let extensions = item.child("extensions", ns::BOOKMARKS).unwrap();
        assert!(extensions.has_child("pinned", "urn:xmpp:bookmarks-pinning:0"));
    }
}

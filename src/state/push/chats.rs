//! XEP-0492: Chat notification settings (0.2.0), as they stand in bookmarks (XEP-0402): which chats wake their owner's devices.

use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{Kind, MessageType, Stanza};
use crate::state::own_nodes::OwnNodes;
use crate::xml::{El, Element};

/// Whether a message may wake the devices of an account; `sealed` if its text cannot be read, `kind` what type of client they are.
pub(super) async fn wakes(
    own: &OwnNodes,
    account: &Jid,
    stanza: &Stanza,
    sealed: bool,
    kind: &str,
    unset: &Unset,
) -> bool {
    let Some(chat) = stanza.from.as_ref().map(Jid::bare) else {
        return true;
    };
    let bookmark = own.item(ns::BOOKMARKS, chat.as_str()).await;
    let Ok(bookmark) = bookmark else {
        // Nothing can be read now.
        return true;
    };
    let bookmark = bookmark.as_ref().map(Element::root);
    let set = bookmark.and_then(|bookmark| Wish::of(bookmark, kind));
    match set.unwrap_or(unset.wish) {
        Wish::Always => true,
        Wish::Never => false,
        Wish::OnMention => {
            let nick = bookmark.and_then(|bookmark| bookmark.child("nick", ns::BOOKMARKS));
            let nick = nick.map(|nick| nick.text().into_owned());
            let nick = nick.filter(|nick| !nick.trim().is_empty());
            let own = account.node().unwrap_or_default();
            let otherwise = unset.nick.as_deref().unwrap_or(own);
            sealed || mentions(stanza, account, nick.as_deref().unwrap_or(otherwise))
        }
    }
}

/// What holds of a chat whose bookmark does not say.
#[derive(Debug)]
pub(super) struct Unset {
    wish: Wish,
    nick: Option<Box<str>>,
}

impl Default for Unset {
    fn default() -> Self {
        Unset {
            wish: Wish::Always,
            nick: None,
        }
    }
}

impl Unset {
    /// Of a room that everybody may find and enter, or of another one (§3), with the nickname it keeps.
    pub fn of_room(open: bool, nick: Option<Box<str>>) -> Self {
        let wish = if open { Wish::OnMention } else { Wish::Always };
        Unset { wish, nick }
    }
}

/// What wakes somebody in a chat (§2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Always,
    OnMention,
    Never,
}

impl Wish {
    /// The wish that is most specific to a client of this type (§3).
    fn of(bookmark: El<'_>, kind: &str) -> Option<Wish> {
        let extensions = bookmark.child("extensions", ns::BOOKMARKS);
        let notify = extensions.and_then(|it| it.child("notify", ns::NOTIFICATION_SETTINGS));
        let wishes = notify.into_iter().flat_map(|notify| notify.children());
        let known = wishes.filter_map(|wish| {
            let (category, of) = (wish.attr("identity-category"), wish.attr("identity-type"));
            let specific = match (category, of) {
                (None, _) => 0,
                (Some("client"), None) => 1,
                (Some("client"), Some(of)) if of == kind => 2,
                _ => return None,
            };
            let wish = match (wish.ns(), wish.name()) {
                (ns::NOTIFICATION_SETTINGS, "always") => Wish::Always,
                (ns::NOTIFICATION_SETTINGS, "on-mention") => Wish::OnMention,
                (ns::NOTIFICATION_SETTINGS, "never") => Wish::Never,
                _ => return None,
            };
            Some((specific, wish))
        });
        let best = known.max_by_key(|(specific, _)| *specific);
        best.map(|(_, wish)| wish)
    }
}

/// Whether a message is for somebody who is called `nick` in its chat: what is said to him alone is, and what names him, by his
/// address (XEP-0372, XEP-0513), as whom it answers (XEP-0461), or in its text.
fn mentions(stanza: &Stanza, account: &Jid, nick: &str) -> bool {
    if stanza.kind != Kind::Message(MessageType::Groupchat) {
        return true;
    }
    let is_me = |jid: &Jid| jid.bare_str() == account.bare_str() || jid.resource() == Some(nick);
    let names = |jid: Option<&str>| {
        let jid = jid.and_then(|jid| Jid::parse(jid).ok());
        jid.is_some_and(|jid| is_me(&jid))
    };
    stanza
        .children()
        .any(|child| match (child.ns(), child.name()) {
            (ns::REFERENCE, "reference") => {
                let uri = child.attr("uri").and_then(|uri| uri.strip_prefix("xmpp:"));
                child.attr("type") == Some("mention") && names(uri)
            }
            (ns::MENTIONS, "mention") => {
                child.attr("mentions").is_some() || names(child.attr("jid"))
            }
            (ns::REPLY, "reply") => names(child.attr("to")),
            (ns::CLIENT, "body") => says(&child.text(), nick),
            _ => false,
        })
}

/// Whether a text holds a name, as a word of its own.
fn says(text: &str, name: &str) -> bool {
    let (text, name) = (text.to_lowercase(), name.to_lowercase());
    let ends = |char: Option<char>| char.is_none_or(|char| !char.is_alphanumeric());
    text.match_indices(&name).any(|(at, found)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text
            .get(at + found.len()..)
            .and_then(|after| after.chars().next());
        ends(before) && ends(after)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_most_specific_wish_counts() {
        let wish = |name: &str, of: Option<(&str, Option<&str>)>| {
            let mut wish = Element::new(name, ns::NOTIFICATION_SETTINGS);
            if let Some((category, kind)) = of {
                wish.set_attr("identity-category", Some(category));
                wish.set_attr("identity-type", kind);
            }
            wish
        };
        let all = [
            wish("never", Some(("client", Some("pc")))),
            wish("on-mention", Some(("client", Some("phone")))),
            wish("on-mention", Some(("gateway", None))),
            wish("never", Some(("client", None))),
            wish("always", None),
        ];
        let of = |wishes: &[Element], kind| {
            let notify = Element::new("notify", ns::NOTIFICATION_SETTINGS);
            let notify = notify.with_children(wishes.iter().cloned());
            let extensions = Element::new("extensions", ns::BOOKMARKS).with_child(notify);
            let bookmark = Element::new("conference", ns::BOOKMARKS).with_child(extensions);
            Wish::of(bookmark.root(), kind).unwrap()
        };
        assert_eq!(of(&all, "phone"), Wish::OnMention);
        assert_eq!(of(&all, "web"), Wish::Never);
        let [.., fallback] = all;
        assert_eq!(of(&[fallback], "web"), Wish::Always);
        let plain = Element::new("conference", ns::BOOKMARKS);
        assert_eq!(Wish::of(plain.root(), "phone"), None);
    }

    #[test]
    fn who_is_named_is_mentioned() {
        let account = Jid::parse("hag66@shakespeare.lit").unwrap();
        let said = |kind, child: Element| {
            let stanza = Stanza::message(kind).with_child(child);
            mentions(&stanza, &account, "thirdwitch")
        };
        let body = |text: &str| Element::new("body", ns::CLIENT).with_text(text);
        let room = MessageType::Groupchat;
        for (text, mentioned) in [
            ("Harpier cries", false),
            ("ThirdWitch: 'tis time", true),
            ("the thirdwitches", false),
            ("ask athirdwitch, or thirdwitch.", true),
            ("", false),
        ] {
            assert_eq!(said(room, body(text)), mentioned, "{text}");
        }
        assert!(said(MessageType::Chat, body("Harpier cries")));
        let reference = |kind, uri| {
            Element::new("reference", ns::REFERENCE)
                .with_attr("type", kind)
                .with_attr("uri", uri)
        };
        assert!(said(
            room,
            reference("mention", "xmpp:hag66@shakespeare.lit")
        ));
        assert!(!said(room, reference("data", "xmpp:hag66@shakespeare.lit")));
        assert!(!said(
            room,
            reference("mention", "xmpp:crone1@shakespeare.lit")
        ));
        let reply = Element::new("reply", ns::REPLY);
        assert!(said(
            room,
            reply.with_attr("to", "coven@chat.shakespeare.lit/thirdwitch")
        ));
        let mention = |name, value| Element::new("mention", ns::MENTIONS).with_attr(name, value);
        assert!(said(
            room,
            mention("mentions", "urn:xmpp:mentions:0#channel")
        ));
        assert!(said(room, mention("jid", "hag66@shakespeare.lit")));
        assert!(!said(
            room,
            mention("occupantid", "dd72603deec90a38ba552f7c68cbcc61")
        ));
    }
}

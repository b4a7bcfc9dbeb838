//! What is worth waking somebody for, and what a notification tells of it.

use crate::choice;
use crate::hooks::{Class, Facts};
use crate::mls::framing::{self, Frame};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{Kind, MessageType, Stanza};
use crate::state::mls;
use crate::xml::El;

choice! {
    /// What notifications tell of a message.
    pub enum Content {
        /// That there is one.
        None = "none",
        /// From whom it is.
        Sender = "sender",
        /// From whom it is and what it says, unless it is encrypted.
        Body = "sender+body",
    }
}

/// Bytes of a message's text that a notification carries.
const TEXT: usize = 1_000;

/// What happened since a device was told last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notice {
    /// New messages.
    pub messages: u32,
    /// Requests for the account's presence that wait for an answer; 0 if nothing is new about them.
    pub requests: u32,
    /// The last message.
    pub last: Option<Last>,
    /// A call that comes in or is over, which does not wait.
    pub call: Option<Call>,
}

/// What is told of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Last {
    /// From whom.
    pub sender: Option<Jid>,
    /// What it says, shortened.
    pub body: Option<String>,
}

/// An invitation to a call, by its id (XEP-0353, XEP-0482).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Somebody calls.
    Invited(String),
    /// He does so no longer.
    Over(String),
}

impl Notice {
    /// What to tell of a message to `account`; nothing of what is its own, of receipts, markers, chat states, errors, reactions
    /// and of everything else that nobody takes his phone out for.
    pub fn of(stanza: &Stanza, facts: &Facts, account: &Jid, content: Content) -> Option<Notice> {
        let Kind::Message(MessageType::Chat | MessageType::Normal | MessageType::Groupchat) =
            stanza.kind
        else {
            return None;
        };
        let sender = stanza.from.as_ref()?;
        if sender.bare_str() == account.bare_str() {
            return None;
        }
        let call = call(stanza);
        if call.is_none() && !speaks(stanza, facts.class) {
            return None;
        }
        let told = facts.sealed.is_none() && content == Content::Body;
        let body = stanza.child("body", ns::CLIENT).filter(|_| told);
        Some(Notice {
            messages: u32::from(!matches!(call, Some(Call::Over(_)))),
            requests: 0,
            last: Some(Last {
                sender: (content != Content::None).then(|| sender.clone()),
                body: body.map(|body| shortened(&body.text())),
            }),
            call,
        })
    }

    /// What to tell when a client of the account answers a call, or declines it: it rings no longer for the others.
    pub fn answered(stanza: &Stanza) -> Option<Notice> {
        let id = stanza
            .children()
            .find_map(|child| match (child.ns(), child.name()) {
                (ns::JINGLE_MESSAGE, "proceed" | "reject")
                | (ns::CALL_INVITES, "accept" | "reject") => child.attr("id"),
                _ => None,
            })?;
        Some(Notice {
            call: Some(Call::Over(id.to_owned())),
            ..Notice::default()
        })
    }

    /// So many requests for the account's presence wait.
    pub fn of_requests(requests: usize) -> Notice {
        Notice {
            requests: u32::try_from(requests).unwrap_or(u32::MAX),
            ..Notice::default()
        }
    }

    /// Whether it does not wait for others.
    pub fn is_urgent(&self) -> bool {
        self.call.is_some()
    }

    /// What came later joins it.
    pub fn join(&mut self, later: Notice) {
        self.messages = self.messages.saturating_add(later.messages);
        if later.requests > 0 {
            self.requests = later.requests;
        }
        self.last = later.last.or_else(|| self.last.take());
        self.call = later.call.or_else(|| self.call.take());
    }
}

/// Whether it says something to people.
fn speaks(stanza: &Stanza, class: Class) -> bool {
    let follows = |child: El<'_>| match child.ns() {
        ns::CONFERENCE => child.name() == "x",
        ns::OOB | ns::FILE_SHARING | ns::MEDIA_SHARING => true,
        _ => false,
    };
    match class {
        Class::Content => !is_key_transport(stanza) && !changes_group(stanza),
        Class::Follow => stanza.children().any(follows),
        Class::Other => invites(stanza),
        Class::Marker | Class::ChatState | Class::Call | Class::Error | Class::None => false,
    }
}

/// Into a room (XEP-0045 §7.8.2), or as a member into a group of MLS (RFC 9420 §12.4.3.1).
fn invites(stanza: &Stanza) -> bool {
    let room = stanza.child("x", ns::MUC_USER);
    room.is_some_and(|x| x.has_child("invite", ns::MUC_USER))
        || stanza.child("welcome", ns::MLS).is_some()
}

/// OMEMO without a payload: clients agree on keys (XEP-0384 §4.6).
fn is_key_transport(stanza: &Stanza) -> bool {
    [ns::OMEMO, ns::OMEMO_LEGACY].iter().any(|omemo| {
        let sealed = stanza.child("encrypted", omemo);
        sealed.is_some_and(|sealed| !sealed.has_child("payload", omemo))
    })
}

/// MLS: the members of a group change it; nobody says anything (RFC 9420 §6).
fn changes_group(stanza: &Stanza) -> bool {
    let message = stanza.child("mls", ns::MLS).and_then(mls::decode);
    let frame = message.as_deref().map(framing::read);
    matches!(frame, Some(Ok(Frame::Message(framed))) if framed.content != framing::Content::Application)
}

fn call(stanza: &Stanza) -> Option<Call> {
    let id = |child: El<'_>| child.attr("id").unwrap_or_default().to_owned();
    stanza
        .children()
        .find_map(|child| match (child.ns(), child.name()) {
            (ns::JINGLE_MESSAGE, "propose") => Some(Call::Invited(id(child))),
            (ns::CALL_INVITES, "invite") => {
                let id = stanza.id.as_deref().unwrap_or_default();
                Some(Call::Invited(id.to_owned()))
            }
            (ns::JINGLE_MESSAGE | ns::CALL_INVITES, "retract") => Some(Call::Over(id(child))),
            _ => None,
        })
}

fn shortened(text: &str) -> String {
    let mut text = text.to_owned();
    text.truncate(text.floor_char_boundary(TEXT));
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::mls::testing;
    use crate::xml::Element;

    fn notice(kind: MessageType, children: &[Element], content: Content) -> Option<Notice> {
        let mut stanza = Stanza::message(kind)
            .with_from(Jid::parse("romeo@x/orchard").unwrap())
            .with_id("m1");
        for child in children {
            stanza.push(child.clone());
        }
        let account = Jid::parse("juliet@x").unwrap();
        Notice::of(&stanza, &Facts::of(&stanza), &account, content)
    }

    fn chat(child: Element) -> Option<Notice> {
        notice(MessageType::Chat, &[child], Content::None)
    }

    fn el(name: &str, ns: &str) -> Element {
        Element::new(name, ns).with_attr("id", "c1")
    }

    #[test]
    fn what_speaks_to_people_is_told() {
        let payload = el("encrypted", ns::OMEMO_LEGACY).with_child(el("payload", ns::OMEMO_LEGACY));
        let invite = el("x", ns::MUC_USER).with_child(el("invite", ns::MUC_USER));
        for told in [
            el("body", ns::CLIENT),
            payload,
            invite,
            el("x", ns::CONFERENCE),
            el("file-sharing", ns::FILE_SHARING),
        ] {
            let notice = chat(told).unwrap();
            assert_eq!((notice.messages, notice.is_urgent()), (1, false));
            assert_eq!(notice.last, Some(Last::default()));
        }
        let mls = |kind| {
            let bytes = mls::encode(&testing::private(b"group", 1, kind));
            Element::new("mls", ns::MLS).with_text(&bytes)
        };
        assert!(chat(mls(1)).is_some() && chat(Element::new("mls", ns::MLS)).is_some());
        assert!(chat(mls(2)).is_none() && chat(mls(3)).is_none());
        for not in [
            el("received", ns::RECEIPTS),
            el("displayed", ns::CHAT_MARKERS),
            el("composing", ns::CHAT_STATES),
            el("reactions", ns::REACTIONS),
            el("retract", ns::RETRACT),
            el("encrypted", ns::OMEMO_LEGACY),
            el("ringing", ns::JINGLE_MESSAGE),
            el("finish", ns::JINGLE_MESSAGE),
            el("subject", ns::CLIENT),
        ] {
            assert_eq!(chat(not.clone()), None, "{not:?}");
        }
        let body = [el("body", ns::CLIENT)];
        assert!(notice(MessageType::Groupchat, &body, Content::None).is_some());
        assert!(notice(MessageType::Normal, &body, Content::None).is_some());
        assert_eq!(notice(MessageType::Headline, &body, Content::None), None);
        assert_eq!(notice(MessageType::Error, &body, Content::None), None);
    }

    #[test]
    fn nothing_is_told_of_ones_own_messages() {
        let own = Stanza::message(MessageType::Chat)
            .with_from(Jid::parse("juliet@x/desk").unwrap())
            .with_child(el("body", ns::CLIENT));
        let account = Jid::parse("juliet@x").unwrap();
        let facts = Facts::of(&own);
        assert_eq!(Notice::of(&own, &facts, &account, Content::Body), None);
    }

    #[test]
    fn calls_are_urgent_until_somebody_answers() {
        let invited = chat(el("propose", ns::JINGLE_MESSAGE)).unwrap();
        assert_eq!(invited.call, Some(Call::Invited("c1".to_owned())));
        assert!(invited.is_urgent() && invited.messages == 1);
        for answer in [
            el("proceed", ns::JINGLE_MESSAGE),
            el("reject", ns::JINGLE_MESSAGE),
            el("accept", ns::CALL_INVITES),
        ] {
            let said = Stanza::message(MessageType::Chat).with_child(answer);
            let over = Notice::answered(&said).unwrap();
            assert_eq!(over.call, Some(Call::Over("c1".to_owned())));
            assert_eq!(over.messages, 0);
        }
        let rings =
            Stanza::message(MessageType::Chat).with_child(el("ringing", ns::JINGLE_MESSAGE));
        assert_eq!(Notice::answered(&rings), None);
        let over = chat(el("retract", ns::JINGLE_MESSAGE)).unwrap();
        assert_eq!(over.call, Some(Call::Over("c1".to_owned())));
        let mut both = invited;
        both.join(over);
        assert_eq!(both.call, Some(Call::Over("c1".to_owned())));
        assert_eq!(both.messages, 1);
        let invited = chat(el("invite", ns::CALL_INVITES)).unwrap();
        assert_eq!(invited.call, Some(Call::Invited("m1".to_owned())));
    }

    #[test]
    fn who_wants_it_is_told_who_speaks_and_what_he_says() {
        let body = el("body", ns::CLIENT).with_text(&"é".repeat(TEXT));
        let last = |content| {
            let notice = notice(MessageType::Chat, std::slice::from_ref(&body), content);
            notice.unwrap().last.unwrap()
        };
        let sender = last(Content::Sender);
        assert_eq!(sender.sender.unwrap().as_str(), "romeo@x/orchard");
        assert_eq!(sender.body, None);
        assert_eq!(last(Content::Body).body.unwrap().len(), TEXT);
        // What stands beside an encrypted payload is not what was said.
        let sealed = el("encrypted", ns::OMEMO).with_child(el("payload", ns::OMEMO));
        let sealed = notice(MessageType::Chat, &[body, sealed], Content::Body);
        assert_eq!(sealed.unwrap().last.unwrap().body, None);
    }
}

//! The hash of the picture in presence (XEP-0398 §4, XEP-0153 §3).

use std::sync::Arc;

use crate::hooks::{Effect, Envelope, Origin, Turn, Uid, Verdict};
use crate::proto::ns;
use crate::proto::stanza::{Kind, PresenceType, Stanza};
use crate::state::owned::Owner;
use crate::state::roster::Roster;
use crate::store::{Key, Snapshot, Space, StoreError};
use crate::xml::Element;

/// The hash that an account's presence has, empty where it has no picture; a part of the account where that is known.
pub struct Shown(String);

impl Shown {
    /// Reads it.
    ///
    /// # Errors
    /// The store's.
    pub fn load(view: &dyn Snapshot, space: Space, uid: Uid) -> Result<Option<Shown>, StoreError> {
        let stored = view.get(space, &Key::new().u64(uid.0))?;
        let hash = stored.and_then(|stored| String::from_utf8(stored).ok());
        Ok(hash.map(Shown))
    }
}

/// The server says it, whatever the client says, unless that says that it is not ready to.
pub fn amend(envelope: &mut Envelope, turn: &mut Turn<'_>) -> Verdict {
    if envelope.stanza.kind != Kind::Presence(PresenceType::Available) {
        return Verdict::Continue;
    }
    if let Some(Shown(hash)) = turn.account.parts.find::<Shown>()
        && let Some(changed) = with_hash(&envelope.stanza, hash)
    {
        *envelope.amend() = changed;
    }
    Verdict::Continue
}

/// The presence with this hash; nothing where it stays as it is.
fn with_hash(presence: &Stanza, hash: &str) -> Option<Stanza> {
    let update = presence.child("x", ns::VCARD_UPDATE);
    let photo = update.and_then(|update| update.child("photo", ns::VCARD_UPDATE));
    match photo.map(|photo| photo.text().trim().to_owned()) {
        // §4: an empty one is the client's wish.
        Some(said) if said.is_empty() || said == hash => return None,
        // It knows of a picture that is not known here, or not yet.
        Some(_) if hash.is_empty() => return None,
        None if hash.is_empty() => return None,
        _ => {}
    }
    let mut changed = presence.clone();
    changed.retain_children(|child| !child.is("x", ns::VCARD_UPDATE));
    let photo = Element::new("photo", ns::VCARD_UPDATE).with_text(hash);
    changed.push(Element::new("x", ns::VCARD_UPDATE).with_child(photo));
    Some(changed)
}

/// From now on presence has this hash: whoever has presence of the account hears of it.
pub fn show(turn: &mut Turn<'_>, space: Space, hash: String) {
    let before = turn.account.parts.find::<Shown>();
    let same = before.map_or("", |Shown(before)| before) == hash;
    let Some(owner) = Owner::of(turn.account).filter(|_| !same) else {
        return;
    };
    let key = Key::new().u64(owner.uid().0);
    turn.batch().put(space, &key, hash.as_bytes());
    turn.account.parts.put(Shown(hash.clone()));
    let mut told = Vec::new();
    for session in &mut turn.account.sessions {
        let changed = session.presence.as_deref();
        if let Some(changed) = changed.and_then(|presence| anew(presence, &hash)) {
            let changed = Arc::new(changed);
            session.presence = Some(changed.clone());
            told.push((session.id, changed));
        }
    }
    let roster = turn.account.parts.find::<Roster>();
    let contacts = roster.into_iter().flat_map(Roster::subscribers);
    let contacts = contacts.filter(|contact| !turn.account.bars(contact));
    let own = turn.account.available().map(|session| &session.jid);
    let all: Vec<_> = contacts.chain(own).cloned().collect();
    for (session, presence) in told {
        for to in &all {
            let copy = Envelope::new(presence.clone(), to.clone(), Origin::Session(session));
            turn.ledger.effects.push(Effect::Send(Box::new(copy)));
        }
    }
}

/// What a session said last, with another hash; nothing if it does not want one. Without a picture it is an empty one.
fn anew(presence: &Stanza, hash: &str) -> Option<Stanza> {
    if !hash.is_empty() {
        return with_hash(presence, hash);
    }
    let mut changed = presence.clone();
    let had = changed.retain_children(|child| !child.is("x", ns::VCARD_UPDATE));
    changed.push(
        Element::new("x", ns::VCARD_UPDATE).with_child(Element::new("photo", ns::VCARD_UPDATE)),
    );
    had.then_some(changed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn said(photo: Option<&str>) -> Stanza {
        let mut x = Element::new("x", ns::VCARD_UPDATE);
        if let Some(text) = photo {
            x = x.with_child(Element::new("photo", ns::VCARD_UPDATE).with_text(text));
        }
        Stanza::presence(PresenceType::Available).with_child(x)
    }

    fn hash(presence: &Stanza) -> Option<String> {
        let x = presence.child("x", ns::VCARD_UPDATE)?;
        Some(x.child("photo", ns::VCARD_UPDATE)?.text().into_owned())
    }

    #[test]
    fn the_server_says_it_unless_the_client_is_not_ready() {
        let bare = Stanza::presence(PresenceType::Available);
        for presence in [&bare, &said(None), &said(Some("old"))] {
            let changed = with_hash(presence, "new").unwrap();
            assert_eq!(hash(&changed).as_deref(), Some("new"), "{presence:?}");
        }
        for presence in [said(Some("")), said(Some("new"))] {
            assert!(with_hash(&presence, "new").is_none(), "{presence:?}");
        }
        assert!(with_hash(&bare, "").is_none());
    }

    #[test]
    fn a_picture_that_is_gone_is_told() {
        let gone = anew(&said(Some("old")), "").unwrap();
        assert_eq!(hash(&gone).as_deref(), Some(""));
        let bare = Stanza::presence(PresenceType::Available);
        assert!(anew(&bare, "").is_none());
    }
}

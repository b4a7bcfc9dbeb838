//! What of an account is one element each in the store and in the file: vCard, private XML, and what it chose for itself.

use crate::hooks::Uid;
use crate::proto::ns;
use crate::state::calls::Hidden;
use crate::state::owned::Change;
use crate::state::protection::Chosen;
use crate::state::rejoin::Rejoin;
use crate::state::stored_xml;
use crate::store::{Direction, Key, Range, Snapshot, Space, StoreError};
use crate::xml::{El, Element};

/// The first byte of a stored vCard.
const FORMAT: u8 = 1;

fn open(value: &[u8]) -> Option<Element> {
    let (format, xml) = value.split_first()?;
    (*format == FORMAT).then(|| stored_xml::read(xml)).flatten()
}

/// The elements that stand for what an account has stored.
pub fn parts(view: &dyn Snapshot, uid: Uid) -> Result<Vec<Element>, StoreError> {
    let account = Key::new().u64(uid.0);
    let mut parts = Vec::new();
    let vcard = view.get(Space::PROFILE, &account)?;
    parts.extend(vcard.as_deref().and_then(open));
    let all = Range::prefix(account);
    let private = view.scan(Space::PRIVATE_XML, &all, Direction::Forward, usize::MAX)?;
    let private: Vec<Element> = private
        .iter()
        .filter_map(|(_, value)| stored_xml::read(value))
        .collect();
    if !private.is_empty() {
        parts.push(Element::new("query", ns::PRIVATE).with_children(private));
    }
    let chosen = Chosen::load(view, uid)?;
    parts.extend(chosen.map(Chosen::to_element));
    let hidden = Hidden::load(view, uid)?;
    parts.extend(hidden.map(Hidden::to_element));
    let rejoin = Rejoin::load(view, uid)?;
    parts.extend(rejoin.map(Rejoin::to_element));
    Ok(parts)
}

/// The space and the entries that an element becomes; `None` if it is not of a kind that is stored as one.
pub fn changes(part: &Element) -> Option<(Space, Vec<Change>)> {
    let entry = |key, value| Change {
        key,
        value: Some(value),
    };
    if part.is("vCard", ns::VCARD) {
        let vcard = [vec![FORMAT], stored_xml::write(part.root())].concat();
        return Some((Space::PROFILE, vec![entry(Key::new(), vcard)]));
    }
    if part.is("query", ns::PRIVATE) {
        let key = |element: El<'_>| stored_xml::private_key(element.ns(), element.name());
        let entries = part
            .children()
            .map(|element| entry(key(element), stored_xml::write(element)));
        return Some((Space::PRIVATE_XML, entries.collect()));
    }
    None
}

//! Who is reported (XEP-0377), as far as who reports lets it be passed on: the owners learn of it, not from whom.

use super::{Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{MessageType, Stanza};
use crate::runtime::random;
use crate::state::rooms::Affiliation;
use crate::xml::{El, Element};

impl Room {
    /// What the server passes on of a report of somebody's who blocks an occupant.
    pub(super) fn pass_report(&self, stanza: &Stanza, out: &mut Out) -> Result<(), Refused> {
        let block = stanza.child("block", ns::BLOCKING);
        let item = block.and_then(|block| block.child("item", ns::BLOCKING));
        let report = item.and_then(|item| item.child("report", ns::REPORTING));
        let (Some(item), Some(report)) = (item, report) else {
            return Err(StanzaError::from(Condition::BadRequest));
        };
        let about = item.attr("jid").and_then(|jid| Jid::parse(jid).ok());
        let nick = about.as_ref().and_then(Jid::resource);
        let owners = self.stored.iter().flat_map(|stored| &stored.affiliates);
        let owners = owners.filter(|(_, known)| known.affiliation == Affiliation::Owner);
        let message = Stanza::message(MessageType::Normal)
            .with_from(self.jid.clone())
            .with_id(random::id())
            .with_child(Element::new("body", ns::CLIENT).with_text(&words(nick, report)))
            .with_child(report.to_element())
            .with_child(Element::new("store", ns::HINTS));
        out.tell_all(owners.map(|(jid, _)| jid.clone()).collect(), message);
        Ok(())
    }
}

/// For people.
fn words(nick: Option<&str>, report: El<'_>) -> String {
    let reason = report.attr("reason").unwrap_or_default();
    let reason = reason.strip_prefix("urn:xmpp:reporting:").unwrap_or(reason);
    let mut words = match nick {
        Some(nick) => format!("Somebody blocked {nick} in this room and reports: {reason}"),
        None => format!("Somebody blocked this room and reports: {reason}"),
    };
    for text in report.children().filter(|el| el.name() == "text") {
        words.push('\n');
        words.push_str(text.text().trim());
    }
    words
}

//! Clients of other servers, as they are written down.

use super::Room;
use super::occupants::Role;
use super::said::{self, Told, code};
use crate::proto::jid::Jid;
use crate::proto::stanza::{PresenceType, Stanza};
use crate::state::rooms::guests::{self, Guest};
use crate::store::Batch;

impl Room {
    /// Writes down who of those that `is_guest` accepts came, went or has another nickname.
    pub fn write_guests(&mut self, is_guest: impl Fn(&Jid) -> bool) -> Batch {
        let mut batch = Batch::new().relaxed();
        for client in self.occupants.moved() {
            if client.is_full() && is_guest(&client) {
                match self.occupants.of(&client) {
                    Some(there) => guests::keep(&mut batch, &self.jid, &client, there.nick()),
                    None => guests::forget(&mut batch, &self.jid, &client),
                }
            }
        }
        batch
    }

    /// §11.2: what a client is told that was there when the service ended without a word, unless it is there again.
    pub fn put_out_lost(&self, (client, nick): &Guest) -> Option<Stanza> {
        if self.occupants.of(client).is_some() {
            return None;
        }
        let told = Told {
            codes: &[code::SELF, code::SHUTDOWN],
            ..Told::default()
        };
        let affiliation = self.affiliation(&client.bare());
        let x = said::extension(affiliation, Role::None, Some(client), &told, []);
        let stanza = Stanza::presence(PresenceType::Unavailable)
            .with_from(self.jid.with_resource(nick).ok()?)
            .with_child(x);
        Some(stanza)
    }

    /// Such a client is not written down any more.
    pub fn forget_lost(&self, (client, _): &Guest, batch: &mut Batch) {
        guests::forget(batch, &self.jid, client);
    }
}

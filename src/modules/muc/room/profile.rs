//! The picture of a room, in a vCard (XEP-0486 0.1.0).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::said::code;
use super::{Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::state::rooms;
use crate::state::stored_xml;
use crate::xml::El;

/// Forms of the picture that are told of.
const PICTURES: usize = 8;

impl Room {
    /// §3.2: an owner sets it, or takes it away with one that is empty.
    pub(super) fn set_profile(
        &mut self,
        bare: &Jid,
        vcard: El<'_>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        self.as_owner(bare)?;
        if self.locked {
            return Err(StanzaError::from(Condition::NotAllowed)
                .with_text("The room is not configured yet"));
        }
        let most = self.rules.profile;
        let stored = stored_xml::write(vcard);
        if stored.len() > most {
            return Err(StanzaError::from(Condition::NotAcceptable)
                .with_text(format!("A vCard of a room has at most {most} bytes")));
        }
        let pictures = pictures(vcard)?;
        let Some(record) = self.stored.as_mut().map(|stored| &mut stored.record) else {
            return Err(Condition::ItemNotFound.into());
        };
        let empty = vcard.children().next().is_none();
        rooms::profile(&mut out.batch, record.rid, (!empty).then_some(stored));
        record.pictures = pictures;
        self.save(out);
        self.tell_codes([code::CONFIGURED], out);
        Ok(())
    }
}

/// §5.1: the hashes of all forms of the picture.
fn pictures(vcard: El<'_>) -> Result<Vec<String>, Refused> {
    let photos = vcard.children().filter(|el| el.is("PHOTO", ns::VCARD));
    let data = photos.filter_map(|photo| photo.child("BINVAL", ns::VCARD));
    let hash = |data: El<'_>| {
        let text: String = data.text().split_whitespace().collect();
        let bytes = STANDARD.decode(text).map_err(|_| {
            StanzaError::from(Condition::BadRequest).with_text("The picture is not in base64")
        })?;
        let digest = Sha1::digest(bytes);
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    };
    data.take(PICTURES).map(hash).collect()
}

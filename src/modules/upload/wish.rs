//! What a client asks for (XEP-0363 §4, §5), and how it is refused (§6).

use super::Shared;
use crate::proto::error::{Condition, ErrorType, StanzaError};
use crate::proto::{Jid, datetime, ns};
use crate::state::files::{FileError, Full, Purpose, Wish};
use crate::store::CommitError;
use crate::xml::{El, Element};

/// Bytes of a name, and of a media type.
const NAME: usize = 1_024;
const MEDIA: usize = 127;

/// Reads a request of an account.
///
/// # Errors
/// What the client is told.
pub(super) fn read(shared: &Shared, account: Jid, request: El<'_>) -> Result<Wish, StanzaError> {
    let bad = |text: &str| StanzaError::from(Condition::BadRequest).with_text(text);
    let name = request.attr("filename").unwrap_or_default().trim();
    if name.is_empty() {
        return Err(bad("A file has a name"));
    }
    if name.len() > NAME {
        return Err(StanzaError::from(Condition::NotAcceptable).with_text("The name is too long"));
    }
    let size = request.attr("size").unwrap_or_default();
    let size = size.parse::<u64>().ok().filter(|size| *size > 0);
    let size = size.ok_or_else(|| bad("A file has a size, in bytes"))?;
    let media = match request.attr("content-type") {
        None | Some("") => String::new(),
        Some(media) => essence(media).ok_or_else(|| bad("This is no media type"))?,
    };
    let (purpose, latest) = purpose(shared, request)?;
    let most = match purpose {
        Purpose::Profile => shared.config.profile_size.0,
        _ => shared.config.size.0,
    };
    if size > most {
        shared.figures.size.count();
        return Err(too_large(most));
    }
    Ok(Wish {
        account,
        name: name.to_owned(),
        size,
        media,
        purpose,
        latest,
    })
}

/// §5: without any it is for a message.
fn purpose(shared: &Shared, request: El<'_>) -> Result<(Purpose, Option<u64>), StanzaError> {
    let mut named = request
        .children()
        .filter(|child| child.ns() == ns::UPLOAD_PURPOSE);
    let Some(child) = named.next() else {
        return Ok((Purpose::Message, None));
    };
    if named.next().is_some() {
        return Err(StanzaError::from(Condition::BadRequest).with_text("A file has one purpose"));
    }
    let mut known = Purpose::ALL.into_iter();
    let purpose = known.find(|purpose| purpose.as_str() == child.name());
    match purpose.filter(|purpose| shared.offers(*purpose)) {
        Some(Purpose::Ephemeral) => {
            let latest = child.attr("expire-before").and_then(datetime::parse);
            let latest = latest.filter(|latest| *latest > shared.clock.wall());
            let Some(latest) = latest else {
                let error = StanzaError::from(Condition::BadRequest);
                return Err(error.with_text("expire-before is no moment to come"));
            };
            Ok((Purpose::Ephemeral, Some(latest)))
        }
        Some(purpose) => Ok((purpose, None)),
        None => Err(StanzaError::from(Condition::FeatureNotImplemented)
            .with_text("Files are not kept for this purpose")),
    }
}

/// The type and subtype of a media type (RFC 9110 §8.3.1), in lower case; parameters are left out.
pub(super) fn essence(media: &str) -> Option<String> {
    let essence = media.split(';').next()?.trim();
    let (kind, sub) = essence.split_once('/')?;
    let token = |text: &str| {
        let tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        !text.is_empty() && text.bytes().all(tchar)
    };
    (essence.len() <= MEDIA && token(kind) && token(sub)).then(|| essence.to_ascii_lowercase())
}

/// §6, example 11.
fn too_large(most: u64) -> StanzaError {
    let size = Element::new("max-file-size", ns::HTTP_UPLOAD).with_text(&most.to_string());
    StanzaError::from(Condition::NotAcceptable)
        .with_text(format!(
            "File too large. The maximum file size is {most} bytes"
        ))
        .with_app(Element::new("file-too-large", ns::HTTP_UPLOAD).with_child(size))
}

impl Shared {
    /// Whether files of this purpose are taken.
    pub(super) fn offers(&self, purpose: Purpose) -> bool {
        purpose != Purpose::Permanent || self.config.permanent
    }

    /// What a client is told that gets no slot.
    pub(super) fn refusal(&self, account: &Jid, error: &FileError) -> StanzaError {
        match error {
            FileError::Full(full, retry) => {
                self.count(*full);
                let text = match full {
                    Full::Slots => "Upload the files that you asked for first",
                    Full::Files => "You have as many files here as you may",
                    Full::Bytes => "Quota reached: your files take all the room they may",
                    Full::Day(_) => "Quota reached: try again tomorrow",
                    Full::Host => "The server has no more room for files",
                };
                let mut refusal = StanzaError::from(Condition::ResourceConstraint)
                    .with_type(ErrorType::Wait)
                    .with_text(text);
                if let Some(at) = retry {
                    // Whole seconds, and none too early.
                    let stamp = datetime::format(at.div_ceil(1000).saturating_mul(1000));
                    let retry = Element::new("retry", ns::HTTP_UPLOAD).with_attr("stamp", &stamp);
                    refusal = refusal.with_app(retry);
                }
                refusal
            }
            FileError::NoAccount | FileError::Gone => not_allowed(),
            FileError::Busy
            | FileError::Commit(CommitError::Full | CommitError::ReadOnly | CommitError::Closed) => {
                StanzaError::from(Condition::ResourceConstraint)
                    .with_text("The server cannot store this now; try again later")
            }
            FileError::Store(_) | FileError::Commit(_) | FileError::Disk(_) => {
                tracing::error!(%account, %error, "no slot could be given");
                Condition::InternalServerError.into()
            }
        }
    }

    fn count(&self, full: Full) {
        let figures = &self.figures;
        let counter = match full {
            Full::Slots => &figures.slots,
            Full::Files => &figures.files,
            Full::Bytes => &figures.account,
            Full::Day(_) => &figures.day,
            Full::Host => &figures.total,
        };
        counter.count();
    }
}

/// §6, example 13.
pub(super) fn not_allowed() -> StanzaError {
    StanzaError::from(Condition::Forbidden)
        .with_text("Only people of this server may upload files here")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn media_types() {
        assert_eq!(essence("Image/JPEG").unwrap(), "image/jpeg");
        assert_eq!(essence("text/plain; charset=utf-8").unwrap(), "text/plain");
        for bad in ["", "image", "/", "a/", "a/b c", "a/b\r\nX: y", "ä/b"] {
            assert_eq!(essence(bad), None, "{bad}");
        }
    }
}

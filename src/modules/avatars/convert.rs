//! Pictures as they are published, and as they stand in vCards.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::proto::ns;
use crate::xml::{El, Element};

/// A picture.
pub struct Image {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its media type, where the vCard says it.
    kind: Option<String>,
}

impl Image {
    /// From an item of the data node; nothing where there is none.
    pub fn of_data(data: El<'_>) -> Option<Image> {
        let bytes = decode(&data.text())?;
        Some(Image { bytes, kind: None })
    }

    /// From a vCard, if it has one (XEP-0153 §3.1).
    pub fn of_vcard(vcard: El<'_>) -> Option<Image> {
        let photo = vcard.child("PHOTO", ns::VCARD)?;
        let bytes = decode(&photo.child("BINVAL", ns::VCARD)?.text())?;
        let kind = photo.child("TYPE", ns::VCARD);
        let kind = kind.map(|kind| kind.text().trim().to_owned());
        let kind = kind.filter(|kind| !kind.is_empty());
        Some(Image { bytes, kind })
    }

    /// What it is known by: SHA-1 in hexadecimal digits.
    pub fn hash(&self) -> String {
        let digest = Sha1::digest(&self.bytes);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// As an item of the data node (XEP-0084 §4.2.1).
    pub fn to_data(&self) -> Element {
        Element::new("data", ns::AVATAR_DATA).with_text(&STANDARD.encode(&self.bytes))
    }

    /// What is told of it (§4.2.2).
    pub fn to_metadata(&self) -> Element {
        let info = Element::new("info", ns::AVATAR_METADATA)
            .with_attr("bytes", &self.bytes.len().to_string())
            .with_attr("id", &self.hash())
            .with_attr("type", self.kind());
        Element::new("metadata", ns::AVATAR_METADATA).with_child(info)
    }

    /// As it stands in a vCard.
    pub fn to_photo(&self, kind: Option<&str>) -> Element {
        let leaf = |name, text: &str| Element::new(name, ns::VCARD).with_text(text);
        Element::new("PHOTO", ns::VCARD)
            .with_child(leaf("TYPE", kind.unwrap_or(self.kind())))
            .with_child(leaf("BINVAL", &STANDARD.encode(&self.bytes)))
    }

    /// By its word, else by how it begins.
    fn kind(&self) -> &str {
        match &self.kind {
            Some(kind) => kind,
            None if self.bytes.starts_with(&[0xff, 0xd8]) => "image/jpeg",
            None if self.bytes.starts_with(b"GIF8") => "image/gif",
            None => "image/png",
        }
    }
}

/// What is told of a published picture.
pub struct Metadata {
    /// The id of the picture that is kept here; none where publishing is over, or all are kept elsewhere.
    pub id: Option<String>,
    /// Its media type.
    pub kind: Option<String>,
}

impl Metadata {
    /// Reads it.
    pub fn of(metadata: El<'_>) -> Metadata {
        let mut infos = metadata
            .children()
            .filter(|el| el.is("info", ns::AVATAR_METADATA));
        let here = infos.find(|info| info.attr("url").is_none());
        let attr = |name| Some(here?.attr(name)?.to_owned());
        Metadata {
            id: attr("id").map(|id| id.to_ascii_lowercase()),
            kind: attr("type"),
        }
    }
}

/// The vCard with this photo, or with none.
pub fn with_photo(vcard: El<'_>, photo: Option<Element>) -> Element {
    let mut vcard = vcard.to_element();
    vcard.retain_children(|child| !child.is("PHOTO", ns::VCARD));
    vcard.with_children(photo)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let dense: String = text.split_whitespace().collect();
    let bytes = STANDARD.decode(dense).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn there_and_back() {
        let data = Element::new("data", ns::AVATAR_DATA).with_text("iVBO\n Rw0K");
        let image = Image::of_data(data.root()).unwrap();
        let vcard = Element::new("vCard", ns::VCARD)
            .with_child(Element::new("FN", ns::VCARD).with_text("Juliet"))
            .with_child(Element::new("PHOTO", ns::VCARD));
        let vcard = with_photo(vcard.root(), Some(image.to_photo(Some("image/png"))));
        let back = Image::of_vcard(vcard.root()).unwrap();
        assert_eq!(back.hash(), image.hash());
        assert_eq!(back.to_metadata(), image.to_metadata());
        assert_eq!(vcard.children().count(), 2);
        let none = with_photo(vcard.root(), None);
        assert!(Image::of_vcard(none.root()).is_none());
    }

    #[test]
    fn of_several_pictures_the_one_that_is_here() {
        let info = |id| Element::new("info", ns::AVATAR_METADATA).with_attr("id", id);
        let metadata = Element::new("metadata", ns::AVATAR_METADATA)
            .with_child(info("a").with_attr("url", "http://a.example/a.png"))
            .with_child(info("B").with_attr("type", "image/gif"));
        let read = Metadata::of(metadata.root());
        assert_eq!(
            (read.id.as_deref(), read.kind.as_deref()),
            (Some("b"), Some("image/gif"))
        );
        let over = Element::new("metadata", ns::AVATAR_METADATA);
        assert_eq!(Metadata::of(over.root()).id, None);
    }
}

//! XEP-0398: User Avatar to vCard-Based Avatars Conversion (1.0.0): avatars of XEP-0084 (1.1.4) in vCards and the other way
//! round, and their hash in presence (XEP-0153, 1.1.1)

mod convert;
mod presence;

use std::sync::Arc;

use self::convert::{Image, Metadata};
use self::presence::Shown;
use crate::config::Bytes;
use crate::hooks::{
    AskError, Deps, Event, Info, Module, ModuleError, Path, Phase, Registrar, Reply, Request, To,
    Turn,
};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::settings;
use crate::state::own_nodes::{Lines, OwnNodes};
use crate::state::owned::{AccountSpace, Quota};
use crate::xml::Element;

settings! {
    /// Pictures of people: those that newer clients publish and those in vCards are the same, and presence tells of them.
    pub struct Config {
        /// Largest picture.
        pub bytes: Bytes = Bytes::kib(150) => within(Bytes::kib(1)..=Bytes::mib(8));
    }
}

/// Converts avatars.
pub struct Avatars {
    deps: Deps,
    bytes: u64,
    /// What is shown in presence, by account.
    space: AccountSpace,
    lines: Arc<Lines>,
}

impl Module for Avatars {
    const INFO: Info = Info {
        name: "avatars",
        specs: &[
            ("XEP-0398", "1.0.0"),
            ("XEP-0084", "1.1.4"),
            ("XEP-0153", "1.1.1"),
        ],
        doc: "Old and new clients see the same picture of a person.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let space = AccountSpace::named(&deps.store, "avatar", 1, Quota::NONE);
        Ok(Avatars {
            deps: deps.clone(),
            bytes: config.bytes.0,
            space: space.map_err(|error| ModuleError {
                module: Self::INFO.name,
                reason: error.to_string(),
            })?,
            lines: Lines::of(&deps.shared, &deps.host),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::OwnAccount, ns::VCARD_CONVERSION);
        let space = self.space.space();
        r.part(move |view, uid| Shown::load(view, space, uid));
        r.presence(Path::FromClient, Phase::Amend, presence::amend);
        let this = self.clone();
        r.divert(move |to, request| this.too_large(to, request));
        r.event(move |event| {
            let (account, from) = match event {
                Event::NodeChanged(account, node) if &**node == ns::AVATAR_METADATA => {
                    (account, From::Node)
                }
                Event::VCardChanged(account) => (account, From::VCard),
                _ => return,
            };
            if account.domain() == self.deps.host.domain() {
                self.changed(account.clone(), from);
            }
        });
    }
}

/// Where a picture was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Node,
    VCard,
}

impl Avatars {
    /// XEP-0084 §3.1: the picture itself is refused where it is too large for everybody who will fetch it.
    fn too_large(&self, to: To, request: &Request<'_>) -> Option<Reply> {
        if to != To::OwnAccount || !request.payload.is("pubsub", ns::PUBSUB) {
            return None;
        }
        let publish = request.payload.child("publish", ns::PUBSUB)?;
        if publish.attr("node") != Some(ns::AVATAR_DATA) {
            return None;
        }
        let item = publish.child("item", ns::PUBSUB)?;
        let image = Image::of_data(item.child("data", ns::AVATAR_DATA)?)?;
        let text = format!("A picture has at most {} bytes", self.bytes);
        (image.bytes.len() as u64 > self.bytes).then(|| {
            let error = StanzaError::from(Condition::NotAcceptable).with_text(text);
            let app = Element::new("payload-too-big", ns::PUBSUB_ERRORS);
            Reply::Error(error.with_app(app))
        })
    }

    fn changed(self: &Arc<Self>, account: Jid, from: From) {
        let this = self.clone();
        tokio::spawn(async move {
            let _turn = this.lines.enter(&account).await;
            let own = OwnNodes::new(&this.deps.floor, &account);
            let converted = match from {
                From::Node => this.to_vcard(&own).await,
                From::VCard => this.to_node(&own).await,
            };
            match converted {
                Ok(Some(hash)) => this.show(&account, hash),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "a picture is not converted"),
            }
        });
    }

    /// §3.1, §7: what everybody may see becomes the photo; what contacts alone may see stays with them. The hash that
    /// presence has from now on.
    async fn to_vcard(&self, own: &OwnNodes) -> Result<Option<String>, AskError> {
        let newest = own.items(ns::AVATAR_METADATA).await?.pop();
        let metadata = newest
            .as_ref()
            .map(|(_, payload)| Metadata::of(payload.root()));
        let mut image = None;
        if let Some(id) = metadata.as_ref().and_then(|metadata| metadata.id.as_ref())
            && own.is_open(ns::AVATAR_DATA).await?
        {
            let data = own.item(ns::AVATAR_DATA, id).await?;
            image = data.and_then(|data| Image::of_data(data.root()));
            if image.as_ref().is_none_or(|image| image.hash() != *id) {
                // Not what was announced: what was there before stays.
                return Ok(None);
            }
        }
        let vcard = own.vcard().await?;
        let before = Image::of_vcard(vcard.root());
        let hash = image.as_ref().map(Image::hash).unwrap_or_default();
        if before.map(|before| before.hash()).unwrap_or_default() != hash {
            let kind = metadata.and_then(|metadata| metadata.kind);
            let photo = image.map(|image| image.to_photo(kind.as_deref()));
            own.set(convert::with_photo(vcard.root(), photo)).await?;
        }
        Ok(Some(hash))
    }

    /// §3.2. A vCard without a photo takes no published picture away: older clients write vCards as they know them.
    async fn to_node(&self, own: &OwnNodes) -> Result<Option<String>, AskError> {
        let vcard = own.vcard().await?;
        let Some(image) = Image::of_vcard(vcard.root()) else {
            return Ok(Some(String::new()));
        };
        let hash = image.hash();
        let newest = own.items(ns::AVATAR_METADATA).await?.pop();
        let known = newest.and_then(|(_, payload)| Metadata::of(payload.root()).id);
        if known.as_ref() != Some(&hash) && image.bytes.len() as u64 <= self.bytes {
            let options = &[("access_model", "open")];
            let data = own.publish(ns::AVATAR_DATA, &hash, image.to_data(), options);
            data.await?;
            let metadata = image.to_metadata();
            own.publish(ns::AVATAR_METADATA, &hash, metadata, options)
                .await?;
        }
        Ok(Some(hash))
    }

    /// Presence has this hash from now on.
    fn show(&self, account: &Jid, hash: String) {
        let space = self.space.space();
        let show = move |turn: &mut Turn<'_>| presence::show(turn, space, hash);
        self.deps.floor.in_turn(account, Box::new(show));
    }
}

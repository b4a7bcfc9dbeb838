//! Tokens (XEP-0484) on the side of a client: the mechanisms HT-*, and what goes into `<authenticate/>` with them.

use hmac::{Hmac, Mac};
use sasl::client::{Mechanism, MechanismError};
use sasl::common::Credentials;
use tokio_rustls::rustls::ClientConnection;
use waxwing::proto::ns;
use waxwing::xml::{El, Element};

use super::error::Error;
use super::mechanism::{end_point, exporter};

/// A token, as the server gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The secret.
    pub secret: String,
    /// When it ends, as the server wrote it.
    pub expiry: String,
    /// The mechanism it is for.
    pub mechanism: String,
}

/// What a client wants of tokens in one login.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// To log in with this one.
    pub with: Option<Token>,
    /// The attribute `count`.
    pub count: Option<u64>,
    /// That it be good no longer.
    pub invalidate: bool,
    /// A new one for this mechanism.
    pub request: Option<String>,
}

impl Wish {
    /// What stands for it in `<authenticate/>`.
    pub(super) fn elements(&self) -> Vec<Element> {
        let fast = self.with.as_ref().map(|_| {
            let mut fast = Element::new("fast", ns::FAST);
            let count = self.count.map(|count| count.to_string());
            fast.set_attr("count", count.as_deref());
            fast.set_attr("invalidate", self.invalidate.then_some("true"));
            fast
        });
        let request = self.request.as_ref().map(|mechanism| {
            Element::new("request-token", ns::FAST).with_attr("mechanism", mechanism)
        });
        fast.into_iter().chain(request).collect()
    }

    /// The token in `<success/>`.
    pub(super) fn given(&self, success: El<'_>) -> Option<Token> {
        let token = success.child("token", ns::FAST)?;
        let used = self.with.as_ref().map(|token| &token.mechanism);
        Some(Token {
            secret: token.attr("token")?.to_owned(),
            expiry: token.attr("expiry")?.to_owned(),
            mechanism: self.request.as_ref().or(used)?.clone(),
        })
    }
}

/// HT-SHA-256-… or HT-SHA-512-….
pub(super) struct Ht {
    long: bool,
    user: String,
    token: String,
    binding: Vec<u8>,
}

impl Ht {
    /// By its name; nothing for another mechanism.
    pub fn new(user: &str, token: &Token, tls: Option<&ClientConnection>) -> Result<Ht, Error> {
        let name = token.mechanism.as_str();
        let binding = match name.rsplit('-').next() {
            Some("EXPR") => exporter(tls)?,
            Some("ENDP") => end_point(tls)?,
            _ => Vec::new(),
        };
        Ok(Ht {
            long: name.contains("512"),
            user: user.to_owned(),
            token: token.secret.clone(),
            binding,
        })
    }

    fn mac(&self, who: &[u8]) -> Vec<u8> {
        let (key, data) = (self.token.as_bytes(), [who, &self.binding].concat());
        match self.long {
            true => mac::<Hmac<sha2::Sha512>>(key, &data),
            false => mac::<Hmac<sha2::Sha256>>(key, &data),
        }
    }
}

fn mac<M: Mac + hmac::digest::KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
    let Ok(mut mac) = <M as Mac>::new_from_slice(key) else {
        unreachable!("HMAC takes any key");
    };
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

impl Mechanism for Ht {
    fn name(&self) -> &str {
        "HT"
    }

    fn from_credentials(_: Credentials) -> Result<Self, MechanismError> {
        Err(MechanismError::ScramRequiresPassword)
    }

    fn initial(&mut self) -> Vec<u8> {
        [self.user.as_bytes(), b"\0", &self.mac(b"Initiator")].concat()
    }

    fn success(&mut self, data: &[u8]) -> Result<(), MechanismError> {
        match data == self.mac(b"Responder") {
            true => Ok(()),
            false => Err(MechanismError::InvalidSignatureInSuccessResponse),
        }
    }
}

//! The server side of SCRAM (RFC 5802, RFC 7677) over StoredKey and ServerKey, with channel binding (RFC 9266, RFC 5929)
//! and the downgrade hash of XEP-0474 0.5.0.

use std::sync::Arc;

use sasl::common::Identity;
use sasl::server::{Mechanism, MechanismError, Response};
use subtle::ConstantTimeEq;

use super::base64;
use super::hash::ScramHash;
use super::keys::ScramKeys;
use super::scram_message::{BindingFlag, ClientFinal, ClientFirst};
use crate::stream::tls::Bindings;

/// One exchange. Whether the keys are an account's or made up, the steps are the same.
pub struct Scram {
    hash: ScramHash,
    plus: bool,
    keys: ScramKeys,
    bindings: Arc<Bindings>,
    /// The value of the "h" attribute.
    downgrade_hash: Option<String>,
    server_nonce: String,
    state: State,
}

enum State {
    First,
    Final(Box<Final>),
    Over,
}

/// What the last step must be compared with.
struct Final {
    username: String,
    nonce: String,
    /// cbind-input as it has to come.
    binding: Vec<u8>,
    /// client-first-message-bare "," server-first-message ",".
    auth_message: String,
}

impl Scram {
    /// An exchange for one account. `server_nonce` must be printable ASCII without a comma, and never used before;
    /// `downgrade_hash` is [`downgrade_hash`] of what this stream advertised.
    pub fn new(
        hash: ScramHash,
        plus: bool,
        keys: ScramKeys,
        bindings: Arc<Bindings>,
        downgrade_hash: Option<String>,
        server_nonce: String,
    ) -> Scram {
        Scram {
            hash,
            plus,
            keys,
            bindings,
            downgrade_hash,
            server_nonce,
            state: State::First,
        }
    }

    fn first(&mut self, payload: &[u8]) -> Result<Response, MechanismError> {
        let first =
            ClientFirst::parse(payload).map_err(|_| MechanismError::CannotDecodeInitialMessage)?;
        let mut binding = first.gs2_header.as_bytes().to_vec();
        binding.extend_from_slice(self.binding_data(first.binding)?);
        let nonce = format!("{}{}", first.nonce, self.server_nonce);
        let mut server_first = format!(
            "r={nonce},s={},i={}",
            base64::encode(&self.keys.salt),
            self.keys.iterations
        );
        if let Some(hash) = &self.downgrade_hash {
            server_first.push_str(",h=");
            server_first.push_str(hash);
        }
        self.state = State::Final(Box::new(Final {
            username: first.username,
            nonce,
            binding,
            auth_message: format!("{},{server_first},", first.bare),
        }));
        Ok(Response::Proceed(server_first.into_bytes()))
    }

    /// RFC 5802 §6: "p" goes with a -PLUS mechanism and an offered type, "n" and "y" with a plain one, and "y" only where
    /// nothing was offered: otherwise somebody in the middle removed it.
    fn binding_data(&self, flag: BindingFlag<'_>) -> Result<&[u8], MechanismError> {
        match flag {
            BindingFlag::Bound(name) if self.plus => self
                .bindings
                .data(name)
                .ok_or(MechanismError::ChannelBindingMechanismIncorrect),
            BindingFlag::Bound(_) => Err(MechanismError::ChannelBindingNotSupported),
            _ if self.plus => Err(MechanismError::ChannelBindingIsSupported),
            BindingFlag::NotOffered if !self.bindings.is_empty() => {
                Err(MechanismError::ChannelBindingIsSupported)
            }
            _ => Ok(&[]),
        }
    }

    fn last(&self, expected: Final, payload: &[u8]) -> Result<Response, MechanismError> {
        let last = ClientFinal::parse(payload).map_err(|_| MechanismError::CannotDecodeResponse)?;
        let auth_message = expected.auth_message + last.without_proof;
        // All three are always looked at, so that the time tells nothing.
        let bound = last.binding.ct_eq(&expected.binding);
        let fresh = last.nonce.as_bytes().ct_eq(expected.nonce.as_bytes());
        let signature = self
            .keys
            .verify_proof(self.hash, auth_message.as_bytes(), &last.proof);
        match signature {
            Some(signature) if bool::from(bound & fresh) => Ok(Response::Success(
                Identity::Username(expected.username),
                format!("v={}", base64::encode(&signature)).into_bytes(),
            )),
            _ => Err(MechanismError::AuthenticationFailed),
        }
    }
}

impl Mechanism for Scram {
    fn name(&self) -> &str {
        self.hash.mechanism(self.plus)
    }

    fn respond(&mut self, payload: &[u8]) -> Result<Response, MechanismError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::First => self.first(payload),
            State::Final(expected) => self.last(*expected, payload),
            State::Over => Err(MechanismError::SaslSessionAlreadyOver),
        }
    }
}

/// The value of the "h" attribute (XEP-0474 §6.1) for what was advertised: the mechanisms of the SASL profile in use, and the
/// channel-binding types if XEP-0440 was used.
pub fn downgrade_hash<'a>(
    hash: ScramHash,
    mechanisms: impl IntoIterator<Item = &'a str>,
    bindings: &Bindings,
) -> String {
    let mut mechanisms: Vec<&str> = mechanisms.into_iter().collect();
    mechanisms.sort_unstable();
    let mut list = mechanisms.join("\x1e");
    if !bindings.is_empty() {
        let mut names: Vec<&str> = bindings.names().collect();
        names.sort_unstable();
        list.push('\x1f');
        list.push_str(&names.join("\x1e"));
    }
    base64::encode(&hash.digest(list.as_bytes()))
}

//! RFC 8291: the message as only the client can read it, in the content coding aes128gcm (RFC 8188).

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{self, ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey};
use ring::hmac;
use ring::rand::SystemRandom;

use crate::runtime::random;

/// Bytes of a point of P-256, uncompressed.
pub const POINT: usize = 65;
/// Bytes of the secret that a client shares with its server.
pub const SECRET: usize = 16;
/// The one record that there is, and its length as it is told.
const RECORD: u32 = 4_096;
/// Bytes of what is told before it: salt, length of a record, length of the key, key.
const HEADER: usize = 16 + 4 + 1 + POINT;
/// The delimiter of the last record, and the tag of AES-GCM.
const TAIL: usize = 1 + 16;
/// The most that fits: the whole is not longer than a record (RFC 8291 §4).
pub const MOST: usize = RECORD as usize - HEADER - TAIL;
/// Lengths are told in steps of so many bytes.
const STEP: usize = 256;

/// What a client gives out so that it can be written to.
pub struct Keys {
    /// Its public key, a point on P-256.
    pub public: [u8; POINT],
    /// The secret that it shares with this server.
    pub auth: [u8; SECRET],
}

/// Why a message cannot be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The client's key is no point on the curve.
    #[error("the client's key is none")]
    Key,
    /// It does not fit into one record.
    #[error("the message is too long")]
    Long,
    /// The cryptographic library failed.
    #[error("it cannot be encrypted")]
    Crypto,
}

/// Encrypts a message to a client.
///
/// # Errors
/// See [`SealError`].
pub fn seal(text: &[u8], keys: &Keys) -> Result<Vec<u8>, SealError> {
    let crypto = |_| SealError::Crypto;
    let random = SystemRandom::new();
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &random).map_err(crypto)?;
    let public = own.compute_public_key().map_err(crypto)?;
    let peer = UnparsedPublicKey::new(&ECDH_P256, &keys.public);
    let sealed = agreement::agree_ephemeral(own, &peer, |shared| {
        let padded = text.len().div_ceil(STEP).saturating_mul(STEP).min(MOST);
        let padding = padded.saturating_sub(text.len());
        let salt = random::bytes();
        with(
            text,
            padding,
            keys,
            &Own {
                public: public.as_ref(),
                shared,
                salt,
            },
        )
    });
    sealed.map_err(|_| SealError::Key)?
}

/// What is made anew for each message.
struct Own<'a> {
    public: &'a [u8],
    shared: &'a [u8],
    salt: [u8; 16],
}

/// RFC 8291 §3.4, RFC 8188 §2.
fn with(text: &[u8], padding: usize, keys: &Keys, own: &Own<'_>) -> Result<Vec<u8>, SealError> {
    if text.len().saturating_add(padding) > MOST {
        return Err(SealError::Long);
    }
    let combined = mac(&keys.auth, &[own.shared]);
    let info: [&[u8]; 4] = [b"WebPush: info\0", &keys.public, own.public, &[1]];
    let input = mac(combined.as_ref(), &info);
    let secret = mac(&own.salt, &[input.as_ref()]);
    let key = mac(secret.as_ref(), &[b"Content-Encoding: aes128gcm\0", &[1]]);
    let nonce = mac(secret.as_ref(), &[b"Content-Encoding: nonce\0", &[1]]);
    let (key, nonce) = (key.as_ref().get(..16), nonce.as_ref().get(..12));
    let crypto = |_| SealError::Crypto;
    let key = UnboundKey::new(&AES_128_GCM, key.unwrap_or_default()).map_err(crypto)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce.unwrap_or_default()).map_err(crypto)?;

    let mut record = Vec::with_capacity(text.len() + padding + TAIL);
    record.extend_from_slice(text);
    record.push(2);
    record.resize(text.len() + 1 + padding, 0);
    LessSafeKey::new(key)
        .seal_in_place_append_tag(nonce, Aad::empty(), &mut record)
        .map_err(crypto)?;

    let mut body = Vec::with_capacity(HEADER + record.len());
    body.extend_from_slice(&own.salt);
    body.extend_from_slice(&RECORD.to_be_bytes());
    body.push(u8::try_from(own.public.len()).map_err(|_| SealError::Crypto)?);
    body.extend_from_slice(own.public);
    body.append(&mut record);
    Ok(body)
}

fn mac(key: &[u8], parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    context.sign()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        BASE64.decode(text).unwrap()
    }

    /// RFC 8291 §5 and appendix A.
    #[test]
    fn the_example_of_the_specification() {
        let public = bytes(
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        );
        let auth = bytes("BTBZMqHH6r4Tts7J_aSIgg");
        let own = bytes(
            "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8",
        );
        let shared = bytes("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs");
        let own = Own {
            public: &own,
            shared: &shared,
            salt: bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap(),
        };
        let keys = Keys {
            public: public.try_into().unwrap(),
            auth: auth.try_into().unwrap(),
        };
        let sealed = with(b"When I grow up, I want to be a watermelon", 0, &keys, &own);
        let expected = concat!(
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml",
            "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT",
            "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
        assert_eq!(BASE64.encode(sealed.unwrap()), expected);
    }

    #[test]
    fn only_points_on_the_curve_are_written_to() {
        let own = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
        let point: [u8; POINT] = own
            .compute_public_key()
            .unwrap()
            .as_ref()
            .try_into()
            .unwrap();
        let auth = [7; SECRET];
        let seal = |text: &[u8], public| seal(text, &Keys { public, auth });
        let sealed = seal(b"{}", point).unwrap();
        assert_eq!(sealed.len(), HEADER + STEP + TAIL);
        // Not two are alike.
        assert_ne!(seal(b"{}", point).unwrap(), sealed);
        assert_eq!(seal(&[0; MOST], point).unwrap().len(), RECORD as usize);
        assert_eq!(seal(&[0; MOST + 1], point), Err(SealError::Long));
        let mut off = point;
        off[POINT - 1] ^= 1;
        assert_eq!(seal(b"{}", off), Err(SealError::Key));
    }
}

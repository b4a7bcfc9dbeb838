//! XEP-0480: SASL Upgrade Tasks (0.2.0), the elements of the SCRAM ones (§2, §3).

use super::base64;
use super::failure::SaslCondition;
use super::hash::ScramHash;
use super::keys::{SALT_BYTES, ScramKeys};
use crate::proto::ns;
use crate::runtime::random;
use crate::stream::success::additional_data;
use crate::xml::{El, Element};

/// The least number of PBKDF2 rounds for new keys (RFC 7677 §4).
pub(in crate::stream) const ITERATIONS_MIN: u32 = 4096;

/// `<continue/>` with the one task, and the mechanism's last data if it was not sent yet.
pub(in crate::stream) fn offer(hash: ScramHash, data: Option<Vec<u8>>) -> Element {
    let task = Element::new("task", ns::SASL2).with_text(hash.upgrade_task());
    Element::new("continue", ns::SASL2)
        .with_children(data.map(|data| additional_data(&data)))
        .with_child(Element::new("tasks", ns::SASL2).with_child(task))
}

pub(in crate::stream) fn fresh_salt() -> Vec<u8> {
    random::bytes::<SALT_BYTES>().to_vec()
}

/// What the client needs to salt its password.
pub(in crate::stream) fn salt(salt: &[u8], iterations: u32) -> Element {
    let salt = Element::new("salt", ns::SCRAM_UPGRADE)
        .with_attr("iterations", &iterations.to_string())
        .with_text(&base64::encode(salt));
    Element::new("task-data", ns::SASL2).with_child(salt)
}

/// The keys made of the salted password in the client's `<task-data/>`.
pub(in crate::stream) fn keys(
    hash: ScramHash,
    salt: &[u8],
    iterations: u32,
    task_data: El<'_>,
) -> Result<ScramKeys, SaslCondition> {
    let salted = task_data.child("hash", ns::SCRAM_UPGRADE);
    let salted = salted.ok_or(SaslCondition::MalformedRequest)?.text();
    let salted = base64::decode(&salted).map_err(|_| SaslCondition::IncorrectEncoding)?;
    match salted.len() == hash.size() {
        true => Ok(ScramKeys::from_salted_password(
            hash, &salted, salt, iterations,
        )),
        false => Err(SaslCondition::MalformedRequest),
    }
}

//! XEP-0198: Stream Management (1.6.3): enabling it, and acknowledgements.

use super::bound::Bound;
use super::out::Out;
use super::seat::{AckError, Enable, Resumption, Seat};
use crate::proto::{Condition, StreamCondition, StreamError, ns};
use crate::xml::{El, Element};

/// A nonza of stream management on a bound stream.
pub(super) fn handle(
    bound: &mut Bound,
    element: El<'_>,
    out: &mut Out<'_>,
) -> Result<(), StreamError> {
    match element.name() {
        "enable" if !bound.acks => {
            bound.acks = true;
            if let Some(seat) = bound.seat() {
                out.element(&enable(seat.as_ref(), wish(element)));
            }
        }
        "r" if bound.acks => bound
            .seat()
            .into_iter()
            .for_each(|seat| seat.ack_requested()),
        "a" if bound.acks => {
            let h = element.attr("h").and_then(number);
            let h = h.ok_or(StreamCondition::BadFormat)?;
            let acked = bound.seat().map_or(Ok(()), |seat| seat.acked(h));
            acked.map_err(too_high)?;
        }
        "resume" | "enable" | "r" | "a" => out.element(&failed(Condition::UnexpectedRequest, None)),
        _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
    }
    Ok(())
}

/// `<failed/>`, with how much was handled where that is known (§5, §6).
pub(super) fn failed(condition: Condition, h: Option<u32>) -> Element {
    let condition = Element::new(condition.as_str(), ns::STANZA_ERRORS);
    let mut failed = Element::new("failed", ns::SM);
    failed.set_attr("h", h.map(|h| h.to_string()).as_deref());
    failed.with_child(condition)
}

/// What is wrong with a nonza on a stream that cannot be resumed.
pub(super) fn refusal(element: El<'_>) -> Condition {
    match element.name() {
        "resume" => Condition::ItemNotFound,
        _ => Condition::UnexpectedRequest,
    }
}

/// Begins to count, and says so.
pub(super) fn enable(seat: &dyn Seat, wish: Enable) -> Element {
    let enabled = Element::new("enabled", ns::SM);
    match seat.enable_acks(wish) {
        Some(Resumption { token, max }) => enabled
            .with_attr("id", &token)
            .with_attr("resume", "true")
            .with_attr("max", &max.to_string()),
        None => enabled,
    }
}

/// What an `<enable/>` asks for: `resume` is an xs:boolean, `max` an xs:positiveInteger.
pub(super) fn wish(enable: El<'_>) -> Enable {
    Enable {
        resume: matches!(enable.attr("resume"), Some("true" | "1")),
        max: enable.attr("max").and_then(number).filter(|max| *max > 0),
    }
}

/// How many of the stanzas `sent` are newly covered by `h` when `acked` were before; all counters modulo 2³². An `h` that goes
/// back covers none; one beyond `sent` is an error (§6).
pub fn newly_acked(acked: u32, sent: u32, h: u32) -> Result<u32, AckError> {
    let newly = h.wrapping_sub(acked);
    if newly > u32::MAX / 2 {
        return Ok(0);
    }
    match newly <= sent.wrapping_sub(acked) {
        true => Ok(newly),
        false => Err(AckError { h, sent }),
    }
}

pub(super) fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

pub(super) fn too_high(error: AckError) -> StreamError {
    let text = format!(
        "You acknowledged {} stanzas, but I only sent you {} so far.",
        error.h, error.sent
    );
    let app = Element::new("handled-count-too-high", ns::SM)
        .with_attr("h", &error.h.to_string())
        .with_attr("send-count", &error.sent.to_string());
    StreamError::new(StreamCondition::UndefinedCondition)
        .with_text(text)
        .with_app(app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_wrap() {
        assert_eq!(newly_acked(0, 5, 3), Ok(3));
        assert_eq!(newly_acked(3, 5, 3), Ok(0));
        assert_eq!(newly_acked(3, 5, 2), Ok(0));
        assert_eq!(newly_acked(0, 5, 6), Err(AckError { h: 6, sent: 5 }));
        assert_eq!(newly_acked(u32::MAX - 1, 2, 1), Ok(3));
        assert_eq!(
            newly_acked(u32::MAX - 1, 2, 3),
            Err(AckError { h: 3, sent: 2 })
        );
    }

    #[test]
    fn numbers_are_unsigned_ints() {
        assert_eq!(number("4294967295"), Some(u32::MAX));
        for wrong in ["", "-1", "+1", "4294967296", "1.0", " 1", "x"] {
            assert_eq!(number(wrong), None);
        }
    }
}

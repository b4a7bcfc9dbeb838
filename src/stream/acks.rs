//! XEP-0198: Stream Management (1.6.3), acknowledgements without resumption.

use super::bound::Bound;
use super::out::Out;
use super::seat::AckError;
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
                seat.enable_acks(wants_resume(element));
            }
            out.element(&enabled());
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
        "resume" | "enable" | "r" | "a" => out.element(&failed(refusal(element))),
        _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
    }
    Ok(())
}

/// What is wrong with a nonza that comes at the wrong time (§3, §5).
pub(super) fn refusal(element: El<'_>) -> Condition {
    match element.name() {
        "resume" => Condition::ItemNotFound,
        _ => Condition::UnexpectedRequest,
    }
}

pub(super) fn failed(condition: Condition) -> Element {
    let condition = Element::new(condition.as_str(), ns::STANZA_ERRORS);
    Element::new("failed", ns::SM).with_child(condition)
}

/// Without an id: this stream cannot be resumed.
pub(super) fn enabled() -> Element {
    Element::new("enabled", ns::SM)
}

/// The `resume` attribute of `<enable/>`, an xs:boolean.
pub(super) fn wants_resume(enable: El<'_>) -> bool {
    matches!(enable.attr("resume"), Some("true" | "1"))
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

fn number(text: &str) -> Option<u32> {
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

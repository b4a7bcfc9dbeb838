//! XEP-0203: Delayed Delivery (2.0).

use super::{Jid, datetime, ns};
use crate::xml::{El, Element};

/// When a stanza was sent, and who held it back since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// Unix milliseconds.
    pub stamp: u64,
    /// Who delayed it, or first sent it.
    pub from: Option<Jid>,
}

impl Delay {
    /// Reads a `<delay/>`; `None` if it is something else or has no stamp that can be read.
    pub fn parse(el: El<'_>) -> Option<Delay> {
        if !el.is("delay", ns::DELAY) {
            return None;
        }
        Some(Delay {
            stamp: datetime::parse(el.attr("stamp")?)?,
            from: el.attr("from").and_then(|from| Jid::parse(from).ok()),
        })
    }

    /// The `<delay/>` element.
    pub fn to_element(&self) -> Element {
        let mut el = Element::new("delay", ns::DELAY);
        el.set_attr("from", self.from.as_ref().map(Jid::as_str));
        el.with_attr("stamp", &datetime::format(self.stamp))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn there_and_back() {
        let delay = Delay {
            stamp: 1_031_699_305_000,
            from: Some(Jid::parse("capulet.com").unwrap()),
        };
        let el = delay.to_element();
        assert_eq!(el.attr("stamp"), Some("2002-09-10T23:08:25Z"));
        assert_eq!(Delay::parse(el.root()), Some(delay));
    }

    #[test]
    fn without_a_stamp_it_is_none() {
        let el = Element::new("delay", ns::DELAY);
        assert_eq!(Delay::parse(el.root()), None);
        assert_eq!(Delay::parse(el.with_attr("stamp", "now").root()), None);
        let other =
            Element::new("delay", "jabber:x:delay").with_attr("stamp", "2002-09-10T23:08:25Z");
        assert_eq!(Delay::parse(other.root()), None);
    }
}

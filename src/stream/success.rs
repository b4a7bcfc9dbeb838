//! The end of an attempt that succeeded: `<success/>` of RFC 6120 §6.4.6 and of XEP-0388 1.0.4 §2.6.1, with the results of
//! XEP-0386 and XEP-0198 §9.

use super::attempt::Attempt;
use super::input::Action;
use super::login::{Flow, Login, Stage};
use super::out::Out;
use super::sasl::base64;
use super::sasl::exchange::Proved;
use super::sasl::profile::Profile;
use super::{acks, bind2, features};
use crate::proto::{StreamCondition, ns};
use crate::xml::Element;

impl Login {
    pub fn succeed(&mut self, mut attempt: Attempt, out: &mut Out<'_>) -> Flow {
        let Some(mut proved) = attempt.proved.take() else {
            return StreamCondition::InternalServerError.into();
        };
        let data = proved.data.take();
        self.agent = std::mem::take(&mut attempt.wishes.agent);
        match attempt.profile {
            Profile::Sasl1 => {
                self.user = Some(proved);
                out.element(&success1(data));
                self.restart(out)
            }
            Profile::Sasl2 => self.succeed2(attempt, proved, data, out),
        }
    }

    /// `<success/>`, and features right after it, without a restart (XEP-0388 §2.6.1).
    fn succeed2(
        &mut self,
        mut attempt: Attempt,
        proved: Proved,
        data: Option<Vec<u8>>,
        out: &mut Out<'_>,
    ) -> Flow {
        let Some(host) = self.host.clone() else {
            return StreamCondition::InternalServerError.into();
        };
        let acks = attempt.acks.filter(|_| attempt.bound.is_some());
        let address = attempt.user().unwrap_or(&proved.user);
        let mut success = Element::new("success", ns::SASL2)
            .with_children(data.map(|data| additional_data(&data)))
            .with_child(
                Element::new("authorization-identifier", ns::SASL2).with_text(address.as_str()),
            );
        let results = std::mem::take(&mut attempt.results);
        if let Some((resumed, element)) = attempt.resumed.take() {
            // The stream goes on at once: no features (XEP-0198 §9.2).
            out.element(&success.with_child(element).with_children(results));
            out.push(Action::SetLimits(self.settings.limits.after_login));
            return self.seat_again(resumed, out);
        }
        let bound = attempt.bound.take().map(|mut bound| {
            let inline = std::mem::take(&mut bound.inline);
            let enabled = acks.map(|wish| acks::enable(bound.seat.as_ref(), wish));
            (bound, bind2::bound(enabled, inline))
        });
        let (session, bound) = bound.unzip();
        success = success
            .with_children(attempt.not_resumed.take())
            .with_children(bound)
            .with_children(results);
        let context = features::context(&host, &self.bindings, &proved.user);
        let features =
            features::authenticated(&self.settings, &context, session.is_some(), acks.is_some());
        out.element(&success);
        out.element(&features);
        out.push(Action::SetLimits(self.settings.limits.after_login));
        match session {
            Some(session) => self.seat(session, acks.is_some(), out),
            None => {
                self.user = Some(proved);
                self.stage = Stage::Authenticated;
                out.deadline(Some(self.settings.limits.bind));
                Flow::Stay
            }
        }
    }
}

/// `<success/>` of SASL1; data of no length is "=" (RFC 6120 §6.4.6).
fn success1(data: Option<Vec<u8>>) -> Element {
    let success = Element::new("success", ns::SASL);
    match data {
        None => success,
        Some(data) if data.is_empty() => success.with_text("="),
        Some(data) => success.with_text(&base64::encode(&data)),
    }
}

/// `<additional-data/>` of SASL2.
pub(super) fn additional_data(data: &[u8]) -> Element {
    Element::new("additional-data", ns::SASL2).with_text(&base64::encode(data))
}

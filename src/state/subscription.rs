//! Subscription states and their changes (RFC 6121 Appendix A), without rosters or I/O.

use serde::{Deserialize, Serialize};

/// What a roster item says of a subscription (RFC 6121 §2.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subscription {
    /// Neither sees the other's presence.
    #[default]
    None,
    /// The user sees the contact's presence.
    To,
    /// The contact sees the user's presence.
    From,
    /// Both.
    Both,
}

impl Subscription {
    /// The attribute value.
    pub fn as_str(self) -> &'static str {
        match self {
            Subscription::None => "none",
            Subscription::To => "to",
            Subscription::From => "from",
            Subscription::Both => "both",
        }
    }

    /// Whether the contact sees the user's presence.
    pub fn from(self) -> bool {
        matches!(self, Subscription::From | Subscription::Both)
    }

    /// Whether the user sees the contact's presence.
    pub fn to(self) -> bool {
        matches!(self, Subscription::To | Subscription::Both)
    }

    fn of(to: bool, from: bool) -> Self {
        match (to, from) {
            (false, false) => Subscription::None,
            (true, false) => Subscription::To,
            (false, true) => Subscription::From,
            (true, true) => Subscription::Both,
        }
    }
}

/// One of the nine states of Appendix A.1, with the pre-approval of §3.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// The subscription proper.
    pub subscription: Subscription,
    /// "Pending Out": the user asked and was not answered.
    pub pending_out: bool,
    /// "Pending In": the contact asked and was not answered.
    pub pending_in: bool,
    /// The user approved a request that has not come yet.
    pub approved: bool,
}

/// The four subscription stanzas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// `type='subscribe'`
    Subscribe,
    /// `type='unsubscribe'`
    Unsubscribe,
    /// `type='subscribed'`
    Subscribed,
    /// `type='unsubscribed'`
    Unsubscribed,
}

/// What a stanza does to a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The state after it.
    pub state: State,
    /// Outbound: route it on. Inbound: deliver it to the user.
    pub pass: bool,
    /// What the server answers by itself on the user's behalf.
    pub reply: Option<Act>,
}

/// The user sends `act` to the contact (Appendix A.2, pre-approval §3.4.2, §3.2.2).
pub fn outbound(state: State, act: Act) -> Outcome {
    let mut next = state;
    let pass = match act {
        Act::Subscribe => {
            next.pending_out = !state.subscription.to();
            true
        }
        Act::Unsubscribe => {
            next.pending_out = false;
            next.subscription = Subscription::of(false, state.subscription.from());
            true
        }
        Act::Subscribed if state.subscription.from() => false,
        Act::Subscribed if state.pending_in => {
            next.pending_in = false;
            next.subscription = Subscription::of(state.subscription.to(), true);
            true
        }
        Act::Subscribed => {
            next.approved = true;
            false
        }
        Act::Unsubscribed => {
            next.approved = false;
            next.pending_in = false;
            next.subscription = Subscription::of(state.subscription.to(), false);
            state.subscription.from() || state.pending_in
        }
    };
    Outcome {
        state: next,
        pass,
        reply: None,
    }
}

/// The contact sends `act` to the user (Appendix A.3).
pub fn inbound(state: State, act: Act) -> Outcome {
    let mut next = state;
    let mut reply = None;
    let pass = match act {
        Act::Subscribe if state.subscription.from() => {
            reply = Some(Act::Subscribed);
            false
        }
        Act::Subscribe if state.approved => {
            next.subscription = Subscription::of(state.subscription.to(), true);
            next.pending_in = false;
            reply = Some(Act::Subscribed);
            false
        }
        Act::Subscribe => {
            next.pending_in = true;
            !state.pending_in
        }
        Act::Unsubscribe => {
            let changes = state.subscription.from() || state.pending_in;
            next.pending_in = false;
            next.subscription = Subscription::of(state.subscription.to(), false);
            reply = changes.then_some(Act::Unsubscribed);
            changes
        }
        Act::Subscribed => {
            let changes = state.pending_out && !state.subscription.to();
            if changes {
                next.pending_out = false;
                next.subscription = Subscription::of(true, state.subscription.from());
            }
            changes
        }
        Act::Unsubscribed => {
            let changes = state.pending_out || state.subscription.to();
            next.pending_out = false;
            next.subscription = Subscription::of(false, state.subscription.from());
            changes
        }
    };
    Outcome {
        state: next,
        pass,
        reply,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// The nine states of Appendix A.1 by the names of the tables.
    fn state(name: &str) -> State {
        let (base, pending) = name.split_once(" + Pending ").unwrap_or((name, ""));
        State {
            subscription: match base {
                "None" => Subscription::None,
                "To" => Subscription::To,
                "From" => Subscription::From,
                "Both" => Subscription::Both,
                _ => panic!("{name}"),
            },
            pending_out: pending.contains("Out"),
            pending_in: pending.contains("In"),
            approved: false,
        }
    }

    const STATES: [&str; 9] = [
        "None",
        "None + Pending Out",
        "None + Pending In",
        "None + Pending Out+In",
        "To",
        "To + Pending In",
        "From",
        "From + Pending Out",
        "Both",
    ];

    fn check(
        rule: fn(State, Act) -> Outcome,
        act: Act,
        pass: [bool; 9],
        after: [&str; 9],
        table: &str,
    ) {
        for i in 0..9 {
            let outcome = rule(state(STATES[i]), act);
            assert_eq!(outcome.pass, pass[i], "{table}, {}", STATES[i]);
            let mut got = outcome.state;
            got.approved = false;
            assert_eq!(got, state(after[i]), "{table}, {}", STATES[i]);
        }
    }

    #[test]
    fn tables_2_to_5_outbound() {
        check(
            outbound,
            Act::Subscribe,
            [true; 9],
            [
                "None + Pending Out",
                "None + Pending Out",
                "None + Pending Out+In",
                "None + Pending Out+In",
                "To",
                "To + Pending In",
                "From + Pending Out",
                "From + Pending Out",
                "Both",
            ],
            "table 2",
        );
        check(
            outbound,
            Act::Unsubscribe,
            [true; 9],
            [
                "None",
                "None",
                "None + Pending In",
                "None + Pending In",
                "None",
                "None + Pending In",
                "From",
                "From",
                "From",
            ],
            "table 3",
        );
        check(
            outbound,
            Act::Subscribed,
            [false, false, true, true, false, true, false, false, false],
            [
                "None",
                "None + Pending Out",
                "From",
                "From + Pending Out",
                "To",
                "Both",
                "From",
                "From + Pending Out",
                "Both",
            ],
            "table 4",
        );
        check(
            outbound,
            Act::Unsubscribed,
            [false, false, true, true, false, true, true, true, true],
            [
                "None",
                "None + Pending Out",
                "None",
                "None + Pending Out",
                "To",
                "To",
                "None",
                "None + Pending Out",
                "To",
            ],
            "table 5",
        );
    }

    #[test]
    fn tables_6_to_9_inbound() {
        check(
            inbound,
            Act::Subscribe,
            [true, true, false, false, true, false, false, false, false],
            [
                "None + Pending In",
                "None + Pending Out+In",
                "None + Pending In",
                "None + Pending Out+In",
                "To + Pending In",
                "To + Pending In",
                "From",
                "From + Pending Out",
                "Both",
            ],
            "table 6",
        );
        check(
            inbound,
            Act::Unsubscribe,
            [false, false, true, true, false, true, true, true, true],
            [
                "None",
                "None + Pending Out",
                "None",
                "None + Pending Out",
                "To",
                "To",
                "None",
                "None + Pending Out",
                "To",
            ],
            "table 7",
        );
        check(
            inbound,
            Act::Subscribed,
            [false, true, false, true, false, false, false, true, false],
            [
                "None",
                "To",
                "None + Pending In",
                "To + Pending In",
                "To",
                "To + Pending In",
                "From",
                "Both",
                "Both",
            ],
            "table 8",
        );
        check(
            inbound,
            Act::Unsubscribed,
            [false, true, false, true, true, true, false, true, true],
            [
                "None",
                "None",
                "None + Pending In",
                "None + Pending In",
                "None",
                "None + Pending In",
                "From",
                "From",
                "From",
            ],
            "table 9",
        );
    }

    #[test]
    fn replies_on_behalf_of_the_user() {
        for name in ["From", "From + Pending Out", "Both"] {
            assert_eq!(
                inbound(state(name), Act::Subscribe).reply,
                Some(Act::Subscribed)
            );
        }
        assert_eq!(
            inbound(state("None"), Act::Unsubscribe).reply,
            None,
            "no state change, no answer"
        );
        assert_eq!(
            inbound(state("Both"), Act::Unsubscribe).reply,
            Some(Act::Unsubscribed)
        );
    }

    #[test]
    fn a_pre_approval_answers_the_request_and_is_cancelled_by_unsubscribed() {
        let approved = outbound(state("None"), Act::Subscribed);
        assert!(approved.state.approved && !approved.pass);
        let asked = inbound(approved.state, Act::Subscribe);
        assert_eq!(asked.reply, Some(Act::Subscribed));
        assert!(!asked.pass, "the user is not bothered");
        assert_eq!(asked.state.subscription, Subscription::From);
        let cancelled = outbound(approved.state, Act::Unsubscribed);
        assert!(!cancelled.state.approved && !cancelled.pass);
    }
}

//! Tokens that let people in who are on no list (XEP-0488 0.1.0).

use super::said::Told;
use super::{Bound, Now, Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::runtime::random;
use crate::state::rooms::{Affiliation, Token};
use crate::xml::{El, Element};

impl Room {
    /// §3.2, §7: who may invite may also make tokens.
    fn may_make_tokens(&self, bare: &Jid) -> Result<(), Refused> {
        let members_may = self.options().is_some_and(|options| options.allow_invites);
        match self.affiliation(bare) {
            Affiliation::Owner | Affiliation::Admin => Ok(()),
            Affiliation::Member if members_may => Ok(()),
            _ => Err(Condition::Forbidden.into()),
        }
    }

    /// §3.3: it ends when the service says at the latest.
    pub(super) fn make_token(
        &mut self,
        bare: &Jid,
        request: El<'_>,
        now: &Now<'_>,
        out: &mut Out,
    ) -> Result<Element, Refused> {
        self.may_make_tokens(bare)?;
        let number = |name: &str| match request.attr(name).map(str::parse::<u32>) {
            None => Ok(None),
            Some(Ok(number)) if number > 0 => Ok(Some(number)),
            Some(_) => Err(StanzaError::from(Condition::BadRequest)),
        };
        let (longest, most) = (self.rules.token_life, self.rules.tokens);
        let seconds = number("delay")?.map_or(longest, |asked| longest.min(asked.into()));
        let token = Token {
            token: random::token(),
            by: bare.clone(),
            until: now.wall.saturating_add(seconds.saturating_mul(1000)),
            left: number("counter")?,
        };
        let Some(stored) = &mut self.stored else {
            return Err(Condition::ItemNotFound.into());
        };
        let tokens = &mut stored.record.tokens;
        tokens.retain(|token| token.until > now.wall);
        if tokens.len() >= most {
            return Err(self.too_many(Bound::Tokens, "The room has too many tokens"));
        }
        let shown = show(&token, now.wall);
        tokens.push(token);
        self.save(out);
        Ok(shown)
    }

    /// §3.6, §7: one's own, and all for moderators.
    pub(super) fn list_tokens(&self, bare: &Jid, now: &Now<'_>) -> Result<Element, Refused> {
        self.may_make_tokens(bare)?;
        let tokens = self.record()?.tokens.iter();
        let shown = tokens.filter(|token| token.until > now.wall && self.may_revoke(bare, token));
        let list = Element::new("tokens", ns::MUC_TOKEN_INVITE);
        Ok(list.with_children(shown.map(|token| show(token, now.wall))))
    }

    fn may_revoke(&self, bare: &Jid, token: &Token) -> bool {
        token.by == *bare || self.affiliation(bare) >= Affiliation::Admin
    }

    /// §3.7.
    pub(super) fn revoke_token(
        &mut self,
        bare: &Jid,
        revoke: El<'_>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        self.may_make_tokens(bare)?;
        let text = revoke.text();
        let tokens = &self.record()?.tokens;
        let at = tokens.iter().position(|token| token.token == text.trim());
        let at = at.filter(|at| {
            let token = tokens.get(*at);
            token.is_some_and(|token| self.may_revoke(bare, token))
        });
        let at = at.ok_or_else(|| StanzaError::from(Condition::ItemNotFound))?;
        if let Some(stored) = &mut self.stored {
            stored.record.tokens.remove(at);
        }
        self.save(out);
        Ok(())
    }

    /// §3.5: whether what somebody brings is a token that makes it a member: it is on no list, and the room
    /// has no password.
    pub(super) fn brings_token(&self, bare: &Jid, given: &str, now: &Now<'_>) -> bool {
        let stored = self.stored.as_ref();
        let stored = stored.filter(|stored| stored.record.options.password.is_none());
        self.affiliation(bare) == Affiliation::None
            && stored.is_some_and(|stored| {
                stored.affiliates.len() < self.rules.affiliations
                    && stored
                        .record
                        .tokens
                        .iter()
                        .any(|token| token.is(given, now.wall))
            })
    }

    /// §3.5, §4: it becomes a member, and the token is good for one person less.
    pub(super) fn spend_token(&mut self, bare: &Jid, given: &str, now: &Now<'_>, out: &mut Out) {
        if let Some(stored) = &mut self.stored {
            let tokens = &mut stored.record.tokens;
            if let Some(token) = tokens.iter_mut().find(|token| token.is(given, now.wall)) {
                token.left = token.left.map(|left| left.saturating_sub(1));
            }
            tokens.retain(|token| token.left != Some(0));
        }
        self.save(out);
        self.change_affiliation(bare, Affiliation::Member, None, &Told::default(), out);
    }
}

fn show(token: &Token, wall: u64) -> Element {
    let seconds = token.until.saturating_sub(wall) / 1000;
    let mut shown = Element::new("token", ns::MUC_TOKEN_INVITE)
        .with_attr("delay", &seconds.to_string())
        .with_text(&token.token);
    let left = token.left.map(|left| left.to_string());
    shown.set_attr("counter", left.as_deref());
    shown
}

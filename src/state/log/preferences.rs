//! What of its conversations an account wants archived (XEP-0441 0.2.0).

use super::account;
use crate::hooks::Uid;
use crate::proto::jid::Jid;
use crate::state::roster::Roster;
use crate::store::{Batch, Snapshot, Space, StoreError};

const FORMAT: &str = "1";

/// The rule for who is on neither list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// Everything.
    Always,
    /// Nothing.
    Never,
    /// What is exchanged with contacts.
    Roster,
}

impl Default {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Default::Always => "always",
            Default::Never => "never",
            Default::Roster => "roster",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Default::Always, Default::Never, Default::Roster]
            .into_iter()
            .find(|rule| rule.as_str() == word)
    }
}

/// The rules of one account; a part of it where it has set any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// For who is on neither list.
    pub default: Default,
    /// With whom everything is kept.
    pub always: Vec<Jid>,
    /// With whom nothing is kept; it wins.
    pub never: Vec<Jid>,
}

impl Preferences {
    /// The rule alone.
    pub fn new(default: Default) -> Self {
        Preferences {
            default,
            always: Vec::new(),
            never: Vec::new(),
        }
    }

    /// Whether a message to or from `peer` is wanted (§2.1, §2.3).
    pub fn want(&self, peer: &Jid, roster: Option<&Roster>) -> bool {
        let listed = |list: &[Jid]| {
            list.iter()
                .any(|jid| jid == peer || jid.is_bare() && jid.as_str() == peer.bare_str())
        };
        if listed(&self.never) {
            return false;
        }
        listed(&self.always)
            || match self.default {
                Default::Always => true,
                Default::Never => false,
                Default::Roster => roster.is_some_and(|roster| {
                    roster.item(&peer.bare()).is_some_and(|item| item.listed)
                }),
            }
    }

    /// Reads an account's rules, if it has any.
    ///
    /// # Errors
    /// The store's; rules that cannot be read.
    pub fn load(snapshot: &dyn Snapshot, uid: Uid) -> Result<Option<Self>, StoreError> {
        let Some(value) = snapshot.get(Space::LOG_PREFERENCES, &account(uid))? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&value).ok();
        let read = text.and_then(Self::decode);
        read.map(Some)
            .ok_or_else(|| StoreError::Format("archive preferences".to_owned()))
    }

    /// Writes an account's rules.
    pub fn store(&self, batch: &mut Batch, uid: Uid) {
        let mut text = format!("{FORMAT} {}", self.default.as_str());
        for (sign, list) in [('+', &self.always), ('-', &self.never)] {
            for jid in list {
                text.push('\n');
                text.push(sign);
                text.push_str(jid.as_str());
            }
        }
        batch.put(Space::LOG_PREFERENCES, &account(uid), text);
    }

    fn decode(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let (format, default) = lines.next()?.split_once(' ')?;
        if format != FORMAT {
            return None;
        }
        let mut rules = Preferences::new(Default::parse(default)?);
        for line in lines {
            match line.split_at_checked(1)? {
                ("+", jid) => rules.always.push(Jid::parse(jid).ok()?),
                ("-", jid) => rules.never.push(Jid::parse(jid).ok()?),
                _ => return None,
            }
        }
        Some(rules)
    }
}

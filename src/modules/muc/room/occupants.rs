//! Who is in a room: nicknames, each with the sessions of one person behind it.

use std::collections::{BTreeMap, HashMap};

use unicode_normalization::UnicodeNormalization;

use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::state::rooms::Roles;

/// What an occupant may do while it is there (XEP-0045 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Not there.
    None,
    /// May listen.
    Visitor,
    /// May speak.
    Participant,
    /// May keep order.
    Moderator,
}

impl Role {
    /// The value of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::None => "none",
            Role::Visitor => "visitor",
            Role::Participant => "participant",
            Role::Moderator => "moderator",
        }
    }

    /// Reads the attribute.
    pub fn parse(text: &str) -> Option<Role> {
        use Role::{Moderator, None, Participant, Visitor};
        [None, Visitor, Participant, Moderator]
            .into_iter()
            .find(|role| role.as_str() == text)
    }

    /// Whether it is among these.
    pub fn is_of(self, roles: Roles) -> bool {
        match self {
            Role::None => false,
            Role::Visitor => roles.visitor,
            Role::Participant => roles.participant,
            Role::Moderator => roles.moderator,
        }
    }
}

/// One client of an occupant.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its full address.
    pub jid: Jid,
    /// What it said of its presence.
    pub presence: Stanza,
}

/// A nickname that is taken, and who is behind it.
#[derive(Clone, Debug)]
pub struct Occupant {
    /// Room and nickname.
    pub address: Jid,
    /// The person.
    pub bare: Jid,
    /// What it may do.
    pub role: Role,
    /// Its id, the same under every nickname (XEP-0421).
    pub id: Box<str>,
    /// Its clients; the presence of the last one is shown.
    pub sessions: Vec<Session>,
}

impl Occupant {
    /// Its nickname.
    pub fn nick(&self) -> &str {
        self.address.resource().unwrap_or_default()
    }

    /// Whether a client of it is there.
    pub fn has_client(&self) -> bool {
        self.sessions.iter().any(|session| session.jid.is_full())
    }

    /// The session whose presence is shown.
    pub fn shown(&self) -> Option<&Session> {
        self.sessions.last()
    }
}

/// Two nicknames that come to the same here pass for each other: letter case, width, and the ways to write an accent make no
/// difference, nor do letters of another script that look the same, and spaces around it.
pub fn fold(nick: &str) -> Box<str> {
    let lower = nick.nfkc().flat_map(char::to_lowercase);
    let folded: String = lower.nfd().map(as_latin).nfkc().collect();
    folded.trim().into()
}

/// Letters of Cyrillic and Greek that look like a Latin one, as capitals or small (UTS #39).
fn as_latin(c: char) -> char {
    let same = LOOK_ALIKE.iter().find(|(other, _)| *other == c);
    same.map_or(c, |(_, latin)| *latin)
}

#[rustfmt::skip]
const LOOK_ALIKE: [(char, char); 35] = [
    ('а', 'a'), ('в', 'b'), ('е', 'e'), ('к', 'k'), ('м', 'm'), ('н', 'h'), ('о', 'o'), ('р', 'p'), ('с', 'c'),
    ('т', 't'), ('у', 'y'), ('х', 'x'), ('і', 'i'), ('ј', 'j'), ('ѕ', 's'), ('һ', 'h'), ('ԁ', 'd'), ('ԛ', 'q'),
    ('ԝ', 'w'), ('ӏ', 'l'),
    ('α', 'a'), ('β', 'b'), ('ε', 'e'), ('ζ', 'z'), ('η', 'h'), ('ι', 'i'), ('κ', 'k'), ('μ', 'm'), ('ν', 'n'),
    ('ο', 'o'), ('ρ', 'p'), ('τ', 't'), ('υ', 'y'), ('χ', 'x'),
    ('ı', 'i'),
];

/// Whether a nickname shows something (XEP-0045 §17.1).
pub fn is_visible(nick: &str) -> bool {
    nick.chars().any(|c| !c.is_whitespace() && !is_blank(c)) && !nick.chars().any(turns_text)
}

/// Characters that show nothing by themselves.
fn is_blank(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// Characters that turn the direction of the text after the nickname.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What is left of an occupant when a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It has no other client.
    Nobody,
    /// What is shown of it is what was shown.
    Same,
    /// What is shown of it is now what another client said.
    Others,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Occupants {
    by_nick: BTreeMap<Box<str>, Occupant>,
    nick_of: HashMap<Jid, Box<str>>,
    /// Clients that came, went or have another nickname, since it was asked.
    moved: Vec<Jid>,
}

impl Occupants {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_nick.len()
    }

    /// How many addresses are there: clients, and people who stay.
    pub fn addresses(&self) -> usize {
        self.nick_of.len()
    }

    /// All, in the order of their nicknames.
    pub fn iter(&self) -> impl Iterator<Item = &Occupant> {
        self.by_nick.values()
    }

    /// Who has a nickname that passes for this one.
    pub fn by_nick(&self, nick: &str) -> Option<&Occupant> {
        self.by_nick.get(&fold(nick))
    }

    /// The same, to change.
    pub fn by_nick_mut(&mut self, nick: &str) -> Option<&mut Occupant> {
        self.by_nick.get_mut(&fold(nick))
    }

    /// The occupant that a client belongs to.
    pub fn of(&self, full: &Jid) -> Option<&Occupant> {
        self.by_nick.get(self.nick_of.get(full)?)
    }

    /// Occupants that are this person.
    pub fn of_person<'a>(&'a self, bare: &'a Jid) -> impl Iterator<Item = &'a Occupant> {
        self.iter().filter(move |occupant| occupant.bare == *bare)
    }

    /// Puts a client in, or its presence in the place of the one before.
    pub fn enter(&mut self, occupant: Occupant) {
        let key = fold(occupant.nick());
        for session in &occupant.sessions {
            let before = self.nick_of.insert(session.jid.clone(), key.clone());
            if before.as_ref() != Some(&key) {
                self.moved.push(session.jid.clone());
            }
        }
        match self.by_nick.get_mut(&key) {
            Some(there) => {
                for session in occupant.sessions {
                    there.sessions.retain(|known| known.jid != session.jid);
                    // Who stays by its bare address is shown only while no client is there.
                    match session.jid.is_bare() {
                        true => there.sessions.insert(0, session),
                        false => there.sessions.push(session),
                    }
                }
            }
            None => {
                self.by_nick.insert(key, occupant);
            }
        }
    }

    /// Takes a client out: who it was, with that session alone, and what is left of it.
    pub fn leave(&mut self, full: &Jid) -> Option<(Occupant, Rest)> {
        let key = self.nick_of.remove(full)?;
        let there = self.by_nick.get_mut(&key)?;
        let at = there.sessions.iter().position(|known| known.jid == *full)?;
        let session = there.sessions.remove(at);
        self.moved.push(full.clone());
        let rest = match there.sessions.len() {
            0 => Rest::Nobody,
            others if at < others => Rest::Same,
            _ => Rest::Others,
        };
        let gone = Occupant {
            sessions: vec![session],
            ..there.clone_head()
        };
        if rest == Rest::Nobody {
            self.by_nick.remove(&key);
        }
        Some((gone, rest))
    }

    /// Takes an occupant out with all its clients.
    pub fn remove(&mut self, nick: &str) -> Option<Occupant> {
        let gone = self.by_nick.remove(&fold(nick))?;
        for session in &gone.sessions {
            self.nick_of.remove(&session.jid);
            self.moved.push(session.jid.clone());
        }
        Some(gone)
    }

    /// Clients that came, went or have another nickname, since this was asked the last time.
    pub fn moved(&mut self) -> Vec<Jid> {
        std::mem::take(&mut self.moved)
    }

    /// Takes all out.
    pub fn clear(&mut self) -> Vec<Occupant> {
        self.moved
            .extend(self.nick_of.drain().map(|(client, _)| client));
        std::mem::take(&mut self.by_nick).into_values().collect()
    }
}

impl Occupant {
    fn clone_head(&self) -> Occupant {
        Occupant {
            address: self.address.clone(),
            bare: self.bare.clone(),
            role: self.role,
            id: self.id.clone(),
            sessions: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicknames_that_look_alike_are_one() {
        for (one, other) in [
            ("Thirdwitch", "thirdwitch"),
            ("ﬁrst", "first"),
            ("Ａ", "a"),
            ("É", "e\u{301}"),
            (" hag", "hag "),
            ("аdmin", "admin"),
            ("Ηοst", "host"),
            ("Вова", "вова"),
            ("Ёлка", "ёлка"),
        ] {
            assert_eq!(fold(one), fold(other), "{one}");
        }
        for (one, other) in [("a", "b"), ("Яна", "Яны"), ("é", "e")] {
            assert_ne!(fold(one), fold(other), "{one}");
        }
    }

    #[test]
    fn invisible_nicknames_are_none() {
        for nick in ["", " ", "\u{200b}", "\u{3164}\u{2800}", "a\u{202e}b"] {
            assert!(!is_visible(nick), "{nick:?}");
        }
        assert!(is_visible("👩\u{200d}🔧") && is_visible("a b"));
    }
}

//! Affiliations: what lasts between a person and a room (XEP-0045 §5.2).

use serde::{Deserialize, Serialize};

/// What a person is to a room; each has what those before it may do, but for outcasts, who may nothing.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Affiliation {
    /// Banned.
    Outcast,
    /// Nothing.
    #[default]
    None,
    /// On the list of who may enter.
    Member,
    /// May change who is a member and who is banned.
    Admin,
    /// May change everything.
    Owner,
}

impl Affiliation {
    /// The value of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Affiliation::Outcast => "outcast",
            Affiliation::None => "none",
            Affiliation::Member => "member",
            Affiliation::Admin => "admin",
            Affiliation::Owner => "owner",
        }
    }

    /// Reads the attribute.
    pub fn parse(text: &str) -> Option<Affiliation> {
        use Affiliation::{Admin, Member, None, Outcast, Owner};
        [Outcast, None, Member, Admin, Owner]
            .into_iter()
            .find(|affiliation| affiliation.as_str() == text)
    }
}

/// One person, or one domain, on the lists of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affiliate {
    /// What it is.
    pub affiliation: Affiliation,
    /// The nickname that nobody else may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nick: Option<String>,
    /// Why, as who set it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it ends by itself, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_rise_and_have_names() {
        assert!(
            Affiliation::Outcast < Affiliation::None && Affiliation::Admin < Affiliation::Owner
        );
        assert_eq!(Affiliation::parse("member"), Some(Affiliation::Member));
        assert_eq!(Affiliation::parse("Member"), None);
    }
}

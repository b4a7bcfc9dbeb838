//! What an owner sets of a room (XEP-0045 §10.1.3, §16.5.3).

use serde::{Deserialize, Serialize};

/// Whom a right is given to, by role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Talk {
    /// Every occupant.
    #[default]
    Anyone,
    /// Who may speak.
    Participants,
    /// Moderators.
    Moderators,
    /// Nobody.
    None,
}

impl Talk {
    /// Every choice with its value in the form and a label.
    pub const ALL: &'static [(Talk, &'static str, &'static str)] = &[
        (Talk::Anyone, "anyone", "Anyone"),
        (Talk::Participants, "participants", "Anyone who may speak"),
        (Talk::Moderators, "moderators", "Moderators only"),
        (Talk::None, "none", "Nobody"),
    ];
}

/// For which roles something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// For moderators.
    pub moderator: bool,
    /// For participants.
    pub participant: bool,
    /// For visitors.
    pub visitor: bool,
}

impl Roles {
    /// For all.
    pub const ALL: Roles = Roles {
        moderator: true,
        participant: true,
        visitor: true,
    };

    /// For moderators.
    pub const MODERATORS: Roles = Roles {
        moderator: true,
        participant: false,
        visitor: false,
    };
}

/// The options of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Its name for people.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// The language spoken in it.
    pub lang: String,
    /// It stays when the last occupant leaves.
    pub persistent: bool,
    /// It is on the list of rooms.
    pub public: bool,
    /// Only members enter.
    pub members_only: bool,
    /// Who is no member may only listen.
    pub moderated: bool,
    /// Everybody with voice may change the subject.
    pub change_subject: bool,
    /// Members may invite others.
    pub allow_invites: bool,
    /// People may become members by registration.
    pub registration: bool,
    /// What who enters must know.
    pub password: Option<String>,
    /// Everybody sees who is behind a nickname.
    pub non_anonymous: bool,
    /// Who may send private messages.
    pub private_messages: Talk,
    /// Occupants at the most; 0: what the service allows.
    pub most_occupants: u32,
    /// Whose presence is shown.
    pub broadcast: Roles,
    /// Who may ask for the list of members.
    pub member_list: Roles,
    /// Messages of history shown to who enters.
    pub history: u32,
    /// Messages are kept.
    pub archive: bool,
    /// Seconds that everybody waits between two messages.
    pub slow_mode: u32,
    /// What is said can be read by the public.
    pub logged: bool,
    /// An associated node.
    pub pubsub: String,
    /// The space that it is part of, a node (XEP-0503).
    pub space: String,
    /// It keeps the order of an encrypted group (`docs/mls.md`).
    pub ordered: bool,
    /// Who is in the room may join that group by himself.
    pub external: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            name: String::new(),
            description: String::new(),
            lang: String::new(),
            persistent: false,
            public: true,
            members_only: false,
            moderated: false,
            change_subject: false,
            allow_invites: false,
            registration: true,
            password: None,
            non_anonymous: false,
            private_messages: Talk::Anyone,
            most_occupants: 0,
            broadcast: Roles::ALL,
            member_list: Roles::MODERATORS,
            history: 20,
            archive: true,
            slow_mode: 0,
            logged: false,
            pubsub: String::new(),
            space: String::new(),
            ordered: false,
            external: false,
        }
    }
}

//! What devices are told to do.

use std::collections::BTreeSet;

use crate::diary::Diary;

/// What a device is told to do.
#[derive(Clone, Debug)]
pub enum Task {
    /// Publishes this many key packages, and one of last resort.
    Publish(usize),
    /// Founds the group.
    Create(Vec<u8>),
    /// Changes the group, however often others are faster.
    Change(Wish),
    /// Joins the group by itself, from the state that the service has or from this one.
    Enter(Option<Vec<u8>>),
    /// Tells the state of the group.
    State,
    /// Writes.
    Say(String),
    /// Leaves the group, which takes a commit of somebody else.
    Leave,
    /// Commits until this identity is gone.
    SeeOff(String),
    /// Disconnects.
    Go,
    /// Connects and catches up.
    Come,
    /// Waits until it has seen the message with this id.
    Settle(String),
    /// Waits until it is a member.
    Join,
    /// Tells its diary.
    Report,
}

/// What is to be changed, whatever epoch it becomes part of.
#[derive(Clone, Debug)]
pub enum Wish {
    /// The devices with these identities are to be members.
    Add(BTreeSet<String>),
    /// This one is not.
    Remove(String),
    /// The device is to have a new key.
    Update,
}

/// What became of a task.
#[derive(Clone, Debug)]
pub enum Done {
    /// It is done.
    Yes,
    /// The device is no member.
    NoMember,
    /// It may not join by itself.
    Barred,
    /// The state of the group.
    State(Vec<u8>),
    /// The diary.
    Diary(Box<Diary>),
}

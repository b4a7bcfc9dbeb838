//! One device of an account in one group, on either implementation. It knows nothing of how messages travel.

mod mls_rs;
mod openmls;

use std::collections::BTreeSet;

use crate::Fault;

/// The cipher suite all use: MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519.
pub const SUITE: u16 = 1;

/// How many epochs back a message can still be read.
pub const PAST_EPOCHS: usize = 3;

/// Which implementation a member runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `openmls`; it encrypts handshake messages.
    OpenMls,
    /// `mls-rs`; it signs handshake messages only.
    MlsRs,
}

/// What a commit is to change; proposals that the member has received go with it always.
#[derive(Clone, Debug)]
pub enum Change {
    /// Adds who published these key packages.
    Add(Vec<Vec<u8>>),
    /// Removes the members with these identities.
    Remove(BTreeSet<String>),
    /// Gives the member itself a new key.
    Update,
}

/// A commit that takes effect only once the delivery service has put it in order.
#[derive(Clone, Debug)]
pub struct Commit {
    /// For the group.
    pub message: Vec<u8>,
    /// For those whom it adds.
    pub welcome: Option<Vec<u8>>,
}

/// What a message of the group turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Somebody wrote.
    Text {
        /// The identity of the writer.
        from: String,
        /// What they wrote.
        text: String,
    },
    /// A new epoch began.
    Commit {
        /// Whether this member is no longer in it.
        removed: bool,
    },
    /// Something that the next commit must carry out.
    Proposal,
}

/// A member, or one to be.
pub trait Member: Send {
    /// The identity in the credential: `user@host/device`.
    fn identity(&self) -> &str;

    /// A key package, to be used once or, as a last resort, again and again.
    fn key_package(&mut self, last_resort: bool) -> Result<Vec<u8>, Fault>;

    /// Founds a group of itself alone.
    fn create(&mut self, group: &[u8]) -> Result<(), Fault>;

    /// Joins the group that a welcome message is for.
    fn join(&mut self, welcome: &[u8]) -> Result<(), Fault>;

    /// The state of the group, by which others join it by themselves (RFC 9420 §12.4.3.2).
    fn state(&mut self) -> Result<Vec<u8>, Fault>;

    /// Makes the commit by which it joins a group by itself, to be confirmed or dropped when the order is known.
    fn enter(&mut self, state: &[u8]) -> Result<Vec<u8>, Fault>;

    /// Makes a commit, to be confirmed or dropped when the order is known.
    fn commit(&mut self, change: &Change) -> Result<Commit, Fault>;

    /// The own commit was the first of its epoch.
    fn confirm(&mut self) -> Result<(), Fault>;

    /// The own commit was not.
    fn drop_commit(&mut self) -> Result<(), Fault>;

    /// Asks the others to remove this member.
    fn leave(&mut self) -> Result<Vec<u8>, Fault>;

    /// Encrypts.
    fn write(&mut self, text: &str) -> Result<Vec<u8>, Fault>;

    /// Takes in a message of somebody else.
    fn read(&mut self, message: &[u8]) -> Result<Heard, Fault>;

    /// Whether a commit must come before the next text.
    fn must_commit(&self) -> bool;

    /// Where it is; nothing before it joined.
    fn place(&self) -> Option<Place>;
}

/// What all members of an epoch agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the epoch.
    pub epoch: u64,
    /// Equal if and only if the key schedule is.
    pub authenticator: Vec<u8>,
    /// The identities in the tree.
    pub members: BTreeSet<String>,
}

/// A member to be.
pub fn member(kind: Kind, identity: &str) -> Result<Box<dyn Member>, Fault> {
    Ok(match kind {
        Kind::OpenMls => Box::new(openmls::OpenMls::new(identity)?),
        Kind::MlsRs => mls_rs::member(identity)?,
    })
}

/// The epoch that a message of a group says it is of, without any key.
pub fn epoch_of(message: &[u8]) -> Result<u64, Fault> {
    Ok(openmls::framing(message)?.epoch().as_u64())
}

/// What the framing of a message says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A text.
    Application,
    /// A proposal.
    Proposal,
    /// A commit.
    Commit,
}

/// What a message says it is, without any key.
pub fn content_of(message: &[u8]) -> Result<Content, Fault> {
    use ::openmls::framing::ContentType;
    Ok(match openmls::framing(message)?.content_type() {
        ContentType::Application => Content::Application,
        ContentType::Proposal => Content::Proposal,
        ContentType::Commit => Content::Commit,
    })
}

/// The identity that a key package is of, without verifying anything.
pub fn owner_of(package: &[u8]) -> Result<String, Fault> {
    let package = openmls::key_package(package)?;
    let credential = package.unverified_credential().credential;
    Ok(String::from_utf8(credential.serialized_content().to_vec())?)
}

/// The account of a device.
pub fn account_of(identity: &str) -> &str {
    identity
        .split_once('/')
        .map_or(identity, |(account, _)| account)
}

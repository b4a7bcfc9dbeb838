//! What a device needs of a delivery service.

use std::collections::BTreeSet;
use std::future::Future;

use thiserror::Error;

use crate::Fault;

/// A message of the group in the order of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id in the archive.
    pub id: String,
    /// The message of MLS.
    pub message: Vec<u8>,
}

/// Accounts that come to have a member, and that have none any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Bare addresses.
    pub added: BTreeSet<String>,
    /// Bare addresses.
    pub removed: BTreeSet<String>,
}

/// Something that came.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// The next message of the group.
    Entry(Entry),
    /// A welcome message for this device.
    Welcome {
        /// By which it is told that the device has it.
        id: String,
        /// The message of MLS.
        message: Vec<u8>,
    },
}

/// What the service says to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has its place in the order.
    Accepted,
    /// Another commit was first in this epoch.
    Taken {
        /// That one.
        winner: Vec<u8>,
    },
    /// The epoch is over, for too long if it is a text.
    Stale,
    /// Nobody joins this group by himself.
    Barred,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum Trouble {
    /// The connection broke; what was sent last may have arrived.
    #[error("the connection is lost: {0}")]
    Lost(String),
    /// Something that should not be.
    #[error("{0}")]
    Wrong(#[from] Fault),
}

/// A connection of one device to the delivery service, for one group.
pub trait Post: Send + 'static {
    /// Connects, or connects again: what has its place after the message with this id, or everything.
    fn come(
        &mut self,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Vec<Entry>, Trouble>> + Send;

    /// Disconnects.
    fn go(&mut self) -> impl Future<Output = ()> + Send;

    /// Tells the service of a new group of this device's account.
    fn found(&mut self, group: &[u8]) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Puts key packages where others can take them.
    fn publish(&mut self, packages: &[Vec<u8>])
    -> impl Future<Output = Result<(), Trouble>> + Send;

    /// A key package of each device of an account.
    fn take(&mut self, account: &str)
    -> impl Future<Output = Result<Vec<Vec<u8>>, Trouble>> + Send;

    /// Sends a message to the group, and with a commit whose accounts it adds and removes.
    fn send(
        &mut self,
        message: &[u8],
        accounts: &Accounts,
    ) -> impl Future<Output = Result<Answer, Trouble>> + Send;

    /// Gives the service the state of the group; one that another commit has overtaken is of no use to it, nor any trouble.
    fn keep_state(&mut self, state: &[u8]) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// The state of the group, if the service has that of its epoch and gives it.
    fn state(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>, Trouble>> + Send;

    /// Sends a welcome message to one device.
    fn welcome(
        &mut self,
        identity: &str,
        welcome: &[u8],
    ) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Tells that the device has a welcome message.
    fn received(&mut self, id: &str) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Waits for what comes next. Nothing is lost if the wait is given up.
    fn next(&mut self) -> impl Future<Output = Result<Arrival, Trouble>> + Send;
}

//! A member on `mls-rs`.

use std::collections::BTreeSet;

use mls_rs::client_builder::MlsConfig;
use mls_rs::extension::ExtensionType;
use mls_rs::extension::recommended::LastResortKeyPackageExt;
use mls_rs::group::{CommitEffect, ReceivedMessage};
use mls_rs::identity::SigningIdentity;
use mls_rs::identity::basic::{BasicCredential, BasicIdentityProvider};
use mls_rs::storage_provider::in_memory::InMemoryGroupStateStorage;
use mls_rs::{
    CipherSuite, CipherSuiteProvider as _, Client, CryptoProvider as _, ExtensionList, Group,
    MlsMessage,
};
use mls_rs_crypto_rustcrypto::RustCryptoProvider;

use super::{Change, Commit, Heard, Member, PAST_EPOCHS, Place};
use crate::Fault;

const SUITE: CipherSuite = CipherSuite::CURVE25519_AES128;

struct MlsRs<C: MlsConfig> {
    identity: String,
    client: Client<C>,
    group: Option<Group<C>>,
    /// The group as it is if its own commit is the first.
    entering: Option<Group<C>>,
}

pub(super) fn member(identity: &str) -> Result<Box<dyn Member>, Fault> {
    let crypto = RustCryptoProvider::default();
    let suite = crypto.cipher_suite_provider(SUITE).ok_or("no such suite")?;
    let (secret, public) = suite.signature_key_generate()?;
    let credential = BasicCredential::new(identity.as_bytes().to_vec()).into_credential();
    let storage = InMemoryGroupStateStorage::new().with_max_epoch_retention(PAST_EPOCHS)?;
    let client = Client::builder()
        .identity_provider(BasicIdentityProvider)
        .crypto_provider(crypto)
        .group_state_storage(storage)
        .extension_type(ExtensionType::LAST_RESORT_KEY_PACKAGE)
        .signing_identity(SigningIdentity::new(credential, public), secret, SUITE)
        .build();
    Ok(Box::new(MlsRs {
        identity: identity.to_owned(),
        client,
        group: None,
        entering: None,
    }))
}

impl<C: MlsConfig> MlsRs<C> {
    fn group(&mut self) -> Result<&mut Group<C>, Fault> {
        self.group.as_mut().ok_or_else(|| "in no group".into())
    }
}

impl<C: MlsConfig> Member for MlsRs<C> {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn key_package(&mut self, last_resort: bool) -> Result<Vec<u8>, Fault> {
        let mut extensions = ExtensionList::default();
        if last_resort {
            extensions.set_from(LastResortKeyPackageExt)?;
        }
        let package =
            self.client
                .generate_key_package_message(extensions, ExtensionList::default(), None)?;
        Ok(package.to_bytes()?)
    }

    fn create(&mut self, group: &[u8]) -> Result<(), Fault> {
        let builder = self.client.group_builder()?.with_group_id(group.to_vec());
        self.group = Some(builder.build()?);
        Ok(())
    }

    fn join(&mut self, welcome: &[u8]) -> Result<(), Fault> {
        let welcome = MlsMessage::from_bytes(welcome)?;
        let (mut group, _) = self.client.join_group(None, &welcome, None)?;
        group.write_to_storage()?;
        self.group = Some(group);
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<u8>, Fault> {
        let state = self.group()?.group_info_message_allowing_ext_commit(true)?;
        Ok(state.to_bytes()?)
    }

    fn enter(&mut self, state: &[u8]) -> Result<Vec<u8>, Fault> {
        let state = MlsMessage::from_bytes(state)?;
        let (group, commit) = self.client.commit_external(state)?;
        self.entering = Some(group);
        Ok(commit.to_bytes()?)
    }

    fn commit(&mut self, change: &Change) -> Result<Commit, Fault> {
        let group = self.group()?;
        let leaves = match change {
            Change::Remove(whom) => leaves(group, whom),
            _ => Vec::new(),
        };
        let mut builder = group.commit_builder();
        if let Change::Add(packages) = change {
            for package in packages {
                builder = builder.add_member(MlsMessage::from_bytes(package)?)?;
            }
        }
        for leaf in leaves {
            builder = builder.remove_member(leaf)?;
        }
        let output = builder.build()?;
        let welcome = output.welcome_messages().first().map(MlsMessage::to_bytes);
        Ok(Commit {
            welcome: welcome.transpose()?,
            message: output.commit_message().to_bytes()?,
        })
    }

    fn confirm(&mut self) -> Result<(), Fault> {
        if let Some(mut entered) = self.entering.take() {
            entered.write_to_storage()?;
            self.group = Some(entered);
            return Ok(());
        }
        let group = self.group()?;
        group.apply_pending_commit()?;
        Ok(group.write_to_storage()?)
    }

    fn drop_commit(&mut self) -> Result<(), Fault> {
        if self.entering.take().is_some() {
            return Ok(());
        }
        self.group()?.clear_pending_commit();
        Ok(())
    }

    fn leave(&mut self) -> Result<Vec<u8>, Fault> {
        let group = self.group()?;
        let own = group.current_member_index();
        Ok(group.propose_remove(own, Vec::new())?.to_bytes()?)
    }

    fn write(&mut self, text: &str) -> Result<Vec<u8>, Fault> {
        let message = self
            .group()?
            .encrypt_application_message(text.as_bytes(), Vec::new())?;
        Ok(message.to_bytes()?)
    }

    fn read(&mut self, message: &[u8]) -> Result<Heard, Fault> {
        let group = self.group()?;
        match group.process_incoming_message(MlsMessage::from_bytes(message)?)? {
            ReceivedMessage::ApplicationMessage(text) => {
                let sender = group.member_at_index(text.sender_index);
                Ok(Heard::Text {
                    from: sender
                        .map(|sender| name(&sender.signing_identity))
                        .unwrap_or_default(),
                    text: String::from_utf8(text.data().to_vec())?,
                })
            }
            ReceivedMessage::Commit(commit) => {
                group.write_to_storage()?;
                let removed = matches!(commit.effect, CommitEffect::Removed { .. });
                Ok(Heard::Commit { removed })
            }
            ReceivedMessage::Proposal(_) => Ok(Heard::Proposal),
            _ => Err("a message that nobody sends here".into()),
        }
    }

    fn must_commit(&self) -> bool {
        self.group.as_ref().is_some_and(Group::commit_required)
    }

    fn place(&self) -> Option<Place> {
        let group = self.group.as_ref()?;
        let roster = group.roster();
        let identities = roster.member_identities_iter();
        Some(Place {
            epoch: group.current_epoch(),
            authenticator: group.epoch_authenticator().ok()?.to_vec(),
            members: identities.map(name).collect(),
        })
    }
}

fn leaves<C: MlsConfig>(group: &Group<C>, whom: &BTreeSet<String>) -> Vec<u32> {
    let roster = group.roster();
    let meant = roster
        .members_iter()
        .filter(|member| whom.contains(&name(&member.signing_identity)));
    meant.map(|member| member.index).collect()
}

fn name(identity: &SigningIdentity) -> String {
    let bytes = identity
        .credential
        .as_basic()
        .map(|basic| basic.identifier());
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

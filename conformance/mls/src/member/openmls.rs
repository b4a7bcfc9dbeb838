//! A member on `openmls`.

use std::collections::BTreeSet;

use openmls::prelude::tls_codec::DeserializeBytes as _;
use openmls::prelude::{
    BasicCredential, Capabilities, Ciphersuite, CredentialWithKey, ExtensionType, GroupId,
    KeyPackage, KeyPackageIn, LeafNodeIndex, LeafNodeParameters,
    MIXED_CIPHERTEXT_WIRE_FORMAT_POLICY, MlsGroup, MlsGroupCreateConfig, MlsGroupJoinConfig,
    MlsMessageBodyIn, MlsMessageIn, MlsMessageOut, OpenMlsProvider as _, ProcessedMessageContent,
    ProtocolMessage, ProtocolVersion, StagedWelcome,
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;

use super::{Change, Commit, Heard, Member, PAST_EPOCHS, Place};
use crate::Fault;

const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;

pub(super) struct OpenMls {
    identity: String,
    provider: OpenMlsRustCrypto,
    signer: SignatureKeyPair,
    credential: CredentialWithKey,
    group: Option<MlsGroup>,
    /// The group as it is if its own commit is the first.
    entering: Option<MlsGroup>,
}

impl OpenMls {
    pub(super) fn new(identity: &str) -> Result<OpenMls, Fault> {
        let signer = SignatureKeyPair::new(SUITE.signature_algorithm())?;
        let credential = CredentialWithKey {
            credential: BasicCredential::new(identity.as_bytes().to_vec()).into(),
            signature_key: signer.public().into(),
        };
        Ok(OpenMls {
            identity: identity.to_owned(),
            provider: OpenMlsRustCrypto::default(),
            signer,
            credential,
            group: None,
            entering: None,
        })
    }
}

impl Member for OpenMls {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn key_package(&mut self, last_resort: bool) -> Result<Vec<u8>, Fault> {
        let mut builder = KeyPackage::builder().leaf_node_capabilities(capabilities());
        if last_resort {
            builder = builder.mark_as_last_resort();
        }
        let credential = self.credential.clone();
        let bundle = builder.build(SUITE, &self.provider, &self.signer, credential)?;
        Ok(MlsMessageOut::from(bundle.key_package().clone()).to_bytes()?)
    }

    fn create(&mut self, group: &[u8]) -> Result<(), Fault> {
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(SUITE)
            .wire_format_policy(MIXED_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .max_past_epochs(PAST_EPOCHS)
            .use_ratchet_tree_extension(true)
            .capabilities(capabilities())
            .build();
        self.group = Some(MlsGroup::new_with_group_id(
            &self.provider,
            &self.signer,
            &config,
            GroupId::from_slice(group),
            self.credential.clone(),
        )?);
        Ok(())
    }

    fn join(&mut self, welcome: &[u8]) -> Result<(), Fault> {
        let config = joining();
        let MlsMessageBodyIn::Welcome(welcome) = parse(welcome)?.extract() else {
            return Err("not a welcome message".into());
        };
        let staged = StagedWelcome::new_from_welcome(&self.provider, &config, welcome, None)?;
        self.group = Some(staged.into_group(&self.provider)?);
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<u8>, Fault> {
        let group = self.group.as_ref().ok_or("in no group")?;
        let state = group.export_group_info(self.provider.crypto(), &self.signer, true)?;
        Ok(state.to_bytes()?)
    }

    fn enter(&mut self, state: &[u8]) -> Result<Vec<u8>, Fault> {
        let MlsMessageBodyIn::GroupInfo(state) = parse(state)?.extract() else {
            return Err("not the state of a group".into());
        };
        let leaf = LeafNodeParameters::builder().with_capabilities(capabilities());
        let (group, bundle) = MlsGroup::external_commit_builder()
            .with_config(joining())
            .build_group(&self.provider, state, self.credential.clone())?
            .leaf_node_parameters(leaf.build())
            .load_psks(self.provider.storage())?
            .build(
                self.provider.rand(),
                self.provider.crypto(),
                &self.signer,
                |_| true,
            )?
            .finalize(&self.provider)?;
        self.entering = Some(group);
        Ok(bundle.into_commit().to_bytes()?)
    }

    fn commit(&mut self, change: &Change) -> Result<Commit, Fault> {
        let group = self.group.as_mut().ok_or("in no group")?;
        let members: Vec<_> = group.members().collect();
        let mut builder = group.commit_builder().force_self_update(true);
        match change {
            Change::Add(packages) => {
                let mut valid = Vec::new();
                for package in packages {
                    let crypto = self.provider.crypto();
                    valid.push(key_package(package)?.validate(crypto, ProtocolVersion::Mls10)?);
                }
                builder = builder.propose_adds(valid);
            }
            Change::Remove(whom) => {
                builder = builder.propose_removals(leaves(&members, whom));
            }
            Change::Update => {}
        }
        let bundle = builder
            .load_psks(self.provider.storage())?
            .build(
                self.provider.rand(),
                self.provider.crypto(),
                &self.signer,
                |_| true,
            )?
            .stage_commit(&self.provider)?;
        let welcome = bundle.to_welcome_msg().map(|welcome| welcome.to_bytes());
        Ok(Commit {
            welcome: welcome.transpose()?,
            message: bundle.into_commit().to_bytes()?,
        })
    }

    fn confirm(&mut self) -> Result<(), Fault> {
        if let Some(entered) = self.entering.take() {
            self.group = Some(entered);
            return Ok(());
        }
        let group = self.group.as_mut().ok_or("in no group")?;
        Ok(group.merge_pending_commit(&self.provider)?)
    }

    fn drop_commit(&mut self) -> Result<(), Fault> {
        if self.entering.take().is_some() {
            return Ok(());
        }
        let group = self.group.as_mut().ok_or("in no group")?;
        Ok(group.clear_pending_commit(self.provider.storage())?)
    }

    fn leave(&mut self) -> Result<Vec<u8>, Fault> {
        let group = self.group.as_mut().ok_or("in no group")?;
        Ok(group
            .leave_group(&self.provider, &self.signer)?
            .to_bytes()?)
    }

    fn write(&mut self, text: &str) -> Result<Vec<u8>, Fault> {
        let group = self.group.as_mut().ok_or("in no group")?;
        let message = group.create_message(&self.provider, &self.signer, text.as_bytes())?;
        Ok(message.to_bytes()?)
    }

    fn read(&mut self, message: &[u8]) -> Result<Heard, Fault> {
        let group = self.group.as_mut().ok_or("in no group")?;
        let processed = group.process_message(&self.provider, framing(message)?)?;
        let from = processed.credential().serialized_content().to_vec();
        match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(text) => Ok(Heard::Text {
                from: String::from_utf8(from)?,
                text: String::from_utf8(text.into_bytes())?,
            }),
            ProcessedMessageContent::ProposalMessage(proposal) => {
                group.store_pending_proposal(self.provider.storage(), *proposal)?;
                Ok(Heard::Proposal)
            }
            ProcessedMessageContent::StagedCommitMessage(commit) => {
                let removed = commit.self_removed();
                group.merge_staged_commit(&self.provider, *commit)?;
                Ok(Heard::Commit { removed })
            }
            _ => Err("a message that nobody sends here".into()),
        }
    }

    fn must_commit(&self) -> bool {
        let group = self.group.as_ref();
        group.is_some_and(|group| group.has_pending_proposals())
    }

    fn place(&self) -> Option<Place> {
        let group = self.group.as_ref()?;
        Some(Place {
            epoch: group.epoch().as_u64(),
            authenticator: group.epoch_authenticator().as_slice().to_vec(),
            members: group.members().map(|leaf| identity(&leaf)).collect(),
        })
    }
}

/// A key package of last resort is refused unless its leaf can do that extension, which `mark_as_last_resort` leaves out.
fn capabilities() -> Capabilities {
    let extensions = vec![ExtensionType::LastResort];
    Capabilities::builder().extensions(extensions).build()
}

/// How it is in a group that others have founded.
fn joining() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(MIXED_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .max_past_epochs(PAST_EPOCHS)
        .use_ratchet_tree_extension(true)
        .build()
}

fn identity(leaf: &openmls::group::Member) -> String {
    String::from_utf8_lossy(leaf.credential.serialized_content()).into_owned()
}

fn leaves(members: &[openmls::group::Member], whom: &BTreeSet<String>) -> Vec<LeafNodeIndex> {
    let meant = members.iter().filter(|leaf| whom.contains(&identity(leaf)));
    meant.map(|leaf| leaf.index).collect()
}

fn parse(bytes: &[u8]) -> Result<MlsMessageIn, Fault> {
    Ok(MlsMessageIn::tls_deserialize_exact_bytes(bytes)?)
}

/// A message of a group as the delivery service sees it.
pub(super) fn framing(bytes: &[u8]) -> Result<ProtocolMessage, Fault> {
    Ok(parse(bytes)?.try_into_protocol_message()?)
}

pub(super) fn key_package(bytes: &[u8]) -> Result<KeyPackageIn, Fault> {
    match parse(bytes)?.extract() {
        MlsMessageBodyIn::KeyPackage(package) => Ok(package),
        _ => Err("not a key package".into()),
    }
}

//! Test support: messages whose framing is right and whose content is noise, and key packages with true signatures.

use ring::error::KeyRejected;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// A vector (RFC 9420 §2.1.2), of up to a gigabyte.
pub fn vector(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut written = match length {
        0..0x40 => vec![length as u8],
        0x40..0x4000 => (0x4000 | length as u16).to_be_bytes().to_vec(),
        _ => (0x8000_0000 | length).to_be_bytes().to_vec(),
    };
    written.extend_from_slice(bytes);
    written
}

fn begin(wire_format: u8) -> Vec<u8> {
    vec![0, 1, 0, wire_format]
}

/// An encrypted message: 1 is something said, 2 a proposal, 3 a commit.
pub fn private(group: &[u8], epoch: u64, content: u8) -> Vec<u8> {
    private_of(group, epoch, content, b"ciphertext")
}

/// An encrypted message with this in the place of what is encrypted.
pub fn private_of(group: &[u8], epoch: u64, content: u8, text: &[u8]) -> Vec<u8> {
    let mut bytes = begin(2);
    bytes.extend(vector(group));
    bytes.extend(epoch.to_be_bytes());
    bytes.push(content);
    for part in [&b""[..], b"sender", text] {
        bytes.extend(vector(part));
    }
    bytes
}

/// A public message of a member.
pub fn public(group: &[u8], epoch: u64, content: u8, body: &[u8]) -> Vec<u8> {
    public_from(group, epoch, &[1, 0, 0, 0, 4], content, body)
}

fn public_from(group: &[u8], epoch: u64, sender: &[u8], content: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = begin(1);
    bytes.extend(vector(group));
    bytes.extend(epoch.to_be_bytes());
    bytes.extend(sender);
    bytes.extend(vector(b""));
    bytes.push(content);
    bytes.extend(body);
    bytes.extend(vector(&[7; 64]));
    if content == 3 {
        bytes.extend(vector(&[8; 32]));
    }
    if sender.first() == Some(&1) {
        bytes.extend(vector(&[9; 32]));
    }
    bytes
}

/// A public commit with a path: of a member, or of somebody who joins by it.
pub fn public_commit(group: &[u8], epoch: u64, joins: bool) -> Vec<u8> {
    let mut body = vector(b"proposals");
    body.push(1);
    body.extend(leaf_content("bob@example.org/phone", &[5; 32], &[3, 0]));
    body.extend(vector(&[6; 64]));
    body.extend(vector(b"nodes"));
    let sender: &[u8] = if joins { &[4] } else { &[1, 0, 0, 0, 4] };
    public_from(group, epoch, sender, 3, &body)
}

/// A welcome with secrets of this size.
pub fn welcome(bytes: usize) -> Vec<u8> {
    let mut written = begin(3);
    written.extend([0, 1]);
    written.extend(vector(&vec![1; bytes]));
    written.extend(vector(b"group info"));
    written
}

/// The state of a group.
pub fn group_info(group: &[u8], epoch: u64) -> Vec<u8> {
    let mut bytes = begin(4);
    bytes.extend([0, 1, 0, 1]);
    bytes.extend(vector(group));
    bytes.extend(epoch.to_be_bytes());
    for part in [&b"tree"[..], b"transcript", b"", b"", b"tag"] {
        bytes.extend(vector(part));
    }
    bytes.extend([0, 0, 0, 0]);
    bytes.extend(vector(&[7; 64]));
    bytes
}

/// All of a leaf but its signature. `source` says where it comes from (§7.2).
fn leaf_content(identity: &str, signature_key: &[u8], source: &[u8]) -> Vec<u8> {
    let mut leaf = vector(&[2; 32]);
    leaf.extend(vector(signature_key));
    leaf.extend([0, 1]);
    leaf.extend(vector(identity.as_bytes()));
    // Versions, suites, extensions (last resort), proposals, credentials.
    for list in [&[0, 1][..], &[0, 1], &[0, 10], &[], &[0, 1]] {
        leaf.extend(vector(list));
    }
    leaf.extend(source);
    leaf.extend(vector(b""));
    leaf
}

/// What a key package says.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// The identity in its credential.
    pub identity: &'a str,
    /// Its cipher suite, one with Ed25519.
    pub suite: u16,
    /// From when and until when it is good, Unix seconds.
    pub life: (u64, u64),
    /// Whether it may be used when no other is left.
    pub last_resort: bool,
    /// What new members are found by: each package has another one.
    pub init_key: [u8; 32],
}

/// A device that makes key packages.
pub struct Maker(Ed25519KeyPair);

impl Maker {
    /// With the key that comes of this seed.
    ///
    /// # Errors
    /// None of 32 bytes.
    pub fn new(seed: [u8; 32]) -> Result<Self, KeyRejected> {
        Ed25519KeyPair::from_seed_unchecked(&seed).map(Maker)
    }

    /// An MLSMessage with a key package (§10).
    pub fn package(&self, draft: &Draft<'_>) -> Vec<u8> {
        let mut source = vec![1];
        source.extend(draft.life.0.to_be_bytes());
        source.extend(draft.life.1.to_be_bytes());
        let mut leaf = leaf_content(draft.identity, self.0.public_key().as_ref(), &source);
        let signature = self.sign("LeafNodeTBS", &leaf);
        leaf.extend(vector(&signature));
        let mut package = vec![0, 1];
        package.extend(draft.suite.to_be_bytes());
        package.extend(vector(&draft.init_key));
        package.extend(leaf);
        let last_resort: &[u8] = if draft.last_resort { &[0, 10, 0] } else { &[] };
        package.extend(vector(last_resort));
        let signature = self.sign("KeyPackageTBS", &package);
        package.extend(vector(&signature));
        [begin(5), package].concat()
    }

    /// SignWithLabel (§5.1.2).
    fn sign(&self, label: &str, content: &[u8]) -> Vec<u8> {
        let mut signed = vector(format!("MLS 1.0 {label}").as_bytes());
        signed.extend(vector(content));
        self.0.sign(&signed).as_ref().to_vec()
    }
}

//! SASL mechanisms: those of the `sasl` crate, which is not what the server uses, with what it lacks:
//! SCRAM with SHA-512, and the channel binding tls-server-end-point.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::InvalidLength;
use hmac::{Hmac, Mac};
use sasl::client::mechanisms::{Anonymous, Plain, Scram};
use sasl::client::{Mechanism, MechanismError};
use sasl::common::scram::{DeriveError, ScramProvider, Sha1, Sha256, generate_nonce};
use sasl::common::{ChannelBinding, Credentials, Password, parse_frame, xor};
use sha2::Digest;
use tokio_rustls::rustls::ClientConnection;

use super::error::Error;

/// What a client binds a login to (RFC 5801 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// Nothing: `n,,`.
    #[default]
    None,
    /// Nothing, saying that it would if the server offered: `y,,`.
    NotOffered,
    /// The keys of the TLS connection (RFC 9266).
    Exporter,
    /// The certificate of the server (RFC 5929 §4).
    EndPoint,
}

/// A mechanism by its name, ready to log in.
pub fn mechanism(
    name: &str,
    user: &str,
    password: &str,
    binding: Binding,
    tls: Option<&ClientConnection>,
) -> Result<Box<dyn Mechanism + Send>, Error> {
    match name.strip_suffix("-PLUS").unwrap_or(name) {
        "ANONYMOUS" => Ok(Box::new(Anonymous::new())),
        "PLAIN" => Ok(Box::new(Plain::new(user, password))),
        "SCRAM-SHA-1" => scram::<Sha1>(user, password, binding, tls),
        "SCRAM-SHA-256" => scram::<Sha256>(user, password, binding, tls),
        "SCRAM-SHA-512" => scram::<Sha512>(user, password, binding, tls),
        _ => Err(Error::NotOffered(name.to_owned())),
    }
}

fn scram<S: ScramProvider + Send + 'static>(
    user: &str,
    password: &str,
    binding: Binding,
    tls: Option<&ClientConnection>,
) -> Result<Box<dyn Mechanism + Send>, Error> {
    let binding = match binding {
        Binding::None => ChannelBinding::None,
        Binding::NotOffered => ChannelBinding::Unsupported,
        Binding::Exporter => ChannelBinding::TlsExporter(exporter(tls)?),
        Binding::EndPoint => {
            let data = end_point(tls)?;
            return Ok(Box::new(EndPointScram::<S>::new(user, password, data)));
        }
    };
    let mechanism = Scram::<S>::new(user, password, binding);
    Ok(Box::new(
        mechanism.map_err(|_| Error::Sasl("no randomness".to_owned()))?,
    ))
}

pub fn sasl_error(error: impl std::fmt::Display) -> Error {
    Error::Sasl(error.to_string())
}

fn no_tls() -> Error {
    Error::NotOffered("channel binding without TLS".to_owned())
}

/// `tls-exporter` (RFC 9266).
pub(super) fn exporter(tls: Option<&ClientConnection>) -> Result<Vec<u8>, Error> {
    let (label, context) = (b"EXPORTER-Channel-Binding", Some(&b""[..]));
    let tls = tls.ok_or_else(no_tls)?;
    let data = tls.export_keying_material([0; 32], label, context)?;
    Ok(data.to_vec())
}

/// `tls-server-end-point` (RFC 5929 §4).
pub(super) fn end_point(tls: Option<&ClientConnection>) -> Result<Vec<u8>, Error> {
    let certificates = tls.and_then(|tls| tls.peer_certificates());
    let certificate = certificates.and_then(|all| all.first());
    Ok(hash_of(certificate.ok_or_else(no_tls)?))
}

/// The hash of the certificate by its own signature's hash function, SHA-256 for weaker ones.
fn hash_of(certificate: &[u8]) -> Vec<u8> {
    let oid = x509_parser::parse_x509_certificate(certificate)
        .map(|(_, parsed)| parsed.signature_algorithm.algorithm.to_id_string())
        .unwrap_or_default();
    match oid.as_str() {
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => {
            sha2::Sha384::digest(certificate).to_vec()
        }
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => {
            sha2::Sha512::digest(certificate).to_vec()
        }
        _ => sha2::Sha256::digest(certificate).to_vec(),
    }
}

/// SHA-512 for the crate's SCRAM.
struct Sha512;

impl ScramProvider for Sha512 {
    type Secret = sasl::secret::Pbkdf2Sha256;

    fn name() -> &'static str {
        "SHA-512"
    }

    fn hash(data: &[u8]) -> Vec<u8> {
        sha2::Sha512::digest(data).to_vec()
    }

    fn hmac(data: &[u8], key: &[u8]) -> Result<Vec<u8>, InvalidLength> {
        let mut mac = Hmac::<sha2::Sha512>::new_from_slice(key)?;
        mac.update(data);
        Ok(mac.finalize().into_bytes().to_vec())
    }

    fn derive(password: &Password, salt: &[u8], iterations: u32) -> Result<Vec<u8>, DeriveError> {
        let Password::Plain(plain) = password else {
            return Err(DeriveError::IncorrectSalt);
        };
        let mut out = vec![0; 64];
        pbkdf2::pbkdf2::<Hmac<sha2::Sha512>>(plain.as_bytes(), salt, iterations, &mut out)?;
        Ok(out)
    }
}

/// SCRAM bound to the server's certificate (RFC 5802).
struct EndPointScram<S> {
    first_bare: String,
    password: Password,
    binding: Vec<u8>,
    server_signature: Option<Vec<u8>>,
    hash: std::marker::PhantomData<fn() -> S>,
}

const END_POINT_HEADER: &str = "p=tls-server-end-point,,";

impl<S: ScramProvider> EndPointScram<S> {
    fn new(user: &str, password: &str, end_point: Vec<u8>) -> EndPointScram<S> {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let nonce = generate_nonce().unwrap_or_default();
        EndPointScram {
            first_bare: format!("n={user},r={nonce}"),
            password: password.into(),
            binding: [END_POINT_HEADER.as_bytes(), &end_point].concat(),
            server_signature: None,
            hash: std::marker::PhantomData,
        }
    }
}

impl<S: ScramProvider> Mechanism for EndPointScram<S> {
    fn name(&self) -> &str {
        match S::name() {
            "SHA-1" => "SCRAM-SHA-1-PLUS",
            "SHA-256" => "SCRAM-SHA-256-PLUS",
            _ => "SCRAM-SHA-512-PLUS",
        }
    }

    fn from_credentials(_: Credentials) -> Result<Self, MechanismError> {
        Err(MechanismError::ScramRequiresPassword)
    }

    fn initial(&mut self) -> Vec<u8> {
        format!("{END_POINT_HEADER}{}", self.first_bare).into_bytes()
    }

    fn response(&mut self, challenge: &[u8]) -> Result<Vec<u8>, MechanismError> {
        let frame = parse_frame(challenge).map_err(|_| MechanismError::CannotDecodeChallenge)?;
        let nonce = frame.get("r").ok_or(MechanismError::NoServerNonce)?;
        let salt = frame.get("s").and_then(|salt| STANDARD.decode(salt).ok());
        let salt = salt.ok_or(MechanismError::NoServerSalt)?;
        let iterations = frame.get("i").and_then(|i| i.parse().ok());
        let iterations = iterations.ok_or(MechanismError::NoServerIterations)?;

        let without_proof = format!("c={},r={nonce}", STANDARD.encode(&self.binding));
        let salted = S::derive(&self.password, &salt, iterations)?;
        let client_key = S::hmac(b"Client Key", &salted)?;
        let server_key = S::hmac(b"Server Key", &salted)?;
        let message = [
            self.first_bare.as_bytes(),
            challenge,
            without_proof.as_bytes(),
        ]
        .join(&b',');
        let proof = xor(&client_key, &S::hmac(&message, &S::hash(&client_key))?);
        self.server_signature = Some(S::hmac(&message, &server_key)?);
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes())
    }

    fn success(&mut self, data: &[u8]) -> Result<(), MechanismError> {
        let frame = parse_frame(data).map_err(|_| MechanismError::CannotDecodeSuccessResponse)?;
        let signature = frame.get("v").and_then(|v| STANDARD.decode(v).ok());
        match signature {
            None => Err(MechanismError::NoSignatureInSuccessResponse),
            some if some == self.server_signature => Ok(()),
            Some(_) => Err(MechanismError::InvalidSignatureInSuccessResponse),
        }
    }
}

//! The half of the cryptography of MLS that a server needs: it verifies signatures and hashes; all else it cannot do.

use openmls::prelude::tls_codec::SecretVLBytes;
use openmls::prelude::{
    AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig,
    HpkeKeyPair, KemOutput, OpenMlsCrypto, SignatureScheme,
};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, UnparsedPublicKey,
    VerificationAlgorithm,
};

use super::SUITES;

/// Verifies, and nothing else.
pub(super) struct Verifier;

type Made<T> = Result<T, CryptoError>;

impl OpenMlsCrypto for Verifier {
    fn supports(&self, suite: Ciphersuite) -> Made<()> {
        match SUITES.contains(&u16::from(suite)) {
            true => Ok(()),
            false => Err(CryptoError::UnsupportedCiphersuite),
        }
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        let suites = SUITES.into_iter();
        suites
            .filter_map(|suite| Ciphersuite::try_from(suite).ok())
            .collect()
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        data: &[u8],
        key: &[u8],
        signature: &[u8],
    ) -> Made<()> {
        let algorithm: &'static dyn VerificationAlgorithm = match scheme {
            SignatureScheme::ED25519 => &ED25519,
            SignatureScheme::ECDSA_SECP256R1_SHA256 => &ECDSA_P256_SHA256_ASN1,
            SignatureScheme::ECDSA_SECP384R1_SHA384 => &ECDSA_P384_SHA384_ASN1,
            _ => return Err(CryptoError::UnsupportedSignatureScheme),
        };
        let verified = UnparsedPublicKey::new(algorithm, key).verify(data, signature);
        verified.map_err(|_| CryptoError::InvalidSignature)
    }

    fn hash(&self, _: HashType, _: &[u8]) -> Made<Vec<u8>> {
        Err(CryptoError::UnsupportedHashAlgorithm)
    }

    fn hkdf_extract(&self, _: HashType, _: &[u8], _: &[u8]) -> Made<SecretVLBytes> {
        Err(CryptoError::UnsupportedKdf)
    }

    fn hmac(&self, _: HashType, _: &[u8], _: &[u8]) -> Made<SecretVLBytes> {
        Err(CryptoError::UnsupportedHashAlgorithm)
    }

    fn hkdf_expand(&self, _: HashType, _: &[u8], _: &[u8], _: usize) -> Made<SecretVLBytes> {
        Err(CryptoError::UnsupportedKdf)
    }

    fn aead_encrypt(&self, _: AeadType, _: &[u8], _: &[u8], _: &[u8], _: &[u8]) -> Made<Vec<u8>> {
        Err(CryptoError::UnsupportedAeadAlgorithm)
    }

    fn aead_decrypt(&self, _: AeadType, _: &[u8], _: &[u8], _: &[u8], _: &[u8]) -> Made<Vec<u8>> {
        Err(CryptoError::UnsupportedAeadAlgorithm)
    }

    fn signature_key_gen(&self, _: SignatureScheme) -> Made<(Vec<u8>, Vec<u8>)> {
        Err(CryptoError::UnsupportedSignatureScheme)
    }

    fn sign(&self, _: SignatureScheme, _: &[u8], _: &[u8]) -> Made<Vec<u8>> {
        Err(CryptoError::UnsupportedSignatureScheme)
    }

    fn hpke_seal(
        &self,
        _: HpkeConfig,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: &[u8],
    ) -> Made<HpkeCiphertext> {
        Err(CryptoError::HpkeEncryptionError)
    }

    fn hpke_open(
        &self,
        _: HpkeConfig,
        _: &HpkeCiphertext,
        _: &[u8],
        _: &[u8],
        _: &[u8],
    ) -> Made<Vec<u8>> {
        Err(CryptoError::HpkeDecryptionError)
    }

    fn hpke_setup_sender_and_export(
        &self,
        _: HpkeConfig,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: usize,
    ) -> Made<(KemOutput, ExporterSecret)> {
        Err(CryptoError::HpkeEncryptionError)
    }

    fn hpke_setup_receiver_and_export(
        &self,
        _: HpkeConfig,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: usize,
    ) -> Made<ExporterSecret> {
        Err(CryptoError::HpkeDecryptionError)
    }

    fn derive_hpke_keypair(&self, _: HpkeConfig, _: &[u8]) -> Made<HpkeKeyPair> {
        Err(CryptoError::HpkeEncryptionError)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    };

    #[test]
    fn signatures_of_curves_are_verified_as_they_are_written() {
        let random = SystemRandom::new();
        for (how, scheme) in [
            (
                &ECDSA_P256_SHA256_ASN1_SIGNING,
                SignatureScheme::ECDSA_SECP256R1_SHA256,
            ),
            (
                &ECDSA_P384_SHA384_ASN1_SIGNING,
                SignatureScheme::ECDSA_SECP384R1_SHA384,
            ),
        ] {
            let pair = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(how, pair.as_ref(), &random).unwrap();
            let signature = pair.sign(&random, b"data").unwrap();
            let key = pair.public_key().as_ref();
            let verify =
                |data, key, signature| Verifier.verify_signature(scheme, data, key, signature);
            assert_eq!(verify(b"data", key, signature.as_ref()), Ok(()));
            for (data, key, signature) in [
                (&b"date"[..], key, signature.as_ref()),
                (b"data", &[], signature.as_ref()),
                (b"data", key, &[]),
            ] {
                let refused = verify(data, key, signature);
                assert_eq!(refused, Err(CryptoError::InvalidSignature));
            }
        }
        let other = Verifier.verify_signature(SignatureScheme::ED448, b"", b"", b"");
        assert_eq!(other, Err(CryptoError::UnsupportedSignatureScheme));
    }
}

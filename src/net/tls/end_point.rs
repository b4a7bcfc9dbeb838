//! `tls-server-end-point`, the hash of the server's own certificate (RFC 5929 §4).

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use x509_parser::certificate::X509Certificate;
use x509_parser::signature_algorithm::SignatureAlgorithm;

/// Hash of `der` by the hash of the certificate's own signature, MD5 and SHA-1 replaced by SHA-256.
/// `None` where the RFC leaves it undefined (Ed25519 and others without a separate hash).
pub(super) fn hash(der: &[u8], certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    let algorithm = &certificate.signature_algorithm;
    let oid = match SignatureAlgorithm::try_from(algorithm) {
        Ok(SignatureAlgorithm::RSASSA_PSS(pss)) => pss.hash_algorithm_oid().to_id_string(),
        _ => algorithm.algorithm.to_id_string(),
    };
    Some(match oid.as_str() {
        // md5, sha1: RSA, ECDSA, and the bare hashes as RSASSA-PSS names them; then SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.10045.4.1"
        | "1.2.840.113549.2.5"
        | "1.3.14.3.2.26"
        | "1.3.14.3.2.29"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.3.2"
        | "2.16.840.1.101.3.4.2.1" => Sha256::digest(der).to_vec(),
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" | "2.16.840.1.101.3.4.2.4" => {
            Sha224::digest(der).to_vec()
        }
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" | "2.16.840.1.101.3.4.2.2" => {
            Sha384::digest(der).to_vec()
        }
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" | "2.16.840.1.101.3.4.2.3" => {
            Sha512::digest(der).to_vec()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn end_point(algorithm: &'static rcgen::SignatureAlgorithm) -> (Vec<u8>, Option<Vec<u8>>) {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec!["example.org".into()]).unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        let hashed = hash(&der, &parsed);
        (der, hashed)
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let (der, hashed) = end_point(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(hashed.unwrap(), Sha256::digest(&der).to_vec());
        let (der, hashed) = end_point(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(hashed.unwrap(), Sha384::digest(&der).to_vec());
        assert_eq!(end_point(&rcgen::PKCS_ED25519).1, None);
    }
}

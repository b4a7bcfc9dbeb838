//! Randomness from the operating system, and the strings made of it.

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// `N` random bytes, fit for keys.
///
/// If the operating system refuses randomness, which after boot it does not, the process ends:
/// nothing a server does is safe without it.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    if let Err(error) = getrandom::fill(&mut out) {
        eprintln!("waxwing: no randomness from the operating system: {error}");
        std::process::abort();
    }
    out
}

/// A secret that nobody guesses: 26 characters `a-z2-7`, 130 bits.
pub fn token() -> String {
    base32(&bytes::<17>(), 26)
}

/// An id for a stanza or a stream (RFC 6120 §4.7.3 wants it unpredictable): 16 characters
/// `a-z2-7`, 80 bits.
pub fn id() -> String {
    base32(&bytes::<10>(), 16)
}

/// The first `length` base32 digits (RFC 4648 §6, lower case) of `bytes`, which hold that many bits.
fn base32(bytes: &[u8], length: usize) -> String {
    let mut out = String::with_capacity(length);
    let (mut bits, mut held) = (0u32, 0);
    for &byte in bytes {
        bits = (bits << 8) | u32::from(byte);
        held += 8;
        while held >= 5 && out.len() < length {
            held -= 5;
            let digit = (bits >> held) as usize % BASE32.len();
            out.extend(BASE32.get(digit).map(|&b| char::from(b)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn base32_of_rfc4648() {
        assert_eq!(base32(b"fooba", 8), "mzxw6ytb");
        assert_eq!(base32(b"foobar", 4), "mzxw");
    }

    #[test]
    fn shapes() {
        assert_eq!(token().len(), 26);
        assert_eq!(id().len(), 16);
        assert!(token().bytes().all(|b| BASE32.contains(&b)));
    }

    #[test]
    fn nothing_comes_twice() {
        let seen: HashSet<String> = (0..1000).map(|_| id()).collect();
        assert_eq!(seen.len(), 1000);
        assert_ne!(bytes::<32>(), bytes::<32>());
    }
}

//! Passwords that are made here.

use crate::runtime::random;

/// Without letters and digits that look alike; 32 of them, so that five random bits choose one.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Sixteen random letters in four groups: 80 bits.
pub fn generate() -> String {
    let mut password = String::new();
    for (index, byte) in random::bytes::<16>().into_iter().enumerate() {
        if index > 0 && index % 4 == 0 {
            password.push('-');
        }
        let letter = LETTERS.get(usize::from(byte & 31)).copied().unwrap_or(b'x');
        password.push(char::from(letter));
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_differ_and_can_be_typed() {
        let (a, b) = (generate(), generate());
        assert_ne!(a, b);
        assert_eq!(a.len(), 19);
        assert!(
            a.bytes()
                .all(|byte| byte == b'-' || LETTERS.contains(&byte))
        );
    }
}

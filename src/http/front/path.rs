//! Paths as they are written and as they are meant (RFC 3986 §2.1, §3.3).

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadPath {
    #[error("the path cannot be decoded")]
    Encoding,
    #[error("the path has . or .. in it, or empty names")]
    Dots,
    #[error("the path has a hidden slash or control characters in it")]
    Hidden,
}

/// Decodes a path, once. What would mean something else to a file system, or to whoever decodes it again, is refused,
/// not mended.
pub(super) fn decode(written: &str) -> Result<String, BadPath> {
    let mut decoded = Vec::with_capacity(written.len());
    let mut bytes = written.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (high, low) = (bytes.next().and_then(digit), bytes.next().and_then(digit));
        let (Some(high), Some(low)) = (high, low) else {
            return Err(BadPath::Encoding);
        };
        let byte = high << 4 | low;
        if byte == b'/' {
            return Err(BadPath::Hidden);
        }
        decoded.push(byte);
    }
    let path = String::from_utf8(decoded).map_err(|_| BadPath::Encoding)?;
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return Err(BadPath::Hidden);
    }
    let names = path.strip_prefix('/').ok_or(BadPath::Encoding)?;
    let odd = |name: &str| matches!(name, "" | "." | "..");
    let directory = names.strip_suffix('/').unwrap_or(names);
    if !names.is_empty() && directory.split('/').any(odd) {
        return Err(BadPath::Dots);
    }
    Ok(path)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_decoded_once() {
        for (written, meant) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("/caf%C3%A9%20noir.png", "/café noir.png"),
            ("/%2541", "/%41"),
            ("/a..b/...", "/a..b/..."),
        ] {
            assert_eq!(decode(written).as_deref(), Ok(meant), "{written}");
        }
    }

    #[test]
    fn traversal_in_any_dress_is_refused() {
        for (written, why) in [
            ("/..", BadPath::Dots),
            ("/a/../b", BadPath::Dots),
            ("/%2e%2E/b", BadPath::Dots),
            ("/./b", BadPath::Dots),
            ("//", BadPath::Dots),
            ("//b", BadPath::Dots),
            ("/a//b", BadPath::Dots),
            ("/a%2Fb", BadPath::Hidden),
            ("/a%2f..%2fb", BadPath::Hidden),
            ("/..%5Cb", BadPath::Hidden),
            ("/a\\b", BadPath::Hidden),
            ("/a%00", BadPath::Hidden),
            ("/a%0D%0Ab", BadPath::Hidden),
            ("/a%7F", BadPath::Hidden),
            ("/%", BadPath::Encoding),
            ("/%4", BadPath::Encoding),
            ("/%4g", BadPath::Encoding),
            ("/%+1", BadPath::Encoding),
            ("/%C0%AE", BadPath::Encoding),
            ("/%ff", BadPath::Encoding),
            ("a", BadPath::Encoding),
            ("", BadPath::Encoding),
            ("*", BadPath::Encoding),
        ] {
            assert_eq!(decode(written), Err(why), "{written}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn nothing_dangerous_comes_through(written in "/[%./a2eEfF5cC0]{0,24}") {
            if let Ok(path) = decode(&written) {
                prop_assert!(!path.contains("//") && !path.contains('\\') && !path.contains('\0'));
                prop_assert!(!path.split('/').any(|name| name == ".." || name == "."));
            }
        }
    }
}

//! The character classes of XML 1.0 (fifth edition) §2.2–2.3 and Namespaces in XML §3.

use super::XmlError;

/// Whether `c` is an XML `Char`.
pub(super) const fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// Whether `b` is white space (`S`).
pub(super) const fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}

/// `bytes` as text: UTF-8 and nothing but XML `Char`.
pub(super) fn text(bytes: &[u8]) -> Result<&str, XmlError> {
    let text = std::str::from_utf8(bytes).map_err(|_| XmlError::UnsupportedEncoding)?;
    if has_illegal(bytes) {
        return Err(XmlError::NotWellFormed("character not allowed in XML"));
    }
    Ok(text)
}

/// Whether UTF-8 `bytes` hold a character that is no XML `Char`: a control, U+FFFE or U+FFFF.
pub(super) fn has_illegal(bytes: &[u8]) -> bool {
    let control = |b: u8| (b < 0x20) & (b != b'\t') & (b != b'\n') & (b != b'\r');
    let controls = bytes.iter().fold(false, |seen, &b| seen | control(b));
    controls
        || memchr::memchr_iter(0xEF, bytes).any(|i| {
            let tail = bytes.get(i + 1..i + 3);
            tail == Some(&[0xBF, 0xBE]) || tail == Some(&[0xBF, 0xBF])
        })
}

/// Whether `name` is an `NCName`: a `Name` without a colon.
pub(super) fn is_ncname(name: &str) -> bool {
    let bytes = name.as_bytes();
    let Some(&first) = bytes.first() else {
        return false;
    };
    let ascii_ok = |b: u8| CLASS.get(usize::from(b)).copied().unwrap_or(0);
    if ascii_ok(first) == START && bytes.iter().all(|&b| ascii_ok(b) != 0) {
        return true;
    }
    if name.is_ascii() {
        return false;
    }
    let mut chars = name.chars();
    chars.next().is_some_and(is_name_start) && chars.all(is_name_char)
}

/// Splits `name` into prefix and local part, both `NCName`; the prefix is empty when there is none.
pub(super) fn split_qname(name: &str) -> Result<(&str, &str), XmlError> {
    let (prefix, local) = match memchr::memchr(b':', name.as_bytes()) {
        Some(_) => name.split_once(':').unwrap_or(("", name)),
        None if is_ncname(name) => return Ok(("", name)),
        None => return Err(XmlError::NotWellFormed("not a name")),
    };
    if is_ncname(prefix) && is_ncname(local) {
        Ok((prefix, local))
    } else {
        Err(XmlError::NotWellFormed("not a qualified name"))
    }
}

const START: u8 = 2;
const CLASS: [u8; 128] = classes();

const fn classes() -> [u8; 128] {
    let mut table = [0; 128];
    let mut b = 0u8;
    while b < 128 {
        let class = match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => START,
            b'0'..=b'9' | b'-' | b'.' => 1,
            _ => 0,
        };
        #[allow(clippy::indexing_slicing)] // b < 128, evaluated by the compiler
        {
            table[b as usize] = class;
        }
        b += 1;
    }
    table
}

/// `NameStartChar` without the colon.
fn is_name_start(c: char) -> bool {
    matches!(c,
        'A'..='Z' | '_' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
        | '\u{10000}'..='\u{EFFFF}')
}

/// `NameChar` without the colon.
fn is_name_char(c: char) -> bool {
    is_name_start(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        for good in [
            "a",
            "_",
            "body",
            "x-y.z",
            "é",
            "a·",
            "ab1",
            "日本",
            "\u{10000}",
        ] {
            assert!(is_ncname(good), "{good}");
        }
        for bad in [
            "",
            "1a",
            "-a",
            ".a",
            "a:b",
            "a b",
            "·a",
            "×",
            "a<",
            "a\u{2028}",
            "\u{F0000}",
        ] {
            assert!(!is_ncname(bad), "{bad}");
        }
        assert_eq!(split_qname("a:b"), Ok(("a", "b")));
        assert_eq!(split_qname("b"), Ok(("", "b")));
        for bad in ["a:b:c", ":a", "a:", ":", "", "1:a", "a:1"] {
            assert!(split_qname(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn characters_follow_the_grammar() {
        for c in (0..=0x0010_FFFF).filter_map(char::from_u32) {
            let mut buffer = [0; 4];
            let encoded = c.encode_utf8(&mut buffer).as_bytes();
            assert_eq!(has_illegal(encoded), !is_char(c), "{c:?}");
        }
        assert_eq!(text(b"a\xC0\x80"), Err(XmlError::UnsupportedEncoding));
        assert_eq!(text(b"a\xED\xA0\x80"), Err(XmlError::UnsupportedEncoding));
        assert!(text(b"a\x01").is_err());
        assert_eq!(text("\u{FEFF}é".as_bytes()).unwrap(), "\u{FEFF}é");
    }
}

//! The inside of a start tag after its name (XML 1.0 §3.1 `STag`, §3.3.3 normalisation).

use super::XmlError;
use super::chars::{is_char, is_space};
use std::borrow::Cow;

/// Iterates over `(S Name Eq AttValue)* S?`; names and values come as written.
pub(super) struct Attributes<'a> {
    rest: &'a str,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(rest: &'a str) -> Self {
        Self { rest }
    }

    /// The next name and raw value; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(&'a str, &'a str)>, XmlError> {
        let trimmed = trim(self.rest);
        if trimmed.is_empty() {
            return Ok(None);
        }
        if trimmed.len() == self.rest.len() {
            return Err(XmlError::NotWellFormed("no space before an attribute"));
        }
        let at = memchr::memchr(b'=', trimmed.as_bytes());
        let (name, after) = at
            .and_then(|at| trimmed.split_at_checked(at))
            .ok_or(XmlError::NotWellFormed("attribute without a value"))?;
        let value = trim(after.get(1..).unwrap_or_default());
        let quote = match value.as_bytes().first() {
            Some(&quote @ (b'"' | b'\'')) => quote,
            _ => return Err(XmlError::NotWellFormed("attribute value without quotes")),
        };
        let inner = value.get(1..).unwrap_or_default();
        let (value, rest) = memchr::memchr(quote, inner.as_bytes())
            .and_then(|end| inner.split_at_checked(end))
            .ok_or(XmlError::NotWellFormed("attribute value without an end"))?;
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(Some((trim_end(name), value)))
    }
}

fn trim(text: &str) -> &str {
    let spaces = text.bytes().take_while(|&b| is_space(b)).count();
    text.get(spaces..).unwrap_or_default()
}

fn trim_end(text: &str) -> &str {
    let spaces = text.bytes().rev().take_while(|&b| is_space(b)).count();
    text.get(..text.len() - spaces).unwrap_or_default()
}

/// What an attribute value means: references replaced, literal white space turned into spaces (XML 1.0 §3.3.3).
pub(super) fn normalise(raw: &str) -> Result<Cow<'_, str>, XmlError> {
    // Of the controls only white space is left here.
    let special = |b: u8| (b == b'<') | (b == b'&') | (b < b' ');
    if !raw.bytes().fold(false, |seen, b| seen | special(b)) {
        return Ok(Cow::Borrowed(raw));
    }
    let first = raw.bytes().position(special).unwrap_or_default();
    let mut value = String::with_capacity(raw.len());
    let (mut rest, mut at) = (raw, first);
    loop {
        let (before, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        value.push_str(before);
        match tail.as_bytes() {
            [] => return Ok(Cow::Owned(value)),
            [b'<', ..] => return Err(XmlError::NotWellFormed("'<' in an attribute value")),
            [b'&', ..] => {
                let (name, after) = tail
                    .get(1..)
                    .and_then(|tail| tail.split_once(';'))
                    .ok_or(XmlError::NotWellFormed("reference without an end"))?;
                value.push(resolve(name)?);
                rest = after;
            }
            [b'\r', b'\n', ..] => {
                value.push(' ');
                rest = tail.get(2..).unwrap_or_default();
            }
            [..] => {
                value.push(' ');
                rest = tail.get(1..).unwrap_or_default();
            }
        }
        at = rest.bytes().position(special).unwrap_or(rest.len());
    }
}

/// What the reference `&name;` stands for: one of the five entities or a character (XML 1.0 §4.1, §4.6).
pub(super) fn resolve(name: &str) -> Result<char, XmlError> {
    match name {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => match name.strip_prefix('#') {
            Some(number) => character(number),
            None if super::chars::is_ncname(name) => Err(XmlError::Restricted("entity reference")),
            None => Err(XmlError::NotWellFormed("malformed reference")),
        },
    }
}

fn character(number: &str) -> Result<char, XmlError> {
    let (digits, radix) = match number.strip_prefix('x') {
        Some(hex) => (hex, 16),
        None => (number, 10),
    };
    // from_str_radix would take a sign.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return Err(XmlError::NotWellFormed("malformed character reference"));
    }
    u32::from_str_radix(digits, radix)
        .ok()
        .and_then(char::from_u32)
        .filter(|&c| is_char(c))
        .ok_or(XmlError::NotWellFormed(
            "reference to a character not allowed in XML",
        ))
}

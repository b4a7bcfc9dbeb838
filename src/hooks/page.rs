//! Pages for browsers: they load nothing from anywhere, run nothing, and their forms come back from nowhere else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use super::http::{HttpContent, HttpHeaders, HttpResponse};

/// Fields of one form; more are not read.
const FIELDS: usize = 10;

/// A page in a language, with a style of its own. Title and body are HTML.
pub fn page(status: u16, lang: &str, style: &str, (title, body): (&str, &str)) -> HttpResponse {
    let page = format!(
        "<!DOCTYPE html><html lang=\"{lang}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{style}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>"
    );
    HttpResponse::new(status)
        .with_header("content-type", "text/html; charset=utf-8")
        .with_header("content-language", lang)
        .with_header("cache-control", "no-store")
        .with_header("content-security-policy", policy(style))
        .with_header("x-content-type-options", "nosniff")
        .with_header("x-robots-tag", "noindex")
        // To no other website, which would learn the address; forms need it to say whence they come.
        .with_header("referrer-policy", "same-origin")
        .with_content(HttpContent::Bytes(page.into()))
}

/// What browsers are told: the style of the page and its own form, and nothing else.
fn policy(style: &str) -> String {
    let style = BASE64.encode(Sha256::digest(style.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

/// Text as it stands in HTML, also between quotes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Whether a form was filled in on a page of this address, and not on another website: browsers say where it comes from.
pub fn is_own_form(headers: &HttpHeaders, url: Option<&str>) -> bool {
    let site = headers.get("sec-fetch-site");
    let origin = headers.get("origin");
    let form = headers.get("content-type").is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    });
    form && site.is_none_or(|site| site == "same-origin")
        && origin.is_none_or(|origin| Some(origin) == url)
}

/// Fields of `application/x-www-form-urlencoded`, in their order.
pub fn fields(body: &[u8]) -> Vec<(String, String)> {
    let fields = body.split(|byte| *byte == b'&').take(FIELDS);
    let pair = |field: &[u8]| {
        let mut parts = field.splitn(2, |byte| *byte == b'=');
        let mut part = || decoded(parts.next().unwrap_or_default());
        (part(), part())
    };
    fields.map(pair).collect()
}

fn decoded(value: &[u8]) -> String {
    let (mut out, mut rest) = (Vec::with_capacity(value.len()), value);
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let hex = (*first == b'%').then(|| tail.split_at_checked(2)).flatten();
        let byte = hex.and_then(|(digits, tail)| {
            let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            Some((byte, tail))
        });
        match byte {
            Some((byte, tail)) => {
                out.push(byte);
                rest = tail;
            }
            None if *first == b'+' => out.push(b' '),
            None => out.push(*first),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read() {
        let read = fields(b"name=a%2Bb+c&password=%C3%A9%&again=%4&other");
        let pairs: Vec<_> = read.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("name", "a+b c"),
                ("password", "é%"),
                ("again", "%4"),
                ("other", "")
            ]
        );
    }

    #[test]
    fn nothing_breaks_out_of_the_page() {
        assert_eq!(
            escaped("<a href=\"'&'\">"),
            "&lt;a href=&quot;&#39;&amp;&#39;&quot;&gt;"
        );
    }

    #[test]
    fn a_form_of_another_website_is_none_of_ours() {
        let is_own = |headers: &[(&str, &str)]| {
            let kind = ("content-type", "application/x-www-form-urlencoded");
            let headers = headers.iter().chain([&kind]);
            let headers = headers.map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
            is_own_form(&HttpHeaders(headers.collect()), Some("https://a.example"))
        };
        assert!(is_own(&[]));
        assert!(is_own(&[
            ("origin", "https://a.example"),
            ("sec-fetch-site", "same-origin")
        ]));
        for other in [
            ("origin", "https://b.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
        ] {
            assert!(!is_own(&[other]), "{other:?}");
        }
        assert!(!is_own_form(&HttpHeaders::default(), None));
    }
}

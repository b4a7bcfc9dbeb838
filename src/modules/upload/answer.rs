//! How a file is answered for (RFC 9110): which part of it, under which headers, shown or saved.

use crate::hooks::HttpHeaders;
use crate::proto::uri::encoded;
use crate::state::files::File;

/// What browsers may show by themselves; with `nosniff` and the policy below nothing of it runs. Neither SVG nor anything of
/// text is among it.
const SHOWN: &[(&str, &[&str])] = &[
    ("image/avif", &["avif"]),
    ("image/bmp", &["bmp"]),
    ("image/gif", &["gif"]),
    ("image/jpeg", &["jpg", "jpeg"]),
    ("image/png", &["png"]),
    ("image/webp", &["webp"]),
    ("audio/aac", &["aac"]),
    ("audio/flac", &["flac"]),
    ("audio/mp4", &["m4a"]),
    ("audio/mpeg", &["mp3"]),
    ("audio/ogg", &["oga", "ogg", "opus"]),
    ("audio/wav", &["wav"]),
    ("audio/webm", &["weba"]),
    ("video/3gpp", &["3gp"]),
    ("video/mp4", &["mp4", "m4v"]),
    ("video/ogg", &["ogv"]),
    ("video/quicktime", &["mov"]),
    ("video/webm", &["webm"]),
];

/// What a browser is told of everything that lies here.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

/// A year, in seconds: no cache keeps longer.
const YEAR: u64 = 31_536_000;

/// Which part of a file an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Its first byte.
    pub(super) from: u64,
    /// How many.
    pub(super) bytes: u64,
}

/// An answer but for the bytes.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    /// None: no body.
    pub(super) part: Option<Part>,
}

impl Plan {
    /// For a file that is there.
    pub(super) fn of(file: &File, hash: &str, asked: &HttpHeaders, now: u64) -> Plan {
        let tag = format!("\"{hash}\"");
        let mut headers = about(file, &tag, now);
        let names_it = |header: &str, weak: bool| {
            let value = asked.get(header);
            value.map(|value| names(value, &tag, weak))
        };
        // RFC 9110 §13.2.2, in this order.
        if names_it("if-match", false) == Some(false) {
            return Plan::bare(412, headers);
        }
        if names_it("if-none-match", true) == Some(true) {
            return Plan::bare(304, headers);
        }
        let range = asked.get("range").filter(|_| {
            let same = asked.get("if-range").map(|value| value.trim() == tag);
            same.unwrap_or(true)
        });
        match range.map_or(Range::All, |range| Range::read(range, file.size)) {
            Range::All => {
                headers.extend(kind(file));
                let (from, bytes) = (0, file.size);
                Plan {
                    status: 200,
                    headers,
                    part: Some(Part { from, bytes }),
                }
            }
            Range::Part(part) => {
                headers.extend(kind(file));
                let last = part.from.saturating_add(part.bytes).saturating_sub(1);
                let range = format!("bytes {}-{last}/{}", part.from, file.size);
                headers.push(("content-range", range));
                Plan {
                    status: 206,
                    headers,
                    part: Some(part),
                }
            }
            Range::None => {
                headers.push(("content-range", format!("bytes */{}", file.size)));
                Plan::bare(416, headers)
            }
        }
    }

    fn bare(status: u16, headers: Vec<(&'static str, String)>) -> Plan {
        Plan {
            status,
            headers,
            part: None,
        }
    }
}

/// What is true of all answers for a file.
fn about(file: &File, tag: &str, now: u64) -> Vec<(&'static str, String)> {
    let left = file
        .until
        .map_or(u64::MAX, |until| until.saturating_sub(now))
        / 1000;
    let age = left.min(YEAR);
    vec![
        ("etag", tag.to_owned()),
        ("accept-ranges", "bytes".to_owned()),
        ("cache-control", format!("public, max-age={age}, immutable")),
        ("content-security-policy", POLICY.to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("referrer-policy", "no-referrer".to_owned()),
        ("cross-origin-resource-policy", "cross-origin".to_owned()),
    ]
}

/// What it is, and what it is called.
fn kind(file: &File) -> [(&'static str, String); 2] {
    let shown = shown(file);
    let how = if shown.is_some() {
        "inline"
    } else {
        "attachment"
    };
    let media = shown.unwrap_or("application/octet-stream");
    [
        ("content-type", media.to_owned()),
        ("content-disposition", disposition(how, &file.name)),
    ]
}

/// Its type, if browsers may show it: as its owner said, else by the end of its name.
fn shown(file: &File) -> Option<&'static str> {
    let mut types = SHOWN.iter();
    let found = if file.media.is_empty() {
        let (_, end) = file.name.rsplit_once('.')?;
        let end = end.to_ascii_lowercase();
        types.find(|(_, ends)| ends.contains(&end.as_str()))
    } else {
        types.find(|(media, _)| *media == file.media)
    };
    found.map(|(media, _)| *media)
}

/// RFC 6266 §4: a name that everybody reads, and the whole one.
fn disposition(how: &str, name: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || " !#$&+-.^_`{}~()[]@=".contains(c) => c,
        _ => '_',
    };
    let simple: String = name.chars().map(plain).collect();
    format!(
        "{how}; filename=\"{simple}\"; filename*=UTF-8''{}",
        encoded(name)
    )
}

/// Whether a list of entity tags names this one (RFC 9110 §8.8.3.2).
fn names(list: &str, tag: &str, weak: bool) -> bool {
    let mut tags = list.split(',').map(str::trim);
    tags.any(|other| {
        other == "*" || other == tag || (weak && other.strip_prefix("W/") == Some(tag))
    })
}

/// A wish for a part (RFC 9110 §14.1.2).
enum Range {
    /// None that is understood: the whole.
    All,
    /// One that is there.
    Part(Part),
    /// One that is not.
    None,
}

impl Range {
    /// Several parts at once are answered with the whole, as §14.2 allows.
    fn read(text: &str, size: u64) -> Range {
        let spec = text.split_once('=');
        let spec = spec.filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"));
        let Some((first, last)) = spec.and_then(|(_, spec)| spec.trim().split_once('-')) else {
            return Range::All;
        };
        let number = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
            // What is too large for a number is too large for a file.
            true if !text.is_empty() => Some(text.parse::<u64>().unwrap_or(u64::MAX)),
            _ => None,
        };
        match (first, number(first), last, number(last)) {
            ("", _, _, Some(0)) => Range::None,
            ("", _, _, Some(bytes)) => {
                let bytes = bytes.min(size);
                let from = size - bytes;
                Range::Part(Part { from, bytes })
            }
            (_, Some(from), "", _) if from < size => {
                let bytes = size - from;
                Range::Part(Part { from, bytes })
            }
            (_, Some(from), _, Some(last)) if from <= last && from < size => {
                let last = last.min(size.saturating_sub(1));
                let bytes = last.saturating_sub(from).saturating_add(1);
                Range::Part(Part { from, bytes })
            }
            (_, Some(from), "", _) if from >= size => Range::None,
            (_, Some(from), _, Some(last)) if from <= last => Range::None,
            _ => Range::All,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::files::Purpose;

    fn file(name: &str, media: &str) -> File {
        serde_json::from_value(serde_json::json!({
            "host": "localhost", "uid": 1, "account": "a@localhost", "name": name, "size": 10,
            "media": media, "purpose": Purpose::Message, "made": 0, "key": "", "hash": "h",
        }))
        .unwrap()
    }

    fn plan(headers: &[(&str, &str)]) -> Plan {
        let asked = headers.iter();
        let asked = asked.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let asked = HttpHeaders(asked.collect());
        Plan::of(&file("a.png", ""), "h", &asked, 0)
    }

    fn part(range: &str) -> (u16, Option<(u64, u64)>) {
        let plan = plan(&[("range", range)]);
        (plan.status, plan.part.map(|part| (part.from, part.bytes)))
    }

    #[test]
    fn parts() {
        assert_eq!(part("bytes=0-3"), (206, Some((0, 4))));
        assert_eq!(part("bytes=4-"), (206, Some((4, 6))));
        assert_eq!(part("Bytes=9-99999999999999999999999"), (206, Some((9, 1))));
        assert_eq!(part("bytes=-3"), (206, Some((7, 3))));
        assert_eq!(part("bytes=-30"), (206, Some((0, 10))));
        for gone in [
            "bytes=10-",
            "bytes=10-12",
            "bytes=-0",
            "bytes=99999999999999999999999-",
        ] {
            assert_eq!(part(gone), (416, None), "{gone}");
        }
        let unknown = [
            "bytes=",
            "bytes=-",
            "bytes=3-1",
            "lines=1-2",
            "bytes=0-1,3-4",
            "bytes=+1-2",
            "0-1",
        ];
        for whole in unknown {
            assert_eq!(part(whole), (200, Some((0, 10))), "{whole}");
        }
    }

    #[test]
    fn conditions() {
        let status = |headers: &[(&str, &str)]| plan(headers).status;
        assert_eq!(status(&[("if-none-match", "\"x\", W/\"h\"")]), 304);
        assert_eq!(status(&[("if-none-match", "*")]), 304);
        assert_eq!(status(&[("if-none-match", "\"x\"")]), 200);
        assert_eq!(status(&[("if-match", "\"x\"")]), 412);
        assert_eq!(
            status(&[("if-match", "\"h\""), ("range", "bytes=0-0")]),
            206
        );
        assert_eq!(
            status(&[("if-range", "\"h\""), ("range", "bytes=0-0")]),
            206
        );
        assert_eq!(
            status(&[("if-range", "W/\"h\""), ("range", "bytes=0-0")]),
            200
        );
        assert_eq!(
            status(&[("if-range", "\"x\""), ("range", "bytes=0-0")]),
            200
        );
        // A part that is not there, of a file that is another now: the whole one.
        assert_eq!(
            status(&[("if-range", "\"x\""), ("range", "bytes=99-")]),
            200
        );
    }

    #[test]
    fn only_what_cannot_run_is_shown() {
        let how = |name: &str, media: &str| {
            let [(_, kind), (_, disposition)] = kind(&file(name, media));
            let how = disposition.split(';').next().unwrap().to_owned();
            format!("{how} {kind}")
        };
        assert_eq!(how("a.png", ""), "inline image/png");
        assert_eq!(how("a.html", "image/png"), "inline image/png");
        assert_eq!(how("a.JPEG", ""), "inline image/jpeg");
        for (name, media) in [
            ("a.svg", ""),
            ("a.png", "image/svg+xml"),
            ("a.html", "text/html"),
            ("a.html", ""),
            ("a.xml", "application/xml"),
            ("a.pdf", "application/pdf"),
            ("png", ""),
            ("a.js", "text/javascript"),
        ] {
            let saved = "attachment application/octet-stream";
            assert_eq!(how(name, media), saved, "{name} {media}");
        }
    }

    #[test]
    fn names_stay_inside_their_header() {
        let name = "a\"b\\c\r\nSet-Cookie: x=é;.png";
        let text = disposition("inline", name);
        let expected = "inline; filename=\"a_b_c__Set-Cookie_ x=__.png\"; \
                        filename*=UTF-8''a%22b%5Cc%0D%0ASet-Cookie%3A%20x%3D%C3%A9%3B.png";
        assert_eq!(text, expected);
    }

    #[test]
    fn nothing_is_kept_longer_than_it_is_there() {
        let mut ephemeral = file("a", "");
        ephemeral.until = Some(61_999);
        let headers = about(&ephemeral, "\"h\"", 2_000);
        let cached = headers.iter().find(|(name, _)| *name == "cache-control");
        assert_eq!(cached.unwrap().1, "public, max-age=59, immutable");
    }
}

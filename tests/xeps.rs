//! `conformance/xeps.toml`: what is declared is there, is tested, and stands in the README and in the DOAP file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    name: String,
    #[serde(default)]
    version: String,
    level: String,
    #[serde(default)]
    note: String,
    tests: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn declared() -> BTreeMap<String, Declared> {
    let text = fs::read_to_string(root().join("conformance/xeps.toml")).unwrap();
    toml::from_str(&text).unwrap()
}

#[test]
fn what_modules_speak_is_declared() {
    let declared = declared();
    for info in waxwing::modules::LIST.iter().map(|listed| listed.info) {
        for (spec, version) in info.specs {
            let version_there = declared.get(*spec).map(|there| there.version.as_str());
            assert_eq!(
                version_there,
                Some(*version),
                "{spec} of module {}",
                info.name
            );
        }
    }
}

#[test]
fn what_is_declared_is_tested() {
    for (spec, there) in declared() {
        assert!(!there.tests.is_empty(), "{spec} has no test");
        for test in &there.tests {
            assert!(exists(test), "{spec}: there is no test {test:?}");
        }
        match there.level.as_str() {
            "complete" => assert_eq!(there.note, "", "{spec} is complete"),
            "partial" => assert_ne!(there.note, "", "{spec}: what is missing?"),
            other => panic!("{spec}: {other:?} is no level"),
        }
    }
}

fn exists(test: &str) -> bool {
    let (file, name) = test.split_once(": ").unwrap();
    let text = fs::read_to_string(root().join(file)).unwrap_or_default();
    let line = match Path::new(file)
        .extension()
        .and_then(|ending| ending.to_str())
    {
        Some("rs") => format!("fn {name}("),
        Some("py") => format!("async def {name}("),
        Some("txt") => format!("== {name}\n"),
        _ => return false,
    };
    text.contains(&line)
}

#[test]
fn the_readme_says_the_same() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (begin, end) = ("<!-- xeps: begin -->\n", "<!-- xeps: end -->");
    let start = readme.find(begin).unwrap() + begin.len();
    let stop = readme.find(end).unwrap();
    let table = table();
    if std::env::var_os("WAXWING_WRITE").is_some() {
        let renewed = format!("{}{table}{}", &readme[..start], &readme[stop..]);
        return fs::write(root().join("README.md"), renewed).unwrap();
    }
    assert!(
        readme[start..stop] == table,
        "README.md is out of date; between its marks belongs:\n{table}"
    );
}

fn table() -> String {
    let mut table = "| Specification | | Version | |\n|---|---|---|---|\n".to_owned();
    for (spec, there) in declared() {
        let Declared {
            name,
            version,
            note,
            ..
        } = there;
        table.push_str(&format!("| {spec} | {name} | {version} | {note} |\n"));
    }
    table
}

/// The description of the project for lists of XMPP software (XEP-0453).
#[test]
fn the_doap_file_says_the_same() {
    let path = root().join("waxwing.doap");
    let wanted = doap();
    if std::env::var_os("WAXWING_WRITE").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == wanted,
        "waxwing.doap is out of date: WAXWING_WRITE=1 cargo test xeps"
    );
}

fn doap() -> String {
    let mut doap = format!(
        "<?xml version='1.0' encoding='UTF-8'?>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'
         xmlns='http://usefulinc.com/ns/doap#'
         xmlns:xmpp='https://linkmauve.fr/ns/xmpp-doap#'>
  <Project xml:lang='en'>
    <name>waxwing</name>
    <shortdesc xml:lang='en'>{}</shortdesc>
    <programming-language>Rust</programming-language>
    <os>Linux</os>
    <license rdf:resource='https://spdx.org/licenses/MIT.html'/>
    <license rdf:resource='https://spdx.org/licenses/Apache-2.0.html'/>
    <category rdf:resource='https://linkmauve.fr/ns/xmpp-doap#category-server'/>
",
        env!("CARGO_PKG_DESCRIPTION")
    );
    for (spec, there) in declared() {
        doap.push_str(&match spec.strip_prefix("RFC ") {
            Some(number) => {
                format!("    <implements rdf:resource='https://xmpp.org/rfcs/rfc{number}.html'/>\n")
            }
            None => supported(&spec, &there),
        });
    }
    doap + "  </Project>\n</rdf:RDF>\n"
}

fn supported(xep: &str, there: &Declared) -> String {
    let file = xep.to_lowercase();
    let note = match there.note.as_str() {
        "" => String::new(),
        note => format!("        <xmpp:note xml:lang='en'>{note}</xmpp:note>\n"),
    };
    format!(
        "    <implements>
      <xmpp:SupportedXep>
        <xmpp:xep rdf:resource='https://xmpp.org/extensions/{file}.html'/>
        <xmpp:status>{}</xmpp:status>
        <xmpp:version>{}</xmpp:version>
{note}      </xmpp:SupportedXep>
    </implements>
",
        there.level, there.version
    )
}

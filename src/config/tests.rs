//! Whole configurations: layers, and what typical mistakes are answered with.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;

use tempfile::TempDir;

use super::*;

crate::settings! {
    /// How postcards are sent.
    struct Postcards {
        /// How many a day.
        daily: u32 = 3 => within(1..=10);
        /// Printed below.
        greeting: String = "Hello".to_owned();
        /// How long they travel.
        travel: Period = Period::days(3);
    }
}

fn modules() -> Vec<ModuleSettings> {
    vec![ModuleSettings::of::<Postcards>(
        "postcards",
        "Postcards.",
        true,
    )]
}

const HOST: &str = "[hosts.\"example.org\"]\n";

struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("conf.d")).unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        Self(directory)
    }

    fn load(&self, environment: &[(&str, &str)], sets: &[&str]) -> Result<Loaded, String> {
        let request = Request {
            file: Some(self.0.path().join("waxwing.toml")),
            environment: environment
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            sets: sets.iter().map(|set| (*set).to_owned()).collect(),
        };
        let directory = format!("{}/", self.0.path().display());
        load(&request, &modules()).map_err(|problems| problems.to_string().replace(&directory, ""))
    }
}

fn mistake(text: &str) -> String {
    match Files::new(&[("waxwing.toml", text)]).load(&[], &[]) {
        Ok(_) => "accepted".to_owned(),
        Err(message) => message,
    }
}

#[test]
fn an_unwritten_configuration_is_the_default() {
    let loaded = Files::new(&[("waxwing.toml", HOST)])
        .load(&[], &[])
        .unwrap();
    let mut expected = Config::default();
    expected
        .hosts
        .insert("example.org".to_owned(), Host::default());
    assert_eq!(loaded.config, expected);
    assert_eq!(loaded.place("log.level"), &Place::Default);
}

#[test]
fn later_layers_win_key_by_key() {
    let main = "[hosts.\"example.org\"]\n[limits.stream]\ndepth = 20\nattributes = 20\nnamespaces = 20\nname_bytes = 100\nparsed_factor = 3\n";
    let files = Files::new(&[
        ("waxwing.toml", main),
        (
            "conf.d/10-a.toml",
            "[limits.stream]\nattributes = 30\nnamespaces = 30\nname_bytes = 200\nparsed_factor = 4\n",
        ),
        (
            "conf.d/20-b.toml",
            "[limits.stream]\nnamespaces = 40\nname_bytes = 300\nparsed_factor = 5\n",
        ),
        ("conf.d/30-c.toml.bak", "this is not read"),
    ]);
    let environment = [
        ("WAXWING_LIMITS__STREAM__NAME_BYTES", "400B"),
        ("WAXWING_LIMITS__STREAM__PARSED_FACTOR", "6"),
        ("WAXWING_PORT_5222_TCP", "not ours"),
        ("HOME", "/root"),
    ];
    let loaded = files
        .load(&environment, &["limits.stream.parsed_factor = 7"])
        .unwrap();
    let stream = &loaded.config.limits.stream;
    let found = (
        stream.depth,
        stream.attributes,
        stream.namespaces,
        stream.name_bytes,
        stream.parsed_factor,
    );
    assert_eq!(found, (20, 30, 40, Bytes(400), 7));
    let place = |key: &str| loaded.place(&format!("limits.stream.{key}")).to_string();
    assert!(place("depth").ends_with("waxwing.toml:3"));
    assert!(place("attributes").ends_with("10-a.toml:2"));
    assert!(place("namespaces").ends_with("20-b.toml:2"));
    assert_eq!(
        place("name_bytes"),
        "environment variable WAXWING_LIMITS__STREAM__NAME_BYTES"
    );
    assert_eq!(
        place("parsed_factor"),
        "--set limits.stream.parsed_factor = 7"
    );
}

#[test]
fn arguments_need_no_quotes() {
    let sets = [
        "hosts.\"a=b.example\"={}",
        "hosts.localhost.mechanisms=[\"SCRAM-SHA-256\"]",
        "server.data_dir=/tmp/1.10",
        "store.path=1.10",
        "log.level=info,waxwing::net=debug",
        "listen=[{ address = \"127.0.0.1:5222\", tls = \"none\" }]",
    ];
    let loaded = Files::new(&[("waxwing.toml", "")])
        .load(&[], &sets[1..])
        .unwrap();
    assert_eq!(loaded.config.server.data_dir.to_str(), Some("/tmp/1.10"));
    assert_eq!(loaded.config.store.path.to_str(), Some("1.10"));
    assert_eq!(loaded.config.log.level, "info,waxwing::net=debug");
    assert_eq!(loaded.config.listen[0].tls, ListenTls::None);
    let message = Files::new(&[("waxwing.toml", "")])
        .load(&[], &sets[..1])
        .unwrap_err();
    assert_eq!(
        message,
        "--set hosts.\"a=b.example\"={}: hosts.\"a=b.example\": \"a=b.example\" is not a domain; write it as \"example.org\""
    );
}

#[test]
fn a_list_replaces_the_earlier_one() {
    let main = "[hosts.\"example.org\"]\n[[listen]]\naddress = \"[::]:5222\"\n[[listen]]\naddress = \"[::]:5223\"\n";
    let files = Files::new(&[
        ("waxwing.toml", main),
        ("conf.d/a.toml", "[[listen]]\naddress = \"[::]:5224\"\n"),
    ]);
    let loaded = files.load(&[], &[]).unwrap();
    assert_eq!(loaded.config.listen.len(), 1);
    assert!(
        loaded
            .place("listen[0].address")
            .to_string()
            .ends_with("a.toml:2")
    );
    assert_eq!(loaded.place("listen[1].address"), &Place::Default);
}

#[test]
fn hosts_override_modules_key_by_key() {
    let text = "[modules.postcards]\ndaily = 5\ngreeting = \"Hi\"\n[hosts.\"a.example\".modules.postcards]\ndaily = 7\n[hosts.\"b.example\".modules.postcards]\nenabled = false\n";
    let loaded = Files::new(&[("waxwing.toml", text)])
        .load(&[], &[])
        .unwrap();
    let read = |host| loaded.module::<Postcards>(host, "postcards").unwrap();
    assert_eq!((read(None).daily, read(Some("a.example")).daily), (5, 7));
    assert_eq!(read(Some("a.example")).greeting, "Hi");
    assert_eq!(read(Some("b.example")).travel, Period::days(3));
    assert!(loaded.module_enabled("a.example", "postcards"));
    assert!(!loaded.module_enabled("b.example", "postcards"));
}

#[test]
fn a_reload_knows_what_changed() {
    let old = Files::new(&[(
        "waxwing.toml",
        "[hosts.\"example.org\"]\n[limits.stream]\nlogin_timeout = \"60s\"\n",
    )]);
    let new = "[hosts.\"example.org\"]\n[limits.stream]\nlogin_timeout = \"1m\"\ndepth = 50\n[store]\nengine = \"sled\"\n[hosts.\"b.example\".modules.postcards]\ndaily = 1\n";
    let (old, new) = (
        old.load(&[], &[]).unwrap(),
        Files::new(&[("waxwing.toml", new)]).load(&[], &[]).unwrap(),
    );
    let changes = diff(&old, &new);
    let change = |key: &str| changes.iter().find(|change| change.key == key);
    assert_eq!(change("limits.stream.login_timeout"), None);
    let depth = change("limits.stream.depth").unwrap();
    assert_eq!(
        (
            depth.old.as_deref(),
            depth.new.as_deref(),
            depth.needs_restart
        ),
        (Some("100"), Some("50"), false)
    );
    assert!(change("store.engine").unwrap().needs_restart);
    let module = change("hosts.\"b.example\".modules.postcards.daily").unwrap();
    assert_eq!(
        (module.old.as_deref(), module.new.as_deref()),
        (None, Some("1"))
    );
    assert!(diff(&new, &new).is_empty());
}

/// Taking away every `#` in front of a key gives a configuration that is accepted and says what the defaults are.
#[test]
fn the_shipped_text_is_true() {
    let text = shipped_text(&modules());
    // A component is nothing without a secret and a listener, which have no default.
    let mut of_component = false;
    let written: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') && !key.contains(".NAME]") => {
                of_component =
                    key.starts_with("[components.") || (of_component && !key.starts_with('['));
                if of_component { line } else { key }
            }
            _ => {
                of_component &= !line.starts_with('[');
                line
            }
        })
        .collect();
    let written = Files::new(&[("waxwing.toml", &written.join("\n"))])
        .load(&[], &[])
        .unwrap();
    let default = Files::new(&[("waxwing.toml", HOST)])
        .load(&[], &[])
        .unwrap();
    // What differs are the examples of what has no default.
    let examples = diff(&default, &written);
    assert!(
        examples.iter().all(|change| change.old.is_none()),
        "{examples:#?}"
    );
    assert_eq!(
        effective(&written).len(),
        effective(&default).len() + examples.len()
    );
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_strange(text in "[ -~\n\"\\[\\]={}#]{0,200}", set in ".{0,40}") {
        drop(Files::new(&[("waxwing.toml", &text)]).load(&[("WAXWING_A__B", &set)], &[&set]));
    }
}

/// Typical mistakes, below the line `[hosts."example.org"]`, and what is said about them.
const MISTAKES: &[(&str, &str)] = &[
    (
        "[limts]\ndepth = 5\n",
        "waxwing.toml:2: limts: no such section; did you mean limits? Known here: server, hosts, listen, federation, http, web, relay, components, tls, auth, limits, store, backup, log, metrics, control, admin, modules",
    ),
    (
        "[limits]\ndepth = 50\n",
        "waxwing.toml:3: limits.depth: no such key; did you mean limits.stream.depth?",
    ),
    (
        "[limits.stream]\ndept = 50\n",
        "waxwing.toml:3: limits.stream.dept: no such key; did you mean depth? Known here: stanza_bytes, stanza_bytes_before_login, depth, attributes, namespaces, name_bytes, parsed_factor, tls_timeout, header_timeout, login_timeout, bind_timeout, ping_after, ping_timeout, write_timeout, close_timeout",
    ),
    (
        "[limits.stream]\ndepth = \"many\"\n",
        "waxwing.toml:3: limits.stream.depth: \"many\" is not allowed; give a whole number, from 10 to 1000. Default: 100",
    ),
    (
        "[limits.stream]\ndepth = 5\n",
        "waxwing.toml:3: limits.stream.depth: 5 is not allowed; give a whole number, from 10 to 1000. Default: 100",
    ),
    (
        "[limits.stream]\nstanza_bytes = \"10 megabytes\"\n",
        "waxwing.toml:3: limits.stream.stanza_bytes: \"10 megabytes\" is not allowed; give a size such as \"256KiB\", \"10MB\" or a number of bytes, from 10kB to 16MiB. Default: \"256KiB\"",
    ),
    (
        "[limits.stream]\nlogin_timeout = 30\n",
        "waxwing.toml:3: limits.stream.login_timeout: 30 is not allowed; give a time such as \"30s\", \"5m\", \"12h\" or \"7d\", from 2s to 10m. Default: \"30s\"",
    ),
    (
        "[limits.stream]\nstanza_bytes_before_login = \"1MiB\"\n",
        "waxwing.toml:3: limits.stream.stanza_bytes_before_login: must not be above limits.stream.stanza_bytes (256KiB)",
    ),
    (
        "[limits.stream]\nlogin_timeout = \"5s\"\n",
        "waxwing.toml: limits.stream.header_timeout: must be below limits.stream.login_timeout (5s)",
    ),
    (
        "[limits]\nmemory = 512\n",
        "waxwing.toml:3: limits.memory: 512B is too little for any server; give 1MiB or more",
    ),
    (
        "[metrics]\nlisten = 5280\n",
        "waxwing.toml:3: metrics.listen: 5280 is not allowed; give an address with port such as \"0.0.0.0:5222\" or \"[::]:5222\"",
    ),
    (
        "[limits]\nstream = 100\n",
        "waxwing.toml:3: limits.stream: this is a section: write [limits.stream] and its keys below it",
    ),
    (
        "[listen]\naddress = \"[::]:5222\"\n",
        "waxwing.toml:2: listen: this is a list: write [[listen]] (two brackets) before the keys of each entry",
    ),
    (
        "[[listen]]\naddress = \"localhost\"\n",
        "waxwing.toml:3: listen[0].address: \"localhost\" is not allowed; give an address with port such as \"0.0.0.0:5222\" or \"[::]:5222\". Default: \"[::]:5222\"",
    ),
    (
        "[[listen]]\naddress = \"0.0.0.0:5222\"\ntls = \"none\"\n",
        "waxwing.toml:4: listen[0].tls: without TLS passwords would cross the network readable: use \"starttls-and-direct\", a loopback address such as \"127.0.0.1:5222\", or name trusted `proxies`",
    ),
    (
        "[[listen]]\ntls = \"starttls\"\n",
        "waxwing.toml:3: listen[0].tls: \"starttls\" is not allowed; give \"starttls-and-direct\" or \"none\". Default: \"starttls-and-direct\"",
    ),
    (
        "[[listen]]\n[[listen]]\naddress = \"[::]:5222\"\n",
        "waxwing.toml:4: listen[1].address: [::]:5222 is used by another [[listen]] already",
    ),
    (
        "[store]\nengine = \"fjal\"\n",
        "waxwing.toml:3: store.engine: \"fjal\" is not allowed; give \"fjall\" or \"sled\" (did you mean \"fjall\"?). Default: \"fjall\"",
    ),
    (
        "[auth]\nmechanisms = [\n  \"SCRAM-SHA-256\",\n  \"SCRAM-SHA1\",\n]\n",
        "waxwing.toml:5: auth.mechanisms: \"SCRAM-SHA1\" is not allowed; give a list, each \"SCRAM-SHA-512\", \"SCRAM-SHA-256\", \"SCRAM-SHA-1\" or \"PLAIN\" (did you mean \"SCRAM-SHA-1\"?). Default: [\"SCRAM-SHA-512\", \"SCRAM-SHA-256\", \"SCRAM-SHA-1\"]",
    ),
    (
        "[auth]\nmechanisms = []\n",
        "waxwing.toml:3: auth.mechanisms: nobody could log in: name at least one of SCRAM-SHA-512, SCRAM-SHA-256, SCRAM-SHA-1, PLAIN",
    ),
    (
        "[auth]\ndelay = \"5m\"\n",
        "waxwing.toml:3: auth.delay: must not be above auth.delay_max (1m)",
    ),
    (
        "key = \"/etc/ssl/example.key\"\n",
        "waxwing.toml:2: hosts.\"example.org\".key: a private key needs its certificate: add `certificate` beside it",
    ),
    (
        "certificat = \"/etc/ssl/example.pem\"\n",
        "waxwing.toml:2: hosts.\"example.org\".certificat: no such key; did you mean certificate? Known here: certificate, key, mechanisms, url, admins, guests, modules",
    ),
    (
        "guests = true\n",
        "waxwing.toml:2: hosts.\"example.org\".guests: this is a section: write [hosts.\"example.org\".guests] and its keys below it",
    ),
    (
        "[hosts.\"Example.NET\"]\n",
        "waxwing.toml:2: hosts.\"Example.NET\": write this domain as \"example.net\"",
    ),
    (
        "[hosts.\"me@example.org\"]\n",
        "waxwing.toml:2: hosts.\"me@example.org\": \"me@example.org\" is not a domain; write it as \"example.org\"",
    ),
    (
        "[log]\nlevel = \"verbose\"\n",
        "waxwing.toml:3: log.level: \"verbose\" is not a level; give error, warn, info, debug, trace, off, or levels for parts of the server such as \"info,net=debug\"",
    ),
    (
        "[log]\nlevel = info\n",
        "waxwing.toml:3: not TOML: a text stands in quotation marks: level = \"info\"",
    ),
    (
        "[log]\nlevel = \"info\n",
        "waxwing.toml:3: not TOML: a quotation mark is missing after `level =`",
    ),
    (
        "[log]\nlevel =\n",
        "waxwing.toml:3: not TOML: a value is missing after `level =`",
    ),
    (
        "[log]\nlevel: \"info\"\n",
        "waxwing.toml:3: not TOML: write `key = value`, or `[section]` in brackets",
    ),
    (
        "log.level = \"info\"\n",
        "waxwing.toml:2: hosts.\"example.org\".log: log is a section of its own and does not belong into [hosts.\"example.org\"]: write [log] above its keys",
    ),
    (
        "[log]\n[log]\n",
        "waxwing.toml:3: this name stands in the file twice; keep one",
    ),
    (
        "[tls]\nminimum_version = 1.3\n",
        "waxwing.toml:3: tls.minimum_version: 1.3 is not allowed; give \"1.2\" or \"1.3\". Default: \"1.2\"",
    ),
    (
        "[server]\ndata_dir = [\"/var/lib/waxwing\"]\n",
        "waxwing.toml:3: server.data_dir: [\"/var/lib/waxwing\"] is not allowed; give a path. Default: \"/var/lib/waxwing\"",
    ),
    (
        "[server]\nthreads = 99999999999999999999\n",
        "waxwing.toml:3: server.threads: \"99999999999999999999\" is not allowed; give a whole number, from 0 to 1024. Default: 0",
    ),
    (
        "[modules.postcard]\ndaily = 3\n",
        "waxwing.toml:2: modules.postcard: no such module; did you mean postcards? Known here: postcards",
    ),
    (
        "[modules.postcards]\ndaily = 11\n",
        "waxwing.toml:3: modules.postcards.daily: 11 is not allowed; give a whole number, from 1 to 10. Default: 3",
    ),
    (
        "[modules]\npostcards = true\n",
        "waxwing.toml:3: modules.postcards: this is a section: write [modules.postcards] and its keys below it",
    ),
    (
        "[hosts.\"example.org\".modules.postcards]\nenabled = \"yes\"\n",
        "waxwing.toml:3: hosts.\"example.org\".modules.postcards.enabled: \"yes\" is not allowed; give true or false. Default: true",
    ),
    (
        "[limits.stream]\ndept = 50\ndepth = 5\n[store]\nengin = \"sled\"\n",
        "waxwing.toml:3: limits.stream.dept: no such key; did you mean depth? Known here: stanza_bytes, stanza_bytes_before_login, depth, attributes, namespaces, name_bytes, parsed_factor, tls_timeout, header_timeout, login_timeout, bind_timeout, ping_after, ping_timeout, write_timeout, close_timeout\nwaxwing.toml:4: limits.stream.depth: 5 is not allowed; give a whole number, from 10 to 1000. Default: 100\nwaxwing.toml:6: store.engin: no such key; did you mean engine? Known here: engine, path, files, cache, sync_interval, reserve, readers",
    ),
];

#[test]
fn typical_mistakes_are_explained() {
    for (text, expected) in MISTAKES {
        assert_eq!(mistake(&format!("{HOST}{text}")), *expected, "{text}");
    }
}

#[test]
fn mistakes_outside_of_the_file_are_explained() {
    let files = Files::new(&[
        ("waxwing.toml", HOST),
        ("conf.d/a.toml", "[log]\nlevl = 1\n"),
    ]);
    assert_eq!(
        files.load(&[], &[]).unwrap_err(),
        "conf.d/a.toml:2: log.levl: no such key; did you mean level? Known here: level, format"
    );
    let files = Files::new(&[("waxwing.toml", HOST)]);
    let said =
        |environment: &[(&str, &str)], sets: &[&str]| files.load(environment, sets).unwrap_err();
    assert_eq!(
        said(&[("WAXWING_STORE__ENGINE", "redb")], &[]),
        "environment variable WAXWING_STORE__ENGINE: store.engine: \"redb\" is not allowed; give \"fjall\" or \"sled\". Default: \"fjall\""
    );
    assert_eq!(
        said(&[], &["log.level"]),
        "--set log.level: write it as section.key=value, for example --set log.level=debug"
    );
    assert_eq!(
        said(&[], &["tls.minimum=1.3"]),
        "--set tls.minimum=1.3: tls.minimum: no such key. Known here: minimum_version, directory"
    );
    let none = Files::new(&[("waxwing.toml", "")])
        .load(&[], &[])
        .unwrap_err();
    assert_eq!(
        none,
        "waxwing.toml: hosts: no domain is served: add a section [hosts.\"example.org\"] with your domain"
    );
    let missing = Files::new(&[]).load(&[], &[]).unwrap_err();
    assert_eq!(
        missing,
        "waxwing.toml: there is no such file; name another with --config, make one with `waxwing init DOMAIN`, or try `waxwing quickstart`"
    );
    let latin = Files::new(&[]);
    fs::write(
        latin.0.path().join("waxwing.toml"),
        b"[log]\n# Gr\xfc\xdfe\n",
    )
    .unwrap();
    assert_eq!(
        latin.load(&[], &[]).unwrap_err(),
        "waxwing.toml:2: not UTF-8 text; save the file as UTF-8"
    );
}

/// A file in which everything is wrong that people get wrong: all of it is told at once, each at its line.
#[test]
fn twenty_mistakes_in_one_file_are_twenty_messages() {
    let text = r#"[server]
data_dir = ["/var/lib/waxwing"]
threads = 5000
[hosts."example.org"]
certificat = "/etc/ssl/example.pem"
guests = true
[[listen]]
address = "localhost"
tls = "starttls"
[tls]
minimum_version = 1.3
[auth]
mechanisms = ["SCRAM-SHA1"]
[limts]
depth = 5
[limits]
depth = 50
stream = 100
[limits.account]
sessions = "many"
rooster_items = 10
[store]
engine = "fjal"
cache = "64 megabytes"
[log]
levl = "debug"
format = "xml"
[metrics]
listen = 5280
[modules]
ping = true
[modules.postcard]
daily = 3
"#;
    let places = [
        2, 3, 5, 6, 8, 9, 11, 13, 14, 17, 18, 20, 21, 23, 24, 26, 27, 29, 31, 32,
    ];
    let said = mistake(text);
    assert_eq!(said.lines().count(), places.len(), "{said}");
    for (line, place) in said.lines().zip(places) {
        assert!(
            line.starts_with(&format!("waxwing.toml:{place}: ")),
            "{line}"
        );
        let ways = ["; give ", "; did you mean ", ": write ", " Known here: "];
        assert!(ways.iter().any(|way| line.contains(way)), "{line}");
    }
}

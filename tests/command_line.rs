//! The program from outside: what it prints, and its exit status.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn waxwing(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
    command
        .current_dir(directory)
        .args(arguments)
        .env_remove("WAXWING_CONFIG");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// `cargo run -- defaults > config/waxwing.toml` brings the file up to date.
#[test]
fn the_shipped_configuration_is_the_generated_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shipped = fs::read_to_string(root.join("config/waxwing.toml")).unwrap();
    let defaults = waxwing(root, &["defaults"]);
    assert!(defaults.status.success());
    assert!(
        text(&defaults.stdout) == shipped,
        "config/waxwing.toml is out of date: cargo run -- defaults > config/waxwing.toml"
    );
}

#[test]
fn a_wrong_configuration_ends_every_command() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("waxwing.toml"),
        "[hosts.\"example.org\"]\n[limits.stream]\ndept = 5\n",
    )
    .unwrap();
    for command in [&["serve"][..], &["check"], &["user", "list"]] {
        let output = waxwing(directory.path(), command);
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        let message = text(&output.stderr);
        assert!(
            message.starts_with(
                "error: waxwing.toml:3: limits.stream.dept: no such key; did you mean depth?"
            ),
            "{message}"
        );
    }
}

#[test]
fn passwords_have_no_place_on_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("waxwing.toml"),
        "[hosts.\"example.org\"]\n",
    )
    .unwrap();
    let output = waxwing(
        directory.path(),
        &["user", "add", "romeo@example.org", "secret"],
    );
    assert_eq!(output.status.code(), Some(2));
    let output = waxwing(
        directory.path(),
        &["user", "add", "romeo@example.org", "--password", "secret"],
    );
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn help_names_every_command() {
    let help = waxwing(Path::new("."), &["--help"]);
    assert!(help.status.success());
    for name in [
        "serve",
        "quickstart",
        "check",
        "defaults",
        "init",
        "status",
        "user",
    ] {
        assert!(text(&help.stdout).contains(name), "{name}");
    }
    for command in waxwing::admin::commands() {
        let words: Vec<&str> = command.name.split(' ').chain(["--help"]).collect();
        let help = text(&waxwing(Path::new("."), &words).stdout);
        let doc = command.doc.trim_end_matches('.');
        // Long lines are wrapped.
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(doc), "{}", command.name);
    }
}

#[test]
fn every_value_can_be_explained() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("waxwing.toml"),
        "[hosts.\"example.org\"]\n[limits.stream]\ndepth = 50\n",
    )
    .unwrap();
    let output = waxwing(
        directory.path(),
        &["check", "--explain", "--set", "log.level=debug"],
    );
    let lines = text(&output.stdout);
    let line = |key: &str| {
        lines
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap()
            .to_owned()
    };
    assert!(line("limits.stream.depth = 50 ").ends_with("# waxwing.toml:3"));
    assert!(line("log.level = \"debug\" ").ends_with("# --set log.level=debug"));
    assert!(line("log.format = \"text\" ").ends_with("# default"));
}

#[test]
fn init_writes_a_configuration_and_says_what_is_left_to_be_done() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("made/waxwing.toml");
    let name = file.to_str().unwrap();
    let data = directory.path().join("data");
    let arguments = [
        "init",
        "Chat.Example",
        "--config",
        name,
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let output = waxwing(directory.path(), &arguments);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for expected in [
        "_xmpp-client._tcp.chat.example. 3600 IN SRV 0 5 5222 chat.example.",
        "_xmpps-client._tcp.chat.example. 3600 IN SRV 0 5 5222 chat.example.",
        "_xmpp-server._tcp.chat.example. 3600 IN SRV 0 5 5269 chat.example.",
        "_xmpps-server._tcp.chat.example. 3600 IN SRV 0 5 5269 chat.example.",
        "certbot certonly --standalone -d chat.example --deploy-hook",
        "user add NAME@chat.example",
    ] {
        assert!(said.contains(expected), "no {expected} in:\n{said}");
    }
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains("[hosts.\"chat.example\"]"), "{written}");
    // A second time nothing is touched.
    fs::write(&file, "mine").unwrap();
    let output = waxwing(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains("is there already and was left as it is"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    for (domain, expected) in [
        ("localhost", "try `waxwing quickstart`"),
        (
            "romeo@chat.example",
            "is not a domain; write it as example.org",
        ),
    ] {
        let output = waxwing(directory.path(), &["init", domain]);
        let error = text(&output.stderr);
        assert!(
            !output.status.success() && error.contains(expected),
            "{error}"
        );
    }
}

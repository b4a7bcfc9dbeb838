//! `waxwing status` and `waxwing log level`.

use super::run;
use crate::support::process::Process;

#[tokio::test]
async fn status_says_how_the_server_is() {
    let server = Process::start(&["romeo"], &["limits.memory=1GiB"]);
    let _romeo = server.client("romeo").connect(server.addr).await.unwrap();
    let said = run(&server, &["status"]);
    let fact = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in:\n{said}"))
            .trim()
    };
    assert_eq!(fact("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(fact("sessions"), "1");
    assert_eq!(fact("streams"), "bound 1");
    assert_eq!(fact("stanzas in"), "0/s");
    assert!(fact("memory").contains("of 1.0 GiB"), "{said}");
    assert!(fact("store").contains("takes changes: yes"), "{said}");
    assert_eq!(fact("limits reached"), "none");
    let host = fact("localhost");
    assert!(
        host.contains(" roster ") && host.contains("-01-01T"),
        "{said}"
    );
    let (_, json, _) = server.run(&["--json", "status"]);
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(first["sessions"], "1");
}

#[test]
fn without_a_server_it_fails_and_says_so() {
    let mut server = Process::start(&[], &[]);
    server.kill();
    for command in [["status"].as_slice(), &["reload"], &["log", "level"]] {
        let (done, _, error) = server.run(command);
        assert!(!done);
        assert!(error.contains("the server does not run"), "{error}");
    }
}

#[tokio::test]
async fn the_log_gets_more_talkative_and_quiet_again() {
    let server = Process::start(&["romeo"], &[]);
    let said = run(&server, &["log", "level"]);
    assert!(said.contains("waxwing::server=info"), "{said}");
    let failed = "ended: not logged in in time";
    assert!(!server.log().contains(failed));
    let said = run(&server, &["log", "level", "router=debug"]);
    assert!(said.contains("waxwing::router=debug"), "{said}");
    assert!(said.contains("waxwing::server=info"), "{said}");
    let romeo = server.client("romeo").connect(server.addr).await.unwrap();
    romeo.close().await.unwrap();
    server.wait_for_log("DEBUG waxwing::router::");
    run(&server, &["log", "level", "default"]);
    let (done, _, error) = server.run(&["log", "level", "loud"]);
    assert!(!done);
    assert!(
        error.contains("\"loud\" is not a level; give error, warn"),
        "{error}"
    );
    let said = run(&server, &["log", "level"]);
    assert!(!said.contains("router"), "{said}");
}

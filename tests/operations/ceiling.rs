//! The ceiling over memory: newcomers are refused before it is reached, chats that are there go on.

use super::{answers, is_served, run, until};
use crate::support::process::Process;

#[tokio::test]
async fn newcomers_are_refused_and_chats_go_on() {
    let server = Process::start(&["romeo", "juliet"], &[]);
    let mut romeo = server.client("romeo").connect(server.addr).await.unwrap();
    assert!(is_served(server.addr));
    // Less than any server uses.
    server.write_config("[limits]\nmemory = \"2MiB\"\n");
    run(&server, &["reload"]);
    until("newcomers are refused", || !is_served(server.addr));
    assert!(server.client("juliet").connect(server.addr).await.is_err());
    assert!(answers(&mut romeo).await);
    server.wait_for_log("memory is nearly used up: new connections are refused");
    assert!(answers(&mut romeo).await);
    let lines = server.log().matches("memory is nearly used up").count();
    assert_eq!(lines, 1, "{}", server.log());
    let said = run(&server, &["status"]);
    assert!(said.contains("of 2.0 MiB"), "{said}");
    assert!(said.contains("memory"), "{said}");
    server.write_config("");
    run(&server, &["reload"]);
    until("newcomers are let in", || is_served(server.addr));
    server.client("juliet").connect(server.addr).await.unwrap();
    assert!(answers(&mut romeo).await);
}

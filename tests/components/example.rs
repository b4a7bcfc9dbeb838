//! `examples/component.rs`, run as its text says.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::*;

/// Ends the program with the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program, built as the tests were; `cargo test` by itself has built it already.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent().and_then(|deps| deps.parent()).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--example", "component", "--target-dir"]);
    build.arg(built.parent().unwrap());
    if built.ends_with("release") {
        build.arg("--release");
    }
    // What cargo tells a test of its package would have dependencies built anew that look at it.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_") {
            build.env_remove(&*name);
        }
    }
    assert!(build.status().unwrap().success());
    built.join("examples").join("component")
}

#[tokio::test]
async fn the_echo_component_says_everything_again() {
    let server = start("patience = \"60s\"").await;
    let address = server.own().component_addresses()[0];
    let child = Command::new(program())
        .args([PLAYS, &address.to_string()])
        .env("COMPONENT_SECRET", SECRET)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _running = Running(child);
    let mut romeo = online(&server, "romeo").await;
    let anybody = jid("anybody@plays.localhost");
    romeo.send(chat(None, &anybody, "Hello?")).await.unwrap();
    let echo = next(&mut romeo, "message").await;
    assert_eq!(echo.attr("from"), Some(anybody.as_str()));
    assert_eq!(body(&echo), "Hello?");
    let query = waxwing::xml::Element::new("query", ns::DISCO_INFO);
    let info = romeo.request("get", Some(PLAYS), query).await.unwrap();
    let query = info.child("query", ns::DISCO_INFO).unwrap();
    assert!(query.child("identity", ns::DISCO_INFO).is_some());
}

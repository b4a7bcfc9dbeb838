//! Files in an object store instead of on the disk.

use std::net::SocketAddr;
use std::time::Duration;

use super::stand_in::ObjectStore;
use super::{URL, files, online, put, slot, start, web};
use crate::support::server::{Running, start_own};

async fn with(store: SocketAddr) -> Running {
    let endpoint = format!("modules.upload.s3.endpoint=http://{store}");
    start(&[
        &endpoint,
        "modules.upload.s3.bucket=files",
        "modules.upload.s3.access_key=us",
        "modules.upload.s3.secret_key=secret",
    ])
    .await
}

#[tokio::test]
async fn files_lie_in_the_object_store_alone() {
    let (store, address) = ObjectStore::start().await;
    let server = with(address).await;
    let mut alice = online(&server, "alice").await;
    let slot = slot(&mut alice, "a.txt", 10).await;
    let mut web = web(&server).await;
    assert_eq!(
        put(&mut web, &slot.put, &[], b"0123456789").await.status,
        201
    );
    let names = store.names();
    assert!(matches!(names.as_slice(), [name] if name.starts_with("localhost/")));
    assert_eq!(files(&server), 0);
    let whole = web.get(&slot.get).await;
    assert_eq!(
        (whole.status, whole.body.as_slice()),
        (200, &b"0123456789"[..])
    );
    let part = web.ask("GET", &slot.get, &[("Range", "bytes=2-4")]).await;
    assert_eq!((part.status, part.body.as_slice()), (206, &b"234"[..]));
    server.accounts().delete(&alice.jid.bare()).await.unwrap();
    become_empty(&store).await;
    assert_eq!(web.get(&slot.get).await.status, 404);
    server.stop().await;
}

async fn become_empty(store: &ObjectStore) {
    for _ in 0..200 {
        if store.names().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{:?}", store.names());
}

#[tokio::test]
async fn an_object_store_that_refuses_leaves_nothing_and_the_upload_may_begin_again() {
    let (store, address) = ObjectStore::start().await;
    let server = with(address).await;
    let mut alice = online(&server, "alice").await;
    let slot = slot(&mut alice, "a.txt", 3).await;
    store.refuse(Some(503));
    let mut refused = web(&server).await;
    assert_eq!(put(&mut refused, &slot.put, &[], b"abc").await.status, 500);
    assert_eq!(files(&server), 0);
    let mut web = web(&server).await;
    assert_eq!(web.get(&slot.get).await.status, 404);
    store.refuse(None);
    assert_eq!(put(&mut web, &slot.put, &[], b"abc").await.status, 201);
    store.refuse(Some(503));
    assert_eq!(web.get(&slot.get).await.status, 500);
    store.refuse(None);
    assert_eq!(web.get(&slot.get).await.body, b"abc");
    server.stop().await;
}

#[tokio::test]
async fn a_store_that_is_half_named_is_explained() {
    let endpoint = "modules.upload.s3.endpoint=http://127.0.0.1:9";
    let folder = tempfile::tempdir().unwrap();
    let sets = [endpoint, "modules.upload.s3.bucket=files", URL];
    let error = start_own(folder, &sets, &[]).await.err().unwrap();
    assert!(error.contains("`s3`: `access_key`: is needed"), "{error}");
}

//! A module with a periodic job.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use waxwing::hooks::Listed;

use super::{module, online, server};

static DONE: AtomicU32 = AtomicU32::new(0);

module!(Clockwork, "clockwork", |_deps, r| {
    r.every(Duration::from_secs(1), || {
        DONE.fetch_add(1, Ordering::Relaxed);
    });
});

#[tokio::test]
async fn a_job_is_done_until_the_server_begins_to_stop() {
    let server = server(&[Listed::of::<Clockwork>()], &[]).await.unwrap();
    let alice = server.account("alice").await.unwrap();
    let began = Instant::now();
    while DONE.load(Ordering::Relaxed) < 2 {
        assert!(began.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Who does not close her stream has the server wait for her, for longer than the job does.
    let _waiting = online(&server, &alice, "one").await;
    let (began, done) = (Instant::now(), DONE.load(Ordering::Relaxed));
    server.stop().await;
    assert!(began.elapsed() > Duration::from_millis(1_500));
    assert!(DONE.load(Ordering::Relaxed) <= done + 1);
}

//! Bytes between two, within a rate, until neither sends any more.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::hooks::MeetingTerms;
use crate::metrics::Counter;
use crate::runtime::bucket::Bucket;

/// Bytes that are under way at once, each way.
const PIECE: usize = 16 * 1024;

/// What both ways share.
struct Shared {
    bucket: Mutex<Bucket>,
    heard: Mutex<Instant>,
    bytes: Counter,
}

/// Carries bytes both ways until both are through, one is lost, or nothing comes for too long.
pub(super) async fn carry<S>(one: (S, Vec<u8>), other: (S, Vec<u8>), terms: MeetingTerms)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let MeetingTerms {
        rate,
        idle,
        bytes,
        seat: _seat,
    } = terms;
    let shared = Shared {
        bucket: Mutex::new(Bucket::new(rate, rate)),
        heard: Mutex::new(Instant::now()),
        bytes,
    };
    let ((one, early_one), (other, early_other)) = (one, other);
    let (mut from_one, mut to_one) = tokio::io::split(one);
    let (mut from_other, mut to_other) = tokio::io::split(other);
    let both = async {
        tokio::try_join!(
            shared.flow(&early_one, &mut from_one, &mut to_other),
            shared.flow(&early_other, &mut from_other, &mut to_one),
        )
    };
    tokio::select! {
        // How it ended is seen by both at their sockets.
        _ = both => {}
        () = shared.silence(idle) => {}
    }
}

impl Shared {
    /// One way, to its end.
    async fn flow(
        &self,
        early: &[u8],
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        to.write_all(early).await?;
        let mut piece = vec![0; PIECE];
        loop {
            let length = from.read(&mut piece).await?;
            if length == 0 {
                return to.shutdown().await;
            }
            let wait = self.count(length);
            to.write_all(piece.get(..length).unwrap_or_default())
                .await?;
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
    }

    /// So much came; how long to wait before more is read.
    fn count(&self, length: usize) -> Duration {
        let now = Instant::now();
        self.bytes.add(length as u64);
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = now;
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(u32::try_from(length).unwrap_or(u32::MAX), now)
    }

    /// Until nothing came for so long.
    async fn silence(&self, idle: Duration) {
        loop {
            let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(left) = idle.checked_sub(heard.elapsed()) else {
                return;
            };
            tokio::time::sleep(left).await;
        }
    }
}

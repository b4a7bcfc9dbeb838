//! Bodies: of requests, bounded in size and pace; of answers, which hold the request's seat.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::Inner;
use super::request::From;
use super::seats::RequestSeat;
use crate::hooks::{HttpBodyError, HttpContent, HttpSource};
use crate::http::content::Content;

/// Bytes of a body that must come, unless it ends, in each `http.body_timeout`.
const PROGRESS: u64 = 16 * 1024;

/// Bytes of a body that nobody asked for which are still read, so that the next request finds its connection open.
const UNREAD: u64 = 64 * 1024;
/// How long such a body may take.
const LINGER: Duration = Duration::from_secs(1);

/// The body of a request while nobody reads it, and what is left of it then.
#[derive(Clone, Default)]
pub(super) struct Rest(Arc<Mutex<Option<Incoming>>>);

impl Rest {
    fn take(&self) -> Option<Incoming> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Nobody reads what is left of this body, if anything is.
    pub(super) fn leave(&self, body: Incoming) {
        if body.is_end_stream() {
            return;
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    }

    /// Reads it, unless it is much; whether another request can come after it.
    pub(super) async fn read(&self) -> bool {
        let Some(mut body) = self.take() else {
            return true;
        };
        if body.size_hint().upper().is_none_or(|most| most > UNREAD) {
            return false;
        }
        let read = async {
            while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                if frame.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(LINGER, read).await.unwrap_or(false)
    }
}

/// The body of a request.
pub(super) struct Limited {
    front: Arc<Inner>,
    /// Nothing once it has ended.
    body: Option<Incoming>,
    rest: Rest,
    left: u64,
    patience: Duration,
    /// Since when so many bytes have come.
    timer: Pin<Box<Sleep>>,
    progress: u64,
    failed: Option<HttpBodyError>,
}

impl Limited {
    /// At most `most` bytes; the time runs from here.
    pub(super) fn new(front: Arc<Inner>, rest: &Rest, most: u64) -> Limited {
        let patience = front.options.load().body_timeout;
        Limited {
            front,
            body: rest.take(),
            rest: rest.clone(),
            left: most,
            patience,
            timer: Box::pin(tokio::time::sleep(patience)),
            progress: 0,
            failed: None,
        }
    }

    fn fail(&mut self, error: HttpBodyError) -> Poll<Option<Result<Bytes, HttpBodyError>>> {
        self.failed = Some(error.clone());
        Poll::Ready(Some(Err(error)))
    }

    fn take(&mut self, piece: Bytes) -> Poll<Option<Result<Bytes, HttpBodyError>>> {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let Some(left) = self.left.checked_sub(length) else {
            return self.fail(HttpBodyError::TooLarge);
        };
        self.left = left;
        self.progress = self.progress.saturating_add(length);
        if self.progress >= PROGRESS {
            self.progress = 0;
            self.timer.as_mut().reset(Instant::now() + self.patience);
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

impl HttpSource for Limited {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, HttpBodyError>>> {
        if let Some(error) = &self.failed {
            return Poll::Ready(Some(Err(error.clone())));
        }
        loop {
            let Some(body) = self.body.as_mut() else {
                return Poll::Ready(None);
            };
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(None) => {
                    self.body = None;
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(_))) => return self.fail(HttpBodyError::CutOff),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) if !piece.is_empty() => return self.take(piece),
                    // Trailers say nothing that is asked for.
                    _ => {}
                },
                Poll::Pending => {
                    ready!(self.timer.as_mut().poll(cx));
                    self.front.figures.slow_bodies.count();
                    return self.fail(HttpBodyError::TooSlow);
                }
            }
        }
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            self.rest.leave(body);
        }
    }
}

/// The body of an answer. The request's seat is taken until it is written.
pub(super) struct Outgoing {
    content: Content,
    seat: Option<Sending>,
}

/// A request whose answer is being sent.
struct Sending(OpenRequest);

impl Sending {
    fn new(request: OpenRequest) -> Sending {
        request.from.sending.fetch_add(1, Ordering::Relaxed);
        Sending(request)
    }

    /// The other side takes some of it.
    fn moves(&self) {
        self.0.from.moved.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.from.sending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that is being answered.
pub(super) struct OpenRequest {
    front: Arc<Inner>,
    from: Arc<From>,
    _seat: RequestSeat,
}

impl OpenRequest {
    pub(super) fn new(front: &Arc<Inner>, from: &Arc<From>, seat: RequestSeat) -> OpenRequest {
        front.figures.requests.up();
        from.open.fetch_add(1, Ordering::Relaxed);
        OpenRequest {
            front: front.clone(),
            from: from.clone(),
            _seat: seat,
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.front.figures.requests.down();
        self.from.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Outgoing {
    pub(super) fn new(content: HttpContent, seat: Option<OpenRequest>) -> Outgoing {
        Outgoing {
            content: content.into(),
            seat: seat.map(Sending::new),
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(seat) = &self.seat {
            seat.moves();
        }
        Pin::new(&mut self.content).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}

/// No answer fails to be made.
pub(super) type Answered = Result<hyper::Response<Outgoing>, Infallible>;

//! Bodies: of requests, bounded in size and pace; of answers, bytes or a file read piece by piece.

use std::convert::Infallible;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};

use super::Inner;
use super::request::From;
use super::seats::RequestSeat;
use crate::hooks::{HttpBodyError, HttpContent, HttpSource};

/// Bytes of a body that must come, unless it ends, in each `http.body_timeout`.
const PROGRESS: u64 = 16 * 1024;
/// Bytes of a file that are in memory at once.
const PIECE: u64 = 128 * 1024;

/// The body of a request.
pub(super) struct Limited {
    front: Arc<Inner>,
    body: Incoming,
    left: u64,
    patience: Duration,
    /// Since when so many bytes have come.
    timer: Pin<Box<Sleep>>,
    progress: u64,
    failed: Option<HttpBodyError>,
}

impl Limited {
    /// At most `most` bytes; the time runs from here.
    pub(super) fn new(front: Arc<Inner>, body: Incoming, most: u64) -> Limited {
        let patience = front.options.load().body_timeout;
        Limited {
            front,
            body,
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
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(None),
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

enum Content {
    Empty,
    Bytes(Bytes),
    File(Reading),
}

/// A file that is sent. Files are read where it may block.
struct Reading {
    left: u64,
    state: Step,
}

enum Step {
    Rests(File),
    Reads(JoinHandle<io::Result<(File, Bytes)>>),
    Over,
}

impl Outgoing {
    pub(super) fn new(content: HttpContent, seat: Option<OpenRequest>) -> Outgoing {
        let content = match content {
            HttpContent::Empty => Content::Empty,
            HttpContent::Bytes(bytes) => Content::Bytes(bytes),
            HttpContent::File(file, left) => Content::File(Reading {
                left,
                state: Step::Rests(file),
            }),
        };
        Outgoing {
            content,
            seat: seat.map(Sending::new),
        }
    }
}

impl Reading {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        loop {
            match std::mem::replace(&mut self.state, Step::Over) {
                Step::Over => return Poll::Ready(None),
                Step::Rests(file) => {
                    let most = self.left.min(PIECE);
                    self.state = Step::Reads(tokio::task::spawn_blocking(move || read(file, most)));
                }
                Step::Reads(mut reads) => {
                    let Poll::Ready(done) = Pin::new(&mut reads).poll(cx) else {
                        self.state = Step::Reads(reads);
                        return Poll::Pending;
                    };
                    let (file, piece) = match done.map_err(io::Error::other).flatten() {
                        Ok(done) => done,
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    };
                    self.left = self.left.saturating_sub(piece.len() as u64);
                    self.state = Step::Rests(file);
                    return Poll::Ready(Some(Ok(piece)));
                }
            }
        }
    }
}

fn read(file: File, most: u64) -> io::Result<(File, Bytes)> {
    let mut piece = Vec::with_capacity(usize::try_from(most).unwrap_or_default());
    (&file).take(most).read_to_end(&mut piece)?;
    match piece.is_empty() {
        // The other side was promised more; it must not take this for the end.
        true => Err(io::ErrorKind::UnexpectedEof.into()),
        false => Ok((file, Bytes::from(piece))),
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
        match &mut self.content {
            Content::Empty => Poll::Ready(None),
            Content::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                self.content = Content::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Content::File(reading) => {
                let piece = ready!(reading.poll_piece(cx));
                Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Bytes(bytes) => bytes.is_empty(),
            Content::File(reading) => reading.left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.content {
            Content::Empty => 0,
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File(reading) => reading.left,
        })
    }
}

/// No answer fails to be made.
pub(super) type Answered = Result<hyper::Response<Outgoing>, Infallible>;

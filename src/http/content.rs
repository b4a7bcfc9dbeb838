//! What is sent as a body: bytes, a file read piece by piece, or what comes from elsewhere.

use std::fs::File;
use std::future::Future;
use std::io::{self, ErrorKind, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::task::JoinHandle;

use crate::hooks::{HttpBody, HttpContent};

/// Bytes of a file that are in memory at once.
const PIECE: u64 = 128 * 1024;

/// A body on its way out.
pub(super) enum Content {
    Empty,
    Bytes(Bytes),
    File(Reading),
    Pieces(Passing),
}

impl From<HttpContent> for Content {
    fn from(content: HttpContent) -> Content {
        match content {
            HttpContent::Empty => Content::Empty,
            HttpContent::Bytes(bytes) => Content::Bytes(bytes),
            HttpContent::File(file, left) => Content::File(Reading {
                left,
                state: Step::Rests(file),
            }),
            HttpContent::Pieces(body, left) => Content::Pieces(Passing { body, left }),
        }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = match &mut *self {
            Content::Empty => None,
            Content::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Content::Empty;
                (!bytes.is_empty()).then_some(Ok(bytes))
            }
            Content::File(reading) => ready!(reading.poll_piece(cx)),
            Content::Pieces(passing) => ready!(passing.poll_piece(cx)),
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

impl Content {
    fn left(&self) -> u64 {
        match self {
            Content::Empty => 0,
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File(reading) => reading.left,
            Content::Pieces(passing) => passing.left,
        }
    }
}

/// A file that is sent. Files are read where it may block.
pub(super) struct Reading {
    left: u64,
    state: Step,
}

enum Step {
    Rests(File),
    Reads(JoinHandle<io::Result<(File, Bytes)>>),
    Over,
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
        true => Err(ErrorKind::UnexpectedEof.into()),
        false => Ok((file, Bytes::from(piece))),
    }
}

/// What comes from elsewhere and is passed on: exactly as much as was promised.
pub(super) struct Passing {
    body: HttpBody,
    left: u64,
}

impl Passing {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = match ready!(self.body.poll_piece(cx)) {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Poll::Ready(Some(Err(io::Error::other(error)))),
            None => return Poll::Ready(Some(Err(ErrorKind::UnexpectedEof.into()))),
        };
        match self.left.checked_sub(piece.len() as u64) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(piece)))
            }
            None => Poll::Ready(Some(Err(ErrorKind::InvalidData.into()))),
        }
    }
}

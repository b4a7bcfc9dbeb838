//! Exchanges whose bodies are large: they go on as long as something moves.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::Uri;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, timeout};

use super::{Driving, Inner, Reach, failed, written};
use crate::hooks::web::WebStream;
use crate::hooks::{HttpBody, HttpBodyError, HttpContent, HttpSource, WebError, WebRequest};
use crate::http::content::Content;

impl Inner {
    /// Sends a request; its answer is read as it comes.
    pub(super) async fn stream(&self, mut request: WebRequest) -> Result<WebStream, WebError> {
        let patience = self.options.timeout;
        let uri: Uri = request.url.parse().map_err(|_| WebError::BadAddress)?;
        let body = std::mem::replace(&mut request.body, HttpContent::Empty);
        let moved = Arc::new(AtomicU64::new(0));
        let going = Going {
            content: Content::from(body),
            moved: moved.clone(),
        };
        let length = going.content.size_hint().exact().unwrap_or(0);
        let written = written(&uri, request, length, going)?;
        let connected = timeout(patience, self.connect(&uri, Reach::Named)).await;
        let (mut sender, driving) = connected.map_err(|_| WebError::TimedOut)??;
        let mut answer = std::pin::pin!(sender.send_request(written));
        let response = loop {
            let before = moved.load(Ordering::Relaxed);
            match timeout(patience, answer.as_mut()).await {
                Ok(response) => break response.map_err(|e| failed(&e))?,
                Err(_) if moved.load(Ordering::Relaxed) == before => {
                    return Err(WebError::TimedOut);
                }
                Err(_) => {}
            }
        };
        let (head, body) = response.into_parts();
        let length = body.size_hint().exact();
        let coming = Coming {
            body,
            patience,
            waiting: None,
            _driving: driving,
        };
        Ok(WebStream {
            status: head.status.as_u16(),
            body: HttpBody::new(length, Box::new(coming)),
        })
    }
}

/// A body on its way out, and how often something of it was taken.
struct Going {
    content: Content,
    moved: Arc<AtomicU64>,
}

impl Body for Going {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.moved.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.content).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}

/// The body of an answer, and the connection it comes on.
struct Coming {
    body: Incoming,
    patience: Duration,
    /// While nothing comes that is asked for.
    waiting: Option<Pin<Box<Sleep>>>,
    _driving: Driving,
}

impl HttpSource for Coming {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, HttpBodyError>>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(_))) => {
                    return Poll::Ready(Some(Err(HttpBodyError::CutOff)));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    self.waiting = None;
                    if let Some(piece) = frame.into_data().ok().filter(|piece| !piece.is_empty()) {
                        return Poll::Ready(Some(Ok(piece)));
                    }
                }
                Poll::Pending => {
                    let patience = self.patience;
                    let new = || Box::pin(tokio::time::sleep(patience));
                    let waiting = self.waiting.get_or_insert_with(new);
                    ready!(waiting.as_mut().poll(cx));
                    return Poll::Ready(Some(Err(HttpBodyError::TooSlow)));
                }
            }
        }
    }
}

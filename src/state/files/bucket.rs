//! Files in an object store that speaks the S3 protocol: each under `<host>/<id>`. The requests are signed by `rusty-s3`.

use std::fs;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Credentials, S3Action, UrlStyle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::hooks::{
    HttpBody, HttpBodyError, HttpContent, HttpSource, Web, WebError, WebRequest, WebStream,
};
use crate::state::token_id::Id;

/// How long a signed request holds; it is sent at once, but clocks differ.
const HOLDS: Duration = Duration::from_secs(900);
/// Bytes of a list of files, and of what is wrong.
const LIST: usize = 4 << 20;
const WORDS: usize = 8 << 10;

/// Where the object store is, and who we are there.
#[derive(Debug, Clone)]
pub struct BucketOptions {
    /// Its address, `https://…`.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// Whether the bucket is named in the path, not in the name of the server.
    pub in_path: bool,
    /// The name of the key.
    pub access_key: String,
    /// The key.
    pub secret_key: String,
    /// Requests at once.
    pub connections: usize,
}

/// A bucket that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{setting}`: {reason}")]
pub struct BadBucket {
    /// Which setting is wrong.
    pub setting: &'static str,
    /// Why.
    pub reason: String,
}

/// The files of one host in a bucket.
#[derive(Clone)]
pub struct Bucket(Arc<Inner>);

struct Inner {
    bucket: rusty_s3::Bucket,
    credentials: Credentials,
    host: String,
    web: Arc<dyn Web>,
    seats: Arc<Semaphore>,
}

/// Files of a bucket, and where the next ones are.
pub(super) struct Listed {
    pub(super) ids: Vec<Id>,
    pub(super) next: Option<String>,
}

impl Bucket {
    /// A bucket; nothing is asked yet.
    ///
    /// # Errors
    /// What is given leads to none.
    pub fn new(
        options: &BucketOptions,
        host: &str,
        web: Arc<dyn Web>,
    ) -> Result<Bucket, BadBucket> {
        let bad = |setting, reason: &dyn ToString| BadBucket {
            setting,
            reason: reason.to_string(),
        };
        for (setting, value) in [
            ("bucket", &options.bucket),
            ("region", &options.region),
            ("access_key", &options.access_key),
            ("secret_key", &options.secret_key),
        ] {
            if value.is_empty() {
                return Err(bad(setting, &"is needed where there is an `endpoint`"));
            }
        }
        let endpoint = options
            .endpoint
            .parse()
            .map_err(|error| bad("endpoint", &format!("no address: {error}")))?;
        let style = match options.in_path {
            true => UrlStyle::Path,
            false => UrlStyle::VirtualHost,
        };
        let (name, region) = (options.bucket.clone(), options.region.clone());
        let bucket = rusty_s3::Bucket::new(endpoint, style, name, region)
            .map_err(|error| bad("endpoint", &error))?;
        let (key, secret) = (options.access_key.as_str(), options.secret_key.as_str());
        Ok(Bucket(Arc::new(Inner {
            bucket,
            credentials: Credentials::new(key, secret),
            host: host.to_owned(),
            web,
            seats: Arc::new(Semaphore::new(options.connections)),
        })))
    }

    /// Stores a file, from where it stands.
    pub(super) async fn put(&self, id: Id, file: fs::File, size: u64) -> io::Result<()> {
        let key = self.key(id);
        let action = self.0.bucket.put_object(Some(&self.0.credentials), &key);
        let body = HttpContent::File(file, size);
        let answer = self.ask(action, Vec::new(), body).await?;
        done(answer, false).await
    }

    /// So many bytes of a file from one on; `None` if it is not there.
    pub(super) async fn get(&self, id: Id, from: u64, bytes: u64) -> io::Result<Option<HttpBody>> {
        let key = self.key(id);
        let action = self.0.bucket.get_object(Some(&self.0.credentials), &key);
        let last = from.saturating_add(bytes).saturating_sub(1);
        let range = vec![("range", format!("bytes={from}-{last}"))];
        let answer = self.ask(action, range, HttpContent::Empty).await?;
        match answer.status {
            206 => Ok(Some(answer.body)),
            // The whole file, by a server that does not know of parts.
            200 if from == 0 && answer.body.length() == Some(bytes) => Ok(Some(answer.body)),
            404 => Ok(None),
            _ => Err(refused(answer).await),
        }
    }

    /// Removes a file, if it is there.
    pub(super) async fn remove(&self, id: Id) -> io::Result<()> {
        let key = self.key(id);
        let action = self.0.bucket.delete_object(Some(&self.0.credentials), &key);
        let answer = self.ask(action, Vec::new(), HttpContent::Empty).await?;
        done(answer, true).await
    }

    /// Some of the files, from where the last list ended.
    pub(super) async fn list(&self, after: Option<&str>) -> io::Result<Listed> {
        let mut action = self.0.bucket.list_objects_v2(Some(&self.0.credentials));
        let prefix = format!("{}/", self.0.host);
        action.with_prefix(prefix.as_str());
        if let Some(after) = after {
            action.with_continuation_token(after);
        }
        let mut answer = self.ask(action, Vec::new(), HttpContent::Empty).await?;
        if answer.status != 200 {
            return Err(refused(answer).await);
        }
        let text = words(&mut answer.body, LIST).await?;
        let listed = ListObjectsV2::parse_response(&text).map_err(io::Error::other)?;
        let keys = listed.contents.iter();
        let ids = keys.filter_map(|object| Id::parse(object.key.strip_prefix(&prefix)?));
        Ok(Listed {
            ids: ids.collect(),
            next: listed.next_continuation_token,
        })
    }

    fn key(&self, id: Id) -> String {
        format!("{}/{id}", self.0.host)
    }

    /// Sends a request when there is a seat; it is taken until the answer is read.
    async fn ask<'a, A: S3Action<'a>>(
        &self,
        action: A,
        headers: Vec<(&'static str, String)>,
        body: HttpContent,
    ) -> io::Result<WebStream> {
        let seat = self.0.seats.clone().acquire_owned().await;
        let seat = seat.map_err(io::Error::other)?;
        let request = WebRequest {
            method: A::METHOD.to_str(),
            url: action.sign(HOLDS).into(),
            headers,
            body,
        };
        let answer = self.0.web.open(request).await.map_err(failed)?;
        let length = answer.body.length();
        let source = Seated {
            body: answer.body,
            _seat: seat,
        };
        Ok(WebStream {
            status: answer.status,
            body: HttpBody::new(length, Box::new(source)),
        })
    }
}

/// A body, and the seat of its request.
struct Seated {
    body: HttpBody,
    _seat: OwnedSemaphorePermit,
}

impl HttpSource for Seated {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, HttpBodyError>>> {
        self.body.poll_piece(cx)
    }
}

/// Whether it was done; what is not there may be gone.
async fn done(answer: WebStream, or_gone: bool) -> io::Result<()> {
    match answer.status {
        200..=299 => Ok(()),
        404 if or_gone => Ok(()),
        _ => Err(refused(answer).await),
    }
}

/// What the object store says that it does not do.
async fn refused(mut answer: WebStream) -> io::Error {
    let text = words(&mut answer.body, WORDS).await.unwrap_or_default();
    let between = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once("</")?.0)
    };
    let (code, message) = (between("Code"), between("Message"));
    let said = [code, message].map(Option::unwrap_or_default).join(" ");
    io::Error::other(format!(
        "the object store answered {} {said}",
        answer.status
    ))
}

/// A body that is text, up to so many bytes.
async fn words(body: &mut HttpBody, most: usize) -> io::Result<String> {
    let mut text = Vec::new();
    while let Some(piece) = body.piece().await.map_err(io::Error::other)? {
        if text.len().saturating_add(piece.len()) > most {
            return Err(ErrorKind::FileTooLarge.into());
        }
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).map_err(|_| ErrorKind::InvalidData.into())
}

fn failed(error: WebError) -> io::Error {
    io::Error::other(format!("the object store cannot be asked: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;
    use crate::hooks::web::{Fetched, Opened};

    const ID: &str = "00112233445566778899aabbccddeeff";

    /// Gives its answers one after the other, and remembers what it was asked.
    #[derive(Default)]
    struct Fake {
        answers: Mutex<VecDeque<(u16, String)>>,
        asked: Mutex<Vec<String>>,
    }

    impl Web for Fake {
        fn fetch(&self, _: WebRequest) -> Fetched {
            unreachable!("files are large")
        }

        fn open(&self, request: WebRequest) -> Opened {
            let asked = format!("{} {}", request.method, request.url);
            self.asked.lock().unwrap().push(asked);
            let (status, text) = self.answers.lock().unwrap().pop_front().unwrap();
            let length = text.len() as u64;
            let body = HttpBody::new(Some(length), Box::new(Once(Some(text.into()))));
            Box::pin(std::future::ready(Ok(WebStream { status, body })))
        }
    }

    struct Once(Option<Bytes>);

    impl HttpSource for Once {
        fn poll_piece(
            &mut self,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Bytes, HttpBodyError>>> {
            Poll::Ready(self.0.take().filter(|bytes| !bytes.is_empty()).map(Ok))
        }
    }

    fn options() -> BucketOptions {
        BucketOptions {
            endpoint: "https://s3.example.net".to_owned(),
            bucket: "files".to_owned(),
            region: "here".to_owned(),
            in_path: true,
            access_key: "us".to_owned(),
            secret_key: "secret".to_owned(),
            connections: 1,
        }
    }

    fn bucket(answers: &[(u16, &str)]) -> (Bucket, Arc<Fake>) {
        let answers = answers
            .iter()
            .map(|(status, text)| (*status, (*text).to_owned()));
        let web = Arc::new(Fake {
            answers: Mutex::new(answers.collect()),
            ..Fake::default()
        });
        let bucket = Bucket::new(&options(), "example.org", web.clone()).unwrap();
        (bucket, web)
    }

    fn list(names: &[&str], next: Option<&str>) -> String {
        let contents = names
            .iter()
            .map(|name| format!("<Contents><Key>{name}</Key></Contents>"));
        let next = next.map(|next| {
            format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>")
        });
        format!(
            r#"<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{}{}</ListBucketResult>"#,
            next.unwrap_or_default(),
            contents.collect::<String>()
        )
    }

    #[tokio::test]
    async fn lists_have_pages_and_what_is_not_ours_is_left_alone() {
        let own = format!("example.org/{ID}");
        let first = list(&[&own, "example.org/readme", "other.org/x"], Some("on"));
        let (bucket, web) = bucket(&[(200, &first), (200, &list(&[], None))]);
        let page = bucket.list(None).await.unwrap();
        assert_eq!(page.ids, [Id::parse(ID).unwrap()]);
        let last = bucket.list(page.next.as_deref()).await.unwrap();
        assert!(last.ids.is_empty() && last.next.is_none());
        let asked = web.asked.lock().unwrap();
        assert!(asked[0].starts_with("GET https://s3.example.net/files/?"));
        assert!(asked[0].contains("prefix=example.org%2F"));
        assert!(asked[1].contains("continuation-token=on"));
    }

    #[tokio::test]
    async fn answers_are_what_they_are() {
        let slow = "<Error><Code>SlowDown</Code><Message>Not so fast</Message></Error>";
        let answers = [(204, ""), (404, ""), (503, slow), (404, ""), (200, "abc")];
        let (bucket, _) = bucket(&answers);
        let id = Id::parse(ID).unwrap();
        bucket.remove(id).await.unwrap();
        bucket.remove(id).await.unwrap();
        let error = bucket.remove(id).await.unwrap_err().to_string();
        assert_eq!(error, "the object store answered 503 SlowDown Not so fast");
        assert!(bucket.get(id, 0, 3).await.unwrap().is_none());
        // The whole file does for all of it, and for nothing else.
        assert!(bucket.get(id, 0, 3).await.unwrap().is_some());
    }

    #[test]
    fn what_is_missing_is_named() {
        let named = |options: BucketOptions| {
            let made = Bucket::new(&options, "example.org", Arc::new(Fake::default()));
            made.err().map(|bad| bad.setting)
        };
        assert_eq!(named(options()), None);
        let (bucket, endpoint) = (String::new(), "s3.example.net".to_owned());
        assert_eq!(
            named(BucketOptions {
                bucket,
                ..options()
            }),
            Some("bucket")
        );
        assert_eq!(
            named(BucketOptions {
                endpoint,
                ..options()
            }),
            Some("endpoint")
        );
    }
}

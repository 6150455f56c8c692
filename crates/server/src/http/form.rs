//! A form that is read while it comes (RFC 7578; the parts by RFC 2046, 5.1): what it carries may be larger
//! than memory, so no more of it is held than one piece.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use memchr::memmem;

use super::fault::{Fault, Kind};

/// A client that sends nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// So long a client may go on with what is refused.
const LINGER: Duration = Duration::from_secs(5);

/// So much of a part is given at once, in bytes.
const PIECE: usize = 1 << 20;

/// The longest head of a part, in bytes.
const LONGEST_HEAD: usize = 16 << 10;

/// The longest boundary (RFC 2046, 5.1.1).
const LONGEST_BOUNDARY: usize = 70;

/// The body of a request that may be refused before it is read.
pub(super) struct Upload {
    body: Body,
    /// Something of it was asked for.
    begun: bool,
    /// There is no more of it.
    over: bool,
}

impl Upload {
    pub(super) fn new(body: Body) -> Self {
        Self {
            body,
            begun: false,
            over: false,
        }
    }

    /// Reads more of it; `None` at its end. Whoever sends nothing for so long is gone.
    pub(super) async fn next(&mut self, patience: Duration) -> Result<Option<Bytes>, Fault> {
        self.begun = true;
        loop {
            let Ok(frame) = tokio::time::timeout(patience, self.body.frame()).await else {
                let message = "The body takes too long to come";
                return Err(Fault::new(Kind::TooSlow, message));
            };
            let Some(Ok(frame)) = frame else {
                self.over = true;
                let failed = Fault::bad("The body cannot be read to its end");
                return if frame.is_none() {
                    Ok(None)
                } else {
                    Err(failed)
                };
            };
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// Reads on for a while and throws it away: to a client that is still sending, a connection that is closed
    /// with bytes unread is a connection that broke, and the answer is lost (RFC 9112, 9.6). One that waits to be
    /// asked for its body (RFC 9110, 10.1.1) is not asked.
    pub(super) async fn linger(mut self, headers: &HeaderMap) {
        let asked = self.begun || !headers.contains_key(header::EXPECT);
        if asked && !self.over {
            let rest = async { while let Some(Ok(_)) = self.body.frame().await {} };
            let _ = tokio::time::timeout(LINGER, rest).await;
        }
    }
}

/// A form that is being read: parts, one after the other.
pub(super) struct Form<'a> {
    upload: &'a mut Upload,
    /// What stands before each part: CRLF, two hyphens, the boundary.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    /// In so many bytes of the buffer no delimiter begins.
    looked: usize,
    /// So many bytes may still come.
    left: u64,
    /// What there is to say when more come.
    too_long: String,
}

impl<'a> Form<'a> {
    /// The form in a request, whose body may have `longest` bytes.
    pub(super) fn of(
        headers: &HeaderMap,
        upload: &'a mut Upload,
        longest: u64,
    ) -> Result<Self, Fault> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let kind = text(header::CONTENT_TYPE).unwrap_or_default();
        let (kind, parameters) = kind.split_once(';').unwrap_or((kind, ""));
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return Err(Fault::new(
                Kind::Unsupported,
                "The body is not multipart/form-data",
            ));
        }
        let boundary = parameter(parameters, "boundary").unwrap_or_default();
        if !(1..=LONGEST_BOUNDARY).contains(&boundary.len()) {
            return Err(Fault::bad(
                "The form has no boundary of 1 to 70 characters in its content type",
            ));
        }
        let too_long = format!("The body is longer than {longest} bytes");
        let announced = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        if announced.is_some_and(|length| length > longest) {
            return Err(Fault::new(Kind::TooLong, too_long));
        }
        Ok(Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            // The body may begin with a delimiter, which has no line before it then.
            buffer: BytesMut::from(&b"\r\n"[..]),
            looked: 0,
            left: longest,
            too_long,
            upload,
        })
    }

    /// Reads more of the body; false at its end.
    async fn more(&mut self) -> Result<bool, Fault> {
        let Some(data) = self.upload.next(PATIENCE).await? else {
            return Ok(false);
        };
        let left = self.left.checked_sub(data.len() as u64);
        self.left = left.ok_or_else(|| Fault::new(Kind::TooLong, self.too_long.clone()))?;
        self.buffer.extend_from_slice(&data);
        Ok(true)
    }

    async fn must_have_more(&mut self) -> Result<(), Fault> {
        if self.more().await? {
            return Ok(());
        }
        Err(Fault::bad("The form ends early"))
    }

    /// The next piece of the part; `None` at its end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let unseen = self.buffer.get(self.looked..).unwrap_or_default();
            if let Some(at) = memmem::find(unseen, &self.delimiter) {
                let len = std::mem::take(&mut self.looked) + at;
                return Ok((len > 0).then(|| self.buffer.split_to(len).freeze()));
            }
            // One may have begun at the end of what is there.
            let open = self.delimiter.len().saturating_sub(1);
            self.looked = self.buffer.len().saturating_sub(open);
            if self.looked >= PIECE {
                let len = std::mem::take(&mut self.looked);
                return Ok(Some(self.buffer.split_to(len).freeze()));
            }
            self.must_have_more().await?;
        }
    }

    /// Goes to the next part; gives its name, `None` behind the last.
    pub(super) async fn next_part(&mut self) -> Result<Option<String>, Fault> {
        while self.piece().await?.is_some() {}
        let _ = self.buffer.split_to(self.delimiter.len());
        loop {
            if self.buffer.starts_with(b"--") {
                return Ok(None);
            }
            // The line of the delimiter, the head, an empty line.
            if let Some(at) = memmem::find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.split_to(at);
                // What is left begins as a part without content ends.
                let _ = self.buffer.split_to(2);
                let _ = self.buffer.split_to(2);
                return Ok(Some(name_of(&String::from_utf8_lossy(&head))));
            }
            if self.buffer.len() > LONGEST_HEAD {
                return Err(Fault::bad("The head of a part is too long"));
            }
            self.must_have_more().await?;
        }
    }

    /// What is left of the part, as text of `longest` bytes at most.
    pub(super) async fn text(&mut self, longest: usize) -> Result<String, Fault> {
        let mut text = Vec::new();
        while let Some(piece) = self.piece().await? {
            text.extend_from_slice(&piece);
            if text.len() > longest {
                return Err(Fault::new(
                    Kind::TooLong,
                    format!("A part of the form is longer than {longest} bytes"),
                ));
            }
        }
        String::from_utf8(text).map_err(|_| Fault::bad("A part of the form is not UTF-8"))
    }
}

/// The `name` in the `Content-Disposition` of a part (RFC 7578, 4.2).
fn name_of(head: &str) -> String {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut ours =
        fields.filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"));
    let parameters = ours.next().and_then(|(_, value)| value.split_once(';'));
    let name = parameters.and_then(|(_, parameters)| parameter(parameters, "name"));
    name.unwrap_or_default()
}

/// A parameter of a header field: a token, or a text in quotes (RFC 9110, 5.6.4 and 5.6.6).
fn parameter(mut text: &str, wanted: &str) -> Option<String> {
    loop {
        let (name, rest) = text.split_once('=')?;
        let name = name.trim_matches(|one: char| one == ';' || one.is_whitespace());
        let (value, rest) = match rest.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let (value, rest) = rest.split_once(';').unwrap_or((rest, ""));
                (value.trim().to_owned(), rest)
            }
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        text = rest;
    }
}

/// A text up to the quote that ends it, and what follows.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, text.get(at + 1..).unwrap_or_default()),
            // Browsers leave backslashes in file names as they are, but write `%22` for quotes.
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    /// A request whose body comes in frames of `step` bytes.
    fn request(kind: &str, body: &[u8], step: usize) -> (HeaderMap, Upload) {
        let frames: Vec<_> = body.chunks(step).map(Bytes::copy_from_slice).collect();
        let kind = (header::CONTENT_TYPE, kind.parse().unwrap());
        let upload = Upload::new(Body::new(Frames(frames.into())));
        ([kind].into_iter().collect(), upload)
    }

    /// A body whose frames are all there.
    struct Frames(std::collections::VecDeque<Bytes>);

    impl hyper::body::Body for Frames {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            let next = self.0.pop_front();
            std::task::Poll::Ready(next.map(|data| Ok(hyper::body::Frame::data(data))))
        }
    }

    /// Names and contents of all parts; the status of the refusal.
    async fn parts(
        body: &[u8],
        step: usize,
        longest: u64,
    ) -> Result<Vec<(String, Vec<u8>)>, Fault> {
        let kind = "multipart/form-data; charset=utf-8; Boundary=\"--x y\"";
        let (headers, mut upload) = request(kind, body, step);
        let mut form = Form::of(&headers, &mut upload, longest)?;
        let mut all = Vec::new();
        while let Some(name) = form.next_part().await? {
            let mut content = Vec::new();
            while let Some(piece) = form.piece().await? {
                assert!(piece.len() <= PIECE + step);
                content.extend_from_slice(&piece);
            }
            all.push((name, content));
        }
        Ok(all)
    }

    #[tokio::test]
    async fn parts_are_the_same_however_they_come() {
        // Content that nearly ends the part again and again.
        let long = b"\r\n----x\r\n----x\r\r\n----x \r\n".repeat(70_000);
        let mut body = b"what stands ahead\r\n----x y\r\n\r\nno head\r\n----x y  \r\n".to_vec();
        body.extend(b"Content-Type: video/mp4\r\n");
        body.extend(
            b"CONTENT-DISPOSITION: form-data; filename=\"a;\\\" name=b\"; name=\"file\"\r\n\r\n",
        );
        body.extend(&long);
        body.extend(b"\r\n----x y\r\nContent-Disposition: form-data; name=empty\r\n\r\n");
        body.extend(b"\r\n----x y--\r\nwhat follows");
        for step in [1, 7, 4096, body.len()] {
            let all = parts(&body, step, u64::MAX).await.unwrap();
            let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["", "file", "empty"], "{step}");
            assert_eq!(all[0].1, b"no head");
            assert!(all[1].1 == long, "{step}");
            assert!(all[2].1.is_empty());
        }
        let whole = body.len() as u64;
        assert!(parts(&body, 4096, whole).await.is_ok());
        let refused = parts(&body, 4096, whole - 20).await.unwrap_err();
        assert_eq!(refused.kind.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_form_that_ends_early_is_refused_wherever_it_does() {
        let body = b"----x y\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n----x y--";
        assert_eq!(
            parts(body, 5, 1000).await.unwrap(),
            [("a".to_owned(), b"b".to_vec())]
        );
        for len in 0..body.len() {
            let refused = parts(&body[..len], 5, 1000).await.unwrap_err();
            assert_eq!(refused.kind.status(), StatusCode::BAD_REQUEST, "{len}");
        }
        let mut endless = b"----x y\r\n".to_vec();
        endless.extend(b"x: y\r\n".repeat(10_000));
        let refused = parts(&endless, 100, 1 << 20).await.unwrap_err();
        assert_eq!(refused.kind.status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for (kind, status) in [
            ("", 415),
            ("application/json", 415),
            ("multipart/mixed; boundary=x", 415),
            ("multipart/form-data", 400),
            ("multipart/form-data; boundary", 400),
            ("multipart/form-data; boundary=", 400),
            ("multipart/form-data; boundary=\"\"", 400),
            ("multipart/form-data; foo=\"boundary=x", 400),
        ] {
            let (headers, mut upload) = request(kind, b"", 1);
            let refused = Form::of(&headers, &mut upload, 10).err().unwrap();
            assert_eq!(refused.kind.status().as_u16(), status, "{kind}");
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        let (headers, mut upload) = request(&long, b"", 1);
        assert!(Form::of(&headers, &mut upload, 10).is_err());
    }
}

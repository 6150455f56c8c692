//! Why a call was not done, as a value. How a client is told is the business of those whose interface it
//! calls: `ant_media` words it as Ant Media Server would.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::catalog::{CatalogError, ReconcileError};

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The request makes no sense.
    Invalid,
    /// Nobody knows who asks.
    Unauthorized,
    /// It is not done for anybody, or not by this name.
    Forbidden,
    /// What it names is not there.
    Missing,
    /// It is there, and this is not done with it.
    NotAllowed,
    /// What it names is another's.
    Conflict,
    /// It is about something that has changed since.
    Changed,
    /// It carries no token that is good.
    NoToken,
    /// There is nothing to be clipped.
    NoMedia,
    /// The request takes too long to come.
    TooSlow,
    /// It is longer than it may be.
    TooLong,
    /// It goes on where what is there does not end.
    Beyond,
    /// Its body is of another kind than the call takes.
    Unsupported,
    /// It cannot be done now.
    NotNow,
    /// There is no room for what it would make.
    NoRoom,
    /// Our own failure.
    Internal,
}

impl Kind {
    /// As HTTP has it (RFC 9110, section 15).
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::NoToken => StatusCode::FORBIDDEN,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Changed => StatusCode::PRECONDITION_FAILED,
            Self::Missing | Self::NoMedia => StatusCode::NOT_FOUND,
            Self::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Beyond => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotNow => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoRoom => StatusCode::INSUFFICIENT_STORAGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Why a call was not done.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// In words.
    pub(super) message: String,
    /// What the message, whose words may be fixed, does not say.
    pub(super) reason: Option<String>,
}

impl Fault {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            reason: None,
        }
    }

    /// With what the message, whose words are fixed, does not say.
    pub(super) fn because(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }

    /// With the part of the request that it is about.
    pub(super) fn at(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self::new(Kind::Missing, message)
    }

    pub(super) fn no_room() -> Self {
        Self::new(Kind::NoRoom, "No space left on the disk")
    }

    /// Our own failure: the log says what it is, the answer does not.
    pub(super) fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(Kind::Internal, "The server failed; its log says why")
    }
}

impl From<CatalogError> for Fault {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::DiskFull => Self::no_room(),
            error => Self::internal(error),
        }
    }
}

impl From<ReconcileError> for Fault {
    fn from(error: ReconcileError) -> Self {
        Self::internal(error)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::internal(error)
    }
}

/// The plain form: a line of text. It carries the fault along for whoever has words of its own.
impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut answer = (self.kind.status(), format!("{}\n", self.message)).into_response();
        answer.extensions_mut().insert(self);
        answer
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::http::ant_media;

    async fn text(answer: Response) -> String {
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn one_fault_is_worded_by_each_interface_in_its_own_way() {
        let why = Some("its playlist lists no segment".to_owned());
        let fault = Fault::new(Kind::NoMedia, "Nothing was found").because(why);
        let plain = fault.clone().into_response();
        assert_eq!(plain.status(), StatusCode::NOT_FOUND);
        assert_eq!(text(plain).await, "Nothing was found\n");
        let worded = ant_media::fault::worded(fault.into_response()).await;
        assert_eq!(worded.status(), StatusCode::EXPECTATION_FAILED);
        assert_eq!(
            text(worded).await,
            r#"{"success":false,"message":"Nothing was found","dataId":null,"errorId":0,"reason":"its playlist lists no segment"}"#
        );
        // What is no fault stays what it is.
        let fine = (StatusCode::NOT_FOUND, "as it is").into_response();
        let worded = ant_media::fault::worded(fine).await;
        assert_eq!(text(worded).await, "as it is");
    }
}

//! Faults as problem details (RFC 9457).

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::fault::Fault;

/// Why a call was not done.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Problem {
    /// What kind of fault it is, for people: that of the status.
    title: &'static str,
    /// The status code.
    status: u16,
    /// In words.
    detail: String,
    /// What the words do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Words the answers of this interface that say what went wrong, and leaves those of others alone.
pub(in crate::http) async fn worded(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_ours = path == "/v1" || path.starts_with("/v1/");
    let mut answer = next.run(request).await;
    if !is_ours {
        return answer;
    }
    match answer.extensions_mut().remove::<Fault>() {
        Some(fault) => word(fault),
        None => answer,
    }
}

fn word(fault: Fault) -> Response {
    let status = fault.kind.status();
    let problem = Problem {
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail: fault.message,
        reason: fault.reason,
    };
    match serde_json::to_vec(&problem) {
        Ok(text) => {
            let kind = HeaderValue::from_static("application/problem+json");
            (status, [(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

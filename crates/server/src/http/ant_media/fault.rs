//! Faults as Ant Media Server words them.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::json::ApiResult;
use crate::http::answer::Json;
use crate::http::fault::{Fault, Kind};

/// Words an answer that says what went wrong, where nobody has done so yet.
pub(in crate::http) async fn worded(mut answer: Response) -> Response {
    match answer.extensions_mut().remove::<Fault>() {
        Some(fault) => word(fault),
        None => answer,
    }
}

fn word(fault: Fault) -> Response {
    if fault.kind == Kind::NoToken {
        // As its filter has it, which knows of no `Result`.
        return (fault.kind.status(), fault.message).into_response();
    }
    let status = match fault.kind {
        Kind::NoMedia => StatusCode::EXPECTATION_FAILED,
        kind => kind.status(),
    };
    let result = ApiResult::refused(fault.message).because(fault.reason);
    (status, Json(result)).into_response()
}

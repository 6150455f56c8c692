//! One try: what is sent, and how it is signed.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use url::form_urlencoded::Serializer;

use crate::config::{AppSettings, WebhookContentType};
use crate::domain::Delivery;

/// The body, and its content type.
pub(super) fn body(hook: &Delivery, kind: WebhookContentType) -> (Vec<u8>, &'static str) {
    match kind {
        WebhookContentType::Json => (
            // Strings, numbers and objects always have a JSON form.
            serde_json::to_vec(&hook.payload).unwrap_or_default(),
            "application/json",
        ),
        WebhookContentType::Form => {
            let mut form = Serializer::new(String::new());
            for (name, value) in &hook.payload {
                match value {
                    Value::String(text) => form.append_pair(name, text),
                    other => form.append_pair(name, &other.to_string()),
                };
            }
            let form = form.finish().into_bytes();
            (form, "application/x-www-form-urlencoded")
        }
    }
}

/// `X-Clipmill-Signature`, where there is a secret.
pub(super) fn signature(app: Option<&AppSettings>, seconds: i64, body: &[u8]) -> Option<String> {
    let secret = app?.webhook_secret.as_deref()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    let mut hex = String::with_capacity(64);
    for byte in mac.finalize().into_bytes() {
        use std::fmt::Write;
        let _ = write!(hex, "{byte:02x}");
    }
    Some(format!("t={seconds},v1={hex}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_signature_covers_time_and_body() {
        let mut app = AppSettings::new("live", Path::new("/s"));
        assert_eq!(signature(Some(&app), 1, b"x"), None);
        app.webhook_secret = Some("key".into());
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
        let v1 = "a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";
        let found = signature(Some(&app), 1_700_000_000, br#"{"a":1}"#).unwrap();
        assert_eq!(found, format!("t=1700000000,v1={v1}"));
        assert_ne!(
            signature(Some(&app), 1_700_000_001, br#"{"a":1}"#).unwrap(),
            found
        );
    }

    #[test]
    fn forms_hold_objects_as_their_json() {
        let payload = serde_json::json!({"id": "a b", "metadata": {"k": 1}});
        let hook = Delivery {
            id: String::new(),
            app: String::new(),
            url: String::new(),
            payload: payload.as_object().unwrap().clone(),
            created_ms: 0,
            attempts: 0,
            next_ms: 0,
            last_error: None,
        };
        let (form, kind) = body(&hook, WebhookContentType::Form);
        assert_eq!(kind, "application/x-www-form-urlencoded");
        assert_eq!(form, b"id=a+b&metadata=%7B%22k%22%3A1%7D");
        let (json, kind) = body(&hook, WebhookContentType::Json);
        assert_eq!(kind, "application/json");
        assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), payload);
    }
}

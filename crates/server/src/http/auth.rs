//! Who may call: JSON Web Tokens (RFC 7519) with HMAC SHA-256 (RFC 7515, A.1).
//!
//! The `jsonwebtoken` crate reads and checks tokens. Its own cryptographic back ends bring `rsa`
//! with them, which has an open advisory, for algorithms that we refuse anyway: so it is given
//! one that knows HS256 and nothing else, made of the HMAC that signs the webhooks as well.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result as JwtResult};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use serde_json::{Map, Value};
use sha2::Sha256;

use super::Web;
use super::answer::Path;
use super::fault::{Fault, Kind};

/// Where proxies that use `Authorization` themselves leave room for a token.
pub(super) const PROXY_AUTHORIZATION: HeaderName = HeaderName::from_static("proxyauthorization");

/// Lets a REST call through when its application exists and its token is good.
pub(super) async fn check(
    State(web): State<Web>,
    Path(names): Path<std::collections::HashMap<String, String>>,
    mut request: Request,
    next: Next,
) -> Response {
    let name = names.get("app").map(String::as_str).unwrap_or_default();
    let Some(app) = web.settings.borrow().app(name).map(Arc::clone) else {
        return Fault::missing("There is no such application").into_response();
    };
    if let Some(secret) = &app.jwt_secret {
        let good = tokens(request.headers()).any(|token| is_valid(token, secret));
        if !good {
            return Fault::new(Kind::NoToken, "Invalid App JWT Token").into_response();
        }
    }
    request.extensions_mut().insert(app);
    next.run(request).await
}

/// The tokens of a request: in `Authorization` and `ProxyAuthorization`, with or without
/// `Bearer `. One of them may be meant for a proxy on the way.
fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let names = [PROXY_AUTHORIZATION, header::AUTHORIZATION];
    let values = names.into_iter().flat_map(|name| headers.get_all(name));
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.map(|text| match text.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer ") => token.trim(),
        _ => text.trim(),
    })
}

/// Whether a token is signed with this secret, and its time has come and not passed.
fn is_valid(token: &str, secret: &str) -> bool {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.required_spec_claims.clear();
    rules.leeway = 0;
    rules.validate_exp = true;
    rules.validate_nbf = true;
    // Tokens for other systems that carry an audience are accepted, as the original does.
    rules.validate_aud = false;
    let _ = HS256.install_default();
    let key = DecodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::decode::<Map<String, Value>>(token, &key, &rules).is_ok()
}

/// Proves that tokens are checked at all: a good one passes, and none else.
///
/// # Errors
/// When it is not so. The server must not start then.
pub fn self_test() -> Result<(), &'static str> {
    let _ = HS256.install_default();
    let claims = serde_json::json!({"sub": "self-test"});
    let header = jsonwebtoken::Header::new(Algorithm::HS256);
    let key = EncodingKey::from_secret(b"secret");
    let made = jsonwebtoken::encode(&header, &claims, &key);
    let token = made.map_err(|_| "tokens cannot be made")?;
    if is_valid(&token, "secret") && !is_valid(&token, "other") {
        Ok(())
    } else {
        Err("tokens are not checked as they must be")
    }
}

static HS256: CryptoProvider = CryptoProvider {
    signer_factory,
    verifier_factory,
    key_utils: KeyUtils::new_unimplemented(),
};

fn signer_factory(algorithm: &Algorithm, key: &EncodingKey) -> JwtResult<Box<dyn JwtSigner>> {
    match algorithm {
        Algorithm::HS256 => Ok(Box::new(HmacSha256::new(key.as_bytes())?)),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

fn verifier_factory(algorithm: &Algorithm, key: &DecodingKey) -> JwtResult<Box<dyn JwtVerifier>> {
    match algorithm {
        Algorithm::HS256 => Ok(Box::new(HmacSha256::new(key.try_get_as_bytes()?)?)),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

struct HmacSha256(Hmac<Sha256>);

impl HmacSha256 {
    fn new(secret: &[u8]) -> JwtResult<Self> {
        let mac = Hmac::new_from_slice(secret);
        mac.map(Self)
            .map_err(|_| ErrorKind::InvalidKeyFormat.into())
    }
}

impl Signer<Vec<u8>> for HmacSha256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let mut mac = self.0.clone();
        mac.update(message);
        Ok(mac.finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for HmacSha256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        let mut mac = self.0.clone();
        mac.update(message);
        // In constant time.
        mac.verify_slice(signature)
            .map_err(|_| SignatureError::new())
    }
}

impl JwtSigner for HmacSha256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for HmacSha256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn signed(claims: &Value, secret: &str) -> String {
        self_test().unwrap();
        let header = jsonwebtoken::Header::new(Algorithm::HS256);
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    }

    #[test]
    fn only_tokens_with_our_secret_and_of_this_hour_pass() {
        let now = crate::domain::now_ms() / 1000;
        assert!(is_valid(&signed(&json!({}), "s"), "s"));
        assert!(is_valid(
            &signed(&json!({"exp": now + 60, "nbf": now - 1}), "s"),
            "s"
        ));
        assert!(!is_valid(&signed(&json!({}), "s"), "t"));
        assert!(!is_valid(&signed(&json!({"exp": now - 5}), "s"), "s"));
        assert!(!is_valid(&signed(&json!({"nbf": now + 60}), "s"), "s"));
        for bad in ["", "a", "a.b", "a.b.c", ".."] {
            assert!(!is_valid(bad, "s"), "{bad}");
        }
        // RFC 7515, appendix A.1, signs with another key; `none` signs with nothing.
        let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.";
        assert!(!is_valid(none, "s"));
        assert!(!is_valid(none, ""));
    }

    #[test]
    fn a_token_others_made_is_understood() {
        // The example that every introduction to the format shows.
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
                     eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.\
                     SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
        assert!(is_valid(token, "your-256-bit-secret"));
        assert!(!is_valid(token, "your-256-bit-secre"));
    }

    #[test]
    fn a_token_may_come_in_three_ways() {
        let find = |name: &str, value: &str| {
            let mut headers = HeaderMap::new();
            let name: HeaderName = name.parse().unwrap();
            headers.insert(name, value.parse().unwrap());
            tokens(&headers).next().map(str::to_owned)
        };
        assert_eq!(find("Authorization", "Bearer abc").as_deref(), Some("abc"));
        assert_eq!(find("Authorization", "abc").as_deref(), Some("abc"));
        assert_eq!(
            find("ProxyAuthorization", "bearer abc").as_deref(),
            Some("abc")
        );
        assert_eq!(find("Cookie", "abc"), None);
    }
}

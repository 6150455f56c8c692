//! TLS: rustls with ring.

use std::sync::Arc;

/// Certificates are checked against those of the system and those that Mozilla trusts.
///
/// The cryptography is named here and not installed for the process, which may have its own.
///
/// # Errors
/// When the cryptography does not know the protocol's versions.
pub fn tls() -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    // A system without certificates, or with some that cannot be read, still has the above.
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

//! HTTP clients for what others have the server ask for.

use std::sync::Arc;

use clipmill::net::{Resolver, USER_AGENT, in_one_line, tls};
use clipmill::source::Reach;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

/// Clients that follow no redirect, and of which each connects only to what it may. They share nothing but their
/// settings; copies share their connections.
#[derive(Clone)]
pub(crate) struct Clients([(Reach, Client); 3]);

impl Clients {
    /// Clients that offer these protocols (RFC 7301), and are otherwise as `with` wants them.
    ///
    /// # Errors
    /// When no connection could be secured.
    pub(crate) fn new(
        protocols: &[&str],
        with: impl Fn(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, String> {
        let mut tls = tls()?;
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
        tls.alpn_protocols = protocols.collect();
        let client = |reach: Reach| {
            let builder = Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .user_agent(USER_AGENT)
                .redirect(Policy::none())
                .dns_resolver(Arc::new(Resolver(reach)));
            let client = with(builder).build();
            let client = client.map_err(|error| in_one_line(&error))?;
            Ok::<_, String>((reach, client))
        };
        Ok(Self([
            client(Reach::Public)?,
            client(Reach::PublicAndLoopback)?,
            client(Reach::Anywhere)?,
        ]))
    }

    /// The one that connects to no more than this.
    pub(crate) fn within(&self, reach: Reach) -> &Client {
        let [strictest, ..] = &self.0;
        let found = self.0.iter().find(|(known, _)| *known == reach);
        &found.unwrap_or(strictest).1
    }
}

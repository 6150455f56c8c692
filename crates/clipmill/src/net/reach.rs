//! Which addresses may be connected to when somebody else says where.
//!
//! A URL that comes from outside may lead to what only this machine can reach: the cloud's metadata,
//! a router, a database without a password. What is public is what IANA's registries of special
//! purpose addresses (RFC 6890) leave over.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Which addresses may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// All.
    #[default]
    Anywhere,
    /// Public ones, and this machine itself.
    PublicAndLoopback,
    /// Public ones alone.
    Public,
}

/// An address that must not be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {kind}, which may not be reached from here")]
pub struct OutOfReach {
    address: IpAddr,
    kind: Kind,
}

/// What an address that is not public is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Loopback,
    LinkLocal,
    Private,
    Special,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "this machine's own address",
            Self::LinkLocal => "a link-local address",
            Self::Private => "a private address",
            Self::Special => "an address of special purpose",
        })
    }
}

impl Reach {
    /// Whether an address may be connected to.
    ///
    /// # Errors
    /// When it may not.
    pub fn check(self, address: IpAddr) -> Result<(), OutOfReach> {
        let Some(kind) = kind(address) else {
            return Ok(());
        };
        match self {
            Self::Anywhere => Ok(()),
            Self::PublicAndLoopback if kind == Kind::Loopback => Ok(()),
            Self::PublicAndLoopback | Self::Public => Err(OutOfReach { address, kind }),
        }
    }

    /// Whether the host of a URL may be connected to, as far as the URL says its address. What a name
    /// resolves to has to be checked when it is resolved.
    ///
    /// # Errors
    /// When it may not.
    pub fn check_url(self, url: &Url) -> Result<(), OutOfReach> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.check(address.into()),
            Some(Host::Ipv6(address)) => self.check(address.into()),
            // RFC 6761, 6.3: whatever a resolver says.
            Some(Host::Domain(name)) if is_localhost(name) => {
                self.check(Ipv4Addr::LOCALHOST.into())
            }
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// What an address is for; `None` when it is public.
fn kind(address: IpAddr) -> Option<Kind> {
    match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => kind_of_v6(address),
    }
}

fn kind_of_v4(address: Ipv4Addr) -> Option<Kind> {
    match address.octets() {
        [127, ..] => Some(Kind::Loopback),
        [169, 254, ..] => Some(Kind::LinkLocal),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(Kind::Private),
        // Behind carriers' translators (RFC 6598), and of some clouds' metadata.
        [100, 64..=127, ..] => Some(Kind::Private),
        // "This network", protocol assignments, documentation, 6to4 relays, benchmarks, multicast,
        // reserved, broadcast.
        [0, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] => Some(Kind::Special),
        [198, 51, 100, _] | [203, 0, 113, _] | [224..=255, ..] => Some(Kind::Special),
        _ => None,
    }
}

fn kind_of_v6(address: Ipv6Addr) -> Option<Kind> {
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        kind_of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Kind::Loopback),
        // Unspecified, and addresses of version 4: mapped, compatible.
        [0, 0, 0, 0, 0, 0, 0, 0] => Some(Kind::Special),
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] => embedded(high, low),
        // Translated ones (RFC 6052, RFC 8215), and tunnels.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x64, 0xff9b, 1, ..] => Some(Kind::Private),
        [0x2002, high, low, ..] => embedded(high, low),
        [0xfc00..=0xfdff, ..] => Some(Kind::Private),
        [0xfe80..=0xfebf, ..] => Some(Kind::LinkLocal),
        // Site-local once, discard, documentation, Teredo and other assignments, multicast.
        [0xfec0..=0xffff, ..] | [0x100, ..] | [0x2001, 0xdb8, ..] | [0x3fff, ..] => {
            Some(Kind::Special)
        }
        [0x2001, 0..=0x1ff, ..] => Some(Kind::Special),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reach: Reach, url: &str) -> Option<String> {
        let refused = reach.check_url(&Url::parse(url).unwrap()).err()?;
        Some(refused.to_string())
    }

    #[test]
    fn addresses_in_every_spelling() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1:8080/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://localhost/",
            "http://LocalHost./",
            "http://a.localhost:5080/",
        ] {
            assert!(refused(Reach::Public, url).is_some(), "{url}");
            assert_eq!(refused(Reach::PublicAndLoopback, url), None, "{url}");
            assert_eq!(refused(Reach::Anywhere, url), None, "{url}");
        }
        for url in [
            "http://169.254.169.254/latest/meta-data/",
            "http://0xa9fea9fe/",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://10.0.0.1/",
            "http://172.31.255.255/",
            "http://192.168.1.1/",
            "http://100.100.100.200/",
            "http://[fd00:ec2::254]/",
            "http://0.0.0.0/",
            "http://[::]/",
            "http://255.255.255.255/",
            "http://224.0.0.1/",
            "http://[ff02::1]/",
        ] {
            for reach in [Reach::Public, Reach::PublicAndLoopback] {
                assert!(refused(reach, url).is_some(), "{url}");
            }
        }
        for url in [
            "http://93.184.216.34/",
            "http://172.32.0.1/",
            "http://100.128.0.1/",
            "http://[2606:4700::1111]/",
            "http://[2002:5db8:d822::1]/",
            "http://example.com/",
            "http://localhost.example.com/",
        ] {
            assert_eq!(refused(Reach::Public, url), None, "{url}");
        }
    }

    #[test]
    fn a_refusal_says_what_and_why() {
        let said = refused(Reach::Public, "http://169.254.169.254/").unwrap();
        assert_eq!(
            said,
            "169.254.169.254 is a link-local address, which may not be reached from here"
        );
    }
}

//! Where a connection comes from, as far as limits need to know.

use std::net::IpAddr;

/// An IPv4 address or the first 64 bits of an IPv6 address (R7). It lives as long as the connection; limiters keep a
/// salted hash of it. It has no `Debug`, so that no log can hold it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(Source);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    V4([u8; 4]),
    V6([u8; 8]),
    Local(u64),
}

impl Network {
    /// A connection inside the process, which has no address.
    #[must_use]
    pub const fn local(number: u64) -> Self {
        Self(Source::Local(number))
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(Source::V4(v4.octets())),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self(Source::V6([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r7_an_ipv4_address_or_half_an_ipv6_address() {
        let network = |text: &str| Network::from(text.parse::<IpAddr>().unwrap());
        assert!(network("192.0.2.1") != network("192.0.2.2"));
        assert!(network("192.0.2.1") == network("::ffff:192.0.2.1"));
        assert!(network("2001:db8:0:1::1") == network("2001:db8:0:1:ffff::2"));
        assert!(network("2001:db8:0:1::1") != network("2001:db8:0:2::1"));
    }
}

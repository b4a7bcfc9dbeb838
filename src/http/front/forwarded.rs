//! Whose request it is, where proxies tell: `X-Forwarded-For`, or `Forwarded` (RFC 7239).

use std::net::{IpAddr, SocketAddr};

use super::ProxyHeader;

/// Of the addresses in the header's values, which every proxy adds to at the end, the last that is no trusted proxy. `None` if
/// that cannot be understood, or there is none.
pub(super) fn client<'v>(
    header: ProxyHeader,
    values: impl DoubleEndedIterator<Item = &'v str>,
    trusts: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let elements = values
        .rev()
        .flat_map(|value| value.rsplit(',').map(str::trim));
    for element in elements {
        let text = match header {
            ProxyHeader::XForwardedFor => element,
            ProxyHeader::Forwarded => node(element)?,
        };
        let address = address(text)?;
        if !trusts(address) {
            return Some(address);
        }
    }
    None
}

/// The `for` of one element, without quotes. Names that hide the client (RFC 7239 §6.3) contain no comma.
fn node(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut nodes = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    let (_, node) = nodes.next()?;
    let node = node.trim();
    Some(
        node.strip_prefix('"')
            .and_then(|node| node.strip_suffix('"'))
            .unwrap_or(node),
    )
}

/// An address, with or without a port, IPv6 with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(header: ProxyHeader, values: &[&str]) -> Option<String> {
        let trusts = |ip: IpAddr| ip.is_loopback() || ip.to_string().starts_with("10.");
        let client = client(header, values.iter().copied(), trusts);
        client.map(|ip| ip.to_string())
    }

    #[test]
    fn the_last_that_is_no_trusted_proxy() {
        use ProxyHeader::XForwardedFor as X;
        for (values, client) in [
            (&["192.0.2.1"][..], Some("192.0.2.1")),
            (&["198.51.100.9, 192.0.2.1"], Some("192.0.2.1")),
            (&["198.51.100.9", "192.0.2.1, 10.0.0.2"], Some("192.0.2.1")),
            (&["2001:db8::1"], Some("2001:db8::1")),
            (&["::ffff:192.0.2.1"], Some("192.0.2.1")),
            (&["192.0.2.1:4711"], Some("192.0.2.1")),
            (&["10.0.0.1"], None),
            (&["192.0.2.1, nonsense"], None),
            (&["192.0.2.1,"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(from(X, values).as_deref(), client, "{values:?}");
        }
    }

    #[test]
    fn the_standard_header() {
        use ProxyHeader::Forwarded as F;
        for (values, client) in [
            (
                &["for=192.0.2.1;proto=https;by=10.0.0.1"][..],
                Some("192.0.2.1"),
            ),
            (&["For=\"[2001:db8::1]:4711\""], Some("2001:db8::1")),
            (
                &["for=198.51.100.9, for=\"[2001:db8::2]\""],
                Some("2001:db8::2"),
            ),
            (&["for=192.0.2.1, for=10.0.0.1"], Some("192.0.2.1")),
            (&["for=unknown"], None),
            (&["for=_hidden"], None),
            (&["proto=https"], None),
        ] {
            assert_eq!(from(F, values).as_deref(), client, "{values:?}");
        }
    }
}

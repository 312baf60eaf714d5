//! Which hosts an entry may talk to, by name and by address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

/// The hosts of `allowed_hosts`.
#[derive(Clone, Debug)]
pub struct HostList(Vec<Allowed>);

#[derive(Clone, Debug)]
struct Allowed {
    /// Lower case; without the `*` of a wildcard, dot first.
    host: String,
    port: Option<u16>,
    is_wildcard: bool,
}

/// Whether private addresses are fine: only for a host that is named outright.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses only.
    Public,
    /// Any address.
    Any,
}

impl HostList {
    /// Reads `host`, `host:port` and `*.domain`.
    ///
    /// # Errors
    /// The place of the first that is none of these, and why.
    pub fn parse(list: &[String]) -> Result<Self, (usize, String)> {
        let parsed = list.iter().enumerate().map(|(at, text)| Allowed::parse(text).map_err(|why| (at, why)));
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the URL's host and port are in the list.
    ///
    /// # Errors
    /// Names the host that is not.
    pub fn allows(&self, url: &Url) -> Result<Reach, String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("`{}` is neither http nor https", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL may not carry a user name or password".to_owned());
        }
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let port = url.port_or_known_default();
        let matching: Vec<&Allowed> = self.0.iter().filter(|allowed| allowed.matches(&host, port)).collect();
        match matching.as_slice() {
            [] => Err(format!("host `{host}` is not among allowed_hosts")),
            some if some.iter().any(|allowed| !allowed.is_wildcard) => Ok(Reach::Any),
            _ => Ok(Reach::Public),
        }
    }
}

impl Allowed {
    fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a host; write host, host:port or *.domain");
        let (is_wildcard, rest) = match text.strip_prefix('*') {
            Some(rest) if rest.starts_with('.') && rest.len() > 2 => (true, rest),
            Some(_) => return Err(bad()),
            None => (false, text),
        };
        let probe = format!("http://{}/", rest.trim_start_matches('.'));
        let url = Url::parse(&probe).map_err(|_| bad())?;
        let is_plain = url.path() == "/" && url.query().is_none() && url.username().is_empty();
        if !is_plain || rest.contains(['/', '@', '?', '#']) || rest.is_empty() {
            return Err(bad());
        }
        let named = url.host_str().ok_or_else(bad)?.to_ascii_lowercase();
        // `Url` drops port 80 as the default of http, and here a port that was written counts.
        let port = match rest.rsplit_once(':') {
            Some((_, port)) if !rest.ends_with(']') => Some(port.parse().map_err(|_| bad())?),
            _ => None,
        };
        let host = if is_wildcard { format!(".{named}") } else { named };
        Ok(Self { host, port, is_wildcard })
    }

    fn matches(&self, host: &str, port: Option<u16>) -> bool {
        let named = if self.is_wildcard { host.ends_with(&self.host) } else { host == self.host };
        named && (self.port.is_none() || self.port == port)
    }
}

/// The addresses of a URL's host, all of which must be within reach: one private address among public ones is how a
/// name is made to point inside.
///
/// # Errors
/// `Ok(Err(..))` when an address is out of reach, `Err` when the name cannot be resolved.
pub async fn resolve(url: &Url, reach: Reach) -> Result<Result<Vec<SocketAddr>, String>, String> {
    let port = url.port_or_known_default().unwrap_or_default();
    let found: Vec<SocketAddr> = match url.host() {
        Some(Host::Ipv4(ip)) => vec![(ip, port).into()],
        Some(Host::Ipv6(ip)) => vec![(ip, port).into()],
        Some(Host::Domain(name)) => tokio::net::lookup_host((name, port))
            .await
            .map_err(|error| format!("host `{name}` cannot be resolved: {error}"))?
            .collect(),
        None => return Ok(Err("the URL has no host".to_owned())),
    };
    if found.is_empty() {
        return Err("the host has no address".to_owned());
    }
    let inside = found.iter().find(|address| !is_public(address.ip()));
    Ok(match (reach, inside) {
        (Reach::Public, Some(address)) => Err(format!(
            "host `{}` is at {}, a private address; only a host named outright in allowed_hosts may be",
            url.host_str().unwrap_or_default(),
            address.ip()
        )),
        _ => Ok(found),
    })
}

/// Whether an address is one of the open Internet.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let carrier = a == 100 && (64..128).contains(&b);
    let protocols = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (18..20).contains(&b);
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_broadcast()
        || ip.is_documentation()
        || a == 0
        || a >= 224
        || carrier
        || protocols
        || benchmark)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    let [.., seventh, eighth] = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    if let Some(mapped) = ip.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    match (first, second) {
        // NAT64 and 6to4 carry an IPv4 address that is the real destination.
        (0x64, 0xff9b) => is_public_v4(embedded(seventh, eighth)),
        (0x2002, _) => is_public_v4(embedded(second, ip.segments()[2])),
        (0x2001, 0) | (0x2001, 0xdb8) => false,
        // Global unicast is 2000::/3; everything else is local, multicast or reserved.
        (first, _) => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(hosts: &[&str]) -> HostList {
        HostList::parse(&hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn hosts_match_by_name_port_and_wildcard() {
        let hosts = list(&["api.example.com", "*.corp.example", "127.0.0.1:8080", "[::1]", "plain.test:80"]);
        let table = [
            ("https://api.example.com/x", Some(Reach::Any)),
            ("https://API.example.COM:8443/x", Some(Reach::Any)),
            ("https://a.corp.example/", Some(Reach::Public)),
            ("https://corp.example/", None),
            ("https://evilcorp.example/", None),
            ("https://api.example.com.evil.test/", None),
            ("https://api.example.com@evil.test/", None),
            ("https://user:pw@api.example.com/", None),
            ("http://127.0.0.1:8080/", Some(Reach::Any)),
            ("http://127.0.0.1:8081/", None),
            ("http://127.1:8080/", Some(Reach::Any)),
            ("http://0x7f000001/", None),
            ("http://[::1]/", Some(Reach::Any)),
            ("http://plain.test/", Some(Reach::Any)),
            ("https://plain.test/", None),
            ("ftp://api.example.com/", None),
        ];
        for (url, expected) in table {
            assert_eq!(hosts.allows(&Url::parse(url).unwrap()).ok(), expected, "{url}");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for host in ["", "*", "*.", "a b", "https://x", "x/y", "x:http", "u@h", "*evil.com"] {
            assert!(HostList::parse(&[host.to_owned()]).is_err(), "{host}");
        }
    }

    #[test]
    fn inside_addresses_are_told_from_outside_ones() {
        let inside = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:0a00:0001::",
            "2001:db8::1",
        ];
        for ip in inside {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in
            ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
        {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[tokio::test]
    async fn a_wildcard_does_not_reach_inside() {
        let url = Url::parse("http://127.0.0.1:9/").unwrap();
        assert!(resolve(&url, Reach::Public).await.unwrap().is_err());
        assert_eq!(resolve(&url, Reach::Any).await.unwrap().unwrap().len(), 1);
    }
}

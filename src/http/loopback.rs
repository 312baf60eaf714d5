//! Without authentication on a loopback listener, a web page must not be able to act through the
//! browser of whoever runs the server: foreign names (DNS rebinding) and foreign origins are refused.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri, header};

use super::code::Code;
use super::problem::Problem;

/// Refuses requests addressed to, or made by pages of, anything but this machine.
pub fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let named = |host: &[u8]| Authority::try_from(host).is_ok_and(|host| is_here(&host));
    let is_ours = match uri.authority() {
        Some(authority) => is_here(authority),
        None => {
            let mut hosts = headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes).peekable();
            hosts.peek().is_some() && hosts.all(|host| is_plainly_loopback(host) || named(host))
        }
    };
    if !is_ours {
        return Err(Problem::new(Code::ForeignHost, "only localhost and loopback addresses are served here"));
    }
    let is_own = |origin: &HeaderValue| {
        let origin = Uri::try_from(origin.as_bytes()).ok();
        origin.and_then(|origin| origin.authority().map(is_here)) == Some(true)
    };
    if !headers.get_all(header::ORIGIN).iter().all(is_own) {
        return Err(Problem::new(Code::ForeignOrigin, "only pages of this machine may call this server"));
    }
    Ok(())
}

/// What nearly every request names: a name of this machine, and perhaps a port.
fn is_plainly_loopback(host: &[u8]) -> bool {
    let names: [&[u8]; 3] = [b"localhost", b"127.0.0.1", b"[::1]"];
    names.iter().filter_map(|name| host.strip_prefix(*name)).any(|rest| match rest {
        [] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    })
}

/// A host of this machine, and nothing but a port beside it.
fn is_here(authority: &Authority) -> bool {
    is_loopback(authority.host()) && (authority.port().is_some() || authority.as_str() == authority.host())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_origins() {
        let table: [(&str, Option<&str>, Option<Code>); 16] = [
            ("localhost", None, None),
            ("127.1.2.3", None, None),
            ("localhost:8080@evil.example", None, Some(Code::ForeignHost)),
            ("127.0.0.1@evil.example", None, Some(Code::ForeignHost)),
            ("LOCALHOST:8080", None, None),
            ("127.0.0.1:8080", Some("http://localhost:8080"), None),
            ("[::1]:8080", Some("http://[::1]:8080"), None),
            ("evil.example", None, Some(Code::ForeignHost)),
            ("127.0.0.1.evil.example:8080", None, Some(Code::ForeignHost)),
            ("localhost.evil.example", None, Some(Code::ForeignHost)),
            ("localhost:80.evil.example", None, Some(Code::ForeignHost)),
            ("127.1.2.3:80", None, None),
            ("localhost:80", Some("http://localhost:80.evil.example"), Some(Code::ForeignOrigin)),
            ("192.168.0.4:8080", None, Some(Code::ForeignHost)),
            ("localhost:8080", Some("https://evil.example"), Some(Code::ForeignOrigin)),
            ("localhost:8080", Some("null"), Some(Code::ForeignOrigin)),
        ];
        for (host, origin, expected) in table {
            let mut headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            headers.extend(origin.map(|origin| (header::ORIGIN, origin.parse().unwrap())));
            let problem = check(&Uri::from_static("/"), &headers).err();
            assert_eq!(problem.map(|problem| problem.code), expected, "{host} {origin:?}");
        }
        for (twice, own, foreign, code) in [
            (header::HOST, "localhost", "evil.example", Code::ForeignHost),
            (header::ORIGIN, "http://localhost", "https://evil.example", Code::ForeignOrigin),
        ] {
            let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost"))]);
            headers.insert(&twice, HeaderValue::from_static(own));
            assert!(check(&Uri::from_static("/"), &headers).is_ok());
            headers.append(&twice, HeaderValue::from_static(foreign));
            let problem = check(&Uri::from_static("/"), &headers).err();
            assert_eq!(problem.map(|problem| problem.code), Some(code), "{twice}");
        }
        let problem = check(&Uri::from_static("/"), &HeaderMap::new()).err();
        assert_eq!(problem.map(|problem| problem.code), Some(Code::ForeignHost));
    }
}

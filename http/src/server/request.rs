//! What may be asked, by whom. Pure.

use std::net::IpAddr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hyper::body::Body;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method, Request, Version};

use crate::config::{HttpSettings, Token};
use crate::door::Answer;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Address(IpAddr),
    Unix,
    /// Somebody, wherever, whose certificate is trusted.
    #[cfg(feature = "tls")]
    Certified,
    /// Somebody who asks in plain where TLS is spoken.
    #[cfg(feature = "tls")]
    Unsecured,
}

impl Peer {
    /// Whether it is on this machine, or is known otherwise.
    fn is_trusted(self) -> bool {
        match self {
            Self::Address(address) => address.to_canonical().is_loopback(),
            Self::Unix => true,
            #[cfg(feature = "tls")]
            Self::Certified => true,
            #[cfg(feature = "tls")]
            Self::Unsecured => false,
        }
    }
}

/// Refuses what is no question: methods that change things, bodies, requests that are meant for
/// somebody else.
///
/// # Errors
///
/// The answer.
pub(super) fn check<B: Body>(
    request: &Request<B>,
    peer: Peer,
    config: &HttpSettings,
) -> Result<(), Answer> {
    #[cfg(feature = "tls")]
    if peer == Peer::Unsecured {
        return Err(Answer::text(400, "TLS is spoken here: ask by https\n"));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Answer::text(405, "Only GET and HEAD: nothing is changed here\n").allow());
    }
    let headers = request.headers();
    let length = headers.get(CONTENT_LENGTH).map(|own| own.as_bytes());
    if headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|own| own != b"0") {
        return Err(Answer::text(413, "A question has no body\n"));
    }
    if peer != Peer::Unix {
        check_host(request.version(), headers, config)?;
    }
    Ok(())
}

fn check_host(version: Version, headers: &HeaderMap, config: &HttpSettings) -> Result<(), Answer> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        // Browsers do not speak it.
        (None, _) if version == Version::HTTP_10 => return Ok(()),
        (Some(host), None) => host.to_str().unwrap_or(""),
        _ => return Err(Answer::text(400, "One Host is needed\n")),
    };
    let name = host_name(host);
    let is_own = |own: &String| own.eq_ignore_ascii_case(name);
    let is_address = name.parse::<IpAddr>().is_ok();
    if is_address || name.eq_ignore_ascii_case("localhost") || config.hosts.iter().any(is_own) {
        return Ok(());
    }
    Err(Answer::text(
        421,
        "This host is not served here: ask by address, or name it as a host of this door\n",
    ))
}

/// The name in a Host, without its port and without the brackets of an address.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or("", |(name, _)| name);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Refuses what not everybody may see to those who come from elsewhere without the token.
///
/// # Errors
///
/// The answer.
pub(super) fn check_private(
    headers: &HeaderMap,
    peer: Peer,
    token: Option<&Token>,
) -> Result<(), Answer> {
    if peer.is_trusted() {
        return Ok(());
    }
    let Some(token) = token else {
        return Err(Answer::text(
            403,
            "This is told on the machine itself, or to those who have a token: none is set\n",
        ));
    };
    let shown = headers.get(AUTHORIZATION).map(|own| own.as_bytes());
    if shown.is_some_and(|own| shows(own, token)) {
        return Ok(());
    }
    Err(Answer::text(401, "A token is needed\n").ask_for_token())
}

/// Whether an Authorization shows the token: as a bearer, or as a password with any name.
fn shows(authorization: &[u8], token: &Token) -> bool {
    let space = authorization.iter().position(|byte| *byte == b' ');
    let Some((scheme, rest)) = space.map(|at| authorization.split_at(at)) else {
        return false;
    };
    let value = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return token.is(value);
    }
    if scheme.eq_ignore_ascii_case(b"basic")
        && let Ok(decoded) = BASE64_STANDARD.decode(value)
        && let Some(colon) = decoded.iter().position(|byte| *byte == b':')
    {
        return token.is(&decoded[colon + 1..]);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELSEWHERE: Peer = Peer::Address(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7)));

    fn request(method: &str, headers: &[(&str, &str)]) -> Request<String> {
        let mut request = Request::builder().method(method).uri("/status.json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(String::new()).expect("it is a request")
    }

    fn status(method: &str, headers: &[(&str, &str)]) -> u16 {
        let config = HttpSettings {
            hosts: vec!["status.example.com".to_owned()],
            ..HttpSettings::default()
        };
        let checked = check(&request(method, headers), ELSEWHERE, &config);
        checked.map_or_else(|answer| answer.status(), |()| 200)
    }

    #[test]
    fn only_questions_that_are_meant_for_us_are_answered() {
        let host = ("host", "127.0.0.1:8081");
        for method in ["GET", "HEAD"] {
            assert_eq!(status(method, &[host]), 200);
        }
        for method in [
            "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "BREW",
        ] {
            assert_eq!(status(method, &[host]), 405, "{method}");
        }
        assert_eq!(status("GET", &[host, ("content-length", "7")]), 413);
        assert_eq!(status("GET", &[host, ("content-length", "0")]), 200);
        assert_eq!(
            status("GET", &[host, ("transfer-encoding", "chunked")]),
            413
        );
        for own in ["localhost", "LOCALHOST:8081", "[::1]:8081", "10.1.2.3"] {
            assert_eq!(status("GET", &[("host", own)]), 200, "{own}");
        }
        assert_eq!(status("GET", &[("host", "Status.example.com:80")]), 200);
        for other in [
            "evil.example.com",
            "localhost.evil.com",
            "",
            "[",
            "127.0.0.1.evil.com",
        ] {
            assert_eq!(status("GET", &[("host", other)]), 421, "{other}");
        }
        assert_eq!(status("GET", &[]), 400);
        assert_eq!(status("GET", &[host, host]), 400);
    }

    fn private(peer: Peer, token: Option<&Token>, shown: Option<&str>) -> u16 {
        let shown: Vec<_> = shown
            .map(|own| ("authorization", own))
            .into_iter()
            .collect();
        let request = request("GET", &shown);
        let checked = check_private(request.headers(), peer, token);
        checked.map_or_else(|answer| answer.status(), |()| 200)
    }

    #[test]
    fn who_comes_from_elsewhere_shows_the_token() {
        let here = Peer::Address(IpAddr::V6(std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped()));
        let token = Token::new("correct horse battery".replace(' ', "-").as_str()).ok();
        let token = token.as_ref();
        for local in [here, Peer::Unix] {
            assert_eq!(
                (private(local, None, None), private(local, token, None)),
                (200, 200)
            );
        }
        assert_eq!(
            private(ELSEWHERE, None, Some("Bearer correct-horse-battery")),
            403
        );
        assert_eq!(private(ELSEWHERE, token, None), 401);
        // Base64 of "any:correct-horse-battery" and of "any:wrong".
        let right = "Basic YW55OmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ==";
        for shown in [
            "Bearer correct-horse-battery",
            "bearer  correct-horse-battery",
            right,
        ] {
            assert_eq!(private(ELSEWHERE, token, Some(shown)), 200, "{shown}");
        }
        for shown in [
            "Bearer wrong",
            "Basic YW55Ondyb25n",
            "Basic ????",
            "correct-horse-battery",
        ] {
            assert_eq!(private(ELSEWHERE, token, Some(shown)), 401, "{shown}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_certificate_stands_for_the_token_and_what_is_plain_is_sent_to_https() {
        let token = Token::new("0123456789abcdef").ok();
        assert_eq!(private(Peer::Certified, token.as_ref(), None), 200);
        let config = HttpSettings::default();
        let checked = |peer, host| {
            let request = request("GET", &[("host", host)]);
            check(&request, peer, &config).map_or_else(|answer| answer.status(), |()| 200)
        };
        assert_eq!(checked(Peer::Certified, "10.0.0.1"), 200);
        // The certificate is its own, and the page that asks may be somebody else's.
        assert_eq!(checked(Peer::Certified, "evil.example.com"), 421);
        assert_eq!(checked(Peer::Unsecured, "10.0.0.1"), 400);
    }
}

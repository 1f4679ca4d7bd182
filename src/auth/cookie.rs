//! The session's cookie (RFC 6265): written for browsers, found in what they send.

use crate::config::{self, CookieSameSite, CookieSecure};

/// How the session's cookie is written and read.
#[derive(Debug, Clone)]
pub struct SessionCookie {
    name: String,
    same_site: &'static str,
    secure: CookieSecure,
    /// Whether browsers reach us by TLS, where the configuration says so.
    public_is_tls: Option<bool>,
    max_age_s: u64,
}

impl SessionCookie {
    /// As the configuration wants it.
    #[must_use]
    pub fn new(auth: &config::Auth, http: &config::Http) -> Self {
        Self {
            name: auth.cookie_name.clone(),
            same_site: match auth.cookie_same_site {
                CookieSameSite::Lax => "Lax",
                CookieSameSite::Strict => "Strict",
            },
            secure: auth.cookie_secure,
            public_is_tls: match &http.public_url {
                Some(url) => Some(url.starts_with("https://")),
                None => http.is_tls().then_some(true),
            },
            max_age_s: auth.session_ttl_s,
        }
    }

    /// The value of `Set-Cookie` that gives the browser its token. `host` is the header `Host`.
    #[must_use]
    pub fn set(&self, token: &str, host: Option<&str>) -> String {
        self.write(token, self.max_age_s, host)
    }

    /// The value of `Set-Cookie` that takes it away.
    #[must_use]
    pub fn clear(&self, host: Option<&str>) -> String {
        self.write("", 0, host)
    }

    /// The token in the values of the header `Cookie` (HTTP/2 may send several). Of two cookies
    /// with the name, the first has the more specific path and is taken (RFC 6265, section 5.4).
    pub fn find<'a>(&self, cookies: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        cookies
            .into_iter()
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == self.name)
            .map(|(_, value)| value)
            .filter(|value| !value.is_empty())
    }

    fn write(&self, value: &str, max_age_s: u64, host: Option<&str>) -> String {
        let Self {
            name, same_site, ..
        } = self;
        let secure = if self.is_secure(host) { "; Secure" } else { "" };
        format!(
            "{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite={same_site}{secure}"
        )
    }

    fn is_secure(&self, host: Option<&str>) -> bool {
        match self.secure {
            CookieSecure::Always => true,
            CookieSecure::Never => false,
            CookieSecure::Auto => match self.public_is_tls {
                Some(true) => true,
                Some(false) | None => !host.is_some_and(is_loopback),
            },
        }
    }
}

/// Whether a `Host` names this very machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(literal) => literal.split(']').next().unwrap_or(literal),
        None => host.split(':').next().unwrap_or(host),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(secure: CookieSecure, public_is_tls: Option<bool>) -> SessionCookie {
        SessionCookie {
            name: "sid".into(),
            same_site: "Lax",
            secure,
            public_is_tls,
            max_age_s: 86400,
        }
    }

    #[test]
    fn as_browsers_get_it() {
        let cookie = cookie(CookieSecure::Auto, None);
        assert_eq!(
            cookie.set("abc", Some("chat.example.org")),
            "sid=abc; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            cookie.clear(Some("localhost:8080")),
            "sid=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
        );
    }

    #[test]
    fn secure_is_off_only_on_plain_loopback_or_when_told() {
        let auto = cookie(CookieSecure::Auto, None);
        for loopback in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:80",
        ] {
            assert!(!auto.is_secure(Some(loopback)), "{loopback}");
        }
        for other in [
            "192.0.2.1",
            "localhost.evil.example",
            "[2001:db8::1]:80",
            "",
        ] {
            assert!(auto.is_secure(Some(other)), "{other}");
        }
        assert!(auto.is_secure(None));
        assert!(cookie(CookieSecure::Auto, Some(true)).is_secure(Some("localhost")));
        assert!(cookie(CookieSecure::Auto, Some(false)).is_secure(Some("192.0.2.1")));
        assert!(cookie(CookieSecure::Always, None).is_secure(Some("localhost")));
        assert!(!cookie(CookieSecure::Never, Some(true)).is_secure(Some("chat.example.org")));
    }

    #[test]
    fn found_among_others() {
        let cookie = cookie(CookieSecure::Auto, None);
        assert_eq!(cookie.find(["a=b; sid=x; sid=y"]), Some("x"));
        assert_eq!(cookie.find(["a=b", " sid=x"]), Some("x"));
        assert_eq!(cookie.find(["xsid=1;sidx=2; =;;sid"]), None);
        assert_eq!(cookie.find(["sid="]), None);
        assert_eq!(cookie.find([]), None);
    }
}

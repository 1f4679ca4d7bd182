//! Whether the page that sent a request may use the cookie that came with it.
//!
//! A browser sends our cookie along with whatever any page asks of us, and says in `Origin`
//! which page it was. Where the cookie is what authenticates a write or a WebSocket handshake,
//! that page must be one of ours. Bearer tokens and tickets are sent by nobody unasked.

use crate::config;

/// The page is of another origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("requests with a cookie are accepted from pages of this origin only")]
pub struct OriginNotAllowed;

/// What a request says about the page that sent it.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestOrigin<'a> {
    /// The header `Origin`.
    pub origin: Option<&'a str>,
    /// The header `Sec-Fetch-Site`.
    pub fetch_site: Option<&'a str>,
    /// The header `Host`, or `:authority`.
    pub host: Option<&'a str>,
}

/// The origins whose pages are ours.
#[derive(Debug, Clone)]
pub struct Origins {
    public: Option<String>,
    allowed: Vec<String>,
    /// What the node's port speaks.
    scheme: &'static str,
}

impl Origins {
    /// The public URL and the allowlist of the configuration.
    #[must_use]
    pub fn new(config: &config::Http) -> Self {
        let origin = |text: &String| without_default_port(text).to_owned();
        Self {
            public: config.public_url.as_ref().map(origin),
            allowed: config.allowed_origins.iter().map(origin).collect(),
            scheme: config.scheme(),
        }
    }

    /// Whether `origin` stands in the allowlist.
    #[must_use]
    pub fn is_listed(&self, origin: &str) -> bool {
        self.allowed
            .iter()
            .any(|allowed| allowed == without_default_port(origin))
    }

    /// Checks the origin of a request that a cookie authenticates, and that writes or opens a
    /// WebSocket.
    ///
    /// Every browser sends `Origin` with these, or at least `Sec-Fetch-Site`. What has neither
    /// is not a browser, and sends no cookie that its owner did not put there.
    pub fn check(&self, request: RequestOrigin<'_>) -> Result<(), OriginNotAllowed> {
        let ours = match (request.origin, request.fetch_site) {
            (Some(origin), _) => self.is_own(origin, request.host) || self.is_listed(origin),
            (None, Some(site)) => matches!(site, "same-origin" | "none"),
            (None, None) => true,
        };
        if ours { Ok(()) } else { Err(OriginNotAllowed) }
    }

    /// The same origin is the public URL's; where none is set, what the browser was asked for,
    /// which it says in `Host`, by the scheme that the node speaks. Where a proxy takes the TLS
    /// off, only the public URL can tell.
    fn is_own(&self, origin: &str, host: Option<&str>) -> bool {
        let origin = without_default_port(origin);
        match (&self.public, host) {
            (Some(public), _) => public == origin,
            (None, Some(host)) => {
                let asked = format!("{}://{}", self.scheme, host.to_ascii_lowercase());
                without_default_port(&asked) == origin
            }
            (None, None) => false,
        }
    }
}

/// Browsers leave the scheme's own port out.
fn without_default_port(origin: &str) -> &str {
    let port = if origin.starts_with("https://") {
        ":443"
    } else {
        ":80"
    };
    origin.strip_suffix(port).unwrap_or(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(origins: &Origins, origin: Option<&str>, site: Option<&str>, host: &str) -> bool {
        origins
            .check(RequestOrigin {
                origin,
                fetch_site: site,
                host: Some(host),
            })
            .is_ok()
    }

    #[test]
    fn without_a_public_url_the_host_decides() {
        let origins = Origins {
            public: None,
            allowed: vec!["https://app.example.org".into()],
            scheme: "http",
        };
        let host = "chat.example.org:8080";
        for good in [
            "http://chat.example.org:8080",
            "https://app.example.org",
            "https://app.example.org:443",
        ] {
            assert!(check(&origins, Some(good), None, host), "{good}");
        }
        for bad in [
            "http://chat.example.org",
            "https://chat.example.org:8080",
            "http://chat.example.org:80801",
            "http://chat.example.org:8080.evil.example",
            "http://evil.example",
            "http://app.example.org",
            "https://sub.app.example.org",
            "https://app.example.org/",
            "null",
            "",
            "ftp://chat.example.org:8080",
        ] {
            assert!(!check(&origins, Some(bad), None, host), "{bad}");
        }
        assert!(check(&origins, Some("http://h"), None, "H:80"));
        assert!(!check(&origins, Some("https://h"), None, "h:443"));
        let no_host = RequestOrigin {
            origin: Some("http://h"),
            ..RequestOrigin::default()
        };
        assert!(origins.check(no_host).is_err());
    }

    #[test]
    fn a_public_url_alone_is_the_own_origin() {
        let origins = Origins {
            public: Some("https://chat.example.org".into()),
            allowed: Vec::new(),
            scheme: "http",
        };
        assert!(check(
            &origins,
            Some("https://chat.example.org"),
            None,
            "10.0.0.1:8080"
        ));
        assert!(!check(
            &origins,
            Some("http://10.0.0.1:8080"),
            None,
            "10.0.0.1:8080"
        ));
        assert!(!check(
            &origins,
            Some("http://chat.example.org"),
            None,
            "chat.example.org"
        ));
    }

    #[test]
    fn with_tls_the_own_origin_is_https() {
        let origins = Origins {
            public: None,
            allowed: Vec::new(),
            scheme: "https",
        };
        assert!(check(&origins, Some("https://h:8443"), None, "H:8443"));
        assert!(check(&origins, Some("https://h"), None, "h:443"));
        assert!(!check(&origins, Some("http://h:8443"), None, "h:8443"));
        assert!(!check(&origins, Some("http://h"), None, "h:80"));
    }

    #[test]
    fn who_says_nothing_is_no_browser() {
        let origins = Origins {
            public: None,
            allowed: Vec::new(),
            scheme: "http",
        };
        assert!(check(&origins, None, None, "h"));
        assert!(check(&origins, None, Some("same-origin"), "h"));
        assert!(!check(&origins, None, Some("cross-site"), "h"));
        assert!(!check(&origins, None, Some("same-site"), "h"));
        assert!(!check(
            &origins,
            Some("http://evil"),
            Some("same-origin"),
            "h"
        ));
    }
}

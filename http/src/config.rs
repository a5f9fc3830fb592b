//! What a door is told: where it listens, who is asked for a token, whom its names are for.

use std::fmt;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vestibule_actors::ListenAddress;
#[cfg(feature = "tls")]
use vestibule_actors::TlsIdentity;
use vestibule_actors::limits::UNIX_SOCKET_MODE_DEFAULT;

use crate::limits::{
    LISTENERS_MAX, SAMPLE_PERIOD_DEFAULT, SAMPLE_PERIOD_MAX, SAMPLE_PERIOD_MIN, TOKEN_SIZE_MAX,
};

/// What a door is told.
///
/// ```
/// use vestibule_http::{HttpConfig, Token};
///
/// let config = HttpConfig::new(["127.0.0.1:0".parse()?])
///     .host("status.example.com")
///     .token(Token::new("some-secret-of-its-own")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Where it listens. With [`bound`](Self::bound) there are 1 to [`LISTENERS_MAX`].
    pub listen: Vec<ListenAddress>,
    /// Listeners that are bound already.
    pub bound: Vec<HttpListener>,
    /// The mode of unix sockets.
    pub unix_mode: u32,
    /// By whose certificate TLS is spoken at addresses of the network, if it is: at all of them,
    /// and nothing else. Unix sockets are not concerned.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsIdentity>,
    /// How often it looks at the runtime for the charts of the page, which show the last
    /// [`SAMPLES_MAX`](crate::limits::SAMPLES_MAX) looks: [`SAMPLE_PERIOD_MIN`] to
    /// [`SAMPLE_PERIOD_MAX`].
    pub sample_period: Duration,
    /// What may be replaced while it is open.
    pub settings: HttpSettings,
}

/// A listener that is bound already, for [`HttpConfig::listener`]: what a service manager hands
/// over, or with options of one's own. It gets a small send buffer, as all of a door's have.
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpListener {
    /// For TCP.
    Tcp(TcpListener),
    /// On a unix socket, whose file nobody removes here.
    Unix(UnixListener),
}

/// The part of a [`HttpConfig`] that may be replaced while a door is open, by
/// [`HttpControl::reconfigure`](crate::HttpControl::reconfigure).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpSettings {
    /// Names by which others reach it, beside addresses and `localhost`. A request for another
    /// host is answered with 421: a page of somebody else's, whose name leads here, sees nothing.
    pub hosts: Vec<String>,
    /// What those have to show who come neither from this machine nor by a unix socket, for all
    /// but metrics and probes. Without it they see nothing else.
    pub token: Option<Token>,
    /// Whether there are metrics by the names that Tarantool has for them, beside their own.
    pub tarantool_metrics: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            token: None,
            tarantool_metrics: true,
        }
    }
}

/// Settings that are replaced while the door answers.
#[derive(Debug)]
pub(crate) struct LiveSettings(Mutex<Arc<HttpSettings>>);

impl LiveSettings {
    pub(crate) fn new(settings: HttpSettings) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Arc::new(settings))))
    }

    fn lock(&self) -> MutexGuard<'_, Arc<HttpSettings>> {
        // They are replaced whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> Arc<HttpSettings> {
        self.lock().clone()
    }

    pub(crate) fn set(&self, settings: HttpSettings) {
        *self.lock() = Arc::new(settings);
    }
}

impl HttpConfig {
    /// A door that listens there, for everybody on this machine, and for scrapers and probes.
    #[must_use]
    pub fn new(listen: impl IntoIterator<Item = ListenAddress>) -> Self {
        Self {
            listen: listen.into_iter().collect(),
            bound: Vec::new(),
            unix_mode: UNIX_SOCKET_MODE_DEFAULT,
            #[cfg(feature = "tls")]
            tls: None,
            sample_period: SAMPLE_PERIOD_DEFAULT,
            settings: HttpSettings::default(),
        }
    }

    /// Adds a listener that is bound already.
    ///
    /// ```
    /// use std::net::TcpListener;
    ///
    /// use vestibule_actors::testing::Harness;
    /// use vestibule_http::{HttpConfig, HttpListener, Sources, serve};
    ///
    /// let inherited = TcpListener::bind("127.0.0.1:0")?;
    /// let address = inherited.local_addr()?;
    /// let harness = Harness::start();
    /// let config = HttpConfig::new([]).listener(HttpListener::Tcp(inherited));
    /// let door = serve(harness.handle(), config, Sources::new("1.2.3"))?;
    /// assert_eq!(door.addresses(), [address.into()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn listener(mut self, listener: HttpListener) -> Self {
        self.bound.push(listener);
        self
    }

    /// Adds one to [`hosts`](HttpSettings::hosts).
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.settings.hosts.push(name.into());
        self
    }

    /// Sets the [`token`](HttpSettings::token).
    #[must_use]
    pub fn token(mut self, token: Token) -> Self {
        self.settings.token = Some(token);
        self
    }

    /// Sets the [`unix_mode`](Self::unix_mode).
    #[must_use]
    pub fn unix_mode(mut self, mode: u32) -> Self {
        self.unix_mode = mode;
        self
    }

    /// Has TLS spoken at addresses of the network: sets [`tls`](Self::tls). Files that are renewed
    /// are taken as soon as the identity has them, which a runtime looks after to which it is given
    /// as well (`RuntimeBuilder::tls`, if need be without an address). Who shows a certificate that
    /// the identity trusts sees what those see who have the token.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, identity: TlsIdentity) -> Self {
        self.tls = Some(identity);
        self
    }

    /// Sets the [`sample_period`](Self::sample_period).
    #[must_use]
    pub fn sample_period(mut self, period: Duration) -> Self {
        self.sample_period = period;
        self
    }

    /// Sets whether there are [`tarantool_metrics`](HttpSettings::tarantool_metrics).
    #[must_use]
    pub fn tarantool_metrics(mut self, are_there: bool) -> Self {
        self.settings.tarantool_metrics = are_there;
        self
    }

    /// Why no door can be made of it.
    pub(crate) fn fault(&self) -> Option<String> {
        let count = self.listen.len() + self.bound.len();
        if count == 0 || count > LISTENERS_MAX {
            return Some(format!(
                "it listens on 1 to {LISTENERS_MAX} addresses and sockets, not {count}"
            ));
        }
        let period = self.sample_period;
        if !(SAMPLE_PERIOD_MIN..=SAMPLE_PERIOD_MAX).contains(&period) {
            return Some(format!(
                "it looks at the runtime every {SAMPLE_PERIOD_MIN:?} to {SAMPLE_PERIOD_MAX:?}, not \
                 every {period:?}"
            ));
        }
        None
    }
}

/// A secret that those show who come from elsewhere. It is never shown, nor told by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<[u8]>);

/// A text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has 16 to {TOKEN_SIZE_MAX} visible characters of ASCII")]
pub struct TokenError;

impl Token {
    /// Bytes of a token, at least: what is shorter can be guessed.
    const SIZE_MIN: usize = 16;

    /// A token of 16 visible characters or more. White space around it is left out: files end with
    /// a line feed.
    ///
    /// # Errors
    ///
    /// It is too short or too long to be one, or has characters that a header cannot have.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let fits = (Self::SIZE_MIN..=TOKEN_SIZE_MAX).contains(&text.len());
        match fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self(text.as_bytes().into())),
            false => Err(TokenError),
        }
    }

    /// Whether this is the token. The time that it takes tells the length alone.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        let same = self
            .0
            .iter()
            .zip(shown)
            .fold(0, |sum, (own, other)| sum | (own ^ other));
        same == 0 && self.0.len() == shown.len()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_as_a_file_has_it_and_tells_nothing() {
        let token = Token::new("0123456789abcdef\n").expect("it is long enough");
        assert!(token.is(b"0123456789abcdef"));
        for other in [
            &b""[..],
            b"0123456789abcde",
            b"0123456789abcdefg",
            b"0123456789abcdeF",
        ] {
            assert!(!token.is(other));
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
        for wrong in ["", "short", "with a space in it", "0123456789abcde\u{e9}f"] {
            assert_eq!(Token::new(wrong), Err(TokenError), "{wrong}");
        }
    }

    #[test]
    fn a_door_that_listens_nowhere_or_on_too_many_or_rests_never_or_too_long_is_none() {
        let address = || ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        assert!(HttpConfig::new([]).fault().is_some());
        assert_eq!(HttpConfig::new([address()]).fault(), None);
        let many = std::iter::repeat_with(address).take(LISTENERS_MAX + 1);
        assert!(HttpConfig::new(many).fault().is_some());
        let looks_every = |period| HttpConfig::new([address()]).sample_period(period).fault();
        assert!(looks_every(Duration::ZERO).is_some());
        assert_eq!(looks_every(SAMPLE_PERIOD_MAX), None);
        assert!(looks_every(SAMPLE_PERIOD_MAX + SAMPLE_PERIOD_MIN).is_some());
    }
}

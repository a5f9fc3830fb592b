//! The start of a connection to an upstream: its greeting, a login if it is not for guest, and what
//! those can do for whom it is used.
//!
//! ```text
//!   greeting ─┬ guest, and nothing to tell ───────▶ ready
//!             └ AUTH, by the user's key; ID, both ─┬ ok ───▶ ready
//!               at once                            └ error ▶ refused
//! ```

use std::sync::Arc;

use vestibule_wire::auth::PasswordKey;
use vestibule_wire::client::{
    GREETING_SIZE, Greeting, ReplyFrame, RequestHeader, login_tuple_by_key,
};
use vestibule_wire::features::{Features, PROTOCOL_VERSION};
use vestibule_wire::request::{Auth, Body, Id};
use vestibule_wire::{ErrorCode, greeting};

use super::gateway::HAS_ID_SINCE;

/// The sync of the login. Nothing else but ID is under way.
const AUTH_SYNC: u64 = u64::MAX;

/// The sync of ID.
const ID_SYNC: u64 = u64::MAX - 1;

/// As whom a connection is used, and for what clients.
#[derive(Debug, Clone)]
pub(crate) struct LinkUser {
    pub(crate) name: Arc<str>,
    /// `None` for guest, who needs none.
    pub(crate) key: Option<Arc<PasswordKey>>,
    /// What these clients can do, of what changes how values are written.
    pub(crate) format: Features,
}

/// How far the start has come.
#[derive(Debug)]
pub(crate) enum Handshake {
    /// Bytes of the greeting.
    Greeting(Vec<u8>),
    /// This number of answers is owed: to the login, to ID.
    Answers(u8),
    Ready,
}

/// Why a connection does not come about.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The peer greets as no server does.
    #[error("it does not greet as Tarantool does")]
    Greeting,
    /// The login is refused.
    #[error("it refuses the login: {0}")]
    Login(vestibule_wire::Error),
    /// What clients can do is refused.
    #[error("it refuses ID: {0}")]
    Id(vestibule_wire::Error),
    /// What its client has set before cannot be set now.
    #[error("it does not take what its client has set: {0}")]
    Setting(vestibule_wire::Error),
}

impl Refusal {
    /// What is set again is refused with this: by an upstream that takes nothing now. Another one,
    /// or this one later, may. What it refuses for what it is, it would refuse any time.
    pub(super) fn of_setting(error: vestibule_wire::Error) -> Option<Self> {
        const CODES: [ErrorCode; 2] = [ErrorCode::LOADING, ErrorCode::SHUTDOWN];
        CODES
            .contains(&error.code())
            .then_some(Self::Setting(error))
    }

    /// Whether it is because of who logs in: another one, or another password, may be let in. One
    /// that is loading or has no room refuses everybody.
    pub(crate) fn is_of_user(&self) -> bool {
        const CODES: [ErrorCode; 3] = [
            ErrorCode::ACCESS_DENIED,
            ErrorCode::NO_SUCH_USER,
            ErrorCode::CREDS_MISMATCH,
        ];
        matches!(self, Self::Login(error) if CODES.contains(&error.code()))
    }
}

impl Default for Handshake {
    fn default() -> Self {
        Self::Greeting(Vec::with_capacity(GREETING_SIZE))
    }
}

impl Handshake {
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }

    /// Takes what belongs to the greeting; returns how many bytes, and the greeting if it is whole.
    ///
    /// # Errors
    ///
    /// It is none.
    pub(crate) fn take_greeting(
        &mut self,
        bytes: &[u8],
    ) -> Result<(usize, Option<Greeting>), Refusal> {
        let Self::Greeting(own) = self else {
            return Ok((0, None));
        };
        let taken = bytes.len().min(GREETING_SIZE - own.len());
        own.extend_from_slice(&bytes[..taken]);
        let Ok(whole) = <[u8; GREETING_SIZE]>::try_from(&**own) else {
            return Ok((taken, None));
        };
        let greeting = greeting::decode(&whole).ok_or(Refusal::Greeting)?;
        Ok((taken, Some(greeting)))
    }

    /// Answers the greeting.
    pub(crate) fn log_in(&mut self, greeting: &Greeting, user: &LinkUser, out: &mut Vec<u8>) {
        let mut answers = 0;
        if let Some(key) = &user.key {
            let tuple = login_tuple_by_key(key, &greeting.salt);
            let auth = Body::Auth(Auth {
                user: &user.name,
                tuple: &tuple,
            });
            RequestHeader::with_sync(AUTH_SYNC).write(out, &auth);
            answers += 1;
        }
        // Who has told nothing can do nothing of it.
        if user.format != Features::NONE && greeting.version >= HAS_ID_SINCE {
            let id = Body::Id(Id {
                version: PROTOCOL_VERSION,
                features: user.format,
                chunks: None,
            });
            RequestHeader::with_sync(ID_SYNC).write(out, &id);
            answers += 1;
        }
        *self = match answers {
            0 => Self::Ready,
            answers => Self::Answers(answers),
        };
    }

    /// A reply has come; true if it was to what the start has asked.
    ///
    /// # Errors
    ///
    /// That is refused, or the connection is before it.
    pub(crate) fn take_reply(&mut self, frame: &ReplyFrame<'_>) -> Result<bool, Refusal> {
        if self.is_ready() {
            return Ok(false);
        }
        // An upstream that has no place for the connection says so with another sync.
        if let Some(error) = frame.error() {
            return Err(match frame.sync {
                ID_SYNC => Refusal::Id(error),
                _ => Refusal::Login(error),
            });
        }
        *self = match self {
            Self::Answers(left) if *left > 1 => Self::Answers(*left - 1),
            _ => Self::Ready,
        };
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::auth::PasswordHash;
    use vestibule_wire::features::Feature;
    use vestibule_wire::frame::read_prefix;
    use vestibule_wire::header::read_header;
    use vestibule_wire::keys::RequestType;
    use vestibule_wire::msgpack::Reader;
    use vestibule_wire::request::decode;
    use vestibule_wire::{Error, Uuid};

    use super::*;

    const SALT: [u8; 32] = [7; 32];

    fn greeted(user: &LinkUser) -> (Handshake, Vec<u8>) {
        let bytes = greeting::encode(&Uuid::NIL, &SALT);
        let (mut own, mut out) = (Handshake::default(), Vec::new());
        assert_eq!(own.take_greeting(&bytes[..100]), Ok((100, None)));
        let more = [&bytes[100..], &[1, 2]].concat();
        let (taken, greeting) = own.take_greeting(&more).unwrap();
        assert_eq!(taken, 28, "what comes behind it is left");
        own.log_in(&greeting.expect("it is whole"), user, &mut out);
        (own, out)
    }

    fn reply(code: u32) -> ReplyFrame<'static> {
        ReplyFrame {
            code,
            sync: AUTH_SYNC,
            schema_version: None,
            size: 0,
            body: &[0x81, 0x31, 0xa2, b'n', b'o'],
        }
    }

    #[test]
    fn a_guest_is_ready_when_it_is_greeted() {
        let (name, key) = ("guest".into(), None);
        let (own, out) = greeted(&LinkUser {
            name,
            key,
            format: Features::NONE,
        });
        assert!(own.is_ready() && out.is_empty());
    }

    #[test]
    fn a_user_proves_the_password_for_the_salt_of_the_upstream() {
        let key = Some(Arc::new(PasswordKey::of("secret")));
        let name = "alice".into();
        let (mut own, out) = greeted(&LinkUser {
            name,
            key,
            format: Features::NONE,
        });
        assert!(!own.is_ready());
        let prefix = read_prefix(&out, 1000).unwrap().unwrap();
        let (header, body) = read_header(&out[prefix.size..]).unwrap();
        assert_eq!(header.request_type, RequestType::Auth as u64);
        let Ok(Body::Auth(auth)) = decode(RequestType::Auth, body) else {
            panic!("it is no AUTH");
        };
        let mut tuple = Reader::new(auth.tuple);
        assert_eq!((auth.user, tuple.read_array_len()), ("alice", Ok(2)));
        assert_eq!(tuple.read_str(), Ok("chap-sha1"));
        let scramble = tuple.read_str_bytes().unwrap().try_into().unwrap();
        assert!(PasswordHash::of("secret").accepts(&SALT, scramble));
        assert_eq!(own.take_reply(&reply(0)), Ok(true));
        assert!(own.is_ready());
        assert_eq!(
            own.take_reply(&reply(0)),
            Ok(false),
            "that is another one's"
        );
    }

    #[test]
    fn what_clients_can_do_is_told_to_those_who_know_of_it() {
        let format = Features::NONE.with(Feature::ErrorExtension);
        let asked = |version, key: Option<&str>| {
            let user = LinkUser {
                name: "alice".into(),
                key: key.map(|key| Arc::new(PasswordKey::of(key))),
                format,
            };
            let bytes = greeting::encode_version(version, &Uuid::NIL, &SALT);
            let (mut own, mut out) = (Handshake::default(), Vec::new());
            let (_, greeting) = own.take_greeting(&bytes).unwrap();
            own.log_in(&greeting.expect("it is whole"), &user, &mut out);
            let (mut at, mut types) = (0, Vec::new());
            while at < out.len() {
                let prefix = read_prefix(&out[at..], 1000).unwrap().unwrap();
                let content = &out[at + prefix.size..at + prefix.frame_size()];
                let (header, body) = read_header(content).unwrap();
                if let Ok(Body::Id(id)) = decode(RequestType::Id, body)
                    && header.request_type == RequestType::Id as u64
                {
                    assert_eq!(id.features, format);
                }
                types.push(header.request_type);
                at += prefix.frame_size();
            }
            (own, types)
        };
        let (auth, id) = (RequestType::Auth as u64, RequestType::Id as u64);
        assert_eq!(asked((2, 6, 0), Some("secret")).1, [auth]);
        assert!(asked((2, 6, 0), None).0.is_ready());
        let (mut own, types) = asked((2, 10, 0), Some("secret"));
        assert_eq!(types, [auth, id]);
        for is_ready in [false, true] {
            assert_eq!(own.take_reply(&reply(0)), Ok(true));
            assert_eq!(own.is_ready(), is_ready);
        }
        let (mut own, types) = asked((2, 10, 0), None);
        assert_eq!((own.is_ready(), types), (false, vec![id]));
        let refused = ReplyFrame {
            sync: ID_SYNC,
            ..reply(0x8000 | 48)
        };
        assert!(matches!(own.take_reply(&refused), Err(Refusal::Id(_))));
    }

    #[test]
    fn a_refusal_is_the_upstreams_own() {
        let key = Some(Arc::new(PasswordKey::of("secret")));
        let name = "alice".into();
        let (mut own, _) = greeted(&LinkUser {
            name,
            key,
            format: Features::NONE,
        });
        let error = Error::new(ErrorCode::CREDS_MISMATCH, "no");
        let refusal = own.take_reply(&reply(0x8000 | 47)).unwrap_err();
        assert!(refusal.is_of_user());
        assert_eq!(refusal, Refusal::Login(error));
        let loading = own.take_reply(&reply(0x8000 | 116)).unwrap_err();
        assert!(!loading.is_of_user(), "nobody is let in");
        let mut own = Handshake::default();
        let http = own.take_greeting(&[b'H'; GREETING_SIZE]);
        assert_eq!(http, Err(Refusal::Greeting));
    }
}

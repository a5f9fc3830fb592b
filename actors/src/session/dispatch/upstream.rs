//! What is another matter in a gateway, where requests go on to an upstream: what is not for us to
//! judge is forwarded, and the upstream says what is wrong with it.

use std::ops::RangeInclusive;

use vestibule_wire::features::{Feature, Features};
use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::HEADER_SIZE;
use vestibule_wire::request::{Begin, Body, IdOrName, Select, decode, is_well_formed};
use vestibule_wire::{Error, ErrorCode};

use super::{DecodedRequest, Dispatcher, check_stream};
use crate::admin::ControlProcedure;
use crate::admission::{Class, Verdict, admit};
use crate::authenticator::LoginDecision;
use crate::cells::claims::RequestId;
use crate::cells::traffic::RequestPath;
use crate::engine::catalog::User;
use crate::engine::transaction_call;
use crate::messages::tx::{Cancel, TransactionEffect};
use crate::resources::transactions::OpenTransaction;
use crate::segments::Held;
use crate::serving::events::is_own as is_own_event;
use crate::serving::{Serving, State};
use crate::upstream::{CatalogQuestion, GatewayCell, HAS_ID_SINCE, ReplicaRead, SessionRequest};

/// Since which version an upstream has streams, with transactions in them.
const STREAMS_SINCE: (u32, u32, u32) = HAS_ID_SINCE;

/// Since which version an upstream continues SELECTs from a position.
const PAGES_SINCE: (u32, u32, u32) = (2, 11, 0);

/// Since which version it knows spaces and indexes by their names.
const KNOWS_NAMES_SINCE: (u32, u32, u32) = (3, 0, 0);

/// Since which version it tells the value of an event once.
const WATCHES_ONCE_SINCE: (u32, u32, u32) = (3, 0, 0);

/// Since which version it writes tuples with the names of their fields.
const HAS_TUPLES_SINCE: (u32, u32, u32) = (3, 0, 0);

/// What an upstream could do, and is not asked for.
pub(super) fn check(request: RequestType, stream: u64, gateway: &GatewayCell) -> Result<(), Error> {
    use RequestType::{Id, Unwatch, Watch, WatchOnce};
    match request {
        // As it says itself.
        Id | Watch | Unwatch if !gateway.has_id() => {
            Err(Error::unknown_request_type(request as u64))
        }
        WatchOnce if gateway.ability() < WATCHES_ONCE_SINCE => {
            Err(Error::unknown_request_type(request as u64))
        }
        _ if stream != 0 && gateway.has_id() => check_stream(request, stream),
        _ => Ok(()),
    }
}

/// What a request means, and its body as far as that matters here. What a data request says is for
/// the upstream alone, unless a replica may answer it: such a body is to be one value, and nobody
/// looks for what stands in it.
#[inline]
pub(super) fn read(
    request: RequestType,
    stream: u64,
    raw: &[u8],
    asks_replicas: bool,
) -> Result<(RequestType, Body<'_>), Error> {
    use RequestType::{Delete, Insert, Replace, Select, Update, Upsert};
    let is_for_upstream = match request {
        Select => !asks_replicas,
        Insert | Replace | Update | Delete | Upsert => true,
        _ => false,
    };
    if is_for_upstream && is_well_formed(raw) {
        return Ok((request, OPAQUE));
    }
    meaning(request, stream, decode(request, raw), raw)
}

/// What a request means: for whom it is forwarded to, what it says. A body that cannot be decoded
/// is for the upstream all the same, if it is a value at all. `stream` is 0 where there are none.
fn meaning<'a>(
    request: RequestType,
    stream: u64,
    decoded: Result<Body<'a>, Error>,
    raw: &[u8],
) -> Result<(RequestType, Body<'a>), Error> {
    match decoded {
        _ if stream == 0 && is_of_streams(request) => Ok((request, OPAQUE)),
        Ok(Body::Call(call)) if stream != 0 => {
            // One whose arguments are wrong begins nothing: the upstream says so.
            let meaning = transaction_call(&call).ok().flatten();
            Ok(meaning.unwrap_or((request, Body::Call(call))))
        }
        Ok(body) => Ok((request, body)),
        Err(_) if request == RequestType::Begin => Ok((request, Body::Begin(NO_OPTIONS))),
        Err(_) if class_of(request, stream) != Class::Local && is_well_formed(raw) => {
            Ok((request, OPAQUE))
        }
        Err(error) => Err(error),
    }
}

/// Of a BEGIN whose options cannot be read here.
const NO_OPTIONS: Begin = Begin {
    timeout: None,
    isolation: 0,
};

/// As what a request passes whose type is not known here: the upstream may know it. Those that need
/// a connection of their own do not pass.
pub(super) fn passes_as(code: u64) -> Option<RequestType> {
    let is_of_replication = OF_REPLICATION.contains(&code);
    // Nobody knows what it does, or how long that takes: that is so of SQL.
    (u16::try_from(code).is_ok() && !is_of_replication).then_some(RequestType::Execute)
}

/// JOIN, SUBSCRIBE, VOTE of old and of now, FETCH_SNAPSHOT, REGISTER.
const OF_REPLICATION: RangeInclusive<u64> = 65..=70;

/// A body that nobody looks into here.
const OPAQUE: Body<'static> = Body::Execute;

fn is_of_streams(request: RequestType) -> bool {
    use RequestType::{Begin, Commit, Rollback};
    matches!(request, Begin | Commit | Rollback)
}

impl Dispatcher<'_> {
    /// Nothing can be forwarded: what now happens is the policy's choice, unless the request is a
    /// question for the catalog that can be answered all the same.
    pub(super) fn busy_unless_kept(&mut self, request: &DecodedRequest<'_>, class: Class) {
        if class != Class::Read || !self.read_kept_catalog(request) {
            self.busy(request);
        }
    }

    /// Whether a request sets something in its session upstream, where that matters for reads of
    /// replicas.
    #[inline]
    pub(super) fn is_setting(&self, request: &DecodedRequest<'_>) -> bool {
        let gateway = self.shared.gateway.as_deref();
        gateway.is_some_and(|own| own.config.reads_replicas())
            && SessionRequest::of(request.code, request.raw) == SessionRequest::Set
    }

    /// Whether a replica may answer a request: a SELECT outside of streams, of a space whose rows
    /// replicas have.
    #[inline]
    pub(super) fn replica_read(&self, request: &DecodedRequest<'_>, class: Class) -> ReplicaRead {
        let gateway = self.shared.gateway.as_deref();
        match (gateway, &request.body) {
            (Some(gateway), Body::Select(select))
                if gateway.config.reads_replicas() && class == Class::Read =>
            {
                self.replica_select(request.stream, select)
            }
            _ => ReplicaRead::No,
        }
    }

    fn replica_select(&self, stream: u64, select: &Select<'_>) -> ReplicaRead {
        let has = |space| {
            let reads = self.worker.reads.as_ref();
            reads.is_some_and(|own| own.has_space(space))
        };
        match select.space {
            IdOrName::Id(space) if stream == 0 && has(space) => {
                // What its client has said since then counts for what came behind that.
                let counts = self.session.counts();
                counts.next_replica_read(self.held_read_from.unwrap_or(counts.read_from))
            }
            _ => ReplicaRead::No,
        }
    }

    /// Answers a question for the catalog by what an upstream has answered before, if that is kept
    /// and there is memory for it. False if the request is not answered.
    #[cold]
    fn read_kept_catalog(&mut self, request: &DecodedRequest<'_>) -> bool {
        let Some(gateway) = self.shared.gateway.clone() else {
            return false;
        };
        let (user, format) = (&self.session.caller().user.name, self.session.format());
        let question = CatalogQuestion::of(user, format, request.raw);
        let version = self.shared.schema_version();
        let kept = question.and_then(|own| gateway.find_catalog(&own, version));
        let Some(body) = kept.filter(|_| request.stream == 0) else {
            return false;
        };
        if !self.has_reply_memory(Held::default()) {
            // It is taken again when there is.
            return true;
        }
        self.path = Some(RequestPath::View);
        let header = self.header(request.sync);
        let mut frame = Vec::with_capacity(HEADER_SIZE + body.len());
        header.pass_on(&mut frame, 0, &body);
        let output = self.session.output_and_caller().0;
        output.append_copy(&frame, Class::Read.group(request.stream));
        true
    }
}

/// Whether it is answered here, although the upstream may have one of that name.
pub(super) fn is_own(procedure: &ControlProcedure) -> bool {
    procedure.name.starts_with("vestibule.")
}

/// The class of a request that calls no control procedure.
pub(super) fn class_for(request: &DecodedRequest<'_>) -> Class {
    match request.body {
        // It only reads.
        Body::WatchOnce(key) if !is_own_event(key) => Class::Read,
        _ => class_of(request.request_type, request.stream),
    }
}

/// The same by its type alone.
fn class_of(request: RequestType, stream: u64) -> Class {
    use RequestType::{Eval, Execute, Prepare};
    match request {
        Eval | Execute | Prepare => Class::Call,
        // Outside of streams there are none.
        _ if stream == 0 && is_of_streams(request) => Class::Write,
        _ => Class::of(request),
    }
}

/// Decides on a request. What a call changes nobody knows here, so it is admitted as a write, and
/// so is a COMMIT of what a call may have begun. There is no view.
pub(super) fn admit_to(
    serving: Serving,
    class: Class,
    request: RequestType,
    in_transaction: bool,
) -> Verdict {
    let judged = match class {
        Class::Call => Class::Write,
        Class::Finish if request == RequestType::Commit && !in_transaction => Class::Write,
        class => class,
    };
    match admit(serving, judged, in_transaction) {
        Verdict::ViewOrForward => Verdict::Forward,
        Verdict::ViewOrBusy => Verdict::Busy,
        verdict => verdict,
    }
}

impl Dispatcher<'_> {
    /// What the answer to ID announces.
    pub(super) fn features(&self) -> Features {
        let Some(gateway) = &self.shared.gateway else {
            return Features::SUPPORTED;
        };
        let (mut features, version) = (Features::NONE, gateway.ability());
        for (feature, since) in [
            (Feature::Streams, STREAMS_SINCE),
            (Feature::Transactions, STREAMS_SINCE),
            (Feature::ErrorExtension, HAS_ID_SINCE),
            (Feature::Watchers, HAS_ID_SINCE),
            (Feature::WatchOnce, WATCHES_ONCE_SINCE),
            (Feature::Pagination, PAGES_SINCE),
            (Feature::SpaceAndIndexNames, KNOWS_NAMES_SINCE),
            (Feature::DmlTuples, HAS_TUPLES_SINCE),
            (Feature::CallReturnsTuples, HAS_TUPLES_SINCE),
            (Feature::CallTakesTuples, HAS_TUPLES_SINCE),
        ] {
            if version >= since {
                features = features.with(feature);
            }
        }
        features
    }

    /// Aborts transactions whose time is over: an upstream may give them more.
    pub(super) fn expire_transactions(&mut self) {
        if self.shared.gateway.is_none() {
            return;
        }
        let now = self.now;
        let overdue = self
            .session
            .abort_transactions(|own| own.deadline.is_some_and(|at| at <= now));
        self.roll_back(overdue, &Error::transaction_timeout());
    }

    /// The deadline of a demotion: what may change data comes to nothing. Tx sees by itself to what
    /// it has begun.
    pub(crate) fn abort_writers(&mut self) {
        let aborted = self.session.abort_transactions(|own| own.is_writer);
        if self.shared.gateway.is_some() {
            let status = self.shared.serving.status(self.now);
            self.roll_back(aborted, &status.error(ErrorCode::READONLY));
        }
    }

    /// Has the upstream roll transactions back, which are aborted here: statements in them get this
    /// error until their client ends them.
    fn roll_back(&mut self, aborted: Vec<OpenTransaction>, error: &Error) {
        let cancels = aborted.into_iter().map(|own| Cancel {
            id: RequestId::NONE,
            session: self.cell.id,
            stream: own.stream,
            begin: own.begin,
            transaction: TransactionEffect::Aborted(error.clone()),
        });
        self.worker.outgoing.cancel(cancels);
    }

    /// Answers a login that was checked by what the upstream says of its users.
    pub(super) fn end_upstream_login(
        &mut self,
        sync: u64,
        name: &str,
        decision: &LoginDecision,
        gateway: &GatewayCell,
    ) {
        let is_known = match decision {
            LoginDecision::AcceptedAs(name) => {
                return self.end_login(sync, name, Ok(User::named(name)));
            }
            LoginDecision::Refused => true,
            LoginDecision::NotMine => false,
            LoginDecision::Unavailable => return self.refuse_unchecked(sync, name),
        };
        let error = gateway.wrong_login(name, is_known);
        self.refuse_wrong_login(sync, name, error);
    }

    /// Nobody can say now whether a login is right.
    fn refuse_unchecked(&mut self, sync: u64, name: &str) {
        let state = self.shared.serving.load().state;
        self.tell_undecided(name, "the upstream cannot be asked");
        if state == State::Assist {
            return self.fail_login(sync, name, &super::authenticate::undecided());
        }
        self.turn_login_away(sync, name, ErrorCode::LOADING);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::serving::{DrainTarget, Role};
    use crate::upstream::{Upstream, Upstreams};

    fn gateway(version: (u32, u32, u32)) -> GatewayCell {
        let upstreams = vec![Upstream::new("a", "h", 1)];
        let config = Upstreams::default().upstreams(upstreams);
        GatewayCell::new(config.server_version(Some(version)), 1, 1, Instant::now())
    }

    #[test]
    fn what_an_upstream_does_not_know_is_told_in_its_words() {
        let told = |request, stream, version| {
            let checked = check(request, stream, &gateway(version));
            checked.map_err(|error| (error.code().0, error.message().to_owned()))
        };
        let unknown = |code: u32| Err((48, format!("Unknown request type {code}")));
        assert_eq!(told(RequestType::Id, 0, (2, 6, 0)), unknown(73));
        assert_eq!(told(RequestType::Watch, 0, (2, 6, 0)), unknown(74));
        assert_eq!(told(RequestType::Id, 0, (2, 10, 0)), Ok(()));
        assert_eq!(
            told(RequestType::Replace, 7, (2, 6, 0)),
            Ok(()),
            "it is ignored"
        );
        assert_eq!(told(RequestType::Replace, 7, (2, 11, 0)), Ok(()));
        let refused = told(RequestType::Auth, 7, (2, 11, 0));
        assert!(refused.is_err(), "it is in no stream");
    }

    #[test]
    fn what_is_a_value_goes_on_and_what_is_none_does_not() {
        let of = |request, raw: &'static [u8]| {
            read(request, 0, raw, true).map_err(|error| error.code().0)
        };
        let no_space = &[0x81, 0x20, 0x90];
        assert_eq!(
            of(RequestType::Select, no_space),
            Ok((RequestType::Select, OPAQUE))
        );
        assert_eq!(of(RequestType::Select, &[0x81, 0x20]), Err(20));
        assert_eq!(
            of(RequestType::Begin, &[0x80]),
            Ok((RequestType::Begin, OPAQUE))
        );
        assert_eq!(
            of(RequestType::Auth, &[0x80]),
            Err(69),
            "that is answered here"
        );
    }

    #[test]
    fn a_data_request_that_no_replica_answers_is_looked_at_for_being_a_value_alone() {
        use RequestType::{Delete, Insert, Replace, Select, Update, Upsert};
        let whole: &[u8] = &[0x83, 0x10, 0xcd, 2, 0, 0x20, 0x91, 7, 0x21, 0x91, 7];
        let bodies = [&[][..], whole, &whole[..5], &[0x90], &[0xc1], &[0x80, 0x80]];
        for request in [Select, Insert, Replace, Update, Delete, Upsert] {
            for raw in bodies {
                let decoded = meaning(request, 0, decode(request, raw), raw);
                let opaque = decoded.map(|(request, _)| (request, OPAQUE));
                assert_eq!(read(request, 0, raw, false), opaque, "{request:?} {raw:x?}");
            }
        }
        let select: &[u8] = &[0x83, 0x10, 0xcd, 2, 0, 0x12, 1, 0x20, 0x91, 7];
        let seen = read(Select, 0, select, true).map(|(_, body)| body);
        assert!(
            matches!(seen, Ok(Body::Select(_))),
            "a replica may answer it: {seen:?}"
        );
    }

    #[test]
    fn what_is_not_known_here_passes_unless_it_needs_a_connection_of_its_own() {
        for code in [0, 17, 64 + 7, 255, 65_535] {
            assert_eq!(passes_as(code), Some(RequestType::Execute), "{code}");
        }
        for code in [65, 66, 67, 68, 69, 70, 65_536, u64::MAX] {
            assert_eq!(passes_as(code), None, "{code}");
        }
    }

    #[test]
    fn in_a_stream_calls_mean_what_they_are_called_after() {
        let call = |name: &str, args: &[u8]| {
            let mut raw = vec![0x82, 0x22, 0xa0 | name.len() as u8];
            raw.extend_from_slice(name.as_bytes());
            raw.push(0x21);
            raw.extend_from_slice(args);
            let decoded = decode(RequestType::Call, &raw);
            let [outside, inside] = [0, 7].map(|stream| {
                let meaning = meaning(RequestType::Call, stream, decoded.clone(), &raw);
                meaning.map(|(request, _)| request)
            });
            assert_eq!(outside, Ok(RequestType::Call));
            inside
        };
        assert_eq!(call("box.begin", &[0x90]), Ok(RequestType::Begin));
        assert_eq!(call("box.commit", &[0x90]), Ok(RequestType::Commit));
        assert_eq!(call("f", &[0x90]), Ok(RequestType::Call));
        assert_eq!(call("box.begin", &[0x91, 7]), Ok(RequestType::Call));
        let raw = &[0x81, 0x56, 0xa1, b'x'];
        let decoded = decode(RequestType::Begin, raw);
        let begin = meaning(RequestType::Begin, 7, decoded, raw);
        assert_eq!(begin, Ok((RequestType::Begin, Body::Begin(NO_OPTIONS))));
    }

    #[test]
    fn a_demoted_gateway_lets_through_nothing_that_may_change_data() {
        let serving = |state, role, drain_target| Serving {
            state,
            role,
            drain_target,
            epoch: 1,
        };
        let replica = serving(State::Assist, Role::Replica, None);
        let demoting = serving(State::Draining, Role::Primary, Some(DrainTarget::Replica));
        let read_only = Verdict::Reject(ErrorCode::READONLY);
        let request = RequestType::Replace;
        for serving in [replica, demoting] {
            for class in [Class::Call, Class::Write] {
                assert_eq!(admit_to(serving, class, request, false), read_only);
            }
            let read = admit_to(serving, Class::Read, RequestType::Select, false);
            assert_eq!(read, Verdict::Forward);
            let end = |request, is_open| admit_to(serving, Class::Finish, request, is_open);
            assert_eq!(end(RequestType::Rollback, false), Verdict::Forward);
            assert_eq!(end(RequestType::Commit, true), Verdict::Forward);
            assert_eq!(
                end(RequestType::Commit, false),
                read_only,
                "a call began it"
            );
        }
        let solo = serving(State::Solo, Role::Primary, None);
        let read = admit_to(solo, Class::Read, RequestType::Select, false);
        assert_eq!(read, Verdict::Busy);
    }
}

//! Bodies of requests, decoded in place: every string, key and tuple borrows from the frame.
//!
//! Checks come in the protocol's order: the body is one well-formed value, it is a map, its known
//! keys have their types, its mandatory keys are there. What the values mean (does the space
//! exist?) is the engine's business.

use super::body::{
    After, Auth, Begin, Body, Call, Delete, Eval, Id, IdOrName, Select, Store, Update, Upsert,
};
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::features::{CHUNKS, Features};
use crate::groups::Agreement;
use crate::keys::{self, RequestType};
use crate::msgpack::{DecodeError, Kind, Reader};

/// What a value of a body stands inside of: the body's map.
const BODY_LEVELS: usize = 1;

/// An empty MessagePack array: the arguments of a call that gives none.
const NO_ARGS: &[u8] = &[0x90];

/// Decodes the body of a request.
///
/// # Errors
///
/// [`ErrorCode::INVALID_MSGPACK`] for bytes that are not what the type asks for,
/// [`ErrorCode::MISSING_REQUEST_FIELD`] for a missing mandatory key, [`ErrorCode::ILLEGAL_PARAMS`]
/// for an option of BEGIN or COMMIT that makes no sense. The connection goes on.
pub fn decode(request: RequestType, body: &[u8]) -> Result<Body<'_>, Error> {
    if let Some(data) = decode_data::<true>(request, body) {
        return data;
    }
    check_well_formed(body)?;
    decode_checked(request, body)
}

/// [`decode`] for a body that [`decode`] has accepted before, by the same or another thread: it is
/// not walked over to its end again, since an array that stands last goes on to there.
///
/// # Errors
///
/// As [`decode`], as far as they are found on the way.
#[inline]
pub fn decode_checked(request: RequestType, body: &[u8]) -> Result<Body<'_>, Error> {
    Ok(match request {
        RequestType::Ping => Body::Ping,
        RequestType::Select
        | RequestType::Insert
        | RequestType::Replace
        | RequestType::Update
        | RequestType::Delete
        | RequestType::Upsert => {
            let data = decode_data::<false>(request, body);
            return data.expect("these types are those of data requests");
        }
        RequestType::Call | RequestType::Call16 => Body::Call(decode_call(request, body)?),
        RequestType::Eval => Body::Eval(decode_eval(body)?),
        RequestType::Auth => Body::Auth(decode_auth(body)?),
        RequestType::Id => Body::Id(decode_id(body)?),
        RequestType::Execute => Body::Execute,
        RequestType::Prepare => Body::Prepare,
        RequestType::Begin => Body::Begin(decode_begin(body)?),
        RequestType::Commit => {
            decode_begin(body)?;
            Body::Commit
        }
        RequestType::Rollback => Body::Rollback,
        RequestType::Watch => Body::Watch(decode_event_key(body)?),
        RequestType::Unwatch => Body::Unwatch(decode_event_key(body)?),
        RequestType::WatchOnce => Body::WatchOnce(decode_event_key(body)?),
    })
}

/// Decodes a data request, and if `CHECKED` is set checks in the same walk that the body is
/// well-formed; `None` for requests of other types.
#[inline]
fn decode_data<const CHECKED: bool>(
    request: RequestType,
    body: &[u8],
) -> Option<Result<Body<'_>, Error>> {
    let fields = || Fields::read::<CHECKED>(body);
    Some(match request {
        RequestType::Select => fields().and_then(|own| own.select().map(Body::Select)),
        RequestType::Insert => fields().and_then(|own| own.store().map(Body::Insert)),
        RequestType::Replace => fields().and_then(|own| own.store().map(Body::Replace)),
        RequestType::Update => fields().and_then(|own| own.update().map(Body::Update)),
        RequestType::Delete => fields().and_then(|own| own.delete().map(Body::Delete)),
        RequestType::Upsert => fields().and_then(|own| own.upsert().map(Body::Upsert)),
        _ => return None,
    })
}

/// Whether a body, if there is one, is exactly one well-formed value, whatever it means: for what
/// others are to decode.
#[must_use]
pub fn is_well_formed(body: &[u8]) -> bool {
    check_well_formed(body).is_ok()
}

/// A body, if there is one, is exactly one well-formed value, what is inside its extension values
/// included: nothing else gets into a key, a tuple or an argument.
fn check_well_formed(body: &[u8]) -> Result<(), Error> {
    if body.is_empty() {
        return Ok(());
    }
    let mut reader = Reader::new(body);
    match reader.skip_checked() {
        Ok(_) if reader.is_empty() => Ok(()),
        _ => Err(packet_body()),
    }
}

fn packet_body() -> Error {
    Error::invalid_msgpack("packet body")
}

fn request_body() -> Error {
    Error::invalid_msgpack("request body")
}

/// Everything that a data request may carry.
#[derive(Default)]
struct Fields<'a> {
    space_id: Option<u64>,
    index_id: Option<u64>,
    limit: Option<u64>,
    offset: u64,
    iterator: u64,
    index_base: u64,
    fetch_position: bool,
    key: Option<&'a [u8]>,
    tuple: Option<&'a [u8]>,
    ops: Option<&'a [u8]>,
    after_position: Option<&'a [u8]>,
    after_tuple: Option<&'a [u8]>,
    space_name: Option<&'a str>,
    index_name: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn read<const CHECKED: bool>(body: &'a [u8]) -> Result<Self, Error> {
        let mut fields = Self::default();
        if body.is_empty() {
            return Ok(fields);
        }
        let mut reader = Reader::new(body);
        match fields.read_map::<CHECKED>(&mut reader) {
            Ok(()) if !CHECKED || reader.is_empty() => Ok(fields),
            _ => Err(packet_body()),
        }
    }

    /// Every value is taken as a whole, so that a body that is read to its end is well-formed.
    #[inline]
    fn read_map<const CHECKED: bool>(
        &mut self,
        reader: &mut Reader<'a>,
    ) -> Result<(), DecodeError> {
        for left in (0..reader.read_map_len()?).rev() {
            let key = match reader.read_uint() {
                Ok(key) => key,
                // A key that is no unsigned integer is ignored here, unlike in the header.
                Err(DecodeError::Type) => {
                    reader.skip_inside::<CHECKED>(BODY_LEVELS)?;
                    reader.skip_inside::<CHECKED>(BODY_LEVELS)?;
                    continue;
                }
                Err(cut) => return Err(cut),
            };
            let read_array = |reader: &mut Reader<'a>| match CHECKED || left > 0 {
                true => reader.read_array_inside::<CHECKED>(BODY_LEVELS),
                false => last_array(reader),
            };
            match key {
                keys::SPACE_ID => self.space_id = Some(reader.read_uint()?),
                keys::INDEX_ID => self.index_id = Some(reader.read_uint()?),
                keys::LIMIT => self.limit = Some(reader.read_uint()?),
                keys::OFFSET => self.offset = reader.read_uint()?,
                keys::ITERATOR => self.iterator = reader.read_uint()?,
                keys::INDEX_BASE => self.index_base = reader.read_uint()?,
                keys::KEY => self.key = Some(read_array(reader)?),
                keys::TUPLE => self.tuple = Some(read_array(reader)?),
                keys::OPS => self.ops = Some(read_array(reader)?),
                keys::FETCH_POSITION => self.fetch_position = reader.read_bool()?,
                keys::AFTER_POSITION => self.after_position = Some(reader.read_str_bytes()?),
                keys::AFTER_TUPLE => self.after_tuple = Some(read_array(reader)?),
                keys::SPACE_NAME => self.space_name = Some(reader.read_str()?),
                keys::INDEX_NAME => self.index_name = Some(reader.read_str()?),
                _ => drop(reader.skip_inside::<CHECKED>(BODY_LEVELS)?),
            }
        }
        Ok(())
    }

    fn space(&self) -> Result<IdOrName<'a>, Error> {
        match (self.space_name, self.space_id) {
            (Some(name), _) => Ok(IdOrName::Name(name)),
            (None, Some(id)) => Ok(IdOrName::Id(u32::try_from(id).unwrap_or(u32::MAX))),
            (None, None) => Err(Error::missing_field("SPACE_ID")),
        }
    }

    fn index(&self) -> IdOrName<'a> {
        match (self.index_name, self.index_id) {
            (Some(name), _) => IdOrName::Name(name),
            (None, id) => IdOrName::Id(u32::try_from(id.unwrap_or(0)).unwrap_or(u32::MAX)),
        }
    }

    fn select(self) -> Result<Select<'a>, Error> {
        let after = match (self.after_position, self.after_tuple) {
            (Some(position), _) if !position.is_empty() => After::Position(position),
            (None, Some(tuple)) => After::Tuple(tuple),
            _ => After::Start,
        };
        Ok(Select {
            space: self.space()?,
            index: self.index(),
            limit: self.limit.ok_or_else(|| Error::missing_field("LIMIT"))?,
            offset: self.offset,
            iterator: self.iterator,
            key: self.key.ok_or_else(|| Error::missing_field("KEY"))?,
            fetch_position: self.fetch_position,
            after,
        })
    }

    fn store(self) -> Result<Store<'a>, Error> {
        Ok(Store {
            space: self.space()?,
            tuple: self.tuple.ok_or_else(|| Error::missing_field("TUPLE"))?,
        })
    }

    fn update(self) -> Result<Update<'a>, Error> {
        Ok(Update {
            space: self.space()?,
            index: self.index(),
            key: self.key.ok_or_else(|| Error::missing_field("KEY"))?,
            ops: self.tuple.ok_or_else(|| Error::missing_field("TUPLE"))?,
            index_base: self.index_base,
        })
    }

    fn delete(self) -> Result<Delete<'a>, Error> {
        Ok(Delete {
            space: self.space()?,
            index: self.index(),
            key: self.key.ok_or_else(|| Error::missing_field("KEY"))?,
        })
    }

    fn upsert(self) -> Result<Upsert<'a>, Error> {
        Ok(Upsert {
            space: self.space()?,
            tuple: self.tuple.ok_or_else(|| Error::missing_field("TUPLE"))?,
            ops: self.ops.ok_or_else(|| Error::missing_field("OPS"))?,
            index_base: self.index_base,
        })
    }
}

/// The array that an accepted body ends with: all that is left of it.
#[inline]
fn last_array<'a>(reader: &Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let rest = reader.rest();
    Reader::new(rest).read_array_len().map(|_| rest)
}

/// One whole array, as raw bytes.
#[inline]
fn array<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    if reader.peek()? != Kind::Array {
        return Err(DecodeError::Type);
    }
    reader.skip()
}

/// Walks over a body whose keys must all be unsigned integers; unknown ones are ignored.
fn read_body<'a>(
    body: &'a [u8],
    missing: &str,
    wrong: fn() -> Error,
    mut field: impl FnMut(u64, &mut Reader<'a>) -> Result<bool, DecodeError>,
) -> Result<(), Error> {
    if body.is_empty() {
        return Err(Error::invalid_msgpack(missing));
    }
    let mut reader = Reader::new(body);
    let mut walk = || {
        for _ in 0..reader.read_map_len()? {
            let key = reader.read_uint()?;
            if !field(key, &mut reader)? {
                reader.skip()?;
            }
        }
        Ok(())
    };
    walk().map_err(|_: DecodeError| wrong())
}

fn decode_call(request: RequestType, body: &[u8]) -> Result<Call<'_>, Error> {
    let (mut name, mut args) = (None, NO_ARGS);
    read_body(body, "missing request body", packet_body, |key, reader| {
        match key {
            keys::FUNCTION_NAME => name = Some(reader.read_str()?),
            keys::TUPLE => args = array(reader)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Call {
        name: name.ok_or_else(|| Error::missing_field("FUNCTION_NAME"))?,
        args,
        wrap_results: request == RequestType::Call16,
    })
}

fn decode_eval(body: &[u8]) -> Result<Eval<'_>, Error> {
    let (mut expression, mut args) = (None, NO_ARGS);
    read_body(body, "missing request body", packet_body, |key, reader| {
        match key {
            keys::EXPR => expression = Some(reader.read_str_bytes()?),
            keys::TUPLE => args = array(reader)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let expression = expression.ok_or_else(|| Error::missing_field("EXPR"))?;
    Ok(Eval { expression, args })
}

fn decode_auth(body: &[u8]) -> Result<Auth<'_>, Error> {
    let (mut user, mut tuple) = (None, None);
    read_body(body, "missing request body", packet_body, |key, reader| {
        match key {
            keys::USER_NAME => user = Some(reader.read_str()?),
            keys::TUPLE => tuple = Some(array(reader)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    // The lower-numbered key is reported first.
    match (tuple, user) {
        (None, _) => Err(Error::missing_field("TUPLE")),
        (Some(_), None) => Err(Error::missing_field("USER_NAME")),
        (Some(tuple), Some(user)) => Ok(Auth { user, tuple }),
    }
}

fn decode_id(body: &[u8]) -> Result<Id, Error> {
    let mut id = Id {
        version: 0,
        features: Features::NONE,
        chunks: None,
    };
    let mut agreement = Agreement::default();
    read_body(body, "request body", request_body, |key, reader| {
        match key {
            keys::VERSION => id.version = reader.read_uint()?,
            keys::FEATURES => {
                for _ in 0..reader.read_array_len()? {
                    match reader.read_uint()? {
                        CHUNKS => id.chunks = Some(agreement),
                        code => id.features = id.features.with_code(code),
                    }
                }
            }
            keys::CHUNK_WINDOW => agreement.window = saturated(reader.read_uint()?),
            keys::CHUNK_MESSAGES => agreement.messages_max = saturated(reader.read_uint()?),
            keys::AUTH_TYPE => drop(reader.read_str_bytes()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    id.chunks = id.chunks.map(|_| agreement);
    Ok(id)
}

/// A number that is compared with what is in memory.
fn saturated(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Options of BEGIN; those of COMMIT are a part of them.
fn decode_begin(body: &[u8]) -> Result<Begin, Error> {
    let (mut timeout, mut isolation, mut is_sync) = (0.0, 0, true);
    if !body.is_empty() {
        read_body(body, "request body", request_body, |key, reader| {
            match key {
                keys::TIMEOUT if reader.peek()? != Kind::Double => return Err(DecodeError::Type),
                keys::TIMEOUT => timeout = reader.read_f64()?,
                keys::TXN_ISOLATION => isolation = reader.read_uint()?,
                keys::IS_SYNC => is_sync = reader.read_bool()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
    }
    if timeout < 0.0 || timeout.is_nan() {
        return Err(Error::illegal_params(
            "timeout must be a number greater than 0",
        ));
    }
    if isolation > 4 {
        return Err(Error::illegal_params("unknown isolation level"));
    }
    if !is_sync {
        return Err(Error::illegal_params("is_sync can only be true"));
    }
    Ok(Begin {
        timeout: (timeout > 0.0).then_some(timeout),
        isolation,
    })
}

fn decode_event_key(body: &[u8]) -> Result<&str, Error> {
    let mut event = None;
    read_body(body, "missing request body", packet_body, |key, reader| {
        if key == keys::EVENT_KEY {
            event = Some(reader.read_str()?);
            return Ok(true);
        }
        Ok(false)
    })?;
    event.ok_or_else(|| Error::missing_field("EVENT_KEY"))
}

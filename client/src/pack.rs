//! Rust values as the MessagePack of requests, and back.

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_wire::client::ReplyFrame;
use vestibule_wire::msgpack::{Kind, Reader};

use crate::error::{Error, ErrorKind, Outcome};

const EMPTY_ARRAY: u8 = 0x90;
const ARRAY_OF_ONE: u8 = 0x91;

/// A value in the form of tuples: structs as arrays.
pub(crate) fn value(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Error> {
    rmp_serde::to_vec(value).map_err(unfit)
}

/// A tuple: what serializes to an array.
pub(crate) fn tuple(tuple: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Error> {
    let bytes = value(tuple)?;
    match Reader::new(&bytes).peek() {
        Ok(Kind::Array) => Ok(bytes),
        _ => Err(Error::not_sent(
            ErrorKind::Encode,
            "a tuple has to be a struct, a Rust tuple or a list",
        )),
    }
}

/// The parts of a key, or arguments: an array as it is, nothing for `()`, one part for anything
/// else.
pub(crate) fn parts(parts: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Error> {
    value(parts).map(as_parts)
}

/// A value whose structs are maps.
pub(crate) fn named(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Error> {
    rmp_serde::to_vec_named(value).map_err(unfit)
}

/// Values for the placeholders of SQL: as [`parts`], but structs are maps, by which values are
/// told by name.
pub(crate) fn named_parts(values: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Error> {
    named(values).map(as_parts)
}

fn as_parts(mut bytes: Vec<u8>) -> Vec<u8> {
    match Reader::new(&bytes).peek() {
        Ok(Kind::Array) => {}
        Ok(Kind::Nil) => bytes = vec![EMPTY_ARRAY],
        _ => bytes.insert(0, ARRAY_OF_ONE),
    }
    bytes
}

fn unfit(fault: rmp_serde::encode::Error) -> Error {
    Error::not_sent(ErrorKind::Encode, format!("cannot be sent: {fault}")).with_source(fault)
}

/// Reads a value of a reply. The request has run by then.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    rmp_serde::from_slice(bytes).map_err(|fault| {
        let text = format!("the reply is not of the type that was asked for: {fault}");
        Error::new(ErrorKind::Decode, Outcome::Unknown, text).with_source(fault)
    })
}

/// The data of a reply as a whole: an array.
pub(crate) fn data<T: DeserializeOwned>(frame: &ReplyFrame<'_>) -> Result<T, Error> {
    read(frame.data().unwrap_or(&[EMPTY_ARRAY]))
}

/// The first value of the data, or of nil if there is none.
pub(crate) fn first<T: DeserializeOwned>(frame: &ReplyFrame<'_>) -> Result<T, Error> {
    read_first(frame.data().unwrap_or(&[EMPTY_ARRAY]))
}

/// The first value of an array, or of nil if there is none.
pub(crate) fn read_first<T: DeserializeOwned>(array: &[u8]) -> Result<T, Error> {
    let mut reader = Reader::new(array);
    let count = reader.read_array_len().unwrap_or(0);
    match count {
        0 => read(&[0xc0]),
        1.. => read(reader.rest()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_what_it_is_or_an_array_of_one() {
        assert_eq!(parts(&1u8).unwrap(), [0x91, 1]);
        assert_eq!(parts(&(1u8, "a")).unwrap(), [0x92, 1, 0xa1, b'a']);
        assert_eq!(parts(&()).unwrap(), [0x90]);
        assert_eq!(parts("a").unwrap(), [0x91, 0xa1, b'a']);
        assert_eq!(parts(&(None::<u8>,)).unwrap(), [0x91, 0xc0]);
    }

    #[test]
    fn what_is_no_array_is_no_tuple() {
        let error = tuple(&7).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent);
        assert_eq!(error.kind(), ErrorKind::Encode);
    }

    #[test]
    fn a_reply_of_another_type_has_run_all_the_same() {
        let error = read::<String>(&[7]).unwrap_err();
        assert_eq!(
            (error.kind(), error.outcome()),
            (ErrorKind::Decode, Outcome::Unknown)
        );
    }
}

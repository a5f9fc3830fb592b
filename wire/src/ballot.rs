//! The ballot: what an instance says of itself when it is asked by
//! [`REQUEST_VOTE`](crate::keys::REQUEST_VOTE), which needs no login and no rights.
//!
//! ```text
//!  {0x29: {1: read_only is configured, 2: vclock, 4: loading, or read-only, 6: bootstrapped, …}}
//! ```

use crate::client::ReplyFrame;
use crate::keys::{self, ballot};
use crate::limits::VCLOCK_SIZE_MAX;
use crate::msgpack::{DecodeError, Reader};

/// What an instance says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ballot {
    /// Whether it is read-only by its configuration.
    pub is_read_only_by_configuration: bool,
    /// Whether it takes no changes for any reason: it is loading, or read-only by configuration,
    /// or, from 2.7.3 and 2.8.2 on, it is an orphan, not elected, or waits for others.
    pub is_read_only: bool,
    /// Whether it has data of its own; `None` from instances before 2.7.3 and 2.8.2. Those do not
    /// tell either that they are orphans.
    pub is_bootstrapped: Option<bool>,
    /// What it has.
    pub vclock: Vclock,
}

impl Ballot {
    /// Reads it out of a reply; `None` if that tells none.
    #[must_use]
    pub fn read(reply: &ReplyFrame<'_>) -> Option<Self> {
        let mut own = Self::default();
        own.fill(Reader::new(reply.field(keys::BALLOT)?)).ok()?;
        Some(own)
    }

    fn fill(&mut self, mut reader: Reader<'_>) -> Result<(), DecodeError> {
        for _ in 0..reader.read_map_len()? {
            match reader.read_uint()? {
                ballot::IS_RO_CFG => self.is_read_only_by_configuration = reader.read_bool()?,
                ballot::VCLOCK => self.vclock = Vclock::read(&mut reader)?,
                ballot::IS_RO => self.is_read_only = reader.read_bool()?,
                ballot::IS_BOOTED => self.is_bootstrapped = Some(reader.read_bool()?),
                _ => drop(reader.skip()?),
            }
        }
        Ok(())
    }

    /// Whether it takes changes of data, as far as it says.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        !self.is_read_only_by_configuration && !self.is_read_only
    }
}

/// How much of the changes of each instance of a replica set an instance has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vclock {
    /// Instances and their counters, in the order of the instances; none is 0.
    components: Vec<(u64, u64)>,
}

impl Vclock {
    /// Reads one, a map of counters by instances.
    ///
    /// # Errors
    ///
    /// It is none, or has more instances than a replica set may.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.read_map_len()?;
        if count > VCLOCK_SIZE_MAX {
            return Err(DecodeError::Type);
        }
        let mut components = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let component = (reader.read_uint()?, reader.read_uint()?);
            components.push(component);
        }
        components.retain(|(_, counter)| *counter > 0);
        components.sort_unstable();
        Ok(Self { components })
    }

    /// The counter of an instance, by its number in the replica set.
    #[must_use]
    pub fn get(&self, instance: u64) -> u64 {
        let at = self
            .components
            .binary_search_by_key(&instance, |(id, _)| *id);
        at.map_or(0, |at| self.components[at].1)
    }

    /// Whether an instance with this one has everything that one with the other has. Component 0
    /// counts what each instance keeps for itself, and is none of it.
    #[must_use]
    pub fn has_reached(&self, other: &Self) -> bool {
        let shared = other.components.iter().filter(|(id, _)| *id != 0);
        shared
            .into_iter()
            .all(|(id, counter)| self.get(*id) >= *counter)
    }

    /// Whether an instance with this one has changes that one with the other lacks, but for those
    /// that the instance `writer` has made. Component 0 is none of it.
    #[must_use]
    pub fn exceeds(&self, other: &Self, writer: u64) -> bool {
        let of_others = self
            .components
            .iter()
            .filter(|(id, _)| ![0, writer].contains(id));
        of_others
            .into_iter()
            .any(|(id, counter)| *counter > other.get(*id))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::msgpack::{write_map_len, write_uint};

    fn reply(body: &[u8]) -> Option<Ballot> {
        let content = [&[0x82, 0x00, 0x00, 0x01, 0x07][..], body].concat();
        Ballot::read(&ReplyFrame::read_content(&content).unwrap())
    }

    fn vclock(components: &[(u64, u64)]) -> Vclock {
        let mut bytes = Vec::new();
        write_map_len(&mut bytes, components.len() as u32);
        for (id, counter) in components {
            write_uint(&mut bytes, *id);
            write_uint(&mut bytes, *counter);
        }
        Vclock::read(&mut Reader::new(&bytes)).unwrap()
    }

    #[test]
    fn a_newer_instance_tells_whatever_keeps_it_from_writing() {
        let told = |ro_cfg, ro| {
            let body = [
                0x81, 0x29, 0x86, 1, ro_cfg, 2, 0x81, 1, 0xcd, 1, 0, 3, 0x80, 4, ro, 5, 0xc2, 6,
                0xc3,
            ];
            reply(&body).unwrap()
        };
        let writable = told(0xc2, 0xc2);
        assert!(writable.is_writable());
        assert_eq!(writable.is_bootstrapped, Some(true));
        assert_eq!((writable.vclock.get(1), writable.vclock.get(2)), (256, 0));
        assert!(!told(0xc3, 0xc2).is_writable() && !told(0xc2, 0xc3).is_writable());
    }

    /// As Tarantool 2.6.0 answers.
    #[test]
    fn an_older_instance_does_not_tell_whether_it_has_data() {
        let body = [0x81, 0x29, 0x84, 1, 0xc2, 4, 0xc2, 2, 0x81, 1, 11, 3, 0x80];
        let told = reply(&body).unwrap();
        assert!(told.is_writable());
        assert_eq!(told.is_bootstrapped, None);
        assert_eq!(told.vclock, vclock(&[(1, 11)]));
    }

    #[test]
    fn what_is_no_ballot_is_none() {
        for body in [
            &[0x80][..],
            &[0x81, 0x30, 0x90],
            &[0x81, 0x29, 0x90],
            &[0x81, 0x29, 0x81, 1, 1],
            &[0x81, 0x29, 0x81, 2, 0x81, 1],
        ] {
            assert_eq!(reply(body), None, "{body:x?}");
        }
        let many = [&[0x81, 0x29, 0x81, 2, 0xde, 0xff, 0xff][..], &[1; 131_070]].concat();
        assert_eq!(reply(&many), None, "more instances than there may be");
    }

    #[test]
    fn what_an_instance_keeps_for_itself_is_not_waited_for() {
        assert!(vclock(&[(1, 5)]).has_reached(&vclock(&[(0, 9), (1, 5), (2, 0)])));
        assert!(!vclock(&[(1, 5)]).has_reached(&vclock(&[(1, 5), (2, 1)])));
    }

    #[test]
    fn what_others_than_the_writer_have_made_and_the_other_lacks_is_found() {
        let other = vclock(&[(1, 5), (2, 3)]);
        for (own, expected) in [
            (&[(1, 5), (2, 3)][..], false),
            (&[(1, 9), (2, 3)], false),
            (&[(0, 9), (2, 2)], false),
            (&[(1, 5), (2, 4)], true),
            (&[(3, 1)], true),
        ] {
            assert_eq!(vclock(own).exceeds(&other, 1), expected, "{own:?}");
        }
    }

    proptest! {
        #[test]
        fn reaching_is_an_order(
            one: [u8; 3], other: [u8; 3], third: [u8; 3]
        ) {
            let of = |counters: [u8; 3]| {
                let with_ids = counters.iter().zip(1..).map(|(own, id)| (id, u64::from(*own)));
                vclock(&with_ids.collect::<Vec<_>>())
            };
            let [one, other, third] = [one, other, third].map(of);
            prop_assert!(one.has_reached(&one) && one.has_reached(&Vclock::default()));
            if one.has_reached(&other) && other.has_reached(&one) {
                prop_assert_eq!(&one, &other);
            }
            if one.has_reached(&other) && other.has_reached(&third) {
                prop_assert!(one.has_reached(&third));
            }
        }
    }
}

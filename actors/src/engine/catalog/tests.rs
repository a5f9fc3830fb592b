use vestibule_wire::ErrorCode;
use vestibule_wire::msgpack::{Reader, write_str, write_uint};
use vestibule_wire::reply::Rows;
use vestibule_wire::request::{After, Select};

use super::row::Part;
use super::*;

/// Users see what they are called after.
#[derive(Debug)]
pub(super) struct ByName;

impl Visibility for ByName {
    fn rows(&self, user: &User, space: u32, name: &str) -> Result<RowVisibility<'_>, Error> {
        match &*user.name {
            "all" => Ok(RowVisibility::Everything),
            "none" => Err(Error::access_denied("Read", "space", name, &user.name)),
            _ => Ok(RowVisibility::Rows(Box::new(move |row| {
                space == 281 && row[1] == 5
            }))),
        }
    }

    fn may_log_in(&self, user: &User) -> Result<(), Error> {
        match &*user.name {
            "none" => Err(Error::new(ErrorCode::ACCESS_DENIED, "no")),
            _ => Ok(()),
        }
    }
}

fn catalog(visibility: Option<ByName>) -> Catalog {
    let mut builder = CatalogBuilder::new()
        .space(5, "five")
        .space(6, "six")
        .row(312, b"\x95\x01\x05\xa5space\x06\x01".to_vec())
        .row(312, b"\x95\x02\x05\xa4role\x02\x04".to_vec());
    if let Some(visibility) = visibility {
        builder = builder.visibility(Arc::new(visibility));
    }
    builder.build()
}

#[test]
fn a_temporary_space_is_found_by_those_who_see_it() {
    let row = |id: u8, name: &str, flags: &[u8]| {
        let mut row = vec![0x97, id, 1];
        write_str(&mut row, name);
        row.extend_from_slice(b"\xa5memtx\x00");
        row.extend_from_slice(flags);
        row.push(0x90);
        row
    };
    let mut catalog = catalog(Some(ByName));
    catalog.put_row(280, row(5, "t", b"\x81\xa9temporary\xc3"));
    catalog.put_row(
        280,
        row(6, "u", b"\x82\xa2no\xc3\xa4type\xaedata-temporary"),
    );
    catalog.put_row(280, row(7, "v", b"\x81\xa9temporary\xc2"));
    catalog.put_row(280, b"\x93\x08\x01\xa1w".to_vec());
    let mut found = Vec::new();
    for user in ["all", "five", "none"] {
        let user = User::named(user);
        for (id, name) in [(5, "t"), (6, "u"), (7, "v"), (8, "w"), (9, "x")] {
            let shown = catalog.shows_temporary(IdOrName::Id(id), &user);
            let by_name = catalog.shows_temporary(IdOrName::Name(name), &user);
            assert_eq!(shown, by_name, "{name}");
            found.extend(shown.then(|| format!("{}: {name}", user.name)));
        }
    }
    assert_eq!(found, ["all: t", "all: u", "five: t"]);
}

/// How many rows a user is shown.
fn count(catalog: &Catalog, user: &str, select: &Select<'_>) -> Result<u32, u16> {
    let mut out = Vec::new();
    let done = catalog.select(select, &User::named(user), || Rows::begin(&mut out));
    done.map_err(|error| error.code().0)?;
    let mut reader = Reader::new(&out);
    reader.read_map_len().unwrap();
    reader.read_uint().unwrap();
    Ok(reader.read_array_len().unwrap())
}

pub(super) fn all(space: u32) -> Select<'static> {
    Select {
        space: IdOrName::Id(space),
        index: IdOrName::Id(0),
        limit: u64::from(u32::MAX),
        offset: 0,
        iterator: 2,
        key: &[0x90],
        fetch_position: false,
        after: After::Start,
    }
}

#[test]
fn everybody_sees_everything_unless_the_engine_says_otherwise() {
    let open = catalog(None);
    assert_eq!(count(&open, "anybody", &all(281)), Ok(2));
    assert_eq!(open.may_log_in(&User::named("anybody")), Ok(()));
    let closed = catalog(Some(ByName));
    assert_eq!(count(&closed, "all", &all(281)), Ok(2));
    assert_eq!(count(&closed, "five", &all(281)), Ok(1));
    assert_eq!(count(&closed, "five", &all(280)), Ok(0));
    assert_eq!(count(&closed, "none", &all(281)), Err(42));
    assert!(closed.may_log_in(&User::named("none")).is_err());
}

#[test]
fn an_offset_and_a_limit_count_what_is_seen() {
    let closed = catalog(Some(ByName));
    let after = Select {
        offset: 1,
        ..all(281)
    };
    assert_eq!(count(&closed, "five", &after), Ok(0));
    assert_eq!(count(&closed, "all", &after), Ok(1));
}

#[test]
fn indexes_of_several_parts_are_searched_by_any_of_the_first() {
    let catalog = catalog(None);
    let by = |index: IdOrName<'static>, key: &'static [u8]| Select {
        index,
        key,
        iterator: 0,
        ..all(313)
    };
    for (index, key, expected) in [
        (IdOrName::Id(0), &b"\x91\x05"[..], Ok(2)),
        (IdOrName::Id(0), b"\x92\x05\xa4role", Ok(1)),
        (IdOrName::Id(0), b"\x93\x05\xa4role\x02", Ok(1)),
        (IdOrName::Id(0), b"\x93\x05\xa4role\x03", Ok(0)),
        (IdOrName::Id(0), b"\x94\x05\xa4role\x02\x02", Err(31)),
        (IdOrName::Name("owner"), b"\x91\x02", Ok(1)),
        (IdOrName::Name("object"), b"\x92\xa5space\x06", Ok(1)),
        (IdOrName::Id(3), b"\x90", Err(35)),
        (IdOrName::Name("name"), b"\x90", Err(148)),
    ] {
        assert_eq!(count(&catalog, "anybody", &by(index, key)), expected);
    }
}

fn told(space: u32, index: u32, iterator: u64, key: &[u8]) -> String {
    let catalog = CatalogBuilder::new().space(512, "s").build();
    let select = Select {
        space: IdOrName::Id(space),
        index: IdOrName::Id(index),
        limit: 1,
        offset: 0,
        iterator,
        key,
        fetch_position: false,
        after: After::Start,
    };
    let mut out = Vec::new();
    match catalog.select(&select, &User::guest(), || Rows::begin(&mut out)) {
        Ok(()) => "ok".to_owned(),
        Err(error) => format!("{}: {}", error.code().0, error.message()),
    }
}

/// Pages of two rows, by position or by the last tuple, until there is no more.
fn pages(by_position: bool, iterator: IteratorType, index: u32, key: &[u8]) -> Vec<u8> {
    let names = ["a", "ab", "abc", "b", "c"];
    let spaces = names.into_iter().zip(1..);
    let catalog = spaces.fold(CatalogBuilder::new(), |builder, (name, id)| {
        builder.space(id, name)
    });
    let catalog = catalog.build();
    let (mut found, mut after) = (Vec::new(), Vec::new());
    loop {
        let mut body = Vec::new();
        let select = Select {
            space: IdOrName::Id(281),
            index: IdOrName::Id(index),
            limit: 2,
            offset: 0,
            iterator: iterator as u64,
            key,
            fetch_position: by_position,
            after: match by_position {
                _ if after.is_empty() => After::Start,
                true => After::Position(&after),
                false => After::Tuple(&after),
            },
        };
        let done = catalog.select(&select, &User::guest(), || Rows::begin(&mut body));
        done.unwrap();
        let mut reader = Reader::new(&body);
        let keys = reader.read_map_len().unwrap();
        reader.read_uint().unwrap();
        let count = reader.read_array_len().unwrap();
        for _ in 0..count {
            after = reader.skip().unwrap().to_vec();
            found.push(after[1]);
        }
        assert_eq!(keys, if by_position && count > 0 { 2 } else { 1 });
        assert!(found.len() <= names.len(), "a page came twice");
        if count < 2 {
            return found;
        }
        if by_position {
            reader.read_uint().unwrap();
            after = reader.read_str_bytes().unwrap().to_vec();
        }
    }
}

#[test]
fn system_spaces_are_read_page_by_page() {
    for by_position in [true, false] {
        for index in [0, 1, 2] {
            assert_eq!(
                pages(by_position, IteratorType::All, index, &[0x90]),
                [1, 2, 3, 4, 5]
            );
            assert_eq!(
                pages(by_position, IteratorType::Le, index, &[0x90]),
                [5, 4, 3, 2, 1]
            );
        }
        assert_eq!(
            pages(by_position, IteratorType::Ge, 0, &[0x91, 2]),
            [2, 3, 4, 5]
        );
        let a = &[0x91, 0xa1, b'a'];
        assert_eq!(pages(by_position, IteratorType::NextPrefix, 2, a), [4, 5]);
        let b = &[0x91, 0xa1, b'b'];
        assert_eq!(
            pages(by_position, IteratorType::PreviousPrefix, 2, b),
            [3, 2, 1]
        );
    }
}

#[test]
fn a_position_outside_of_what_is_walked_over_is_refused() {
    let catalog = CatalogBuilder::new().space(512, "s").build();
    let told = |key: &[u8], after| {
        let select = Select {
            space: IdOrName::Id(281),
            index: IdOrName::Id(0),
            limit: 1,
            offset: 0,
            iterator: IteratorType::Ge as u64,
            key,
            fetch_position: false,
            after,
        };
        let mut out = Vec::new();
        let told = catalog.select(&select, &User::guest(), || Rows::begin(&mut out));
        told.map_err(|error| error.code().0)
    };
    let row = [0x93, 2, 1, 0xa1, b's'];
    assert_eq!(told(&[0x90], After::Tuple(&row)), Ok(()));
    assert_eq!(told(&[0x91, 3], After::Tuple(&row)), Err(247));
    assert_eq!(told(&[0x90], After::Tuple(&[0x91, 2])), Err(247));
    assert_eq!(told(&[0x90], After::Tuple(&[2])), Err(247));
    for position in [&b"?"[..], b"AAAA", b"kgEB"] {
        assert_eq!(told(&[0x90], After::Position(position)), Err(247));
    }
}

#[test]
fn faults_of_a_request_are_told_as_of_any_space() {
    let wrong = "18: Supplied key type of part 0 does not match index part type: expected ";
    for (space, index, iterator, key, expected) in [
        (
            281,
            77,
            14,
            &[0x90][..],
            "1: Invalid iterator type".to_owned(),
        ),
        (281, 0, 0, &[0x91, 0xa1, b'x'], format!("{wrong}unsigned")),
        (281, 2, 0, &[0x91, 1], format!("{wrong}string")),
        (281, 2, 7, &[0x91, 1], format!("{wrong}string")),
        (341, 1, 0, &[0x91, 1], "ok".into()),
        (289, 2, 0, &[0x92, 1, 0xa1, b'x'], "ok".into()),
        (
            281,
            0,
            0,
            &[0x92, 1, 2],
            "31: Invalid key part count (expected [0..1], got 2)".into(),
        ),
        (
            281,
            0,
            7,
            &[0x90],
            "112: Index 'primary' (TREE) of space '_space' (memtx) does not support \
             requested iterator type"
                .into(),
        ),
    ] {
        assert_eq!(told(space, index, iterator, key), expected);
    }
}

/// Spaces whose names are no numbers in order, with two owners.
pub(super) fn many_spaces(count: u32) -> Catalog {
    let mut catalog = CatalogBuilder::new().build();
    for id in 1..=count {
        catalog.put_row(280, space_row(id, 1 + u64::from(id % 2), &name_of(id)));
    }
    catalog
}

pub(super) fn name_of(id: u32) -> String {
    format!("{:x}", id.wrapping_mul(0x9e37_79b9) >> 20)
}

pub(super) fn space_row(id: u32, owner: u64, name: &str) -> Vec<u8> {
    let mut row = vec![0x93];
    write_uint(&mut row, u64::from(id));
    write_uint(&mut row, owner);
    write_str(&mut row, name);
    row
}

fn rows(catalog: &Catalog, select: &Select<'_>) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let done = catalog.select(select, &User::guest(), || Rows::begin(&mut out));
    done.unwrap();
    let mut reader = Reader::new(&out);
    reader.read_map_len().unwrap();
    reader.read_uint().unwrap();
    let count = reader.read_array_len().unwrap();
    (0..count)
        .map(|_| reader.skip().unwrap().to_vec())
        .collect()
}

/// Every row that an iterator is to find in an index, in its order.
fn searched<'a>(
    all: &'a [row::SystemRow],
    at: usize,
    iterator: IteratorType,
    key: &[Part],
) -> Vec<&'a [u8]> {
    use IteratorType::{Le, Lt, PreviousPrefix, Req};
    let found = all.iter().filter(|row| row.matches(at, iterator, key));
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|row| (row.keys[at].clone(), row.keys[0].clone()));
    if matches!(iterator, Req | Le | Lt | PreviousPrefix) {
        found.reverse();
    }
    found.into_iter().map(|row| &*row.tuple).collect()
}

/// Every iterator of every index, against a search through all rows.
#[test]
fn every_iterator_finds_what_a_search_through_all_rows_finds() {
    let catalog = many_spaces(60);
    let space = SYSTEM_SPACES.iter().find(|space| space.id == 280).unwrap();
    let everything = rows(&catalog, &all(280)).into_iter();
    let everything: Vec<_> = everything
        .map(|tuple| row::row(space, &tuple).unwrap())
        .collect();
    assert_eq!(everything.len(), 60);
    let mut keys = vec![vec![0x90]];
    for id in [0, 1, 17, 60, 61] {
        keys.push(vec![0x91, id]);
        for end in [0, 1, name_of(u32::from(id)).len()] {
            let mut key = vec![0x91];
            write_str(&mut key, &name_of(u32::from(id))[..end]);
            keys.push(key);
        }
    }
    let iterators = (0..=13).filter(|code| !(7..=11).contains(code));
    let mut compared = 0;
    for iterator in iterators.map(|code| IteratorType::from_code(code).unwrap()) {
        for (at, index) in space.indexes.iter().enumerate() {
            for key in &keys {
                let Ok(parts) = row::read_key(space, at, key) else {
                    continue;
                };
                let select = Select {
                    index: IdOrName::Id(index.id),
                    iterator: iterator as u64,
                    key,
                    offset: 1,
                    limit: 30,
                    ..all(281)
                };
                let expected = searched(&everything, at, iterator, &parts);
                let expected = expected.into_iter().skip(1).take(30);
                let found = rows(&catalog, &select);
                assert!(
                    found.iter().map(|row| &**row).eq(expected),
                    "{iterator:?} {} {key:?}",
                    index.name
                );
                compared += found.len();
            }
        }
    }
    assert!(compared > 1000, "{compared}");
}

#[test]
fn a_look_up_by_index_looks_at_a_few_rows_however_many_there_are() {
    let cost = |count: u32| {
        let catalog = many_spaces(count);
        let mut key = vec![0x91];
        write_str(&mut key, &name_of(7));
        let select = Select {
            index: IdOrName::Name("name"),
            iterator: IteratorType::Eq as u64,
            key: &key,
            ..all(281)
        };
        row::LOOKED_AT.set(0);
        assert!(rows(&catalog, &select).contains(&space_row(7, 2, &name_of(7))));
        row::LOOKED_AT.get()
    };
    let (few, many) = (cost(10), cost(4000));
    assert!(few <= 10 && many <= 30, "{few} rows of 10, {many} of 4000");
}

#[test]
fn a_row_is_replaced_and_removed_in_every_index_and_a_copy_keeps_it() {
    let mut catalog = many_spaces(10);
    let before = catalog.clone();
    let by_name = |catalog: &Catalog, name: &str| {
        let mut key = vec![0x91];
        write_str(&mut key, name);
        let select = Select {
            index: IdOrName::Name("name"),
            iterator: IteratorType::Eq as u64,
            key: &key,
            ..all(281)
        };
        rows(catalog, &select).len()
    };
    catalog.put_row(280, space_row(3, 1, "renamed"));
    catalog.remove_row(280, &space_row(4, 9, "whatever it is called"));
    let count = |catalog: &Catalog| rows(catalog, &all(281)).len();
    assert_eq!((count(&before), count(&catalog)), (10, 9));
    for (name, had, has) in [
        (&*name_of(3), 1, 0),
        ("renamed", 0, 1),
        (&name_of(4), 1, 0),
        (&name_of(5), 1, 1),
    ] {
        let found = (by_name(&before, name), by_name(&catalog, name));
        assert_eq!(found, (had, has), "{name}");
    }
    catalog.put_user(User::named("bob"), None);
    catalog.remove_user("guest");
    assert!(catalog.user("guest").is_none() && before.user("guest").is_some());
    assert!(catalog.user("bob").is_some() && before.user("bob").is_none());
}

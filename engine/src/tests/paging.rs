//! Positions: a result fetched page by page is the whole result.

use serde::de::DeserializeOwned;
use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::{After, Body, Select};

use super::{Rig, by, pack};

/// Tuples and position of a body.
pub(super) fn read(body: &[u8]) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
    let mut reader = Reader::new(body);
    let keys = reader.read_map_len().unwrap();
    reader.read_uint().unwrap();
    let count = reader.read_array_len().unwrap();
    let tuples = (0..count)
        .map(|_| reader.skip().unwrap().to_vec())
        .collect();
    let position = (keys == 2).then(|| {
        assert_eq!(reader.read_uint(), Ok(0x35));
        reader.read_str_bytes().unwrap().to_vec()
    });
    assert!(reader.is_empty());
    (tuples, position)
}

pub(super) fn decoded<T: DeserializeOwned>(tuples: &[Vec<u8>]) -> Vec<T> {
    let rows = tuples.iter().map(|tuple| rmp_serde::from_slice(tuple));
    rows.collect::<Result<_, _>>().unwrap()
}

/// The tuples of a SELECT, page by page; `on_page` is told each page's request and body.
pub(super) fn pages(
    rig: &mut Rig,
    select: &Select<'_>,
    limit: u64,
    mut on_page: impl FnMut(&Rig, &Select<'_>, &[u8]),
) -> Vec<Vec<u8>> {
    let (mut pages, mut position) = (Vec::new(), Vec::new());
    loop {
        let after = match position.as_slice() {
            [] => After::Start,
            position => After::Position(position),
        };
        let select = Select {
            limit,
            fetch_position: true,
            after,
            ..*select
        };
        let body = rig.raw(Body::Select(select)).unwrap();
        on_page(rig, &select, &body);
        let (page, next) = read(&body);
        assert_eq!(page.is_empty(), next.is_none());
        let Some(next) = next else { return pages };
        pages.extend(page);
        position = next;
    }
}

fn rig() -> Rig {
    let mut rig = Rig::with_space(&[(2, "string"), (1, "unsigned")]);
    for id in 0..30 {
        rig.insert(&(id, ["a", "b", "c"][id % 3], "more"));
        if id == 20 {
            rig.commit();
        }
    }
    rig
}

#[test]
fn pages_add_up_to_the_whole_for_every_iterator() {
    let mut rig = rig();
    for key in [pack(&[(); 0]), pack(&("b",)), pack(&("b", 10))] {
        for iterator in 0..7 {
            let select = Select {
                iterator,
                ..by(&key)
            };
            let (whole, _) = read(&rig.raw(Body::Select(select)).unwrap());
            let pages = pages(&mut rig, &select, 4, |_, _, _| ());
            assert_eq!(pages, whole, "iterator {iterator}");
        }
    }
}

#[test]
fn one_can_go_on_after_a_tuple() {
    let mut rig = rig();
    let tuple = pack(&(25, "b", "whatever"));
    let key = pack(&("b",));
    let select = Select {
        after: After::Tuple(&tuple),
        ..by(&key)
    };
    assert_eq!(rig.run(Body::Select(select)), r#"[[28, "b", "more"]]"#);
}

#[test]
fn a_position_that_does_not_belong_here_is_refused() {
    let mut rig = rig();
    let (wrong, outside) = (pack(&(0, 1)), pack(&(1, "c")));
    let key = pack(&("b",));
    for after in [
        After::Position(b"AA"),
        After::Position(b"?"),
        After::Position(b"kgEC"),
        After::Tuple(&wrong),
        After::Tuple(&outside),
    ] {
        let told = rig.run(Body::Select(Select { after, ..by(&key) }));
        assert_eq!(told, "247: Iterator position is invalid");
    }
}
